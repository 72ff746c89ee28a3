//! What a child may say, and when. *Pure.*
//!
//! Owns the order of a child's messages and the range of every index in them, so that no later part of the
//! daemon has to doubt one. Never reads a byte.
//!
//! ```text
//!   Note*  Planned  ( RunBegins | RunEnds | Shown | Image | PointFailed | Note )*  Ended
//!   a walk that fails early ends without Planned
//! ```

use crate::model::delivery::Message;
use crate::model::job::{Ended, VideoBatch};
use crate::model::limits::NOTES_MAX;
use crate::model::snapshot::{ImageKind, PointKey};
use crate::model::spec::Points;

use super::protocol::ImageHeader;

/// Why a message is out of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misspoken {
    #[error("a second plan")]
    PlannedTwice,
    #[error("{planned} jobs planned, {asked} asked")]
    Jobs { planned: usize, asked: usize },
    #[error("more points or sheets planned than asked")]
    TooMany,
    #[error("a message before the plan")]
    BeforePlan,
    #[error("a point that is not in the plan")]
    Point,
    #[error("a sheet that is not in the plan")]
    Sheet,
    #[error("more points under way than planned")]
    UnderWay,
    #[error("more notes than allowed")]
    Notes,
    #[error("a child that says it died")]
    Died,
    #[error("a device wanted although none was offered")]
    NotOffered,
    #[error("a refusal without a device")]
    NoDevice,
}

/// What one child has said so far, as far as it bounds what it may say next.
#[derive(Clone, Debug)]
pub struct Grammar {
    /// Most points that each job asks for.
    asked: Vec<u32>,
    /// Devices were on offer beside the CPU.
    offered: bool,
    /// The child is a device's helper.
    on_device: bool,
    notes: usize,
    /// Points and sheets of each job, once planned.
    plan: Option<Vec<(u32, u32)>>,
}

impl Grammar {
    /// For the child that serves this batch.
    pub fn new(batch: &VideoBatch) -> Grammar {
        let asked = batch.jobs.iter().map(|job| points_max(&job.spec.points)).collect();
        Grammar { asked, offered: !batch.offer.is_empty(), on_device: false, notes: 0, plan: None }
    }

    /// For the helper of a device that serves this batch.
    pub fn on_device(batch: &VideoBatch) -> Grammar {
        Grammar { offered: false, on_device: true, ..Grammar::new(batch) }
    }

    /// Checks anything but an image.
    ///
    /// # Errors
    /// When the message is out of order or out of range.
    pub fn message(&mut self, message: &Message) -> Result<(), Misspoken> {
        match message {
            Message::Planned(planned) => {
                if self.plan.is_some() {
                    return Err(Misspoken::PlannedTwice);
                }
                let plan: Vec<(u32, u32)> =
                    planned.jobs.iter().map(|job| (count(job.points.len()), job.sheets)).collect();
                if plan.len() != self.asked.len() {
                    return Err(Misspoken::Jobs { planned: plan.len(), asked: self.asked.len() });
                }
                // A sheet holds at least one point.
                if plan
                    .iter()
                    .zip(&self.asked)
                    .any(|((points, sheets), most)| points > most || sheets > points)
                {
                    return Err(Misspoken::TooMany);
                }
                self.plan = Some(plan);
                Ok(())
            }
            Message::RunBegins { points, .. } | Message::RunEnds { points } => {
                points.iter().try_for_each(|point| self.point(*point))
            }
            Message::Shown { point, .. } | Message::PointFailed { point, .. } => self.point(*point),
            Message::Image(image) => self.image(image.job, image.kind),
            Message::Note { .. } => {
                self.notes += 1;
                if self.notes > NOTES_MAX { Err(Misspoken::Notes) } else { Ok(()) }
            }
        }
    }

    /// Checks an image before its bytes are read.
    ///
    /// # Errors
    /// When it belongs to no point or sheet of the plan.
    pub fn image_header(&self, header: &ImageHeader) -> Result<(), Misspoken> {
        self.image(header.job, header.kind)
    }

