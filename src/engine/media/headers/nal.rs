//! H.264, HEVC, MPEG-1/2 and MPEG-4 headers, as far as planning needs them. *Pure.*
//!
//! Owns NAL unit and start code scanning, bounds-checked throughout. Never decodes a slice:
//! its first bytes are enough.

use crate::model::media::{Need, Start};

/// A reader of single bits; past the end it gives zeros.
pub struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// From the first bit of `data` on.
    pub fn new(data: &'a [u8]) -> Bits<'a> {
        Bits { data, at: 0 }
    }

    /// The next `count` bits, at most 32, most significant first.
    pub fn take(&mut self, count: u32) -> u32 {
        let mut value = 0u32;
        for _ in 0..count {
            let byte = self.data.get(self.at / 8).copied().unwrap_or(0);
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        value
    }

    /// An unsigned Exp-Golomb number (H.264, 9.1).
    pub fn golomb(&mut self) -> u32 {
        let mut zeros = 0;
        while zeros < 31 && self.at < self.data.len() * 8 && self.take(1) == 0 {
            zeros += 1;
        }
        (1u32 << zeros) - 1 + self.take(zeros)
    }

    /// More was taken than there is.
    pub fn is_over(&self) -> bool {
        self.at > self.data.len() * 8
    }
}

/// The NAL units of a packet: length-prefixed, or Annex B when `length_bytes` is 0.
pub fn units(data: &[u8], length_bytes: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(
        move || if length_bytes > 0 { prefixed(&mut rest, length_bytes) } else { annex_b(&mut rest) },
    )
}

fn prefixed<'a>(rest: &mut &'a [u8], length_bytes: usize) -> Option<&'a [u8]> {
    let (length, after) = rest.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
    let (unit, after) = after.split_at(length.min(after.len()));
    *rest = after;
    Some(unit)
}

fn annex_b<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let begin = start_code(rest)? + 3;
    let body = &rest[begin..];
    // Only the beginning of a unit is ever looked at, so a trailing zero of the next start code is harmless.
    let end = start_code(body).unwrap_or(body.len());
    *rest = &body[end..];
    Some(&body[..end])
}

/// Where the next 00 00 01 begins.
fn start_code(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at + 2 < data.len() {
        match data[at + 2] {
            // A byte above 1 cannot be part of a start code that begins here or at the next two bytes.
            2.. => at += 3,
            1 if data[at] == 0 && data[at + 1] == 0 => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// NAL length bytes of an avcC record; 0 is Annex B.
pub fn h264_length_bytes(extradata: &[u8]) -> usize {
    match extradata {
        [1, _, _, _, sizes, _, _, ..] => usize::from(sizes & 3) + 1,
        _ => 0,
    }
}

/// NAL length bytes of an hvcC record; 0 is Annex B.
pub fn hevc_length_bytes(extradata: &[u8]) -> usize {
    match extradata.get(21) {
        Some(sizes) if extradata[0] == 1 && extradata.len() > 22 => usize::from(sizes & 3) + 1,
        _ => 0,
    }
}

/// What an H.264 packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct H264 {
    pub idr: bool,
    /// recovery_frame_cnt of a recovery point SEI.
    pub recovery_frames: Option<u32>,
    /// The first slice is an I slice.
    pub intra_only: bool,
    /// Every slice says that nothing refers to it, and no parameter set comes along that later pictures may use.
    pub disposable: bool,
}

/// Reads the units of one access unit (H.264, 7.3).
pub fn h264(data: &[u8], length_bytes: usize) -> H264 {
    let mut facts = H264::default();
    let (mut slices, mut referenced, mut extended, mut sets) = (false, false, false, false);
    for unit in units(data, length_bytes) {
        let Some(first) = unit.first() else { continue };
        match first & 31 {
            5 => {
                facts.idr = true;
                slices = true;
                referenced = true;
            }
            1 | 2 => {
                if !slices {
                    let mut bits = Bits::new(&unit[1..unit.len().min(12)]);
                    bits.golomb();
                    facts.intra_only = matches!(bits.golomb() % 5, 2 | 4);
                }
                slices = true;
                referenced |= first >> 5 & 3 != 0;
            }
            6 if !slices => {
                facts.recovery_frames = facts.recovery_frames.or_else(|| recovery_point(&unit[1..]))
            }
            7 | 8 | 13 | 15 => sets = true,
            14 | 20 => extended = true,
            _ => {}
        }
        // All slices of a picture agree on being a reference; only length-prefixed units are cheap to walk on.
        if slices && length_bytes == 0 {
            break;
        }
    }
    // Scalable and multiview streams refer across layers that this does not follow.
    facts.disposable = slices && !referenced && !extended && !sets;
    facts
}

/// recovery_frame_cnt of the SEI messages in a unit (H.264, D.1.8). Emulation bytes are taken out.
fn recovery_point(sei: &[u8]) -> Option<u32> {
    let sei = without_emulation(&sei[..sei.len().min(4096)]);
    messages(&sei).find(|(kind, _)| *kind == 6).map(|(_, payload)| Bits::new(payload).golomb())
}

/// The kinds of the SEI messages in a unit.
pub fn sei_kinds(sei: &[u8]) -> Vec<usize> {
    let sei = without_emulation(&sei[..sei.len().min(4096)]);
    messages(&sei).map(|(kind, _)| kind).collect()
}

/// The kind of each SEI message, and all that stands behind its size (H.264, 7.3.2.3.1).
fn messages(sei: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at + 2 > sei.len() || sei[at] == 0x80 {
            return None;
        }
        let mut number = || {
            let mut value = 0usize;
            loop {
                let byte = *sei.get(at)?;
                at += 1;
                value += usize::from(byte);
                if byte != 255 {
                    return Some(value);
                }
            }
        };
        let (kind, size) = (number()?, number()?);
        let payload = sei.get(at..)?;
        at += size;
        Some((kind, payload))
    })
}

