//! Random HEVC streams against a decoder on paper, whole and with pictures left out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::coded::HevcReference;
use crate::model::media::{Field, FrameHeader, Need, Start};

const TRAIL_N: u8 = 0;
const TRAIL_R: u8 = 1;
const RASL_R: u8 = 9;
const BLA: u8 = 16;
const IDR: u8 = 19;
const CRA: u8 = 21;

fn head(picture: HevcPicture) -> PacketHead {
    let header = FrameHeader {
        start: Start::No,
        key: false,
        hidden: false,
        need: Need::Always,
        field: Field::Frame,
        resilient: false,
    };
    PacketHead { pts: Some(0), dts: None, duration: 1, size: 1, header, coded: Coded::Hevc(picture.into()) }
}

/// A picture of the lowest layer with four low bits; `keeps` are differences, of which it reads the first `reads`.
fn picture(kind: u8, count: u32, keeps: &[i64], reads: usize) -> HevcPicture {
    let entry = |(i, delta): (usize, &i64)| HevcReference {
        picture: HevcPoc::Delta(*delta),
        long_term: false,
        is_read: i < reads,
    };
    HevcPicture {
        kind,
        temporal_id: 0,
        lsb: count & 15,
        lsb_bits: 4,
        keeps: keeps.iter().enumerate().map(entry).collect(),
        waits: 2,
        brings_sets: false,
        ends: false,
        is_shown: true,
        discards: false,
    }
}

fn sent(pictures: &[HevcPicture], targets: &[usize]) -> Result<Vec<usize>, Unfit> {
    let heads: Vec<PacketHead> = pictures.iter().cloned().map(head).collect();
    let sent = closure(&heads, targets, &vec![true; heads.len()])?;
    Ok((0..sent.len()).filter(|i| sent[*i].any()).collect())
}

