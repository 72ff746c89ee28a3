//! `stillframe doctor`: a host that works, and one that does not.
//!
//! Owns the promise of its exit codes and its JSON. Never depends on what else this machine has.

mod common;

use serde_json::Value;

/// Runs doctor with ports that are free; returns its checks.
fn doctor(arguments: &[&str], code: i32) -> Vec<Value> {
    let mut command = common::stillframe();
    command.env("STILLFRAME_API_LISTEN", "127.0.0.1:0").env("STILLFRAME_ADMIN_LISTEN", "127.0.0.1:0");
    let output = common::run(command.args(["doctor", "--json"]).args(arguments), code);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["checks"].as_array().unwrap().clone()
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
    for name in ["build", "libavcodec", "zimg", "containers", "jpeg", "data folder", "database", "api port"] {
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
