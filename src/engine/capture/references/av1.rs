//! AV1: eight slots, which every frame header names outright (AV1, 7.20 and 7.21). *Pure.*
//!
//! Owns the walk through the slots and the cutting of temporal units, whose hidden frames share a packet with
//! shown ones. Never sees a stream with layers: its headers are not told.

use super::{Unfit, reach};
use crate::engine::capture::closure::Sent;
use crate::model::coded::{Av1Frame, Coded};
use crate::model::media::PacketHead;

/// As `references::closure`.
pub fn closure(heads: &[PacketHead], targets: &[usize], may_be_needed: &[bool]) -> Result<Vec<Sent>, Unfit> {
    let units: Vec<&[Av1Frame]> = heads
        .iter()
        .map(|head| match &head.coded {
            Coded::Av1(frames) => Ok(&frames[..]),
            _ => Err(Unfit::NotTold),
        })
        .collect::<Result<_, _>>()?;
    let first_of: Vec<usize> = units
        .iter()
        .scan(0, |count, frames| {
            *count += frames.len();
            Some(*count - frames.len())
        })
        .collect();
    let last = targets.last().map_or(0, |last| last + 1);
    let refers = references(&units[..last])?;
    let shown = targets.iter().flat_map(|target| {
        let frames = units[*target].iter().enumerate();
        frames.filter(|(_, f)| f.shown || f.shows.is_some()).map(|(i, _)| first_of[*target] + i)
    });
    let packet_of: Vec<usize> = units[..last]
        .iter()
        .enumerate()
        .flat_map(|(i, frames)| std::iter::repeat_n(i, frames.len()))
        .collect();
    let reached = reach(&refers, shown.collect::<Vec<_>>(), |node| may_be_needed[packet_of[node]]);
    let mut sent: Vec<Sent> = (0..last)
        .map(|i| cut(units[i], &reached[first_of[i]..first_of[i] + units[i].len()], heads[i].size))
        .collect();
    sent.resize(heads.len(), Sent::No);
    Ok(sent)
}

/// For every frame of the units, in decode order, the frames that it may refer to.
fn references(units: &[&[Av1Frame]]) -> Result<Vec<Vec<u32>>, Unfit> {
    let mut slots: [Option<u32>; 8] = [None; 8];
    let mut refers = Vec::new();
    for frame in units.iter().copied().flatten() {
        let slots_read = frame.shows.map_or(frame.reads, |slot| 1 << (slot & 7));
        let read = (0..8).filter(|slot| slots_read >> slot & 1 == 1);
        let mut of_frame: Vec<u32> =
            read.map(|slot| slots[slot as usize].ok_or(Unfit::NotThere)).collect::<Result<_, _>>()?;
        of_frame.sort_unstable();
        of_frame.dedup();
        let number = u32::try_from(refers.len()).map_err(|_| Unfit::NotTold)?;
        refers.push(of_frame);
        for (slot, holds) in slots.iter_mut().enumerate() {
            if frame.fills >> slot & 1 == 1 {
                *holds = Some(number);
            }
        }
    }
    Ok(refers)
}

