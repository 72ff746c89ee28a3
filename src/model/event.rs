//! Facts that leave by callback. *Pure.*
//!
//! Owns what a SnapshotComplete event is made from (API contract, 4.1).
//! Never renders it: `service/publish/payload` does, once.

use super::ids::{JobId, VideoId};
use super::job::{Failure, Fallback};
use super::snapshot::Counts;

/// All that the event body of one finished job is rendered from, beside the rows of its points.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotComplete {
    pub job: JobId,
    pub video: VideoId,
    /// Unix time of the end, ms.
    pub ended_ms: i64,
    /// The text of `UserData.Extend`, if any.
    pub extend: Option<String>,
    pub outcome: Outcome,
    pub points: Counts,
    /// Sprite sheets that its cells would have filled.
    pub sheets_asked: u32,
    /// Devices that gave up on it.
    pub fallbacks: Vec<Fallback>,
}

/// How the job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// At least one picture.
    Success {
        /// Single pictures on offer; 0 when the cells were not kept.
        pictures: u32,
        /// Sprite sheets on offer.
        sheets: u32,
    },
    Fail(Failure),
}
