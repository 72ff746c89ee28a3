//! Which of several frames is the cheapest to decode, where any of them may serve. *Pure.*
//!
//! Owns the comparison by coded pictures. Never decides which frames may serve.

use super::closure;
use crate::model::media::PacketHead;

/// Frames whose cost is told one by one; with more, those that are decoded first, which lean on the fewest.
const COMPARED_MAX: usize = 32;

/// Heads that all comparisons for one instant go through: telling must not cost more than it saves.
const WORK_MAX: usize = 4_000;

/// One frame that may serve.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its place among the heads, and that of the start of its run.
    pub place: usize,
    pub start: usize,
    /// How far it lies from the asked instant, in units of pts; the frame of the instant itself is at 0.
    pub off: u64,
}

/// The cheapest of `candidates`, which are in decode order; of equals the one that is the least off. `decoded` are
/// the targets of the run from `decoded_from` on, which is decoded anyway.
pub fn cheapest(
    heads: &[PacketHead],
    candidates: &[Candidate],
    decoded_from: usize,
    decoded: &[usize],
) -> Option<Candidate> {
    let along: Vec<usize> = decoded.iter().map(|place| place - decoded_from).collect();
    let run = |from: usize, last: usize| &heads[from..=last.max(from)];
    let anyway = decoded.last().map(|last| closure::select(run(decoded_from, *last), &along).sent);
    let is_free = |c: &&Candidate| {
        let place = c.place.checked_sub(decoded_from).filter(|_| c.start == decoded_from);
        anyway.as_ref().zip(place).is_some_and(|(sent, place)| sent.get(place).is_some_and(|s| s.any()))
    };
    let least_off = |c: &&Candidate| c.off;
    if let Some(free) = candidates.iter().filter(is_free).min_by_key(least_off) {
        return Some(*free);
    }
    if let Some(start) = candidates.iter().filter(|c| c.place == c.start).min_by_key(least_off) {
        return Some(*start);
    }
    let exact = candidates.iter().filter(|c| c.off == 0);
    let most = (WORK_MAX / heads.len().max(1)).min(COMPARED_MAX);
    let first = candidates.iter().filter(|c| c.off != 0).take(most);
    let cost = |c: &&Candidate| {
        let mut targets = if c.start == decoded_from { along.clone() } else { Vec::new() };
        targets.push(c.place - c.start);
        targets.sort_unstable();
        let last = targets.last().map_or(c.place, |last| c.start + last);
        (closure::cost(run(c.start, last), &targets), c.off)
    };
    exact.chain(first).min_by_key(cost).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::coded::Coded;
    use crate::model::media::{Field, FrameHeader, Need, Start};

    fn head(start: Start, need: Need) -> PacketHead {
        let header = FrameHeader {
            start,
            key: start != Start::No,
            hidden: false,
            need,
            field: Field::Frame,
            resilient: false,
        };
        PacketHead { pts: Some(0), dts: None, duration: 1, size: 1, header, coded: Coded::Unknown }
    }

    /// Key, reference, other, reference, other, reference, key, reference.
    fn heads() -> Vec<PacketHead> {
        let (reference, other) = (head(Start::No, Need::Always), head(Start::No, Need::Target));
        let key = head(Start::Clean, Need::Always);
        [&key, &reference, &other, &reference, &other, &reference, &key, &reference].map(Clone::clone).into()
    }

    fn candidate(place: usize, off: u64) -> Candidate {
        Candidate { place, start: if place >= 6 { 6 } else { 0 }, off }
    }

    #[test]
    fn what_is_decoded_anyway_is_free() {
        let all = [candidate(2, 0), candidate(3, 1), candidate(6, 3)];
        assert_eq!(cheapest(&heads(), &all, 0, &[5]).map(|c| c.place), Some(3));
    }

    #[test]
    fn a_key_frame_costs_one() {
        let all = [candidate(4, 1), candidate(5, 0), candidate(6, 2)];
        assert_eq!(cheapest(&heads(), &all, 0, &[]).map(|c| c.place), Some(6));
    }

    #[test]
    fn fewer_pictures_win_and_then_the_nearer_frame() {
        let all = [candidate(3, 2), candidate(4, 1), candidate(5, 0)];
        assert_eq!(cheapest(&heads(), &all, 0, &[]).map(|c| c.place), Some(3));
        // Place 1 takes two pictures, place 2 three; places 3 and 2 cost the same.
        let equal = [candidate(2, 1), candidate(3, 0)];
        assert_eq!(cheapest(&heads(), &equal, 0, &[]).map(|c| c.place), Some(3));
        assert!(cheapest(&heads(), &[], 0, &[]).is_none());
    }
}
