//! What each fault looks like to the ffmpeg command.
//!
//! Owns one test a fault. Never waits for a time: a hang is over when the log says that the call hangs.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::clips::clip;
use crate::common::fake::cuda::{self, FakeCuda};
use crate::common::{self, until};
use crate::{checksums, decode, ffmpeg, h264, lines, made};

fn hevc() -> std::path::PathBuf {
    let coding = ["-c:v", "libx265", "-x265-params", "keyint=25:log-level=error", "-pix_fmt", "yuv420p"];
    made("hevc-faults.mp4", &coding)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Places where two lists of pictures differ, and places that one of them lacks.
fn wrong(pictures: &[String], right: &[String]) -> usize {
    let differ = pictures.iter().zip(right).filter(|(picture, right)| picture != right).count();
    differ + pictures.len().abs_diff(right.len())
}

/// The run ends well and all pictures are right, though not one came from the device.
fn all_in_software(clip: &Path, fake: &FakeCuda) {
    let right = checksums(clip, None, "yuv420p");
    assert_eq!(checksums(clip, Some(fake), "yuv420p"), right);
    assert_eq!(fake.calls("MapVideoFrame"), 0);
    fake.assert_nothing_left();
}

#[test]
fn no_driver_or_one_that_lacks_symbols_is_no_device() {
    let clip = h264("plain.mp4", "keyint=25");
    let mut nothing = ffmpeg();
    let folder = tempfile::tempdir().unwrap();
    nothing.env("LD_LIBRARY_PATH", folder.path()).args(["-hwaccel", "cuda", "-i"]).arg(&clip);
    let output = nothing.args(["-f", "null", "-"]).output().unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("Cannot load libcuda.so.1"), "{}", stderr(&output));
    let output = decode(&clip, Some(&cuda::hollow_driver()), "yuv420p", 1);
    assert!(stderr(&output).contains("Cannot load cuInit"), "{}", stderr(&output));
}

#[test]
fn a_device_that_cannot_be_opened_is_an_error_at_once() {
    let clip = h264("plain.mp4", "keyint=25");
    for fault in ["Init=999", "DeviceGet=101", "CtxCreate=2", "devices=0"] {
        let fake = cuda::fake_cuda();
        fake.control(&[fault]);
        let output = decode(&clip, Some(&fake), "yuv420p", 1);
        assert!(
            stderr(&output).contains("Device creation failed: -542398533"),
            "{fault}: {}",
            stderr(&output)
        );
        assert_eq!(fake.calls("CreateDecoder"), 0, "{fault}");
        fake.assert_nothing_left();
    }
}

#[test]
fn the_device_that_is_asked_for_is_used() {
    let clip = h264("plain.mp4", "keyint=25");
    let fake = cuda::knowing(&[&clip]);
    fake.control(&["devices=2"]);
    let run = |device: &str, code: i32| {
        let mut command = ffmpeg();
        fake.lend(&mut command).args(["-hwaccel", "cuda", "-hwaccel_device", device, "-i"]).arg(&clip);
        common::run(command.args(["-f", "null", "-"]), code)
    };
    run("1", 0);
    let log = fake.log();
    let created = log.iter().find(|entry| entry.name == "CreateDecoder").unwrap();
    assert!(created.detail.ends_with("device=1"), "{created:?}");
    run("2", 1);
}

#[test]
fn a_host_that_only_computes_decodes_in_software_and_says_nothing() {
    let clip = h264("plain.mp4", "keyint=25");
    let fake = cuda::compute_only();
    all_in_software(&clip, &fake);
    assert_eq!(fake.calls("CtxCreate"), 1, "the device is there");
}

#[test]
fn what_the_capabilities_refuse_is_decoded_in_software() {
    let clip = h264("plain.mp4", "keyint=25");
    let refusals = [
        "caps.codec=-h264",
        "caps.codec=hevc,vp9",
        "caps.max=300x300",
        "CreateDecoder=2",
        "sessions=0",
        "memory=1",
    ];
    for refusal in refusals {
        let fake = cuda::knowing(&[&clip]);
        fake.control(&[refusal]);
        all_in_software(&clip, &fake);
    }
    let deep = made("high10.mp4", &["-c:v", "libx264", "-pix_fmt", "yuv420p10le"]);
    let fake = cuda::fake_cuda();
    assert_eq!(checksums(&deep, Some(&fake), "yuv420p10le"), checksums(&deep, None, "yuv420p10le"));
    assert_eq!(fake.calls("GetDecoderCaps"), 0, "no device is asked for H.264 of 10 bits");
}