    /// Checks the last word: only the parent can say that a child died, only a device refuses, and one is wanted only
    /// of those on offer.
    ///
    /// # Errors
    /// When the child says it.
    pub fn ended(&self, ended: &Ended) -> Result<(), Misspoken> {
        match ended {
            Ended::Died { .. } => Err(Misspoken::Died),
            Ended::DeviceWanted if !self.offered => Err(Misspoken::NotOffered),
            Ended::Refused { .. } if !self.on_device => Err(Misspoken::NoDevice),
            _ => Ok(()),
        }
    }

    /// Points of all jobs: no more than these can be under way at once.
    pub fn points(&self) -> usize {
        self.plan.iter().flatten().map(|(points, _)| *points as usize).sum()
    }

    fn job(&self, job: u32) -> Result<Option<(u32, u32)>, Misspoken> {
        let plan = self.plan.as_ref().ok_or(Misspoken::BeforePlan)?;
        Ok(plan.get(job as usize).copied())
    }

    fn point(&self, key: PointKey) -> Result<(), Misspoken> {
        match self.job(key.job)? {
            Some((points, _)) if key.asked < points => Ok(()),
            _ => Err(Misspoken::Point),
        }
    }

    fn image(&self, job: u32, kind: ImageKind) -> Result<(), Misspoken> {
        match kind {
            ImageKind::Picture { asked } => self.point(PointKey { job, asked }),
            ImageKind::Sheet { number } => match self.job(job)? {
                Some((_, sheets)) if number < sheets => Ok(()),
                _ => Err(Misspoken::Sheet),
            },
        }
    }
}

