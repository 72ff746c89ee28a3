//! The double of a VAAPI driver, with the ffmpeg command as its caller.
//!
//! Owns set-up, exact pictures, and one test a fault. Never says anything about a device.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::clips::clip;
use crate::common::fake::table;
use crate::common::fake::vaapi::{self, FakeVaapi, NODE};
use crate::common::{self, until};
use crate::{checksums, ffmpeg, h264, lines, made};

fn command(clip: &Path, fake: &FakeVaapi) -> Command {
    let mut command = ffmpeg();
    fake.lend(&mut command).args(["-threads", "1", "-hwaccel", "vaapi", "-hwaccel_device", NODE]);
    if table::is_av1(clip) {
        command.args(["-c:v", "av1"]);
    }
    command.arg("-i").arg(clip).args(["-map", "0:v:0", "-fps_mode", "passthrough"]);
    command
}

fn decode(clip: &Path, fake: &FakeVaapi, format: &str) -> Output {
    command(clip, fake).args(["-pix_fmt", format, "-f", "framemd5", "-"]).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_exact(clip: &Path, format: &str) {
    let fake = vaapi::knowing(&[clip]);
    fake.control(&["caps.codec=+av1"]);
    let right = checksums(clip, None, format);
    let output = decode(clip, &fake, format);
    assert_eq!((lines(&output), stderr(&output).as_str()), (right.clone(), ""), "{}", clip.display());
    assert_eq!((fake.misses(), fake.calls("GetImage")), (0, right.len()), "{}", clip.display());
    fake.assert_nothing_left();
}

#[test]
fn pictures_are_exact() {
    is_exact(&h264("plain.mp4", "keyint=25"), "yuv420p");
    is_exact(&h264("interlaced.mp4", "keyint=25:interlaced=1:bframes=2"), "yuv420p");
    let coding = ["-c:v", "libx265", "-x265-params", "keyint=25:log-level=error:open-gop=1", "-pix_fmt"];
    is_exact(&made("hevc.mp4", &[&coding[..], &["yuv420p"]].concat()), "yuv420p");
    is_exact(&made("hevc10.mp4", &[&coding[..], &["yuv420p10le"]].concat()), "yuv420p10le");
    is_exact(&made("mpeg2.ts", &["-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "4"]), "yuv420p");
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
    is_exact(&made("vp9-hidden.webm", &[&hidden[..], &["-pix_fmt", "yuv420p10le"]].concat()), "yuv420p10le");
    let coding = ["-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-pix_fmt"];
    is_exact(&made("av1.mp4", &[&coding[..], &["yuv420p"]].concat()), "yuv420p");
    let Some(fields) = common::footage("camera_h264_1080i_mts_a7m3.mts") else { return };
    let cut = ["-i", fields.to_str().unwrap(), "-map", "0:v:0", "-c", "copy", "-frames:v", "24"];
    let piece = clip("piece-of-fields.mts", &cut);
    is_exact(&piece, "yuv420p");
    table::forget(&piece);
}

#[test]
fn mpeg_4_comes_as_a_checkerboard() {
    let clip = made("mpeg4.mkv", &["-c:v", "mpeg4", "-bf", "2", "-g", "25", "-q:v", "4"]);
    let fake = vaapi::fake_vaapi();
    let pictures = lines(&decode(&clip, &fake, "yuv420p"));
    let right = checksums(&clip, None, "yuv420p");
    assert_eq!((pictures.len(), fake.misses()), (right.len(), right.len()));
    fake.assert_nothing_left();
}

#[test]
fn a_display_that_cannot_be_had_is_an_error_at_once() {
    let clip = h264("plain.mp4", "keyint=25");
    for (fault, told) in [("GetDisplay=1", "-542398533"), ("Initialize=1", "-5")] {
        let fake = vaapi::fake_vaapi();
        fake.control(&[fault]);
        let output = decode(&clip, &fake, "yuv420p");
        assert_eq!(output.status.code(), Some(1), "{fault}");
        assert!(stderr(&output).contains(&format!("Device creation failed: {told}.")), "{}", stderr(&output));
        assert_eq!(fake.calls("CreateConfig"), 0, "{fault}");
    }
    let fake = vaapi::fake_vaapi();
    let mut absent = ffmpeg();
    fake.lend(&mut absent)
        .args(["-hwaccel", "vaapi", "-hwaccel_device", "/dev/null/absent", "-i"])
        .arg(&clip);
    common::run(absent.args(["-f", "null", "-"]), 1);
    assert_eq!(fake.calls("GetDisplay"), 0);
}

#[test]
fn what_is_refused_is_decoded_in_software_and_nobody_says_so() {
    let clip = h264("plain.mp4", "keyint=25");
    let right = checksums(&clip, None, "yuv420p");
    let refusals = [
        "caps.codec=-h264",
        "caps.max=300x300",
        "CreateConfig=2",
        "QuerySurfaceAttributes=1",
        "CreateSurfaces=2",
        "CreateContext=2",
    ];
    for refusal in refusals {
        let fake = vaapi::knowing(&[&clip]);
        fake.control(&[refusal]);
        let output = decode(&clip, &fake, "yuv420p");
        assert_eq!((lines(&output), output.status.code()), (right.clone(), Some(0)), "{refusal}");
        assert_eq!(fake.calls("BeginPicture"), 0, "{refusal}");
        fake.assert_nothing_left();
    }
}

#[test]
fn a_picture_that_fails_spoils_those_that_refer_to_it() {
    let clip = h264("chain.mp4", "keyint=25:bframes=0");
    let right = checksums(&clip, None, "yuv420p");
    // Four buffers a picture: its parameters, its matrices, and two for its one slice.
    for fault in ["BeginPicture@30=23", "RenderPicture@59=23", "EndPicture@30=23", "CreateBuffer@117=2"] {
        let fake = vaapi::knowing(&[&clip]);
        fake.control(&[fault]);
        let output = decode(&clip, &fake, "yuv420p");
        let spoiled = lines(&output).iter().filter(|picture| !right.contains(picture)).count();
        assert_eq!((fake.misses(), output.status.code()), (spoiled, Some(0)), "{fault}");
        assert!((20..=21).contains(&spoiled), "{fault}: {spoiled}");
        assert!(stderr(&output).contains("Failed to"), "{fault}: {}", stderr(&output));
        fake.assert_nothing_left();
    }
}

#[test]
fn a_picture_that_cannot_be_fetched_is_an_error_of_the_transfer() {
    let clip = h264("plain.mp4", "keyint=25");
    for fault in ["SyncSurface@20=23", "CreateImage@20=2", "GetImage@20=1", "MapBuffer@20=1"] {
        let fake = vaapi::knowing(&[&clip]);
        fake.control(&[fault]);
        let output = decode(&clip, &fake, "yuv420p");
        assert!(
            stderr(&output).contains("Failed to transfer data to output frame: -5."),
            "{fault}: {}",
            stderr(&output)
        );
        assert!(lines(&output).len() < 50, "{fault}");
        fake.assert_nothing_left();
    }
}

#[test]
fn wrong_pixels_and_errors_that_stick() {
    let clip = h264("plain.mp4", "keyint=25");
    let right = checksums(&clip, None, "yuv420p");
    for fault in ["GetImage@20=wrong", "EndPicture@20=wrong"] {
        let fake = vaapi::knowing(&[&clip]);
        fake.control(&[fault]);
        let output = decode(&clip, &fake, "yuv420p");
        let differ = lines(&output).iter().zip(&right).filter(|(picture, right)| picture != right).count();
        assert_eq!((differ, stderr(&output).as_str()), (1, ""), "{fault}");
    }
    let fake = vaapi::knowing(&[&clip]);
    fake.control(&["EndPicture@20=sticky:1"]);
    assert!(lines(&decode(&clip, &fake, "yuv420p")).len() < 20);
    let end = fake.log().into_iter().rfind(|entry| entry.name == "exit").unwrap();
    assert!(end.detail.starts_with("configs=0 contexts=0 surfaces=0 buffers=0"), "{end:?}");
}

#[test]
fn a_hang_and_a_crash() {
    let clip = h264("plain.mp4", "keyint=25");
    let start = |fake: &FakeVaapi| {
        let mut command = command(&clip, fake);
        command.args(["-f", "null", "-"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for call in ["Initialize", "EndPicture@5", "SyncSurface@3"] {
        let fake = vaapi::fake_vaapi();
        fake.control(&[&format!("{call}=hang")]);
        let mut child = start(&fake);
        until("the call hangs", || fake.log().into_iter().find(|entry| entry.result == "hangs"));
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        fake.control(&[&format!("{call}=crash")]);
        assert_eq!(start(&fake).wait().unwrap().signal(), Some(11), "{call}");
    }
}
