//! H.264 parameter sets and slice headers, read by cros-codecs.
//!
//! Owns the parameter sets of a stream and the unwind barrier around a parser of hostile bytes. Never guesses: a
//! packet that is not one whole frame, understood to the last slice, is told as unknown. Never reads more than the
//! beginning of a slice.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cros_codecs::codec::h264::parser::{self as cros, Nalu, NaluHeader, NaluType, SliceHeader, SliceType};

use super::nal;
use crate::model::coded::{Coded, H264Change, H264Lists, H264Mark, H264Order, H264Picture, H264Sequence};

/// The longest slice header that is looked at: 64 weights of three planes fit in half of it.
const HEADER_BYTES_MAX: usize = 1024;
/// FFmpeg reads no more operations.
const MARKS_MAX: usize = 64;
/// Slices of a picture with lists of their own; what has more is not made to be looked at.
const LISTS_MAX: usize = 32;
/// Parameter sets of a stream that are remembered.
const SETS_MAX: usize = 64;

/// Reads the packets of one stream.
pub struct Parser {
    inner: cros::Parser,
    length_bytes: usize,
    extradata: Box<[u8]>,
    /// Parameter sets as they came last: kind, number, bytes.
    sets: Vec<(u8, u32, Box<[u8]>)>,
    /// Of the last picture: most share one.
    sequence: Option<Arc<H264Sequence>>,
}

/// Not told: what it is does not matter.
struct Unknown;

impl From<String> for Unknown {
    fn from(_: String) -> Unknown {
        Unknown
    }
}

impl Parser {
    /// A parser that knows the sets in `extradata`: an avcC record, or Annex B when `length_bytes` is 0.
    pub fn new(extradata: &[u8], length_bytes: usize) -> Parser {
        let mut parser = Parser {
            inner: cros::Parser::default(),
            length_bytes,
            extradata: extradata.into(),
            sets: Vec::new(),
            sequence: None,
        };
        parser.restart();
        parser
    }

    /// Back to what the extradata says: that, and what follows from here on, is all that a decoder knows.
    pub fn restart(&mut self) {
        self.forget();
        let extradata = std::mem::take(&mut self.extradata);
        for unit in nal::h264_sets(&extradata, self.length_bytes) {
            if self.guarded(|this| this.keep_set(unit)).is_none() {
                self.forget();
            }
        }
        self.extradata = extradata;
    }

    /// The packet's picture, where it is one whole frame.
    pub fn read(&mut self, data: &[u8]) -> Coded {
        match self.guarded(|this| this.picture(data)) {
            Some(Ok(picture)) => Coded::H264(Arc::new(picture)),
            Some(Err(Unknown)) => Coded::Unknown,
            None => {
                self.forget();
                Coded::Unknown
            }
        }
    }