fn points_max(points: &Points) -> u32 {
    match points {
        Points::List(instants) => count(instants.len()),
        Points::Every { count, .. } | Points::Even { count, .. } => *count,
        Points::ToEnd { most, .. } => *most,
        Points::None => 0,
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::{Planned, PlannedJob, PlannedPoint};
    use crate::model::device::{CodecClass, DeviceCodec, DeviceRow, Refusal};
    use crate::model::job::{BatchJob, Death, Stats};
    use crate::model::media::{Hdr, MediaFacts};
    use crate::model::spec::{AskedSize, FrameType, SnapshotSpec};
    use crate::model::time::TimeBase;

    fn grammar(asked: &[Points]) -> Grammar {
        let job = |points: &Points| {
            let spec = SnapshotSpec {
                points: points.clone(),
                size: AskedSize::default(),
                quality: 90,
                frame_type: FrameType::Normal,
                tolerance_ms: 0,
                sprite: None,
                keep_pictures: true,
                frame_md5: false,
            };
            let none = Vec::new;
            BatchJob { spec, pictures_done: none(), sheets_done: none(), points_failed: none() }
        };
        let jobs = asked.iter().map(job).collect();
        Grammar::new(&VideoBatch { jobs, stream: None, frame_pixels_max: 1, offer: Vec::new() })
    }

    fn two_jobs() -> Grammar {
        grammar(&[Points::List(vec![0, 40, 80]), Points::None])
    }

    fn planned(jobs: &[(usize, u32)]) -> Message {
        let point = PlannedPoint { asked_ms: 0, past_end: false };
        let media = MediaFacts {
            container: "mov".into(),
            stream: 0,
            codec: "h264".into(),
            width: 2,
            height: 2,
            display_width: 2,
            display_height: 2,
            rotation: 0,
            sar: (1, 1),
            duration_ms: None,
            start_pts: 0,
            time_base: TimeBase { num: 1, den: 25 },
            key_frames: None,
            hdr: Hdr::None,
        };
        let jobs = jobs.iter().map(|&(points, sheets)| PlannedJob {
            points: vec![point; points],
            sheets,
            cells_per_sheet: 4,
        });
        Message::Planned(Planned { media, jobs: jobs.collect() })
    }

    fn ends(job: u32, asked: u32) -> Message {
        Message::RunEnds { points: vec![PointKey { job, asked }] }
    }

    #[test]
    fn a_good_walk_is_accepted() {
        let mut grammar = two_jobs();
        let note = Message::Note { warning: false, text: "opened".into() };
        assert_eq!(grammar.message(&note), Ok(()));
        assert_eq!(grammar.message(&planned(&[(3, 1), (0, 0)])), Ok(()));
        let points = vec![PointKey { job: 0, asked: 2 }];
        assert_eq!(grammar.message(&Message::RunBegins { points, stats: Stats::default() }), Ok(()));
        assert_eq!(grammar.message(&ends(0, 2)), Ok(()));
        assert_eq!(grammar.ended(&Ended::Done), Ok(()));
        assert_eq!(grammar.points(), 3);
    }

    #[test]
    fn indices_outside_the_plan_are_refused() {
        let mut grammar = two_jobs();
        assert_eq!(grammar.message(&ends(0, 0)), Err(Misspoken::BeforePlan));
        assert_eq!(grammar.message(&planned(&[(3, 1)])), Err(Misspoken::Jobs { planned: 1, asked: 2 }));
        assert_eq!(grammar.message(&planned(&[(3, 1), (0, 0)])), Ok(()));
        assert_eq!(grammar.message(&planned(&[(3, 1), (0, 0)])), Err(Misspoken::PlannedTwice));
        assert_eq!(grammar.message(&ends(0, 3)), Err(Misspoken::Point));
        assert_eq!(grammar.message(&ends(1, 0)), Err(Misspoken::Point));
        assert_eq!(grammar.message(&ends(2, 0)), Err(Misspoken::Point));
        assert_eq!(grammar.image(0, ImageKind::Sheet { number: 0 }), Ok(()));
        assert_eq!(grammar.image(0, ImageKind::Sheet { number: 1 }), Err(Misspoken::Sheet));
        assert_eq!(grammar.image(0, ImageKind::Picture { asked: 3 }), Err(Misspoken::Point));
        assert_eq!(grammar.ended(&Ended::Died { cause: Death::Zygote }), Err(Misspoken::Died));
    }

    #[test]
    fn each_kind_of_child_has_its_own_last_words() {
        let batch =
            |offer: Vec<DeviceRow>| VideoBatch { jobs: vec![], stream: None, frame_pixels_max: 1, offer };
        let row = DeviceRow {
            class: CodecClass { codec: DeviceCodec::H264, depth: 8 },
            width_min: 1,
            height_min: 1,
            width_max: 2,
            height_max: 2,
            macroblocks_max: 1,
            proven: None,
        };
        let refused = Ended::Refused { reason: Refusal::Copy, text: String::new() };
        let check = |grammar: &Grammar, wanted, refusal| {
            assert_eq!(grammar.ended(&Ended::DeviceWanted), wanted);
            assert_eq!(grammar.ended(&refused), refusal);
            assert_eq!(grammar.ended(&Ended::Stopped), Ok(()));
        };
        check(&Grammar::new(&batch(vec![])), Err(Misspoken::NotOffered), Err(Misspoken::NoDevice));
        check(&Grammar::new(&batch(vec![row.clone()])), Ok(()), Err(Misspoken::NoDevice));
        check(&Grammar::on_device(&batch(vec![row])), Err(Misspoken::NotOffered), Ok(()));
    }

    #[test]
    fn a_plan_holds_no_more_than_was_asked() {
        let check = |points: Points, planned_points: usize, sheets: u32, good: bool| {
            let said = grammar(&[points]).message(&planned(&[(planned_points, sheets)]));
            assert_eq!(said, if good { Ok(()) } else { Err(Misspoken::TooMany) });
        };
        check(Points::Even { offset_ms: 0, count: 3 }, 3, 3, true);
        check(Points::Even { offset_ms: 0, count: 3 }, 4, 0, false);
        check(Points::Every { offset_ms: 0, count: 3, interval_ms: 1 }, 2, 3, false);
        check(Points::ToEnd { offset_ms: 0, interval_ms: 1, most: 2 }, 2, 1, true);
        check(Points::ToEnd { offset_ms: 0, interval_ms: 1, most: 2 }, 3, 1, false);
        check(Points::None, 1, 0, false);
    }

    #[test]
    fn notes_are_counted() {
        let mut grammar = two_jobs();
        let note = Message::Note { warning: false, text: String::new() };
        assert!((0..NOTES_MAX).all(|_| grammar.message(&note).is_ok()));
        assert_eq!(grammar.message(&note), Err(Misspoken::Notes));
    }
}