#[test]
fn what_is_kept_for_others_is_left_out() {
    let pictures = [
        picture(IDR, 0, &[], 0),
        picture(TRAIL_R, 8, &[-8], 1),
        picture(TRAIL_R, 4, &[-4, 4], 2),
        picture(TRAIL_N, 2, &[-2, 2, 6], 2),
        picture(TRAIL_N, 6, &[-2, 2, -6], 2),
    ];
    assert_eq!(sent(&pictures, &[4]).unwrap(), [0, 1, 2, 4]);
    assert_eq!(sent(&pictures, &[1]).unwrap(), [0, 1]);
    assert_eq!(sent(&pictures, &[3, 4]).unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn counts_keep_their_anchors() {
    // Each reads the first one only, but with four bits a count is lost after eight.
    let mut pictures = vec![picture(IDR, 0, &[], 0)];
    pictures.extend((1..8).map(|i| picture(TRAIL_R, 3 * i, &[-3 * i64::from(i)], 1)));
    assert_eq!(sent(&pictures, &[2]).unwrap(), [0, 2]);
    let all = sent(&pictures, &[7]).unwrap();
    assert!(all.starts_with(&[0]) && all.ends_with(&[6, 7]), "{all:?}");
    let counts: Vec<i64> = all
        .iter()
        .scan(None, |anchor, i| {
            *anchor = Some(count(&pictures[*i], *anchor));
            *anchor
        })
        .collect();
    assert_eq!(counts, all.iter().map(|i| 3 * *i as i64).collect::<Vec<_>>());
}

#[test]
fn leading_pictures_of_the_start_are_nobodys() {
    let pictures = [
        picture(CRA, 8, &[], 0),
        picture(RASL_R, 6, &[-6, 2], 2),
        picture(TRAIL_R, 9, &[-1], 1),
        picture(CRA, 12, &[-3], 0),
        picture(RASL_R, 11, &[-2, 1], 2),
    ];
    assert_eq!(sent(&pictures, &[2]).unwrap(), [0, 2]);
    assert_eq!(sent(&pictures, &[1]), Err(Unfit::NotThere));
    assert_eq!(sent(&pictures, &[4]).unwrap(), [0, 2, 3, 4]);
}

#[test]
fn what_turns_the_state_over_is_unfit() {
    let with = |change: fn(&mut HevcPicture)| {
        let mut pictures =
            vec![picture(IDR, 0, &[], 0), picture(TRAIL_R, 1, &[-1], 1), picture(TRAIL_R, 2, &[-1], 1)];
        change(&mut pictures[1]);
        sent(&pictures, &[2])
    };
    assert_eq!(with(|_| {}).unwrap(), [0, 1, 2]);
    assert_eq!(with(|p| p.ends = true), Err(Unfit::Turned));
    assert_eq!(with(|p| *p = picture(BLA, 1, &[], 0)), Err(Unfit::Turned));
    assert_eq!(with(|p| *p = HevcPicture { discards: true, ..picture(IDR, 0, &[], 0) }), Err(Unfit::Turned));
    assert_eq!(with(|p| p.kind = IDR), Err(Unfit::NotThere));
    assert_eq!(sent(&[picture(TRAIL_R, 0, &[], 0)], &[0]), Err(Unfit::Turned));
}

#[test]
fn a_picture_with_parameter_sets_is_sent() {
    let mut pictures =
        [picture(IDR, 0, &[], 0), picture(TRAIL_R, 1, &[-1], 1), picture(TRAIL_R, 2, &[-2], 1)];
    assert_eq!(sent(&pictures, &[2]).unwrap(), [0, 2]);
    pictures[1].brings_sets = true;
    assert_eq!(sent(&pictures, &[2]).unwrap(), [0, 1, 2]);
}

#[test]
fn stand_ins_must_have_room() {
    // Sixteen pictures are kept, and then sixteen others: whoever was sent none of them needs all in one go.
    let mut pictures = vec![HevcPicture { lsb_bits: 8, waits: 0, ..picture(IDR, 0, &[], 0) }];
    let mut add = |count: i64, keeps: &[i64]| {
        let lsb = count as u32;
        pictures.push(HevcPicture { lsb, lsb_bits: 8, waits: 0, ..picture(TRAIL_R, 0, keeps, 1) });
    };
    (1..15).for_each(|i| add(i, &(1..=i).rev().map(|back| -back).collect::<Vec<_>>()));
    add(15, &(1..=15).rev().map(|back| -back).collect::<Vec<_>>());
    (16..31)
        .for_each(|i| add(i, &[&[-i][..], &(1..=14).rev().map(|back| -back).collect::<Vec<_>>()].concat()));
    assert_eq!(sent(&pictures, &[15, 30]).unwrap(), [0, 15, 30]);
    pictures.iter_mut().for_each(|picture| picture.waits = 2);
    assert_eq!(sent(&pictures, &[15, 30]), Err(Unfit::Crowded));
    assert_eq!(sent(&pictures, &[14]).unwrap(), [0, 14]);
}

/// How one picture of a random stream comes about.
type Dice = (u8, u8, u16, u16, u8);

/// A stream that a correct encoder could have made: what is kept is in the buffer.
fn stream(dice: &[Dice]) -> Vec<HevcPicture> {
    let mut pictures = vec![picture(if dice.len().is_multiple_of(2) { IDR } else { CRA }, 0, &[], 0)];
    let (mut buffer, mut used, mut anchor) = (vec![0i64], vec![0i64], 0i64);
    for (what, step, keep, read, long) in dice {
        if *what == 0 {
            pictures.push(picture(IDR, 0, &[], 0));
            (buffer, used, anchor) = (vec![0], vec![0], 0);
            continue;
        }
        let is_anchor = what % 3 == 0;
        let count =
            if is_anchor { anchor + 1 + i64::from(step % 7) } else { anchor - 6 + i64::from(step % 13) };
        if used.contains(&count) {
            continue;
        }
        let is_kept = |i: usize| (keep | keep >> 5) >> i & 1 == 1;
        let kept: Vec<i64> =
            buffer.iter().enumerate().filter(|(i, _)| is_kept(*i)).map(|(_, c)| *c).take(6).collect();
        let mut new = picture(if is_anchor { TRAIL_R } else { TRAIL_N }, 0, &[], 0);
        new.lsb = (count & 15) as u32;
        new.keeps = kept
            .iter()
            .enumerate()
            .map(|(i, other)| {
                let long_term = long >> 5 == 0 && i == 0;
                let picture = if long_term && long & 1 == 0 {
                    HevcPoc::Lsb((other & 15) as u32)
                } else {
                    HevcPoc::Delta(other - count)
                };
                HevcReference { picture, long_term, is_read: read & read >> 7 & 1 << i != 0 }
            })
            .collect();
        pictures.push(new);
        buffer = kept;
        buffer.push(count);
        used.push(count);
        if is_anchor {
            anchor = count;
        }
    }
    pictures
}

/// A decoder as FFmpeg's: what each picture came out as, told by its count and all that went into it.
fn decode<'a>(pictures: impl Iterator<Item = (usize, &'a HevcPicture)>) -> BTreeMap<usize, (i64, u64)> {
    let mut out = BTreeMap::new();
    // Count, content, still named by the last set, pictures since.
    let mut frames: Vec<(i64, u64, bool, usize)> = Vec::new();
    let mut previous = 0i64;
    for (i, picture) in pictures {
        if picture.kind == IDR {
            frames.clear();
        }
        let low = i64::from(picture.lsb);
        // The count with these low bits that is nearest to the one before.
        let count = if picture.kind == IDR {
            0
        } else {
            (previous - 7..previous + 9).find(|count| count & 15 == low).unwrap()
        };
        frames.iter_mut().for_each(|frame| frame.2 = false);
        let mut content = i as u64 + 1;
        for kept in &picture.keeps {
            let is_it = |frame: i64| match kept.picture {
                HevcPoc::Delta(delta) => frame == count + delta,
                HevcPoc::Lsb(low) => frame & 15 == i64::from(low),
            };
            let at = frames.iter().position(|frame| is_it(frame.0)).unwrap_or_else(|| {
                let named = match kept.picture {
                    HevcPoc::Delta(delta) => count + delta,
                    HevcPoc::Lsb(low) => i64::from(low),
                };
                frames.push((named, 0, true, 0));
                frames.len() - 1
            });
            frames[at].2 = true;
            if kept.is_read {
                content = content.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ frames[at].1;
            }
        }
        frames.iter_mut().for_each(|frame| frame.3 += 1);
        // Pictures that nobody names wait a while until they are shown.
        frames.retain(|frame| frame.2 || (frame.1 != 0 && frame.3 < 3));
        frames.push((count, content, true, 0));
        if matches!(picture.kind, TRAIL_R | IDR | CRA) {
            previous = count;
        }
        out.insert(i, (count, content));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_sent_decodes_to_the_same_targets(
        dice in prop::collection::vec((0u8..40, any::<u8>(), any::<u16>(), any::<u16>(), any::<u8>()), 1..80),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let pictures = stream(&dice);
        let mut targets: Vec<usize> = picks.iter().map(|pick| pick.index(pictures.len())).collect();
        targets.sort_unstable();
        targets.dedup();
        match sent(&pictures, &targets) {
            Ok(sent) => {
                let whole = decode(pictures.iter().enumerate());
                let part = decode(sent.iter().map(|i| (*i, &pictures[*i])));
                prop_assert!(sent.first() == Some(&0) && targets.iter().all(|t| sent.contains(t)));
                for (i, made) in &part {
                    prop_assert_eq!(Some(made), whole.get(i), "picture {} of {:?}", i, &sent);
                }
            }
            // Only the low bits of a long-term picture may be too few.
            Err(unfit) => {
                prop_assert_eq!(unfit, Unfit::NotThere);
                let is_low = |p: &HevcPicture| p.keeps.iter().any(|k| matches!(k.picture, HevcPoc::Lsb(_)));
                prop_assert!(pictures.iter().any(is_low));
            }
        }
    }

    #[test]
    fn nothing_is_sent_that_may_not_be_needed(
        dice in prop::collection::vec((0u8..40, any::<u8>(), any::<u16>(), any::<u16>(), 32u8..), 1..60),
        shut in prop::collection::vec(any::<bool>(), 80),
    ) {
        let pictures = stream(&dice);
        let heads: Vec<PacketHead> = pictures.iter().cloned().map(head).collect();
        let last = heads.len() - 1;
        let open: Vec<bool> = (0..heads.len()).map(|i| i == 0 || i == last || shut[i]).collect();
        if let Ok(sent) = closure(&heads, &[last], &open) {
            prop_assert!(sent.iter().zip(&open).all(|(sent, open)| *open || !sent.any()));
        }
    }
}
