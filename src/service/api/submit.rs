//! SubmitSnapshotJob: a job is durable before it is answered (API contract, 2).
//!
//! Owns the step from a spec to a row, and letting a submission in with it. Never answers before the commit.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::model::ids::JobId;
use crate::service::store::rows::NewJob;
use crate::service::telemetry::metrics;

use super::auth::Entry;
use super::error::{ApiError, Fixed};
use super::rpc::{Answer, Call, fields, new_id};
use super::{spec, videos};

/// Queues a job, in the commit that lets its request in.
pub async fn submit_snapshot_job(call: &Call<'_>, entry: &Entry<'_>) -> Answer {
    let job = match read(call).await {
        Ok(job) => job,
        Err(error) => {
            // Only whoever is let in learns what is wrong with his parameters.
            entry.admit(call.context).await?;
            return Err(error);
        }
    };
    let id = job.id.clone();
    entry.admit_with_job(call.context, job).await?;
    call.context.submitted.notify_one();
    metrics::job_submitted();
    Ok(fields(json!({ "SnapshotJob": { "JobId": id.0 } })))
}

/// The job that a call asks for; nothing is stored.
async fn read(call: &Call<'_>) -> Result<NewJob, ApiError> {
    if call.context.disk.load(Ordering::Relaxed) {
        return Err(ApiError::fixed(Fixed::Unavailable, "the disk is too full for new jobs"));
    }
    let reference = videos::reference(call)?;
    if call.params.get("SnapshotTemplateId").is_some() {
        return Err(ApiError::fixed(Fixed::OperationNotSupported, "snapshot templates are not served"));
    }
    let spec = spec::parse(call.params, &call.settings.capture)?;
    let video = videos::find(call, &reference).await?;
    videos::check_status(&video)?;
    Ok(NewJob {
        id: JobId(new_id()),
        account: call.account,
        video: video.id,
        spec,
        user_data: call.params.get("UserData").map(str::to_owned),
        request_id: call.request_id.to_owned(),
        created_ms: call.context.clock.now_ms(),
    })
}
