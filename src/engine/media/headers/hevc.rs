//! HEVC pictures: what may a run start at, and which pictures does each keep and read.
//!
//! Owns the parameter sets seen so far and the slice headers up to the reference lists (HEVC, 7.3.6). Never copies
//! a slice, never guesses: what is not understood tells nothing, and the rule of temporal layers holds.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::hevc_sets::{self as sets, ACTIVE_MAX, Pps, ShortTerm, Sps};
use super::nal::{self, Bits};
use crate::model::coded::{Coded, HevcPicture, HevcPoc, HevcReference};
use crate::model::media::{Field, FrameHeader};

/// Bytes of a slice that are looked at: reference sets and lists lie well within.
const SLICE_BYTES_MAX: usize = 512;

/// Bytes of a parameter set that are looked at.
const SET_BYTES_MAX: usize = 16 * 1024;

/// nal_unit_type (HEVC, table 7-1).
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const EOS: u8 = 36;
const EOB: u8 = 37;

/// From this version on FFmpeg's decoder marks every picture as damaged whose set keeps one that is not there,
/// whether it reads it or not.
const MARKS_GAPS_SINCE: u32 = 62;

/// Is this FFmpeg's decoder one that marks such pictures?
pub fn marks_gaps() -> bool {
    ffmpeg_next::codec::version() >> 16 >= MARKS_GAPS_SINCE
}

/// Reads HEVC packets.
pub struct Hevc {
    length_bytes: usize,
    /// The parameter sets of the extradata, and those that hold now.
    given: Sets,
    now: Sets,
    /// What a picture keeps counts as read.
    keeping_is_reading: bool,
}

impl Hevc {
    /// For a stream with this extradata: an hvcC record, or parameter sets in Annex B.
    pub fn new(extradata: &[u8], keeping_is_reading: bool) -> Hevc {
        let length_bytes = nal::hevc_length_bytes(extradata);
        let mut given = Sets::default();
        if length_bytes > 0 {
            record_units(extradata).for_each(|unit| _ = given.take(unit));
        } else {
            nal::units(extradata, 0).for_each(|unit| _ = given.take(unit));
        }
        Hevc { length_bytes, now: given.clone(), given, keeping_is_reading }
    }

    /// After a seek: a decoder that begins there knows the extradata only.
    pub fn restart(&mut self) {
        self.now = self.given.clone();
    }

    /// Fills in start and need, and tells what the picture keeps and reads.
    pub fn read(&mut self, data: &[u8], header: &mut FrameHeader) -> Coded {
        match nal::hevc(data, self.length_bytes) {
            Some(facts) => (header.start, header.need) = (facts.start, facts.need),
            None if nal::has_no_picture(data, self.length_bytes, true) => header.field = Field::Nothing,
            None => {}
        }
        match self.picture(data) {
            Some(picture) => {
                header.hidden |= !picture.is_shown;
                Coded::Hevc(picture.into())
            }
            None => Coded::Unknown,
        }
    }

    fn picture(&mut self, data: &[u8]) -> Option<HevcPicture> {
        let (mut brings_sets, mut ends, mut is_sound) = (false, false, true);
        let mut picture: Option<HevcPicture> = None;
        for unit in nal::units(data, self.length_bytes) {
            let &[first, second, ..] = unit else { continue };
            // Layers above the base are not decoded.
            if (first & 1) << 5 | second >> 3 != 0 {
                continue;
            }
            match first >> 1 & 63 {
                VPS | SPS | PPS => brings_sets |= self.now.take(unit),
                EOS | EOB => ends = true,
                // All of the packet is gone through even when it is not understood: sets may follow.
                kind @ ..VPS if is_sound => {
                    is_sound = slice(unit, kind, &self.now, &mut picture).is_some();
                }
                _ => {}
            }
        }
        let mut picture = picture.filter(|_| is_sound)?;
        (picture.brings_sets, picture.ends) = (brings_sets, ends);
        if self.keeping_is_reading {
            picture.keeps.iter_mut().for_each(|kept| kept.is_read = true);
        }
        Some(picture)
    }
}

/// The units of an hvcC record.
fn record_units(record: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = record.get(23..).unwrap_or(&[]);
    let mut left = 0u16;
    std::iter::from_fn(move || {
        while left == 0 {
            let (array, after) = rest.split_first_chunk::<3>()?;
            left = u16::from_be_bytes([array[1], array[2]]);
            rest = after;
        }
        left -= 1;
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        Some(unit)
    })
}

