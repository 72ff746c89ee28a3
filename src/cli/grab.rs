//! `stillframe grab`: one job from the command line, with the daemon's engine, in this process.
//!
//! Owns the flags and the report. Never starts a daemon or touches a store.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::album::{Album, Pages, Written};
use super::device::{self, Chosen};
use super::points::{PictureArgs, PointArgs};
use super::roads::{Roads, Tally};
use super::{Global, common, exit, points, report, say};
use crate::engine::ledger::SentPacket;
use crate::engine::media::source::warm_up;
use crate::engine::run::Manner;
use crate::model::delivery::Planned;
use crate::model::device::Refusal;
use crate::model::job::{Ended, FailCode, Failure, Grant, Source, Stage};
use crate::model::snapshot::{Counts, ImageKind, PointStatus, Shown};
use crate::service::settings::{Choice, DeviceSettings};
use crate::worker::devices::find::find;

/// Pictures in the making may hold this much.
const GRAB_BYTES: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The video
    pub file: PathBuf,
    #[command(flatten)]
    pub points: PointArgs,
    #[command(flatten)]
    pub pictures: PictureArgs,
    /// Where to decode; default: auto, a device where one is there and worth its start
    #[arg(long, value_enum)]
    pub backend: Option<BackendArg>,
    /// One device of several: a number for CUDA, a render node for VAAPI
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// Decoding threads; default: the cores, as far as there are points for them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,
    /// Folder for the pictures
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
    /// Tell every packet that a decoder was given, to be held against `plan --json`
    #[arg(long, requires = "json")]
    pub sent: bool,
}

/// `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendArg {
    Auto,
    Cpu,
    Cuda,
    Vaapi,
}

