//! Decodes one seek run and hands its targets on.
//!
//! Owns the two passes over a run: first with everything left out that may be, then, at the first sign of
//! damage, once more with nothing left out. Never reads ahead of its run and never chooses a target.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::capture::closure::Sent;
use super::capture::steps::SeekRun;
use super::damage::Damage;
use super::ledger::Ledger;
use super::media::decoder::{Decoded, Decoder, Received, Recipe, cut};
use super::media::{Frame, Packet};
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::media::Field;

/// What is wrong where a picture just does not come out.
const LOST: &str = "the decoder gives no frame for a packet";

/// Where a run's packets come from, in decode order from its start on.
pub trait Packets {
    /// Back to the run's start.
    ///
    /// # Errors
    /// `Io`, or `Replaced` when the run is not found again.
    fn rewind(&mut self) -> Result<(), Failure>;
    /// The next packet; none at the end of the run.
    ///
    /// # Errors
    /// `Io`.
    fn next(&mut self) -> Result<Option<&mut Packet>, Failure>;
}

/// Packets in memory.
pub struct Held {
    packets: Vec<Packet>,
    at: usize,
}

impl Held {
    /// A run's packets, from its start on.
    pub fn new(packets: Vec<Packet>) -> Held {
        Held { packets, at: 0 }
    }
}

impl Packets for Held {
    fn rewind(&mut self) -> Result<(), Failure> {
        self.at = 0;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<&mut Packet>, Failure> {
        self.at += 1;
        Ok(self.packets.get_mut(self.at - 1))
    }
}

/// Open decoders of one stream, taken and put back by the threads that need one.
pub struct Decoders<'a> {
    recipe: &'a Recipe,
    threads: u32,
    idle: Mutex<Vec<Decoder>>,
}

impl<'a> Decoders<'a> {
    /// `threads` frame threads a decoder.
    pub fn new(recipe: &'a Recipe, threads: u32) -> Decoders<'a> {
        Decoders { recipe, threads, idle: Mutex::new(Vec::new()) }
    }

    /// A decoder without state.
    ///
    /// # Errors
    /// As `Recipe::open`.
    pub fn take(&self) -> Result<Decoder, Failure> {
        match self.idle.lock().ok().and_then(|mut idle| idle.pop()) {
            Some(mut decoder) => {
                decoder.reset();
                Ok(decoder)
            }
            None => self.recipe.open(self.threads),
        }
    }

    /// Gives one back.
    pub fn put(&self, decoder: Decoder) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(decoder);
        }
    }
}

/// What became of a run.
pub struct Outcome {
    /// Targets (by place in `SeekRun.targets`) without a frame, and why.
    pub missing: BTreeMap<usize, Failure>,
}

/// Decodes `run`. Each target's frame goes to `deliver(target, frame, damaged)`, in output order; false stops.
pub fn decode_run(
    run: &SeekRun,
    packets: &mut dyn Packets,
    decoders: &Decoders<'_>,
    ledger: &Ledger<'_>,
    deliver: &mut dyn FnMut(usize, Frame, bool) -> bool,
) -> Outcome {
    let places = run.targets.iter().enumerate().map(|(i, t)| ((t.seq - run.first) as usize, i)).collect();
    let mut pass = Pass {
        run,
        places,
        damage: Damage::none(false),
        waiting: Vec::new(),
        first_damage: None,
        over: false,
        trusting: true,
    };
    let mut failure = None;
    match decoders.take() {
        Ok(mut decoder) => {
            if let Err(f) = pass.walk(&mut decoder, packets, ledger, deliver) {
                failure = Some(f);
            }
            if failure.is_none() && !pass.over && !pass.places.is_empty() {
                // Damage, or a frame that did not come: again, with nothing left out.
                pass.trusting = false;
                decoder.reset();
                failure =
                    packets.rewind().and_then(|()| pass.walk(&mut decoder, packets, ledger, deliver)).err();
            }
            decoders.put(decoder);
        }
        Err(f) => failure = Some(f),
    }
    let failure = failure.unwrap_or_else(|| {
        let text = pass.first_damage.unwrap_or("the decoder gave no frame for it");
        Failure::new(FailCode::Corrupt, Stage::Decode, text)
    });
    let missing = if pass.over { BTreeMap::new() } else { pass.places };
    Outcome { missing: missing.into_values().map(|i| (i, failure.clone())).collect() }
}

struct Pass<'a> {
    run: &'a SeekRun,
    /// Targets still to come: place in the run -> index in `SeekRun.targets`.
    places: BTreeMap<usize, usize>,
    damage: Damage,
    /// Targets that came out, but may yet turn out to refer to damage: place, frame, own damage.
    waiting: Vec<(usize, Frame, bool)>,
    first_damage: Option<&'static str>,
    /// Nobody wants the rest.
    over: bool,
    /// First pass: leave out what may be, and stop at the first sign of damage.
    trusting: bool,
}

