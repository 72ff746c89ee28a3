//! The exact frame: what `grab` decodes for an instant is, byte for byte, what a full decode shows then.
//!
//! The judge is the ffmpeg command line, which decodes every frame from the first packet on. Clips are made here;
//! real footage from `STILLFRAME_MEDIA` is judged too where it is there.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{clips, json, run, stillframe};
use serde_json::Value;

/// One frame of the full decode.
struct Frame {
    pts: i64,
    md5: String,
}

/// Everything that the judge knows about a file.
struct Truth {
    frames: Vec<Frame>,
    /// Seconds a unit of pts.
    time_base: (i64, i64),
    /// Time 0, microseconds.
    start_us: i64,
    duration_ms: i64,
    /// Seconds a frame, where the container has no pts.
    counting: Option<(i64, i64)>,
}

fn ffprobe(file: &Path) -> Value {
    json(
        Command::new("ffprobe")
            .args(["-v", "error", "-of", "json", "-show_format", "-show_streams"])
            .arg(file),
    )
}

fn ratio(value: &Value) -> (i64, i64) {
    let (a, b) = value.as_str().and_then(|text| text.split_once('/')).expect("a ratio");
    (a.parse().expect("a number"), b.parse().expect("a number"))
}

fn truth(file: &Path, stream: u64) -> Truth {
    let probe = ffprobe(file);
    let of_stream = &probe["streams"][stream as usize];
    let micros =
        |value: &Value| -> Option<i64> { Some((value.as_str()?.parse::<f64>().ok()? * 1e6).round() as i64) };
    let map = format!("0:{stream}");
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-noautorotate", "-flags", "unaligned", "-copyts"]);
    if of_stream["tags"]["alpha_mode"] == "1" {
        decode.args(["-c:v", "libvpx-vp9"]);
    }
    decode.arg("-i").arg(file);
    decode.args(["-map", &map, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-autoscale", "0"]);
    let output = run(decode.args(["-f", "framemd5", "-"]), 0);
    let frames: Vec<Frame> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            Frame { pts: fields[2].parse().expect("a pts"), md5: fields[5].to_owned() }
        })
        .collect();
    let packets = json(
        Command::new("ffprobe")
            .args(["-v", "error", "-of", "json", "-select_streams", &stream.to_string()])
            .args(["-show_entries", "packet=pts,flags", "-read_intervals", "%+#40"])
            .arg(file),
    );
    let packets = packets["packets"].as_array().cloned().unwrap_or_default();
    let has_pts = packets[0]["pts"].is_i64();
    // What stands before the first key frame in a cut stream comes out damaged and is never a target.
    let is_key = |packet: &&Value| packet["flags"].as_str().is_some_and(|flags| flags.starts_with('K'));
    let first_key = packets.iter().find(is_key).and_then(|packet| packet["pts"].as_i64());
    let frames: Vec<Frame> =
        frames.into_iter().filter(|frame| !has_pts || first_key.is_none_or(|key| frame.pts >= key)).collect();
    let rate = ratio(&of_stream["avg_frame_rate"]);
    let counting = (!has_pts).then_some((rate.1, rate.0));
    let frame_ms = 1000 * rate.1 / rate.0.max(1);
    let last = frames.last().map_or(0, |f| f.pts);
    let time_base = ratio(&of_stream["time_base"]);
    let start_us = micros(&probe["format"]["start_time"]).unwrap_or(0);
    let shown_ms = match counting {
        Some((num, den)) => frames.len() as i64 * 1000 * num / den,
        None => (last * time_base.0 * 1000) / time_base.1 - start_us / 1000 + frame_ms,
    };
    Truth { frames, time_base, start_us, duration_ms: shown_ms, counting }
}

impl Truth {
    /// The frame displayed at `ms`, or none when that is too close to a border to be told by microseconds.
    fn at(&self, ms: i64) -> Option<&Frame> {
        if let Some((num, den)) = self.counting {
            let n = (ms * den).div_euclid(1000 * num);
            return self.frames.get(n.min(self.frames.len() as i64 - 1) as usize);
        }
        let us = |frame: &Frame| {
            let exact = i128::from(frame.pts) * i128::from(self.time_base.0) * 1_000_000;
            exact as f64 / self.time_base.1 as f64 - self.start_us as f64
        };
        let asked = ms as f64 * 1000.0;
        let on_time = self.time_base.1 % 1000 == 0 && self.start_us % 1000 == 0;
        if !on_time && self.frames.iter().any(|f| (us(f) - asked).abs() < 2.0) {
            return None;
        }
        let shown = self.frames.iter().filter(|f| us(f) <= asked + 0.01).max_by_key(|f| f.pts);
        shown.or_else(|| self.frames.iter().min_by_key(|f| f.pts))
    }
}

