//! The fence around durable state: every row, every transition.
//!
//! Owns the queue's state machine; no SQL exists outside this folder. Never makes an id, a token or a time:
//! they come in as arguments. A method returns after its transaction is durable.
//!
//! ```text
//!             submit                claim                 finish (all points decided)
//!   (nothing) ------> queued ------------------> running ------------------------> succeeded | failed
//!                       ^  \                      |   \
//!                       |   \ cancel              |    \ cancel
//!                       |    `----> cancelled <---|-----'
//!                       |                         |
//!                       `------ release ----------'     release: back at no cost, or with an attempt charged
//!                               new incarnation         requeue: failed | cancelled -> queued, attempts 0
//! ```
//!
//! Every change of a running job is guarded by its claim token; a change that finds no row says so and
//! changes nothing. A claim is void once its incarnation is not the running one.

pub mod rows;
mod sqlite;

use std::collections::HashMap;
use std::path::Path;

use crate::model::ids::{AccountId, ClaimToken, Incarnation, JobId, VideoId};
use crate::model::job::Failure;
use crate::model::snapshot::PointStatus;
use rows::*;

/// Durable state, whatever keeps it.
#[derive(Clone, Debug)]
pub enum Store {
    Sqlite(sqlite::Sqlite),
}

/// How far ahead of its clock a job may be put off, ms. A job that is due later than that is due now: the clock
/// was set back after it was put off.
pub const RELEASE_AHEAD_MS_MAX: i64 = 60_000;

