//! GetJobDetail: how a job stands, and what is true about each of its pictures (API contract, 3.3).
//!
//! Owns the words of a job's state in the API. Never changes a job.

use crate::model::ids::JobId;

use super::error::ApiError;
use super::job_json;
use super::rpc::{Answer, Call};
use crate::service::store::rows::JobState;

/// Tells about one job of this account.
pub async fn get_job_detail(call: &Call<'_>) -> Answer {
    let id = JobId::from(call.mandatory("JobId")?);
    let kind = call.mandatory("JobType")?.to_ascii_lowercase();
    match kind.as_str() {
        "snapshot" => {}
        // Nothing but snapshots is made here, so no such job exists.
        "transcode" | "ai" | "workflow" => return Err(ApiError::no_such_resource("JobId")),
        _ => return Err(ApiError::invalid_parameter("JobType", "no such type")),
    }
    let job = call.context.store.job(Some(call.account), &id).await?;
    let job = job.ok_or_else(|| ApiError::no_such_resource("JobId"))?;
    let points = match job.state {
        JobState::Queued | JobState::Running => Vec::new(),
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => {
            call.context.store.points(&id).await?
        }
    };
    Ok(job_json::detail(&job, &points))
}