/// The temporal unit of `size` bytes without the frames that are not `wanted`. What is no frame stays: temporal
/// delimiter, sequence header, metadata.
fn cut(frames: &[Av1Frame], wanted: &[bool], size: u32) -> Sent {
    if wanted.iter().all(|wanted| *wanted) && !wanted.is_empty() {
        return Sent::Whole;
    }
    if !wanted.contains(&true) {
        return Sent::No;
    }
    let mut bytes: Vec<(u32, u32)> = Vec::new();
    let mut from = 0;
    for (frame, _) in frames.iter().zip(wanted).filter(|(_, wanted)| !**wanted) {
        if frame.from > from {
            bytes.push((from, frame.from));
        }
        from = frame.to;
    }
    if size > from {
        bytes.push((from, size));
    }
    let pictures = frames.iter().zip(wanted).filter(|(f, wanted)| **wanted && f.shows.is_none()).count();
    Sent::Parts { bytes: bytes.into(), pictures }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::media::{Field, FrameHeader, Need, Start};

    fn frame(reads: &[u8], fills: &[u8], shown: bool) -> Av1Frame {
        let bits = |slots: &[u8]| slots.iter().fold(0, |bits, slot| bits | 1 << slot);
        Av1Frame { from: 0, to: 0, shows: None, reads: bits(reads), fills: bits(fills), shown }
    }

    /// Each frame takes ten bytes, two more stand before them.
    fn unit(frames: Vec<Av1Frame>) -> PacketHead {
        let place =
            |(i, f): (usize, Av1Frame)| Av1Frame { from: 2 + 10 * i as u32, to: 12 + 10 * i as u32, ..f };
        let size = 2 + 10 * frames.len() as u32;
        let frames: Vec<Av1Frame> = frames.into_iter().enumerate().map(place).collect();
        let header = FrameHeader {
            start: Start::No,
            key: false,
            hidden: false,
            need: Need::Always,
            field: Field::Frame,
            resilient: false,
        };
        PacketHead { pts: Some(0), dts: None, duration: 1, size, header, coded: Coded::Av1(frames.into()) }
    }

    fn all_open(heads: &[PacketHead], targets: &[usize]) -> Result<Vec<Sent>, Unfit> {
        closure(heads, targets, &vec![true; heads.len()])
    }

    const ALL: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

    #[test]
    fn a_hidden_frame_is_sent_without_the_shown_one_beside_it() {
        let shows = Av1Frame { shows: Some(1), ..frame(&[], &[], false) };
        let heads = [
            unit(vec![frame(&[], &ALL, true)]),
            unit(vec![frame(&[0], &[1], false), frame(&[0, 1], &[2], true)]),
            unit(vec![frame(&[0, 2], &[], true)]),
            unit(vec![shows]),
        ];
        let sent = all_open(&heads, &[3]).unwrap();
        let parts = Sent::Parts { bytes: [(0, 12)].into(), pictures: 1 };
        assert_eq!(sent, [Sent::Whole, parts, Sent::No, Sent::Whole]);
        assert_eq!(all_open(&heads, &[1]).unwrap(), [Sent::Whole, Sent::Whole, Sent::No, Sent::No]);
        let all = all_open(&heads, &[2, 3]).unwrap();
        assert!(all.iter().all(|sent| *sent == Sent::Whole), "{all:?}");
    }

    #[test]
    fn a_slot_that_nothing_filled_is_unfit() {
        let heads = [unit(vec![frame(&[], &[0, 1], true)]), unit(vec![frame(&[0, 3], &[1], true)])];
        assert_eq!(all_open(&heads, &[1]), Err(Unfit::NotThere));
        assert_eq!(all_open(&heads, &[0]).unwrap(), [Sent::Whole, Sent::No]);
    }

    /// Frames by (reads, fills, whether a unit ends behind it).
    fn streams() -> impl Strategy<Value = Vec<PacketHead>> {
        prop::collection::vec((any::<u8>(), any::<u8>(), any::<bool>()), 1..60).prop_map(|frames| {
            let mut heads = vec![unit(vec![frame(&[], &ALL, true)])];
            let mut open = Vec::new();
            for (reads, fills, ends) in frames {
                open.push(Av1Frame { from: 0, to: 0, shows: None, reads, fills, shown: ends });
                if ends {
                    heads.push(unit(std::mem::take(&mut open)));
                }
            }
            heads
        })
    }

    /// What each slot holds, told by the number of the frame and of everything that it was made from.
    fn decode(frames: impl Iterator<Item = (usize, Av1Frame)>) -> Vec<(usize, Vec<u64>)> {
        let mut slots = [0u64; 8];
        let mut shown = Vec::new();
        for (number, frame) in frames {
            let read: Vec<u64> = (0..8).filter(|s| frame.reads >> s & 1 == 1).map(|s| slots[s]).collect();
            let made = read.iter().fold(number as u64 + 1, |hash, one| {
                hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) ^ one
            });
            (0..8).filter(|s| frame.fills >> s & 1 == 1).for_each(|s| slots[s] = made);
            shown.push((number, vec![made]));
        }
        shown
    }

    proptest! {
        #[test]
        fn what_is_sent_decodes_to_the_same_targets(heads in streams(), pick in any::<prop::sample::Index>()) {
            let target = pick.index(heads.len());
            let sent = all_open(&heads, &[target]).unwrap();
            let mut number = 0;
            let (mut all, mut some) = (Vec::new(), Vec::new());
            let mut of_target = 0..0;
            for (i, head) in heads.iter().enumerate() {
                let Coded::Av1(frames) = &head.coded else { unreachable!() };
                if i == target {
                    of_target = number..number + frames.len();
                }
                for frame in frames.iter() {
                    let is_sent = match &sent[i] {
                        Sent::No => false,
                        Sent::Whole => true,
                        Sent::Parts { bytes, .. } => {
                            bytes.iter().any(|(from, to)| *from <= frame.from && frame.to <= *to)
                        }
                    };
                    all.push((number, frame.clone()));
                    if is_sent {
                        some.push((number, frame.clone()));
                    }
                    number += 1;
                }
            }
            let shown = of_target.end - 1;
            let made = |frames: Vec<(usize, Av1Frame)>| {
                decode(frames.into_iter()).into_iter().find(|(n, _)| *n == shown)
            };
            prop_assert_eq!(made(all), made(some));
        }
    }
}