#[test]
fn refused_av1_gives_no_picture() {
    let clip = made("av1.mp4", &["-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-pix_fmt", "yuv420p"]);
    let fake = cuda::fake_cuda();
    let mut command = ffmpeg();
    fake.lend(&mut command).args(["-hwaccel", "cuda", "-c:v", "av1", "-i"]).arg(&clip);
    let output = command.args(["-f", "framemd5", "-"]).output().unwrap();
    assert!(lines(&output).is_empty());
    assert!(stderr(&output).contains("Function not implemented"), "{}", stderr(&output));
}

#[test]
fn a_decoder_that_cannot_be_made_again_leaves_the_rest_to_software() {
    let clip = h264("plain.mp4", "keyint=25");
    let fake = cuda::knowing(&[&clip]);
    // At the second round the decoder is flushed, and H.264 then wants a new one.
    let twice = |fake: Option<&FakeCuda>| {
        let mut command = ffmpeg();
        command.args(["-stream_loop", "1"]);
        if let Some(fake) = fake {
            fake.lend(&mut command).args(["-hwaccel", "cuda"]);
        }
        command.arg("-i").arg(&clip).args(["-fps_mode", "passthrough", "-pix_fmt", "yuv420p"]);
        lines(&common::run(command.args(["-f", "framemd5", "-"]), 0))
    };
    let right = twice(None);
    assert_eq!(twice(Some(&fake)), right);
    assert_eq!((fake.calls("CreateDecoder"), fake.calls("MapVideoFrame")), (2, right.len()));
    fake.clear_log();
    fake.control(&["CreateDecoder@2+=2"]);
    assert_eq!(twice(Some(&fake)), right);
    assert_eq!((fake.calls("CreateDecoder"), fake.calls("MapVideoFrame")), (2, right.len() / 2));
    fake.assert_nothing_left();
}

#[test]
fn a_picture_that_is_not_decoded_spoils_those_that_refer_to_it() {
    let (clip, fault) = (h264("chain.mp4", "keyint=25:bframes=0"), ["DecodePicture@30=999"]);
    let right = checksums(&clip, None, "yuv420p");
    let fake = cuda::knowing(&[&clip]);
    fake.control(&fault);
    let output = decode(&clip, Some(&fake), "yuv420p", 0);
    assert!(stderr(&output).contains("CUDA_ERROR_UNKNOWN"), "{}", stderr(&output));
    let pictures = lines(&output);
    let spoiled = pictures.iter().filter(|picture| !right.contains(picture)).count();
    // The 20 after it in its group; the picture itself may come, and then shows what was in its surface before.
    assert_eq!((fake.misses(), spoiled), (20, 20), "{} pictures", pictures.len());
    fake.assert_nothing_left();
    let clip = hevc();
    let right = checksums(&clip, None, "yuv420p");
    let fake = cuda::knowing(&[&clip]);
    fake.control(&fault);
    assert_eq!(
        checksums(&clip, Some(&fake), "yuv420p").len(),
        right.len() - 1,
        "HEVC drops the picture itself"
    );
    fake.assert_nothing_left();
}

#[test]
fn a_picture_that_cannot_be_mapped_is_lost() {
    let clip = h264("plain.mp4", "keyint=25");
    let right = checksums(&clip, None, "yuv420p");
    for fault in ["MapVideoFrame@20=205", "MapVideoFrame@50=999"] {
        let fake = cuda::knowing(&[&clip]);
        fake.control(&[fault]);
        assert_eq!(checksums(&clip, Some(&fake), "yuv420p").len(), right.len() - 1, "{fault}");
        fake.assert_nothing_left();
    }
}

