//! Bad input costs its own job and nothing else: one table of bad files, through the daemon and the command line.
//!
//! Owns what each fault is called. Never uses footage: every bad file is made here.

mod common;
#[path = "bad_input/names.rs"]
mod names;
#[path = "bad_input/parameters.rs"]
mod parameters;

use std::path::Path;
use std::time::{Duration, Instant};

use common::clips;
use common::daemon::{Daemon, Setup, file_url};
use common::events::Events;
use common::scrape::Scrape;
use rustix::fs::{CWD, FileType, Mode};
use serde_json::Value;

/// Far above what a refusal takes, far below a hang: it tells these two apart and nothing else.
const AT_ONCE: Duration = Duration::from_secs(60);

/// One kind of bad file.
struct Bad {
    what: &'static str,
    /// Puts it at a path where nothing is; false, with a word why, when this machine cannot.
    make: fn(&Path) -> bool,
    /// The reason in metrics and in GetJobDetail, and the stage.
    code: &'static str,
    stage: &'static str,
    /// The event's `ErrorCode`.
    event: &'static str,
    /// What a person reads.
    words: &'static str,
}

const MISSING: &str = "InvalidParameter.ResourceNotFound";
const SPOILT: &str = "InvalidParameter.ResourceContentBad";

#[rustfmt::skip]
const TABLE: &[Bad] = &[
    Bad { what: "gone", make: |_| true, code: "not_found", stage: "open", event: MISSING, words: "o such file" },
    Bad { what: "directory", make: |path| std::fs::create_dir(path).is_ok(), code: "not_a_file", stage: "open", event: MISSING, words: "not a regular file" },
    Bad { what: "fifo", make: |path| node(path, FileType::Fifo), code: "not_a_file", stage: "open", event: MISSING, words: "not a regular file" },
    Bad { what: "device", make: |path| node(path, FileType::CharacterDevice), code: "not_a_file", stage: "open", event: MISSING, words: "not a regular file" },
    Bad { what: "socket", make: |path| node(path, FileType::Socket), code: "not_a_file", stage: "open", event: MISSING, words: "not a regular file" },
    Bad { what: "empty file", make: |path| std::fs::write(path, b"").is_ok(), code: "empty", stage: "open", event: SPOILT, words: "" },
    Bad { what: "one byte", make: |path| std::fs::write(path, b"\0").is_ok(), code: "not_media", stage: "open", event: SPOILT, words: "not a video container" },
    Bad { what: "text", make: |path| std::fs::write(path, "A text that is no video.\n".repeat(500)).is_ok(), code: "not_media", stage: "open", event: SPOILT, words: "not a video container" },
    Bad { what: "playlist", make: |path| std::fs::write(path, "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n").is_ok(), code: "not_media", stage: "open", event: SPOILT, words: "not a video container" },
    Bad { what: "picture", make: |path| copy(&clips::clip("one.jpg", &["-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1"]), path), code: "not_media", stage: "open", event: SPOILT, words: "not a video container" },
    Bad { what: "noise", make: |path| std::fs::write(path, noise(200_000)).is_ok(), code: "not_media", stage: "open", event: SPOILT, words: "not a video container" },
    Bad { what: "MP4 without moov", make: |path| half(&clips::short(), path), code: "incomplete", stage: "open", event: SPOILT, words: "moov" },
    Bad { what: "audio only", make: |path| copy(&audio(), path), code: "no_video", stage: "probe", event: SPOILT, words: "no video stream" },
    Bad { what: "cover art only", make: |path| copy(&cover(), path), code: "no_video", stage: "probe", event: SPOILT, words: "no video stream" },
];

fn node(path: &Path, kind: FileType) -> bool {
    // 1,3 is /dev/null; the other kinds have no number.
    let device = if kind == FileType::CharacterDevice { rustix::fs::makedev(1, 3) } else { 0 };
    let made = rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device);
    if let Err(error) = made {
        println!("not run: {kind:?}: {error}");
    }
    made.is_ok()
}

