//! One batch from open file to encoded images.

use crate::model::delivery::Deliver;
use crate::model::job::{Ended, FailCode, Failure, Grant, Source, Stage, Stats, VideoBatch};

/// Walks the video once for every job of the batch.
pub fn run(_batch: &VideoBatch, _source: Source, _grant: Grant, _out: &dyn Deliver) -> (Ended, Stats) {
    (
        Ended::Failed(Failure::new(FailCode::Internal, Stage::Open, "no engine in this build")),
        Stats::default(),
    )
}
