//! What the store keeps, as plain data.
//!
//! Owns the shape of the rows as the daemon sees them. Never knows SQL.

use secrecy::SecretString;

use crate::model::ids::{AccountId, ClaimToken, JobId, VideoId};
use crate::model::job::{Failure, Fallback};
use crate::model::snapshot::{PointStatus, Shown};
use crate::model::spec::SnapshotSpec;

/// An access key and its owner.
#[derive(Clone, Debug)]
pub struct AccessKey {
    pub id: String,
    pub secret: SecretString,
    pub account: AccountId,
    pub enabled: bool,
    pub created_ms: i64,
}

/// One authenticated request that wants in: its nonce, and its place in the rate window.
#[derive(Clone, Debug)]
pub struct Admission {
    pub key_id: String,
    pub account: AccountId,
    pub nonce: String,
    /// When the nonce may be forgotten (Unix ms).
    pub nonce_expires_ms: i64,
    pub now_ms: i64,
    /// The action and the most requests in any sliding second; none is no limit.
    pub limit: Option<(&'static str, u32)>,
}

/// What became of an `Admission`. The nonce is durable in both first cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    Yes,
    Throttled { retry_after_ms: u64 },
    NonceUsed,
}

/// API video states that a daemon without transcoding needs (API contract, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoStatus {
    Uploading,
    UploadSucc,
    Normal,
    Blocked,
}

/// A registered video.
#[derive(Clone, Debug)]
pub struct Video {
    pub id: VideoId,
    pub account: AccountId,
    pub reference_id: Option<String>,
    pub title: String,
    pub description: Option<String>,
    pub tags: Option<String>,
    pub cate_id: Option<i64>,
    pub cover_url: Option<String>,
    pub template_group_id: Option<String>,
    /// `file:///...` as registered; unique per account.
    pub file_url: String,
    /// Absolute path behind it.
    pub path: String,
    pub size: i64,
    /// D in ms; none until a walk told it.
    pub duration_ms: Option<i64>,
    pub status: VideoStatus,
    /// The `UserData` given at registration.
    pub user_data: Option<String>,
    pub created_ms: i64,
    pub modified_ms: i64,
}

impl Video {
    /// A video that may be worked on and of which nothing is known but its file.
    pub fn new(
        id: VideoId,
        account: AccountId,
        file_url: String,
        path: String,
        size: i64,
        now_ms: i64,
    ) -> Video {
        Video {
            id,
            account,
            reference_id: None,
            title: String::new(),
            description: None,
            tags: None,
            cate_id: None,
            cover_url: None,
            template_group_id: None,
            file_url,
            path,
            size,
            duration_ms: None,
            status: VideoStatus::Normal,
            user_data: None,
            created_ms: now_ms,
            modified_ms: now_ms,
        }
    }
}

/// How a video is named in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoRef {
    Id(VideoId),
    Reference(String),
}

/// Job states inside (API words are made in `api`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [JobState; 5] =
        [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];

    /// The word in rows, `jobs list` and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

/// An accepted submission, before it has a place in the queue.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub id: JobId,
    pub account: AccountId,
    pub video: VideoId,
    pub spec: SnapshotSpec,
    /// As sent; read again for `Extend` and the callback override when the event is made.
    pub user_data: Option<String>,
    /// RequestId of the submission, for the log line of the job's end.
    pub request_id: String,
    pub created_ms: i64,
}

/// A job as it stands.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub account: AccountId,
    pub video: VideoId,
    pub spec: SnapshotSpec,
    pub user_data: Option<String>,
    pub request_id: String,
    pub state: JobState,
    /// Attempts used up.
    pub attempts: u32,
    pub created_ms: i64,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub failure: Option<Failure>,
    /// Pictures and sheets on offer once ended.
    pub pictures: u32,
    pub sheets: u32,
    /// Devices that gave up on it, in the order of time; known once ended.
    pub fallbacks: Vec<Fallback>,
}

/// One point of an ended job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointRow {
    /// Asked order from 0.
    pub asked: u32,
    pub asked_ms: i64,
    pub status: PointStatus,
    /// Why there is no picture.
    pub reason: Option<String>,
    pub shown: Option<Shown>,
    /// Place among the pictures on offer, from 1; none without an image of its own.
    pub ordinal: Option<u32>,
    /// Bytes of that image.
    pub bytes: Option<u64>,
}

/// One sheet of an ended job, numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SheetRow {
    pub number: u32,
    pub width: u32,
    pub height: u32,
    pub bytes: u64,
}

/// The oldest due video of one account that no batch is running for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueHead {
    pub account: AccountId,
    pub video: VideoId,
    /// Order of submission of its oldest due job.
    pub seq: i64,
    /// Videos of all accounts that are due now.
    pub due_videos: u64,
}

/// A claim: jobs of one video of one account, oldest first. A job on its last attempt comes alone.
#[derive(Clone, Debug)]
pub struct Claim {
    pub token: ClaimToken,
    pub account: AccountId,
    pub video: Video,
    pub jobs: Vec<Job>,
}

/// A job's end: all of it goes into one transaction.
#[derive(Clone, Debug)]
pub struct FinishedJob {
    pub id: JobId,
    pub token: ClaimToken,
    pub ended_ms: i64,
    /// None for success.
    pub failure: Option<Failure>,
    pub points: Vec<PointRow>,
    pub sheets: Vec<SheetRow>,
    pub pictures: u32,
    pub fallbacks: Vec<Fallback>,
    pub event: Option<NewDelivery>,
}

/// An event body on its way into the outbox. It is never rendered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    pub event_id: String,
    pub account: AccountId,
    pub job: Option<JobId>,
    pub event_type: String,
    pub url: String,
    pub body: String,
    pub created_ms: i64,
}

/// States of an outbox row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    Pending,
    Delivered,
    Dead,
}

/// An outbox row.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    pub event_id: String,
    pub account: AccountId,
    pub job: Option<JobId>,
    pub event_type: String,
    pub url: String,
    pub body: String,
    pub created_ms: i64,
    pub state: DeliveryState,
    pub attempts: u32,
    pub next_ms: i64,
    pub last_error: Option<String>,
}

/// Account-wide callback settings (API contract, 3.11).
#[derive(Clone, Debug)]
pub struct CallbackSettings {
    pub app_id: String,
    pub callback_url: String,
    /// As set: a comma list, `ALL`, or empty for none.
    pub event_types: String,
    pub auth_switch: bool,
    pub auth_key: Option<SecretString>,
}

/// Which images ListSnapshots asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    Normal,
    Sprite,
}

/// Numbers for gauges; kept cheap whatever the number of rows.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub queued: u64,
    pub running: u64,
    pub oldest_queued_ms: Option<i64>,
    pub callbacks_pending: u64,
    pub callbacks_dead: u64,
    pub oldest_pending_callback_ms: Option<i64>,
    pub nonces: u64,
}
