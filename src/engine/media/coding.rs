//! How a stream is coded: codec, profile, depth, chroma, size, from what lies beside the stream or in its first packet.
//!
//! Owns the few bytes of configuration records that tell it. Never opens a decoder, and never guesses: what is not told
//! is unknown.

#![allow(unsafe_code)]

use ffmpeg_next::codec::{Id, Parameters};
use ffmpeg_next::ffi;

use super::formats::by_number;
use super::headers::nal::{Bits, h264_length_bytes, h264_sets, without_emulation};
use crate::model::device::Coding;

/// Unknown, as FFmpeg numbers it.
const PROFILE_UNKNOWN: i32 = -99;
/// FFmpeg's mark of a baseline stream that main decoders read too.
const CONSTRAINED: i32 = 1 << 9;

/// What tells how samples are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    profile: i32,
    depth: u8,
    chroma: Option<(u8, u8)>,
}

const UNKNOWN: Kind = Kind { profile: PROFILE_UNKNOWN, depth: 0, chroma: None };

/// Of a stream of `width` x `height` pixels. `first` is its first packet, where it was read already.
pub fn of_stream(
    parameters: &Parameters,
    extradata: &[u8],
    first: Option<&[u8]>,
    size: (u32, u32),
) -> Coding {
    let id = parameters.id();
    let seen = looked_into(parameters);
    let told = match id {
        Id::H264 => h264(extradata),
        Id::HEVC => hevc(extradata),
        Id::AV1 => av1(extradata),
        Id::VP9 => first.map_or(UNKNOWN, vp9),
        Id::MPEG4 => mpeg4(extradata),
        // One kind of picture only.
        Id::VP8 => Kind { profile: PROFILE_UNKNOWN, depth: 8, chroma: Some((1, 1)) },
        _ => UNKNOWN,
    };
    let kind = Kind {
        profile: if seen.profile == PROFILE_UNKNOWN { told.profile } else { seen.profile },
        ..if seen.depth == 0 { told } else { seen }
    };
    let Kind { profile, depth, chroma } = kind;
    Coding { codec: id.name().to_owned(), profile, depth, chroma, width: size.0, height: size.1 }
}

/// What FFmpeg knows, which is nothing unless it looked into the stream.
fn looked_into(parameters: &Parameters) -> Kind {
    // SAFETY: the parameters are alive for the call.
    let (profile, format) = unsafe { ((*parameters.as_ptr()).profile, (*parameters.as_ptr()).format) };
    let Some((_, desc)) = by_number(format) else { return Kind { profile, ..UNKNOWN } };
    let other = ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_PAL | ffi::AV_PIX_FMT_FLAG_ALPHA;
    let is_plain = desc.nb_components == 3 && desc.flags & u64::from(other.unsigned_abs()) == 0;
    Kind {
        profile,
        depth: u8::try_from(desc.comp[0].depth).unwrap_or(0),
        chroma: is_plain.then_some((desc.log2_chroma_w, desc.log2_chroma_h)),
    }
}

/// chroma_format_idc: 0 none, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
fn chroma_of(idc: u32) -> Option<(u8, u8)> {
    match idc {
        1 => Some((1, 1)),
        2 => Some((1, 0)),
        3 => Some((0, 0)),
        _ => None,
    }
}

/// The first sequence parameter set, in an avcC record or as Annex B (H.264, 7.3.2.1.1).
fn h264(extradata: &[u8]) -> Kind {
    let sets = h264_sets(extradata, h264_length_bytes(extradata));
    let Some(set) = sets.into_iter().find(|unit| unit.first().is_some_and(|first| first & 31 == 7)) else {
        return UNKNOWN;
    };
    let sps = without_emulation(&set[1..]);
    let [profile, constraints, _, rest @ ..] = &sps[..] else { return UNKNOWN };
    let constrained = *profile == 66 && constraints & 0x40 != 0;
    let number = i32::from(*profile) | if constrained { CONSTRAINED } else { 0 };
    let mut bits = Bits::new(rest);
    bits.golomb();
    if matches!(profile, 66 | 77 | 88) {
        return Kind { profile: number, depth: 8, chroma: Some((1, 1)) };
    }
    let chroma = bits.golomb();
    if chroma == 3 {
        bits.take(1);
    }
    let depth = bits.golomb();
    if bits.is_over() {
        return UNKNOWN;
    }
    Kind {
        profile: number,
        depth: u8::try_from(depth).unwrap_or(0).saturating_add(8),
        chroma: chroma_of(chroma),
    }
}

/// An hvcC record (ISO/IEC 14496-15, 8.3.3.1).
fn hevc(extradata: &[u8]) -> Kind {
    match extradata {
        [1, profile, ..] if extradata.len() > 22 => Kind {
            profile: i32::from(profile & 31),
            depth: (extradata[17] & 7) + 8,
            chroma: chroma_of(u32::from(extradata[16] & 3)),
        },
        _ => UNKNOWN,
    }
}

/// An av1C record (AV1 in ISO base media, 2.3).
fn av1(extradata: &[u8]) -> Kind {
    let [0x81, second, third, ..] = extradata else { return UNKNOWN };
    let bit = |place: u8| third >> place & 1;
    let profile = second >> 5;
    let depth = match (bit(6), bit(5)) {
        (0, _) => 8,
        (_, 1) if profile == 2 => 12,
        _ => 10,
    };
    Kind { profile: i32::from(profile), depth, chroma: (bit(4) == 0).then_some((bit(3), bit(2))) }
}

