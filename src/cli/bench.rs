//! `stillframe bench`: what a job costs on this machine, file by file.
//!
//! Owns the measurement loop. Never writes a picture to disk: it measures the engine, not the file system.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::roads::Tally;
use super::{Global, exit, points, report, say};
use crate::engine::media::source::warm_up;
use crate::model::delivery::{Deliver, Gone, Message};
use crate::model::job::{Ended, Grant, Stats};
use crate::model::spec::Points;

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
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
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
pub fn run(_global: &Global, args: Args) -> u8 {
    warm_up();
    let mut code = exit::DONE;
    for file in &args.files {
        match measure(&args, file) {
            Ok((stats, images)) => print(&args, file, &stats, images),
            Err(text) => {
                say::complain(format_args!("{}: {text}", file.display()));
                code = exit::FAULT;
            }
        }
    }
    code
}

fn measure(args: &Args, file: &std::path::Path) -> Result<(Stats, u64), String> {
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        let spec = crate::model::spec::SnapshotSpec {
            size: crate::model::spec::AskedSize {
                width: (args.width > 0).then_some(args.width),
                height: None,
            },
            ..crate::model::spec::SnapshotSpec::of(Points::Even { offset_ms: 0, count: args.count.max(1) })
        };
        let source = points::open(file).map_err(|f| f.to_string())?;
        let bin = Bin::default();
        let grant = Grant { threads: args.threads.max(1), bytes: 256 << 20 };
        let (ended, stats) = crate::engine::run::run(&points::batch(spec, None), source, grant, &bin);
        if let Ended::Failed(failure) = ended {
            return Err(failure.to_string());
        }
        rounds.push((stats, bin.images.into_inner()));
    }
    rounds.sort_by_key(|(stats, _)| stats.cpu_us);
    Ok(rounds[rounds.len() / 2])
}

fn print(args: &Args, file: &std::path::Path, stats: &Stats, images: u64) {
    if args.json {
        let stats = report::stats(&Tally::of_cpu(*stats));
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
