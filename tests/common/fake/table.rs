//! The pictures of a clip by the keys that the double makes of them.
//!
//! Owns the two runs of the ffmpeg command: on the double, which writes down the key of each picture that is output, and
//! in software, which gives the pictures. Never parses a stream: picture n has key n, and the counts must agree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::cuda::fake_cuda;

/// The table of a clip, made where it is not there yet. Clips of one size and with at most some hundred small pictures:
/// all are stored.
pub fn of(clip: &Path) -> PathBuf {
    let clip = clip.canonicalize().unwrap();
    let meta = clip.metadata().unwrap();
    let age = meta.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes");
    let name = format!("{} {} {age} {}", clip.display(), meta.len(), super::digest(&source));
    let stem = super::store().join(format!("table-{}", super::hex(&Sha256::digest(name)[..8])));
    let table = stem.with_extension("table");
    if table.is_file() {
        return table;
    }
    let scratch = super::scratch();
    let keys = recorded(&clip, &scratch.path().join("record"));
    let pictures = scratch.path().join("pictures");
    in_software(&clip, &pictures);
    let mut text = String::new();
    let mut shape: Option<[&str; 3]> = None;
    for line in keys.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [key, bytes, width, height, depth] = words[..] else { panic!("{line}") };
        let first = *shape.get_or_insert([width, height, depth]);
        assert_eq!(first, [width, height, depth], "{}: pictures of several sizes", clip.display());
        text.push_str(&format!("{key} {bytes}\n"));
    }
    let [width, height, depth] = shape.unwrap_or_else(|| panic!("{}: no picture came", clip.display()));
    let size = picture_bytes(width, height, depth) * text.lines().count() as u64;
    assert_eq!(pictures.metadata().unwrap().len(), size, "{}: the runs do not agree", clip.display());
    let part = scratch.path().join("table");
    std::fs::write(&part, format!("{width} {height} {depth}\n{text}")).unwrap();
    // The pictures first: who finds a table finds them too. A second maker puts the same in the same place.
    std::fs::rename(pictures, stem.with_extension("yuv")).unwrap();
    std::fs::rename(part, &table).unwrap();
    table
}

fn recorded(clip: &Path, record: &Path) -> String {
    let fake = fake_cuda();
    let record_to = format!("record={}", record.display());
    fake.control(&[&record_to, "caps.codec=+av1,+av1-10,+hevc-12,+vp9-12", "caps.max=32768x32768"]);
    let mut ffmpeg = ffmpeg();
    ffmpeg.args(["-threads", "1", "-hwaccel", "cuda"]);
    // The default decoder for it never asks for a device.
    if is_av1(clip) {
        ffmpeg.args(["-c:v", "av1"]);
    }
    fake.lend(input(&mut ffmpeg, clip)).args(["-f", "null", "-"]);
    super::super::run(&mut ffmpeg, 0);
    std::fs::read_to_string(record).unwrap_or_default()
}

fn in_software(clip: &Path, pictures: &Path) {
    let mut ffmpeg = ffmpeg();
    ffmpeg.args(["-apply_cropping", "0"]);
    input(&mut ffmpeg, clip).args(["-f", "rawvideo"]).arg(pictures);
    super::super::run(&mut ffmpeg, 0);
}

fn ffmpeg() -> Command {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-noautorotate"]);
    ffmpeg
}

fn input<'a>(ffmpeg: &'a mut Command, clip: &Path) -> &'a mut Command {
    ffmpeg.arg("-i").arg(clip).args(["-map", "0:v:0", "-fps_mode", "passthrough"])
}

/// Asks ffprobe.
pub fn is_av1(clip: &Path) -> bool {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=codec_name"]);
    ffprobe.args(["-of", "csv=p=0"]).arg(clip);
    super::super::run(&mut ffprobe, 0).stdout.starts_with(b"av1")
}

fn picture_bytes(width: &str, height: &str, depth: &str) -> u64 {
    let number = |text: &str| text.parse::<u64>().unwrap();
    let (width, height) = (number(width), number(height));
    let samples = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    samples * if number(depth) > 8 { 2 } else { 1 }
}
