//! Who asked for what: the jobs of a batch, turned into wanted instants of one medium. *Pure.*
//!
//! Owns the map from instants back to points and cells. Never decodes and never paints.

use std::collections::{BTreeMap, HashSet};

use super::capture::points;
use super::capture::steps::Want;
use crate::model::delivery::PlannedJob;
use crate::model::job::VideoBatch;
use crate::model::media::Timeline;
use crate::model::snapshot::PointKey;
use crate::model::spec::FrameType;
use crate::model::time::{Seconds, pts_at};

/// One asker of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub point: PointKey,
    pub asked_ms: i64,
    /// An image of its own is still to be delivered.
    pub picture: bool,
    /// The cell to paint, when its sheet is still to be delivered.
    pub cell: Option<u32>,
}

/// Every wish of a batch on a medium.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// One entry a job, as it is told to the receiver.
    pub planned: Vec<PlannedJob>,
    /// Ascending, without duplicates.
    pub wants: Vec<Want>,
    /// Parallel to `wants`.
    pub askers: Vec<Vec<Asker>>,
}

impl Wishes {
    /// Resolves every job of `batch`, leaving out what is already delivered or given up.
    pub fn new(batch: &VideoBatch, timeline: &Timeline) -> Wishes {
        let mut planned = Vec::with_capacity(batch.jobs.len());
        let mut wanted: BTreeMap<Want, Vec<Asker>> = BTreeMap::new();
        for (job, wish) in (0u32..).zip(&batch.jobs) {
            let points = points::resolve(&wish.spec.points, timeline);
            let cells_per_sheet = wish.spec.sprite.as_ref().map_or(0, |s| s.columns.saturating_mul(s.lines));
            let done: HashSet<u32> = wish.pictures_done.iter().copied().collect();
            let failed: HashSet<u32> = wish.points_failed.iter().copied().collect();
            let sheets_done: HashSet<u32> = wish.sheets_done.iter().copied().collect();
            let mut cells = 0u32;
            for (asked, point) in (0u32..).zip(&points) {
                if point.past_end {
                    continue;
                }
                let cell = (cells_per_sheet > 0).then_some(cells);
                cells += 1;
                let cell = cell.filter(|cell| !sheets_done.contains(&(cell / cells_per_sheet)));
                let picture = wish.spec.keep_pictures && !done.contains(&asked);
                if failed.contains(&asked) || (!picture && cell.is_none()) {
                    continue;
                }
                let want = Want {
                    pts: pts_at(point.asked_ms, timeline.origin, timeline.time_base),
                    intra: wish.spec.frame_type == FrameType::Intra,
                    slack: Seconds::of_ms(i64::from(wish.spec.tolerance_ms)).floor_pts(timeline.time_base),
                };
                let asker = Asker { point: PointKey { job, asked }, asked_ms: point.asked_ms, picture, cell };
                wanted.entry(want).or_default().push(asker);
            }
            let sheets = if cells_per_sheet > 0 { cells.div_ceil(cells_per_sheet) } else { 0 };
            planned.push(PlannedJob { points, sheets, cells_per_sheet });
        }
        let (wants, askers) = wanted.into_iter().unzip();
        Wishes { planned, wants, askers }
    }

    /// These wants (indices) for a stream without pts, where a frame's place in display order is its pts.
    pub fn by_count(&self, wants: &[usize], frame_length: Seconds) -> (Vec<Want>, Vec<Vec<Asker>>) {
        let number = |ms: i64| {
            let length = (frame_length.num.max(1), frame_length.den.max(1));
            let frames = (i128::from(ms) * length.1).div_euclid(1000 * length.0);
            i64::try_from(frames).unwrap_or(i64::MAX)
        };
        let mut wanted: BTreeMap<Want, Vec<Asker>> = BTreeMap::new();
        for want in wants {
            for asker in &self.askers[*want] {
                let counted = Want { pts: number(asker.asked_ms), ..self.wants[*want] };
                wanted.entry(counted).or_default().push(*asker);
            }
        }
        wanted.into_iter().unzip()
    }

    /// The cells of a sheet that are to be painted in this walk, by (job, sheet).
    pub fn cells_to_paint(&self) -> BTreeMap<(u32, u32), u32> {
        let mut counts = BTreeMap::new();
        for asker in self.askers.iter().flatten() {
            let Some(cell) = asker.cell else { continue };
            let per_sheet = self.planned[asker.point.job as usize].cells_per_sheet.max(1);
            *counts.entry((asker.point.job, cell / per_sheet)).or_insert(0) += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::job::BatchJob;
    use crate::model::spec::{AskedSize, Points, SnapshotSpec, SpriteSpec};
    use crate::model::time::TimeBase;

    fn job(times: &[i64], sheet: Option<(u32, u32)>) -> BatchJob {
        BatchJob {
            spec: SnapshotSpec {
                points: Points::List(times.to_vec()),
                size: AskedSize::default(),
                quality: 85,
                frame_type: FrameType::Normal,
                sprite: sheet.map(|(columns, lines)| SpriteSpec {
                    cell: AskedSize::default(),
                    columns,
                    lines,
                    padding: 0,
                    margin: 0,
                    color: [0; 3],
                }),
                keep_pictures: true,
                frame_md5: false,
                tolerance_ms: 0,
            },
            pictures_done: vec![],
            sheets_done: vec![],
            points_failed: vec![],
        }
    }

    fn wishes(jobs: Vec<BatchJob>) -> Wishes {
        let timeline = Timeline {
            origin: Seconds::of_ms(500),
            time_base: TimeBase { num: 1, den: 25 },
            duration: Some(Seconds::of_ms(10_000)),
        };
        Wishes::new(
            &VideoBatch { jobs, stream: None, frame_pixels_max: 1 << 20, offer: Vec::new() },
            &timeline,
        )
    }

    #[test]
    fn points_of_several_jobs_share_a_want() {
        let w = wishes(vec![job(&[1000, 1010], None), job(&[1000], None)]);
        // 1.0 s and 1.01 s after an origin of 0.5 s lie in the same pts unit.
        assert_eq!(w.wants, [Want { pts: 37, intra: false, slack: 0 }]);
        assert_eq!(w.askers[0].len(), 3);
    }

    #[test]
    fn a_remainder_asks_only_for_what_is_missing() {
        let mut partial = job(&[0, 1000, 2000, 3000, 99_000], Some((2, 1)));
        partial.pictures_done = vec![0, 2];
        partial.sheets_done = vec![0];
        let w = wishes(vec![partial]);
        let askers: Vec<_> = w.askers.iter().flatten().map(|a| (a.point.asked, a.picture, a.cell)).collect();
        // Point 2's picture is there, but its sheet is not; point 0 has both; 99 s is past the end.
        assert_eq!(askers, [(1, true, None), (2, false, Some(2)), (3, true, Some(3))]);
        assert_eq!(w.planned[0].sheets, 2);
        assert_eq!(w.cells_to_paint(), BTreeMap::from([((0, 1), 2)]));
    }

    #[test]
    fn without_pts_the_number_of_the_frame_counts() {
        let w = wishes(vec![job(&[0, 39, 40, 100], None)]);
        let (numbers, askers) = w.by_count(&[0, 1, 2], Seconds { num: 1, den: 25 });
        assert_eq!(numbers.iter().map(|want| want.pts).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(askers.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
        // What was served before a walk turned to counting is not served again.
        let (numbers, askers) = w.by_count(&[2], Seconds { num: 1, den: 25 });
        assert_eq!((numbers, askers.len()), (vec![Want { pts: 2, intra: false, slack: 0 }], 1));
    }
}
