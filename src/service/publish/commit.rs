//! The end of one job: from temp files to a durable result and its event.
//!
//! Owns the order: images under their names and synced, then one transaction of state, rows and outbox.
//! Never decides whether a job is tried again; who calls has decided that this is its end.

use crate::model::event::{Outcome, SnapshotComplete};
use crate::model::ids::ClaimToken;
use crate::model::job::{FailCode, Failure, Fallback, Stage};
use crate::model::naming::{Class, object_key};
use crate::model::snapshot::{PointStatus, Shown};
use crate::service::clock::Clock;
use crate::service::objects::{ObjectError, ObjectStore, TempObject};
use crate::service::result::Tally;
use crate::service::store::rows::{
    CallbackSettings, FinishedJob, Job, JobState, NewDelivery, PointRow, SheetRow, Video,
};
use crate::service::store::{Store, StoreError};

use super::payload::{self, EVENT_TYPE};
use super::user_data;

/// A job of which every point is decided.
#[derive(Clone, Debug)]
pub struct Decided {
    pub token: ClaimToken,
    pub job: Job,
    pub video: Video,
    /// In asked order.
    pub points: Vec<DecidedPoint>,
    /// Sheets that exist, in any order.
    pub sheets: Vec<DecidedSheet>,
    /// Why the whole job could not be done, if so; what was delivered before counts all the same.
    pub failure: Option<Failure>,
    /// Devices that gave up on it, in the order of time.
    pub fallbacks: Vec<Fallback>,
}

/// One point and what became of it.
#[derive(Clone, Debug)]
pub struct DecidedPoint {
    /// Asked order from 0.
    pub asked: u32,
    pub asked_ms: i64,
    pub past_end: bool,
    /// What its frame turned out to be.
    pub shown: Option<Shown>,
    pub failure: Option<Failure>,
    /// Its own image; none when only a cell is made.
    pub temp: Option<TempObject>,
}

/// One finished sheet.
#[derive(Clone, Debug)]
pub struct DecidedSheet {
    /// From 0.
    pub number: u32,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    pub temp: TempObject,
}

/// What a job came to, for the log and the metrics of who called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// False when the claim no longer held: nothing was committed and nothing of it is left.
    pub held: bool,
    pub ended_ms: i64,
    /// None for success.
    pub failure: Option<Failure>,
    /// Images on offer.
    pub pictures: u32,
    /// The sheets are among it.
    pub tally: Tally,
    /// True when an event went into the outbox: the notifier wants to be woken.
    pub event: bool,
}

/// Why a job could not be brought to its end; trying again later may help.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("failed to render the event of job {job}: {reason}")]
    Render { job: String, reason: String },
}

/// Publishes a job's images and commits its end; `event_id` names the event, should there be one.
///
/// # Errors
/// The disk's and the store's. Images may lie under their names by then; no row speaks of them, and the next
/// commit of this job replaces or removes them.
pub async fn finish(
    store: &Store,
    objects: &ObjectStore,
    clock: &Clock,
    base_url: &str,
    event_id: String,
    decided: Decided,
) -> Result<Finished, PublishError> {
    let (video, job) = (&decided.video.id, &decided.job.id);
    let mut end = tally(&decided, clock.now_ms());
    // Cancelled long ago: no image need take its name first. The guarded commit below decides what races this.
    if !runs(store, &decided.job).await? {
        objects.discard(video, job).await?;
        end.finished.held = false;
        return Ok(end.finished);
    }
    objects.publish(video, job, std::mem::take(&mut end.moves)).await?;
    let settings = store.callback_settings(decided.job.account).await?;
    let event = event(&decided, &end, settings.as_ref(), base_url, event_id)?;
    end.finished.event = event.is_some();
    let held = store
        .finish(FinishedJob {
            id: job.clone(),
            token: decided.token.clone(),
            ended_ms: end.finished.ended_ms,
            failure: end.finished.failure.clone(),
            points: end.points,
            sheets: end.sheets,
            pictures: end.finished.pictures,
            fallbacks: decided.fallbacks.clone(),
            event,
        })
        .await?;
    if !held {
        end.finished.held = false;
        end.finished.event = false;
        take_back(store, objects, &decided).await?;
    }
    Ok(end.finished)
}

async fn runs(store: &Store, job: &Job) -> Result<bool, PublishError> {
    let now = store.job(Some(job.account), &job.id).await?;
    Ok(now.is_some_and(|now| now.state == JobState::Running))
}

// Another claim of the same job uses the same names: what it has published, or is about to, is not ours to remove.
async fn take_back(store: &Store, objects: &ObjectStore, decided: &Decided) -> Result<(), PublishError> {
    let now = store.job(Some(decided.job.account), &decided.job.id).await?;
    let others = now.is_some_and(|now| matches!(now.state, JobState::Succeeded | JobState::Running));
    if !others {
        objects.withdraw(&decided.video.id, &decided.job.id).await?;
    }
    Ok(())
}

/// A job's end as rows and moves, before anything is done about it.
struct End {
    finished: Finished,
    points: Vec<PointRow>,
    sheets: Vec<SheetRow>,
    moves: Vec<(TempObject, String)>,
}