/// The same numbers every time, for every file others.
struct Dice(u64);

impl Dice {
    fn new(seed: &str) -> Dice {
        Dice(
            seed.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as i64) % limit.max(1)
    }
}

/// Twenty random instants, each alone would be the same: asked together in shuffled order. Returns what is wrong.
fn judge(file: &Path) -> Vec<String> {
    let probe = json(stillframe().args(["probe", "--json"]).arg(file));
    let truth = truth(file, probe["media"]["stream"].as_u64().expect("a stream"));
    let mut dice = Dice::new(&file.file_name().expect("a name").to_string_lossy());
    let end = truth.duration_ms.min(probe["media"]["duration_ms"].as_i64().expect("a duration"));
    let mut times = vec![0, end - 1];
    while times.len() < 22 {
        let ms = dice.below(end);
        if truth.at(ms).is_some() {
            times.push(ms);
        }
    }
    let list = times.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let folder = tempfile::tempdir().expect("a folder");
    let output = stillframe()
        .args(["grab", "--json", "--frame-md5", "--width", "64", "--times-ms", &list, "--out"])
        .arg(folder.path())
        .arg(file)
        .output()
        .expect("stillframe runs");
    let report: Value = match serde_json::from_slice(&output.stdout) {
        Ok(report) => report,
        Err(_) => return vec![format!("no report: {}", String::from_utf8_lossy(&output.stderr))],
    };
    let mut wrong = Vec::new();
    wrong.extend(unlike_the_plan(file, &list, &report["stats"]));
    let pictures = report["pictures"].as_array().cloned().unwrap_or_default();
    if pictures.len() != times.len() {
        wrong.push(format!("{} pictures of {}", pictures.len(), times.len()));
    }
    for (ms, picture) in times.iter().zip(&pictures) {
        let Some(want) = truth.at(*ms) else { continue };
        if picture["frame_md5"] != want.md5.as_str() {
            let shown = truth.frames.iter().find(|f| picture["frame_md5"] == f.md5.as_str()).map(|f| f.pts);
            wrong.push(format!("{ms} ms: want pts {}, got {shown:?}: {picture}", want.pts));
        }
    }
    wrong
}

/// What was decoded is what `plan` says, and no group is entered twice. A stream of slow recovery points may enter
/// its first one once more: how slow they are is known only then.
fn unlike_the_plan(file: &Path, times: &str, stats: &Value) -> Vec<String> {
    let plan = json(stillframe().args(["plan", "--json", "--times-ms", times]).arg(file));
    let mut wrong = Vec::new();
    let mut starts = std::collections::BTreeSet::new();
    let (mut sent, mut skipped) = (0u64, 0u64);
    let is_slow = |run: &Value| run["start"].as_str().is_some_and(|text| text.starts_with("exact after"));
    let mut excused = plan["runs"].as_array().expect("runs").iter().any(is_slow);
    for run in plan["runs"].as_array().expect("runs") {
        let packets = run["packets"].as_array().expect("packets");
        if !starts.insert(packets[0]["pts"].as_i64()) && !std::mem::take(&mut excused) {
            wrong.push(format!("a second run from pts {}", packets[0]["pts"]));
        }
        let is_sent = |packet: &&Value| packet["sent"] == true;
        let count = packets.iter().filter(is_sent).count() as u64;
        sent += count;
        skipped += packets.len() as u64 - count;
    }
    let told = (stats["packets_decoded"].as_u64(), stats["packets_skipped"].as_u64());
    if plan["linear"].is_null() && told != (Some(sent), Some(skipped)) {
        wrong.push(format!("planned {sent} sent and {skipped} left out, decoded {told:?}"));
    }
    if stats["opens"] != 1 {
        wrong.push(format!("{} openings", stats["opens"]));
    }
    wrong
}

#[track_caller]
fn check(file: &Path) {
    let wrong = judge(file);
    assert!(wrong.is_empty(), "{}:\n{}", file.display(), wrong.join("\n"));
}

const SOURCE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=8"];

