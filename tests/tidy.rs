//! Holds the layout: who imports whom, what lives where, how a file begins.
//!
//! Owns the walk over the tree and the proof that the rules see what they are for. Never judges style: rustfmt and clippy do.

#[path = "tidy/lex.rs"]
mod lex;
#[path = "tidy/rules.rs"]
mod rules;

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder, as paths from the root with slashes.
fn files(folder: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, path));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_source_keeps_to_the_layout() {
    let sources = files("src");
    assert!(sources.len() > 40, "the walk found {} files only", sources.len());
    let faults: Vec<String> = sources
        .iter()
        .filter(|(name, _)| name.ends_with(".rs"))
        .flat_map(|(name, path)| rules::faults(name, &std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    for (name, _) in rules::LONG_FILES {
        let (_, path) =
            sources.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("{name} is gone"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(rules::is_long(&text), "{name} is short again: its entry in LONG_FILES is not needed");
    }
}

#[test]
fn nothing_is_left_over_around_the_source() {
    let mut faults = Vec::new();
    let mut texts: Vec<(String, PathBuf)> =
        ["tests", "scripts", "systemd", ".ci"].into_iter().flat_map(files).collect();
    for name in ["README.md", "CHANGELOG.md", "Cargo.toml", "build.rs", "deny.toml"] {
        texts.push((name.to_owned(), root().join(name)));
    }
    for (name, path) in texts {
        // These two speak of what they look for.
        if name.starts_with("tests/tidy") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        rules::leftovers(&text, &mut |line, what| faults.push(format!("{name}:{line}: {what}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

const HEADER: &str = "//! A file.\n//!\n//! Owns nothing. Never does.\n";
const PURE: &str = "//! A file. *Pure.*\n//!\n//! Owns nothing. Never does.\n";

/// Faults of a planted file.
fn planted(path: &str, header: &str, body: &str) -> Vec<String> {
    rules::faults(path, &format!("{header}\n{body}\n"))
}

#[test]
fn planted_violations_are_found() {
    let long = "fn f() {}\n".repeat(rules::LINES_MAX);
    let cases: &[(&str, &str, &str, &str)] = &[
        ("src/service/pipeline.rs", HEADER, "use crate::engine::run;", "must not import engine::run"),
        (
            "src/engine/run.rs",
            HEADER,
            "use crate::{model::ids, service::store};",
            "must not import service::store",
        ),
        (
            "src/engine/run.rs",
            HEADER,
            "fn f() { crate::service::clock::now(); }",
            "must not import service::clock",
        ),
        ("src/worker/pool.rs", HEADER, "use super::super::engine;", "must not import engine"),
        ("src/model/job.rs", HEADER, "use crate::worker::Pool;", "must not import worker::Pool"),
        (
            "src/service/api/submit.rs",
            HEADER,
            "use super::super::batch::fair;",
            "must not import service::batch",
        ),
        (
            "src/service/batch/mod.rs",
            HEADER,
            "use super::publish::naming;",
            "must not import service::publish",
        ),
        (
            "src/service/store/mod.rs",
            HEADER,
            "use crate::service::{api, clock};",
            "must not import service::api",
        ),
        (
            "src/engine/encode/jpeg.rs",
            HEADER,
            "use crate::engine::media::{\n  zimg::{A, B},\n};",
            "engine::media::zimg::A",
        ),
        (
            "src/engine/capture/plan.rs",
            HEADER,
            "pub(super) use crate::engine::encode::X;",
            "must not import engine::encode",
        ),
        (
            "src/engine/capture/plan.rs",
            PURE,
            "use std::{collections::HashMap, fs::File};",
            "names std::fs::File",
        ),
        ("src/engine/capture/plan.rs", PURE, "fn f() { tokio::spawn(x); }", "names tokio::spawn"),
        ("src/model/time.rs", HEADER, "fn f() { std::time::Instant::now(); }", "Instant::now"),
        ("src/model/time.rs", HEADER, "use std::net::TcpStream;", "names std::net::TcpStream"),
        ("src/service/batch/fair.rs", PURE, "use tracing::info;", "names tracing::info"),
        ("src/cli/jobs.rs", HEADER, "const Q: &str = \"SELECT id FROM jobs\";", "SQL outside"),
        ("src/cli/jobs.rs", HEADER, "const Q: &str = r#\"DELETE FROM jobs\"#;", "SQL outside"),
        ("src/cli/jobs.rs", HEADER, "use sqlx::query;", "sqlx outside"),
        ("src/engine/run.rs", HEADER, "use ffmpeg_next as ffmpeg;", "FFmpeg or zimg outside"),
        ("src/cli/grab.rs", HEADER, "fn f() { av_malloc(1); }", "FFmpeg or zimg outside"),
        (
            "src/service/daemon.rs",
            HEADER,
            "fn f() { counter(\"stillframe_jobs_total\"); }",
            "a metric name outside",
        ),
        ("src/service/daemon.rs", HEADER, "fn f() { unsafe { g() } }", "unsafe outside"),
        ("src/cli/x.rs", "", "fn f() {}", "does not begin with a sentence"),
        ("src/cli/x.rs", "//! A file.\n//!\n//! Owns it.\n", "", "does not say \"Never\""),
        ("src/cli/x.rs", HEADER, &long, "at most 400"),
        ("src/cli/x.rs", HEADER, "fn f() { unimplemented!() }", "leftover: unimplemented!"),
        ("src/cli/x.rs", HEADER, "// TODO: later", "leftover: TODO"),
        ("src/cli/x.rs", HEADER, "const P: &str = \"/root/x\";", "a path of one machine"),
    ];
    for (path, header, body, wanted) in cases {
        let faults = planted(path, header, body);
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{path}: {body:?} gave {faults:?}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    let cases: &[(&str, &str, &str)] = &[
        ("src/cli/serve.rs", HEADER, "use crate::engine::run;\nuse crate::service::daemon;"),
        (
            "src/service/pipeline.rs",
            HEADER,
            "use crate::worker::Pool;\nuse super::batch::fair;\nuse super::store::Store;",
        ),
        ("src/engine/run.rs", HEADER, "use super::{capture, encode, media};\nuse crate::model::job;"),
        (
            "src/service/store/sqlite/jobs.rs",
            HEADER,
            "const Q: &str = \"SELECT id FROM jobs\";\nuse sqlx::query;",
        ),
        ("src/engine/media/probe.rs", HEADER, "fn f() { unsafe { av_malloc(1) } }\nuse ffmpeg_next::ffi;"),
        ("src/service/telemetry/metrics.rs", HEADER, "const N: &str = \"stillframe_jobs_total\";"),
        (
            "src/engine/capture/plan.rs",
            PURE,
            "// tokio::spawn and unsafe\nconst A: &str = \"std::fs\";\nuse std::net::IpAddr;",
        ),
        (
            "src/model/x.rs",
            PURE,
            "#[cfg(test)]\nmod tests {\n    use std::fs::File;\n    fn f() { g(\"{\") }\n}",
        ),
        ("src/model/x.rs", PURE, "#[cfg(test)]\nmod tests;\nfn f<'a>(x: &'a str) -> char { '\"' }"),
        ("src/service/settings.rs", HEADER, "const D: &str = \"./stillframe-data\"; // SELECT a way"),
        ("src/service/mod.rs", "//! Stages: `fair` (pure) and others.\n", "use tokio::sync::watch;"),
    ];
    for (path, header, body) in cases {
        let faults = planted(path, header, body);
        assert!(faults.is_empty(), "{path}: {body:?} gave {faults:?}");
    }
}

#[test]
fn code_after_a_test_module_is_still_seen() {
    let body = "#[cfg(test)]\nmod tests {\n    const B: &str = \"}\";\n}\nuse crate::engine::run;";
    let faults = planted("src/service/pipeline.rs", HEADER, body);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("src/service/pipeline.rs:9:"), "{faults:?}");
}