#[test]
fn a_copy_that_fails_is_seen_in_a_line_of_the_log_alone() {
    let clip = h264("plain.mp4", "keyint=25");
    let right = checksums(&clip, None, "yuv420p");
    for fault in ["Memcpy2DAsync@39=999", "Memcpy2DAsync@40=999", "StreamSynchronize@20=999"] {
        let fake = cuda::knowing(&[&clip]);
        fake.control(&[fault]);
        let output = decode(&clip, Some(&fake), "yuv420p", 0);
        let pictures = lines(&output);
        let differ: Vec<usize> = (0..right.len()).filter(|n| pictures[*n] != right[*n]).collect();
        assert_eq!((pictures.len(), differ), (right.len(), vec![19]), "{fault}");
        assert!(stderr(&output).contains("hwctx->stream) failed"), "{}", stderr(&output));
        fake.assert_nothing_left();
    }
}

#[test]
fn wrong_pixels_are_seen_by_nobody() {
    let clip = h264("plain.mp4", "keyint=25");
    let right = checksums(&clip, None, "yuv420p");
    for fault in ["MapVideoFrame@20=wrong", "DecodePicture@20=wrong", "Memcpy2DAsync@39=wrong"] {
        let fake = cuda::knowing(&[&clip]);
        fake.control(&[fault]);
        let output = decode(&clip, Some(&fake), "yuv420p", 0);
        assert_eq!((wrong(&lines(&output), &right), stderr(&output).as_str()), (1, ""), "{fault}");
    }
}

#[test]
fn an_error_that_sticks_comes_back_from_every_call() {
    let clip = h264("plain.mp4", "keyint=25");
    let fake = cuda::knowing(&[&clip]);
    fake.control(&["DecodePicture@20=sticky:700"]);
    let output = decode(&clip, Some(&fake), "yuv420p", 0);
    assert!(lines(&output).len() < 20, "{} pictures", lines(&output).len());
    assert!(stderr(&output).contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{}", stderr(&output));
    let log = fake.log();
    let after = log.iter().skip_while(|entry| entry.result != "700").filter(|entry| entry.name != "exit");
    let done = after.filter(|entry| entry.result == "0").count();
    assert_eq!(done, 0, "after the error a call went well");
    let end = log.iter().rfind(|entry| entry.name == "exit").unwrap();
    assert!(end.detail.starts_with("contexts=0 decoders=0 "), "{end:?}");
}

#[test]
fn pictures_that_are_held_exhaust_the_surfaces() {
    let clip = h264("plain.mp4", "keyint=25");
    let fake = cuda::knowing(&[&clip]);
    let mut command = ffmpeg();
    fake.lend(&mut command).args(["-hwaccel", "cuda", "-hwaccel_output_format", "cuda", "-i"]).arg(&clip);
    command.args(["-vf", "reverse,hwdownload,format=nv12", "-f", "framemd5", "-"]);
    let output = command.output().unwrap();
    assert!(stderr(&output).contains("No decoder surfaces left"), "{}", stderr(&output));
    assert!(lines(&output).len() < 50);
    fake.assert_nothing_left();
}

#[test]
fn a_hang_ends_with_the_process_and_a_crash_ends_it() {
    let clip = h264("plain.mp4", "keyint=25");
    let start = |fake: &FakeCuda| {
        let mut command: Command = ffmpeg();
        fake.lend(&mut command).args(["-hwaccel", "cuda", "-i"]).arg(&clip).args(["-f", "null", "-"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for call in ["DecodePicture@5", "MapVideoFrame@3", "StreamSynchronize@2", "CtxCreate", "CreateDecoder"] {
        let fake = cuda::fake_cuda();
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

#[test]
fn the_last_row_of_chroma_is_lost_where_the_height_is_odd() {
    let source = ["-f", "lavfi", "-i", "testsrc=size=322x181:rate=25:duration=1"];
    let coding = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p"];
    let clip = clip("odd.webm", &[&source[..], &coding].concat());
    let fake = cuda::knowing(&[&clip]);
    let pictures = checksums(&clip, Some(&fake), "yuv420p");
    assert_eq!(fake.misses(), 0);
    let right = checksums(&clip, None, "yuv420p");
    assert_eq!((pictures.len(), wrong(&pictures, &right)), (25, 25));
}
