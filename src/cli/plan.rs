//! `stillframe plan`: the seek runs of a grab, without decoding, so that a person can check them by hand.
//!
//! Owns the report. Never decodes; drives the same machine as `grab`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::points::PointArgs;
use super::roads::Tally;
use super::{Global, exit, points, report, say};
use crate::engine::capture::backend::{Choice, Verdict};
use crate::engine::capture::closure::Sent;
use crate::engine::capture::steps::SeekRun;
use crate::engine::media::source::warm_up;
use crate::engine::run::survey;
use crate::engine::wishes::Wishes;
use crate::model::coded::Unfit;
use crate::model::delivery::{Deliver, Gone, Message};
use crate::model::device::{CodecClass, DeviceCodec, DeviceRow};
use crate::model::job::VideoBatch;
use crate::model::media::{MediaFacts, Need, Start};
use crate::model::time::Seconds;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The video
    pub file: PathBuf,
    #[command(flatten)]
    pub points: PointArgs,
    /// Choose the backend as if a device stood ready that decodes these kinds, each a codec and its bits
    #[arg(long, value_name = "h264:8,hevc:10,...", value_delimiter = ',', value_parser = row)]
    pub offer: Vec<DeviceRow>,
    /// Decoding threads that such a device is weighed against
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a device of today takes of one kind.
fn row(text: &str) -> Result<DeviceRow, String> {
    let class = text.split_once(':').and_then(|(codec, depth)| {
        let (codec, depth) = (DeviceCodec::parse(codec)?, depth.parse().ok()?);
        [8, 10, 12].contains(&depth).then_some(CodecClass { codec, depth })
    });
    let class = class.ok_or("not a codec and its bits: 8, 10 or 12")?;
    let (side_min, side_max) = (48, 4_096);
    Ok(DeviceRow {
        class,
        width_min: side_min,
        height_min: side_min,
        width_max: side_max,
        height_max: side_max,
        macroblocks_max: side_max * side_max / 256,
        proven: None,
    })
}

/// Nobody listens: the plan is the result.
struct Silent;

impl Deliver for Silent {
    fn deliver(&self, _message: Message) -> Result<(), Gone> {
        Ok(())
    }
}

/// Runs the command; returns its exit code.
pub fn run(_global: &Global, args: Args) -> u8 {
    warm_up();
    let batch = match args.points.batch(None) {
        Ok(batch) => VideoBatch { offer: args.offer.clone(), ..batch },
        Err(text) => {
            say::complain(text);
            return exit::USAGE;
        }
    };
    let planned = points::open(&args.file).and_then(|source| survey(&batch, source, args.threads, &Silent));
    let (facts, wishes, survey, stats) = match planned {
        Ok(planned) => planned,
        Err(failure) => {
            return points::fault(&args.file, &failure);
        }
    };
    let runs: Vec<Value> = survey.runs.iter().map(|run| describe(run, &wishes, &facts)).collect();
    let linear = survey.linear.map(|reason| format!("{reason:?}"));
    if args.json {
        say!(
            "{}",
            json!({"file": args.file.display().to_string(), "media": report::media(&facts), "runs": runs,
                   "linear": linear, "backend": survey.choice.map(backend),
                   "stats": report::stats(&Tally::of_cpu(stats))})
        );
        return exit::DONE;
    }
    runs.iter().enumerate().for_each(|(i, run)| print(i + 1, run));
    if let Some(reason) = linear {
        say!("the rest is decoded from the first packet on: {reason}");
    }
    if let Some(choice) = survey.choice {
        print_choice(choice);
    }
    say!("{} packets read, {} seeks", stats.packets_read, stats.seeks);
    exit::DONE
}

/// Where it would be decoded, why there, and what the model takes that to cost.
fn backend(choice: Choice) -> Value {
    let (on, why) = match choice.verdict {
        Verdict::Device => ("device", None),
        Verdict::Cpu(why) => ("cpu", Some(why.name())),
        Verdict::Undecided => ("cpu", None),
    };
    let mut object = json!({"choice": on, "why": why});
    if let Some(estimate) = choice.estimate {
        object["cpu_us"] = json!(estimate.cpu_us);
        object["cpu_wall_us"] = json!(estimate.cpu_wall_us);
        object["device_cpu_us"] = json!(estimate.device_cpu_us);
        object["device_wall_us"] = json!(estimate.device_wall_us);
    }
    object
}