fn clip(name: &str, arguments: &[&str]) -> PathBuf {
    let arguments: Vec<&str> = SOURCE.iter().chain(arguments).copied().collect();
    clips::clip(name, &arguments)
}

#[test]
fn b_pyramid_in_mp4() {
    check(&clip("exact_pyramid.mp4", &["-c:v", "libx264", "-preset", "fast", "-bf", "3", "-g", "50"]));
}

#[test]
fn constrained_gop_in_mov_with_audio_that_begins_first() {
    let arguments = ["-f", "lavfi", "-i", "sine=d=8", "-filter:v", "setpts=PTS+0.7/TB", "-c:v", "libx264"];
    check(&clip("exact_late_video.mov", &[&arguments[..], &["-g", "30", "-c:a", "aac"]].concat()));
}

#[test]
fn edit_list_hides_the_first_pictures() {
    let base = clip("exact_base.mp4", &["-c:v", "libx264", "-g", "50"]);
    let base = base.to_str().expect("a path");
    check(&clips::clip("exact_edit_list.mp4", &["-ss", "1.3", "-i", base, "-c", "copy"]));
}

#[test]
fn variable_rate_in_matroska() {
    let select = "select='lt(t\\,2)+not(mod(n\\,7))'";
    check(&clip("exact_vfr.mkv", &["-vf", select, "-fps_mode", "vfr", "-c:v", "libx264", "-g", "40"]));
}

#[test]
fn open_gop_in_mpeg_ts() {
    let x264 = ["-c:v", "libx264", "-x264-params", "keyint=50:open-gop=1:bframes=3:scenecut=0"];
    check(&clip("exact_open_gop.ts", &x264));
}

#[test]
fn a_ts_that_begins_at_ten_hours() {
    check(&clip("exact_offset.ts", &["-c:v", "libx264", "-g", "50", "-output_ts_offset", "36000"]));
}

#[test]
fn open_gop_of_hevc() {
    let x265 = ["-c:v", "libx265", "-x265-params", "keyint=50:open-gop=1:bframes=4:log-level=error"];
    check(&clip("exact_hevc.mp4", &x265));
}

#[test]
fn vp9_with_hidden_frames_in_webm() {
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "5", "-auto-alt-ref", "1", "-g", "60"];
    check(&clip("exact_vp9.webm", &[&vp9[..], &["-lag-in-frames", "16"]].concat()));
}

#[test]
fn av1_in_mp4() {
    check(&clip("exact_av1.mp4", &["-c:v", "libsvtav1", "-preset", "10", "-g", "60"]));
}

#[test]
fn mpeg2_in_mpeg_ts() {
    check(&clip("exact_mpeg2.ts", &["-c:v", "mpeg2video", "-bf", "2", "-g", "15", "-q:v", "4"]));
}

#[test]
fn mpeg4_with_b_pictures_in_avi() {
    check(&clip("exact_mpeg4.avi", &["-c:v", "mpeg4", "-bf", "2", "-g", "60", "-q:v", "5", "-vtag", "xvid"]));
}

#[test]
fn h264_without_pts_in_avi() {
    check(&clip("exact_h264.avi", &["-c:v", "libx264", "-bf", "3", "-g", "50"]));
}

#[test]
fn intra_refresh() {
    check(&clip("exact_refresh.mp4", &["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=40"]));
}

#[test]
fn recovery_points_in_quick_succession() {
    for name in ["exact_refresh_10.ts", "exact_refresh_10.mp4", "exact_refresh_10.mkv"] {
        check(&clip(name, &["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=10:bframes=3"]));
    }
}

#[test]
fn a_matroska_that_begins_late() {
    let arguments = ["-c:v", "libx264", "-bf", "3", "-g", "50", "-output_ts_offset", "5000"];
    check(&clip("exact_offset.mkv", &arguments));
    let sound = ["-f", "lavfi", "-i", "sine=d=8", "-filter:a", "asetpts=PTS+1.3/TB", "-c:a", "aac"];
    check(&clip("exact_late_sound.mkv", &[&sound[..], &["-c:v", "libx264", "-bf", "3"]].concat()));
}

#[test]
fn a_program_stream_tells_only_some_times() {
    let mpeg2 = ["-vf", "scale=160:90", "-c:v", "mpeg2video", "-bf", "2", "-g", "15", "-b:v", "200k"];
    check(&clip("exact_ps.mpg", &mpeg2));
}

