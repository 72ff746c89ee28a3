//! The build script: checks that what is linked is there, and writes down what was built.
//!
//! Owns the link line of zimg and the `STILLFRAME_*` variables behind `--version` and `build_info`.
//! Never needs git, a network or a build dependency: it asks `pkg-config` and reads `.git` as files.

use std::path::Path;
use std::process::{Command, ExitCode};

/// The oldest libavcodec that is supported: FFmpeg 5.1.
const LIBAVCODEC_MIN: (u32, u32) = (59, 37);

/// The first libavcodec whose streams keep their side data with their parameters: FFmpeg 6.1.
const LIBAVCODEC_CODED_SIDE_DATA: (u32, u32) = (60, 30);

/// The Debian packages that bring everything that is compiled against.
const PACKAGES: &str = "build-essential pkg-config cmake nasm libclang-dev libavcodec-dev libavformat-dev \
                        libavutil-dev libswscale-dev libswresample-dev libzimg-dev";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let libavcodec = match ffmpeg_version() {
        Ok(version) => version,
        Err(problem) => return refuse(&problem),
    };
    println!("cargo::rustc-check-cfg=cfg(coded_side_data)");
    if major_minor(&libavcodec) >= LIBAVCODEC_CODED_SIDE_DATA {
        println!("cargo::rustc-cfg=coded_side_data");
    }
    if let Err(problem) = link_zimg() {
        return refuse(&problem);
    }
    build_facts(&libavcodec);
    ExitCode::SUCCESS
}

/// Ends the build with one message, before the FFmpeg bindings fail with pages of their own.
fn refuse(problem: &str) -> ExitCode {
    println!(
        "cargo::error={problem}. On Debian 12 or later: apt-get install {PACKAGES} (or run scripts/setup)"
    );
    ExitCode::FAILURE
}

/// The libavcodec that is compiled against, after a check of all FFmpeg libraries.
fn ffmpeg_version() -> Result<String, String> {
    for library in ["libavformat", "libavutil", "libswscale", "libswresample"] {
        pkg_config(&["--exists", library])
            .map_err(|_| format!("the FFmpeg headers are missing: {library}"))?;
    }
    let version = pkg_config(&["--modversion", "libavcodec"])
        .map_err(|_| "the FFmpeg headers are missing: libavcodec".to_owned())?;
    if major_minor(&version) < LIBAVCODEC_MIN {
        let (major, minor) = LIBAVCODEC_MIN;
        return Err(format!(
            "FFmpeg is too old: libavcodec {version}, at least {major}.{minor} (FFmpeg 5.1) is needed"
        ));
    }
    Ok(version)
}

/// (61, 19) of `61.19.101`.
fn major_minor(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Links the scaler; as static archives, with all that it needs, in the portable build.
fn link_zimg() -> Result<(), String> {
    let is_portable = std::env::var_os("CARGO_FEATURE_PORTABLE").is_some();
    let how: &[&str] = if is_portable { &["--static"] } else { &[] };
    let line = pkg_config(&[&["--libs", "zimg >= 2.9"], how].concat())
        .map_err(|_| "the headers of zimg 2.9 or later are missing".to_owned())?;
    let mut folders = Vec::new();
    for word in line.split_whitespace() {
        if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={folder}");
            folders.push(Path::new(folder));
        } else if let Some(library) = word.strip_prefix("-l") {
            let archive = format!("lib{library}.a");
            let is_static = is_portable && folders.iter().any(|folder| folder.join(&archive).exists());
            println!("cargo::rustc-link-lib={}{library}", if is_static { "static=" } else { "" });
        }
    }
    Ok(())
}

/// Writes the variables that `env!` reads: STILLFRAME_BUILD is the whole line, the others are its parts.
fn build_facts(libavcodec: &str) {
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = commit().unwrap_or_else(|| "unknown".to_owned());
    let rustc = rustc().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=STILLFRAME_COMMIT={commit}");
    println!("cargo::rustc-env=STILLFRAME_LIBAVCODEC={libavcodec}");
    println!("cargo::rustc-env=STILLFRAME_RUSTC={rustc}");
    println!(
        "cargo::rustc-env=STILLFRAME_BUILD={version} (commit {commit}, libavcodec {libavcodec}, rustc {rustc})"
    );
}

/// The first 12 digits of the commit that is checked out; none outside a checkout.
fn commit() -> Option<String> {
    let git = Path::new(".git");
    let head = git.join("HEAD");
    let text = std::fs::read_to_string(&head).ok()?;
    println!("cargo::rerun-if-changed={}", head.display());
    let full = match text.trim().strip_prefix("ref: ") {
        None => text.trim().to_owned(),
        Some(name) => {
            let loose = git.join(name);
            let packed = git.join("packed-refs");
            // A path that is not there would make cargo run this script on every build.
            for path in [&loose, &packed] {
                if path.exists() {
                    println!("cargo::rerun-if-changed={}", path.display());
                }
            }
            match std::fs::read_to_string(loose) {
                Ok(text) => text.trim().to_owned(),
                Err(_) => std::fs::read_to_string(packed)
                    .ok()?
                    .lines()
                    .find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned))?,
            }
        }
    };
    full.get(..12).map(str::to_owned)
}

/// `1.95.0` of `rustc 1.95.0 (...)`.
fn rustc() -> Option<String> {
    let program = std::env::var_os("RUSTC")?;
    let answer = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}

/// One question to pkg-config; `Err` when the program or the library is missing.
fn pkg_config(arguments: &[&str]) -> Result<String, ()> {
    let program = std::env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let answer = Command::new(program).args(arguments).output().map_err(|_| ())?;
    if !answer.status.success() {
        return Err(());
    }
    Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}
