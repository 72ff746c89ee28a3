//! What a job came to: counts that add up, one word for the whole, and the `Stillframe` object that tells both. *Pure.*
//!
//! Owns the difference between success, partial success and failure, wherever it is told: GetJobDetail, the event,
//! `jobs list` and `jobs show`, the log and the metrics. Never shows a failure's text: that is for those who may see it.

use serde_json::{Map, Value, json};

use crate::model::job::{Failure, Fallback};
use crate::model::snapshot::{Counts, PointStatus};
use crate::model::spec::{Points, SnapshotSpec};

/// The counts of an ended job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub points: Counts,
    /// Sprite sheets that its cells would have filled.
    pub sheets_asked: u32,
    /// Sprite sheets on offer.
    pub sheets: u32,
}

impl Tally {
    /// Counts the points of a job that ended. Where it ended before its points were known, all that it asked for
    /// has failed.
    pub fn of(spec: &SnapshotSpec, statuses: impl Iterator<Item = PointStatus>, sheets: u32) -> Tally {
        let mut points = Counts::of(statuses);
        if points.asked == 0 {
            points = Counts::lost(asked(&spec.points));
        }
        let cells = points.asked - points.past_end;
        let per_sheet = spec.sprite.as_ref().map(|sprite| sprite.columns.saturating_mul(sprite.lines).max(1));
        let sheets_asked = per_sheet.map_or(0, |per_sheet| cells.div_ceil(per_sheet));
        Tally { points, sheets_asked, sheets }
    }

    /// `success`, `partial` or `fail`. What lies past the end was never there to be taken: it is no one's loss.
    pub fn result(&self, has_failed: bool) -> &'static str {
        match (has_failed, self.points.failed > 0 || self.sheets < self.sheets_asked) {
            (true, _) => "fail",
            (false, true) => "partial",
            (false, false) => "success",
        }
    }

    /// The `Stillframe` object; `failure` is none of a job that has something to offer.
    pub fn told(&self, failure: Option<Value>, pictures: Vec<Value>, fallbacks: &[Fallback]) -> Value {
        let mut told = self.counts();
        told.insert("result".into(), self.result(failure.is_some()).into());
        told.insert("pictures".into(), pictures.into());
        if let Some(failure) = failure {
            told.insert("failure".into(), failure);
        }
        if !fallbacks.is_empty() {
            told.insert("fallbacks".into(), fallbacks.iter().map(fallback).collect());
        }
        Value::Object(told)
    }

    /// The counts alone, under their names.
    pub fn counts(&self) -> Map<String, Value> {
        let mut told = Map::new();
        let mut tell = |name: &str, count: u32| drop(told.insert(name.into(), count.into()));
        tell("asked", self.points.asked);
        tell("delivered", self.points.delivered);
        tell("past_end", self.points.past_end);
        tell("failed", self.points.failed);
        if self.sheets_asked > 0 {
            tell("sheets_asked", self.sheets_asked);
            tell("sheets_delivered", self.sheets);
        }
        told
    }
}

/// A failure as callers see it: what and where, without its text.
pub fn failure(failure: &Failure) -> Value {
    json!({ "code": failure.code.name(), "stage": failure.stage.name() })
}

/// A device that gave up, and how many points were missing by then.
pub fn fallback(fallback: &Fallback) -> Value {
    json!({ "from": fallback.from.name(), "reason": fallback.reason.name(), "points": fallback.points })
}

/// How many points a wish names; 0 where only the medium would tell.
pub fn asked(points: &Points) -> u32 {
    match points {
        Points::List(times) => u32::try_from(times.len()).unwrap_or(u32::MAX),
        Points::Every { count, .. } | Points::Even { count, .. } => *count,
        Points::ToEnd { .. } | Points::None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::spec::{AskedSize, SpriteSpec};

    fn spec(points: Points, cells: Option<(u32, u32)>) -> SnapshotSpec {
        let sprite = cells.map(|(columns, lines)| SpriteSpec {
            cell: AskedSize::default(),
            columns,
            lines,
            padding: 0,
            margin: 0,
            color: [0; 3],
        });
        SnapshotSpec { sprite, ..SnapshotSpec::of(points) }
    }

    #[test]
    fn a_job_that_never_began_has_lost_all_that_it_asked_for() {
        for points in [
            Points::List(vec![1; 7]),
            Points::Even { offset_ms: 0, count: 7 },
            Points::Every { offset_ms: 0, count: 7, interval_ms: 1 },
        ] {
            let tally = Tally::of(&spec(points, Some((2, 2))), std::iter::empty(), 0);
            assert_eq!((tally.points.asked, tally.points.failed, tally.sheets_asked), (7, 7, 2));
        }
    }

    #[test]
    fn a_missing_sheet_is_a_loss_and_the_end_of_the_video_is_none() {
        let spec = spec(Points::None, Some((2, 1)));
        let statuses = || [PointStatus::Ok, PointStatus::Concealed, PointStatus::LastFrame].into_iter();
        let with_end = || statuses().chain([PointStatus::PastEnd; 4]);
        assert_eq!(Tally::of(&spec, with_end(), 2).result(false), "success");
        assert_eq!(Tally::of(&spec, with_end(), 1).result(false), "partial");
        assert_eq!(Tally::of(&spec, with_end(), 0).result(true), "fail");
        assert_eq!(Tally::of(&spec, statuses().chain([PointStatus::Failed]), 2).result(false), "partial");
    }

    proptest! {
        #[test]
        fn counts_add_up(picks in prop::collection::vec(0usize..6, 0..50), sheets in 0u32..9) {
            use PointStatus::*;
            let all = [Ok, FirstFrame, LastFrame, PastEnd, Concealed, Failed];
            let tally = Tally::of(&spec(Points::None, None), picks.iter().map(|pick| all[*pick]), sheets);
            let Counts { asked, delivered, past_end, failed } = tally.points;
            prop_assert_eq!(asked as usize, picks.len());
            prop_assert_eq!(asked, delivered + past_end + failed);
            prop_assert_eq!(failed as usize, picks.iter().filter(|pick| **pick == 5).count());
        }
    }
}
