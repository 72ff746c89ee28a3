//! Turns a panic into a failure.
//!
//! Owns the unwind barrier of the engine: a bug costs the point that meets it. Never logs and never retries.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::job::{FailCode, Failure, Stage};

/// Runs `work`; what it leaves half done when it panics must not be used again.
///
/// # Errors
/// `Internal` at `stage` with the text of the panic.
pub fn guarded<T>(stage: Stage, work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        let text = format!("the engine panicked: {}", text.unwrap_or_default());
        Failure::new(FailCode::Internal, stage, text)
    })
}
