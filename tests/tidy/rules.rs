//! The rules of the house, one function each, over one file at a time.
//!
//! Owns the arrows and fences of the design. Never reads a file: it is handed a path and a text, so that the tests can
//! plant violations.

use crate::lex::{self, Source};

/// Longest file, in lines outside tests, before it needs an entry in `LONG_FILES`.
pub const LINES_MAX: usize = 400;

/// Files that are longer, and why splitting them would cost more than it gives.
pub const LONG_FILES: &[(&str, &str)] = &[
    ("src/engine/capture/plan.rs", "one state machine: its states are read together or not at all"),
    ("src/engine/media/unpack.rs", "one arm a pixel layout, all of one shape"),
    ("src/service/telemetry/metrics.rs", "the one list of names and a function an event: no name may live elsewhere"),
];

/// Every fault of one file of `src/`; the path is written `src/...` with slashes.
pub fn faults(path: &str, text: &str) -> Vec<String> {
    let source = lex::read(text);
    let test_file = path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/");
    let mut faults = Vec::new();
    let mut report = |line: usize, what: String| faults.push(format!("{path}:{line}: {what}"));
    leftovers(text, &mut report);
    unsafe_code(path, &source, &mut report);
    if !test_file {
        header(path, &source, &mut report);
        arrows(path, &source, &mut report);
        pure(path, &source, &mut report);
        fences(path, &source, &mut report);
        length(path, &source, &mut report);
    }
    faults
}

type Report<'a> = &'a mut dyn FnMut(usize, String);

/// Unfinished work, and paths of the machine that something was written on. For any text file.
pub fn leftovers(text: &str, report: Report) {
    for (index, line) in text.lines().enumerate() {
        for word in ["TODO", "FIXME", "unimplemented!", "todo!", "dbg!"] {
            if line.contains(word) {
                report(index + 1, format!("leftover: {word}"));
            }
        }
        for folder in ["root", "home", "Users", "work", "workspace"] {
            let path = format!("/{folder}/");
            // `$HOME/work/`, `https://host/work/` and `./root/` are no absolute paths.
            let absolute = line.match_indices(&path).any(|(at, _)| {
                line[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || "\"'`(=:".contains(c))
            });
            if absolute {
                report(index + 1, format!("a path of one machine: {path}"));
            }
        }
    }
}

/// First a sentence, then "Owns" and "Never".
fn header(path: &str, source: &Source, report: Report) {
    let first: Vec<&str> =
        source.header.iter().map(String::as_str).take_while(|line| !line.is_empty()).collect();
    let first = first.join(" ");
    if first.is_empty() || !first.contains(['.', ':', '?']) {
        return report(1, "the file does not begin with a sentence of purpose".to_owned());
    }
    let short = ["mod.rs", "main.rs", "lib.rs"].iter().any(|name| path.ends_with(&format!("/{name}")));
    for word in ["Owns", "Never"] {
        if !short && !source.header.iter().any(|line| line.contains(word)) {
            report(1, format!("the header does not say {word:?}"));
        }
    }
}

/// `src/service/api/submit.rs` is `service::api::submit`.
fn module(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<&str> = path.split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
        parts.pop();
    }
    parts
}

/// A path as named in `from`, from the crate's root; none when it leads out of the crate.
fn absolute(from: &[&str], path: &str) -> Option<String> {
    let mut at = from.to_vec();
    let mut parts = path.split("::").peekable();
    match *parts.peek()? {
        "crate" | "stillframe" => at.clear(),
        "self" => {}
        "super" => {
            at.pop();
        }
        _ => return None,
    }
    parts.next();
    for part in parts {
        match part {
            "super" => {
                at.pop();
            }
            part => at.push(part),
        }
    }
    Some(at.join("::"))
}

fn below(path: &str, module: &str) -> bool {
    path == module || path.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"))
}

/// Who may import whom: (files below, must not name). DESIGN: arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &["service", "engine", "worker", "cli"]),
    ("worker", &["service", "engine", "cli"]),
    ("engine", &["service", "worker", "cli"]),
    ("service", &["engine", "cli"]),
    ("service::api", &["service::batch", "service::publish", "service::pipeline"]),
    ("service::batch", &["service::api", "service::publish", "service::pipeline"]),
    ("service::publish", &["service::api", "service::batch", "service::pipeline"]),
    ("service::store", &["service::api", "service::batch", "service::publish", "service::objects"]),
    ("service::objects", &["service::api", "service::batch", "service::publish", "service::store"]),
    ("service::telemetry", &["service::api", "service::batch", "service::publish", "service::store"]),
    ("engine::capture", &["engine::media", "engine::encode", "engine::run"]),
    ("engine::encode", &["engine::media", "engine::capture", "engine::run"]),
    ("engine::media", &["engine::capture", "engine::encode", "engine::run"]),
];

