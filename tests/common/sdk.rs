//! Runs one of Alibaba's SDKs, unmodified, against a daemon, and checks what its caller saw.
//!
//! Owns the programs of `tests/sdk` and the folder `STILLFRAME_SDK` that `scripts/sdks` fills. Never installs anything.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::daemon::{Daemon, Setup, file_url};

/// Which runtime a program needs.
#[derive(Clone, Copy, Debug)]
pub enum Runtime {
    /// A Python environment of this name.
    Python(&'static str),
    Node,
}

/// The command that runs `tests/sdk/PROGRAM`; none, with a word why, where the SDK is not installed.
fn command(runtime: Runtime, program: &str) -> Option<Command> {
    let Some(folder) = std::env::var_os("STILLFRAME_SDK").map(PathBuf::from) else {
        eprintln!("not run: {program}: STILLFRAME_SDK is not set (scripts/sdks fills it)");
        return None;
    };
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let (interpreter, needed) = match runtime {
        Runtime::Python(name) => (folder.join(name).join("bin/python"), folder.join(name).join("bin/python")),
        Runtime::Node => ("node".into(), folder.join("node/node_modules")),
    };
    if !needed.exists() {
        eprintln!("not run: {program}: {} is not there (scripts/sdks makes it)", needed.display());
        return None;
    }
    let mut command = Command::new(interpreter);
    command.arg(programs.join(program));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("NODE_PATH", folder.join("node/node_modules"));
    // Credentials of whoever runs the tests, proxies and the like are none of the SDK's business here.
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    Some(command)
}

/// Runs a program against a new daemon; returns the daemon and what the program told.
pub fn told(setup: Setup, runtime: Runtime, program: &str, arguments: &[&str]) -> Option<(Daemon, Value)> {
    let mut command = command(runtime, program)?;
    let daemon = Daemon::start(setup);
    let video = daemon.put(&super::clips::short());
    command
        .args(arguments)
        .env("STILLFRAME_ENDPOINT", daemon.api.to_string())
        .env("STILLFRAME_ACCESS_KEY_ID", &daemon.key.id)
        .env("STILLFRAME_ACCESS_KEY_SECRET", &daemon.key.secret)
        .env("STILLFRAME_VIDEO_URL", file_url(&video));
    let told = super::json(&mut command);
    Some((daemon, told))
}

/// The whole road: register, submit, poll, list, fetch; then an unknown video and a wrong secret.
#[track_caller]
pub fn check_road(runtime: Runtime, program: &str, arguments: &[&str], wrong_secret: &[&str]) {
    let all: Vec<&str> = arguments.iter().copied().chain(["road"]).collect();
    let Some((daemon, told)) = told(Setup::default(), runtime, program, &all) else { return };
    check_told(&daemon, &told, wrong_secret);
}

/// What every caller must have seen, whatever its SDK calls it.
#[track_caller]
pub fn check_told(daemon: &Daemon, told: &Value, wrong_secret: &[&str]) {
    assert_eq!(told["new"], true, "{told:#}");
    assert_eq!(told["failed_urls"], serde_json::json!([]), "{told:#}");
    assert_eq!(told["status"], "Success", "{told:#}\n{}", daemon.log());
    assert_eq!(told["total"], 3, "{told:#}");
    let urls = told["urls"].as_array().unwrap();
    assert_eq!(urls.len(), 3, "{told:#}");
    let job = told["job"].as_str().unwrap();
    for (index, url) in urls.iter().enumerate() {
        let url = url.as_str().unwrap();
        assert!(url.contains(&format!("{job}-{:05}", index + 1)), "{url}");
        let picture = super::http::fetch(url);
        assert_eq!(picture.status, 200, "{url}");
        assert_eq!(picture.body.get(..3), Some(&[0xFF, 0xD8, 0xFF][..]), "{url} is no JPEG");
    }
    assert_eq!(told["unknown_video"]["code"], "InvalidVideo.NotFound", "{told:#}");
    let code = told["wrong_secret"]["code"].as_str().unwrap_or_default();
    assert!(wrong_secret.contains(&code), "{told:#}");
}

/// A daemon that takes one submission a second refuses the next with the time to wait.
#[track_caller]
pub fn check_throttle(runtime: Runtime, program: &str, arguments: &[&str], tells_when: bool) {
    let all: Vec<&str> = arguments.iter().copied().chain(["throttle"]).collect();
    let setup = Setup { env: vec![("STILLFRAME_API_SUBMIT_PER_SECOND", "1".to_owned())], ..Setup::default() };
    let Some((_daemon, told)) = told(setup, runtime, program, &all) else { return };
    assert_eq!(told["throttled"]["code"], "Throttling.User", "{told:#}");
    assert!(told["accepted"].as_u64().unwrap() >= 1, "{told:#}");
    if tells_when {
        let wait_ms = told["throttled"]["retry_after"].as_u64().unwrap_or_default();
        assert!((1..=1000).contains(&wait_ms), "{told:#}");
    }
}
