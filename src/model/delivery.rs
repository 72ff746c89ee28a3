//! What a walk says while it runs: the words on the bridge. *Pure.*
//!
//! Owns the messages from engine to receiver and the trait that carries them.
//! Never knows how they travel: `worker/protocol` gives them bytes, `grab` takes them in place.

use super::job::{Failure, Stats};
use super::media::MediaFacts;
use super::snapshot::{EncodedImage, PointKey, Shown};

/// One thing that a walk tells its receiver.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// First of all, once: the medium and every point of every job, so that each gets a row.
    Planned(Planned),
    /// A run is about to be decoded; a crash from here on is its points' affair.
    RunBegins { points: Vec<PointKey>, stats: Stats },
    /// Every point of a run that began is decided; it is no longer under way.
    RunEnds { points: Vec<PointKey> },
    /// A point's frame was decoded and is being made into its images.
    Shown { point: PointKey, shown: Shown },
    /// A finished image.
    Image(EncodedImage),
    /// A point has no picture and will have none.
    PointFailed { point: PointKey, failure: Failure },
    /// A line for the log.
    Note { warning: bool, text: String },
}

/// The medium, and what the jobs of the batch come to on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub media: MediaFacts,
    /// One entry a job, in the batch's order.
    pub jobs: Vec<PlannedJob>,
}

/// One job on this medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedJob {
    /// Every point in asked order.
    pub points: Vec<PlannedPoint>,
    /// Sprite sheets that will come; 0 without sprites or pictures.
    pub sheets: u32,
    /// Cells of one full sheet: asked points that are not past the end fill the sheets in order.
    pub cells_per_sheet: u32,
}

/// One instant on this medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedPoint {
    pub asked_ms: i64,
    /// At or past the end: no picture will come.
    pub past_end: bool,
}

/// The receiver is gone; the walk has nobody to work for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Takes what a walk delivers. Called from several threads at once; a slow receiver blocks the caller.
pub trait Deliver: Sync {
    /// Hands one message over.
    ///
    /// # Errors
    /// `Gone` when nobody listens any more; the walk ends then.
    fn deliver(&self, message: Message) -> Result<(), Gone>;

    /// True once the walk is asked to stop after the runs in hand.
    fn stop_asked(&self) -> bool {
        false
    }
}
