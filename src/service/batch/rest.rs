//! What a job has, what it owes, and the batch that would deliver the rest. *Pure.*
//!
//! Owns the rule of the remainder: what was delivered stays, what is missing is again a batch. Never knows where
//! images are kept or when a job is tried again.
//!
//! ```text
//!   planned points:    0   1   2   3   4   5(past end)
//!   own pictures:      x   x       x   x                 kept pictures, one a point
//!   sheets of 2:      [  0  ] [  1  ] [ 2 ]              cells in asked order, without what is past the end
//!   delivered:         0 and 1 once sheet 0 is there; 3 only with sheet 1, which needs 2
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::model::delivery::PlannedJob;
use crate::model::job::{BatchJob, Failure};
use crate::model::snapshot::Shown;
use crate::model::spec::SnapshotSpec;

/// One job between its claim and its end, over as many walks as it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobProgress {
    pub spec: SnapshotSpec,
    /// Every point and the number of sheets; none until a walk told.
    pub planned: Option<PlannedJob>,
    /// What is true about each shown frame, by asked index.
    pub shown: BTreeMap<u32, Shown>,
    /// Bytes of each delivered picture, by asked index.
    pub pictures: BTreeMap<u32, u64>,
    /// Width, height and bytes of each delivered sheet, by number from 0.
    pub sheets: BTreeMap<u32, (u32, u32, u64)>,
    /// Points that have no picture and will have none, by asked index.
    pub failed: BTreeMap<u32, Failure>,
    /// Sheets that will not come although cells of theirs have pictures of their own (see `give_up`).
    pub sheets_given_up: BTreeSet<u32>,
}

impl JobProgress {
    /// A job that nothing is known about yet.
    pub fn new(spec: SnapshotSpec) -> JobProgress {
        JobProgress {
            spec,
            planned: None,
            shown: BTreeMap::new(),
            pictures: BTreeMap::new(),
            sheets: BTreeMap::new(),
            failed: BTreeMap::new(),
            sheets_given_up: BTreeSet::new(),
        }
    }

    /// Takes the plan of a walk. False when an earlier walk planned otherwise: the medium is not the same any more,
    /// and what was delivered does not go with what would come. Nothing changes then.
    #[must_use]
    pub fn take_plan(&mut self, plan: PlannedJob) -> bool {
        match &self.planned {
            Some(known) => *known == plan,
            None => {
                self.planned = Some(plan);
                true
            }
        }
    }

    /// Takes what is true about a point's frame. False, and nothing changes, when this job has no such open point.
    pub fn take_shown(&mut self, asked: u32, shown: Shown) -> bool {
        let taken = self.may_come(asked);
        // A frame that comes again for a sheet alone is told in its cell's size; the picture that is there keeps its own.
        if taken && !self.pictures.contains_key(&asked) {
            self.shown.insert(asked, shown);
        }
        taken
    }

    /// Takes a delivered picture. False, and nothing changes, when it is none of this job's.
    pub fn take_picture(&mut self, asked: u32, bytes: u64) -> bool {
        let taken = self.spec.keep_pictures && self.may_come(asked);
        if taken {
            self.pictures.insert(asked, bytes);
        }
        taken
    }

    /// Takes a delivered sheet. False, and nothing changes, when it is none of this job's.
    pub fn take_sheet(&mut self, number: u32, width: u32, height: u32, bytes: u64) -> bool {
        let sheets = self.planned.as_ref().map_or(0, |plan| plan.sheets);
        let taken = self.spec.sprite.is_some() && number < sheets && !self.sheets_given_up.contains(&number);
        if taken {
            self.sheets.insert(number, (width, height, bytes));
        }
        taken
    }

    /// Takes the failure of a point. False, and nothing changes, when the point is already decided or unknown.
    pub fn take_failure(&mut self, asked: u32, failure: Failure) -> bool {
        let taken = self.planned.is_some() && self.owes(asked);
        if taken {
            self.failed.insert(asked, failure);
        }
        taken
    }

