//! Rows T15 to T22: where decoding can start, and what it costs when it hardly can.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::common::{clips, footage, json, judge, stillframe};
use crate::tools::{check_footage, clip, grab, grab_at};

/// So many points that their report does not fit into a pipe at once.
const MANY: i64 = 500;

/// `grab` at `MANY` instants, evenly over `seconds`: the most memory that it ever had, KiB, and its report.
fn peak(file: &Path, seconds: i64) -> (u64, Value) {
    let times = (0..MANY).map(|n| (n * seconds * 1000 / MANY).to_string()).collect::<Vec<_>>().join(",");
    let folder = tempfile::tempdir().unwrap();
    let mut command = stillframe();
    command.args(["grab", "--json", "--threads", "1", "--width", "32", "--times-ms", &times, "--out"]);
    let mut child = command.arg(folder.path()).arg(file).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut text = vec![0];
    // With the first byte all pictures are made; the process stays until the rest is read.
    out.read_exact(&mut text).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    out.read_to_end(&mut text).unwrap();
    assert!(text.len() > 70_000, "{} bytes may fit into a pipe", text.len());
    assert!(child.wait().unwrap().success());
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (line.trim().trim_end_matches(" kB").parse().unwrap(), serde_json::from_slice(&text).unwrap())
}

fn tiny(name: &str, rate: &str, seconds: &str, coding: &[&str]) -> PathBuf {
    let source = format!("testsrc2=s=64x36:r={rate}:d={seconds}");
    let source = ["-f", "lavfi", "-i", &source, "-c:v", "libx264", "-preset", "ultrafast"];
    clips::clip(name, &[&source[..], coding].concat())
}

#[test]
fn t15_one_key_frame_in_ten_minutes() {
    let one = ["-g", "999999", "-keyint_min", "999999", "-sc_threshold", "0"];
    let long = tiny("t15.mp4", "25", "600", &one);
    let got = grab_at(&long, &[300_000, 599_990], &[]);
    assert_eq!(got.statuses(), ["ok", "ok"]);
    assert_eq!(got.numbers("shown_ms"), [300_000, 599_960]);
    got.insist_exact(&judge::truth(&long, 0));
    let stats = &got.report["stats"];
    assert_eq!((&stats["opens"], &stats["seek_runs"]), (&1.into(), &1.into()), "{stats}");
    assert!(stats["packets_decoded"].as_u64().unwrap() <= 15_000, "one pass: {stats}");
    let (much, report) = peak(&long, 600);
    assert_eq!(report["pictures"].as_array().unwrap().len(), MANY as usize);
    let (little, _) = peak(&tiny("t15s.mp4", "25", "30", &one), 30);
    // Packets of the run are held, 1 MiB of them here, and 15,000 heads with what each may refer to.
    assert!(much < little + (24 << 10), "{much} KiB beside {little} KiB for half a minute");
    check_footage(&["bbb_h264_720p_1gop.mp4"]);
}

#[test]
fn t17_open_gop() {
    let x264 = ["-c:v", "libx264", "-x264-params", "keyint=50:open-gop=1:bframes=3:scenecut=0"];
    let x265 = ["-c:v", "libx265", "-x265-params", "keyint=50:open-gop=1:bframes=4:log-level=error"];
    for (name, codec) in [("t17.ts", x264), ("t17.mp4", x264), ("t17h.mp4", x265), ("t17h.ts", x265)] {
        let file = clip(name, "6", &codec);
        // Around each start: the leading pictures come from the group before.
        let times: Vec<i64> = (40..61).chain(90..111).map(|frame| frame * 40).collect();
        let got = grab_at(&file, &times, &["--width", "64"]);
        assert_eq!(got.statuses(), vec!["ok"; times.len()], "{name}");
        got.insist_exact(&judge::truth(&file, 0));
        judge::check(&file);
    }
}

#[test]
fn t18_key_pictures_that_are_not_flagged() {
    let Some(file) = footage("ts_missing_key_flags_720p60.ts") else { return };
    judge::check(&file);
    let got = grab_at(&file, &[0, 3000, 7000], &["--frame-type", "intra", "--width", "64"]);
    assert!(got.pictures().iter().all(|picture| picture["key_frame"] == true), "{}", got.report);
    let truth = judge::truth(&file, got.report["media"]["stream"].as_u64().unwrap());
    for picture in got.pictures() {
        let frame = truth.frames.iter().find(|frame| Some(frame.pts) == picture["pts"].as_i64()).unwrap();
        assert_eq!(picture["frame_md5"], frame.md5.as_str(), "{picture}");
    }
}

#[test]
fn t18_intra_refresh_has_no_key_pictures() {
    let refresh = ["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=40"];
    for name in ["t18.ts", "t18.mp4", "t18.mkv"] {
        let file = clip(name, "6", &refresh);
        let got = grab_at(&file, &[0, 3000, 5000], &["--frame-type", "intra"]);
        assert_eq!(got.statuses(), ["ok"; 3], "{name}");
        // Only the first picture is a key picture: the exact ones come instead, and say that they are none.
        got.insist_exact(&judge::truth(&file, 0));
        let keys: Vec<&Value> = got.pictures().iter().map(|picture| &picture["key_frame"]).collect();
        assert_eq!(keys, [&Value::Bool(true), &Value::Bool(false), &Value::Bool(false)], "{name}");
        judge::check(&file);
    }
}

