//! `stillframe worker`: hands the engine to the bridge.
//!
//! Owns nothing but the meeting of the two houses. Never sees a video: its children do, or the helper of a device.

use crate::engine::device::Device;
use crate::engine::media::source::warm_up;
use crate::engine::run;
use crate::model::delivery::Deliver;
use crate::model::device::{CodecClass, DeviceFacts, DeviceId, Refusal};
use crate::model::job::{Ended, Grant, Source, Stats, VideoBatch};
use crate::model::media::Backend;
use crate::worker::{OpenDevice, helper, zygote};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep this device open and decode on it, one batch at a time
    #[arg(long, value_name = "ID", value_parser = device)]
    device: Option<DeviceId>,
}

fn device(text: &str) -> Result<DeviceId, String> {
    DeviceId::parse(text).ok_or_else(|| "no device: cuda:0, vaapi:/dev/dri/renderD128".to_owned())
}

/// Runs the command; returns its exit code.
pub fn run(args: Args) -> u8 {
    match args.device {
        None => zygote::main(run::run, warm_up),
        Some(id) => helper::main(&id, open, warm_up),
    }
}

fn open(id: &DeviceId) -> Result<Box<dyn OpenDevice>, (Refusal, String)> {
    if id.backend == Backend::Vaapi {
        // The library says of a node that it may not open no more than that it found no display.
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(&id.name);
        opened.map_err(|error| (Refusal::NoDevice, format!("{id} cannot be opened: {error}")))?;
    }
    Ok(Box::new(Open(Device::open(id)?)))
}

/// The engine's device as the bridge sees it.
struct Open(Device);

impl OpenDevice for Open {
    fn facts(&self) -> DeviceFacts {
        self.0.facts()
    }

    fn prove(&mut self, class: CodecClass) -> Result<(), (Refusal, String)> {
        self.0.prove(class)
    }

    fn run(&mut self, batch: &VideoBatch, source: Source, grant: Grant, out: &dyn Deliver) -> (Ended, Stats) {
        self.0.run(batch, source, grant, out)
    }
}
