//! Streams written bit by bit.

use proptest::prelude::*;

use super::*;

/// Bits of a unit behind its first byte: `(count, value)`, with 0 for an Exp-Golomb number.
fn unit(first: u8, fields: &[(u32, u32)]) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    for (count, value) in fields {
        let (length, value) =
            if *count == 0 { (2 * (value + 1).ilog2() + 1, value + 1) } else { (*count, *value) };
        bits.extend((0..length).rev().map(|bit| value.checked_shr(bit).unwrap_or(0) & 1 == 1));
    }
    bits.push(true);
    let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |b, (i, bit)| b | u8::from(*bit) << (7 - i));
    std::iter::once(first).chain(bits.chunks(8).map(byte)).collect()
}

fn sequence(references: u32) -> Vec<u8> {
    let head = [(8, 66), (8, 0), (8, 30), (0, 0), (0, 0), (0, 2), (0, references), (1, 0)];
    unit(0x67, &[&head[..], &[(0, 9), (0, 9), (1, 1), (1, 0), (1, 0), (1, 0)]].concat())
}

fn annex_b(units: &[Vec<u8>]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 1][..], unit].concat()).collect()
}

fn start() -> Vec<Vec<u8>> {
    let flags = [(1, 0), (1, 0), (0, 0), (0, 0), (0, 0), (1, 0), (2, 0), (0, 0), (0, 0), (0, 0), (3, 0)];
    let picture_set = unit(0x68, &[&[(0, 0), (0, 0)][..], &flags].concat());
    let idr = unit(0x65, &[(0, 0), (0, 7), (0, 0), (4, 0), (0, 0), (2, 0), (0, 0)]);
    vec![sequence(2), picture_set, idr]
}

/// A P slice at `first`, with two active entries, one of them moved, and one operation.
fn slice(first: u32) -> Vec<u8> {
    let lists = [(1, 1), (0, 1), (1, 1), (0, 0), (0, 0), (0, 3)];
    let marking = [(1, 1), (0, 1), (0, 0), (0, 0)];
    unit(0x61, &[&[(0, first), (0, 5), (0, 0), (4, 1)][..], &lists, &marking, &[(0, 0)]].concat())
}

fn picture(coded: Coded) -> Arc<H264Picture> {
    let Coded::H264(picture) = coded else { panic!("not told: {coded:?}") };
    picture
}

#[test]
fn slices_of_a_picture_are_read_to_the_last() {
    let mut parser = Parser::new(&[], 0);
    let first = picture(parser.read(&annex_b(&start())));
    assert!(first.idr && first.reference && first.brings_sets && first.lists.is_empty());
    assert_eq!(first.marking.as_deref(), Some(&[][..]));
    let second = picture(parser.read(&annex_b(&[slice(0), slice(50)])));
    assert_eq!((second.frame_num, second.sequence.references_max), (1, 2));
    assert_eq!(second.marking.as_deref(), Some(&[H264Mark::ShortUnused(0)][..]));
    let changes = [[H264Change::Back(0)].into(), [].into()];
    assert_eq!(*second.lists, [H264Lists { active: [2, 0], changes, ..H264Lists::default() }]);
    assert!(!picture(parser.read(&annex_b(&start()))).brings_sets);
    let mut other = start();
    other[0] = sequence(1);
    let other = picture(parser.read(&annex_b(&other)));
    assert!(other.brings_sets && other.sequence.references_max == 1);
}

#[test]
fn what_is_not_one_whole_frame_is_unknown() {
    let mut parser = Parser::new(&[], 0);
    assert_eq!(parser.read(&annex_b(&[slice(0)])), Coded::Unknown);
    picture(parser.read(&annex_b(&start())));
    assert_eq!(parser.read(&annex_b(&[slice(0), slice(0)])), Coded::Unknown);
    assert_eq!(parser.read(&annex_b(&[vec![0x6e, 0x80], slice(0)])), Coded::Unknown);
    assert_eq!(parser.read(&annex_b(&[vec![6, 19, 1, 0, 0x80], slice(0)])), Coded::Unknown);
    picture(parser.read(&annex_b(&[slice(0)])));
    parser.restart();
    assert_eq!(parser.read(&annex_b(&[slice(0)])), Coded::Unknown);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        kinds in prop::collection::vec(prop::sample::select(vec![0x67u8, 0x68, 0x65, 0x61, 0x01]), 1..6),
        data in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut parser = Parser::new(&data, 0);
        picture(parser.read(&annex_b(&start())));
        let units: Vec<Vec<u8>> = kinds.iter().map(|kind| [&[*kind][..], &data].concat()).collect();
        parser.read(&annex_b(&units));
    }
}