/// The head of a key frame (VP9, 6.2).
fn vp9(packet: &[u8]) -> Kind {
    let mut bits = Bits::new(packet);
    let marker = bits.take(2);
    let profile = bits.take(1) | bits.take(1) << 1;
    let shows = if profile < 3 { bits.take(1) } else { bits.take(1) | bits.take(1) };
    let (inter, _, sync) = (bits.take(1), bits.take(2), bits.take(24));
    if (marker, shows, inter, sync) != (2, 0, 0, 0x49_83_42) {
        return UNKNOWN;
    }
    let depth = match profile < 2 || bits.take(1) == 0 {
        _ if profile < 2 => 8,
        true => 10,
        false => 12,
    };
    // Profiles 0 and 2 have no other chroma; 1 and 3 have any but that.
    Kind { profile: profile as i32, depth, chroma: (profile.is_multiple_of(2)).then_some((1, 1)) }
}

/// profile_and_level_indication behind the start of a visual object sequence (MPEG-4 part 2, 6.2.2).
fn mpeg4(extradata: &[u8]) -> Kind {
    let at = extradata.windows(4).position(|code| code == [0, 0, 1, 0xb0]);
    match at.and_then(|at| extradata.get(at + 4)) {
        // The studio profiles have their own syntax.
        Some(0xe1..=0xe8) | None => UNKNOWN,
        Some(byte) => Kind { profile: i32::from(byte >> 4), depth: 8, chroma: Some((1, 1)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(profile: i32, depth: u8, chroma: Option<(u8, u8)>) -> Kind {
        Kind { profile, depth, chroma }
    }

    #[test]
    fn h264_tells_by_its_first_sequence_set() {
        let avcc = |sps: &[u8]| {
            [&[1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, sps.len() as u8][..], sps, &[0]].concat()
        };
        // High, id 0, chroma 1, both depths 8: 1 010 1 1 0...
        assert_eq!(h264(&avcc(&[0x67, 100, 0, 40, 0b1010_1100, 0, 0x80])), kind(100, 8, Some((1, 1))));
        // High 10, chroma 1, depth 10 (golomb 2: 011).
        assert_eq!(
            h264(&avcc(&[0x67, 110, 0, 40, 0b1010_0110, 0b1100_0000, 0x80])),
            kind(110, 10, Some((1, 1)))
        );
        // High 4:2:2 (golomb 2), depth 8.
        assert_eq!(h264(&avcc(&[0x67, 122, 0, 40, 0b1011_1100, 0, 0x80])), kind(122, 8, Some((1, 0))));
        assert_eq!(h264(&avcc(&[0x67, 66, 0x40, 30, 0x80])), kind(578, 8, Some((1, 1))));
        assert_eq!(h264(&[0, 0, 0, 1, 0x67, 77, 0, 30, 0x80, 0x80]), kind(77, 8, Some((1, 1))));
        assert_eq!(h264(&[]), UNKNOWN);
        assert_eq!(h264(&[0, 0, 1, 0x67, 100]), UNKNOWN);
    }

    #[test]
    fn records_tell_of_hevc_and_av1() {
        let mut hvcc = [0; 23];
        (hvcc[0], hvcc[1], hvcc[16], hvcc[17]) = (1, 0x22, 0xfd, 0xfa);
        assert_eq!(hevc(&hvcc), kind(2, 10, Some((1, 1))));
        assert_eq!(hevc(&hvcc[..22]), UNKNOWN);
        assert_eq!(av1(&[0x81, 0x08, 0x0c, 0]), kind(0, 8, Some((1, 1))));
        assert_eq!(av1(&[0x81, 0x08, 0x4c, 0]), kind(0, 10, Some((1, 1))));
        assert_eq!(av1(&[0x81, 0x48, 0x68, 0]), kind(2, 12, Some((1, 0))));
        assert_eq!(av1(&[0x81, 0x08, 0x1c, 0]), kind(0, 8, None));
        assert_eq!(av1(&[0x0a, 0x0b]), UNKNOWN);
    }

    #[test]
    fn a_key_frame_tells_of_vp9() {
        assert_eq!(vp9(&[0x82, 0x49, 0x83, 0x42, 0]), kind(0, 8, Some((1, 1))));
        // Profile 2: its high bit is the second one. Ten bits, then twelve.
        assert_eq!(vp9(&[0x92, 0x49, 0x83, 0x42, 0]), kind(2, 10, Some((1, 1))));
        assert_eq!(vp9(&[0x92, 0x49, 0x83, 0x42, 0x80]), kind(2, 12, Some((1, 1))));
        assert_eq!(vp9(&[0xa2, 0x49, 0x83, 0x42, 0]), kind(1, 8, None));
        // No key frame.
        assert_eq!(vp9(&[0x86, 0, 0, 0, 0]), UNKNOWN);
        assert_eq!(vp9(&[]), UNKNOWN);
    }

    #[test]
    fn mpeg4_tells_its_profile() {
        assert_eq!(mpeg4(&[0, 0, 1, 0xb0, 0xf5, 0, 0, 1]), kind(15, 8, Some((1, 1))));
        assert_eq!(mpeg4(&[0, 0, 1, 0xb0, 3]), kind(0, 8, Some((1, 1))));
        assert_eq!(mpeg4(&[0, 0, 1, 0xb0, 0xe3]), UNKNOWN);
        assert_eq!(mpeg4(&[0, 0, 1, 0]), UNKNOWN);
    }
}