/// Parameter sets by kind and identifier.
#[derive(Clone, Default)]
struct Sets {
    of: BTreeMap<(u8, u32), Rc<Stored>>,
    /// The bytes of the last units of each kind, which mostly come again and again.
    last: [Option<Rc<[u8]>>; 3],
}

struct Stored {
    bytes: Rc<[u8]>,
    set: Set,
}

enum Set {
    Sps(Sps),
    Pps(Pps),
    /// Not understood, or not needed.
    Unread,
}

impl Sets {
    /// Takes a parameter set in. True when it is news.
    fn take(&mut self, unit: &[u8]) -> bool {
        let Some(first) = unit.first() else { return false };
        let kind = first >> 1 & 63;
        if !(VPS..=PPS).contains(&kind) {
            return false;
        }
        let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let bytes = &unit[..end.min(SET_BYTES_MAX)];
        let last = &mut self.last[usize::from(kind - VPS)];
        if last.as_deref() == Some(bytes) {
            return false;
        }
        let payload = nal::without_emulation(bytes.get(2..).unwrap_or(&[]));
        let (id, set) = match kind {
            VPS => (Bits::new(&payload).take(4), Set::Unread),
            SPS => {
                let (id, sps) = sets::sps(&payload);
                (id, sps.map_or(Set::Unread, Set::Sps))
            }
            _ => {
                let (id, pps) = sets::pps(&payload);
                (id, pps.map_or(Set::Unread, Set::Pps))
            }
        };
        let bytes: Rc<[u8]> = bytes.into();
        *last = Some(bytes.clone());
        if self.of.get(&(kind, id)).is_some_and(|stored| stored.bytes == bytes) {
            return false;
        }
        if kind == SPS {
            // A decoder forgets the picture parameter sets that went with the old one.
            self.of.retain(|_, stored| !matches!(&stored.set, Set::Pps(pps) if pps.sps == id));
            self.last[usize::from(PPS - VPS)] = None;
        }
        // Identifiers end at 63; what lies above is broken and would only grow.
        if id < 64 {
            self.of.insert((kind, id), Rc::new(Stored { bytes, set }));
        }
        true
    }

    fn for_slice(&self, id: u32) -> Option<(&Sps, &Pps)> {
        let Set::Pps(pps) = &self.of.get(&(PPS, id))?.set else { return None };
        let Set::Sps(sps) = &self.of.get(&(SPS, pps.sps))?.set else { return None };
        Some((sps, pps))
    }
}

/// Takes a slice of the picture in; none when it is not understood.
fn slice(unit: &[u8], kind: u8, sets: &Sets, picture: &mut Option<HevcPicture>) -> Option<()> {
    // Reserved kinds have no known meaning.
    if !matches!(kind, 0..=9 | 16..=21) {
        return None;
    }
    let payload = nal::without_emulation(&unit[2..unit.len().min(SLICE_BYTES_MAX)]);
    let mut bits = Bits::new(&payload);
    let is_first = bits.take(1) == 1;
    let discards = kind >= 16 && bits.take(1) == 1;
    let (sps, pps) = sets.for_slice(bits.golomb())?;
    // One picture a packet, from its first slice on.
    if is_first != picture.is_none() {
        return None;
    }
    if !is_first {
        let is_dependent = pps.dependent_slices && bits.take(1) == 1;
        bits.take(sps.address_bits);
        if is_dependent {
            return (!bits.is_over()).then_some(());
        }
    }
    bits.take(pps.extra_bits);
    let slice_type = bits.golomb();
    let is_shown = !pps.output_flag || bits.take(1) == 1;
    if sps.planes_apart {
        bits.take(2);
    }
    let is_idr = matches!(kind, 19 | 20);
    let (lsb, mut keeps) = if is_idr { (0, Vec::new()) } else { reference_set(&mut bits, sps)? };
    if !is_idr && sps.temporal_mvp {
        bits.take(1);
    }
    if sps.sao {
        bits.take(1 + u32::from(sps.has_chroma));
    }
    match slice_type {
        0 | 1 => mark_active(&mut bits, pps, slice_type == 0, &mut keeps)?,
        2 => keeps.iter_mut().for_each(|kept| kept.is_read = false),
        _ => return None,
    }
    if bits.is_over() {
        return None;
    }
    match picture {
        None => {
            *picture = Some(HevcPicture {
                kind,
                temporal_id: (unit[1] & 7).saturating_sub(1),
                lsb,
                lsb_bits: u8::try_from(sps.lsb_bits).ok()?,
                keeps: keeps.into(),
                waits: sps.reorder,
                brings_sets: false,
                ends: false,
                is_shown,
                discards,
            });
        }
        Some(picture) => {
            let names = |keeps: &[HevcReference]| keeps.iter().map(|kept| kept.picture).collect::<Vec<_>>();
            if kind != picture.kind || lsb != picture.lsb || names(&keeps) != names(&picture.keeps) {
                return None;
            }
            picture.keeps.iter_mut().zip(keeps).for_each(|(all, one)| all.is_read |= one.is_read);
        }
    }
    Some(())
}