fn arrows(path: &str, source: &Source, report: Report) {
    let from = module(path);
    let name = from.join("::");
    for (line, named) in lex::paths(&source.code) {
        let Some(target) = absolute(&from, &named) else { continue };
        for (home, forbidden) in ARROWS {
            if below(&name, home) && forbidden.iter().any(|other| below(&target, other)) {
                report(line, format!("{home} must not import {target}"));
            }
        }
    }
}

/// What a pure file must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "sqlx",
    "ffmpeg_next",
    "rayon",
    "tracing",
    "metrics",
    "rustix",
    "libc",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::stdout",
    "std::io::stderr",
];
/// Addresses are values; sockets and look-ups are not.
const PURE_NET: &[&str] = &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6"];

/// Files that say they are pure, and all of the model.
fn pure(path: &str, source: &Source, report: Report) {
    let from = module(path);
    let says = source
        .header
        .iter()
        .any(|line| line.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("pure")));
    // A folder's file may speak of its pure members.
    let folder = path.ends_with("/mod.rs") || path.ends_with("/lib.rs");
    if !(from.first() == Some(&"model") || says && !folder) {
        return;
    }
    for (line, named) in lex::paths(&source.code) {
        let socket = named
            .strip_prefix("std::net::")
            .is_some_and(|rest| !PURE_NET.contains(&rest.split("::").next().unwrap_or_default()));
        let clock = ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now"]
            .iter()
            .any(|clock| named == *clock || named.ends_with(&format!("::{clock}")));
        if socket || clock || named == "std::net" || IMPURE.iter().any(|name| below(&named, name)) {
            report(line, format!("a pure file names {named}"));
        }
    }
}

/// Words that mark a string as SQL.
const SQL: &[&str] = &[
    "SELECT ",
    "INSERT INTO",
    "INSERT OR ",
    "DELETE FROM",
    "CREATE TABLE",
    "CREATE INDEX",
    "CREATE UNIQUE",
    "ALTER TABLE",
    "PRAGMA ",
    "BEGIN IMMEDIATE",
    "ON CONFLICT",
];

fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let rows = code.lines().enumerate();
    rows.flat_map(|(index, row)| {
        row.split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|w| !w.is_empty())
            .map(move |w| (index + 1, w))
    })
}

/// SQL, FFmpeg, the database driver and metric names each have one home.
fn fences(path: &str, source: &Source, report: Report) {
    let store = path.starts_with("src/service/store/");
    let media = path.starts_with("src/engine/media/");
    for (line, text) in &source.strings {
        if !store && let Some(word) = SQL.iter().find(|word| text.contains(**word)) {
            report(*line, format!("SQL outside service/store: {word:?}"));
        }
        let metric = text.strip_prefix("stillframe_").is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        });
        if metric && path != "src/service/telemetry/metrics.rs" {
            report(*line, format!("a metric name outside telemetry/metrics.rs: {text}"));
        }
    }
    for (line, word) in words(&source.code) {
        if !store && word == "sqlx" {
            report(line, "sqlx outside service/store".to_owned());
        }
        let foreign = ["ffmpeg_", "zimg_", "av_", "avcodec_", "avformat_", "sws_", "cros_codecs"];
        if !media && (foreign.iter().any(|prefix| word.starts_with(prefix))) {
            report(line, format!("FFmpeg or zimg outside engine/media: {word}"));
        }
    }
}

fn unsafe_code(path: &str, source: &Source, report: Report) {
    if path.starts_with("src/engine/media/") || path.starts_with("src/worker/") {
        return;
    }
    for (line, _) in words(&source.code).filter(|(_, word)| *word == "unsafe") {
        report(line, "unsafe outside engine/media and worker".to_owned());
    }
}

fn length(path: &str, source: &Source, report: Report) {
    let excused = LONG_FILES.iter().any(|(file, _)| *file == path);
    if source.lines > LINES_MAX && !excused {
        report(1, format!("{} lines, at most {LINES_MAX} outside tests", source.lines));
    }
}

/// True when a file of this text needs an entry in `LONG_FILES`.
pub fn is_long(text: &str) -> bool {
    lex::read(text).lines > LINES_MAX
}
