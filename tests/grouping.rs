//! One opening for all jobs that wait for a video: the daemon's counters and its log prove it.
//!
//! Owns the comparison with one `grab` of all the points. Never trusts time: what must wait is held by a stopped process.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::daemon::{Daemon, Setup};
use common::events::Events;
use common::held::Held;
use common::scrape::{self, Scrape};
use serde_json::Value;

const JOBS: usize = 20;
const OPENS: &str = "stillframe_video_opens_total";
const RUNS: &str = "stillframe_seek_runs_total";
const FRAMES: &str = "stillframe_decoded_frames_total{backend=\"cpu\"}";
const CLAIMED: &str = "stillframe_job_queue_wait_seconds_count";
const WALKS: &str = "stillframe_stage_duration_seconds_count{stage=\"open\"}";

fn grab(video: &Path, times: impl IntoIterator<Item = i64>, out: &Path) -> Value {
    let times: Vec<String> = times.into_iter().map(|ms| ms.to_string()).collect();
    let mut grab = common::stillframe();
    grab.arg("grab").arg(video).arg("--times-ms").arg(times.join(","));
    common::json(grab.args(["--json", "--threads", "1", "--out"]).arg(out))
}

/// Jobs that overlap: the same lists twice, neighbours that share most points, points that share a frame.
fn points(job: usize) -> Vec<i64> {
    let first = 130 * (job as i64 / 2);
    vec![first, first + 130, first + 137, 3_900 - first]
}

fn list(times: &[i64]) -> String {
    format!("{times:?}")
}

#[test]
fn jobs_that_wait_for_a_busy_video_are_done_in_one_opening() {
    let daemon = Daemon::start(Setup {
        env: vec![("STILLFRAME_WORKER_SLOTS", "1".into()), ("STILLFRAME_API_SUBMIT_PER_SECOND", "0".into())],
        ..Setup::default()
    });
    let mut events = Events::of(&daemon);
    let clip = daemon.put(&common::clips::short());
    let video = daemon.register(&clip);
    // The probe of the registration is through: what follows is walks of jobs.
    daemon.must("GetVideoInfo", &[("VideoId", &video)]);

    // The one slot is taken by a job on the same video whose decoder cannot start for now.
    let held = Held::of(&daemon);
    let busy = daemon.submit(&video, &[("SpecifiedOffsetTime", "2000")]);
    let before = scrape::wait(&daemon, CLAIMED, 1.0);
    assert_eq!(before.get(CLAIMED), 1.0);
    let jobs: Vec<String> = (0..JOBS)
        .map(|job| {
            let width = (160 + 16 * job).to_string();
            daemon.submit(&video, &[("SpecifiedOffsetTimes", &list(&points(job))), ("Width", &width)])
        })
        .collect();
    let waiting = Scrape::of(&daemon);
    assert_eq!((waiting.get(CLAIMED), waiting.get(OPENS)), (1.0, 0.0), "all {JOBS} wait");
    held.release();

    assert_eq!(events.end_of(&busy)["Status"], "success");
    for job in &jobs {
        let event = events.end_of(job);
        assert_eq!((&event["Status"], &event["SnapshotCount"]), (&"success".into(), &4.into()), "{event}");
    }
    let after = scrape::wait(&daemon, WALKS, 2.0);

    // The same points by hand, each walk by itself.
    let out = tempfile::tempdir().unwrap();
    let alone = &grab(&clip, [2_000], out.path())["stats"];
    let union: BTreeSet<i64> = (0..JOBS).flat_map(points).collect();
    let together = &grab(&clip, union.iter().copied(), out.path())["stats"];
    let cost = |key: &str| alone[key].as_f64().unwrap() + together[key].as_f64().unwrap();
    println!("{JOBS} jobs, {} points, {} of them different: {together}", JOBS * 4, union.len());
    assert_eq!(after.get(WALKS), 2.0, "one walk for the first job, one for all others");
    assert_eq!(after.get(OPENS), 2.0);
    assert_eq!(after.get(RUNS), cost("seek_runs"));
    assert_eq!(after.get(FRAMES), cost("frames_decoded"));
    assert_eq!(after.get(CLAIMED), 1.0 + JOBS as f64);
    assert_eq!(after.get("stillframe_capture_points_total{result=\"ok\"}"), 1.0 + 4.0 * JOBS as f64);

    // The log says the same of the walk, job by job.
    let walks = scrape::log_lines(&daemon, "walk ended", 2);
    assert_eq!(walks.len(), 2, "{walks:#?}");
    let told = |key: &str| format!(" {key}={}", together[key]);
    for told in [" jobs=20", " opens=1", &told("seek_runs"), &told("frames_decoded")] {
        assert!(walks[1].contains(told), "{told} is not in {}", walks[1]);
    }
    let ends = scrape::log_lines(&daemon, "job ended", 1 + JOBS);
    for job in &jobs {
        assert_eq!(ends.iter().filter(|line| line.contains(&**job)).count(), 1, "{job}");
    }
}

#[test]
fn points_that_share_a_frame_share_its_decode() {
    let clip = common::clips::short();
    let out = tempfile::tempdir().unwrap();
    let once = grab(&clip, [1_000, 2_520], out.path());
    // 25 frames a second: each instant of a frame's 40 ms gives that frame.
    let often = grab(&clip, [1_000, 1_001, 1_039, 2_520, 2_559, 2_520, 1_000], out.path());
    for key in ["opens", "seeks", "seek_runs", "packets_decoded", "frames_decoded"] {
        assert_eq!(once["stats"][key], often["stats"][key], "{key}");
    }
    let shown = |told: &Value| -> Vec<i64> {
        told["pictures"].as_array().unwrap().iter().map(|one| one["shown_ms"].as_i64().unwrap()).collect()
    };
    assert_eq!(shown(&once), [1_000, 2_520]);
    assert_eq!(shown(&often), [1_000, 1_000, 1_000, 2_520, 2_520, 2_520, 1_000]);
    // A frame later is another frame, and is decoded.
    let more = grab(&clip, [1_000, 1_040, 2_520], out.path());
    assert!(more["stats"]["frames_decoded"].as_u64() >= once["stats"]["frames_decoded"].as_u64());
    assert_eq!(shown(&more), [1_000, 1_040, 2_520]);
}
