//! The loads, one function each, with the target that each is held against.
//!
//! Owns what is offered to whom. Never measures: `scene` and `load` do.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::Scale;
use crate::common;
use crate::load::{Load, Outcome, Pace, Parameters, quantile};
use crate::receiver::{Arrival, Receiver};
use crate::scene::{Clip, Report, Scene, ms, one_picture};

pub const NAMES: [&str; 7] = ["busy", "limit", "ceiling", "steady", "fairness", "callbacks", "burst"];

/// Connections of a load with fixed arrivals: so many that none waits for a free one.
const CONNECTIONS: usize = 64;
/// How long callbacks may come after the last submission.
const CALLBACK_PATIENCE: Duration = Duration::from_secs(120);

/// Runs one load by name.
pub async fn run(name: &str, scale: Scale) -> Vec<Report> {
    match name {
        "busy" => vec![busy(scale).await],
        "limit" => vec![limit(scale).await],
        "ceiling" => vec![ceiling(scale).await],
        "steady" => vec![steady(scale).await],
        "fairness" => fairness(scale).await,
        "callbacks" => vec![callbacks(scale).await],
        _ => vec![burst(scale).await],
    }
}

async fn receiver(thinks: Duration) -> Receiver {
    Receiver::start(thinks).await.expect("a port of this machine is free")
}

fn arrivals(per_second: f64, scale: Scale) -> Pace {
    Pace::Arrivals { per_second, lasts: scale.lasts }
}

fn free_of_errors(report: &mut Report) {
    let right = report.outcome.errors.is_empty() && !report.outcome.accepted.is_empty();
    report.insist(right, "some submissions failed, or none was accepted");
}

/// 30 a second while every worker decodes for somebody else.
async fn busy(scale: Scale) -> Report {
    let scene = Scene::new(60);
    let other = scene.account(2);
    // About two seconds of work each on one core: more than the machine can do in the time of the run.
    let heavy = if scale.test { 1 } else { 10 + scale.lasts.as_secs() as usize * 2 };
    let heavy = scene.videos(&other, &Clip::Heavy, heavy);
    let light = scene.videos(&scene.daemon.key, &Clip::Light, 20);
    let to = receiver(Duration::ZERO).await;
    scene.callbacks(&scene.daemon.key, &to);
    let many = Arc::clone(&heavy);
    let fifty: Parameters = Arc::new(move |number| {
        let video = many[number as usize % many.len()].clone();
        let fixed = [("Count", "50"), ("Interval", "0"), ("Width", "320")];
        [("VideoId", video)].into_iter().chain(fixed.map(|(k, v)| (k, v.to_owned()))).collect()
    });
    let lasts = Duration::from_secs_f64(heavy.len() as f64 / 50.0);
    let pace = Pace::Arrivals { per_second: 50.0, lasts };
    let queued = Load { caller: scene.caller(&other), pace, connections: 4, parameters: fifty }.run().await;
    let load = Load {
        caller: scene.caller(&scene.daemon.key),
        pace: arrivals(30.0, scale),
        connections: CONNECTIONS,
        parameters: one_picture(&light),
    };
    let mut report = scene.watch("busy", load).await;
    free_of_errors(&mut report);
    report.insist(report.outcome.throttled == 0, "submissions below the limit were throttled");
    report.insist(queued.accepted.len() == heavy.len(), "the work of the other account was not taken");
    report
        .remark("target: no errors, p99 <= 50 ms (limit 60 a second, workers saturated by another account)");
    report.remark(format!(
        "{:.0} jobs queued and {:.0} running at the end",
        scene.metric("stillframe_jobs{state=\"queued\"} "),
        scene.metric("stillframe_jobs{state=\"running\"} ")
    ));
    report
}

/// Twice the limit.
async fn limit(scale: Scale) -> Report {
    let scene = Scene::new(30);
    let videos = scene.videos(&scene.daemon.key, &Clip::Light, 20);
    let load = Load {
        caller: scene.caller(&scene.daemon.key),
        pace: arrivals(60.0, scale),
        connections: CONNECTIONS,
        parameters: one_picture(&videos),
    };
    let mut report = scene.watch("limit", load).await;
    free_of_errors(&mut report);
    let outcome = &report.outcome;
    let due = 30.0 * scale.lasts.as_secs_f64();
    let off = (outcome.accepted.len() as f64 / due - 1.0) * 100.0;
    let right = outcome.throttled > 0 && outcome.accepted.len() as f64 <= due + 30.0;
    let slow = ms(quantile(&outcome.throttled_latencies, 0.99));
    report.insist(right, "the limit does not hold");
    report.remark(format!(
        "target: {due:.0} accepted +-5 % ({off:+.1} %), the rest Throttling.User (p99 of those {slow:.1} ms)"
    ));
    report
}

