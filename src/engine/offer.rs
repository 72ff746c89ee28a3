//! Runs that wait until it is told whether a device decodes them.
//!
//! Owns the runs that the walk has finished, packets included, in their order, while devices are on offer. Never
//! decodes and never opens a device: the verdict is `capture::backend`'s.

use super::capture::backend::{Scales, Verdict};
use super::capture::steps::SeekRun;
use super::media::Packet;
use crate::model::device::{Coding, DeviceRow};

/// The runs that wait. They hold no more than `POOL_PAYLOAD_BYTES_MAX` and the one that was the last straw, as the pool.
pub struct Waiting {
    scales: Scales,
    runs: Vec<(SeekRun, Vec<Packet>)>,
}

/// A run came, or the last one had come.
pub enum Heard {
    /// It waits too.
    Wait,
    /// A device is to have all of them.
    Device,
    /// The CPU decodes: these in their order, and whatever comes.
    Cpu(Vec<(SeekRun, Vec<Packet>)>),
}

impl Waiting {
    /// None when the CPU decodes in any case: no device is on offer, or none takes a stream coded like this. Else the
    /// CPU would decode `lanes` runs at a time.
    pub fn for_batch(offer: &[DeviceRow], coding: &Coding, lanes: u32) -> Option<Waiting> {
        let scales = Scales::new(coding, offer, lanes).ok()?;
        Some(Waiting { scales, runs: Vec::new() })
    }

    /// One more run.
    pub fn hear(&mut self, run: SeekRun, packets: Vec<Packet>) -> Heard {
        let verdict = self.scales.add(&run);
        self.runs.push((run, packets));
        match verdict {
            Verdict::Undecided => Heard::Wait,
            Verdict::Device => Heard::Device,
            Verdict::Cpu(_) => Heard::Cpu(std::mem::take(&mut self.runs)),
        }
    }

    /// A run that is too large to wait, or nothing more: what is there decides.
    pub fn last(mut self, run: Option<&SeekRun>) -> Heard {
        if let Some(run) = run {
            self.scales.add(run);
        }
        match self.scales.last() {
            Verdict::Device => Heard::Device,
            Verdict::Cpu(_) | Verdict::Undecided => Heard::Cpu(self.runs),
        }
    }

    /// The CPU decodes, whatever they weigh.
    pub fn give_up(self) -> Vec<(SeekRun, Vec<Packet>)> {
        self.runs
    }
}
