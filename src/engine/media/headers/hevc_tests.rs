//! HEVC headers built bit by bit, and bytes of any kind.

use proptest::prelude::*;

use super::*;
use crate::model::media::{Field, Need, Start};

/// Bits, most significant first.
#[derive(Clone, Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn put(&mut self, value: u32, count: u32) -> &mut Writer {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn golomb(&mut self, value: u32) -> &mut Writer {
        let bits = 32 - (value + 1).leading_zeros();
        self.put(0, bits - 1).put(value + 1, bits)
    }

    fn zeros(&mut self, numbers: u32) -> &mut Writer {
        (0..numbers).for_each(|_| _ = self.golomb(0));
        self
    }

    /// A unit of this kind, emulation bytes put in.
    fn unit(&self, kind: u8, temporal_id: u8) -> Vec<u8> {
        let mut unit = vec![kind << 1, temporal_id + 1];
        let mut zeros = 0;
        let stop = self.0.iter().copied().chain([true]).collect::<Vec<_>>();
        for eight in stop.chunks(8) {
            let byte = eight.iter().enumerate().fold(0u8, |byte, (i, bit)| byte | u8::from(*bit) << (7 - i));
            if zeros >= 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            unit.push(byte);
        }
        unit
    }
}

/// 512 x 256 in blocks of 64, four low bits, one set (1 before, used; 2 after, used), two long-term candidates.
fn sps() -> Vec<u8> {
    let mut w = Writer::default();
    w.put(0, 4).put(0, 3).put(1, 1);
    w.put(1, 8).put(0, 32).put(0, 32).put(0, 16).put(93, 8);
    w.golomb(0).golomb(1).golomb(512).golomb(256).put(0, 1).zeros(2).golomb(0).put(1, 1);
    w.golomb(4).golomb(2).golomb(0);
    w.golomb(0).golomb(3).zeros(4);
    w.put(0, 1).put(0, 1).put(1, 1).put(0, 1);
    w.golomb(1).golomb(1).golomb(1).golomb(0).put(1, 1).golomb(1).put(1, 1);
    w.put(1, 1).golomb(2).put(5, 4).put(1, 1).put(9, 4).put(0, 1);
    w.put(1, 1).put(0, 1).put(0, 1).put(0, 1);
    w.unit(SPS, 0)
}

fn pps(modifies_lists: bool) -> Vec<u8> {
    let mut w = Writer::default();
    w.zeros(2).put(0b11, 2).put(2, 3).put(0, 1).put(1, 1).zeros(2).golomb(0).put(0, 2).put(0, 1);
    w.zeros(2).put(0, 4).put(0, 2).put(0, 1).put(0, 1).put(0, 1);
    w.put(u32::from(modifies_lists), 1).golomb(0).put(0, 1).put(0, 1);
    w.unit(PPS, 0)
}

fn annex_b(units: &[Vec<u8>]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 1][..], unit].concat()).collect()
}

fn read(parser: &mut Hevc, units: &[Vec<u8>]) -> Coded {
    let mut header = FrameHeader {
        start: Start::No,
        key: false,
        hidden: false,
        need: Need::Always,
        field: Field::Frame,
        resilient: false,
    };
    parser.read(&annex_b(units), &mut header)
}

fn told(coded: Coded) -> HevcPicture {
    let Coded::Hevc(picture) = coded else { panic!("not understood") };
    (*picture).clone()
}

fn idr() -> Vec<u8> {
    Writer::default()
        .put(1, 1)
        .put(0, 1)
        .golomb(0)
        .put(0, 2)
        .golomb(2)
        .put(1, 1)
        .put(3, 2)
        .put(0, 32)
        .unit(19, 0)
}

