//! Every metric of the daemon: name, unit, help and label values in one place.
//!
//! Owns the names: call sites call a function named for what happened. Never takes a label value that a caller
//! can make up: every label has a closed list, so that the number of series is bounded.

use std::time::Duration;

use metrics::Unit::{Bytes, Count, Seconds};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::model::coded::Unfit;
use crate::model::device::Refusal;
use crate::model::job::{Death, FailCode, Stage, Stats};
use crate::model::media::Backend;
use crate::model::snapshot::PointStatus;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// Upper bounds of the buckets.
    Histogram(&'static [f64]),
}

/// One metric as it is scraped.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: metrics::Unit,
    pub help: &'static str,
    pub labels: &'static [Label],
}

/// A label and its values.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub name: &'static str,
    pub values: Values,
}

/// What a label may say.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Exactly these; every series is there from the start.
    These(&'static [&'static str]),
    /// A list that lives elsewhere: what it is.
    Of(&'static str),
}

/// From one write to a slow answer.
const FAST: Kind =
    Kind::Histogram(&[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]);
/// From one small picture to a job that waited for hours.
const SLOW: Kind = Kind::Histogram(&[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0,
]);
const FRAMES: Kind =
    Kind::Histogram(&[0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0]);

const ACTION: Label =
    Label { name: "action", values: Values::Of("actions of the API, `picture` and `other`") };
const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::These(values) }
}

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: metrics::Unit,
    help: &'static str,
    labels: &'static [Label],
) -> Metric {
    Metric { name, kind, unit, help, labels }
}

