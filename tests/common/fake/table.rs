//! The pictures of a clip by the keys that the double makes of them.
//!
//! Owns the runs of the ffmpeg command: on the double, which writes down the key of each picture that is output, and in
//! software, which gives the pictures. Never parses a stream: picture n has key n, and the counts must agree.
//!
//! An open group that is entered at its own key frame has other reference lists than in the whole clip, and so other keys.
//! Such entries are recorded too, each from a clip that begins there; their pictures are found by their time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::cuda::fake_cuda;

/// Later entries that add nothing, one after another, before the rest is taken for closed.
const CLOSED_ENOUGH: u32 = 3;
/// More entries than a clip for these tests should have.
const ENTRIES_MAX: usize = 60;

/// The table of a clip, made where it is not there yet. Clips of one size and with at most some hundred small pictures:
/// all are stored.
pub fn of(clip: &Path) -> PathBuf {
    let stem = stem(clip);
    let table = stem.with_extension("table");
    if table.is_file() {
        return table;
    }
    let scratch = super::scratch();
    let whole = recorded(clip, scratch.path());
    let pictures = scratch.path().join("pictures");
    in_software(clip, &pictures);
    let first = whole.first().unwrap_or_else(|| panic!("{}: no picture came", clip.display()));
    let shape = first.shape.clone();
    let one_size = whole.iter().all(|picture| picture.shape == shape);
    assert!(one_size, "{}: pictures of several sizes", clip.display());
    let size = picture_bytes(&shape) * whole.len() as u64;
    assert_eq!(pictures.metadata().unwrap().len(), size, "{}: the runs do not agree", clip.display());
    let mut keys: HashMap<String, (String, usize)> = HashMap::new();
    for (place, picture) in whole.iter().enumerate() {
        keys.entry(picture.key.clone()).or_insert((picture.bytes.clone(), place));
    }
    if codec(clip) == "h264" {
        entries(clip, scratch.path(), &whole, &mut keys);
    }
    let part = scratch.path().join("table");
    let lines = keys.iter().map(|(key, (bytes, place))| format!("{key} {bytes} {place}\n"));
    std::fs::write(&part, format!("{shape}\n{}", lines.collect::<String>())).unwrap();
    // The pictures first: who finds a table finds them too. A second maker puts the same in the same place.
    std::fs::rename(pictures, stem.with_extension("yuv")).unwrap();
    std::fs::rename(part, &table).unwrap();
    table
}

// The same clip by another path is decoded again.
fn stem(clip: &Path) -> PathBuf {
    let clip = clip.canonicalize().unwrap();
    let meta = clip.metadata().unwrap();
    let age = meta.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes");
    let name = format!("{} {} {age} {} {FORMAT}", clip.display(), meta.len(), super::digest(&source));
    super::store().join(format!("table-{}", super::hex(&Sha256::digest(name)[..8])))
}

/// Removes the table of a clip whose pictures are too large to keep.
pub fn forget(clip: &Path) {
    for end in ["table", "yuv"] {
        std::fs::remove_file(stem(clip).with_extension(end)).unwrap();
    }
}

/// Counts up with the format of a table.
const FORMAT: u32 = 2;

/// One picture that came out of the double.
struct Recorded {
    key: String,
    bytes: String,
    /// `WIDTH HEIGHT DEPTH`.
    shape: String,
    /// In nanoseconds; `None` where the container tells no time.
    time: Option<i128>,
}

/// Adds the keys of what comes at and after each later key frame when decoding begins there.
fn entries(clip: &Path, scratch: &Path, whole: &[Recorded], keys: &mut HashMap<String, (String, usize)>) {
    let places: HashMap<i128, usize> =
        whole.iter().enumerate().filter_map(|(place, picture)| Some((picture.time?, place))).collect();
    let mut nothing_new = 0;
    for (packet, time) in key_packets(clip).into_iter().skip(1).take(ENTRIES_MAX) {
        let piece = scratch.join("entry.nut");
        let mut ffmpeg = ffmpeg();
        ffmpeg.args(["-y", "-copyts", "-i"]).arg(clip).args(["-map", "0:v:0", "-c", "copy", "-bsf:v"]);
        ffmpeg.arg(format!("noise=drop=lt(n\\,{packet})")).arg(&piece);
        super::super::run(&mut ffmpeg, 0);
        let before = keys.len();
        for picture in recorded(&piece, scratch) {
            // What comes before the key frame is not whole.
            let place = picture.time.filter(|at| *at >= time).and_then(|at| places.get(&at));
            if let Some(place) = place {
                keys.entry(picture.key).or_insert((picture.bytes, *place));
            }
        }
        nothing_new = if keys.len() == before { nothing_new + 1 } else { 0 };
        if nothing_new == CLOSED_ENOUGH {
            break;
        }
    }
}

