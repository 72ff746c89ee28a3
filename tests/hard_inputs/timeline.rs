//! Rows T1 to T13: where time 0 is, what time a frame has, and where the end is.

use crate::boxes;
use crate::common::{clips, footage, judge, stillframe};
use crate::tools::{check_footage, clip, grab, grab_at};

const X264: [&str; 6] = ["-c:v", "libx264", "-preset", "veryfast", "-g", "50"];

#[test]
fn t1_a_ts_that_starts_at_ten_hours() {
    let file = clip("t1.ts", "6", &[&X264[..], &["-output_ts_offset", "36000"]].concat());
    let got = grab_at(&file, &[0, 5990], &[]);
    assert_eq!(got.statuses(), ["ok", "ok"]);
    assert_eq!(got.numbers("shown_ms"), [0, 5960], "point 0 is the first frame");
    judge::check(&file);
    check_footage(&["ts_hevc_1080p24.ts", "bbb_mpeg2_1080p24.ts", "camera_h264_1080i_mts_a7m3.mts"]);
}

#[test]
fn t2_the_clock_of_33_bits_wraps_inside() {
    let wrapped = ["-output_ts_offset", "95433"];
    for (name, codec) in [("t2.ts", &X264[..]), ("t2m.ts", &["-c:v", "mpeg2video", "-g", "15"])] {
        let file = clip(name, "20", &[codec, &wrapped].concat());
        let times: Vec<i64> = (0..200).map(|n| n * 100).collect();
        let list = times.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let got = grab(&file, &["--width", "64", "--times-ms", &list]);
        let shown = got.numbers("shown_ms");
        assert_eq!(shown.len(), times.len(), "{}", got.report);
        assert!(shown.is_sorted(), "times go on over the wrap: {shown:?}");
        assert_eq!((shown[0], shown[199]), (0, 19_880), "the last point is found");
        got.insist_exact(&judge::truth(&file, 0));
        judge::check(&file);
    }
}

#[test]
fn t4_a_variable_rate_goes_by_timestamps() {
    let select = "select='lt(t\\,3)+not(mod(n\\,10))'";
    let x264 = ["-vf", select, "-fps_mode", "vfr", "-c:v", "libx264", "-g", "40"];
    let source = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=10"];
    for name in ["t4.mp4", "t4.mkv", "t4.ts"] {
        let file = clips::clip(name, &[&source[..], &x264].concat());
        let got = grab_at(&file, &[1500, 5200, 5400], &[]);
        // From 3 s on a frame stays for a third of a second.
        let (shown, third) = (got.numbers("shown_ms"), if name == "t4.mkv" { 5333 } else { 5334 });
        assert_eq!(shown, [1500, 5000, third], "{name}: Matroska rounds to milliseconds");
        judge::check(&file);
    }
    check_footage(&["phone_h264_720p_vfr_ducks.mp4", "screencast_h264_vfr_1080p.mkv"]);
}

#[test]
fn t6_a_container_that_claims_more_frames_than_there_are() {
    let whole = clip("t6.mp4", "10", &[&X264[..], &["-movflags", "+faststart"]].concat());
    let bytes = std::fs::read(&whole).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let got = grab(&cut, &["--count", "20"]);
    let truth = judge::truth(&whole, 0);
    let mut there = 0;
    for (picture, status) in got.pictures().iter().zip(got.statuses()) {
        let Some(want) = truth.at(picture["asked_ms"].as_i64().unwrap()) else { continue };
        match status {
            "ok" => assert_eq!(picture["frame_md5"], want.md5.as_str(), "{picture}"),
            "failed" => assert!(picture["reason"].as_str().unwrap().contains(" (decode): "), "{picture}"),
            // Beyond the last frame that is there it is told so, and which instant is shown.
            other => {
                assert!(["last_frame", "concealed"].contains(&other), "{picture}");
                assert!(picture["pts"].as_i64().unwrap() <= want.pts, "{picture}");
            }
        }
        there += usize::from(status == "ok");
    }
    assert!((5..15).contains(&there), "{:?}", got.statuses());
    assert!(got.statuses()[..5].iter().all(|status| *status == "ok"), "{:?}", got.statuses());
    let flagged = |status: &&str| ["last_frame", "failed"].contains(status);
    assert!(got.statuses()[15..].iter().all(flagged), "{:?}", got.statuses());
    // Sooner than the cut nothing is odd, not even the exit code.
    let early = grab_at(&cut, &[0, 1000, 2000], &[]);
    assert_eq!((early.code, early.statuses()), (Some(0), vec!["ok"; 3]));
}

#[test]
fn t7_an_edit_list_hides_leading_pictures() {
    let base = clip("t7_base.mp4", "6", &X264);
    let file = clips::clip("t7.mp4", &["-ss", "1.3", "-i", base.to_str().unwrap(), "-c", "copy"]);
    let got = grab_at(&file, &[0], &[]);
    let shown = judge::truth(&file, 0);
    // 1.3 s lies between two frames; the first one shown is the one after.
    assert_eq!(got.pictures()[0]["pts"], shown.frames[0].pts, "point 0 is the first shown frame");
    assert_eq!(got.pictures()[0]["key_frame"], false);
    judge::check(&file);
    check_footage(&["h264_edts.mp4", "phone_hevc10_hlg_editlist_rot90.mp4", "h264_start_852ms.mp4"]);
}

