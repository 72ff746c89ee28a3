//! The judge of frames: what `grab` decodes for an instant is, byte for byte, what a full decode shows then.
//!
//! Owns the full decode by the ffmpeg command line, from the first packet on. Never looks at what the product thinks
//! of a file, but for its stream and duration.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{json, run, stillframe};

/// One frame of the full decode.
pub struct Frame {
    pub pts: i64,
    pub md5: String,
}

/// Everything that the judge knows about a file.
pub struct Truth {
    pub frames: Vec<Frame>,
    /// Seconds a unit of pts.
    pub time_base: (i64, i64),
    /// Time 0, microseconds.
    pub start_us: i64,
    /// From time 0 to the end of the last frame.
    pub duration_ms: i64,
    /// Seconds a frame, where the container has no pts.
    pub counting: Option<(i64, i64)>,
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

/// Decodes the stream from its first packet on and keeps what that shows.
pub fn truth(file: &Path, stream: u64) -> Truth {
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
    let rate = match ratio(&of_stream["avg_frame_rate"]) {
        (0, _) => ratio(&of_stream["r_frame_rate"]),
        rate => rate,
    };
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
    pub fn at(&self, ms: i64) -> Option<&Frame> {
        self.index_at(ms).map(|index| &self.frames[index])
    }

    /// When the frame begins to be shown, microseconds from time 0.
    fn us(&self, frame: &Frame) -> f64 {
        let exact = i128::from(frame.pts) * i128::from(self.time_base.0) * 1_000_000;
        exact as f64 / self.time_base.1 as f64 - self.start_us as f64
    }

    /// As `at`, the frame's place in `frames`.
    pub fn index_at(&self, ms: i64) -> Option<usize> {
        if let Some((num, den)) = self.counting {
            let n = (ms * den).div_euclid(1000 * num);
            return Some(n.min(self.frames.len() as i64 - 1) as usize);
        }
        let asked = ms as f64 * 1000.0;
        let on_time = self.time_base.1 % 1000 == 0 && self.start_us % 1000 == 0;
        if !on_time && self.frames.iter().any(|f| (self.us(f) - asked).abs() < 2.0) {
            return None;
        }
        let frames = || self.frames.iter().enumerate();
        let shown = frames().filter(|(_, f)| self.us(f) <= asked + 0.01).max_by_key(|(_, f)| f.pts);
        shown.or_else(|| frames().min_by_key(|(_, f)| f.pts)).map(|(index, _)| index)
    }

    /// The first and the last whole millisecond before `end_ms` at which the frame is shown; none when there is none.
    pub fn shown(&self, index: usize, end_ms: i64) -> Option<(i64, i64)> {
        let up = |us: f64| (us / 1000.0 - 1e-5).ceil() as i64;
        let (first, next) = match self.counting {
            Some((num, den)) => {
                let begins = |n: usize| (n as i64 * 1000 * num + den - 1).div_euclid(den);
                (begins(index), (index + 1 < self.frames.len()).then(|| begins(index + 1)))
            }
            None => {
                let pts = self.frames[index].pts;
                let next = self.frames.iter().filter(|f| f.pts > pts).min_by_key(|f| f.pts);
                (up(self.us(&self.frames[index])), next.map(|f| up(self.us(f))))
            }
        };
        let (first, last) = (first.max(0), next.unwrap_or(end_ms).min(end_ms) - 1);
        (first <= last).then_some((first, last))
    }
}

/// The same numbers every time, for every file others.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: &str) -> Dice {
        Dice(
            seed.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    /// From 0 up to `limit`, which is not reached.
    pub fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as i64) % limit.max(1)
    }
}

/// What the product's probe says of the file.
pub fn product_view(file: &Path) -> Value {
    json(stillframe().args(["probe", "--json"]).arg(file))["media"].clone()
}

/// Where both agree that the file has not ended.
pub fn end_ms(truth: &Truth, media: &Value) -> i64 {
    truth.duration_ms.min(media["duration_ms"].as_i64().expect("a duration"))
}

/// The name without the hash in front of it, which is another one wherever the clips lie.
pub fn name(file: &Path) -> &str {
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    name.split_once('-').filter(|(hash, _)| hash.len() == 12).map_or(name, |(_, name)| name)
}

/// Twenty random instants, each alone would be the same: asked together in shuffled order. Returns what is wrong.
pub fn judge(file: &Path) -> Vec<String> {
    let media = product_view(file);
    let truth = truth(file, media["stream"].as_u64().expect("a stream"));
    judge_with(file, &truth, &media)
}

/// As `judge`, with what is known of the file already.
pub fn judge_with(file: &Path, truth: &Truth, media: &Value) -> Vec<String> {
    let mut dice = Dice::new(name(file));
    let end = end_ms(truth, media);
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

/// Panics with everything that is wrong.
#[track_caller]
pub fn check(file: &Path) {
    let wrong = judge(file);
    assert!(wrong.is_empty(), "{}:\n{}", file.display(), wrong.join("\n"));
}