/// The whole list.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    metric("stillframe_http_requests_total", Kind::Counter, Count, "Answered API requests.",
        &[ACTION, Label { name: "code", values: Values::Of("codes of the API, and `ok`") }]),
    metric("stillframe_http_request_duration_seconds", FAST, Seconds, "From the end of a request's header to its answer.", &[ACTION]),
    metric("stillframe_http_connections", Kind::Gauge, Count, "Open connections on the API listener.", &[]),
    metric("stillframe_auth_failures_total", Kind::Counter, Count, "Requests whose caller is not who he says.",
        &[Label { name: "reason", values: Values::Of("codes of the API") }]),
    metric("stillframe_throttled_total", Kind::Counter, Count, "Submissions over the rate limit.", &[]),
    metric("stillframe_nonce_cache_entries", Kind::Gauge, Count, "Signature nonces that are remembered.", &[]),
    metric("stillframe_jobs_submitted_total", Kind::Counter, Count, "Accepted submissions.", &[]),
    metric("stillframe_jobs_finished_total", Kind::Counter, Count, "Ended jobs; partial: some pictures are missing.",
        &[label("result", &["success", "partial", "fail"]), Label { name: "reason", values: Values::Of("failure codes, and `none`") }]),
    metric("stillframe_jobs_quarantined_total", Kind::Counter, Count, "Jobs that ended because all attempts were used up.", &[]),
    metric("stillframe_jobs", Kind::Gauge, Count, "Jobs that have not ended.", &[label("state", &["queued", "running"])]),
    metric("stillframe_job_oldest_queued_age_seconds", Kind::Gauge, Seconds, "Age of the oldest queued job; 0 without one.", &[]),
    metric("stillframe_job_queue_wait_seconds", SLOW, Seconds, "From a job's submission to a claim of it.", &[]),
    metric("stillframe_job_duration_seconds", SLOW, Seconds, "From a job's claim to its end.", &[]),
    metric("stillframe_job_end_to_end_seconds", SLOW, Seconds, "From a job's submission to its end.", &[]),
    metric("stillframe_stage_duration_seconds", SLOW, Seconds, "CPU time of a batch a stage; wall time of one job's commit for publish.",
        &[label("stage", &["open", "plan", "decode", "convert", "encode", "publish"])]),
    metric("stillframe_capture_points_total", Kind::Counter, Count, "Points of ended jobs.",
        &[label("result", &["ok", "first_frame", "last_frame", "past_end", "concealed", "failed"])]),
    metric("stillframe_video_opens_total", Kind::Counter, Count, "Videos opened for a walk; one serves all jobs that wait for the video.", &[]),
    metric("stillframe_unfit_runs_total", Kind::Counter, Count, "Decode runs whose references could not be told, so that only what the codec never refers to was left out.",
        &[label("reason", &["not_told", "not_understood", "reference_not_there", "state_turned_over", "buffer_crowded", "decoder_differs"])]),
    metric("stillframe_seek_runs_total", Kind::Counter, Count, "Decode runs of walks; one serves all points whose frames it holds.", &[]),
    metric("stillframe_decoded_frames_total", Kind::Counter, Count, "Coded pictures that a decoder was given, hidden ones included.",
        &[label("backend", &["cpu", "cuda", "vaapi"])]),
    metric("stillframe_decoder_fallback_total", Kind::Counter, Count, "Batches that a device gave up on and the CPU took over.",
        &[label("from", &["cuda", "vaapi"]),
          label("reason", &["no_device", "unsupported", "unproven", "software", "out_of_memory", "send", "receive", "transfer", "copy",
            "no_frame", "damage", "linear", "lost", "crash", "hang", "breaker"])]),
    metric("stillframe_gpu_available", Kind::Gauge, Count, "Devices that stand ready to decode.", &[]),
    metric("stillframe_gpu_sessions", Kind::Gauge, Count, "Batches that devices are at work on.", &[]),
    metric("stillframe_frames_per_point", FRAMES, Count, "Decoded frames of a batch for each of its pictures.", &[]),
    metric("stillframe_media_rejected_total", Kind::Counter, Count, "Batches that failed for what the video is.",
        &[label("reason", &["not_found", "not_a_file", "empty", "not_media", "incomplete", "no_video", "unsupported", "too_large",
            "corrupt", "past_end", "replaced"])]),
    metric("stillframe_workers", Kind::Gauge, Count, "Children at work, and slots without one.", &[label("state", &["busy", "idle"])]),
    metric("stillframe_worker_restarts_total", Kind::Counter, Count, "Children that died, by cause; zygote: all of them at once; recycle: device helpers that were replaced.",
        &[label("cause", &["crash", "timeout", "oom", "zygote", "recycle"])]),
    metric("stillframe_worker_zygote_restarts", Kind::Gauge, Count, "Starts of the zygote after the first.", &[]),
    metric("stillframe_lease_lost_total", Kind::Counter, Count, "Ends of jobs that were thrown away because the claim no longer held.", &[]),
    metric("stillframe_callbacks_total", Kind::Counter, Count, "Callbacks that came to their end.",
        &[label("result", &["delivered", "dead"])]),
    metric("stillframe_callback_attempts_total", Kind::Counter, Count, "Tries at a callback.",
        &[label("outcome", &["ok", "status", "timeout", "refused", "connect", "tls"])]),
    metric("stillframe_callback_duration_seconds", SLOW, Seconds, "One try at a callback.", &[]),
    metric("stillframe_callbacks_pending", Kind::Gauge, Count, "Callbacks that wait for a try.", &[]),
    metric("stillframe_callbacks_dead", Kind::Gauge, Count, "Callbacks that were given up.", &[]),
    metric("stillframe_callback_oldest_pending_age_seconds", Kind::Gauge, Seconds, "Age of the oldest callback that waits; 0 without one.", &[]),
    metric("stillframe_db_commit_seconds", FAST, Seconds, "One group commit.", &[]),
    metric("stillframe_db_commit_rows_total", Kind::Counter, Count, "Operations in those commits.", &[]),
    metric("stillframe_db_busy_total", Kind::Counter, Count, "Writes that found the database busy.", &[]),
    metric("stillframe_db_wal_bytes", Kind::Gauge, Bytes, "Size of the write-ahead log.", &[]),
    metric("stillframe_disk_free_bytes", Kind::Gauge, Bytes, "Free bytes.", &[label("mount", &["data"])]),
    metric("stillframe_last_success_timestamp_seconds", Kind::Gauge, Seconds, "When a job last ended with a picture, Unix time; 0 before the first.", &[]),
    metric("stillframe_heartbeat_timestamp_seconds", Kind::Gauge, Seconds, "When a part of the daemon was last seen alive, Unix time.",
        &[label("stage", &["scheduler", "store", "node"])]),
    metric("stillframe_build_info", Kind::Gauge, Count, "1, with what runs and what it was built from.",
        &[Label { name: "version", values: Values::Of("the one that runs") },
          Label { name: "build", values: Values::Of("commit, FFmpeg's headers, compiler") }]),
];