    /// None when the parser panicked.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Parser) -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(|| work(self))).ok()
    }

    fn forget(&mut self) {
        self.inner = cros::Parser::default();
        self.sets.clear();
        self.sequence = None;
    }

    /// True when the set was not known as it stands here.
    fn keep_set(&mut self, unit: &[u8]) -> Result<bool, Unknown> {
        let Some((first, body)) = unit.split_first() else { return Ok(false) };
        let kind = first & 31;
        let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let unit = &unit[..end];
        let number = match kind {
            7 => nal::Bits::new(body.get(3..).unwrap_or(&[])).golomb(),
            8 => nal::Bits::new(body).golomb(),
            _ => return Ok(false),
        };
        let place = self.sets.iter().position(|(k, n, _)| (*k, *n) == (kind, number));
        if let Some(place) = place {
            if *self.sets[place].2 == *unit {
                return Ok(false);
            }
            self.sets.swap_remove(place);
        }
        if kind == 7 {
            self.keep_sequence(unit)?;
        } else {
            self.inner.parse_pps(&nalu(unit, NaluType::Pps))?;
        }
        if self.sets.len() < SETS_MAX {
            self.sets.push((kind, number, unit.into()));
        }
        Ok(true)
    }

    fn keep_sequence(&mut self, unit: &[u8]) -> Result<(), Unknown> {
        self.inner.parse_sps(&nalu(unit, NaluType::Sps))?;
        // The parser ties a picture set to the sequence set that it found: read them again.
        let pictures: Vec<Box<[u8]>> =
            self.sets.iter().filter(|(kind, ..)| *kind == 8).map(|(.., unit)| unit.clone()).collect();
        for unit in pictures {
            self.inner.parse_pps(&nalu(&unit, NaluType::Pps)).ok();
        }
        Ok(())
    }

    fn picture(&mut self, data: &[u8]) -> Result<H264Picture, Unknown> {
        let mut picture: Option<H264Picture> = None;
        let mut brings_sets = false;
        let mut lists: Vec<H264Lists> = Vec::new();
        for unit in nal::units(data, self.length_bytes) {
            let Some(first) = unit.first() else { continue };
            match first & 31 {
                kind @ (1 | 5) => {
                    let header = self.slice(unit, *first, kind == 5)?;
                    let slice = self.plain(&header, *first, kind == 5)?;
                    let of_slice = self.lists(&header)?;
                    match &picture {
                        None => picture = Some(slice),
                        Some(before) if header.first_mb_in_slice != 0 && is_same(before, &slice) => {}
                        Some(_) => return Err(Unknown),
                    }
                    if of_slice.active != [0, 0] && !lists.contains(&of_slice) {
                        if lists.len() == LISTS_MAX {
                            return Err(Unknown);
                        }
                        lists.push(of_slice);
                    }
                }
                7 | 8 => {
                    if picture.is_some() {
                        return Err(Unknown);
                    }
                    brings_sets |= self.keep_set(unit)?;
                }
                // Film grain lasts beyond its picture.
                6 if nal::sei_kinds(&unit[1..]).contains(&19) => return Err(Unknown),
                // Data partitions, scalable and multiview streams.
                2..=4 | 14 | 15 | 20 | 21 => return Err(Unknown),
                _ => {}
            }
        }
        let mut picture = picture.ok_or(Unknown)?;
        picture.brings_sets = brings_sets;
        picture.lists = lists.into();
        Ok(picture)
    }

    fn slice(&self, unit: &[u8], first: u8, idr: bool) -> Result<SliceHeader, Unknown> {
        let unit = &unit[..unit.len().min(HEADER_BYTES_MAX)];
        let mut nalu = nalu(unit, if idr { NaluType::SliceIdr } else { NaluType::Slice });
        nalu.header.ref_idc = first >> 5 & 3;
        Ok(self.inner.parse_slice_header(nalu)?.header)
    }

    fn plain(&mut self, header: &SliceHeader, first: u8, idr: bool) -> Result<H264Picture, Unknown> {
        let pps = self.inner.get_pps(header.pic_parameter_set_id).ok_or(Unknown)?;
        let sps = &pps.sps;
        let is_intra = header.slice_type == SliceType::I;
        if header.field_pic_flag || sps.separate_colour_plane_flag || (idr && !is_intra) {
            return Err(Unknown);
        }
        if header.redundant_pic_cnt != 0 || matches!(header.slice_type, SliceType::Sp | SliceType::Si) {
            return Err(Unknown);
        }
        let facts = sequence_of(sps);
        let sequence = match &self.sequence {
            Some(known) if **known == facts => Arc::clone(known),
            _ => Arc::new(facts),
        };
        self.sequence = Some(Arc::clone(&sequence));
        Ok(H264Picture {
            sequence,
            idr,
            discards: header.dec_ref_pic_marking.no_output_of_prior_pics_flag,
            reference: first >> 5 & 3 != 0,
            brings_sets: false,
            frame_num: i32::from(header.frame_num),
            order_lsb: i32::from(header.pic_order_cnt_lsb),
            order_bottom: header.delta_pic_order_cnt_bottom,
            order_delta: header.delta_pic_order_cnt,
            marking: marking_of(header, idr)?,
            lists: Box::default(),
        })
    }

    /// The lists of a slice; those of an I slice are empty.
    fn lists(&self, header: &SliceHeader) -> Result<H264Lists, Unknown> {
        let both = header.slice_type == SliceType::B;
        if header.slice_type == SliceType::I {
            return Ok(H264Lists::default());
        }
        let active = [
            header.num_ref_idx_l0_active_minus1 + 1,
            if both { header.num_ref_idx_l1_active_minus1 + 1 } else { 0 },
        ];
        let mut changes = [const { Vec::new() }; 2];
        let told = [&header.ref_pic_list_modification_l0, &header.ref_pic_list_modification_l1];
        for ((changes, told), active) in changes.iter_mut().zip(told).zip(active) {
            for one in told {
                changes.push(match one.modification_of_pic_nums_idc {
                    0 => H264Change::Back(one.abs_diff_pic_num_minus1),
                    1 => H264Change::On(one.abs_diff_pic_num_minus1),
                    2 if one.long_term_pic_num <= 15 => H264Change::Long(one.long_term_pic_num),
                    3 => break,
                    _ => return Err(Unknown),
                });
            }
            if changes.len() > usize::from(active) {
                return Err(Unknown);
            }
        }
        let pps = self.inner.get_pps(header.pic_parameter_set_id).ok_or(Unknown)?;
        let changes = changes.map(Vec::into_boxed_slice);
        let temporal = both && !header.direct_spatial_mv_pred_flag;
        Ok(H264Lists { both, temporal, implicit: both && pps.weighted_bipred_idc == 2, active, changes })
    }
}