fn print_choice(choice: Choice) {
    let choice = backend(choice);
    let why = choice["why"].as_str().map_or_else(String::new, |why| format!(" ({why})"));
    let ms = |key: &str| choice[key].as_u64().unwrap_or(0) / 1000;
    let costs = match choice["cpu_us"].is_null() {
        true => String::new(),
        false => format!(
            ": about {} ms on the CPU, with a device {} ms of it and {} ms in all",
            ms("cpu_us"),
            ms("device_cpu_us"),
            ms("device_wall_us")
        ),
    };
    say!("decoded on the {}{why}{costs}", choice["choice"].as_str().unwrap_or_default());
}

/// One run for a person to check, packet by packet in decode order.
fn print(number: usize, run: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told_by = match run["unfit"].as_str() {
        Some(reason) => format!("by the codec's rule ({reason})"),
        None => "by their references".to_owned(),
    };
    say!(
        "run {number}: starts at pts {} ({}), {} pictures to decode, told {told_by}",
        run["packets"][0]["pts"],
        text(&run["start"]),
        run["pictures"],
    );
    for packet in run["packets"].as_array().into_iter().flatten() {
        let (sent, parts) = match (&packet["sent"], &packet["parts"]) {
            (Value::Bool(false), _) => ("skip", String::new()),
            (_, Value::Null) => ("send", String::new()),
            (_, parts) => ("part", format!(", of its bytes {parts}")),
        };
        say!(
            "  {:>5}  pts {:>9}  dts {:>9}  {:>8} bytes  {sent}  {}{parts}",
            packet["n"].to_string(),
            packet["pts"].to_string(),
            packet["dts"].to_string(),
            packet["size"].to_string(),
            text(&packet["why"]),
        );
    }
    for target in run["targets"].as_array().into_iter().flatten() {
        say!(
            "  packet {} shows at {} ms what {} ms asks for",
            target["n"],
            target["shown_ms"],
            target["asked_ms"]
        );
    }
}

fn describe(run: &SeekRun, wishes: &Wishes, facts: &MediaFacts) -> Value {
    let origin = Seconds::of_pts(facts.start_pts, facts.time_base);
    let packets: Vec<Value> = (0..run.heads.len())
        .map(|n| {
            let head = &run.heads[n];
            let mut packet = json!({"n": n, "pts": head.pts, "dts": head.dts, "size": head.size,
                   "key": head.header.key, "sent": run.sent[n].any(), "why": why(run, n)});
            if let Sent::Parts { bytes, .. } = &run.sent[n] {
                packet["parts"] = json!(bytes);
            }
            packet
        })
        .collect();
    let targets: Vec<Value> = run
        .targets
        .iter()
        .map(|target| {
            let askers = target.wants.iter().flat_map(|want| &wishes.askers[*want]);
            let asked: Vec<i64> = askers.map(|asker| asker.asked_ms).collect();
            let pts = target.head.pts.unwrap_or(0);
            let shown = Seconds::of_pts(pts, facts.time_base).minus(origin).ceil_ms();
            json!({"n": target.seq - run.first, "pts": pts, "shown_ms": shown, "asked_ms": asked})
        })
        .collect();
    let start = match run.start {
        Start::Clean => "clean start".to_owned(),
        Start::Open => "recovery point".to_owned(),
        Start::After(frames) => format!("exact after {frames} frames"),
        Start::No => "no start".to_owned(),
    };
    let pictures: usize = run.sent.iter().zip(&run.heads).map(|(sent, head)| sent.pictures(head)).sum();
    json!({"start": start, "targets": targets, "pictures": pictures,
           "unfit": run.unfit.map(Unfit::name), "packets": packets})
}

/// Why a packet is sent or left out.
fn why(run: &SeekRun, n: usize) -> &'static str {
    let header = &run.heads[n].header;
    if run.targets.iter().any(|t| (t.seq - run.first) as usize == n) {
        "target"
    } else if n == 0 {
        "start of the run"
    } else if !run.sent[n].any() {
        "nothing wanted refers to it"
    } else if run.unfit.is_none() {
        "a target depends on it"
    } else {
        match header.need {
            Need::Always => "later frames may refer to it",
            Need::Layer { .. } => "frames of its layer or above may refer to it",
            Need::Target | Need::TargetIfNextIsResilient if header.hidden => "hidden by an edit list",
            Need::Target | Need::TargetIfNextIsResilient => "belongs to what is sent beside it",
        }
    }
}
