//! What the tests share: clips, a running daemon, an HTTP client and a callback receiver.
//!
//! Owns processes and folders, and ends and removes what it made. Never sleeps: it waits for something to happen, with a limit.

// Every test file compiles its own copy and uses a part of it.
#![allow(dead_code)]

pub mod clips;
pub mod daemon;
pub mod events;
pub mod fake;
pub mod held;
pub mod http;
pub mod judge;
pub mod processes;
pub mod receiver;
pub mod rows;
pub mod scrape;
pub mod sdk;
pub mod sign;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: far beyond the slowest machine, so that time decides nothing.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Looks again and again until there is something to see; for what nobody tells by itself.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// The program under test, without any setting of the caller's environment: the one that was built along, or the
/// one that `STILLFRAME_PROGRAM` names (a release build under a load driver, say).
pub fn stillframe() -> Command {
    let built = || env!("CARGO_BIN_EXE_stillframe").into();
    let mut command = Command::new(std::env::var_os("STILLFRAME_PROGRAM").unwrap_or_else(built));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STILLFRAME_") {
            command.env_remove(name);
        }
    }
    command.env_remove("STATE_DIRECTORY").env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS");
    command
}

/// Runs a command to its end; panics with its output unless the exit code is `code`.
#[track_caller]
pub fn run(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}\nstdout: {}\nstderr: {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command that must succeed and print one JSON value.
#[track_caller]
pub fn json(command: &mut Command) -> serde_json::Value {
    let output = run(command, 0);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{command:?}: {error}\n{}", String::from_utf8_lossy(&output.stdout)))
}

/// A piece of real footage from the folder `STILLFRAME_MEDIA`; says `not run` where there is none.
pub fn footage(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("STILLFRAME_MEDIA") else {
        eprintln!("not run: STILLFRAME_MEDIA is not set, {name} is not to be had");
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    // A folder that was named but lacks the file is a mistake, not an absence.
    assert!(path.is_file(), "{} is no file", path.display());
    Some(path)
}