impl From<BackendArg> for Choice {
    fn from(backend: BackendArg) -> Choice {
        match backend {
            BackendArg::Auto => Choice::Auto,
            BackendArg::Cpu => Choice::Cpu,
            BackendArg::Cuda => Choice::Cuda,
            BackendArg::Vaapi => Choice::Vaapi,
        }
    }
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    let mut batch = match args.points.batch(Some(&args.pictures)) {
        Ok(batch) => batch,
        Err(text) => {
            say::complain(text);
            return exit::USAGE;
        }
    };
    let (chosen, settings) = match devices(global, &args) {
        Ok(chosen) => chosen,
        Err(code) => return code,
    };
    let video = match points::open(&args.file) {
        Ok(Source::Fd(video)) => video,
        Err(failure) => return fault(&args, &failure),
    };
    warm_up();
    // What a device's decoder is given is not told.
    if !args.sent {
        batch.offer = device::offer(&chosen.devices);
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let threads = args.threads.unwrap_or_else(|| args.points.most().clamp(1, cores.min(16)));
    let manner = Manner { frame_threads: args.threads.unwrap_or(1), sent: args.sent.then(Mutex::default) };
    let album = Album::new(&args.out, !args.json && std::io::stderr().is_terminal());
    let roads = Roads {
        file: &args.file,
        batch,
        video,
        grant: Grant { threads, bytes: GRAB_BYTES },
        manner: &manner,
        album: &album,
        chosen,
        settings,
    };
    let (ended, tally) = match roads.walk() {
        Ok(walked) => walked,
        Err((reason, text)) => {
            album.close();
            return no_device(&args, reason, &text);
        }
    };
    let mut pages = album.close();
    if let Ended::Failed(failure) = &ended {
        pages.ended.get_or_insert_with(|| failure.clone());
    }
    match (ended, &pages.planned) {
        (Ended::Failed(failure), None) => fault(&args, &failure),
        (ended, planned) => {
            if let Ended::Failed(failure) = &ended {
                say::complain(format_args!("{}: {failure}", args.file.display()));
            }
            let sent = manner.sent.and_then(|sent| sent.into_inner().ok());
            finish(&args, &pages, planned.as_ref(), &tally, sent.as_deref())
        }
    }
}

/// The devices that the flags and the settings choose, or the exit code after the problem was told.
fn devices(global: &Global, args: &Args) -> Result<(Chosen, DeviceSettings), u8> {
    let settings = common::settings(&common::flags(global))?.devices;
    let choice = args.backend.map_or(settings.choice, Choice::from);
    let usage = |text: String| {
        say::complain(text);
        exit::USAGE
    };
    if args.sent && choice.forced().is_some() {
        return Err(usage("--sent tells what the CPU's decoder is given; use --backend cpu".to_owned()));
    }
    let chosen = device::choose(choice, args.device.as_deref(), &settings, find).map_err(usage)?;
    Ok((chosen, settings))
}

fn no_device(args: &Args, reason: Refusal, text: &str) -> u8 {
    if args.json {
        let error = json!({"code": reason.name(), "stage": Stage::Open.name(), "text": text});
        say!("{}", json!({"file": args.file.display().to_string(), "error": error}));
    }
    say::complain(text);
    exit::FAULT
}

fn fault(args: &Args, failure: &Failure) -> u8 {
    if args.json {
        let error = json!({"code": failure.code.name(), "stage": failure.stage.name(), "text": failure.text});
        say!("{}", json!({"file": args.file.display().to_string(), "error": error}));
    }
    points::fault(&args.file, failure)
}

fn finish(
    args: &Args,
    pages: &Pages,
    planned: Option<&Planned>,
    tally: &Tally,
    sent: Option<&[SentPacket]>,
) -> u8 {
    let pictures = planned.map_or_else(Vec::new, |p| entries(pages, p));
    let counts = Counts::of(pictures.iter().map(|(status, _)| *status));
    let sheets_missing = planned.and_then(|p| p.jobs.first()).map_or(0, |job| {
        (0..job.sheets)
            .filter(|number| !pages.files.contains_key(&ImageKind::Sheet { number: *number }))
            .count()
    });
    if args.json {
        let mut object = json!({
            "file": args.file.display().to_string(),
            "media": planned.map(|p| report::media(&p.media)),
            "asked": counts.asked,
            "delivered": counts.delivered,
            "past_end": counts.past_end,
            "failed": counts.failed,
            "pictures": pictures.iter().map(|(_, entry)| entry).collect::<Vec<_>>(),
            "stats": report::stats(tally),
        });
        if args.pictures.sprite.is_some() {
            object["sheets"] = sheets(pages);
        }
        if let Some(sent) = sent {
            object["sent"] = sent.iter().map(report::sent).collect();
        }
        say!("{object}");
    } else {
        for (_, entry) in &pictures {
            say!("{}", line(&args.out, entry));
        }
        for sheet in sheets(pages).as_array().into_iter().flatten() {
            let file = args.out.join(sheet["file"].as_str().unwrap_or_default());
            say!("{}  {}x{}", file.display(), sheet["width"], sheet["height"]);
        }
    }
    let Counts { asked, delivered, past_end, failed } = counts;
    if delivered == asked && sheets_missing == 0 && asked > 0 {
        return exit::DONE;
    }
    say::complain(format_args!(
        "{}: {delivered} of {asked} pictures, {past_end} past the end, {failed} failed",
        args.file.display()
    ));
    if delivered == 0 { exit::FAULT } else { exit::PARTIAL }
}

/// One entry an asked point, in asked order, and how it ended.
fn entries(pages: &Pages, planned: &Planned) -> Vec<(PointStatus, Value)> {
    let Some(job) = planned.jobs.first() else { return Vec::new() };
    let mut entries = Vec::with_capacity(job.points.len());
    let mut cells = 0u32..;
    for (asked, point) in (0u32..).zip(&job.points) {
        let mut entry = serde_json::Map::new();
        entry.insert("ordinal".into(), json!(asked + 1));
        entry.insert("asked_ms".into(), json!(point.asked_ms));
        let sheet = match point.past_end {
            true => None,
            false => cells.next().and_then(|cell| cell.checked_div(job.cells_per_sheet)),
        };
        let status = if point.past_end {
            PointStatus::PastEnd
        } else {
            match picture(pages, asked, sheet) {
                Ok((shown, file)) => {
                    entry.extend(report::shown(shown));
                    if let Some((file, (_, _, bytes))) = file {
                        entry.insert("file".into(), json!(file));
                        entry.insert("bytes".into(), json!(bytes));
                    }
                    shown.status
                }
                Err(failure) => {
                    entry.insert("reason".into(), json!(failure.to_string()));
                    PointStatus::Failed
                }
            }
        };
        entry.insert("status".into(), json!(status.name()));
        entries.push((status, Value::Object(entry)));
    }
    entries
}

/// What is true about a point's picture and its file; without a file of its own it lies in its `sheet`.
fn picture(pages: &Pages, asked: u32, sheet: Option<u32>) -> Result<(&Shown, Option<&Written>), Failure> {
    let own = pages.files.get(&ImageKind::Picture { asked });
    let in_sheet = || sheet.is_some_and(|number| pages.files.contains_key(&ImageKind::Sheet { number }));
    match (pages.failed.get(&asked), pages.shown.get(&asked)) {
        (None, Some(shown)) if own.is_some() || in_sheet() => Ok((shown, own)),
        (Some(failure), _) => Err(failure.clone()),
        (None, shown) => Err(pages.ended.clone().unwrap_or_else(|| {
            let stage = if shown.is_some() { Stage::Encode } else { Stage::Decode };
            Failure::new(FailCode::Internal, stage, "the walk ended before it")
        })),
    }
}

fn sheets(pages: &Pages) -> Value {
    let sheets = pages.files.iter().filter_map(|(kind, (file, (width, height, bytes)))| match kind {
        ImageKind::Sheet { number } => Some(
            json!({"number": number + 1, "file": file, "width": width, "height": height, "bytes": bytes}),
        ),
        ImageKind::Picture { .. } => None,
    });
    Value::Array(sheets.collect())
}

fn line(out: &Path, entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    let asked = entry["asked_ms"].as_i64().unwrap_or(0);
    match entry["file"].as_str() {
        Some(file) => format!(
            "{}  asked {asked} ms, shown {} ms, {}x{}, {}{}",
            out.join(file).display(),
            entry["shown_ms"],
            entry["width"],
            entry["height"],
            text("status"),
            entry["frame_md5"].as_str().map_or_else(String::new, |md5| format!(", {md5}")),
        ),
        None => {
            let ordinal = entry["ordinal"].as_u64().unwrap_or(0);
            format!("{ordinal:05}  asked {asked} ms, {} {}", text("status"), text("reason"))
        }
    }
}
