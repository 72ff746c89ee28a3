//! What `plan` prints is what `grab` gives its decoders, packet by packet.
//!
//! `grab --sent` notes every packet where it is handed over, with the MD5 of its bytes; ffprobe tells what the file
//! holds. Clips are made here; footage from `STILLFRAME_MEDIA` is tried too where it is there.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{clips, json, stillframe};
use serde_json::Value;

/// (pts that the run begins with, place in the run, bytes given), sorted.
type Items = Vec<(i64, u64, u64)>;

fn planned(plan: &Value) -> Items {
    let mut items = Items::new();
    for run in plan["runs"].as_array().expect("runs") {
        let packets = run["packets"].as_array().expect("packets");
        let start = packets[0]["pts"].as_i64().expect("a run begins at a pts");
        for packet in packets.iter().filter(|packet| packet["sent"] == true) {
            let part = |part: &Value| part[1].as_u64().unwrap() - part[0].as_u64().unwrap();
            let bytes = match packet["parts"].as_array() {
                Some(parts) => parts.iter().map(part).sum(),
                None => packet["size"].as_u64().expect("a size"),
            };
            items.push((start, packet["n"].as_u64().expect("a place"), bytes));
        }
    }
    items.sort_unstable();
    items
}

fn sent(grab: &Value) -> Items {
    let item = |item: &Value| {
        let number = |key: &str| item[key].as_u64().expect("a number");
        (item["run"].as_i64().expect("a run"), number("n"), number("bytes"))
    };
    let mut items: Items = grab["sent"].as_array().expect("sent").iter().map(item).collect();
    items.sort_unstable();
    items
}

/// Bytes and MD5 of every packet of the stream, in file order, and the pts where there is one.
fn packets(file: &Path, stream: u64) -> Vec<(Option<i64>, u64, String)> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-of", "json", "-show_data_hash", "md5", "-show_packets"]);
    let told = json(probe.args(["-select_streams", &stream.to_string()]).arg(file));
    let packets = told["packets"].as_array().cloned().unwrap_or_default();
    let packet = |packet: Value| {
        let size = packet["size"].as_str().and_then(|size| size.parse().ok()).expect("a size");
        let hash = packet["data_hash"].as_str().expect("a hash").trim_start_matches("MD5:").to_lowercase();
        (packet["pts"].as_i64(), size, hash)
    };
    packets.into_iter().map(packet).collect()
}

/// Is each whole packet that was given one that the file holds at that place of its run?
fn bytes_are_the_files(file: &Path, stream: u64, grab: &Value) {
    // Where packets are cut out of a stream of bytes, another FFmpeg than ffprobe's may cut them elsewhere.
    if cfg!(feature = "portable") && file.extension().is_some_and(|extension| extension == "ts") {
        return;
    }
    let packets = packets(file, stream);
    for item in grab["sent"].as_array().expect("sent") {
        let (run, place) = (item["run"].as_i64(), item["n"].as_u64().unwrap() as usize);
        let first = packets.iter().position(|packet| packet.0 == run).expect("the run's first packet");
        let (_, size, hash) = &packets[first + place];
        if item["bytes"].as_u64() == Some(*size) {
            assert_eq!(item["md5"], hash.as_str(), "{}: {item}", file.display());
        }
    }
}

fn check(file: &Path) {
    let probe = json(stillframe().args(["probe", "--json"]).arg(file));
    let end = probe["media"]["duration_ms"].as_i64().expect("a duration");
    let times: Vec<String> =
        [71, 3, 50, 97, 12, 33, 52].iter().map(|p| (end * p / 100).to_string()).collect();
    let times = times.join(",");
    let plan = json(stillframe().args(["plan", "--json", "--times-ms", &times]).arg(file));
    let folder = tempfile::tempdir().expect("a folder");
    for threads in ["1", "8"] {
        let mut grab = stillframe();
        grab.args(["grab", "--json", "--sent", "--width", "64", "--times-ms", &times, "--threads", threads]);
        let grab = json(grab.arg("--out").arg(folder.path()).arg(file));
        let name = format!("{} with {threads} threads", file.display());
        assert_eq!(grab["stats"]["opens"], 1, "{name}");
        if !plan["linear"].is_null() {
            assert!(grab["sent"].as_array().unwrap().iter().any(|item| item["run"].is_null()), "{name}");
            continue;
        }
        assert_eq!(planned(&plan), sent(&grab), "{name}");
        assert_eq!(grab["stats"]["packets_decoded"], planned(&plan).len(), "{name}");
        let pictures: u64 =
            plan["runs"].as_array().unwrap().iter().map(|r| r["pictures"].as_u64().unwrap()).sum();
        assert_eq!(grab["stats"]["frames_decoded"], pictures, "{name}");
        bytes_are_the_files(file, probe["media"]["stream"].as_u64().expect("a stream"), &grab);
    }
}

fn made(name: &str, coding: &[&str]) -> PathBuf {
    let source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=5"];
    clips::clip(name, &[&source[..], coding].concat())
}

#[test]
fn h264() {
    check(&made("pyramid.mp4", &["-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-bf", "3"]));
    let open = "keyint=30:open-gop=1:bframes=3:scenecut=0:slices=3";
    check(&made("open.ts", &["-c:v", "libx264", "-x264-params", open]));
    check(&made("refresh.mkv", &["-c:v", "libx264", "-x264-params", "keyint=40:intra-refresh=1"]));
}

#[test]
fn hevc() {
    let params = |keyint: &str| format!("log-level=none:keyint={keyint}:bframes=4");
    check(&made(
        "closed.mp4",
        &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", &params("50:open-gop=0")],
    ));
    check(&made(
        "open.ts",
        &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", &params("40:open-gop=1")],
    ));
}

#[test]
fn av1_parts_of_packets_included() {
    let clip = made("layers.mp4", &["-c:v", "libsvtav1", "-preset", "10", "-g", "60", "-crf", "45"]);
    check(&clip);
    let plan = json(stillframe().args(["plan", "--json", "--times-ms", "1000"]).arg(&clip));
    let packets = plan["runs"][0]["packets"].as_array().expect("packets");
    assert!(packets.iter().any(|packet| packet["parts"].is_array()), "no packet was cut: {plan}");
    check(&made("aom.mkv", &["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "50"]));
}

#[test]
fn the_others() {
    check(&made("vp9.webm", &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "50"]));
    check(&made("mpeg2.ts", &["-c:v", "mpeg2video", "-bf", "2", "-g", "15"]));
    check(&made("mpeg4.mkv", &["-c:v", "mpeg4", "-bf", "2", "-g", "25"]));
    check(&made("mjpeg.mov", &["-c:v", "mjpeg"]));
    // Without times there is no plan: everything is given, and both say so.
    check(&made("untimed.avi", &["-c:v", "mpeg4", "-bf", "2", "-vtag", "XVID"]));
}

#[test]
fn footage() {
    let Some(folder) = std::env::var_os("STILLFRAME_MEDIA") else {
        println!("not run: STILLFRAME_MEDIA is not set");
        return;
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    // No decoder for the one; the other is damaged, so that its runs are decoded again.
    let left_out = ["vvc_180p.mp4", "corrupt_decord.mp4", "README.md"];
    files.retain(|file| !left_out.contains(&file.file_name().unwrap().to_str().unwrap()));
    files.iter().for_each(|file| check(file));
}
