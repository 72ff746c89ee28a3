//! What the log and the metrics hear of jobs and batches.
//!
//! Owns the one log line of a job's end and the one of a walk's. Never changes anything.

use std::time::Duration;

use crate::model::device::Refusal;
use crate::model::job::{Ended, Stats};
use crate::model::media::Backend;
use crate::model::snapshot::PointStatus;
use crate::service::batch::retry;
use crate::service::publish::commit::{self, Decided, Finished};
use crate::service::store::rows::{Job, Video};
use crate::service::telemetry::metrics::{self, JobEnd};

/// What is told of a job that is about to be committed.
#[derive(Clone, Debug)]
pub struct Told {
    statuses: Vec<PointStatus>,
    backends: String,
    fallbacks: String,
}

impl Told {
    /// Looks at a job before its end takes it.
    pub fn of(decided: &Decided) -> Told {
        let statuses = decided.points.iter().map(|point| commit::status_of(point, decided)).collect();
        Told { statuses, backends: backends(decided), fallbacks: fallbacks(decided) }
    }
}

/// The walk that a job ended in.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    pub claimed_ms: i64,
    /// As last heard: a job may end long before its walk.
    pub stats: Stats,
}

/// A job was finished, or turned out to be nobody's any more.
pub fn job_ended(job: &Job, finished: &Finished, told: &Told, walk: Walk, publish: Duration) {
    let points = &told.statuses;
    if !finished.held {
        metrics::claim_lost();
        tracing::info!(job_id = %job.id, video_id = %job.video, "the end of a job was thrown away: not ours any more");
        return;
    }
    let attempt = job.attempts + 1;
    let reason = finished.failure.as_ref().map(|failure| failure.code);
    let tally = finished.tally;
    let result = tally.result(finished.failure.is_some());
    metrics::job_ended(&JobEnd {
        result,
        reason,
        quarantined: reason.is_some_and(|code| code.may_pass_later()) && retry::is_exhausted(attempt),
        ended_ms: finished.ended_ms,
        duration_ms: finished.ended_ms - walk.claimed_ms,
        end_to_end_ms: finished.ended_ms - job.created_ms,
        publish,
    });
    points.iter().copied().for_each(metrics::point_ended);
    if points.is_empty() {
        // It ended before anyone knew its points, which are lost all the same.
        (0..tally.points.failed).for_each(|_| metrics::point_ended(PointStatus::Failed));
    }
    let stages = walk.stats.stages_us;
    tracing::info!(
        request_id = %job.request_id,
        job_id = %job.id,
        video_id = %job.video,
        account = job.account.0,
        result,
        reason = reason.map_or("none", |code| code.name()),
        stage = finished.failure.as_ref().map_or("none", |failure| failure.stage.name()),
        detail = finished.failure.as_ref().map_or("", |failure| &failure.text),
        asked = tally.points.asked,
        delivered = tally.points.delivered,
        past_end = tally.points.past_end,
        failed = tally.points.failed,
        pictures = finished.pictures,
        sheets = tally.sheets,
        sheets_asked = tally.sheets_asked,
        attempt,
        backend = told.backends,
        fallbacks = told.fallbacks,
        queue_ms = walk.claimed_ms - job.created_ms,
        run_ms = finished.ended_ms - walk.claimed_ms,
        open_us = stages.open,
        plan_us = stages.plan,
        decode_us = stages.decode,
        convert_us = stages.convert,
        encode_us = stages.encode,
        publish_us = u64::try_from(publish.as_micros()).unwrap_or(u64::MAX),
        "job ended"
    );
}

/// Where the pictures were decoded: `cpu`, `cuda`, or both with a plus between.
fn backends(decided: &Decided) -> String {
    let shown = decided.points.iter().filter_map(|point| point.shown.as_ref());
    let seen: Vec<Backend> = shown.map(|shown| shown.backend).collect();
    let names = Backend::ALL.into_iter().filter(|backend| seen.contains(backend)).map(Backend::name);
    names.collect::<Vec<_>>().join("+")
}

/// Devices that gave up, and why: `cuda:copy`; none is `none`.
fn fallbacks(decided: &Decided) -> String {
    if decided.fallbacks.is_empty() {
        return "none".to_owned();
    }
    let told = decided.fallbacks.iter().map(|fallback| {
        format!("{}:{} ({} points)", fallback.from.name(), fallback.reason.name(), fallback.points)
    });
    told.collect::<Vec<_>>().join(", ")
}

/// A device gave up on a batch that misses so many points; the CPU takes over.
pub fn fell_back(video: &Video, from: Backend, reason: Refusal, points: u32, text: &str) {
    metrics::fell_back(from, reason);
    let (video_id, from, told) = (&video.id, from.name(), reason.name());
    match reason {
        // That it stands aside was said when it began to.
        Refusal::Breaker => {
            tracing::debug!(%video_id, from, reason = told, points, "not on a device: {text}")
        }
        _ => {
            tracing::warn!(%video_id, from, reason = told, points, "the CPU takes over from a device: {text}");
        }
    }
}

/// A walk ended; `jobs` were walked together, `stats` is what that cost.
pub fn batch_ended(video: &Video, ended: &Ended, jobs: usize, stats: &Stats) {
    if stats.opens > 0 {
        tracing::info!(
            video_id = %video.id,
            jobs,
            opens = stats.opens,
            seek_runs = stats.seek_runs,
            packets_decoded = stats.packets_decoded,
            packets_skipped = stats.packets_skipped,
            frames_decoded = stats.frames_decoded,
            cpu_ms = stats.cpu_us / 1000,
            wall_ms = stats.wall_us / 1000,
            "walk ended"
        );
    }
    match ended {
        Ended::Done | Ended::Stopped | Ended::DeviceWanted => {}
        Ended::Refused { reason, text } => {
            tracing::warn!(video_id = %video.id, reason = reason.name(), "a device refused a walk: {text}");
        }
        Ended::Failed(failure) => {
            if !failure.code.may_pass_later() {
                metrics::media_rejected(failure.code);
            }
            tracing::warn!(video_id = %video.id, %failure, "a walk failed");
        }
        Ended::Died { cause } => {
            metrics::worker_died(*cause);
            tracing::warn!(video_id = %video.id, cause = cause.name(), "a walk's process died");
        }
    }
}
