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