#[test]
fn a_cut_leaves_a_picture_without_a_time() {
    let x264 = ["-c:v", "libx264", "-x264-params", "keyint=50:open-gop=1:bframes=3:scenecut=0"];
    let whole = clip("exact_open_gop.mkv", &x264);
    let whole = whole.to_str().expect("a path");
    check(&clips::clip("exact_cut.mkv", &["-ss", "3.1", "-i", whole, "-c", "copy"]));
}

#[test]
fn opacity_is_decoded_too() {
    let rgba = ["-vf", "format=yuva420p,colorchannelmixer=aa=0.5", "-pix_fmt", "yuva420p"];
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "7", "-g", "30"];
    check(&clip("exact_alpha.webm", &[&rgba[..], &vp9, &["-auto-alt-ref", "0"]].concat()));
}

#[test]
fn opacity_that_is_only_announced_stands_in_no_ones_way() {
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "7", "-g", "30"];
    let file = clip("exact_no_alpha.webm", &[&vp9[..], &["-metadata:s:v:0", "alpha_mode=1"]].concat());
    check(&file);
    let plan = json(stillframe().args(["plan", "--json", "--times-ms", "1000"]).arg(&file));
    assert!(plan["linear"].is_null(), "{plan}");
}

#[test]
fn a_run_too_large_to_be_held_is_read_twice() {
    let noise = ["-f", "lavfi", "-i", "color=gray:s=1280x720:r=25:d=3,noise=alls=100:allf=t+u"];
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "1", "-g", "70"];
    let file = clips::clip("exact_large_run.mkv", &[&noise[..], &x264].concat());
    let bytes = std::fs::metadata(&file).expect("a clip").len();
    assert!(bytes > 70 << 20, "{bytes} bytes are too few");
    check(&file);
}

#[test]
fn threads_change_nothing() {
    let file = clip("exact_pyramid.mp4", &["-c:v", "libx264", "-preset", "fast", "-bf", "3", "-g", "50"]);
    let sprite = r#"{"Columns":3,"Lines":3,"CellWidth":64,"CellHeight":36}"#;
    let grab = |threads: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = stillframe();
        command.args(["grab", "--json", "--frame-md5", "--count", "23", "--sprite", sprite]);
        let report = json(command.args(["--threads", threads, "--out"]).arg(folder.path()).arg(&file));
        let mut files: Vec<(std::ffi::OsString, Vec<u8>)> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).expect("a file")))
            .collect();
        files.sort();
        (report["pictures"].clone(), report["sheets"].clone(), files)
    };
    let one = grab("1");
    assert_eq!(one.2.len(), 23 + 3);
    assert!(one == grab("2") && one == grab("8"));
}

#[test]
fn fragments_without_an_index() {
    let fragments = ["-movflags", "+frag_keyframe+empty_moov+default_base_moof"];
    check(&clip("exact_fragments.mp4", &[&["-c:v", "libx264", "-g", "50"], &fragments[..]].concat()));
}

#[test]
fn a_recording_without_length_or_cues() {
    check(&clip("exact_live.webm", &["-c:v", "libvpx", "-g", "50", "-f", "webm", "-live", "1"]));
}

#[test]
fn a_raw_stream_is_counted_through() {
    check(&clip("exact_raw.264", &["-c:v", "libx264", "-bf", "3", "-g", "50"]));
}

#[test]
fn one_frame_serves_every_instant() {
    check(&clip("exact_one.mp4", &["-frames:v", "1", "-c:v", "libx264"]));
}

/// Files of the footage that are not judged here, and why.
const LEFT_OUT: [(&str, &str); 2] = [
    ("vvc_180p.mp4", "FFmpeg 5.1 has no VVC decoder"),
    ("corrupt_decord.mp4", "damaged: what is concealed depends on what was decoded before"),
];

#[test]
fn real_footage() {
    let Some(folder) = std::env::var_os("STILLFRAME_MEDIA") else {
        eprintln!("not run: STILLFRAME_MEDIA is not set");
        return;
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut failures = Vec::new();
    let mut judged = 0;
    for file in files {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        if name.ends_with(".md") || LEFT_OUT.iter().any(|(left, _)| *left == name) {
            continue;
        }
        judged += 1;
        failures.extend(judge(&file).into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    assert!(judged > 0 && failures.is_empty(), "{judged} files judged\n{}", failures.join("\n"));
}