/// As many as 64 connections can, without a limit; then the daemon is killed and what it had accepted is counted.
async fn ceiling(scale: Scale) -> Report {
    let scene = Scene::new(0);
    let videos = scene.videos(&scene.daemon.key, &Clip::Light, 20);
    let load = Load {
        caller: scene.caller(&scene.daemon.key),
        pace: Pace::Flood { lasts: scale.lasts.min(Duration::from_secs(20)) },
        connections: 64,
        parameters: one_picture(&videos),
    };
    let mut report = scene.watch("ceiling", load).await;
    free_of_errors(&mut report);
    report.remark(
        "target: >= 1000 accepted/s (no limit, 64 connections without a pause, write-ahead log synced)",
    );
    let ended = scene.metric("stillframe_jobs_finished_total{result=\"success\",reason=\"none\"} ");
    let (folder, _) = scene.daemon.kill();
    let lost = lost(folder.path(), &report.outcome);
    report.insist(lost == 0, "accepted jobs are gone after the daemon was killed");
    report
        .remark(format!("killed at the end: {lost} accepted jobs are lost; {ended:.0} had ended meanwhile"));
    report
}

fn spread_of(waits: &[Duration]) -> String {
    let of = |share| ms(quantile(waits, share));
    format!("p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms", of(0.5), of(0.99), of(1.0))
}

/// Accepted jobs that the database of an ended daemon does not have.
fn lost(folder: &std::path::Path, outcome: &Outcome) -> usize {
    let mut list = common::stillframe();
    list.args(["jobs", "list", "--json", "--limit", "100000000", "--data"]).arg(folder.join("data"));
    let told = common::json(&mut list);
    let rows = told.as_array().map_or(&[][..], Vec::as_slice);
    let kept: HashSet<&str> = rows.iter().filter_map(|row| row["job_id"].as_str()).collect();
    outcome.accepted.iter().filter(|accepted| !kept.contains(accepted.job.as_str())).count()
}

/// The ceiling's target as fixed arrivals, which shows the latency that goes with it.
async fn steady(scale: Scale) -> Report {
    let scene = Scene::new(0);
    let videos = scene.videos(&scene.daemon.key, &Clip::Light, 20);
    let load = Load {
        caller: scene.caller(&scene.daemon.key),
        pace: Pace::Arrivals { per_second: 1000.0, lasts: scale.lasts.min(Duration::from_secs(20)) },
        connections: CONNECTIONS,
        parameters: one_picture(&videos),
    };
    let mut report = scene.watch("steady", load).await;
    free_of_errors(&mut report);
    report.remark("target: p99 <= 150 ms at 1000 arrivals a second (no limit, 64 connections)");
    report
}

/// A large account queues 10,000 points on one video; a small one asks for one picture a second of others.
async fn fairness(scale: Scale) -> Vec<Report> {
    let scene = Scene::new(0);
    let (large, small) = (scene.account(2), scene.account(3));
    let to = receiver(Duration::ZERO).await;
    scene.callbacks(&small, &to);
    scene.callbacks(&large, &receiver(Duration::ZERO).await);
    let big = scene.videos(&large, &Clip::Heavy, 1);
    let light = scene.videos(&small, &Clip::Light, 10);
    let thirty: Parameters = Arc::new(move |number| {
        let times: Vec<String> =
            (0..30).map(|point| ((number * 30 + point) * 3_989 % 40_000).to_string()).collect();
        vec![("VideoId", big[0].clone()), ("SpecifiedOffsetTimes", format!("[{}]", times.join(",")))]
    });
    let jobs = if scale.test { 3 } else { 334 };
    let pace = Pace::Count(jobs);
    let queue = Load { caller: scene.caller(&large), pace, connections: 16, parameters: thirty };
    let mut queued = scene.watch("(large)", queue).await;
    free_of_errors(&mut queued);
    queued.remark(format!("{} points of one video are queued", jobs * 30));
    let load = Load {
        caller: scene.caller(&small),
        pace: arrivals(1.0, scale),
        connections: 4,
        parameters: one_picture(&light),
    };
    let mut report = scene.watch("fairness", load).await;
    let left = scene.metric("stillframe_jobs{state=\"queued\"} ");
    free_of_errors(&mut report);
    let came = to.wait(report.outcome.accepted.len(), CALLBACK_PATIENCE).await;
    let waits: Vec<Duration> = (report.outcome.accepted.iter())
        .filter_map(|accepted| Some(came.get(&accepted.job)?.at.duration_since(accepted.meant)))
        .collect();
    report.insist(waits.len() == report.outcome.accepted.len(), "some callbacks did not come");
    report.remark(format!(
        "submit to callback of the small account: {} (target p99 <= 3000 ms); {left:.0} jobs of the large one were \
         still queued",
        spread_of(&waits)
    ));
    vec![queued, report]
}

