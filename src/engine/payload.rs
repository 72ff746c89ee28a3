//! The packets of the open run: kept while they fit, read a second time when they do not.
//!
//! Owns the payload beside the planner's window. Never plans and never decodes.

use std::collections::VecDeque;

use super::capture::steps::SeekRun;
use super::decode::Packets;
use super::media::Packet;
use super::media::reader::Reader;
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::limits::RUN_PAYLOAD_BYTES_MAX;
use crate::model::media::PacketHead;

/// Packets beside the planner's window, by sequence number.
#[derive(Default)]
pub struct Payload {
    packets: VecDeque<Option<Packet>>,
    base: u64,
    bytes: usize,
}

impl Payload {
    pub fn restart(&mut self, base: u64) {
        *self = Payload { base, ..Payload::default() };
    }

    pub fn push(&mut self, seq: u64, packet: Packet) {
        if self.packets.is_empty() {
            self.base = seq;
        }
        if self.bytes + packet.size() > RUN_PAYLOAD_BYTES_MAX {
            self.packets.iter_mut().for_each(|held| *held = None);
            self.bytes = 0;
        }
        self.bytes += packet.size();
        self.packets.push_back(Some(packet));
    }

    pub fn forget_before(&mut self, seq: u64) {
        while self.base < seq {
            let Some(packet) = self.packets.pop_front() else {
                self.base = seq;
                return;
            };
            self.bytes -= packet.map_or(0, |p| p.size());
            self.base += 1;
        }
    }

    /// The run's packets; those at or after `keep` stay here too. None when some were dropped.
    pub fn take(&mut self, run: &SeekRun, keep: u64) -> Option<Vec<Packet>> {
        let from = usize::try_from(run.first.checked_sub(self.base)?).ok()?;
        let to = from + run.heads.len();
        if to > self.packets.len() || self.packets.range(from..to).any(Option::is_none) {
            return None;
        }
        let mut packets = Vec::with_capacity(run.heads.len());
        for place in from..to {
            let shared = self.base + place as u64 >= keep;
            let slot = &mut self.packets[place];
            let packet = if shared { slot.clone() } else { slot.take() }?;
            if !shared {
                self.bytes -= packet.size();
            }
            packets.push(packet);
        }
        Some(packets)
    }
}

/// The packets of a run, read from the file once more.
pub struct Again<'a, 'b> {
    reader: &'a mut Reader,
    run: &'b SeekRun,
    current: Packet,
    left: usize,
    /// What ended the reading, for the walk: the file cannot be read at all.
    pub failure: Option<Failure>,
}

impl<'a, 'b> Again<'a, 'b> {
    /// Call `rewind` before the first packet.
    pub fn new(reader: &'a mut Reader, run: &'b SeekRun) -> Again<'a, 'b> {
        Again { reader, run, current: Packet::empty(), left: 0, failure: None }
    }
}

impl Packets for Again<'_, '_> {
    fn rewind(&mut self) -> Result<(), Failure> {
        let start = &self.run.heads[0];
        self.reader.seek(start.pts.unwrap_or(0));
        let mut from_start = false;
        loop {
            match self.reader.next()? {
                Some((packet, head)) if is_same(&head, start) => {
                    self.current = packet;
                    self.left = self.run.heads.len();
                    return Ok(());
                }
                Some(_) => {}
                None if from_start => {
                    let text = "a part of the file that was there is not found again";
                    return Err(Failure::new(FailCode::Replaced, Stage::Decode, text));
                }
                None => {
                    from_start = true;
                    self.reader.seek_start();
                }
            }
        }
    }

    fn next(&mut self) -> Result<Option<&mut Packet>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        // The first packet was found by `rewind`.
        if self.left < self.run.heads.len() {
            match self.reader.next() {
                Ok(Some((packet, _))) => self.current = packet,
                Ok(None) => return Ok(None),
                Err(failure) => {
                    self.failure = Some(failure.clone());
                    return Err(failure);
                }
            }
        }
        self.left -= 1;
        Ok(Some(&mut self.current))
    }
}

/// Is it the same packet? What its headers tell of references may depend on where reading began.
fn is_same(one: &PacketHead, other: &PacketHead) -> bool {
    (one.pts, one.dts, one.size, one.duration) == (other.pts, other.dts, other.size, other.duration)
}
