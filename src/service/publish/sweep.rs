//! Clearing up after a daemon that is gone.
//!
//! Owns the removal of temp files at start, before the first claim. Never touches a published image: a job that
//! was cut off between its renames and its commit is queued again and publishes over them.

use crate::service::objects::{ObjectError, ObjectStore};

/// Removes every temp file; how many jobs had some. What a walk delivered is known to its own daemon only, so
/// the jobs among them that still wait for an end are done anew.
///
/// # Errors
/// Whatever the disk says; the rest is left for the next start.
pub async fn sweep(objects: &ObjectStore) -> Result<u64, ObjectError> {
    let mut jobs = 0;
    for (video, job) in objects.temps().await? {
        objects.discard(&video, &job).await?;
        jobs += 1;
    }
    Ok(jobs)
}