/// A slice up to its lists: `address` is none for the first one.
fn slice_of(address: Option<u32>, slice_type: u32, sets: impl Fn(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    w.put(u32::from(address.is_none()), 1).golomb(0);
    if let Some(address) = address {
        w.put(0, 1).put(address, 5);
    }
    w.put(0, 2).golomb(slice_type).put(1, 1).put(8, 4);
    sets(&mut w);
    w.put(0, 32).unit(1, 0)
}

fn reads(picture: &HevcPicture) -> Vec<bool> {
    picture.keeps.iter().map(|kept| kept.is_read).collect()
}

#[test]
fn a_set_of_the_sequence_and_its_active_lists() {
    let mut parser = Hevc::new(&annex_b(&[sps(), pps(false)]), false);
    let first = told(read(&mut parser, &[idr()]));
    assert_eq!((first.kind, first.lsb_bits, first.waits, first.keeps.len()), (19, 4, 2, 0));
    assert!(!first.brings_sets);
    // No long-term pictures, motion from a picture beside, SAO; the default of one active picture in each list.
    let lists = |w: &mut Writer| _ = w.put(1, 1).zeros(2).put(1, 1).put(0b11, 2).put(0, 1);
    let p = told(read(&mut parser, &[slice_of(None, 1, lists)]));
    let deltas: Vec<HevcPoc> = p.keeps.iter().map(|kept| kept.picture).collect();
    assert_eq!(deltas, [HevcPoc::Delta(-1), HevcPoc::Delta(2)]);
    assert_eq!((p.lsb, reads(&p)), (8, vec![true, false]));
    let b = told(read(&mut parser, &[slice_of(None, 0, lists)]));
    assert_eq!(reads(&b), [true, true]);
    // Two active ones in the list of a P slice: both.
    let two = |w: &mut Writer| _ = w.put(1, 1).zeros(2).put(1, 1).put(0b11, 2).put(1, 1).golomb(1);
    assert_eq!(reads(&told(read(&mut parser, &[slice_of(None, 1, two)]))), [true, true]);
    // An I slice reads nothing, and another slice of the same picture its own.
    let none = |w: &mut Writer| _ = w.put(1, 1).zeros(2).put(1, 1).put(0b11, 2);
    assert_eq!(reads(&told(read(&mut parser, &[slice_of(None, 2, none)]))), [false, false]);
    let both = [slice_of(None, 2, none), slice_of(Some(9), 1, lists)];
    assert_eq!(reads(&told(read(&mut parser, &both))), [true, false]);
    assert_eq!(read(&mut parser, &both[1..]), Coded::Unknown);
}

#[test]
fn modified_lists_read_what_they_name() {
    let mut parser = Hevc::new(&annex_b(&[sps(), pps(true)]), false);
    let second =
        |w: &mut Writer| _ = w.put(1, 1).zeros(2).put(1, 1).put(0b11, 2).put(0, 1).put(1, 1).put(1, 1);
    assert_eq!(reads(&told(read(&mut parser, &[slice_of(None, 1, second)]))), [false, true]);
    let mut strict = Hevc::new(&annex_b(&[sps(), pps(true)]), true);
    assert_eq!(reads(&told(read(&mut strict, &[slice_of(None, 1, second)]))), [true, true]);
}

#[test]
fn long_term_pictures_of_both_kinds() {
    let mut parser = Hevc::new(&annex_b(&[sps(), pps(false)]), false);
    // One of the sequence (the second: unused, two cycles back), two of the slice, of which one by low bits only.
    let lists = |w: &mut Writer| {
        w.put(1, 1).golomb(1).golomb(2);
        w.put(1, 1).put(1, 1).golomb(2);
        w.put(3, 4).put(1, 1).put(1, 1).golomb(1);
        w.put(6, 4).put(1, 1).put(0, 1);
        w.put(1, 1).put(0b11, 2).put(1, 1).golomb(3);
    };
    let p = told(read(&mut parser, &[slice_of(None, 1, lists)]));
    let long: Vec<(HevcPoc, bool)> =
        p.keeps.iter().filter(|kept| kept.long_term).map(|kept| (kept.picture, kept.is_read)).collect();
    let delta = |of: i64| HevcPoc::Delta(of);
    assert_eq!(long, [(delta(9 - 8 - 32), false), (delta(3 - 8 - 16), true), (HevcPoc::Lsb(6), true)]);
}

#[test]
fn sets_that_are_news_are_told() {
    let mut parser = Hevc::new(&[], false);
    assert_eq!(read(&mut parser, &[idr()]), Coded::Unknown);
    assert!(told(read(&mut parser, &[sps(), pps(false), idr()])).brings_sets);
    assert!(!told(read(&mut parser, &[sps(), pps(false), idr()])).brings_sets);
    assert!(told(read(&mut parser, &[pps(true), idr()])).brings_sets);
    assert!(told(read(&mut parser, &[idr(), vec![EOS << 1, 1]])).ends);
    parser.restart();
    assert_eq!(read(&mut parser, &[idr()]), Coded::Unknown);
}

#[test]
fn a_picture_that_is_not_to_be_shown_is_hidden() {
    let mut with_flag = Writer::default();
    with_flag.zeros(2).put(0b01, 2).put(0, 3).put(0, 1).put(1, 1).zeros(2).golomb(0).put(0, 2).put(0, 1);
    with_flag.zeros(2).put(0, 4).put(0, 2).put(0, 1).put(0, 1).put(0, 1).put(0, 1).golomb(0).put(0, 2);
    let mut parser = Hevc::new(&annex_b(&[sps(), with_flag.unit(PPS, 0)]), false);
    for is_shown in [true, false] {
        let mut header = FrameHeader {
            start: Start::No,
            key: false,
            hidden: false,
            need: Need::Always,
            field: Field::Frame,
            resilient: false,
        };
        let mut idr = Writer::default();
        idr.put(1, 1).put(0, 1).golomb(0).golomb(2).put(u32::from(is_shown), 1).put(3, 2).put(0, 32);
        let coded = parser.read(&annex_b(&[idr.unit(19, 0)]), &mut header);
        assert_eq!((told(coded).is_shown, header.hidden), (is_shown, !is_shown));
    }
}

#[test]
fn a_record_gives_its_sets() {
    let mut record = vec![0u8; 23];
    (record[0], record[21], record[22]) = (1, 3, 2);
    for unit in [sps(), pps(false)] {
        record.extend([unit[0] >> 1, 0, 1]);
        record.extend((unit.len() as u16).to_be_bytes());
        record.extend(unit);
    }
    let mut parser = Hevc::new(&record, false);
    let unit = idr();
    let packet = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat();
    assert!(parser.picture(&packet).is_some());
}

/// The set that (7-61) and (7-62) give, line by line.
fn by_the_equations(other: &ShortTerm, moved: i32, flags: &[(bool, bool)]) -> ShortTerm {
    let (negative, all) = (other.before.len(), other.before.len() + other.after.len());
    let mut set = ShortTerm::default();
    let mut add = |side: bool, poc: i32, flag: usize| {
        let (used, stays) = flags[flag];
        if stays && poc != 0 && (poc > 0) == side {
            let list = if side { &mut set.after } else { &mut set.before };
            list.push((poc, used));
        }
    };
    (0..other.after.len()).rev().for_each(|j| add(false, other.after[j].0 + moved, negative + j));
    add(false, moved, all);
    (0..negative).for_each(|j| add(false, other.before[j].0 + moved, j));
    (0..negative).rev().for_each(|j| add(true, other.before[j].0 + moved, j));
    add(true, moved, all);
    (0..other.after.len()).for_each(|j| add(true, other.after[j].0 + moved, negative + j));
    set
}

proptest! {
    #[test]
    fn predicted_sets_follow_the_equations(
        before in prop::collection::vec((1i32..9, any::<bool>()), 0..7),
        after in prop::collection::vec((1i32..9, any::<bool>()), 0..7),
        size in 1i32..20, negative: bool, flags in prop::collection::vec((any::<bool>(), any::<bool>()), 15),
    ) {
        let sum = |steps: Vec<(i32, bool)>, sign: i32| -> Vec<(i32, bool)> {
            steps.into_iter().scan(0, |poc, (step, used)| { *poc += sign * step; Some((*poc, used)) }).collect()
        };
        let other = ShortTerm { before: sum(before, -1), after: sum(after, 1) };
        let flags: Vec<(bool, bool)> =
            flags.iter().take(other.before.len() + other.after.len() + 1).map(|(u, s)| (*u, *u || *s)).collect();
        let mut w = Writer::default();
        w.put(1, 1).golomb(0).put(u32::from(negative), 1).golomb(size as u32 - 1);
        for (used, stays) in &flags {
            w.put(u32::from(*used), 1);
            if !used {
                w.put(u32::from(*stays), 1);
            }
        }
        let bytes = w.unit(0, 0);
        let payload = nal::without_emulation(&bytes[2..]);
        let read = sets::short_term_set(&mut Bits::new(&payload), std::slice::from_ref(&other), true);
        let want = by_the_equations(&other, if negative { -size } else { size }, &flags);
        prop_assert_eq!(read, Some(want));
    }

    #[test]
    fn no_bytes_make_it_panic(
        extradata in prop::collection::vec(any::<u8>(), 0..200), data in prop::collection::vec(any::<u8>(), 0..200),
        kind in 0u8..38,
    ) {
        let mut header = FrameHeader {
            start: Start::No, key: false, hidden: false, need: Need::Always, field: Field::Frame, resilient: false,
        };
        let unit = |kind: u8| [&[0, 0, 1, kind << 1, 1][..], &data].concat();
        Hevc::new(&extradata, false).read(&data, &mut header);
        let mut parser = Hevc::new(&annex_b(&[sps(), pps(true)]), false);
        parser.read(&unit(kind), &mut header);
        parser.read(&[unit(VPS), unit(SPS), unit(PPS), unit(kind), unit(1)].concat(), &mut header);
        // Broken in the middle rather than from the first bit on.
        let with = |set: Vec<u8>, at: usize| [&set[..at.min(set.len())], &data].concat();
        for cut in [4, 16, 24] {
            let sets = annex_b(&[with(sps(), cut), with(pps(false), cut)]);
            Hevc::new(&sets, false).read(&annex_b(&[idr()]), &mut header);
        }
    }
}