fn copy(from: &Path, to: &Path) -> bool {
    std::fs::copy(from, to).is_ok()
}

fn half(from: &Path, to: &Path) -> bool {
    let bytes = std::fs::read(from).unwrap();
    // The index is at the end, where ffmpeg puts it unless told otherwise.
    std::fs::write(to, &bytes[..bytes.len() / 2]).is_ok()
}

/// Bytes that repeat nothing, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| step()).collect()
}

fn audio() -> std::path::PathBuf {
    clips::clip("sine.m4a", &["-f", "lavfi", "-i", "sine=duration=2", "-c:a", "aac"])
}

fn cover() -> std::path::PathBuf {
    #[rustfmt::skip]
    let recipe = ["-f", "lavfi", "-i", "sine=duration=2", "-f", "lavfi", "-i", "testsrc2=size=320x320:rate=1:duration=1",
        "-map", "0", "-map", "1", "-frames:v", "1", "-c:a", "aac", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p",
        "-disposition:v", "attached_pic"];
    clips::clip("cover.m4a", &recipe)
}

/// An honest job: its picture, which must be the same whatever happened around it.
fn honest(daemon: &Daemon, events: &mut Events, video: &str) -> Vec<u8> {
    let job = daemon.submit(video, &[("SpecifiedOffsetTime", "1000"), ("Width", "160")]);
    let event = events.end_of(&job);
    assert_eq!(event["Status"], "success", "{event}");
    let url = event["SnapshotRegular"].as_str().unwrap().replace("{SnapshotCount}", "00001");
    let picture = common::http::fetch(&url);
    assert_eq!(picture.status, 200, "{url}");
    picture.body
}

#[test]
fn what_is_no_file_below_a_root_is_not_registered() {
    let daemon = Daemon::start(Setup::default());
    let media = daemon.media();
    let clip = daemon.put(&clips::short());
    let mut urls: Vec<String> = Vec::new();
    for bad in TABLE.iter().filter(|bad| bad.stage == "open" && bad.event == MISSING) {
        let path = media.join(bad.what);
        if (bad.make)(&path) {
            urls.push(file_url(&path));
        }
    }
    std::os::unix::fs::symlink("/etc/passwd", media.join("link")).unwrap();
    urls.push(file_url(&media.join("link")));
    let up = format!("file://{}/../data/stillframe.db", media.display());
    urls.extend([up, "file:///etc/passwd".into(), "http://127.0.0.1/a.mp4".into(), "short.mp4".into()]);
    let honest = file_url(&clip);
    // Ten files a request; a good one among them is taken all the same.
    for bad in urls.chunks(9) {
        let entries: Vec<Value> = bad
            .iter()
            .chain([&honest])
            .map(|url| serde_json::json!({"FileURL": url, "Title": "t"}))
            .collect();
        let began = Instant::now();
        let body = daemon.must("RegisterMedia", &[("RegisterMetadatas", &Value::from(entries).to_string())]);
        println!("{} bad files of {} refused in {:?}", bad.len(), bad.len() + 1, began.elapsed());
        assert_eq!(body["FailedFileURLs"], serde_json::json!(bad), "{body}");
        assert_eq!(body["RegisteredMediaList"].as_array().unwrap().len(), 1, "{body}");
        assert!(began.elapsed() < AT_ONCE);
    }
}