/// The packets to begin at, by their number, with their times.
fn key_packets(clip: &Path) -> Vec<(usize, i128)> {
    let mut ffprobe = ffprobe(clip, "stream=time_base:packet=pts,flags");
    let text = String::from_utf8(super::super::run(&mut ffprobe, 0).stdout).unwrap();
    let base = text.lines().find(|line| line.contains('/')).unwrap().trim_end_matches(',').to_owned();
    // Side data leave lines of their own.
    let packets =
        text.lines().filter(|line| line.split(',').nth(1).is_some_and(|flags| flags.starts_with(['K', '_'])));
    let key = |(n, line): (usize, &str)| {
        let (time, flags) = line.split_once(',')?;
        flags.contains('K').then_some(())?;
        Some((n, nanoseconds(time.parse().ok()?, &base)))
    };
    packets.enumerate().filter_map(key).collect()
}

fn nanoseconds(time: i128, base: &str) -> i128 {
    let (over, under) = base.split_once('/').unwrap();
    let (over, under) = (over.parse::<i128>().unwrap(), under.parse::<i128>().unwrap());
    time * over * 1_000_000_000 / under
}

/// Decodes on the double, which writes down what it outputs.
fn recorded(clip: &Path, scratch: &Path) -> Vec<Recorded> {
    let record = scratch.join("record");
    std::fs::write(&record, "").unwrap();
    let fake = fake_cuda();
    let record_to = format!("record={}", record.display());
    fake.control(&[&record_to, "caps.codec=+av1,+av1-10,+hevc-12,+vp9-12", "caps.max=32768x32768"]);
    let mut ffmpeg = ffmpeg();
    ffmpeg.args(["-threads", "1", "-copyts", "-hwaccel", "cuda"]);
    // The default decoder for it never asks for a device.
    if is_av1(clip) {
        ffmpeg.args(["-c:v", "av1"]);
    }
    fake.lend(input(&mut ffmpeg, clip)).args(["-enc_time_base", "-1", "-f", "framecrc", "-"]);
    let told = String::from_utf8(super::super::run(&mut ffmpeg, 0).stdout).unwrap();
    let base = told.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap_or("1/1");
    let times = told.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let time = line.split(',').nth(2)?.trim().parse().ok()?;
        Some(nanoseconds(time, base))
    });
    let times: Vec<Option<i128>> = times.collect();
    let record = std::fs::read_to_string(record).unwrap_or_default();
    let keys: Vec<&str> = record.lines().collect();
    assert_eq!(keys.len(), times.len(), "{}: not all came from the double", clip.display());
    let picture = |(line, time): (&str, Option<i128>)| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap();
        Recorded { key: word(), bytes: word(), shape: word(), time }
    };
    keys.into_iter().zip(times).map(picture).collect()
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

fn ffprobe(clip: &Path, entries: &str) -> Command {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "csv=p=0"])
        .arg(clip);
    ffprobe
}

fn codec(clip: &Path) -> String {
    let told = super::super::run(&mut ffprobe(clip, "stream=codec_name"), 0).stdout;
    // A transport stream tells it once for the program and once for the stream.
    String::from_utf8(told).unwrap().lines().next().unwrap_or_default().trim_end_matches(',').to_owned()
}

/// Asks ffprobe.
pub fn is_av1(clip: &Path) -> bool {
    codec(clip) == "av1"
}

fn picture_bytes(shape: &str) -> u64 {
    let words: Vec<u64> = shape.split(' ').map(|word| word.parse().unwrap()).collect();
    let [width, height, depth] = words[..] else { panic!("{shape}") };
    let samples = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    samples * if depth > 8 { 2 } else { 1 }
}
