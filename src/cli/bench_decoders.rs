//! `stillframe bench --decoders-of DEVICE`: what decoders cost on a device, in this process.
//!
//! Owns the words of the report. Never serves a job: what a job costs, `bench --backend` tells.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{exit, points, say};
use crate::engine::device::Device;
use crate::engine::media::costs::{Costs, Took, timed};
use crate::model::device::DeviceId;

/// Opens the device and measures with the beginning of each file; returns the exit code.
pub fn run(device: &DeviceId, files: &[PathBuf], as_json: bool) -> u8 {
    let mut opened = None;
    let took = timed(|| {
        opened = Some(Device::open(device));
        Ok(())
    });
    let (Ok(took), Some(opened)) = (took, opened) else { return exit::FAULT };
    let mut open = match opened {
        Ok(open) => open,
        Err((reason, text)) => {
            say::complain(format_args!("{device}: {}: {text}", reason.name()));
            return exit::FAULT;
        }
    };
    let facts = open.facts();
    match as_json {
        true => say!("{}", json!({"device": device.to_string(), "model": facts.model, "open": times(took)})),
        false => say!("{device}: {}, opened in {}", facts.model, words(took)),
    }
    let mut code = exit::DONE;
    for file in files {
        let costs = match points::open(file) {
            Ok(source) => open.costs(source).map_err(|(reason, text)| format!("{}: {text}", reason.name())),
            Err(failure) => Err(failure.to_string()),
        };
        match costs {
            Ok(costs) if as_json => say!("{}", object(file, &costs)),
            Ok(costs) => print(file, &costs),
            Err(text) => {
                say::complain(format_args!("{}: {text}", file.display()));
                code = exit::FAULT;
            }
        }
    }
    code
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

fn times(took: Took) -> Value {
    json!({"wall_ms": ms(took.wall_us), "cpu_ms": ms(took.cpu_us)})
}

fn words(took: Took) -> String {
    format!("{:.2} ms (CPU {:.2})", ms(took.wall_us), ms(took.cpu_us))
}

fn object(file: &Path, costs: &Costs) -> Value {
    json!({
        "file": file.display().to_string(),
        "frames": costs.frames,
        "new_decoder": times(costs.new_decoder),
        "after_flush": times(costs.after_flush),
        "chained": costs.chained.map(times),
        "transfer": times(costs.transfer),
        "decoders_at_once": costs.decoders,
        "decoders_end": costs.decoders_end,
        "decoder_bytes": costs.decoder_bytes,
    })
}

fn print(file: &Path, costs: &Costs) {
    say!("{}: {} frames", file.display(), costs.frames);
    say!("  by a new decoder {}, after a flush {}", words(costs.new_decoder), words(costs.after_flush));
    if let Some(chained) = costs.chained {
        say!("  behind others without a flush {}", words(chained));
    }
    say!("  a frame into memory {}", words(costs.transfer));
    let bytes = costs.decoder_bytes.map_or_else(String::new, |each| format!(", {} MiB each", each >> 20));
    say!("  decoders at once {}{bytes} ({})", costs.decoders, costs.decoders_end);
}