/// Why the store could not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another value holds a name that must be unique.
    #[error("{what} is taken")]
    Taken { what: String },
    /// Busy, full, read-only or gone; trying again later may help.
    #[error("failed to {doing}: {reason}")]
    Unavailable { doing: &'static str, reason: String },
    /// The file on disk is not one that this release can use.
    #[error("{0}")]
    Unusable(String),
}

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Opens the SQLite file at `path`, made when missing (mode 0600) and brought up to this release's schema.
    ///
    /// # Errors
    /// `Unusable` when it is not our file, was made by a newer release, or the file system cannot keep a promise
    /// of durability; nothing in it is changed then.
    pub async fn open(path: &Path) -> Result<Store> {
        Ok(Store::Sqlite(sqlite::Sqlite::open(path).await?))
    }
    /// Finishes what waits and closes the file. Every later call is `Unavailable`.
    pub async fn close(&self) {
        match self {
            Store::Sqlite(store) => store.close().await,
        }
    }

    // ---- keys ----
    pub async fn add_key(&self, key: &AccessKey) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.add_key(key).await,
        }
    }
    pub async fn key(&self, id: &str) -> Result<Option<AccessKey>> {
        match self {
            Store::Sqlite(store) => store.key(id).await,
        }
    }
    pub async fn keys(&self) -> Result<Vec<AccessKey>> {
        match self {
            Store::Sqlite(store) => store.keys().await,
        }
    }
    /// False when there is no such key.
    pub async fn set_key_enabled(&self, id: &str, enabled: bool) -> Result<bool> {
        match self {
            Store::Sqlite(store) => store.set_key_enabled(id, enabled).await,
        }
    }
    pub async fn admit(&self, admission: Admission) -> Result<Admitted> {
        match self {
            Store::Sqlite(store) => store.admit(admission).await,
        }
    }
    /// One transaction: the admission and, if it is `Yes`, the job.
    pub async fn admit_with_job(&self, admission: Admission, job: NewJob) -> Result<Admitted> {
        match self {
            Store::Sqlite(store) => store.admit_with_job(admission, job).await,
        }
    }

    // ---- videos ----
    /// Returns the id and whether it is new: the same file of the same account keeps its id.
    pub async fn register_video(&self, video: Video) -> Result<(VideoId, bool)> {
        match self {
            Store::Sqlite(store) => store.register_video(video).await,
        }
    }
    pub async fn video(&self, account: AccountId, video: &VideoRef) -> Result<Option<Video>> {
        match self {
            Store::Sqlite(store) => store.video(account, video).await,
        }
    }
    /// What a walk found out: D, and the file's size.
    pub async fn set_video_facts(
        &self,
        id: &VideoId,
        duration_ms: Option<i64>,
        size: i64,
        now_ms: i64,
    ) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.set_video_facts(id, duration_ms, size, now_ms).await,
        }
    }

    // ---- jobs ----
    pub async fn submit(&self, job: NewJob) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.submit(job).await,
        }
    }
    /// Of this account only when one is given.
    pub async fn job(&self, account: Option<AccountId>, id: &JobId) -> Result<Option<Job>> {
        match self {
            Store::Sqlite(store) => store.job(account, id).await,
        }
    }
    pub async fn points(&self, id: &JobId) -> Result<Vec<PointRow>> {
        match self {
            Store::Sqlite(store) => store.points(id).await,
        }
    }
    /// How many points of each of these jobs ended how; a job without points is not among them.
    pub async fn statuses(&self, ids: &[JobId]) -> Result<HashMap<JobId, Vec<(PointStatus, u32)>>> {
        match self {
            Store::Sqlite(store) => store.statuses(ids).await,
        }
    }
    pub async fn sheets(&self, id: &JobId) -> Result<Vec<SheetRow>> {
        match self {
            Store::Sqlite(store) => store.sheets(id).await,
        }
    }
    /// Newest first.
    pub async fn jobs(&self, state: Option<JobState>, limit: u32) -> Result<Vec<Job>> {
        match self {
            Store::Sqlite(store) => store.jobs(state, limit).await,
        }
    }
    /// The latest submitted successful job of a video that has images of this kind.
    pub async fn latest_job(&self, video: &VideoId, kind: SnapshotKind) -> Result<Option<Job>> {
        match self {
            Store::Sqlite(store) => store.latest_job(video, kind).await,
        }
    }
    /// True when it was queued or running.
    pub async fn cancel(&self, id: &JobId, now_ms: i64) -> Result<bool> {
        match self {
            Store::Sqlite(store) => store.cancel(id, now_ms).await,
        }
    }
    /// True when it had failed or was cancelled; attempts start anew.
    pub async fn requeue(&self, id: &JobId, now_ms: i64) -> Result<bool> {
        match self {
            Store::Sqlite(store) => store.requeue(id, now_ms).await,
        }
    }

    // ---- the queue ----
    /// Makes this incarnation the running one; claims of every other are void and their jobs queued again
    /// at no cost. Returns how many jobs came back.
    pub async fn start_incarnation(&self, incarnation: &Incarnation, now_ms: i64) -> Result<u64> {
        match self {
            Store::Sqlite(store) => store.start_incarnation(incarnation, now_ms).await,
        }
    }
    pub async fn beat(&self, incarnation: &Incarnation, now_ms: i64) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.beat(incarnation, now_ms).await,
        }
    }
    /// One head an account, leaving out the videos in `busy`. Cheap whatever the queue's length.
    pub async fn due_heads(&self, now_ms: i64, busy: &[VideoId]) -> Result<Vec<DueHead>> {
        match self {
            Store::Sqlite(store) => store.due_heads(now_ms, busy).await,
        }
    }
    /// Claims everything due of one video, at most `JOBS_PER_BATCH_MAX` jobs, oldest first. When the oldest
    /// due job is on its last attempt it is claimed alone; others on their last attempt are left for later.
    pub async fn claim(
        &self,
        account: AccountId,
        video: &VideoId,
        token: &ClaimToken,
        incarnation: &Incarnation,
        now_ms: i64,
    ) -> Result<Option<Claim>> {
        match self {
            Store::Sqlite(store) => store.claim(account, video, token, incarnation, now_ms).await,
        }
    }
    /// Puts running jobs of this claim back into the queue; `charge` costs each an attempt; they are due
    /// again at `due_ms`, at most `RELEASE_AHEAD_MS_MAX` ahead.
    /// Returns those that were still ours, with their attempts.
    pub async fn release(
        &self,
        token: &ClaimToken,
        jobs: &[JobId],
        charge: bool,
        due_ms: i64,
    ) -> Result<Vec<(JobId, u32)>> {
        match self {
            Store::Sqlite(store) => store.release(token, jobs, charge, due_ms).await,
        }
    }
    /// Which jobs of this claim were cancelled meanwhile.
    pub async fn cancelled(&self, token: &ClaimToken, jobs: &[JobId]) -> Result<Vec<JobId>> {
        match self {
            Store::Sqlite(store) => store.cancelled(token, jobs).await,
        }
    }
    /// One transaction: state, points, sheets, outbox row. False when the claim no longer held: nothing changed.
    pub async fn finish(&self, job: FinishedJob) -> Result<bool> {
        match self {
            Store::Sqlite(store) => store.finish(job).await,
        }
    }

    // ---- callbacks ----
    pub async fn callback_settings(&self, account: AccountId) -> Result<Option<CallbackSettings>> {
        match self {
            Store::Sqlite(store) => store.callback_settings(account).await,
        }
    }
    pub async fn set_callback_settings(&self, account: AccountId, settings: &CallbackSettings) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.set_callback_settings(account, settings).await,
        }
    }
    /// False when there were none.
    pub async fn delete_callback_settings(&self, account: AccountId) -> Result<bool> {
        match self {
            Store::Sqlite(store) => store.delete_callback_settings(account).await,
        }
    }
    /// Pending rows whose time has come, oldest first.
    pub async fn due_deliveries(&self, now_ms: i64, limit: u32) -> Result<Vec<DeliveryRow>> {
        match self {
            Store::Sqlite(store) => store.due_deliveries(now_ms, limit).await,
        }
    }
    /// When the next pending row is due.
    pub async fn next_delivery_ms(&self) -> Result<Option<i64>> {
        match self {
            Store::Sqlite(store) => store.next_delivery_ms().await,
        }
    }
    pub async fn delivery_done(&self, event_id: &str, now_ms: i64) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.delivery_done(event_id, now_ms).await,
        }
    }
    /// Counts the attempt; without a `next_ms` the row is dead.
    pub async fn delivery_failed(&self, event_id: &str, error: &str, next_ms: Option<i64>) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.delivery_failed(event_id, error, next_ms).await,
        }
    }
    /// Puts pending rows off, at no cost: (event id, new due time) each.
    pub async fn postpone_deliveries(&self, rows: &[(String, i64)]) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.postpone_deliveries(rows).await,
        }
    }
    pub async fn deliveries(&self, state: Option<DeliveryState>, limit: u32) -> Result<Vec<DeliveryRow>> {
        match self {
            Store::Sqlite(store) => store.deliveries(state, limit).await,
        }
    }
    pub async fn delivery(&self, event_id: &str) -> Result<Option<DeliveryRow>> {
        match self {
            Store::Sqlite(store) => store.delivery(event_id).await,
        }
    }
    /// Pending again, due now, attempts from 0. False when there is no such row.
    pub async fn redeliver(&self, event_id: &str, now_ms: i64) -> Result<bool> {
        match self {
            Store::Sqlite(store) => store.redeliver(event_id, now_ms).await,
        }
    }

    // ---- numbers and health ----
    pub async fn counts(&self) -> Result<Counts> {
        match self {
            Store::Sqlite(store) => store.counts().await,
        }
    }
    /// A real write through the writer: for readiness and the watchdog.
    pub async fn check(&self, now_ms: i64) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.check(now_ms).await,
        }
    }
    /// Running or queued jobs, for the sweep of temp files: which of these ids still wait for an end.
    pub async fn unfinished(&self, ids: &[JobId]) -> Result<Vec<JobId>> {
        match self {
            Store::Sqlite(store) => store.unfinished(ids).await,
        }
    }
    /// Forgets nonces that expired.
    pub async fn prune(&self, now_ms: i64) -> Result<()> {
        match self {
            Store::Sqlite(store) => store.prune(now_ms).await,
        }
    }
}

/// A failure as two words and a text, the way rows keep it.
pub fn failure_words(failure: &Failure) -> (&'static str, &'static str, &str) {
    (failure.code.name(), failure.stage.name(), &failure.text)
}
