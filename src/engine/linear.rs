//! The walk of last resort: decode everything from the first packet, pick frames as they come out.
//!
//! Owns the choice of a frame by display order alone. Never leaves a packet out; bounded by the file's end
//! and by the last want, and it holds two frames.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::capture::steps::Want;
use super::decode::Decoders;
use super::ledger::Ledger;
use super::media::Frame;
use super::media::decoder::{Decoded, Received, share};
use super::media::reader::Reader;
use crate::model::job::{Failure, Stage};
use crate::model::media::{Field, PacketHead, Start};

/// Heads that may be on their way through a decoder; older ones are forgotten.
const IN_FLIGHT_MAX: usize = 4_096;

/// One frame in display order.
pub struct Seen {
    pub frame: Frame,
    /// The frame's pts, or its number when `counting`.
    pub at: i64,
    pub length: i64,
    pub key_frame: bool,
    pub damaged: bool,
    pub is_last: bool,
}

/// Serves `wants` (ascending instants: pts, or frame numbers when `counting`): for each, the last frame, or key
/// frame, whose instant is not above it, else the first frame. `deliver(want, frame)` gets them in order; false stops.
///
/// # Errors
/// `Io`, and the decoder's refusal to open.
pub fn walk(
    reader: &mut Reader,
    decoders: &Decoders<'_>,
    ledger: &Ledger<'_>,
    wants: &[Want],
    counting: bool,
    deliver: &mut dyn FnMut(usize, &Seen) -> bool,
) -> Result<Served, Failure> {
    let mut decoder = decoders.take()?;
    let mut walk = Walk {
        wants,
        served: Served::default(),
        shown: 0,
        previous: None,
        key: None,
        counting,
        heads: HashMap::new(),
        sent: 0,
        damage: None,
    };
    let mut number = 0u64;
    loop {
        let next = ledger.charge(Stage::Plan, || reader.next())?;
        let ended = next.is_none();
        match next {
            Some((mut packet, head)) => {
                if walk.heads.len() >= IN_FLIGHT_MAX {
                    let oldest = number.saturating_sub(IN_FLIGHT_MAX as u64 / 2);
                    walk.heads.retain(|n, _| *n >= oldest);
                }
                let nothing = head.header.field == Field::Nothing;
                walk.note_sent(number, head);
                ledger.packets_decoded.fetch_add(1, Ordering::Relaxed);
                ledger.note_sent(None, number as usize, packet.data().unwrap_or(&[]));
                let is_whole = !packet.is_corrupt();
                if !ledger.charge(Stage::Decode, || decoder.send(&mut packet, number)) {
                    if !nothing {
                        walk.lose(number);
                    }
                } else if !is_whole {
                    walk.damaged(number);
                }
                number += 1;
            }
            None => ledger.charge(Stage::Decode, || decoder.drain()),
        }
        loop {
            match ledger.charge(Stage::Decode, || decoder.receive()) {
                Received::Frame(decoded) => {
                    ledger.frames_decoded.fetch_add(1, Ordering::Relaxed);
                    if !walk.take(decoded, deliver) {
                        return Ok(walk.served);
                    }
                }
                Received::Hungry | Received::End => break,
                Received::Damage if ended => break,
                Received::Damage => walk.lose(number.saturating_sub(1)),
            }
        }
        if ended {
            walk.finish(deliver);
            decoders.put(decoder);
            return Ok(walk.served);
        }
    }
}

/// What became of the wants.
#[derive(Debug, Default)]
pub struct Served {
    /// So many of the first ones are decided.
    pub count: usize,
    /// Those among them whose own frame is lost: no other takes its place.
    pub lost: Vec<usize>,
}

struct Walk<'a> {
    wants: &'a [Want],
    served: Served,
    shown: i64,
    previous: Option<Seen>,
    /// The last whole key frame up to `previous`, which is all that some want.
    key: Option<Seen>,
    counting: bool,
    /// Packets whose frames have not come out, by number.
    /// Each with how many pictures were sent before it.
    heads: HashMap<u64, (PacketHead, i64)>,
    sent: i64,
    /// The first damaged packet since the last clean start.
    damage: Option<u64>,
}

