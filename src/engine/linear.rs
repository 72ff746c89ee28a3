//! The walk of last resort: decode everything from the first packet, pick frames as they come out.
//!
//! Owns the choice of a frame by display order alone. Never leaves a packet out; bounded by the file's end
//! and by the last want, and it holds one frame.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::capture::plan::Want;
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
/// Returns how many wants were served.
///
/// # Errors
/// `Io`, and the decoder's refusal to open.
pub fn walk(
    reader: &mut Reader,
    decoders: &Decoders<'_>,
    ledger: &Ledger,
    wants: &[Want],
    counting: bool,
    deliver: &mut dyn FnMut(usize, &Seen) -> bool,
) -> Result<usize, Failure> {
    let mut decoder = decoders.take()?;
    let mut walk = Walk {
        wants,
        served: 0,
        shown: 0,
        previous: None,
        key: None,
        counting,
        heads: HashMap::new(),
        sent: 0,
        lost: false,
        whole: false,
        spoilt_from: None,
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
                walk.note_sent(number, head);
                ledger.packets_decoded.fetch_add(1, Ordering::Relaxed);
                if !ledger.charge(Stage::Decode, || decoder.send(&mut packet, number)) {
                    walk.lose(number);
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

struct Walk<'a> {
    wants: &'a [Want],
    served: usize,
    shown: i64,
    previous: Option<Seen>,
    /// The last whole key frame up to `previous`, which is all that some want.
    key: Option<Seen>,
    counting: bool,
    /// Packets on their way, each with the number of pictures that were sent before it.
    heads: HashMap<u64, (PacketHead, i64)>,
    sent: i64,
    /// Damage may have lost or added a picture, and with it the count, until one is known to have all before it.
    lost: bool,
    /// A frame came out whole: what was damaged before it had no beginning.
    whole: bool,
    /// The first packet of damage that later frames may have taken over.
    spoilt_from: Option<u64>,
}

impl Walk<'_> {
    /// A frame came out: everything that it is too late for is served by the one before. False when done.
    fn take(&mut self, decoded: Decoded, deliver: &mut dyn FnMut(usize, &Seen) -> bool) -> bool {
        let (head, before) = decoded.number.and_then(|n| self.heads.remove(&n)).unzip();
        let is_clean = head.is_some_and(|head| head.header.start == Start::Clean);
        if self.lost && is_clean {
            // Everything decoded before it is shown before it.
            self.shown = before.unwrap_or(self.shown);
            self.lost = false;
        }
        let pts = head.and_then(|head| head.pts);
        let length = head.map_or(1, |head| head.duration);
        let key_frame = head.is_some_and(|head| head.header.key);
        // A recovery point may be flagged too, but its picture is not whole.
        let stands_alone = head.is_some_and(|head| matches!(head.header.start, Start::Clean | Start::Open));
        let at = match (self.counting, pts, &self.previous) {
            (true, ..) => self.shown,
            (false, Some(pts), _) => pts,
            // It follows the one before; without one it has no place.
            (false, None, Some(previous)) => previous.at.saturating_add(previous.length.max(1)),
            (false, None, None) => return true,
        };
        self.shown += 1;
        let spoilt = self.is_spoilt(&decoded, if self.counting { is_clean } else { stands_alone });
        let damaged = decoded.damaged || spoilt;
        let length = if self.counting { 1 } else { length };
        let seen = Seen { frame: decoded.frame, at, length, key_frame, damaged, is_last: false };
        if let Some(previous) = self.previous.take() {
            while self.wants.get(self.served).is_some_and(|want| want.pts < at) {
                if !self.serve(&previous, deliver) {
                    return false;
                }
            }
        }
        if stands_alone && !seen.damaged && self.wants.iter().any(|want| want.intra) {
            self.key = Some(Seen { frame: share(&seen.frame), ..seen });
        }
        self.previous = Some(seen);
        self.served < self.wants.len()
    }

    fn note_sent(&mut self, number: u64, head: PacketHead) {
        self.heads.insert(number, (head, self.sent));
        self.sent += i64::from(head.header.field != Field::Second && !head.header.hidden);
    }

    /// The decoder gave nothing for a packet. Before the first whole frame that is no damage, but no beginning yet.
    fn lose(&mut self, number: u64) {
        if self.whole {
            self.spoil(number);
        }
    }

    fn spoil(&mut self, number: u64) {
        self.lost = true;
        self.spoilt_from = Some(self.spoilt_from.map_or(number, |from| from.min(number)));
    }

    /// Was it made from damaged frames? The decoder says nothing of that. A whole frame that needs none before it
    /// ends it.
    fn is_spoilt(&mut self, decoded: &Decoded, ends_it: bool) -> bool {
        self.whole |= !decoded.damaged;
        let Some(number) = decoded.number.filter(|_| self.whole) else { return false };
        if decoded.damaged {
            self.spoil(number);
        } else if ends_it && self.spoilt_from.is_some_and(|from| from < number) {
            self.spoilt_from = None;
        }
        self.spoilt_from.is_some_and(|from| from <= number)
    }

    /// The end: the last frame serves whatever is left.
    fn finish(&mut self, deliver: &mut dyn FnMut(usize, &Seen) -> bool) {
        let Some(mut last) = self.previous.take() else { return };
        last.is_last = true;
        while self.served < self.wants.len() && self.serve(&last, deliver) {}
    }

    /// Serves the next want with the frame of its instant, or the key frame before it.
    fn serve(&mut self, frame: &Seen, deliver: &mut dyn FnMut(usize, &Seen) -> bool) -> bool {
        let want = self.served;
        self.served += 1;
        match &self.key {
            Some(key) if self.wants[want].intra && key.at != frame.at => deliver(want, key),
            _ => deliver(want, frame),
        }
    }
}