/// The payload of a unit: its bytes less those that only keep start codes out.
pub fn without_emulation(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut zeros = 0;
    for byte in data {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

/// The parameter sets in an avcC record or, when `length_bytes` is 0, in Annex B.
pub fn h264_sets(extradata: &[u8], length_bytes: usize) -> Vec<&[u8]> {
    if length_bytes == 0 {
        return units(extradata, 0).collect();
    }
    // Five bytes, the count of sequence sets, these; the count of picture sets, these.
    let count = usize::from(extradata.get(5).copied().unwrap_or(0) & 31);
    let mut rest = extradata.get(6..).unwrap_or(&[]);
    let mut sets: Vec<&[u8]> = std::iter::from_fn(|| prefixed(&mut rest, 2)).take(count).collect();
    if let Some((count, mut rest)) = rest.split_first() {
        sets.extend(std::iter::from_fn(|| prefixed(&mut rest, 2)).take(usize::from(*count)));
    }
    sets
}

/// True unless the parameter sets in `extradata` say that every picture is a frame (frame_mbs_only_flag).
pub fn h264_may_have_fields(extradata: &[u8], length_bytes: usize) -> bool {
    let sps: Vec<bool> = h264_sets(extradata, length_bytes)
        .into_iter()
        .filter(|unit| unit.first().is_some_and(|first| first & 31 == 7))
        .map(|unit| sps_frames_only(&without_emulation(&unit[1..])))
        .collect();
    sps.is_empty() || sps.contains(&false)
}

/// frame_mbs_only_flag of a sequence parameter set (H.264, 7.3.2.1.1).
fn sps_frames_only(sps: &[u8]) -> bool {
    let profile = sps.first().copied().unwrap_or(0);
    let mut bits = Bits::new(sps.get(3..).unwrap_or(&[]));
    bits.golomb();
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        let chroma = bits.golomb();
        if chroma == 3 {
            bits.take(1);
        }
        bits.golomb();
        bits.golomb();
        bits.take(1);
        if bits.take(1) == 1 {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.take(1) == 1 {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 });
                }
            }
        }
    }
    bits.golomb();
    match bits.golomb() {
        0 => drop(bits.golomb()),
        1 => {
            bits.take(1);
            bits.golomb();
            bits.golomb();
            for _ in 0..bits.golomb().min(255) {
                bits.golomb();
            }
        }
        _ => {}
    }
    bits.golomb();
    bits.take(1);
    bits.golomb();
    bits.golomb();
    bits.take(1) == 1
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.golomb());
            let delta = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
            next = (last + delta).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
}

