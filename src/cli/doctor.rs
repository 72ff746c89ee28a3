//! `stillframe doctor`: checks this host and says what works.
//!
//! Owns the list of checks and what counts as a fault. Never changes anything that stays: what it writes to see whether
//! it can, it removes.

mod devices;
mod media;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Global, common, exit};
use crate::engine::encode::jpeg::Jpeg;
use crate::engine::media::facts;
use crate::engine::picture::{Picture, Plane};
use crate::service::settings::{Flags, Settings};
use crate::service::store::Store;

/// Decoders that any FFmpeg worth linking has; the rest of the list may be missing.
const NEEDED: &[&str] = &["h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg2video", "mpeg4", "mjpeg"];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder below which videos may be registered; repeatable
    #[arg(long = "media-root", value_name = "DIR")]
    media_roots: Vec<PathBuf>,
    /// Check nothing: list the demuxers, decoders and protocols that the linked FFmpeg offers to stillframe
    #[arg(long, conflicts_with = "media_roots")]
    media: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One question and its answer.
struct Check {
    /// Stable, for scripts.
    name: String,
    verdict: Verdict,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// Works, with less.
    Note,
    /// Something that was asked for will not work.
    Fault,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Fault => "fault",
        }
    }
}

fn check(name: impl Into<String>, verdict: Verdict, text: impl Into<String>) -> Check {
    Check { name: name.into(), verdict, text: text.into() }
}

/// A check that works or tells why not.
fn outcome(name: impl Into<String>, result: Result<String, String>) -> Check {
    match result {
        Ok(text) => check(name, Verdict::Ok, text),
        Err(text) => check(name, Verdict::Fault, text),
    }
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    if args.media {
        media::tell(args.json);
        return exit::DONE;
    }
    let flags = Flags { media_roots: args.media_roots, ..common::flags(global) };
    let mut checks = vec![check("build", Verdict::Ok, env!("STILLFRAME_BUILD"))];
    checks.extend(libraries());
    checks.push(listed("containers", &facts::containers(), &["mov", "matroska", "mpegts"]));
    checks.push(listed("decoders", &facts::decoders(), NEEDED));
    checks.push(outcome("jpeg", encodes()));
    checks.push(sandbox());
    let mut seen = json!([]);
    match Settings::of_process(&flags) {
        Ok(settings) => {
            checks.push(check("settings", Verdict::Ok, "understood"));
            checks.extend(host(&settings));
            let (more, objects) = devices::examine(&settings.devices);
            checks.extend(more);
            seen = objects;
        }
        Err(error) => checks.push(check("settings", Verdict::Fault, error.to_string())),
    }
    tell(&checks, &seen, args.json);
    match checks.iter().any(|check| check.verdict == Verdict::Fault) {
        true => exit::FAULT,
        false => exit::DONE,
    }
}

fn tell(checks: &[Check], devices: &serde_json::Value, as_json: bool) {
    if as_json {
        let rows: Vec<_> = checks
            .iter()
            .map(|check| json!({"check": check.name, "verdict": check.verdict.name(), "text": check.text}))
            .collect();
        return common::print_json(&json!({ "checks": rows, "devices": devices }));
    }
    for Check { name, verdict, text } in checks {
        say!("{:<6} {name:<22} {text}", verdict.name());
    }
}

fn libraries() -> Vec<Check> {
    let mut checks: Vec<Check> = facts::libraries()
        .into_iter()
        .map(|library| match library.fits {
            true => check(library.name, Verdict::Ok, library.version),
            false => {
                let text =
                    format!("{} is linked, another major version was compiled against", library.version);
                check(library.name, Verdict::Fault, text)
            }
        })
        .collect();
    checks.push(check("ffmpeg licence", Verdict::Ok, facts::licence()));
    checks
}

fn listed(name: &str, all: &[facts::Listed], needed: &[&str]) -> Check {
    let missing: Vec<&str> = all.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    let there = all.len() - missing.len();
    if missing.is_empty() {
        return check(name, Verdict::Ok, format!("all {there}"));
    }
    let fault = missing.iter().any(|missing| needed.contains(missing));
    let verdict = if fault { Verdict::Fault } else { Verdict::Note };
    check(name, verdict, format!("{there} of {}; missing: {}", all.len(), missing.join(", ")))
}

