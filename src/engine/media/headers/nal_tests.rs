//! Units and headers written by hand, and bytes that are none.
//!
//! Owns no stream of an encoder. Never decodes.

use super::*;
use proptest::prelude::*;

#[test]
fn h264_units_of_both_framings_read_alike() {
    // SEI recovery point with recovery_frame_cnt 0 ("1"), then a reference I slice (first_mb 0, type 7).
    let sei: &[u8] = &[6, 6, 1, 0b1100_0100, 0x80];
    let slice: &[u8] = &[0x61, 0b1000_1000, 0x80];
    let annex = [&[0, 0, 0, 1][..], sei, &[0, 0, 1], slice].concat();
    let mut prefixed = Vec::new();
    for unit in [sei, slice] {
        prefixed.extend((unit.len() as u32).to_be_bytes());
        prefixed.extend(unit);
    }
    let want = H264 { idr: false, recovery_frames: Some(0), intra_only: true, disposable: false };
    assert_eq!(h264(&annex, 0), want);
    assert_eq!(h264(&prefixed, 4), want);
    assert!(h264(&[0, 0, 1, 0x65, 0x88], 0).idr);
    assert!(h264(&[0, 0, 1, 0x01, 0x9a], 0).disposable);
    // Messages in a packet of their own are no picture.
    assert!(has_no_picture(&[&[0, 0, 1][..], sei].concat(), 0, false));
    assert!(has_no_picture(&[0, 0, 1, 39 << 1, 1, 5], 0, true));
    assert!(has_no_picture(&[0, 0, 0, 2, 6, 5], 4, false));
    // Whatever has a slice, a unit that is cut or one of no kind may be a picture that is damaged.
    assert!(!has_no_picture(&annex, 0, false) && !has_no_picture(&prefixed, 4, false));
    assert!(!has_no_picture(&[0, 0, 0, 9, 6, 5], 4, false) && !has_no_picture(&[], 4, false));
    assert!(!has_no_picture(&[0, 0, 0, 2, 0x86, 5], 4, false) && !has_no_picture(&[7; 90], 4, false));
}

#[test]
fn hevc_kinds() {
    let unit = |kind: u8, layer: u8| [&[0, 0, 1][..], &[kind << 1, layer + 1, 0]].concat();
    assert_eq!(hevc(&unit(19, 0), 0).unwrap().start, Start::Clean);
    assert_eq!(hevc(&unit(21, 0), 0).unwrap().start, Start::Open);
    let need = |kind, layer| hevc(&unit(kind, layer), 0).unwrap().need;
    assert_eq!(need(0, 2), Need::Layer { temporal_id: 2, sub_layer_non_reference: true });
    assert_eq!(need(1, 0), Need::Layer { temporal_id: 0, sub_layer_non_reference: false });
}

#[test]
fn mpeg_pictures() {
    assert!(mpeg12(&[0, 0, 1, 0, 0, 1 << 3, 0, 0]).intra);
    assert!(mpeg12(&[0, 0, 1, 0, 0, 3 << 3, 0, 0]).bidirectional);
    assert!(mpeg4(&[0, 0, 1, 0xb6, 0]).intra);
    assert!(mpeg4(&[0, 0, 1, 0xb6, 0x80]).bidirectional);
    // Packed: a P and a B in one packet must not be left out.
    assert!(!mpeg4(&[0, 0, 1, 0xb6, 0x40, 0, 0, 1, 0xb6, 0x80]).bidirectional);
}

#[test]
fn what_brings_parameter_sets_is_needed() {
    assert!(!h264(&[0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x01, 0x9a], 0).disposable);
    assert!(!h264(&[0, 0, 0, 2, 0x68, 0xce, 0, 0, 0, 2, 0x01, 0x9a], 4).disposable);
    assert_eq!(hevc(&[0, 0, 1, 34 << 1, 1, 0, 0, 0, 1, 0, 3, 0], 0).unwrap().need, Need::Always);
    let quant_matrices = [0, 0, 1, 0, 0, 3 << 3, 0, 0, 0, 0, 1, 0xb5, 3 << 4, 0];
    assert!(!mpeg12(&quant_matrices).bidirectional);
    let coding_extension = [0, 0, 1, 0, 0, 3 << 3, 0, 0, 0, 0, 1, 0xb5, 8 << 4, 0];
    assert!(mpeg12(&coding_extension).bidirectional);
    assert!(!mpeg4(&[0, 0, 1, 0x20, 0, 0, 0, 1, 0xb6, 0x80]).bidirectional);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..300), length in 0usize..5) {
        h264(&data, length);
        hevc(&data, length);
        mpeg12(&data);
        mpeg4(&data);
        h264_may_have_fields(&data, length);
        recovery_point(&data);
    }

    #[test]
    fn annex_b_finds_every_unit(units_in in prop::collection::vec(prop::collection::vec(2u8.., 1..20), 1..8)) {
        let data: Vec<u8> = units_in.iter().flat_map(|u| [&[0, 0, 1][..], u].concat()).collect();
        let found: Vec<&[u8]> = units(&data, 0).collect();
        prop_assert_eq!(found, units_in.iter().map(|u| &u[..]).collect::<Vec<_>>());
    }
}
