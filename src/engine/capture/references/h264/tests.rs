//! Random streams through a second model of the decoder, which keeps what each picture was made from.

mod model;

use std::sync::Arc;

use model::Model;
use proptest::prelude::*;

use super::*;
use crate::model::coded::{H264Change, H264Lists, H264Order, H264Sequence};
use crate::model::media::{Field, FrameHeader, Need, Start};

/// What every picture that is sent is made from.
fn made(pictures: &[H264Picture], sent: impl Fn(usize) -> bool) -> Vec<Option<u64>> {
    let temporal = pictures.iter().flat_map(|p| &p.lists).any(|lists| lists.temporal);
    let mut model = Model::new();
    let decode = |(i, picture)| sent(i).then(|| model.decode(i, picture, temporal));
    pictures.iter().enumerate().map(decode).collect()
}

/// A stream from dice: groups of a P picture and B pictures before it, some of them references, with all the
/// operations that the syntax has.
fn stream(dice: &[u32], references_max: i32, bits: u32, long_too: bool, temporal: bool) -> Vec<H264Picture> {
    let sequence = Arc::new(H264Sequence {
        frame_num_bits: bits,
        order: H264Order::Lsb { bits: 6 },
        references_max,
        gaps_allowed: false,
        format: [1, 1, 1, 0, 0],
    });
    let mut model = Model::new();
    let mut pictures: Vec<H264Picture> = Vec::new();
    let (mut frame_num, mut shown, mut queue) = (0, 0, Vec::new());
    for (i, dice) in dice.iter().enumerate() {
        let roll = |from: u32, below: u32| (dice >> from) % below.max(1);
        if queue.is_empty() {
            let gap = 1 + roll(0, 4) as i32;
            let middle = shown + 1 + (gap - 1) / 2;
            queue =
                (shown + 1..shown + gap).filter(|n| *n != middle || gap == 1).map(|n| (n, false)).collect();
            queue.reverse();
            if gap > 1 {
                queue.push((middle, true));
            }
            queue.push((shown + gap, false));
            shown += gap;
        }
        let (at, is_middle) = queue.pop().unwrap_or((shown, false));
        let is_anchor = at == shown;
        let reference = i == 0 || is_anchor || (is_middle && roll(3, 4) > 0);
        let idr = i == 0 || (is_anchor && roll(5, 40) == 0);
        if idr {
            frame_num = 0;
            model.pictures.clear();
        }
        let held = model.pictures.len() as u32;
        let mut lists = Vec::new();
        if !idr && held > 0 && roll(7, 16) > 0 {
            let active = |from| 1 + roll(from, held) as u8;
            let both = !is_anchor && held > 1;
            let change = |from: u32| match roll(from, 5) {
                0 if long_too => Some(H264Change::Long(roll(from, 3))),
                1 | 2 => Some(H264Change::Back(roll(from + 1, references_max as u32))),
                _ => None,
            };
            let active = [active(9), if both { active(11) } else { 0 }];
            let changes =
                [change(13).into_iter().collect(), change(15).filter(|_| both).into_iter().collect()];
            let implicit = both && roll(17, 2) == 0;
            lists.push(H264Lists { both, temporal: temporal && both, implicit, active, changes });
        }
        let mark = match roll(19, 12) {
            0 | 1 => Some(vec![H264Mark::ShortUnused(roll(20, references_max as u32))]),
            2 if long_too => Some(vec![H264Mark::ShortToLong(roll(20, 3), roll(22, 3))]),
            3 if long_too => Some(vec![H264Mark::Long(roll(20, 3))]),
            4 if long_too => Some(vec![H264Mark::LongUnused(roll(20, 3)), H264Mark::ShortUnused(1)]),
            5 if long_too => Some(vec![H264Mark::LongMax(roll(20, 3))]),
            6 if roll(20, 8) == 0 => Some(vec![H264Mark::Reset]),
            _ => None,
        };
        let marking = if idr { Some(Vec::new()) } else { mark.filter(|_| reference) };
        let picture = H264Picture {
            sequence: Arc::clone(&sequence),
            idr,
            discards: false,
            reference,
            brings_sets: false,
            frame_num,
            order_lsb: (2 * at) % 64,
            order_bottom: 0,
            order_delta: [0; 2],
            marking: marking.map(Vec::into_boxed_slice),
            lists: lists.into(),
        };
        model.decode(i, &picture, temporal);
        if resets(&picture) {
            frame_num = 0;
        }
        frame_num = (frame_num + i32::from(reference)) % (1 << bits);
        pictures.push(picture);
    }
    pictures
}

fn streams() -> impl Strategy<Value = Vec<H264Picture>> {
    (prop::collection::vec(any::<u32>(), 2..90), 1..6i32, 4..6u32, any::<[bool; 2]>())
        .prop_map(|(dice, max, bits, [long, temporal])| stream(&dice, max, bits, long, temporal))
}

