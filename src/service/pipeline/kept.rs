//! What one job already has: its progress, and the temp files behind it.
//!
//! Owns the way from a walk's messages to a decided job, and the memory of jobs that went back into the queue.
//! Never outlives the daemon: at a start temp files are swept and jobs begin anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::delivery::PlannedPoint;
use crate::model::ids::{ClaimToken, JobId, VideoId};
use crate::model::job::{Failure, Fallback};
use crate::model::snapshot::ImageKind;
use crate::model::spec::Points;
use crate::service::batch::rest::JobProgress;
use crate::service::objects::{FileIdentity, TempObject};
use crate::service::publish::commit::{Decided, DecidedPoint, DecidedSheet};
use crate::service::store::rows::{Job, Video};

/// Most jobs whose progress is remembered while they are queued; beyond it a job begins anew.
const PARTIALS_MAX: usize = 4096;

/// Progress with the files that back it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub progress: JobProgress,
    pictures: BTreeMap<u32, TempObject>,
    sheets: BTreeMap<u32, TempObject>,
    /// Devices that gave up on it, in the order of time.
    pub fallbacks: Vec<Fallback>,
    /// One device that did not do it is enough: no other is asked.
    pub device_gave_up: bool,
    /// The file that all of it was taken from.
    pub identity: Option<FileIdentity>,
}

impl Kept {
    /// Nothing yet.
    pub fn new(job: &Job) -> Kept {
        Kept {
            progress: JobProgress::new(job.spec.clone()),
            pictures: BTreeMap::new(),
            sheets: BTreeMap::new(),
            fallbacks: Vec::new(),
            device_gave_up: false,
            identity: None,
        }
    }

    /// Takes a synced image of `size` pixels; one that this job did not ask for is left to the next `discard`.
    pub fn take_image(&mut self, kind: ImageKind, (width, height): (u32, u32), temp: TempObject) -> bool {
        match kind {
            ImageKind::Picture { asked } => {
                let taken = self.progress.take_picture(asked, temp.bytes);
                if taken {
                    self.pictures.insert(asked, temp);
                }
                taken
            }
            ImageKind::Sheet { number } => {
                let taken = self.progress.take_sheet(number, width, height, temp.bytes);
                if taken {
                    self.sheets.insert(number, temp);
                }
                taken
            }
        }
    }

    /// The job as the commit wants it; with a `failure` everything that is missing fails for it.
    pub fn decided(&self, token: &ClaimToken, job: &Job, video: &Video, failure: Option<Failure>) -> Decided {
        let mut progress = self.progress.clone();
        if let Some(failure) = &failure {
            progress.give_up(failure);
        }
        let planned = match &progress.planned {
            Some(plan) => plan.points.clone(),
            None => points_without_a_plan(&job.spec.points),
        };
        let points = (0..).zip(planned).map(|(asked, point)| DecidedPoint {
            asked,
            asked_ms: point.asked_ms,
            past_end: point.past_end,
            shown: progress.shown.get(&asked).cloned(),
            failure: progress.failed.get(&asked).cloned(),
            temp: self.pictures.get(&asked).cloned(),
        });
        let sheets = progress.sheets.iter().filter_map(|(&number, &(width, height, _))| {
            let temp = self.sheets.get(&number)?.clone();
            Some(DecidedSheet { number, width, height, temp })
        });
        Decided {
            token: token.clone(),
            job: job.clone(),
            video: video.clone(),
            points: points.collect(),
            sheets: sheets.collect(),
            failure,
            fallbacks: self.fallbacks.clone(),
        }
    }
}

// The medium was never read: only instants that do not depend on it can be told.
fn points_without_a_plan(points: &Points) -> Vec<PlannedPoint> {
    let point = |asked_ms| PlannedPoint { asked_ms, past_end: false };
    match points {
        Points::List(list) => list.iter().copied().map(point).collect(),
        Points::Every { offset_ms, count, interval_ms } => {
            let at = |k| offset_ms.saturating_add(interval_ms.saturating_mul(i64::from(k)));
            (0..*count).map(|k| point(at(k))).collect()
        }
        Points::Even { .. } | Points::ToEnd { .. } | Points::None => Vec::new(),
    }
}

/// What jobs in the queue already have.
#[derive(Debug, Default)]
pub struct Partials {
    kept: Mutex<HashMap<JobId, (VideoId, Kept)>>,
}

impl Partials {
    /// Takes out what a job has; of another file than `identity` it is worth nothing.
    pub fn take(&self, job: &JobId, identity: Option<FileIdentity>) -> Option<Kept> {
        let (_, kept) = self.lock().remove(job)?;
        (identity.is_none() || kept.identity == identity).then_some(kept)
    }

    /// Puts down what a job has, if that is anything.
    pub fn put(&self, video: &VideoId, job: &JobId, kept: Kept) {
        let mut all = self.lock();
        let worth = kept.progress.planned.is_some() || kept.device_gave_up;
        if worth && all.len() < PARTIALS_MAX {
            all.insert(job.clone(), (video.clone(), kept));
        }
    }

    /// Forgets a job; true when something was known.
    pub fn forget(&self, job: &JobId) -> bool {
        self.lock().remove(job).is_some()
    }

    /// Every job that is remembered, with its video.
    pub fn jobs(&self) -> Vec<(VideoId, JobId)> {
        self.lock().iter().map(|(job, (video, _))| (video.clone(), job.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, (VideoId, Kept)>> {
        // Nobody computes while holding it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
