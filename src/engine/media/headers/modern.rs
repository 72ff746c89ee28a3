//! VP9 and AV1 headers, read by cros-codecs.
//!
//! Owns the unwind barrier around a parser of hostile bytes. Never guesses: what it does not
//! understand means the weaker rule: nothing is left out, and only the container's key frames are starts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cros_codecs::codec::av1::parser as av1;
use cros_codecs::codec::vp9::parser as vp9;

use crate::model::coded::{Av1Frame, Coded};
use crate::model::media::{FrameHeader, Need, Start};

/// Frames of a temporal unit that are looked at.
const FRAMES_MAX: usize = 64;
/// primary_ref_frame of a frame that takes nothing over (AV1, 3).
const PRIMARY_REF_NONE: u32 = 7;

/// Reads VP9 packets.
pub struct Vp9 {
    parser: vp9::Parser,
}

impl Vp9 {
    /// A parser without state.
    pub fn new() -> Vp9 {
        Vp9 { parser: vp9::Parser::default() }
    }

    /// Fills in start and need. A packet may be a superframe: hidden frames and a shown one.
    pub fn read(&mut self, data: &[u8], header: &mut FrameHeader) {
        // The start needs two bits only, which are there whatever the parser thinks of the rest.
        if is_vp9_key(data) {
            header.start = Start::Clean;
        }
        let parser = &mut self.parser;
        let frames = catch_unwind(AssertUnwindSafe(|| {
            parser.parse_chunk(data).map(|frames| frames.into_iter().map(|f| f.header).collect::<Vec<_>>())
        }));
        let Ok(Ok(frames)) = frames else {
            self.parser = vp9::Parser::default();
            return;
        };
        let key = |h: &vp9::Header| h.frame_type == vp9::FrameType::KeyFrame && !h.show_existing_frame;
        header.resilient = frames.first().is_some_and(|h| key(h) || h.error_resilient_mode);
        let refreshes = |h: &vp9::Header| {
            h.show_existing_frame || key(h) || h.refresh_frame_flags != 0 || h.refresh_frame_context
        };
        if !frames.is_empty() && !frames.iter().any(refreshes) {
            header.need = Need::TargetIfNextIsResilient;
        }
    }
}

/// frame_marker 2, no show_existing_frame, frame_type 0, show_frame (VP9, 6.2).
fn is_vp9_key(data: &[u8]) -> bool {
    let Some(first) = data.first() else { return false };
    let profile = (first >> 5 & 1) | (first >> 4 & 1) << 1;
    // Profile 3 has a reserved bit that moves the rest.
    let bits = if profile == 3 { first << 5 } else { first << 4 };
    first >> 6 == 2 && bits & 0x80 == 0 && bits & 0x40 == 0 && bits & 0x20 != 0
}

/// A key frame of opacity: a Matroska BlockAdditional, whose number (1 is opacity) comes first.
pub fn is_vp9_alpha_key(beside: &[u8]) -> bool {
    beside.split_first_chunk().is_some_and(|(id, data)| *id == 1u64.to_be_bytes() && is_vp9_key(data))
}

/// Reads AV1 temporal units.
pub struct Av1 {
    parser: av1::Parser,
    /// False from a parse error to the next key frame.
    sound: bool,
}

impl Av1 {
    /// A parser that knows the sequence header of an av1C record.
    pub fn new(extradata: &[u8]) -> Av1 {
        let mut this = Av1 { parser: av1::Parser::default(), sound: true };
        if extradata.first() == Some(&0x81) {
            // What it says of a picture is of no use here: there is none.
            this.unit(extradata.get(4..).unwrap_or(&[]));
        }
        this
    }

    /// Fills in start and need, and tells the unit's frames.
    pub fn read(&mut self, data: &[u8], header: &mut FrameHeader) -> Coded {
        if header.key {
            self.sound = true;
        }
        let frames = if self.sound { self.unit(data) } else { None };
        let Some(unit) = frames else {
            self.sound = false;
            header.start = if header.key { Start::Clean } else { Start::No };
            return Coded::Unknown;
        };
        if unit.shown_key {
            header.start = Start::Clean;
        }
        // A shown existing frame costs nothing and is never left out.
        if !unit.frames.is_empty() && unit.frames.iter().all(|f| f.shows.is_none() && f.fills == 0) {
            header.need = Need::Target;
        }
        if unit.layers { Coded::Unknown } else { Coded::Av1(unit.frames.into()) }
    }

