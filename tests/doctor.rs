//! `stillframe doctor`: a host that works, and one that does not.
//!
//! Owns the promise of its exit codes and its JSON. Never depends on what else this machine has.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use common::fake::cuda::{self, FakeCuda};

/// Doctor with ports that are free, and without the devices that this machine may have.
fn command(arguments: &[&str]) -> Command {
    let mut command = common::stillframe();
    command.env("STILLFRAME_API_LISTEN", "127.0.0.1:0").env("STILLFRAME_ADMIN_LISTEN", "127.0.0.1:0");
    command.env("STILLFRAME_DEVICES_BACKEND", "cpu").args(["doctor", "--json"]).args(arguments);
    command
}

fn told(command: &mut Command, code: i32) -> Value {
    serde_json::from_slice(&common::run(command, code).stdout).unwrap()
}

/// Runs doctor; returns its checks.
fn doctor(arguments: &[&str], code: i32) -> Vec<Value> {
    told(&mut command(arguments), code)["checks"].as_array().unwrap().clone()
}

/// Runs doctor with the double of a device as the one that is configured.
fn with_device(fake: &FakeCuda, code: i32) -> (Vec<Value>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&["--data", folder.path().to_str().unwrap()]);
    command.env("STILLFRAME_DEVICES_BACKEND", "auto").env("STILLFRAME_DEVICES_CUDA", "0");
    let told = told(fake.lend(&mut command), code);
    (told["checks"].as_array().unwrap().clone(), told["devices"][0].clone())
}

/// A double that knows every built-in clip.
fn knowing() -> FakeCuda {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/media/proof");
    let clips = std::fs::read_dir(clips).unwrap().map(|entry| entry.unwrap().path());
    let clips: Vec<PathBuf> = clips.filter(|path| path.extension().is_some_and(|end| end == "mkv")).collect();
    assert!(clips.len() >= 10, "{clips:?}");
    cuda::knowing(&clips.iter().map(PathBuf::as_path).collect::<Vec<_>>())
}

fn verdict<'a>(checks: &'a [Value], name: &str) -> &'a str {
    let check = checks.iter().find(|check| check["check"] == name);
    check.unwrap_or_else(|| panic!("no check {name}: {checks:?}"))["verdict"].as_str().unwrap()
}

#[test]
fn a_host_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let root = folder.path().to_str().unwrap();
    let checks = doctor(&["--data", data.to_str().unwrap(), "--media-root", root], 0);
    for name in [
        "build",
        "libavcodec",
        "zimg",
        "containers",
        "jpeg",
        "data folder",
        "database",
        "api port",
        "devices",
    ] {
        assert_eq!(verdict(&checks, name), "ok", "{checks:?}");
    }
    // What it wrote to see whether it can is gone, and what is not there was not made.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_host_that_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // A folder that even root cannot write into.
    let arguments = ["--data", "/proc/stillframe", "--media-root", missing.to_str().unwrap()];
    let mut command = common::stillframe();
    command.env("STILLFRAME_API_LISTEN", taken.local_addr().unwrap().to_string());
    command.env("STILLFRAME_ADMIN_LISTEN", "127.0.0.1:0");
    let output = common::run(command.args(["doctor", "--json"]).args(arguments), 1);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = told["checks"].as_array().unwrap();
    let root = format!("media root {}", missing.display());
    for name in ["data folder", "database", &root, "api port"] {
        assert_eq!(verdict(checks, name), "fault", "{checks:?}");
    }
    assert_eq!(verdict(checks, "admin port"), "ok", "{checks:?}");
}

#[test]
fn a_configuration_that_is_wrong_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stillframe.toml");
    std::fs::write(&file, "[api]\nno_such_key = 1\n").unwrap();
    let checks = doctor(&["--config", file.to_str().unwrap()], 1);
    assert_eq!(verdict(&checks, "settings"), "fault", "{checks:?}");
    assert_eq!(verdict(&checks, "libavcodec"), "ok", "{checks:?}");
}