#[test]
fn t7_an_edit_list_hides_trailing_pictures() {
    let mut bytes = std::fs::read(clips::short()).unwrap();
    // The video's one edit ends a second before its packets do; the sound goes on.
    let edit = boxes::path(&bytes, &["moov", "trak", "edts", "elst"]).unwrap();
    let length = edit.body + 8;
    assert_eq!(bytes[length..length + 4], 4000_u32.to_be_bytes());
    bytes[length..length + 4].copy_from_slice(&3000_u32.to_be_bytes());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tail.mp4");
    std::fs::write(&file, bytes).unwrap();
    let got = grab_at(&file, &[2970, 3010, 3500, 3900], &[]);
    assert_eq!(got.numbers("shown_ms"), [2960; 4], "{}", got.report);
    assert_eq!((got.statuses()[0], got.statuses()[3]), ("ok", "last_frame"), "{}", got.report);
    judge::check(&file);
    check_footage(&["phone_hevc10_dolbyvision84_rot90.mov"]);
}

#[test]
fn t8_avi_with_b_pictures_and_no_pts() {
    judge::check(&clip("t8.avi", "6", &["-c:v", "libx264", "-bf", "3", "-g", "50"]));
    let xvid = ["-c:v", "mpeg4", "-bf", "2", "-vtag", "XVID", "-g", "50"];
    judge::check(&clip("t8x.avi", "6", &xvid));
    // No picture is off by one: every frame has its own time.
    let file = clip("t8.avi", "6", &["-c:v", "libx264", "-bf", "3", "-g", "50"]);
    let times: Vec<i64> = (0..150).map(|n| n * 40).collect();
    let got = grab_at(&file, &times, &["--width", "64"]);
    assert_eq!(got.numbers("shown_ms"), times);
    got.insist_exact(&judge::truth(&file, 0));
    check_footage(&["megamind_mpeg4_asp.avi", "camera_mjpeg_avi_640.avi"]);
}

#[test]
fn t9_a_raw_stream_works_by_counting() {
    for (name, codec) in [("t9.h264", "libx264"), ("t9.hevc", "libx265")] {
        let file = clip(name, "4", &["-c:v", codec, "-bf", "3", "-g", "50"]);
        let got = grab_at(&file, &[0, 2000, 3990, 4000], &[]);
        assert_eq!(got.statuses(), ["ok", "ok", "ok", "past_end"], "{name}: {}", got.report);
        assert_eq!(got.numbers("shown_ms"), [0, 2000, 3960], "{name}");
        judge::check(&file);
    }
    check_footage(&["flower_h264_720p_temporaldirect.264"]);
}

#[test]
fn t10_webm_without_duration_or_cues() {
    let file = clip("t10.webm", "6", &["-c:v", "libvpx", "-g", "50", "-f", "webm", "-live", "1"]);
    let duration = clips_duration(&file);
    let got = grab(&file, &["--count", "4"]);
    assert_eq!(duration, Some(6000), "a scan finds the end");
    assert_eq!(got.numbers("asked_ms"), [0, 1500, 3000, 4500]);
    assert_eq!(got.statuses(), ["ok"; 4]);
    judge::check(&file);
    check_footage(&["recorder_vp9_noduration.webm"]);
}

fn clips_duration(file: &std::path::Path) -> Option<i64> {
    let told = crate::common::json(stillframe().args(["probe", "--json"]).arg(file));
    told["media"]["duration_ms"].as_i64()
}

#[test]
fn t12_one_frame_serves_every_point() {
    for name in ["t12.mp4", "t12.mkv", "t12.ts"] {
        let file = clip(name, "1", &["-frames:v", "1", "-c:v", "libx264"]);
        let got = grab(&file, &["--count", "5"]);
        assert_eq!((got.code, got.statuses()), (Some(0), vec!["ok"; 5]), "{name}: {}", got.report);
        assert_eq!(got.numbers("shown_ms"), [0; 5]);
        got.insist_exact(&judge::truth(&file, 0));
    }
}

#[test]
fn t13_shorter_than_the_interval() {
    let file = clip("t13.mp4", "0.4", &["-c:v", "libx264"]);
    let got = grab(&file, &["--count", "3", "--interval-s", "10"]);
    assert_eq!(got.statuses(), ["ok", "past_end", "past_end"], "one picture at least");
    assert_eq!(got.code, Some(2));
    let got = grab(&file, &["--count", "3"]);
    assert_eq!((got.code, got.statuses()), (Some(0), vec!["ok"; 3]));
    judge::check(&file);
    if let Some(file) = footage("phone_hevc10_dolbyvision84_rot90.mov") {
        // 0.1 s long.
        assert_eq!(grab(&file, &["--count", "2", "--width", "64"]).statuses(), ["ok"; 2]);
    }
}
