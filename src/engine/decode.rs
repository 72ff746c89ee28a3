//! Decodes one seek run and hands its targets on.
//!
//! Owns the two passes over a run: first with everything left out that may be, then, at the first sign of
//! damage, once more with nothing left out. Never reads ahead of its run and never chooses a target.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::capture::plan::SeekRun;
use super::ledger::Ledger;
use super::media::decoder::{Decoded, Decoder, Received, Recipe};
use super::media::{Frame, Packet};
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::media::{Field, Need, Start};

/// A picture comes out at most so many packets after its own; one that has not by then never will.
const LATE_MAX: usize = 32;
/// Most frames that wait for others: no codec shows a picture later than that.
const WAITING_MAX: usize = 16;

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
    ledger: &Ledger,
    deliver: &mut dyn FnMut(usize, Frame, bool) -> bool,
) -> Outcome {
    let places = run.targets.iter().enumerate().map(|(i, t)| ((t.seq - run.first) as usize, i)).collect();
    let mut pass = Pass {
        run,
        places,
        first_damage: None,
        spoilt_from: None,
        inside: BTreeSet::new(),
        waiting: VecDeque::new(),
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
                pass.spoilt_from = None;
                pass.inside.clear();
                pass.waiting.clear();
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
    first_damage: Option<&'static str>,
    /// The first place whose damage others may have taken over: whatever is decoded from it on is not to be trusted.
    spoilt_from: Option<usize>,
    /// Places that were sent and did not come out yet.
    inside: BTreeSet<usize>,
    /// Targets that wait for what they may have been made from: damage is told only with the frame that has it.
    waiting: VecDeque<(usize, Decoded)>,
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
        ledger: &Ledger,
        deliver: &mut dyn FnMut(usize, Frame, bool) -> bool,
    ) -> Result<(), Failure> {
        let mut place = 0;
        while place < self.run.heads.len() && !self.places.is_empty() {
            let Some(packet) = packets.next()? else { break };
            if self.trusting && !self.run.sent[place] {
                ledger.packets_skipped.fetch_add(1, Ordering::Relaxed);
            } else {
                ledger.packets_decoded.fetch_add(1, Ordering::Relaxed);
                let taken = ledger.charge(Stage::Decode, || decoder.send(packet, place as u64));
                if taken {
                    self.note_sent(place);
                } else if !self.is_forgiven(place) {
                    self.spoil(place, "the decoder refuses a packet");
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
            self.receive(decoder, place, ledger, deliver);
            if !(self.over || (self.trusting && self.first_damage.is_some())) {
                self.inside.clear();
                self.hand_over(place, deliver);
            }
        }
        Ok(())
    }

    /// Takes what comes out after the packet at `sent` went in.
    fn receive(
        &mut self,
        decoder: &mut Decoder,
        sent: usize,
        ledger: &Ledger,
        deliver: &mut dyn FnMut(usize, Frame, bool) -> bool,
    ) {
        loop {
            match ledger.charge(Stage::Decode, || decoder.receive()) {
                Received::Frame(Decoded { frame, number, damaged }) => {
                    ledger.frames_decoded.fetch_add(1, Ordering::Relaxed);
                    let place = number.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
                    let forgiven = self.is_forgiven(place);
                    if damaged && !forgiven {
                        self.spoil(place, "the decoder reports damage");
                    }
                    if self.trusting && self.first_damage.is_some() {
                        return;
                    }
                    self.inside.remove(&place);
                    if self.places.contains_key(&place) {
                        self.waiting.push_back((place, Decoded { frame, number, damaged }));
                    }
                    self.hand_over(sent, deliver);
                    if self.over || self.places.is_empty() {
                        return;
                    }
                }
                Received::Hungry | Received::End => return,
                Received::Damage => {
                    self.spoil(sent, "the decoder reports an error");
                    if self.trusting {
                        return;
                    }
                }
            }
        }
    }

    /// A picture of this packet is to be expected: a second field has it with the first, a hidden one has none.
    fn note_sent(&mut self, place: usize) {
        let header = self.run.heads[place].header;
        if header.field != Field::Second && !header.hidden {
            self.inside.insert(place);
        }
    }

    /// Delivers the targets that nothing still in the decoder can speak against.
    fn hand_over(&mut self, sent: usize, deliver: &mut dyn FnMut(usize, Frame, bool) -> bool) {
        let oldest = self.inside.range(sent.saturating_sub(LATE_MAX)..).next().copied();
        while let Some((place, _)) = self.waiting.front() {
            if oldest.is_some_and(|oldest| oldest < *place) && self.waiting.len() <= WAITING_MAX {
                return;
            }
            let Some((place, Decoded { frame, damaged, .. })) = self.waiting.pop_front() else { return };
            // The decoder says nothing of a frame that was made from damaged ones.
            let spoilt = self.spoilt_from.is_some_and(|from| from <= place);
            if let Some(target) = self.places.remove(&place)
                && !deliver(target, frame, damaged || spoilt)
            {
                self.over = true;
                return;
            }
        }
    }

    /// Damage at a place. A frame that nothing refers to keeps it to itself.
    fn spoil(&mut self, place: usize, what: &'static str) {
        self.first_damage.get_or_insert(what);
        if self.run.heads.get(place).is_none_or(|head| head.header.need != Need::Target) {
            self.spoilt_from = Some(self.spoilt_from.map_or(place, |from| from.min(place)));
        }
    }

    /// Pictures in front of a run's true beginning come out damaged and are nobody's target: leading pictures
    /// of an open start, and those before a recovery point has recovered.
    fn is_forgiven(&self, place: usize) -> bool {
        let Some(head) = self.run.heads.get(place) else { return true };
        match self.run.start {
            Start::Open | Start::After(_) => head.pts < Some(self.run.exact_from),
            Start::Clean | Start::No => false,
        }
    }
}