impl Walk<'_> {
    fn note_sent(&mut self, number: u64, head: PacketHead) {
        let counts = head.header.field.is_picture() && !head.header.hidden;
        self.heads.insert(number, (head, self.sent));
        self.sent += i64::from(counts);
    }

    fn damaged(&mut self, number: u64) {
        self.damage = Some(self.damage.map_or(number, |damage| damage.min(number)));
    }

    /// A packet gives no frame. Where frames are counted it counts all the same.
    fn lose(&mut self, number: u64) {
        self.damaged(number);
        self.shown += 1;
    }

    /// A frame came out: everything that it is too late for is served by the one before. False when done.
    fn take(&mut self, decoded: Decoded, deliver: &mut dyn FnMut(usize, &Seen) -> bool) -> bool {
        let number = decoded.number.unwrap_or(0);
        let (head, before) = self.heads.remove(&number).unzip();
        if let (Some(head), Some(damage)) = (head.as_ref(), self.damage)
            && head.header.start == Start::Clean
            && number > damage
            && !decoded.damaged
            && (!self.counting || before == i64::try_from(number).ok())
        {
            // Nothing before it is shown after it: here the count is sure again, if every packet was one picture.
            self.damage = None;
            self.shown = before.unwrap_or(self.shown);
        }
        if decoded.damaged {
            self.damaged(number);
        }
        let damaged = decoded.damaged || self.damage.is_some_and(|damage| number > damage);
        let at = match (self.counting, head.as_ref().and_then(|head| head.pts), &self.previous) {
            (true, ..) => self.shown,
            (false, Some(pts), _) => pts,
            // It follows the one before; without one it has no place.
            (false, None, Some(previous)) => previous.at.saturating_add(previous.length.max(1)),
            (false, None, None) => return true,
        };
        self.shown += 1;
        let length = if self.counting { 1 } else { head.as_ref().map_or(1, |head| head.duration) };
        let key_frame = head.as_ref().is_some_and(|head| head.header.key);
        // A recovery point may be flagged too, but its picture is not whole.
        let stands_alone = head.is_some_and(|head| matches!(head.header.start, Start::Clean | Start::Open));
        let seen = Seen { frame: decoded.frame, at, length, key_frame, damaged, is_last: false };
        if let Some(previous) = self.previous.take() {
            while self.wants.get(self.served.count).is_some_and(|want| want.pts < at) {
                if !self.serve(&previous, deliver) {
                    return false;
                }
            }
        }
        if stands_alone && !seen.damaged && self.wants.iter().any(|want| want.intra) {
            self.key = Some(Seen { frame: share(&seen.frame), ..seen });
        }
        self.previous = Some(seen);
        self.served.count < self.wants.len()
    }

    /// Serves the next want with the frame of its instant, or the key frame before it. False stops.
    fn serve(&mut self, frame: &Seen, deliver: &mut dyn FnMut(usize, &Seen) -> bool) -> bool {
        let number = self.served.count;
        let want = self.wants[number];
        self.served.count += 1;
        if let Some(key) = self.key.as_ref().filter(|key| want.intra && key.at != frame.at) {
            return deliver(number, key);
        }
        // At the end of a count nobody can tell what is missing.
        if !(frame.is_last && self.counting) && self.is_lost(frame.at, want.pts) {
            self.served.lost.push(number);
            return true;
        }
        deliver(number, frame)
    }

    /// Was there a frame between the one before and the want, which should have come out by now?
    fn is_lost(&self, before: i64, want: i64) -> bool {
        let between = |at: i64| at > before && at <= want;
        let shown = |head: &PacketHead| !head.header.hidden && head.header.field.is_picture();
        match self.damage {
            None => false,
            Some(_) if self.counting => want > before,
            Some(_) => self.heads.values().any(|(head, _)| shown(head) && head.pts.is_some_and(between)),
        }
    }

    /// The end: the last frame serves whatever is left.
    fn finish(&mut self, deliver: &mut dyn FnMut(usize, &Seen) -> bool) {
        let Some(mut last) = self.previous.take() else { return };
        last.is_last = true;
        while self.served.count < self.wants.len() && self.serve(&last, deliver) {}
    }
}
