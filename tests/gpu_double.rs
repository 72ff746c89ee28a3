//! The doubles of GPU drivers, with the ffmpeg command as their caller.
//!
//! Owns the proof that FFmpeg's CUDA road runs through the double with exact pictures, and that each fault looks to the
//! caller as it should. Never says anything about a device.

mod common;
#[path = "gpu_double/direct.rs"]
mod direct;
#[path = "gpu_double/faults.rs"]
mod faults;
#[path = "gpu_double/vaapi.rs"]
mod vaapi;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::clips::clip;
use common::fake::cuda::{self, FakeCuda};
use common::fake::table;

const TWO_SECONDS: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"];

fn made(name: &str, coding: &[&str]) -> PathBuf {
    clip(name, &[&TWO_SECONDS[..], coding].concat())
}

fn h264(name: &str, parameters: &str) -> PathBuf {
    made(name, &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", parameters])
}

fn ffmpeg() -> Command {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    ffmpeg
}

/// One checksum a picture.
fn checksums(clip: &Path, fake: Option<&FakeCuda>, format: &str) -> Vec<String> {
    lines(&decode(clip, fake, format, 0))
}

/// The checksums alone of what `-f framemd5` printed.
fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let pictures = text.lines().filter(|line| !line.starts_with('#'));
    pictures.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

fn decode(clip: &Path, fake: Option<&FakeCuda>, format: &str, code: i32) -> Output {
    let mut ffmpeg = ffmpeg();
    if let Some(fake) = fake {
        // One thread: each more is one surface more.
        fake.lend(&mut ffmpeg).args(["-threads", "1", "-hwaccel", "cuda"]);
        if table::is_av1(clip) {
            ffmpeg.args(["-c:v", "av1"]);
        }
    }
    ffmpeg.arg("-i").arg(clip).args(["-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt", format]);
    common::run(ffmpeg.args(["-f", "framemd5", "-"]), code)
}

/// Every picture that came through the double is the one that software decodes.
fn is_exact(clip: &Path, format: &str, control: &[&str]) {
    let fake = cuda::knowing(&[clip]);
    fake.control(control);
    let software = checksums(clip, None, format);
    let hardware = checksums(clip, Some(&fake), format);
    assert!(software.len() >= 40, "{} pictures only", software.len());
    assert_eq!(hardware, software, "{}", clip.display());
    assert_eq!(fake.misses(), 0, "{}", clip.display());
    assert_eq!(
        fake.calls("MapVideoFrame"),
        software.len(),
        "{}: not all came from the double",
        clip.display()
    );
    fake.assert_nothing_left();
}

#[test]
fn h264_is_exact() {
    is_exact(&h264("plain.mp4", "keyint=25"), "yuv420p", &[]);
    is_exact(&h264("open.mp4", "keyint=25:open-gop=1:bframes=3:b-pyramid=normal"), "yuv420p", &[]);
    is_exact(&h264("weight.mp4", "keyint=25:weightp=2:ref=4"), "yuv420p", &[]);
}

#[test]
fn interlaced_h264_is_exact() {
    // Fields, and frames whose blocks choose between frame and field.
    is_exact(&h264("interlaced.mp4", "keyint=25:interlaced=1:bframes=2"), "yuv420p", &[]);
    is_exact(&h264("mbaff.ts", "keyint=12:tff=1:open-gop=1"), "yuv420p", &[]);
}

#[test]
fn hevc_is_exact() {
    let coding = ["-c:v", "libx265", "-x265-params", "keyint=25:log-level=error:open-gop=1", "-pix_fmt"];
    is_exact(&made("hevc.mp4", &[&coding[..], &["yuv420p"]].concat()), "yuv420p", &[]);
    is_exact(&made("hevc10.mp4", &[&coding[..], &["yuv420p10le"]].concat()), "yuv420p10le", &[]);
}

#[test]
fn vp9_is_exact() {
    let coding =
        ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k", "-g", "25"];
    is_exact(&made("vp9.webm", &[&coding[..], &["-pix_fmt", "yuv420p"]].concat()), "yuv420p", &[]);
    // With pictures that are never shown.
    let hidden = [
        "-c:v",
        "libvpx-vp9",
        "-cpu-used",
        "8",
        "-b:v",
        "400k",
        "-auto-alt-ref",
        "1",
        "-lag-in-frames",
        "16",
    ];
    is_exact(
        &made("vp9-hidden.webm", &[&hidden[..], &["-pix_fmt", "yuv420p10le"]].concat()),
        "yuv420p10le",
        &[],
    );
}

#[test]
fn av1_is_exact_where_it_is_offered() {
    let offered = ["caps.codec=+av1,+av1-10"];
    let coding = ["-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-pix_fmt"];
    is_exact(&made("av1.mp4", &[&coding[..], &["yuv420p"]].concat()), "yuv420p", &offered);
    is_exact(&made("av1-10.mp4", &[&coding[..], &["yuv420p10le"]].concat()), "yuv420p10le", &offered);
}

#[test]
fn mpeg_is_exact() {
    is_exact(&made("mpeg2.ts", &["-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "4"]), "yuv420p", &[]);
    let fields = ["-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-flags", "+ildct+ilme", "-q:v", "4"];
    is_exact(&made("mpeg2-interlaced.ts", &fields), "yuv420p", &[]);
    is_exact(&made("mpeg4.mkv", &["-c:v", "mpeg4", "-bf", "2", "-g", "25", "-q:v", "4"]), "yuv420p", &[]);
}

/// Decodes from a time on, after a seek to the key frame before it.
fn from_there(clip: &Path, time: &str, fake: Option<&FakeCuda>) -> Vec<String> {
    let mut ffmpeg = ffmpeg();
    ffmpeg.args(["-ss", time]);
    if let Some(fake) = fake {
        fake.lend(&mut ffmpeg).args(["-threads", "1", "-hwaccel", "cuda"]);
        if table::is_av1(clip) {
            ffmpeg.args(["-c:v", "av1"]);
        }
    }
    ffmpeg.arg("-i").arg(clip).args(["-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt", "yuv420p"]);
    lines(&common::run(ffmpeg.args(["-f", "framemd5", "-"]), 0))
}

#[test]
fn a_group_that_is_entered_in_the_middle_is_exact() {
    let x264 = "keyint=13:open-gop=1:bframes=3:b-pyramid=normal:scenecut=0";
    let x265 = "keyint=13:open-gop=1:scenecut=0:log-level=error";
    let clips = [
        h264("entries.mp4", x264),
        h264("entries-fields.mp4", &format!("{x264}:interlaced=1")),
        made("entries-hevc.mp4", &["-c:v", "libx265", "-pix_fmt", "yuv420p", "-x265-params", x265]),
        made("entries-vp9.webm", &["-c:v", "libvpx-vp9", "-cpu-used", "8", "-b:v", "400k", "-g", "13"]),
        made("entries-av1.mp4", &["-c:v", "libsvtav1", "-preset", "12", "-g", "13", "-pix_fmt", "yuv420p"]),
        made("entries-mpeg2.mkv", &["-c:v", "mpeg2video", "-bf", "2", "-g", "13", "-q:v", "4"]),
        made("entries-mpeg4.mkv", &["-c:v", "mpeg4", "-bf", "2", "-g", "13", "-q:v", "4"]),
    ];
    for clip in clips {
        let fake = cuda::knowing(&[&clip]);
        fake.control(&["caps.codec=+av1"]);
        for time in ["0.6", "1.3"] {
            let right = from_there(&clip, time, None);
            assert!(right.len() >= 10);
            assert_eq!(from_there(&clip, time, Some(&fake)), right, "{} from {time} s", clip.display());
        }
    }
}

/// Real footage that the double offers to decode, with the format to compare in.
const FOOTAGE: &[(&str, &str)] = &[
    ("av1_960x540_gop100.mp4", "yuv420p"),
    ("av1_hdr10_1080p60_mdcv.mp4", "yuv420p10le"),
    ("bbb_h264_bpyramid_3b_sar.mp4", "yuv420p"),
    ("bbb_mpeg2_1080p24.ts", "yuv420p"),
    ("bbb_vp9_sar.mp4", "yuv420p"),
    ("camera_h264_1080i_mts_a7m3.mts", "yuv420p"),
    ("cctv_h264_768x432_gop10.mp4", "yuv420p"),
    ("decord_pancake.mkv", "yuv420p"),
    ("flower_h264_720p_temporaldirect.264", "yuv420p"),
    ("h264_edts.mp4", "yuv420p"),
    ("h264_nasa_two_streams.mp4", "yuv420p"),
    ("h264_start_852ms.mp4", "yuv420p"),
    ("hevc_1080p30_10s.mp4", "yuvj420p"),
    ("megamind_mpeg4_asp.avi", "yuv420p"),
    ("phone_h264_1080p30_android.mp4", "yuv420p"),
    ("phone_h264_360p_rot90_gps.mov", "yuv420p"),
    ("phone_h264_720p_vfr_ducks.mp4", "yuv420p"),
    ("phone_hevc10_dolbyvision84_rot90.mov", "yuv420p10le"),
    ("phone_hevc10_hdr10_vfr.mp4", "yuv420p10le"),
    ("phone_hevc10_hlg_editlist_rot90.mp4", "yuv420p10le"),
    ("recorder_vp9_noduration.webm", "yuv420p"),
    ("screencast_h264_vfr_1080p.mkv", "yuv420p"),
    ("ts_hevc_1080p24.ts", "yuv420p"),
    ("ts_missing_key_flags_720p60.ts", "yuv420p"),
];

#[test]
fn footage_is_exact() {
    for (name, format) in FOOTAGE {
        let Some(path) = common::footage(name) else { return };
        let extension = path.extension().unwrap().to_str().unwrap();
        // Some pictures are enough, and all of them are kept while this runs.
        let cut = ["-i", path.to_str().unwrap(), "-map", "0:v:0", "-c", "copy", "-frames:v", "24"];
        let piece = clip(&format!("piece.{extension}"), &cut);
        let fake = cuda::knowing(&[&piece]);
        fake.control(&["caps.codec=+av1,+av1-10"]);
        let right = checksums(&piece, None, format);
        assert_eq!(checksums(&piece, Some(&fake), format), right, "{name}");
        assert!(right.len() >= 5, "{name}: {} pictures", right.len());
        assert_eq!((fake.misses(), fake.calls("MapVideoFrame")), (0, right.len()), "{name}");
        if *name == "camera_h264_1080i_mts_a7m3.mts" {
            let fields = fake.log().iter().filter(|entry| entry.detail.ends_with("second=1")).count();
            assert_eq!(fields, right.len(), "each picture of it has two fields");
        }
        fake.assert_nothing_left();
        table::forget(&piece);
    }
}
