//! The exact frame: what `grab` decodes for an instant is, byte for byte, what a full decode shows then.
//!
//! The judge is the ffmpeg command line, which decodes every frame from the first packet on. Clips are made here;
//! real footage from `STILLFRAME_MEDIA` is judged too where it is there.

mod common;
#[path = "exact/every.rs"]
mod every;
#[path = "exact/film.rs"]
mod film;
#[path = "exact/footage.rs"]
mod footage;
#[path = "exact/generated.rs"]
mod generated;
#[path = "exact/h264_syntax.rs"]
mod h264_syntax;
#[path = "exact/h264_writer.rs"]
mod h264_writer;
#[path = "exact/more_recipes.rs"]
mod more_recipes;
#[path = "exact/recipes.rs"]
mod recipes;
#[path = "exact/written.rs"]
mod written;

use std::path::PathBuf;

use common::judge::check;
use common::{clips, json, stillframe};

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
