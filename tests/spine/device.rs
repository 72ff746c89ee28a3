//! A device without a driver: its node is a text file that says how it fares, the video's text what it does at which instant.
//!
//! Lines of a node: `dead` (does not open), `flaky` (its clip fails), `wrong` (its clip comes out wrong), `copy` (every
//! batch fails at its first point). Lines of a video: `gpu:REASON 500` (refuses there), `gpu:crash 500`, `gpu:hang 500`,
//! `gpu:hold 500` (works until asked to stop), `gpu:fail 500` (says that the batch cannot be done), `gpu:quit 500`.

use std::fs::File;

use rustix::process::{Signal, getpid, kill_process};
use stillframe::model::delivery::{Deliver, Message};
use stillframe::model::device::{CodecClass, DeviceCodec, DeviceFacts, DeviceId, DeviceRow, Refusal};
use stillframe::model::job::{Ended, FailCode, Failure, Grant, Source, Stage, Stats, VideoBatch};
use stillframe::model::media::Backend;
use stillframe::model::snapshot::PointKey;
use stillframe::worker::OpenDevice;

use crate::engine::{at, instants, leave_a_dot, picture, planned, read};

struct Double {
    node: String,
}

/// What the helpers of this program open.
pub fn open(id: &DeviceId) -> Result<Box<dyn OpenDevice>, (Refusal, String)> {
    let double = Double { node: id.name.clone() };
    if double.says("dead") {
        return Err((Refusal::NoDevice, "no driver".to_owned()));
    }
    Ok(Box::new(double))
}

impl Double {
    fn says(&self, word: &str) -> bool {
        std::fs::read_to_string(&self.node).is_ok_and(|text| text.lines().any(|line| line == word))
    }
}

impl OpenDevice for Double {
    fn facts(&self) -> DeviceFacts {
        let row = |codec| DeviceRow {
            class: CodecClass { codec, depth: 8 },
            width_min: 16,
            height_min: 16,
            width_max: 4096,
            height_max: 4096,
            macroblocks_max: 65_536,
            proven: None,
        };
        DeviceFacts { model: "double".into(), rows: vec![row(DeviceCodec::H264), row(DeviceCodec::Vp9)] }
    }

    fn prove(&mut self, class: CodecClass) -> Result<(), (Refusal, String)> {
        match class.codec {
            _ if self.says("flaky") => Err((Refusal::Copy, "the clip fails".to_owned())),
            DeviceCodec::H264 if self.says("wrong") => {
                Err((Refusal::Unproven, "the clip is wrong".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn run(
        &mut self,
        batch: &VideoBatch,
        source: Source,
        _grant: Grant,
        out: &dyn Deliver,
    ) -> (Ended, Stats) {
        let Source::Fd(video) = source;
        leave_a_dot(&video, "gpu");
        let script = read(&File::from(video));
        let end_ms = at(&script, "end").unwrap_or(60_000);
        let say = |message| out.deliver(message).expect("somebody listens");
        say(Message::Planned(planned(batch, end_ms)));
        for (job, entry) in (0..).zip(&batch.jobs) {
            for (asked, asked_ms) in (0..).zip(instants(&entry.spec.points)) {
                if asked_ms >= end_ms || entry.pictures_done.contains(&asked) {
                    continue;
                }
                let point = PointKey { job, asked };
                say(Message::RunBegins { points: vec![point], stats: Stats::default() });
                let ours = |(word, ms): &(String, i64)| {
                    (*ms == asked_ms).then(|| word.strip_prefix("gpu:").map(str::to_owned)).flatten()
                };
                let word = if self.says("copy") { Some("copy".into()) } else { script.iter().find_map(ours) };
                if let Some(ended) = word.and_then(|word| trouble(&word, out)) {
                    return (ended, Stats { frames_decoded: 1, ..Stats::default() });
                }
                picture(point, asked_ms, end_ms, Backend::Vaapi, &say);
                say(Message::RunEnds { points: vec![point] });
            }
        }
        (Ended::Done, Stats { frames_decoded: 7, ..Stats::default() })
    }
}

fn trouble(word: &str, out: &dyn Deliver) -> Option<Ended> {
    match word {
        "crash" => {
            kill_process(getpid(), Signal::KILL).expect("a signal");
            unreachable!("killed");
        }
        "hang" => loop {
            std::thread::park();
        },
        "hold" => {
            while !out.stop_asked() {
                std::thread::yield_now();
            }
            Some(Ended::Stopped)
        }
        "fail" => {
            Some(Ended::Failed(Failure::new(FailCode::Corrupt, Stage::Probe, "the device finds it corrupt")))
        }
        "quit" => Some(Ended::Done),
        word => Refusal::parse(word).map(|reason| Ended::Refused { reason, text: "as told".to_owned() }),
    }
}