/// slice_pic_order_cnt_lsb and the reference picture set; until the lists are read, `is_read` says which entries
/// the current picture may use.
fn reference_set(bits: &mut Bits<'_>, sps: &Sps) -> Option<(u32, Vec<HevcReference>)> {
    let lsb = bits.take(sps.lsb_bits);
    let own;
    let short: &ShortTerm = if bits.take(1) == 0 {
        own = sets::short_term_set(bits, &sps.short_term, true)?;
        &own
    } else {
        sps.short_term.get(bits.take(sets::bits_for(sps.short_term.len())) as usize)?
    };
    let entry = |(poc, used): &(i32, bool)| HevcReference {
        picture: HevcPoc::Delta(i64::from(*poc)),
        long_term: false,
        is_read: *used,
    };
    let mut keeps: Vec<HevcReference> = short.before.iter().chain(&short.after).map(entry).collect();
    if let Some(candidates) = &sps.long_term {
        long_term_set(bits, sps.lsb_bits, lsb, candidates, &mut keeps)?;
    }
    Some((lsb, keeps))
}

/// The long-term entries (7-52).
fn long_term_set(
    bits: &mut Bits<'_>,
    lsb_bits: u32,
    lsb: u32,
    candidates: &[(u32, bool)],
    keeps: &mut Vec<HevcReference>,
) -> Option<()> {
    let of_sequence = if candidates.is_empty() { 0 } else { bits.golomb() };
    let of_slice = bits.golomb();
    if of_sequence.max(of_slice) > 16 || keeps.len() + (of_sequence + of_slice) as usize > 16 {
        return None;
    }
    let mut cycles = 0i64;
    for i in 0..of_sequence + of_slice {
        let (low, used) = if i < of_sequence {
            *candidates.get(bits.take(sets::bits_for(candidates.len())) as usize)?
        } else {
            (bits.take(lsb_bits), bits.take(1) == 1)
        };
        if i == of_sequence {
            cycles = 0;
        }
        let picture = if bits.take(1) == 1 {
            cycles += i64::from(bits.golomb());
            HevcPoc::Delta(i64::from(low) - i64::from(lsb) - (cycles << lsb_bits))
        } else {
            HevcPoc::Lsb(low)
        };
        keeps.push(HevcReference { picture, long_term: true, is_read: used });
    }
    Some(())
}

/// From the flags of use to the entries of the active lists (8.3.4).
fn mark_active(bits: &mut Bits<'_>, pps: &Pps, is_b: bool, keeps: &mut [HevcReference]) -> Option<()> {
    let mut active = pps.active;
    if bits.take(1) == 1 {
        active[0] = bits.golomb().checked_add(1)?;
        if is_b {
            active[1] = bits.golomb().checked_add(1)?;
        }
    }
    if active.iter().any(|count| *count > ACTIVE_MAX) {
        return None;
    }
    let used = |keeps: &[HevcReference], wanted: fn(&HevcReference) -> bool| -> Vec<usize> {
        (0..keeps.len()).filter(|i| keeps[*i].is_read && wanted(&keeps[*i])).collect()
    };
    let before = used(keeps, |kept| !kept.long_term && matches!(kept.picture, HevcPoc::Delta(..0)));
    let after = used(keeps, |kept| !kept.long_term && !matches!(kept.picture, HevcPoc::Delta(..0)));
    let long = used(keeps, |kept| kept.long_term);
    let initial = [[&before[..], &after, &long].concat(), [&after[..], &before, &long].concat()];
    let total = initial[0].len();
    if total == 0 {
        return None;
    }
    keeps.iter_mut().for_each(|kept| kept.is_read = false);
    for (list, count) in initial.iter().zip(active).take(1 + usize::from(is_b)) {
        let is_modified = pps.modifies_lists && total > 1 && bits.take(1) == 1;
        for place in 0..count as usize {
            let entry = if is_modified { bits.take(sets::bits_for(total)) as usize } else { place % total };
            keeps[*list.get(entry)?].is_read = true;
        }
    }
    Some(())
}

#[cfg(test)]
#[path = "hevc_tests.rs"]
mod tests;
