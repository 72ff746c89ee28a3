//! The road of a walk's runs through one decoder on a device.
//!
//! Owns the order in which runs are fed and what must have come out before a frame may be believed. Never decodes in
//! software; at the first bad sign it takes nothing more, and what was handed over before stays.
//!
//! ```text
//!   fed       run 0: I p b p | run 1: I p p | run 2: I p
//!   comes out          I b p     p I p p       I p      the last frames of a run while the next one is fed
//! ```
//!
//! Runs that begin at a `Start::Clean` follow each other without a flush. Others need a decoder without state, as H.264
//! makes a new one on the device.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::Scope;

use super::capture::rule;
use super::capture::steps::SeekRun;
use super::damage::Damage;
use super::decode::Packets;
use super::hall::{Hall, Loads, RunGuard};
use super::media::hwaccel::{DeviceDecoder, DeviceFrame, Got};
use super::media::trouble::Trouble;
use super::media::{Frame, Packet};
use crate::model::coded::{Coded, H264Sequence};
use crate::model::delivery::Message;
use crate::model::device::Refusal;
use crate::model::job::{Failure, Stage};
use crate::model::media::{Field, Start};

/// A packet gave no frame, though it should.
const LOST: &str = "the decoder gives no frame for a packet";

/// One walk's way through a decoder.
pub struct Road<'e> {
    decoder: DeviceDecoder,
    /// Runs of which something is still to come, in the order in which they were fed.
    stretches: VecDeque<Stretch<'e>>,
    /// The number that the next run's first packet gets; numbers are unique in the walk.
    next: u64,
    /// What the last run's pictures are like, where H.264 tells.
    sequence: Option<Arc<H264Sequence>>,
    /// Nothing more is taken.
    trouble: Option<Trouble>,
    /// The rest of the walk is not for a device, which did nothing wrong.
    declined: Option<Trouble>,
    loads: Arc<Loads>,
}

/// A run that was fed, or is.
struct Stretch<'e> {
    run: SeekRun,
    /// The number of the run's first packet.
    first: u64,
    /// Targets still to come or to be believed: place in the run -> index in `SeekRun.targets`.
    places: BTreeMap<usize, usize>,
    /// Targets in memory, which may yet turn out to refer to damage.
    waiting: Vec<(usize, Frame)>,
    damage: Damage,
    guard: Arc<RunGuard<'e>>,
}

/// Why a run was not decoded to its end.
enum Halt {
    Trouble(Trouble),
    /// Nobody listens any more.
    Gone,
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Halt {
        Halt::Trouble(trouble)
    }
}