/// Renders what was counted.
#[derive(Clone)]
pub struct Scrape {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

/// Makes a recorder for the list above; the caller installs it, then calls `describe`.
///
/// # Errors
/// When a histogram has no bucket; a test shows that none is so.
pub fn recorder()
-> Result<(metrics_exporter_prometheus::PrometheusRecorder, Scrape), metrics_exporter_prometheus::BuildError>
{
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    Ok((recorder, Scrape { handle, process: metrics_process::Collector::default() }))
}

impl Scrape {
    /// Names every metric with its help and makes the series that are known, so that they read 0 and not nothing.
    pub fn describe(&self) {
        for metric in METRICS {
            match metric.kind {
                Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
                Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
                Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
            }
            match metric.labels {
                [] => touch(metric, Vec::new()),
                [Label { name, values: Values::These(values) }] => {
                    values.iter().for_each(|value| touch(metric, vec![metrics::Label::new(*name, *value)]));
                }
                _ => {}
            }
        }
        for from in [Backend::Cuda, Backend::Vaapi].map(Backend::name) {
            for reason in Refusal::ALL.map(Refusal::name) {
                counter!("stillframe_decoder_fallback_total", "from" => from, "reason" => reason).absolute(0);
            }
        }
        counter!("stillframe_jobs_finished_total", "result" => "success", "reason" => "none").absolute(0);
        counter!("stillframe_jobs_finished_total", "result" => "partial", "reason" => "none").absolute(0);
        for reason in FailCode::ALL.map(FailCode::name) {
            counter!("stillframe_jobs_finished_total", "result" => "fail", "reason" => reason).absolute(0);
        }
        let (version, build) = (env!("CARGO_PKG_VERSION"), env!("STILLFRAME_BUILD"));
        gauge!("stillframe_build_info", "version" => version, "build" => build).set(1.0);
        self.process.describe();
    }