/// True when a packet is made of whole units and none of them is a picture's, nor of a kind that is not known: damage
/// may look like anything.
pub fn has_no_picture(data: &[u8], length_bytes: usize, hevc: bool) -> bool {
    let is_other = |unit: &[u8]| match *unit {
        [first, _, ..] if hevc => (32..=40).contains(&(first >> 1 & 63)) && first & 0x81 == 0,
        [first, ..] if !hevc => matches!(first & 31, 6..=13 | 15) && first & 0x80 == 0,
        _ => false,
    };
    let mut all = units(data, length_bytes).peekable();
    all.peek().is_some() && is_whole(data, length_bytes) && all.all(is_other)
}

/// Do the lengths in front of the units add up?
fn is_whole(mut data: &[u8], length_bytes: usize) -> bool {
    while length_bytes > 0 && !data.is_empty() {
        let Some((length, after)) = data.split_at_checked(length_bytes) else { return false };
        let length = length.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
        let Some(after) = after.get(length..) else { return false };
        data = after;
    }
    true
}

/// What an HEVC packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hevc {
    pub start: Start,
    pub need: Need,
}

/// Reads the first slice's unit header (HEVC, 7.4.2.2). None when there is no slice. Nobody may leave out a picture
/// that brings parameter sets along: later ones may use them.
pub fn hevc(data: &[u8], length_bytes: usize) -> Option<Hevc> {
    let mut sets = false;
    for unit in units(data, length_bytes) {
        let &[first, second, ..] = unit else { continue };
        let kind = first >> 1 & 63;
        if kind >= 32 {
            sets |= matches!(kind, 32..=34);
            continue;
        }
        let start = match kind {
            19 | 20 => Start::Clean,
            16..=18 | 21 => Start::Open,
            _ => Start::No,
        };
        let need = if sets || (16..=23).contains(&kind) {
            Need::Always
        } else {
            Need::Layer {
                temporal_id: (second & 7).saturating_sub(1),
                sub_layer_non_reference: kind < 16 && kind % 2 == 0,
            }
        };
        return Some(Hevc { start, need });
    }
    None
}

/// What an MPEG-1, MPEG-2 or MPEG-4 packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mpeg {
    pub intra: bool,
    /// A B picture, alone in its packet, without headers that outlive it.
    pub bidirectional: bool,
}

/// picture_coding_type of the packet's pictures (MPEG-2, 6.3.9). Two fields of a frame may share a packet.
/// A sequence header and a quant matrix extension hold until the next one.
pub fn mpeg12(data: &[u8]) -> Mpeg {
    let outlives = |code: u8, body: &[u8]| match code {
        0xb3 => true,
        0xb5 => body.first().is_some_and(|byte| matches!(byte >> 4, 1 | 3)),
        _ => false,
    };
    kinds(data, 0x00, |body| body.get(1).map(|byte| byte >> 3 & 7), 1, 3, outlives)
}

/// vop_coding_type of the packet's VOPs (MPEG-4 part 2, 6.3.5).
pub fn mpeg4(data: &[u8]) -> Mpeg {
    // A video object layer header holds until the next one.
    kinds(data, 0xb6, |body| body.first().map(|byte| byte >> 6), 0, 2, |code, _| (0x20..0x30).contains(&code))
}

/// Looks at every unit with start code `code`: is the first one `intra`, are all of them `bidirectional`? A header
/// that `outlives` the picture makes it needed like any other.
fn kinds(
    data: &[u8],
    code: u8,
    kind: impl Fn(&[u8]) -> Option<u8>,
    intra: u8,
    bidirectional: u8,
    outlives: impl Fn(u8, &[u8]) -> bool,
) -> Mpeg {
    let mut facts = Mpeg::default();
    let (mut seen, mut header) = (false, false);
    for unit in units(data, 0) {
        let Some((first, body)) = unit.split_first() else { continue };
        header |= outlives(*first, body);
        if *first != code {
            continue;
        }
        let Some(kind) = kind(body) else { continue };
        facts.intra |= !seen && kind == intra;
        facts.bidirectional = (!seen || facts.bidirectional) && kind == bidirectional;
        seen = true;
    }
    facts.bidirectional &= !header;
    facts
}

#[cfg(test)]
#[path = "nal_tests.rs"]
mod tests;