/// Encodes one grey picture.
fn encodes() -> Result<String, String> {
    let plane = |side: usize| Plane { data: vec![128; side * side], stride: side };
    let picture = Picture { width: 16, height: 16, y: plane(16), cb: plane(8), cr: plane(8) };
    let bytes =
        Jpeg::new().and_then(|mut jpeg| jpeg.encode(&picture, 85)).map_err(|failure| failure.to_string())?;
    match bytes.starts_with(&[0xFF, 0xD8]) {
        true => Ok("encodes".to_owned()),
        false => Err("what the encoder wrote is no JPEG".to_owned()),
    }
}

/// What the kernel has to lock workers in with; they are not locked in yet.
fn sandbox() -> Check {
    match std::fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(modules) if modules.split(',').any(|module| module.trim() == "landlock") => {
            check("landlock", Verdict::Note, "the kernel has it; workers are not locked in with it yet")
        }
        Ok(_) => check("landlock", Verdict::Note, "the kernel has it not"),
        Err(error) => check("landlock", Verdict::Note, format!("unknown: /sys/kernel/security/lsm: {error}")),
    }
}

/// What depends on the configuration.
fn host(settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    let folder = existing(&settings.data);
    checks.push(outcome("data folder", writable(&folder, &settings.data)));
    checks.push(outcome("database", database(&folder, settings)));
    if settings.media_roots.is_empty() {
        checks.push(check("media roots", Verdict::Note, "none is set: no video can be registered"));
    }
    for root in &settings.media_roots {
        let result =
            std::fs::read_dir(root).map(|_| "readable".to_owned()).map_err(|error| error.to_string());
        checks.push(outcome(format!("media root {}", root.display()), result));
    }
    let running = running(&settings.data);
    checks.push(port("api port", settings.api.listen, running.as_ref()));
    checks.push(port("admin port", settings.admin_listen, running.as_ref()));
    checks
}

/// The folder itself, or the nearest one above it that is there.
fn existing(folder: &Path) -> PathBuf {
    folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// A folder of our own inside `folder`, removed by the caller.
fn scratch(folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(path)
}

fn writable(folder: &Path, wanted: &Path) -> Result<String, String> {
    let scratch = scratch(folder)?;
    let written = std::fs::write(scratch.join("file"), b"stillframe");
    std::fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    written.map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(match folder == wanted {
        true => format!("{} is writable", wanted.display()),
        false => format!("{} will be made", wanted.display()),
    })
}

/// Opens the database as the daemon does, which checks for WAL and full syncs; without one, a new one beside its place.
fn database(folder: &Path, settings: &Settings) -> Result<String, String> {
    let path = settings.data.join("stillframe.db");
    if path.is_file() {
        return open(&path).map(|()| format!("{}: opens with WAL and full syncs", path.display()));
    }
    let scratch = scratch(folder)?;
    let opened = open(&scratch.join("stillframe.db"));
    std::fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    opened.map(|()| format!("a new one in {} opens with WAL and full syncs", folder.display()))
}

fn open(path: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let opened = runtime.block_on(Store::open(path)).map(drop);
    opened.map_err(|error| error.to_string())
}

/// The daemon that runs on this data folder: its process and its addresses, as it wrote them.
fn running(data: &Path) -> Option<(u64, Vec<SocketAddr>)> {
    let text = std::fs::read(data.join("run.json")).ok()?;
    let run: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let pid = run["pid"].as_u64()?;
    // A daemon that was cut off leaves its file behind.
    Path::new("/proc").join(pid.to_string()).is_dir().then_some(())?;
    let addresses = ["api", "admin"].iter().filter_map(|name| run[name].as_str()?.parse().ok()).collect();
    Some((pid, addresses))
}

fn port(name: &str, address: SocketAddr, running: Option<&(u64, Vec<SocketAddr>)>) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => check(name, Verdict::Ok, format!("{address} is free")),
        Err(error) => match running {
            Some((pid, own)) if own.contains(&address) => check(
                name,
                Verdict::Ok,
                format!("{address} is in use by the daemon of this data folder, process {pid}"),
            ),
            _ => check(name, Verdict::Fault, format!("{address}: {error}")),
        },
    }
}