/// 30 jobs a second and a callback for each.
async fn callbacks(scale: Scale) -> Report {
    let scene = Scene::new(60);
    let to = receiver(Duration::ZERO).await;
    scene.callbacks(&scene.daemon.key, &to);
    let videos = scene.videos(&scene.daemon.key, &Clip::Light, 20);
    let load = Load {
        caller: scene.caller(&scene.daemon.key),
        pace: arrivals(30.0, scale),
        connections: CONNECTIONS,
        parameters: one_picture(&videos),
    };
    let mut report = scene.watch("callbacks", load).await;
    free_of_errors(&mut report);
    let accepted = &report.outcome.accepted;
    let came = to.wait(accepted.len(), CALLBACK_PATIENCE).await;
    let all_came = accepted.iter().all(|accepted| came.contains_key(&accepted.job));
    let from_submit: Vec<Duration> = (accepted.iter())
        .filter_map(|accepted| Some(came.get(&accepted.job)?.at.duration_since(accepted.meant)))
        .collect();
    let from_end = since_end(&scene, &came);
    report.insist(all_came, "some callbacks did not come");
    report.insist(from_end.len() == came.len(), "callbacks came that are in no row");
    report.remark(format!(
        "end of the job (before its images have their names and the commit) to first POST: {}; target of commit to \
         first POST: p99 <= 250 ms",
        spread_of(&from_end)
    ));
    report.remark(format!("submit to callback: {}", spread_of(&from_submit)));
    report
}

/// A thousand jobs at once, all of whose callbacks go to one host that takes 50 ms for each: 80 a second, four at once.
async fn burst(scale: Scale) -> Report {
    let scene = Scene::new(0);
    let to = receiver(Duration::from_millis(50)).await;
    scene.callbacks(&scene.daemon.key, &to);
    let videos = scene.videos(&scene.daemon.key, &Clip::Light, 4);
    let load = Load {
        caller: scene.caller(&scene.daemon.key),
        pace: Pace::Count(if scale.test { 100 } else { 1_000 }),
        connections: CONNECTIONS,
        parameters: one_picture(&videos),
    };
    let mut report = scene.watch("burst", load).await;
    free_of_errors(&mut report);
    let accepted = &report.outcome.accepted;
    let came = to.wait(accepted.len(), CALLBACK_PATIENCE).await;
    let from_end = since_end(&scene, &came);
    let right = accepted.iter().all(|accepted| came.contains_key(&accepted.job));
    report.insist(right, "some callbacks did not come");
    report.remark(format!("end of the job to first POST, one host for all: {}", spread_of(&from_end)));
    report
}

/// From the instant in the outbox's row to the arrival, for each callback that came.
fn since_end(scene: &Scene, came: &std::collections::HashMap<String, Arrival>) -> Vec<Duration> {
    let mut list = common::stillframe();
    list.args(["callbacks", "list", "--json", "--limit", "100000000", "--data"]).arg(scene.daemon.data());
    let told = common::json(&mut list);
    let rows = told.as_array().map_or(&[][..], Vec::as_slice);
    let wait = |row: &serde_json::Value| {
        let created: jiff::Timestamp = row["created"].as_str()?.parse().ok()?;
        let arrival = came.get(row["job_id"].as_str()?)?;
        // Both clocks are this machine's; rounding to milliseconds may turn nothing into less.
        Some(Duration::from_millis((arrival.unix_ms - created.as_millisecond()).max(0).unsigned_abs()))
    };
    rows.iter().filter_map(wait).collect()
}