#[test]
fn a_file_that_turned_bad_fails_its_own_job_with_a_code() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let clip = daemon.put(&clips::short());
    let good = daemon.register(&clip);
    let picture = honest(&daemon, &mut events, &good);
    let mut rejected = std::collections::BTreeMap::<&str, f64>::new();
    for (index, bad) in TABLE.iter().enumerate() {
        // Good when it is registered, bad when its job comes.
        let path = daemon.media().join(format!("{index}.mp4"));
        std::fs::copy(&clip, &path).unwrap();
        let video = daemon.register(&path);
        std::fs::remove_file(&path).unwrap();
        if !(bad.make)(&path) {
            continue;
        }
        let began = Instant::now();
        let job = daemon.submit(&video, &[("Count", "3")]);
        let event = events.end_of(&job);
        let took = began.elapsed();
        println!("{:<18} {took:>8.1?}  {} {}", bad.what, event["ErrorCode"], event["ErrorMessage"]);
        assert!(took < AT_ONCE, "{}: {took:?}", bad.what);
        assert_eq!((&event["Status"], &event["ErrorCode"]), (&"fail".into(), &bad.event.into()), "{event}");
        assert!(event["ErrorMessage"].as_str().unwrap().contains(bad.words), "{}: {event}", bad.what);
        assert!(event.get("SnapshotInfos").is_none() && event.get("SnapshotCount").is_none(), "{event}");
        let detail = daemon.must("GetJobDetail", &[("JobId", &job), ("JobType", "snapshot")]);
        let detail = &detail["SnapshotJobDetail"];
        assert_eq!(detail["Status"], "Fail", "{}: {detail}", bad.what);
        let failure = serde_json::json!({"code": bad.code, "stage": bad.stage});
        assert_eq!(detail["Stillframe"]["failure"], failure, "{}: {detail}", bad.what);
        let told = &detail["Stillframe"];
        assert_eq!((&told["asked"], &told["failed"]), (&3.into(), &3.into()), "{}: {told}", bad.what);
        let list = daemon.call("ListSnapshots", &[("VideoId", &video), ("SnapshotType", "NormalSnapshot")]);
        assert_eq!((list.status, &*list.code()), (404, "NoSuchResource"));
        *rejected.entry(bad.code).or_default() += 1.0;
        assert_eq!(honest(&daemon, &mut events, &good), picture, "after {}", bad.what);
    }
    let unknown = daemon.call("SubmitSnapshotJob", &[("VideoId", "0123456789abcdef0123456789abcdef")]);
    assert_eq!((unknown.status, &*unknown.code()), (404, "InvalidVideo.NotFound"));
    nothing_else_happened(&daemon, &rejected);
}

/// Every failure is counted once under its reason; no process died and no job was tried twice.
#[track_caller]
fn nothing_else_happened(daemon: &Daemon, rejected: &std::collections::BTreeMap<&str, f64>) {
    let failed: f64 = rejected.values().sum();
    let last = "stillframe_jobs_finished_total{result=\"success\",reason=\"none\"}";
    let scrape = common::scrape::wait(daemon, last, failed + 1.0);
    for (code, count) in rejected {
        let of_video = format!("stillframe_media_rejected_total{{reason=\"{code}\"}}");
        let of_jobs = format!("stillframe_jobs_finished_total{{result=\"fail\",reason=\"{code}\"}}");
        assert_eq!((scrape.get(&of_video), scrape.get(&of_jobs)), (*count, *count), "{code}");
    }
    assert_eq!(scrape.sum("stillframe_jobs_finished_total"), 2.0 * failed + 1.0);
    assert_eq!(scrape.sum("stillframe_worker_restarts_total"), 0.0);
    assert_eq!(scrape.get("stillframe_worker_zygote_restarts"), 0.0);
    assert_eq!(Scrape::of(daemon).get("stillframe_jobs_quarantined_total"), 0.0);
}