#[test]
fn t20_order_changes_nothing() {
    let file = clip("t20.mp4", "4", &["-c:v", "libx265", "-x265-params", "keyint=3:log-level=error"]);
    let times = [3990, 0, 2000, 80, 3960, 1999, 2000, 40, 3900, 1000];
    let md5 = |times: &[i64]| -> Vec<(i64, String)> {
        let got = grab_at(&file, times, &["--width", "64"]);
        assert_eq!(got.statuses(), vec!["ok"; times.len()]);
        let md5 = got.pictures().iter().map(|picture| picture["frame_md5"].as_str().unwrap().to_owned());
        let mut all: Vec<_> = times.iter().copied().zip(md5).collect();
        all.sort();
        all
    };
    let mut sorted = times;
    sorted.sort_unstable();
    let mut backward = sorted;
    backward.reverse();
    let want = md5(&times);
    assert!(md5(&sorted) == want && md5(&backward) == want);
    grab_at(&file, &times, &[]).insist_exact(&judge::truth(&file, 0));
    // One by one, as a caller would who seeks back after the end.
    for (time, md5_alone) in want.iter().step_by(3) {
        assert_eq!(md5(&[*time]), [(*time, md5_alone.clone())]);
    }
}

#[test]
fn t21_fragmented_and_still_growing() {
    let fragments = ["-movflags", "+frag_keyframe+empty_moov+default_base_moof"];
    let file = clip("t21.mp4", "10", &[&["-c:v", "libx264", "-g", "50"], &fragments[..]].concat());
    judge::check(&file);
    let bytes = std::fs::read(&file).unwrap();
    let truth = judge::truth(&file, 0);
    let fragments: Vec<usize> = crate::boxes::inside(&bytes, 0, bytes.len())
        .into_iter()
        .filter(|(name, _)| name == b"moof")
        .map(|(_, found)| found.start)
        .collect();
    assert_eq!(fragments.len(), 5);
    let folder = tempfile::tempdir().unwrap();
    let growing = folder.path().join("growing.mp4");
    let times: Vec<i64> = (0..20).map(|n| n * 500 + 20).collect();
    // Whole fragments; a fragment cut in its head, and in its data.
    let cuts = [0, 4, 20, 40, 200, 400, 508, 4000];
    let cuts = (1..5).flat_map(|n| cuts.map(|more| (n, fragments[n] + more)));
    for (whole, cut) in cuts {
        std::fs::write(&growing, &bytes[..cut]).unwrap();
        let got = grab_at(&growing, &times, &["--width", "64"]);
        for (picture, status) in got.pictures().iter().zip(got.statuses()) {
            let asked = picture["asked_ms"].as_i64().unwrap();
            let Some(want) = truth.at(asked) else { continue };
            if asked < whole as i64 * 2000 {
                assert_eq!(
                    (status, &picture["frame_md5"]),
                    ("ok", &want.md5.clone().into()),
                    "{cut}: {picture}"
                );
            } else if asked >= whole as i64 * 2000 + 2000 {
                assert_eq!(status, "past_end", "{cut}: {picture}");
            } else if status == "ok" {
                assert_eq!(picture["frame_md5"], want.md5.as_str(), "{cut}: {picture}");
            } else {
                let told = ["past_end", "last_frame", "failed", "concealed"].contains(&status);
                assert!(told, "{cut}: {picture}");
            }
        }
    }
    // No fragment at all yet.
    std::fs::write(&growing, &bytes[..fragments[0]]).unwrap();
    let got = grab_at(&growing, &[0, 1000], &[]);
    assert_eq!(got.code, Some(1), "{}", got.report);
    let told = got.report["error"]["stage"].is_string();
    assert!(told || !got.statuses().contains(&"ok"), "{}", got.report);
}

#[test]
fn t22_ten_hours_cost_no_more_memory_than_a_minute() {
    let hours = tiny("t22.mp4", "1", "36000", &[]);
    let (much, report) = peak(&hours, 36_000);
    let pictures = report["pictures"].as_array().unwrap();
    let shown: Vec<i64> = pictures.iter().map(|picture| picture["shown_ms"].as_i64().unwrap()).collect();
    assert_eq!(shown, (0..MANY).map(|n| n * 72_000).collect::<Vec<_>>());
    assert_eq!(report["stats"]["opens"], 1);
    let (little, _) = peak(&tiny("t22s.mp4", "1", "60", &[]), 60);
    // The index of 36,000 pictures is more, and what waits to be decoded: here the whole file, 14 MiB.
    assert!(much < little + (32 << 10), "{much} KiB beside {little} KiB for a minute");
    let ends = grab(&hours, &["--times-ms", "0,17999500,35999900"]);
    assert_eq!(ends.numbers("shown_ms"), [0, 17_999_000, 35_999_000]);
    let told = json(stillframe().args(["probe", "--json"]).arg(&hours));
    assert_eq!(told["media"]["duration_ms"], 36_000_000);
}