    /// True when the plan is known and every point is past the end, failed or delivered.
    pub fn is_decided(&self) -> bool {
        self.planned.is_some() && self.missing_points().is_empty()
    }

    /// Asked indices that still have an image to come, in order. Empty while the plan is unknown.
    pub fn missing_points(&self) -> Vec<u32> {
        self.cells().filter(|cell| self.misses(cell)).map(|cell| cell.asked).collect()
    }

    /// True while this point may still bring an image. Before the plan is known every point may.
    pub fn owes(&self, asked: u32) -> bool {
        self.planned.is_none() || self.cells().any(|cell| cell.asked == asked && self.misses(&cell))
    }

    /// Asked indices that have every image that they were asked for, in order.
    pub fn delivered_points(&self) -> Vec<u32> {
        self.cells()
            .filter(|cell| !self.failed.contains_key(&cell.asked) && !self.misses(cell))
            .map(|cell| cell.asked)
            .collect()
    }

    /// The job's share of the next batch: all but what is there. A sheet that is missing brings all its cells along.
    pub fn remainder(&self) -> BatchJob {
        BatchJob {
            spec: self.spec.clone(),
            pictures_done: self.pictures.keys().copied().collect(),
            sheets_done: self.sheets.keys().chain(&self.sheets_given_up).copied().collect(),
            points_failed: self.failed.keys().copied().collect(),
        }
    }

    /// Asked, delivered, past the end, failed. Once decided, the first is the sum of the others.
    pub fn counts(&self) -> (u32, u32, u32, u32) {
        let Some(plan) = &self.planned else { return (0, 0, 0, 0) };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let past_end = plan.points.iter().filter(|point| point.past_end).count();
        (
            count(plan.points.len()),
            count(self.delivered_points().len()),
            count(past_end),
            count(self.failed.len()),
        )
    }

    /// Ends the wait: a missing point fails with the cause. A point whose own picture is there keeps it, and only
    /// the sheet that it was to be a cell of is given up. Decided afterwards, if the plan is known.
    pub fn give_up(&mut self, failure: &Failure) {
        let missing: Vec<_> = self.cells().filter(|cell| self.misses(cell)).collect();
        for cell in missing {
            if self.pictures.contains_key(&cell.asked) {
                self.sheets_given_up.extend(cell.sheet);
            } else {
                self.failed.insert(cell.asked, failure.clone());
            }
        }
    }

    /// Every planned point that is not past the end, with the sheet that it is a cell of.
    fn cells(&self) -> impl Iterator<Item = Cell> {
        let plan = self.planned.as_ref();
        let per_sheet = plan.map_or(1, |plan| plan.cells_per_sheet.max(1));
        let with_sheets = self.spec.sprite.is_some() && plan.is_some_and(|plan| plan.sheets > 0);
        plan.map_or(&[][..], |plan| plan.points.as_slice())
            .iter()
            .zip(0u32..)
            .filter(|(point, _)| !point.past_end)
            .zip(0u32..)
            .map(move |((_, asked), place)| Cell { asked, sheet: with_sheets.then_some(place / per_sheet) })
    }

    /// True when an image of this point is still to come.
    fn misses(&self, cell: &Cell) -> bool {
        if self.failed.contains_key(&cell.asked) {
            return false;
        }
        let picture = self.spec.keep_pictures && !self.pictures.contains_key(&cell.asked);
        let sheet = cell.sheet.is_some_and(|number| {
            !self.sheets.contains_key(&number) && !self.sheets_given_up.contains(&number)
        });
        // A spec without any image asks only what would be shown.
        let facts = !self.spec.keep_pictures && cell.sheet.is_none() && !self.shown.contains_key(&cell.asked);
        picture || sheet || facts
    }

    /// True when a picture of this point is no surprise.
    fn may_come(&self, asked: u32) -> bool {
        !self.failed.contains_key(&asked) && self.cells().any(|cell| cell.asked == asked)
    }
}

/// A point that is not past the end.
struct Cell {
    asked: u32,
    sheet: Option<u32>,
}

#[cfg(test)]
mod tests;