impl<'e> Road<'e> {
    /// Through `decoder`, which has no state yet.
    pub fn new(decoder: DeviceDecoder) -> Road<'e> {
        Road {
            decoder,
            stretches: VecDeque::new(),
            next: 0,
            sequence: None,
            trouble: None,
            declined: None,
            loads: Arc::new(Loads::default()),
        }
    }

    /// Will no more runs be decoded?
    pub fn is_closed(&self) -> bool {
        self.trouble.is_some() || self.declined.is_some()
    }

    /// The rest of the walk is not for a device.
    pub fn decline(&mut self, reason: Refusal, text: impl Into<String>) {
        self.declined.get_or_insert(Trouble::new(reason, text));
    }

    /// The packets of a run are not there, which is for the CPU to judge.
    pub fn lose(&mut self, failure: &Failure) {
        self.trouble.get_or_insert(Trouble::new(Refusal::Damage, failure.to_string()));
    }

    /// Feeds a run. Targets of this one and of earlier ones are handed on as they come.
    pub fn decode(&mut self, scope: &Scope<'e>, hall: Hall<'e>, run: SeekRun, packets: &mut dyn Packets) {
        if self.is_closed() || hall.develop.is_over() {
            return;
        }
        if matches!(run.start, Start::After(_) | Start::No) {
            // What comes before it has recovered refers to pictures that are not there, and is referred to.
            return self.decline(Refusal::Unsupported, "a recovery that takes several pictures");
        }
        if let Err(Halt::Trouble(trouble)) = self.feed(scope, hall, run, packets) {
            self.trouble = Some(trouble);
        }
    }

    /// After the last run: what is still inside comes out. Says why the walk is not done, if so.
    pub fn finish(mut self, scope: &Scope<'e>, hall: Hall<'e>) -> Option<Trouble> {
        if self.trouble.is_none()
            && !hall.develop.is_gone()
            && let Err(Halt::Trouble(trouble)) = self.empty(scope, hall)
        {
            self.trouble = Some(trouble);
        }
        self.trouble.or(self.declined)
    }

    fn feed(
        &mut self,
        scope: &Scope<'e>,
        hall: Hall<'e>,
        run: SeekRun,
        packets: &mut dyn Packets,
    ) -> Result<(), Halt> {
        let may_discard = self.decoder.may_discard();
        if self.decoder.is_dirty() && !follows_without_a_flush(&run, self.sequence.as_ref(), may_discard) {
            self.empty(scope, hall)?;
            self.decoder.reset();
        }
        if let Coded::H264(picture) = &run.heads[0].coded {
            self.sequence = Some(Arc::clone(&picture.sequence));
        }
        let targets: Vec<usize> = run.targets.iter().map(|t| (t.seq - run.first) as usize).collect();
        let mut sent = rule::may_be_needed(&run.heads, &targets);
        if let Some(second) = sent.last_mut() {
            // Nothing lies behind the last target but its second field.
            *second = true;
        }
        self.begin(hall, run, &targets);
        for (place, sent) in sent.into_iter().enumerate() {
            let packet = packets.next().map_err(|failure| damage(failure.to_string()))?;
            let Some(packet) = packet else { return Err(damage("a part of the file is missing").into()) };
            if !sent {
                hall.ledger.packets_skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.send(hall, place, packet)?;
            self.receive(scope, hall)?;
        }
        Ok(())
    }

    fn begin(&mut self, hall: Hall<'e>, run: SeekRun, targets: &[usize]) {
        let points = hall.points(&run);
        hall.ledger.run_begins(run.unfit);
        hall.develop.say(Message::RunBegins { points: points.clone(), stats: hall.ledger.stats() });
        let first = self.next;
        self.next += run.heads.len() as u64;
        self.stretches.push_back(Stretch {
            first,
            places: targets.iter().copied().zip(0..).collect(),
            waiting: Vec::new(),
            damage: Damage::none(self.decoder.gives_every_frame()),
            guard: Arc::new(RunGuard { develop: hall.develop, points }),
            run,
        });
    }

    /// Gives the packet at `place` of the newest run.
    fn send(&mut self, hall: Hall<'e>, place: usize, packet: &mut Packet) -> Result<(), Halt> {
        let Some(stretch) = self.stretches.back_mut() else { return Ok(()) };
        let head = &stretch.run.heads[place];
        let forgiven = stretch.run.forgives(place);
        if packet.is_corrupt() && !forgiven {
            return Err(damage("a part of the file is damaged or missing").into());
        }
        hall.ledger.packets_decoded.fetch_add(1, Ordering::Relaxed);
        hall.ledger.frames_decoded.fetch_add(head.pictures() as u64, Ordering::Relaxed);
        hall.ledger.note_sent(stretch.run.heads[0].pts, place, packet.data().unwrap_or(&[]));
        // A decoder refuses a packet without a picture, which harms nobody.
        let lenient = forgiven || head.header.field == Field::Nothing;
        let number = stretch.first + place as u64;
        let taken = hall.ledger.charge(Stage::Decode, || self.decoder.send(packet, number, lenient))?;
        if taken && !forgiven {
            stretch.damage.sent(place, head);
        }
        Ok(())
    }

    /// Takes what comes out.
    fn receive(&mut self, scope: &Scope<'e>, hall: Hall<'e>) -> Result<(), Halt> {
        loop {
            match hall.ledger.charge(Stage::Decode, || self.decoder.receive())? {
                Got::Frame(frame) => self.take(scope, hall, frame)?,
                Got::Hungry | Got::End => return Ok(()),
            }
        }
    }

    fn take(&mut self, scope: &Scope<'e>, hall: Hall<'e>, frame: DeviceFrame) -> Result<(), Halt> {
        let Some(number) = frame.number else { return Ok(()) };
        let of_run = |s: &Stretch<'e>| (s.first..s.first + s.run.heads.len() as u64).contains(&number);
        // Runs of which everything came are not there any more; their last frames are nobody's target.
        let Some(index) = self.stretches.iter().position(of_run) else { return Ok(()) };
        for _ in 0..index {
            // Where a run begins, everything of those before it is out.
            self.close_first(scope, hall)?;
        }
        let Some(stretch) = self.stretches.front_mut() else { return Ok(()) };
        let place = (number - stretch.first) as usize;
        if stretch.damage.came(place, &stretch.run.heads) {
            return Err(damage(LOST).into());
        }
        if frame.damaged && !stretch.run.forgives(place) {
            return Err(damage("the decoder reports damage").into());
        }
        let is_target =
            stretch.places.contains_key(&place) && stretch.waiting.iter().all(|(w, _)| *w != place);
        if is_target {
            let frame = hall.ledger.charge(Stage::Decode, || self.decoder.bring(frame))?;
            stretch.waiting.push((place, frame));
        }
        stretch.hand_on(scope, hall, &self.loads, false)?;
        if stretch.places.is_empty() {
            self.stretches.pop_front();
        }
        Ok(())
    }

    /// Nothing more comes of the oldest run.
    fn close_first(&mut self, scope: &Scope<'e>, hall: Hall<'e>) -> Result<(), Halt> {
        let Some(mut stretch) = self.stretches.pop_front() else { return Ok(()) };
        if stretch.waiting.len() < stretch.places.len() {
            return Err(Trouble::new(Refusal::NoFrame, "the decoder gave no frame for a target").into());
        }
        if stretch.damage.ended(&stretch.run.heads) {
            return Err(damage(LOST).into());
        }
        stretch.hand_on(scope, hall, &self.loads, true)
    }

    /// Everything comes out.
    fn empty(&mut self, scope: &Scope<'e>, hall: Hall<'e>) -> Result<(), Halt> {
        if !self.stretches.is_empty() {
            hall.ledger.charge(Stage::Decode, || self.decoder.drain())?;
            self.receive(scope, hall)?;
        }
        while !self.stretches.is_empty() {
            self.close_first(scope, hall)?;
        }
        Ok(())
    }
}