    /// The text of one scrape.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    /// Folds what was measured since; call it every few seconds, or memory grows between scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn touch(metric: &Metric, labels: Vec<metrics::Label>) {
    match metric.kind {
        Kind::Counter => counter!(metric.name, labels).absolute(0),
        Kind::Gauge => gauge!(metric.name, labels).set(0.0),
        Kind::Histogram(_) => drop(histogram!(metric.name, labels)),
    }
}

/// Gauges are floats; what we count stays far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

fn seconds_of_ms(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}

fn seconds_of_us(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

/// One answered API request.
pub fn http_request(action: &str, code: &str, seconds: f64) {
    counter!("stillframe_http_requests_total", "action" => action.to_owned(), "code" => code.to_owned())
        .increment(1);
    histogram!("stillframe_http_request_duration_seconds", "action" => action.to_owned()).record(seconds);
}

/// Open connections on the API listener.
pub fn http_connections(open: u64) {
    gauge!("stillframe_http_connections").set(float(open));
}

/// A request whose caller is not who he says: `reason` is the API code.
pub fn auth_failure(reason: &str) {
    counter!("stillframe_auth_failures_total", "reason" => reason.to_owned()).increment(1);
}

/// A request over the rate limit.
pub fn throttled() {
    counter!("stillframe_throttled_total").increment(1);
}

/// One accepted submission.
pub fn job_submitted() {
    counter!("stillframe_jobs_submitted_total").increment(1);
}

/// A job was claimed after waiting so long since its submission.
pub fn job_claimed(waited_ms: i64) {
    histogram!("stillframe_job_queue_wait_seconds").record(seconds_of_ms(waited_ms));
}

/// What the end of one job counts.
#[derive(Clone, Copy, Debug)]
pub struct JobEnd {
    /// `success`, `partial` or `fail`.
    pub result: &'static str,
    pub reason: Option<FailCode>,
    /// All attempts were used up.
    pub quarantined: bool,
    pub ended_ms: i64,
    /// Since its claim.
    pub duration_ms: i64,
    /// Since its submission.
    pub end_to_end_ms: i64,
    /// The commit alone.
    pub publish: Duration,
}

/// A job ended, durably.
pub fn job_ended(end: &JobEnd) {
    let reason = end.reason.map_or("none", FailCode::name);
    counter!("stillframe_jobs_finished_total", "result" => end.result, "reason" => reason).increment(1);
    if end.quarantined {
        counter!("stillframe_jobs_quarantined_total").increment(1);
    }
    if end.result != "fail" {
        gauge!("stillframe_last_success_timestamp_seconds").set(seconds_of_ms(end.ended_ms));
    }
    histogram!("stillframe_job_duration_seconds").record(seconds_of_ms(end.duration_ms));
    histogram!("stillframe_job_end_to_end_seconds").record(seconds_of_ms(end.end_to_end_ms));
    histogram!("stillframe_stage_duration_seconds", "stage" => Stage::Publish.name())
        .record(end.publish.as_secs_f64());
}

/// How a point of an ended job ended.
pub fn point_ended(status: PointStatus) {
    counter!("stillframe_capture_points_total", "result" => status.name()).increment(1);
}

/// So many more frames came out of a decoder. A walk can take hours, so this is told while it goes on.
pub fn frames_decoded(backend: Backend, frames: u64) {
    counter!("stillframe_decoded_frames_total", "backend" => backend.name()).increment(frames);
}

/// A walk ended, however it did; `pictures` came out of it.
pub fn batch_ended(stats: &Stats, pictures: u64) {
    for (stage, us) in stats.stages_us.each() {
        histogram!("stillframe_stage_duration_seconds", "stage" => stage.name()).record(seconds_of_us(us));
    }
    counter!("stillframe_video_opens_total").increment(stats.opens);
    counter!("stillframe_seek_runs_total").increment(stats.seek_runs);
    for (reason, runs) in Unfit::ALL.iter().zip(stats.unfit_runs).filter(|(_, runs)| *runs > 0) {
        counter!("stillframe_unfit_runs_total", "reason" => reason.name()).increment(runs);
    }
    if pictures > 0 {
        histogram!("stillframe_frames_per_point").record(float(stats.frames_decoded) / float(pictures));
    }
}

/// A batch failed for what the video is.
pub fn media_rejected(code: FailCode) {
    counter!("stillframe_media_rejected_total", "reason" => code.name()).increment(1);
}

/// A child died on its own; one that was killed on purpose is no news.
pub fn worker_died(cause: Death) {
    if cause != Death::Killed {
        counter!("stillframe_worker_restarts_total", "cause" => cause.name()).increment(1);
    }
}

/// A device gave up on a batch, and the CPU takes over.
pub fn fell_back(from: Backend, reason: Refusal) {
    counter!("stillframe_decoder_fallback_total", "from" => from.name(), "reason" => reason.name())
        .increment(1);
}

/// Devices that stand ready, batches on devices, and helpers that were replaced so far.
pub fn devices(ready: u64, sessions: u64, recycled: u64) {
    gauge!("stillframe_gpu_available").set(float(ready));
    gauge!("stillframe_gpu_sessions").set(float(sessions));
    counter!("stillframe_worker_restarts_total", "cause" => "recycle").absolute(recycled);
}

/// Children at work, free slots, and how often the zygote was started again.
pub fn workers(busy: u64, slots: u64, zygote_restarts: u64) {
    gauge!("stillframe_workers", "state" => "busy").set(float(busy));
    gauge!("stillframe_workers", "state" => "idle").set(float(slots.saturating_sub(busy)));
    gauge!("stillframe_worker_zygote_restarts").set(float(zygote_restarts));
}

/// The end of a job was thrown away: its claim no longer held.
pub fn claim_lost() {
    counter!("stillframe_lease_lost_total").increment(1);
}

/// One group commit: seconds and rows.
pub fn db_commit(seconds: f64, rows: usize) {
    histogram!("stillframe_db_commit_seconds").record(seconds);
    counter!("stillframe_db_commit_rows_total").increment(rows as u64);
}

/// The database was busy.
pub fn db_busy() {
    counter!("stillframe_db_busy_total").increment(1);
}

/// Size of the write-ahead log.
pub fn db_wal(bytes: u64) {
    gauge!("stillframe_db_wal_bytes").set(float(bytes));
}

/// Free bytes below the data folder.
pub fn disk_free(bytes: u64) {
    gauge!("stillframe_disk_free_bytes", "mount" => "data").set(float(bytes));
}

/// One try at a callback: `outcome` is `ok`, `status`, `timeout`, `refused`, `connect`, `tls`.
pub fn callback_attempt(outcome: &str, seconds: f64) {
    counter!("stillframe_callback_attempts_total", "outcome" => outcome.to_owned()).increment(1);
    histogram!("stillframe_callback_duration_seconds").record(seconds);
}

/// A callback came to its end: `delivered` or `dead`.
pub fn callback_ended(result: &str) {
    counter!("stillframe_callbacks_total", "result" => result.to_owned()).increment(1);
}

/// Jobs that have not ended, and the age of the oldest that waits.
pub fn jobs(queued: u64, running: u64, oldest_queued_age_ms: Option<i64>) {
    gauge!("stillframe_jobs", "state" => "queued").set(float(queued));
    gauge!("stillframe_jobs", "state" => "running").set(float(running));
    gauge!("stillframe_job_oldest_queued_age_seconds").set(oldest_queued_age_ms.map_or(0.0, seconds_of_ms));
}

/// Callbacks in the outbox, and the age of the oldest that waits.
pub fn callbacks(pending: u64, dead: u64, oldest_pending_age_ms: Option<i64>) {
    gauge!("stillframe_callbacks_pending").set(float(pending));
    gauge!("stillframe_callbacks_dead").set(float(dead));
    gauge!("stillframe_callback_oldest_pending_age_seconds")
        .set(oldest_pending_age_ms.map_or(0.0, seconds_of_ms));
}

/// Nonces that are remembered.
pub fn nonces(entries: u64) {
    gauge!("stillframe_nonce_cache_entries").set(float(entries));
}

/// A part of the daemon did a round: `scheduler`, `store` or `node`.
pub fn heartbeat(stage: &'static str, now_ms: i64) {
    gauge!("stillframe_heartbeat_timestamp_seconds", "stage" => stage).set(seconds_of_ms(now_ms));
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
