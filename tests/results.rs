//! A result that does not lie: per picture a status, a reason, the asked and the shown time, and counts that add up,
//! the same in `grab --json`, GetJobDetail, the event, `jobs show` and the metrics.
//!
//! Owns the damage that it does to clips, and a clean copy of each as judge. Never uses footage.

mod common;
#[path = "results/intra.rs"]
mod intra;
#[path = "results/refused.rs"]
mod refused;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::clips;
use common::daemon::{Daemon, Setup};
use common::events::Events;
use serde_json::{Value, json};

/// Four seconds with a key frame each second; sound begins half a second before it and lasts two seconds longer.
fn whole() -> PathBuf {
    #[rustfmt::skip]
    let recipe = ["-f", "lavfi", "-i", "sine=frequency=440:duration=6.5", "-itsoffset", "0.52", "-f", "lavfi", "-i",
        "testsrc2=size=320x180:rate=25:duration=4", "-map", "1", "-map", "0", "-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "veryfast",
        "-crf", "14", "-bf", "2", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p",
        "-c:a", "aac", "-b:a", "32k"];
    clips::clip("whole.mp4", &recipe)
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

/// Puts noise over the packets of an MP4 that are shown in `seconds`, but for the first `kept` bytes of each.
fn damage(clip: &Path, seconds: std::ops::Range<f64>, kept: usize) {
    let mut probe = std::process::Command::new("ffprobe");
    probe.args(["-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time,pos,size"]);
    let packets = common::json(probe.args(["-of", "json"]).arg(clip));
    let mut bytes = std::fs::read(clip).unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let mut hit = 0;
    for packet in packets["packets"].as_array().unwrap() {
        if !seconds.contains(&number(&packet["pts_time"])) {
            continue;
        }
        let (at, size) = (number(&packet["pos"]) as usize, number(&packet["size"]) as usize);
        let part = &mut bytes[at + kept.min(size / 2)..at + size];
        let with = noise(part.len());
        part.copy_from_slice(&with);
        hit += 1;
    }
    assert!(hit > 0, "nothing lies in {seconds:?}");
    std::fs::write(clip, bytes).unwrap();
}

/// With so much kept the headers are whole and the decoder conceals; with nothing kept it refuses the packet.
const CONCEALED: usize = 40;
const REFUSED: usize = 0;

/// `grab` of these instants; its exit code must be `code`.
#[track_caller]
fn grab(file: &Path, times: &[i64], more: &[&str], code: i32) -> Value {
    let out = tempfile::tempdir().unwrap();
    let times: Vec<String> = times.iter().map(i64::to_string).collect();
    let mut command = common::stillframe();
    command.arg("grab").arg(file).args(["--times-ms", &times.join(","), "--json", "--frame-md5", "--out"]);
    let output = common::run(command.arg(out.path()).args(more), code);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    adds_up(&told);
    // What is told is on the disk, and nothing else.
    let mut files: Vec<String> = told["pictures"]
        .as_array()
        .unwrap()
        .iter()
        .chain(told["sheets"].as_array().into_iter().flatten())
        .filter_map(|picture| Some(picture["file"].as_str()?.to_owned()))
        .collect();
    files.sort();
    let mut there: Vec<String> = std::fs::read_dir(out.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(files, there, "{told}");
    told
}

/// asked = delivered + past_end + failed, and each is the number of pictures with such a status.
#[track_caller]
fn adds_up(told: &Value) {
    let count = |name: &str| told[name].as_u64().unwrap_or_else(|| panic!("{name}: {told}"));
    let mut by_status: BTreeMap<&str, u64> = BTreeMap::new();
    for picture in told["pictures"].as_array().unwrap() {
        let status = picture["status"].as_str().unwrap();
        let group = if matches!(status, "past_end" | "failed") { status } else { "delivered" };
        *by_status.entry(group).or_default() += 1;
        assert_eq!(picture["reason"].is_string(), status == "failed", "{picture}");
        assert_eq!(picture["shown_ms"].is_i64(), group == "delivered", "{picture}");
        if let Some(reason) = picture["reason"].as_str() {
            let stages = ["open", "probe", "plan", "decode", "convert", "encode", "publish"];
            assert!(stages.iter().any(|stage| reason.contains(&format!("({stage})"))), "{reason}");
        }
    }
    for name in ["delivered", "past_end", "failed"] {
        assert_eq!(count(name), by_status.get(name).copied().unwrap_or(0), "{name}: {told}");
    }
    assert_eq!(count("asked"), count("delivered") + count("past_end") + count("failed"), "{told}");
}

/// Status and shown time of each picture, in asked order.
fn statuses(told: &Value) -> Vec<(String, Option<i64>)> {
    let pictures = told["pictures"].as_array().unwrap().iter();
    pictures.map(|p| (p["status"].as_str().unwrap().to_owned(), p["shown_ms"].as_i64())).collect()
}

/// Submits, waits for the end and returns the one truth that every place tells.
#[track_caller]
fn job(daemon: &Daemon, events: &mut Events, video: &str, parameters: &[(&str, &str)]) -> Value {
    let job = daemon.submit(video, parameters);
    let event = events.end_of(&job);
    let truth = event["Stillframe"].clone();
    let detail = daemon.must("GetJobDetail", &[("JobId", &job), ("JobType", "snapshot")]);
    assert_eq!(detail["SnapshotJobDetail"]["Stillframe"], truth, "{detail}\n{event}");
    let word = if truth["result"] == "fail" { ("Fail", "fail") } else { ("Success", "success") };
    assert_eq!(detail["SnapshotJobDetail"]["Status"], word.0, "{detail}");
    assert_eq!(event["Status"], word.1, "{event}");
    let count = event.get("SnapshotCount").map_or(0, |count| count.as_u64().unwrap());
    let on_offer = truth["pictures"].as_array().unwrap().iter().filter(|p| p["ordinal"].is_u64()).count();
    if on_offer > 0 {
        assert_eq!(count, on_offer as u64, "{event}");
    }
    let jobs = |more: &[&str]| {
        let mut command = common::stillframe();
        command.arg("jobs").args(more).arg("--data").arg(daemon.data());
        command
    };
    let shown = common::json(&mut jobs(&["show", &job, "--json"]));
    let list = common::json(&mut jobs(&["list", "--json"]));
    let listed = list.as_array().unwrap().iter().find(|listed| listed["job_id"] == *job).unwrap();
    for name in ["result", "asked", "delivered", "past_end", "failed"] {
        assert_eq!((&shown[name], &listed[name]), (&truth[name], &truth[name]), "{name}: {shown}");
    }
    assert_eq!(shown["points"].as_array().unwrap().len(), truth["pictures"].as_array().unwrap().len());
    let text = String::from_utf8(common::run(&mut jobs(&["show", &job]), 0).stdout).unwrap();
    let number = |name: &str| &truth[name];
    let line = format!(
        "asked      {}: {} delivered, {} past the end, {} failed",
        number("asked"),
        number("delivered"),
        number("past_end"),
        number("failed")
    );
    assert!(text.contains(&line), "{line}\n{text}");
    assert!(text.contains(&format!("result     {}", truth["result"].as_str().unwrap())), "{text}");
    if truth["pictures"].as_array().is_some_and(|pictures| !pictures.is_empty()) {
        adds_up(&truth);
    }
    truth
}

#[test]
fn every_status_in_one_job_is_told_alike_everywhere() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let clip = daemon.media().join("mixed.mp4");
    std::fs::copy(whole(), &clip).unwrap();
    damage(&clip, 1.87..1.89, REFUSED);
    damage(&clip, 2.67..2.69, CONCEALED);
    let video = daemon.register(&clip);
    // Duplicates keep their places.
    let times = [0, 700, 2700, 700, 4900, 99_000, 1900, 3700];
    let list = format!("{times:?}");
    let truth = job(&daemon, &mut events, &video, &[("SpecifiedOffsetTimes", &list), ("Width", "64")]);
    let told = statuses(&truth);
    let want = [
        ("first_frame", Some(520)),
        ("ok", Some(680)),
        ("concealed", Some(2680)),
        ("ok", Some(680)),
        ("last_frame", Some(4480)),
        ("past_end", None),
        ("failed", None),
        ("ok", Some(3680)),
    ];
    assert_eq!(told, want.map(|(status, shown)| (status.to_owned(), shown)), "{truth}");
    assert_eq!(truth["result"], "partial", "{truth}");
    let grabbed = grab(&clip, &times, &["--width", "64"], 2);
    assert_eq!(statuses(&grabbed), told);
    let ordinals: Vec<Option<u64>> =
        truth["pictures"].as_array().unwrap().iter().map(|p| p["ordinal"].as_u64()).collect();
    let given: Vec<u64> = ordinals.iter().flatten().copied().collect();
    assert_eq!(given, (1..=given.len() as u64).collect::<Vec<_>>(), "ordinals without gaps");
    let scrape = common::scrape::wait(&daemon, "stillframe_capture_points_total{result=\"past_end\"}", 1.0);
    for status in ["ok", "first_frame", "last_frame", "past_end", "concealed", "failed"] {
        let series = format!("stillframe_capture_points_total{{result=\"{status}\"}}");
        let count = told.iter().filter(|(told, _)| told == status).count();
        assert_eq!(scrape.get(&series), count as f64, "{series}");
    }
}

#[test]
fn a_frame_made_from_damaged_ones_is_never_called_ok() {
    let folder = tempfile::tempdir().unwrap();
    let times: Vec<i64> = (0..100).map(|n| 520 + 40 * n).collect();
    let clean = grab(&whole(), &times, &["--width", "64"], 0);
    for (name, seconds, kept) in [
        ("key", 2.51..2.53, CONCEALED),
        ("reference", 2.59..2.61, CONCEALED),
        ("one", 2.67..2.69, CONCEALED),
        ("lost", 2.67..2.69, REFUSED),
        ("key lost", 1.51..1.53, REFUSED),
    ] {
        let clip = folder.path().join(name).with_extension("mp4");
        std::fs::copy(whole(), &clip).unwrap();
        damage(&clip, seconds, kept);
        let mut of_group = 0;
        // All at once, a few, and each of a stretch alone: the plan differs, the truth does not.
        let few: Vec<i64> = times.iter().copied().skip(3).step_by(7).collect();
        let alone = times.iter().filter(|t| (2500..3000).contains(*t)).map(|t| vec![*t]);
        for asked in [times.clone(), few].into_iter().chain(alone) {
            let out = tempfile::tempdir().unwrap();
            let list = asked.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            let mut command = common::stillframe();
            command.arg("grab").arg(&clip).args([
                "--times-ms",
                &list,
                "--json",
                "--frame-md5",
                "--width",
                "64",
                "--out",
            ]);
            let told: Value =
                serde_json::from_slice(&command.arg(out.path()).output().unwrap().stdout).unwrap();
            adds_up(&told);
            for picture in told["pictures"].as_array().unwrap() {
                let at = picture["asked_ms"].as_i64().unwrap();
                let judge = &clean["pictures"][usize::try_from((at - 520) / 40).unwrap()];
                let same = picture["frame_md5"] == judge["frame_md5"];
                let status = picture["status"].as_str().unwrap();
                assert!(same || matches!(status, "concealed" | "failed"), "{name}: {picture}");
                assert!(status == "failed" || picture["shown_ms"] == judge["shown_ms"], "{name}: {picture}");
                of_group += u32::from(status != "ok");
            }
        }
        assert!(of_group > 0, "{name}: nothing was damaged");
    }
}

#[test]
fn half_a_file_gives_its_half() {
    #[rustfmt::skip]
    let clip = clips::clip("fast.mp4", &["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4", "-c:v", "libx264",
        "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]);
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let half = daemon.media().join("half.mp4");
    let bytes = std::fs::read(&clip).unwrap();
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let clean = grab(&clip, &[0, 500, 1000, 3500], &[], 0);
    let told = grab(&half, &[0, 500, 1000, 3500], &[], 2);
    for n in 0..3 {
        assert_eq!(told["pictures"][n]["frame_md5"], clean["pictures"][n]["frame_md5"], "{told}");
    }
    assert_ne!(told["pictures"][3]["status"], "ok", "{told}");
    let video = daemon.register(&half);
    let truth = job(&daemon, &mut events, &video, &[("SpecifiedOffsetTimes", "[0,500,1000,3500]")]);
    assert_eq!(statuses(&truth), statuses(&told));
}

#[test]
fn a_cell_that_failed_stays_background_and_is_told() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let clip = daemon.media().join("cells.mp4");
    std::fs::copy(whole(), &clip).unwrap();
    damage(&clip, 1.87..1.89, REFUSED);
    let video = daemon.register(&clip);
    let sprite = r##"{"CellWidth":"64","CellHeight":"36","Columns":"2","Lines":"1","Color":"#00ff00","KeepCellPic":"delete"}"##;
    let list = "[700,1900,2700,99000,3700]";
    let truth = job(
        &daemon,
        &mut events,
        &video,
        &[("SpecifiedOffsetTimes", list), ("SpriteSnapshotConfig", sprite)],
    );
    assert_eq!(
        (&truth["result"], &truth["sheets_asked"], &truth["sheets_delivered"]),
        (&json!("partial"), &json!(2), &json!(2))
    );
    let words: Vec<_> = statuses(&truth).into_iter().map(|(status, _)| status).collect();
    assert_eq!(words, ["ok", "failed", "ok", "past_end", "ok"], "{truth}");
    // The same from the command line: its first sheet has one picture and one cell of background.
    let out = tempfile::tempdir().unwrap();
    let mut command = common::stillframe();
    command.arg("grab").arg(&clip).args(["--times-ms", "700,1900", "--json", "--sprite", sprite, "--out"]);
    let told: Value = serde_json::from_slice(&common::run(command.arg(out.path()), 2).stdout).unwrap();
    adds_up(&told);
    let sheet = std::fs::read(out.path().join("sprite-00001.jpg")).unwrap();
    let rgb = turbojpeg::decompress(&sheet, turbojpeg::PixelFormat::RGB).unwrap();
    let at = |x: usize, y: usize| &rgb.pixels[y * rgb.pitch + 3 * x..][..3];
    let is_green = |rgb: &[u8]| rgb[0] < 12 && rgb[1] > 243 && rgb[2] < 12;
    let cell = |left: usize| (left + 4..left + 60).flat_map(|x| (4..32).map(move |y| (x, y)));
    let green = |left: usize| cell(left).filter(|(x, y)| is_green(at(*x, *y))).count();
    assert_eq!(green(rgb.width / 2), 56 * 28, "the failed cell");
    assert!(green(0) < 56 * 28 / 2, "the other one");
}