fn tally(decided: &Decided, ended_ms: i64) -> End {
    let mut moves = Vec::new();
    let mut points = Vec::with_capacity(decided.points.len());
    let mut pictures = 0;
    for point in &decided.points {
        let status = status_of(point, decided);
        let ordinal = point.temp.as_ref().map(|temp| {
            pictures += 1;
            let key = object_key(&decided.video.id, Class::Normal, &decided.job.id, pictures);
            moves.push((temp.clone(), key));
            pictures
        });
        points.push(PointRow {
            asked: point.asked,
            asked_ms: point.asked_ms,
            status,
            reason: (status == PointStatus::Failed).then(|| reason(point, decided)),
            shown: point.shown.clone().filter(|_| status.has_picture()),
            ordinal,
            bytes: point.temp.as_ref().map(|temp| temp.bytes),
        });
    }
    let sheets = sheet_rows(decided, &mut moves);
    let sheet_count = u32::try_from(sheets.len()).unwrap_or(u32::MAX);
    let finished = Finished {
        held: true,
        ended_ms,
        failure: (pictures == 0 && sheets.is_empty()).then(|| dominant(decided)),
        pictures,
        tally: Tally::of(&decided.job.spec, points.iter().map(|point| point.status), sheet_count),
        event: false,
    };
    End { finished, points, sheets, moves }
}

fn sheet_rows(decided: &Decided, moves: &mut Vec<(TempObject, String)>) -> Vec<SheetRow> {
    let mut sheets: Vec<&DecidedSheet> = decided.sheets.iter().collect();
    sheets.sort_by_key(|sheet| sheet.number);
    let numbered = (1..).zip(sheets);
    numbered
        .map(|(number, sheet)| {
            let key = object_key(&decided.video.id, Class::Sprite, &decided.job.id, number);
            moves.push((sheet.temp.clone(), key));
            SheetRow { number, width: sheet.width, height: sheet.height, bytes: sheet.temp.bytes }
        })
        .collect()
}

/// How a point ended. An image on offer has a picture, whatever happened to the sheet that it was also meant for.
/// A point without an image of its own is delivered by its cell, so some sheet has to be there.
pub fn status_of(point: &DecidedPoint, decided: &Decided) -> PointStatus {
    let in_a_sheet = !decided.job.spec.keep_pictures && point.failure.is_none() && !decided.sheets.is_empty();
    match &point.shown {
        Some(shown) if point.temp.is_some() || in_a_sheet => shown.status,
        _ if point.past_end => PointStatus::PastEnd,
        _ => PointStatus::Failed,
    }
}

fn why(point: &DecidedPoint, decided: &Decided) -> Failure {
    let known = point.failure.as_ref().or(decided.failure.as_ref());
    known.cloned().unwrap_or_else(|| {
        Failure::new(FailCode::Internal, Stage::Publish, format!("no image came for {} ms", point.asked_ms))
    })
}

// Callers see it. The text of a video that cannot be opened names its path, which is for the job's own row and the log.
fn reason(point: &DecidedPoint, decided: &Decided) -> String {
    let why = why(point, decided);
    match why.stage {
        Stage::Open => format!("{} ({})", why.code.name(), why.stage.name()),
        _ => why.to_string(),
    }
}

// Without any image: the job's own failure, else the one that most points share (the first of them asked), else
// there was nothing to take.
fn dominant(decided: &Decided) -> Failure {
    if let Some(failure) = &decided.failure {
        return failure.clone();
    }
    let failed = decided.points.iter().filter(|point| status_of(point, decided) == PointStatus::Failed);
    let failures: Vec<Failure> = failed.map(|point| why(point, decided)).collect();
    let share = |code: FailCode| failures.iter().filter(|failure| failure.code == code).count();
    // Of equals `max_by_key` takes the last: from behind that is the first.
    let most = failures.iter().rev().max_by_key(|failure| share(failure.code));
    most.map(|most| failures.iter().find(|failure| failure.code == most.code).unwrap_or(most).clone())
        .unwrap_or_else(|| {
            Failure::new(FailCode::PastEnd, Stage::Plan, "every instant lies at or past the end of the video")
        })
}

fn event(
    decided: &Decided,
    End { finished, points, .. }: &End,
    settings: Option<&CallbackSettings>,
    base_url: &str,
    event_id: String,
) -> Result<Option<NewDelivery>, PublishError> {
    let (job, video) = (decided.job.user_data.as_deref(), decided.video.user_data.as_deref());
    let Some(url) = user_data::callback_url(settings, job, video, EVENT_TYPE) else {
        return Ok(None);
    };
    let outcome = match &finished.failure {
        None => Outcome::Success { pictures: finished.pictures, sheets: finished.tally.sheets },
        Some(failure) => Outcome::Fail(failure.clone()),
    };
    let fact = SnapshotComplete {
        job: decided.job.id.clone(),
        video: decided.video.id.clone(),
        ended_ms: finished.ended_ms,
        extend: user_data::extend(job, video),
        outcome,
        points: finished.tally.points,
        sheets_asked: finished.tally.sheets_asked,
        fallbacks: decided.fallbacks.clone(),
    };
    let body = payload::render(&fact, points, base_url)
        .map_err(|error| PublishError::Render { job: fact.job.0.clone(), reason: error.to_string() })?;
    Ok(Some(NewDelivery {
        event_id,
        account: decided.job.account,
        job: Some(fact.job),
        event_type: EVENT_TYPE.to_owned(),
        url,
        body,
        created_ms: finished.ended_ms,
    }))
}

#[cfg(test)]
mod tests;