fn nalu(unit: &[u8], kind: NaluType) -> Nalu<'_> {
    let idr_pic_flag = kind == NaluType::SliceIdr;
    let header = NaluHeader { ref_idc: 1, type_: kind, idr_pic_flag };
    Nalu { header, data: Cow::Borrowed(unit), size: unit.len(), offset: 0 }
}

/// All slices of a picture agree in what tells it from others (H.264, 7.4.1.2.4).
fn is_same(one: &H264Picture, other: &H264Picture) -> bool {
    let key = |p: &H264Picture| (p.idr, p.reference, p.frame_num, p.order_lsb, p.order_bottom, p.order_delta);
    key(one) == key(other) && one.marking == other.marking && one.sequence == other.sequence
}

fn sequence_of(sps: &cros::Sps) -> H264Sequence {
    let order = match sps.pic_order_cnt_type {
        0 => H264Order::Lsb { bits: u32::from(sps.log2_max_pic_order_cnt_lsb_minus4) + 4 },
        1 => {
            let count = usize::from(sps.num_ref_frames_in_pic_order_cnt_cycle);
            H264Order::Cycle {
                offsets: sps.offset_for_ref_frame[..count].into(),
                non_reference: sps.offset_for_non_ref_pic,
                bottom: sps.offset_for_top_to_bottom_field,
            }
        }
        _ => H264Order::Decode,
    };
    H264Sequence {
        frame_num_bits: u32::from(sps.log2_max_frame_num_minus4) + 4,
        order,
        references_max: i32::from(sps.max_num_ref_frames),
        gaps_allowed: sps.gaps_in_frame_num_value_allowed_flag,
        format: [
            u32::from(sps.pic_width_in_mbs_minus1),
            u32::from(sps.pic_height_in_map_units_minus1),
            u32::from(sps.chroma_format_idc),
            u32::from(sps.bit_depth_luma_minus8),
            u32::from(sps.bit_depth_chroma_minus8),
        ],
    }
}

fn marking_of(header: &SliceHeader, idr: bool) -> Result<Option<Box<[H264Mark]>>, Unknown> {
    let told = &header.dec_ref_pic_marking;
    if idr {
        let long = told.long_term_reference_flag.then_some(H264Mark::Long(0));
        return Ok(Some(long.into_iter().collect()));
    }
    if !told.adaptive_ref_pic_marking_mode_flag {
        return Ok(None);
    }
    if told.inner.len() > MARKS_MAX {
        return Err(Unknown);
    }
    let marks = told.inner.iter().map(|one| {
        let difference = one.difference_of_pic_nums_minus1;
        let mark = match one.memory_management_control_operation {
            1 => H264Mark::ShortUnused(difference),
            2 => H264Mark::LongUnused(one.long_term_pic_num),
            3 => H264Mark::ShortToLong(difference, one.long_term_frame_idx),
            4 => H264Mark::LongMax(one.max_long_term_frame_idx.to_value_plus1()),
            5 => H264Mark::Reset,
            6 => H264Mark::Long(one.long_term_frame_idx),
            _ => return Err(Unknown),
        };
        match mark {
            H264Mark::LongUnused(n) | H264Mark::ShortToLong(_, n) | H264Mark::Long(n) if n > 15 => {
                Err(Unknown)
            }
            H264Mark::LongMax(n) if n > 16 => Err(Unknown),
            _ => Ok(mark),
        }
    });
    marks.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests;