#[test]
fn the_command_line_names_file_stage_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    for bad in TABLE {
        let path = folder.path().join(bad.what).with_extension("mp4");
        if !(bad.make)(&path) {
            continue;
        }
        let began = Instant::now();
        let grab = run(common::stillframe().args(["grab", "--count", "3", "--out"]).arg(&out).arg(&path));
        let took = began.elapsed();
        let probe = run(common::stillframe().arg("probe").arg(&path));
        print!("{:<18} {took:>8.1?}  {grab}", bad.what);
        assert!(took < AT_ONCE, "{}: {took:?}", bad.what);
        let begins = format!("stillframe: {}: {}: ", path.display(), bad.stage);
        for (command, said) in [("grab", &grab), ("probe", &probe)] {
            // FFmpeg may have its own word before ours.
            let last = said.lines().last().unwrap_or_default();
            let reason = last.strip_prefix(&begins);
            let reason = reason.unwrap_or_else(|| panic!("{command} {}: {said}", bad.what));
            assert!(reason.contains(bad.words) && !reason.contains("()"), "{}: {said}", bad.what);
            assert!(said.lines().all(|line| line.starts_with("stillframe: ")), "{}: {said}", bad.what);
        }
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "{} left something", bad.what);
        // Nothing came, so nothing is made for it either.
        let new = folder.path().join("new");
        run(common::stillframe().args(["grab", "--count", "3", "--out"]).arg(&new).arg(&path));
        assert!(!new.exists(), "{} made a folder for nothing", bad.what);
        let told = common::run(
            common::stillframe().args(["grab", "--count", "3", "--json", "--out"]).arg(&out).arg(&path),
            1,
        );
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!((&told["error"]["code"], &told["error"]["stage"]), (&bad.code.into(), &bad.stage.into()));
    }
}

#[test]
fn a_picture_that_cannot_be_written_is_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, b"").unwrap();
    let mut grab = common::stillframe();
    grab.arg("grab").arg(clips::short()).args(["--count", "2", "--json", "--out"]).arg(file.join("out"));
    let output = common::run(&mut grab, 1);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for picture in told["pictures"].as_array().unwrap() {
        assert_eq!((&picture["status"], picture.get("file")), (&"failed".into(), None), "{told}");
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write"), "{output:?}");
}

/// Exit code 1, nothing on stdout; what it said.
#[track_caller]
fn run(command: &mut std::process::Command) -> String {
    let output = common::run(command, 1);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn of_two_videos_the_one_flagged_default_is_taken() {
    #[rustfmt::skip]
    let recipe = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10:duration=1", "-f", "lavfi", "-i",
        "testsrc2=size=192x108:rate=10:duration=1", "-map", "0:v", "-map", "1:v", "-c:v", "libx264",
        "-disposition:v:0", "0", "-disposition:v:1", "default"];
    let clip = clips::clip("two.mkv", &recipe);
    let out = tempfile::tempdir().unwrap();
    let size = |more: &[&str]| {
        let mut grab = common::stillframe();
        grab.arg("grab").arg(&clip).args(["--times-ms", "500", "--json", "--out"]).arg(out.path()).args(more);
        let told = common::json(&mut grab);
        let picture = &told["pictures"][0];
        (told["media"]["stream"].as_u64(), picture["width"].as_u64(), picture["height"].as_u64())
    };
    assert_eq!(size(&[]), (Some(1), Some(192), Some(108)));
    assert_eq!(size(&["--stream", "0"]), (Some(0), Some(320), Some(240)));

    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let video = daemon.register(&daemon.put(&clip));
    let job = daemon.submit(&video, &[("SpecifiedOffsetTime", "500")]);
    assert_eq!(events.end_of(&job)["Status"], "success");
    let detail = daemon.must("GetJobDetail", &[("JobId", &job), ("JobType", "snapshot")]);
    let picture = &detail["SnapshotJobDetail"]["Stillframe"]["pictures"][0];
    assert_eq!((&picture["width"], &picture["height"]), (&192.into(), &108.into()), "{picture}");
}

#[test]
fn a_cover_beside_a_video_or_sound_is_never_taken_unasked() {
    #[rustfmt::skip]
    let recipe = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=1:duration=1", "-f", "lavfi", "-i",
        "testsrc2=size=192x108:rate=10:duration=1", "-map", "0", "-map", "1", "-c:v:0", "mjpeg",
        "-pix_fmt:v:0", "yuvj420p", "-c:v:1", "libx264", "-disposition:v:0", "attached_pic"];
    let clip = clips::clip("covered.mp4", &recipe);
    let told = common::json(common::stillframe().args(["probe", "--json"]).arg(&clip));
    let media = &told["media"];
    assert_eq!((&media["codec"], &media["width"]), (&"h264".into(), &192.into()), "{told}");
}