impl<'e> Stretch<'e> {
    /// Hands on the targets about which all is known; everything at the end.
    fn hand_on(
        &mut self,
        scope: &Scope<'e>,
        hall: Hall<'e>,
        loads: &Arc<Loads>,
        ended: bool,
    ) -> Result<(), Halt> {
        for (place, frame) in std::mem::take(&mut self.waiting) {
            if !ended && self.damage.may_spoil(place, &self.run.heads) {
                self.waiting.push((place, frame));
                continue;
            }
            let Some(target) = self.places.remove(&place) else { continue };
            let (exposure, askers) = hall.exposure(&self.run, target, false);
            hall.hand_over(scope, frame, exposure, askers, loads, &self.guard);
            if hall.develop.is_gone() {
                return Err(Halt::Gone);
            }
        }
        Ok(())
    }
}

/// Does the run begin so that whatever is still inside comes out unharmed in front of it? `sequence` is that of the
/// run before; `may_discard` says that the codec's key frames may throw away what waits to be shown.
fn follows_without_a_flush(run: &SeekRun, sequence: Option<&Arc<H264Sequence>>, may_discard: bool) -> bool {
    run.start == Start::Clean
        && match &run.heads[0].coded {
            Coded::Hevc(picture) => !picture.discards && !picture.brings_sets,
            // Another size makes the decoder begin anew.
            Coded::H264(picture) => {
                !picture.discards && sequence.is_none_or(|before| *before == picture.sequence)
            }
            Coded::Av1(_) => true,
            Coded::Unknown => !may_discard,
        }
}

fn damage(text: impl Into<String>) -> Trouble {
    Trouble::new(Refusal::Damage, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::coded::{H264Order, H264Picture, HevcPicture};
    use crate::model::media::{FrameHeader, Need, PacketHead};

    fn run(start: Start, coded: Coded) -> SeekRun {
        let header = FrameHeader {
            start,
            key: true,
            hidden: false,
            need: Need::Always,
            field: Field::Frame,
            resilient: false,
        };
        let head = PacketHead { pts: Some(0), dts: None, duration: 1, size: 1, header, coded };
        SeekRun {
            first: 0,
            start,
            exact_from: 0,
            heads: vec![head],
            sent: vec![],
            unfit: None,
            targets: vec![],
        }
    }

    fn h264(width: u32) -> (Arc<H264Sequence>, Coded) {
        let sequence = Arc::new(H264Sequence {
            frame_num_bits: 4,
            order: H264Order::Decode,
            references_max: 1,
            gaps_allowed: false,
            format: [width, 9, 1, 8, 8],
        });
        let picture = H264Picture {
            sequence: Arc::clone(&sequence),
            idr: true,
            discards: false,
            reference: true,
            brings_sets: true,
            frame_num: 0,
            order_lsb: 0,
            order_bottom: 0,
            order_delta: [0; 2],
            marking: None,
            lists: Box::default(),
        };
        (sequence, Coded::H264(Arc::new(picture)))
    }

    fn hevc(discards: bool) -> Coded {
        Coded::Hevc(Arc::new(HevcPicture {
            kind: 19,
            temporal_id: 0,
            lsb: 0,
            lsb_bits: 8,
            keeps: Box::default(),
            waits: 2,
            brings_sets: false,
            ends: false,
            is_shown: true,
            discards,
        }))
    }

    #[test]
    fn a_run_follows_where_nothing_is_lost_in_front_of_it() {
        let follows = |start, coded, before, may_discard| {
            follows_without_a_flush(&run(start, coded), before, may_discard)
        };
        let ((small, picture), (large, _)) = (h264(16), h264(20));
        assert!(follows(Start::Clean, picture.clone(), Some(&small), false));
        assert!(!follows(Start::Clean, picture.clone(), Some(&large), false), "another size");
        assert!(!follows(Start::Open, picture, Some(&small), false));
        assert!(follows(Start::Clean, hevc(false), None, true));
        assert!(!follows(Start::Clean, hevc(true), None, true), "no_output_of_prior_pics_flag");
        assert!(!follows(Start::Clean, Coded::Unknown, None, true), "nobody knows");
        assert!(follows(Start::Clean, Coded::Unknown, None, false));
    }
}