impl Pass<'_> {
    fn walk(
        &mut self,
        decoder: &mut Decoder,
        packets: &mut dyn Packets,
        ledger: &Ledger<'_>,
        deliver: &mut dyn FnMut(usize, Frame, bool) -> bool,
    ) -> Result<(), Failure> {
        // Some codecs have packets without a picture; where something is amiss already, none is excused.
        self.damage = Damage::none(!self.trusting || decoder.gives_every_frame());
        self.waiting.clear();
        let mut place = 0;
        while place < self.run.heads.len() && self.waiting.len() < self.places.len() {
            let Some(packet) = packets.next()? else { break };
            let sent = if self.trusting { &self.run.sent[place] } else { &Sent::Whole };
            if *sent == Sent::No {
                ledger.packets_skipped.fetch_add(1, Ordering::Relaxed);
            } else {
                ledger.packets_decoded.fetch_add(1, Ordering::Relaxed);
                if packet.is_corrupt() {
                    self.damaged(place, "a part of the file is damaged or missing");
                }
                let pictures = sent.pictures(&self.run.heads[place]);
                ledger.frames_decoded.fetch_add(pictures as u64, Ordering::Relaxed);
                let mut part = None;
                let given = match sent {
                    Sent::Parts { bytes, .. } => part.insert(cut(packet, bytes)),
                    Sent::Whole | Sent::No => packet,
                };
                ledger.note_sent(self.run.heads[0].pts, place, given.data().unwrap_or(&[]));
                let taken = ledger.charge(Stage::Decode, || decoder.send(given, place as u64));
                // A decoder refuses a packet without a picture, which harms nobody.
                let nothing = self.run.heads[place].header.field == Field::Nothing;
                if !taken && !nothing {
                    self.damaged(place, "the decoder refuses a packet");
                } else if taken && !self.run.forgives(place) {
                    self.damage.sent(place, &self.run.heads[place]);
                }
                self.receive(decoder, place, ledger, deliver);
            }
            if self.over || (self.trusting && self.first_damage.is_some()) {
                return Ok(());
            }
            place += 1;
        }
        if !self.places.is_empty() {
            ledger.charge(Stage::Decode, || decoder.drain());
            self.receive(decoder, place.saturating_sub(1), ledger, deliver);
            if self.damage.ended(&self.run.heads) {
                self.first_damage.get_or_insert(LOST);
            }
            if !(self.trusting && self.first_damage.is_some()) {
                self.hand_on(true, deliver);
            }
        }
        Ok(())
    }

    /// Damage in or at a packet, unless it was to be expected there.
    fn damaged(&mut self, place: usize, what: &'static str) {
        if !self.run.forgives(place) {
            self.first_damage.get_or_insert(what);
            self.damage.at(place, &self.run.heads[place]);
        }
    }

    /// Takes what comes out; `sent` is the last packet that went in.
    fn receive(
        &mut self,
        decoder: &mut Decoder,
        sent: usize,
        ledger: &Ledger<'_>,
        deliver: &mut dyn FnMut(usize, Frame, bool) -> bool,
    ) {
        loop {
            match ledger.charge(Stage::Decode, || decoder.receive()) {
                Received::Frame(Decoded { frame, number, damaged }) => {
                    let place = number.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
                    if place < self.run.heads.len() && self.damage.came(place, &self.run.heads) {
                        self.first_damage.get_or_insert(LOST);
                    }
                    if damaged {
                        self.damaged(place, "the decoder reports damage");
                    }
                    if self.trusting && self.first_damage.is_some() {
                        return;
                    }
                    if self.places.contains_key(&place) {
                        self.waiting.push((place, frame, damaged));
                    }
                    self.hand_on(false, deliver);
                    if self.over {
                        return;
                    }
                }
                Received::Hungry | Received::End => return,
                Received::Damage => {
                    self.damaged(sent, "the decoder reports an error");
                    if self.trusting {
                        return;
                    }
                }
            }
        }
    }

    /// Delivers the targets about which all is known; everything at the end of the run.
    fn hand_on(&mut self, ended: bool, deliver: &mut dyn FnMut(usize, Frame, bool) -> bool) {
        let waiting = std::mem::take(&mut self.waiting);
        for (place, frame, damaged) in waiting {
            if !ended && self.damage.may_spoil(place, &self.run.heads) {
                self.waiting.push((place, frame, damaged));
            } else if let Some(target) = self.places.remove(&place)
                && !self.over
                && !deliver(target, frame, damaged || self.damage.spoils(place))
            {
                self.over = true;
            }
        }
    }
}