    fn unit(&mut self, data: &[u8]) -> Option<Unit> {
        let parser = &mut self.parser;
        let unit = catch_unwind(AssertUnwindSafe(|| read_unit(parser, data)));
        match unit {
            Ok(Ok(unit)) => Some(unit),
            Ok(Err(_)) => None,
            Err(_) => {
                self.parser = av1::Parser::default();
                None
            }
        }
    }
}

#[derive(Default)]
struct Unit {
    frames: Vec<Av1Frame>,
    /// A key frame that is shown where it stands.
    shown_key: bool,
    /// Layers or operating points: what is shown depends on which of them the decoder was asked for.
    layers: bool,
}

fn read_unit(parser: &mut av1::Parser, data: &[u8]) -> Result<Unit, String> {
    let mut unit = Unit::default();
    let mut rest = data;
    while !rest.is_empty() {
        let place = |rest: &[u8]| u32::try_from(data.len() - rest.len()).map_err(|e| e.to_string());
        let from = place(rest)?;
        let obu = match parser.read_obu(rest)? {
            av1::ObuAction::Process(obu) => obu,
            av1::ObuAction::Drop(bytes) => {
                rest = rest.get(bytes as usize..).unwrap_or(&[]);
                continue;
            }
        };
        rest = rest.get(obu.bytes_used..).unwrap_or(&[]);
        let to = place(rest)?;
        unit.layers |= obu.header.extension_flag;
        let header = match parser.parse_obu(obu)? {
            av1::ParsedObu::Frame(frame) => frame.header,
            av1::ParsedObu::FrameHeader(header) => header,
            av1::ParsedObu::SequenceHeader(sequence) => {
                unit.layers |= sequence.operating_points_cnt_minus_1 > 0;
                continue;
            }
            av1::ParsedObu::TileGroup(_) | av1::ParsedObu::RedundantFrameHeader => {
                if let Some(frame) = unit.frames.last_mut() {
                    frame.to = to;
                }
                continue;
            }
            _ => continue,
        };
        let key = header.frame_type == av1::FrameType::KeyFrame;
        unit.shown_key |= key && header.show_frame && !header.show_existing_frame;
        if unit.frames.len() == FRAMES_MAX {
            return Err("more frames than a temporal unit has".to_owned());
        }
        unit.frames.push(frame(&header, from, to));
        parser.ref_frame_update(&header)?;
    }
    Ok(unit)
}

fn frame(header: &av1::FrameHeaderObu, from: u32, to: u32) -> Av1Frame {
    let fills = (header.refresh_frame_flags & 0xff) as u8;
    if header.show_existing_frame {
        let fills = if header.frame_type == av1::FrameType::KeyFrame { fills } else { 0 };
        return Av1Frame {
            from,
            to,
            shows: Some(header.frame_to_show_map_idx),
            reads: 0,
            fills,
            shown: false,
        };
    }
    let is_intra = matches!(header.frame_type, av1::FrameType::KeyFrame | av1::FrameType::IntraOnlyFrame);
    let reads = if is_intra && header.primary_ref_frame == PRIMARY_REF_NONE {
        0
    } else if header.frame_refs_short_signaling || is_intra {
        // The references follow from the order hints of all slots, or from lists that are not told.
        0xff
    } else {
        header.ref_frame_idx.iter().fold(0, |bits, slot| bits | 1 << (slot & 7))
    };
    Av1Frame { from, to, shows: None, reads, fills, shown: header.show_frame }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opacity_has_key_frames_of_its_own() {
        let beside = |id: u64, first: u8| [&id.to_be_bytes()[..], &[first, 0x49]].concat();
        assert!(is_vp9_alpha_key(&beside(1, 0b1000_0010)));
        assert!(!is_vp9_alpha_key(&beside(1, 0b1000_0110)));
        assert!(!is_vp9_alpha_key(&beside(4, 0b1000_0010)));
        assert!(!is_vp9_alpha_key(&[0, 0, 0]));
    }
}