#[test]
fn a_device_that_works() {
    let fake = knowing();
    let (checks, device) = with_device(&fake, 0);
    assert_eq!(verdict(&checks, "device cuda:0"), "ok", "{checks:?}");
    for class in ["h264 8 bit", "hevc 8 bit", "hevc 10 bit", "vp9 8 bit", "mpeg2video 8 bit", "mpeg4 8 bit"] {
        assert_eq!(verdict(&checks, &format!("cuda:0 {class}")), "ok", "{checks:?}");
    }
    // The double is of a kind that does not decode it.
    let others = checks.iter().find(|check| check["check"] == "cuda:0 others").unwrap();
    assert!(others["text"].as_str().unwrap().contains("av1 8 bit"), "{others}");
    let decodes = device["decodes"].as_array().unwrap();
    assert!(decodes.len() > 5 && decodes.iter().all(|row| row["exact"] == true), "{device}");
    assert_eq!(fake.misses(), 0);
    fake.assert_nothing_left();
}

#[test]
fn a_device_that_decodes_wrong_or_dies_of_it() {
    let fake = knowing();
    for (fault, reason) in [("MapVideoFrame=wrong", "unproven"), ("CreateDecoder=crash", "crash")] {
        fake.control(&["caps.codec=h264,hevc", fault]);
        let (checks, device) = with_device(&fake, 1);
        assert_eq!(verdict(&checks, "device cuda:0"), "ok", "{checks:?}");
        for (n, class) in ["h264 8 bit", "hevc 8 bit"].into_iter().enumerate() {
            assert_eq!(verdict(&checks, &format!("cuda:0 {class}")), "fault", "{checks:?}");
            assert_eq!(device["decodes"][n]["why_not"]["reason"], reason, "{device}");
        }
    }
}

#[test]
fn a_device_that_does_not_open() {
    for (fake, part) in [(cuda::compute_only(), "libnvcuvid"), (cuda::hollow_driver(), "cuda:0")] {
        let (checks, device) = with_device(&fake, 1);
        assert_eq!(verdict(&checks, "device cuda:0"), "fault", "{checks:?}");
        assert_eq!(device["why_not"]["reason"], "no_device");
        assert!(device["why_not"]["text"].as_str().unwrap().contains(part), "{device}");
    }
}

/// What FFmpeg offers: short lists, whatever is linked.
#[test]
fn what_an_input_can_reach() {
    let output = common::run(common::stillframe().args(["doctor", "--media", "--json"]), 0);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |of: &Value, kind: &str| of[kind].as_array().unwrap().len();
    assert!((10..=16).contains(&count(&told, "demuxers")), "{told}");
    assert!((20..=25).contains(&count(&told, "decoders")), "{told}");
    assert_eq!(count(&told, "protocols"), 0, "{told}");
    let decoders = told["decoders"].as_array().unwrap();
    let h264 = decoders.iter().find(|decoder| decoder["name"] == "h264").unwrap();
    assert!(h264["hwaccels"].as_array().unwrap().iter().all(|device| device.is_string()), "{told}");
    // FFmpeg has more decoders than the lists let through: theora is built on vp3's.
    assert!(told["linked"]["decoders"].as_u64().unwrap() > 25, "{told}");

    let text = common::run(common::stillframe().args(["doctor", "--media"]), 0);
    let text = String::from_utf8(text.stdout).unwrap();
    for line in ["  mov,mp4,m4a,3gp,3g2,mj2", "protocols 0 of "] {
        assert!(text.lines().any(|told| told.starts_with(line)), "{line}: {text}");
    }
    assert!(text.lines().any(|line| line.starts_with("  h264")), "{text}");
}

/// A portable build has nothing else in it, and both kinds of devices.
#[cfg(feature = "portable")]
#[test]
fn what_the_portable_build_holds() {
    let output = common::run(common::stillframe().args(["doctor", "--media", "--json"]), 0);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let linked = |kind: &str| told["linked"][kind].as_u64().unwrap();
    // Three more than the list has serve those of the list.
    assert_eq!((linked("demuxers"), linked("protocols")), (16, 0), "{told}");
    // vp3 and vp6 come with theora and vp6f, and are on no list.
    assert_eq!(linked("decoders"), 27, "{told}");
    assert_eq!(told["decoders"].as_array().unwrap().len(), 25, "{told}");
    for name in ["h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "vc1", "mjpeg"] {
        let decoder = told["decoders"].as_array().unwrap().iter().find(|decoder| decoder["name"] == name);
        assert_eq!(decoder.unwrap()["hwaccels"], serde_json::json!(["cuda", "vaapi"]), "{name}: {told}");
    }
}
