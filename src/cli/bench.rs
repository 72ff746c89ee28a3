//! `stillframe bench`: what a job costs on this machine, file by file.
//!
//! Owns the measurement loop. Never writes a picture to disk: it measures the engine, not the file system.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::device::Standing;
use super::roads::Tally;
use super::{Global, bench_decoders, common, exit, points, report, say};
use crate::engine::media::source::warm_up;
use crate::model::delivery::{Deliver, Gone, Message};
use crate::model::device::DeviceId;
use crate::model::job::{Ended, Grant, Source, VideoBatch};
use crate::model::spec::Points;

/// Pictures in the making may hold this much.
const BYTES: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The videos
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Pictures a job, spread evenly
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub count: u32,
    /// Width in pixels; 0 is the source's own
    #[arg(long, value_name = "W", default_value_t = 320)]
    pub width: u32,
    /// Repeats; the median by CPU is printed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Decoding threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// Decode on this device (`cuda:0`, `vaapi:/dev/dri/renderD128`), whatever a job is worth
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub on: Option<DeviceId>,
    /// Measure what decoders cost on this device instead of what jobs cost
    #[arg(long, value_name = "DEVICE", value_parser = device, conflicts_with = "on")]
    pub decoders_of: Option<DeviceId>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

fn device(text: &str) -> Result<DeviceId, String> {
    DeviceId::parse(text).ok_or_else(|| "a device is cuda:NUMBER or vaapi:NODE".to_owned())
}

/// Counts the images and drops them.
#[derive(Default)]
struct Bin {
    images: AtomicU64,
    bytes: AtomicU64,
}

impl Deliver for Bin {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        if let Message::Image(image) = message {
            self.images.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(image.bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    if let Some(device) = &args.decoders_of {
        return bench_decoders::run(device, &args.files, args.json);
    }
    warm_up();
    let standing = match args.on.as_ref().map(|id| stand(global, id)).transpose() {
        Ok(standing) => standing,
        Err(code) => return code,
    };
    let mut code = exit::DONE;
    for file in &args.files {
        match measure(&args, file, standing.as_ref()) {
            Ok((tally, images)) => print(&args, file, &tally, images),
            Err(text) => {
                say::complain(format_args!("{}: {text}", file.display()));
                code = exit::FAULT;
            }
        }
    }
    if let Some(standing) = standing {
        standing.close();
    }
    code
}

/// A helper of the device, which lives as long as the rounds do; or the exit code after the problem was told.
fn stand(global: &Global, id: &DeviceId) -> Result<Standing, u8> {
    let settings = common::settings(&common::flags(global))?.devices;
    Standing::new(vec![id.clone()], &settings, BYTES).map_err(|error| {
        say::complain(format_args!("{id}: cannot start a helper: {error}"));
        exit::FAULT
    })
}

fn measure(args: &Args, file: &Path, standing: Option<&Standing>) -> Result<(Tally, u64), String> {
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        let spec = crate::model::spec::SnapshotSpec {
            size: crate::model::spec::AskedSize {
                width: (args.width > 0).then_some(args.width),
                height: None,
            },
            ..crate::model::spec::SnapshotSpec::of(Points::Even { offset_ms: 0, count: args.count.max(1) })
        };
        let Source::Fd(video) = points::open(file).map_err(|f| f.to_string())?;
        let batch = points::batch(spec, None);
        let bin = Bin::default();
        let grant = Grant { threads: args.threads.max(1), bytes: BYTES };
        let tally = match standing {
            None => {
                let (ended, stats) = crate::engine::run::run(&batch, Source::Fd(video), grant, &bin);
                if let Ended::Failed(failure) = ended {
                    return Err(failure.to_string());
                }
                Tally::of_cpu(stats)
            }
            Some(standing) => on_device(standing, &batch, &video, grant, &bin)?,
        };
        rounds.push((tally, bin.images.into_inner()));
    }
    rounds.sort_by_key(|(tally, _)| tally.stats.cpu_us);
    Ok(rounds.swap_remove(rounds.len() / 2))
}

/// What the device leaves undone is not made: that would be another measurement.
fn on_device(
    standing: &Standing,
    batch: &VideoBatch,
    video: &OwnedFd,
    grant: Grant,
    bin: &Bin,
) -> Result<Tally, String> {
    let walked = standing.walk(batch, video, grant, bin).map_err(|error| error.to_string())?;
    let unopened =
        || walked.unopened.iter().map(|(_, (_, text))| text.as_str()).collect::<Vec<_>>().join("; ");
    match walked.on {
        None => Err(unopened()),
        Some((_, Ended::Failed(failure), _)) => Err(failure.to_string()),
        Some((id, Ended::Refused { reason, text }, _)) => Err(format!("{id}: {text} ({})", reason.name())),
        Some((id, _, stats)) => Ok(Tally { stats, backend: id.backend, ..Tally::default() }),
    }
}

fn print(args: &Args, file: &Path, tally: &Tally, images: u64) {
    let stats = &tally.stats;
    if args.json {
        let stats = report::stats(tally);
        say!("{}", json!({"file": file.display().to_string(), "pictures": images, "stats": stats}));
        return;
    }
    let ms = |us: u64| us as f64 / 1000.0;
    say!(
        "{}: {images} pictures, cpu {:.1} ms, wall {:.1} ms, packets read {} decoded {} skipped {}, seeks {}, runs {}",
        file.display(),
        ms(stats.cpu_us),
        ms(stats.wall_us),
        stats.packets_read,
        stats.packets_decoded,
        stats.packets_skipped,
        stats.seeks,
        stats.seek_runs,
    );
    let s = stats.stages_us;
    say!(
        "  open {:.1}  plan {:.1}  decode {:.1}  convert {:.1}  encode {:.1} ms",
        ms(s.open),
        ms(s.plan),
        ms(s.decode),
        ms(s.convert),
        ms(s.encode)
    );
}