fn heads(pictures: &[H264Picture]) -> Vec<PacketHead> {
    let head = |picture: &H264Picture| PacketHead {
        pts: Some(0),
        dts: None,
        duration: 1,
        size: 1,
        header: FrameHeader {
            start: if picture.idr { Start::Clean } else { Start::No },
            key: picture.idr,
            hidden: false,
            need: if picture.reference { Need::Always } else { Need::Target },
            field: Field::Frame,
            resilient: false,
        },
        coded: Coded::H264(Arc::new(picture.clone())),
    };
    pictures.iter().map(head).collect()
}

/// What is sent for `targets`.
fn sent_for(pictures: &[H264Picture], targets: &[usize]) -> Result<Vec<bool>, Unfit> {
    let rule: Vec<bool> =
        pictures.iter().enumerate().map(|(i, p)| p.reference || targets.contains(&i)).collect();
    closure(&heads(pictures), targets, &rule).map(|sent| sent.iter().map(Sent::any).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_sent_decodes_to_the_same_targets(
        pictures in streams(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let targets: std::collections::BTreeSet<usize> = picks.iter().map(|p| p.index(pictures.len())).collect();
        let targets: Vec<usize> = targets.into_iter().collect();
        let last = *targets.last().unwrap();
        if let Ok(sent) = sent_for(&pictures, &targets) {
            let all = made(&pictures, |_| true);
            let some = made(&pictures, |i| sent[i]);
            for target in &targets {
                prop_assert!(some[*target].is_some());
                prop_assert_eq!(all[*target], some[*target]);
            }
            prop_assert!(sent[last + 1..].iter().all(|sent| !sent));
        }
    }
}

#[test]
fn most_streams_are_told_and_less_is_sent() {
    let (mut told, mut less, mut state) = (0, 0, 1u64);
    for _ in 0..100 {
        let mut dice = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        let dice: Vec<u32> = (0..40).map(|_| dice()).collect();
        let pictures = stream(&dice, 4, 5, true, false);
        let target = pictures.len() - 1;
        let references = pictures[..target].iter().filter(|p| p.reference).count();
        if let Ok(sent) = sent_for(&pictures, &[target]) {
            told += 1;
            less += usize::from(sent.iter().filter(|sent| **sent).count() <= references);
        }
    }
    assert!(told > 60 && less > 30, "{told} told, {less} with less than all references");
}

/// Groups of four: P, then a B picture in the middle that the two others refer to. Every list has one entry.
fn pyramid(groups: usize, implicit: bool) -> Vec<H264Picture> {
    let still: Vec<u32> = vec![0; 1];
    let first = stream(&still, 4, 4, false, false).remove(0);
    let mut pictures = vec![first.clone()];
    let mut frame_num = 1;
    for group in 0..groups as i32 {
        for (at, reference) in [(4, true), (2, true), (1, false), (3, false)] {
            let both = at != 4;
            let lists = H264Lists { both, implicit, active: [1, u8::from(both)], ..H264Lists::default() };
            pictures.push(H264Picture {
                idr: false,
                reference,
                frame_num: frame_num % 16,
                order_lsb: 2 * (4 * group + at) % 64,
                marking: None,
                lists: [lists].into(),
                ..first.clone()
            });
            frame_num += i32::from(reference);
        }
    }
    // The P picture names the one before it, not the B picture between.
    for picture in pictures.iter_mut().filter(|p| p.reference && !p.idr).step_by(2).skip(1) {
        picture.lists[0].changes[0] = [H264Change::Back(1)].into();
    }
    pictures
}

#[test]
fn a_chain_of_anchors_is_decoded_without_what_lies_between() {
    let pictures = pyramid(10, false);
    let sent = sent_for(&pictures, &[37]).unwrap();
    let numbers: Vec<usize> = (0..sent.len()).filter(|i| sent[*i]).collect();
    assert_eq!(numbers, [0, 1, 5, 9, 13, 17, 21, 25, 29, 33, 37]);
}

#[test]
fn a_place_is_filled_where_the_order_of_a_stand_in_would_show() {
    let count = |implicit| sent_for(&pyramid(10, implicit), &[38]).unwrap().iter().filter(|s| **s).count();
    // Anchors and the target; with implicit weights the B picture before, whose stand-in lies nearer, too.
    assert_eq!((count(false), count(true)), (12, 13));
}

#[test]
fn what_is_not_there_is_unfit() {
    let mut pictures = pyramid(2, false);
    pictures[1].lists[0].changes[0] = [H264Change::Back(0)].into();
    pictures[0].marking = None;
    pictures[0].idr = false;
    pictures[0].frame_num = 3;
    pictures[1].frame_num = 4;
    pictures[1].lists[0].active = [2, 0];
    // The second entry of its list is what stood before the start.
    assert_eq!(sent_for(&pictures[..2], &[1]), Err(Unfit::NotThere));
    pictures.truncate(2);
    pictures[1].lists[0].active = [1, 0];
    assert_eq!(sent_for(&pictures, &[1]), Ok(vec![true, true]));
    let mut heads = heads(&pictures);
    heads[0].coded = Coded::Unknown;
    assert_eq!(closure(&heads, &[1], &[true, true]), Err(Unfit::NotUnderstood));
}
