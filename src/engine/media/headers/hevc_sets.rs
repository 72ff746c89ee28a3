//! HEVC sequence and picture parameter sets, as far as a slice header needs them. *Pure.*
//!
//! Owns the walk over their syntax (HEVC, 7.3.2 and 7.3.7). Never guesses: a set that is not understood is none.

use super::nal::Bits;

/// Entries that a reference picture set may have (sps_max_dec_pic_buffering_minus1 is 15 at most).
const ENTRIES_MAX: usize = 16;

/// Differences of picture order count stay below it.
const STEP_MAX: i32 = 1 << 15;

/// Pictures in an active list.
pub const ACTIVE_MAX: u32 = 16;

/// Of a sequence parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// separate_colour_plane_flag.
    pub planes_apart: bool,
    /// ChromaArrayType is not 0.
    pub has_chroma: bool,
    /// Bits of slice_segment_address.
    pub address_bits: u32,
    pub lsb_bits: u32,
    pub reorder: u8,
    pub sao: bool,
    pub short_term: Vec<ShortTerm>,
    /// long_term_ref_pics_present_flag: the candidates (their low bits, whether the current picture uses them).
    pub long_term: Option<Vec<(u32, bool)>>,
    pub temporal_mvp: bool,
}

/// Of a picture parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pps {
    pub sps: u32,
    pub dependent_slices: bool,
    pub output_flag: bool,
    pub extra_bits: u32,
    pub active: [u32; 2],
    pub modifies_lists: bool,
}

/// A short-term reference picture set: differences of picture order count, nearest first, and whether the
/// current picture uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortTerm {
    pub before: Vec<(i32, bool)>,
    pub after: Vec<(i32, bool)>,
}

/// Bits that tell `count` things apart.
pub fn bits_for(count: usize) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

fn skip(bits: &mut Bits<'_>, count: u32) {
    for _ in 0..count {
        bits.take(1);
    }
}

/// Signed ones take as many bits as unsigned ones.
fn skip_numbers(bits: &mut Bits<'_>, count: u32) {
    for _ in 0..count {
        bits.golomb();
    }
}

/// The identifier of a sequence parameter set and, where it is understood, the set.
pub fn sps(payload: &[u8]) -> (u32, Option<Sps>) {
    let mut bits = Bits::new(payload);
    bits.take(4);
    let layers = bits.take(3);
    bits.take(1);
    let screen_content = profile_tier_level(&mut bits, layers);
    let id = bits.golomb();
    (id, if screen_content { None } else { sps_body(&mut bits, layers) })
}

/// Walks over it; true for the profiles where a picture may refer to itself (9 and 11).
fn profile_tier_level(bits: &mut Bits<'_>, layers: u32) -> bool {
    let profile = bits.take(8) & 31;
    let compatible = bits.take(32);
    let screen_content = |profile: u32| matches!(profile, 9 | 11);
    skip(bits, 48 + 8);
    let present: Vec<(bool, bool)> = (0..layers).map(|_| (bits.take(1) == 1, bits.take(1) == 1)).collect();
    if layers > 0 {
        skip(bits, 2 * (8 - layers));
    }
    for (profile, level) in present {
        skip(bits, if profile { 88 } else { 0 });
        skip(bits, if level { 8 } else { 0 });
    }
    screen_content(profile) || (0..32).any(|one| compatible >> (31 - one) & 1 == 1 && screen_content(one))
}

fn sps_body(bits: &mut Bits<'_>, layers: u32) -> Option<Sps> {
    let chroma = bits.golomb();
    let planes_apart = chroma == 3 && bits.take(1) == 1;
    let (width, height) = (bits.golomb(), bits.golomb());
    if bits.take(1) == 1 {
        skip_numbers(bits, 4);
    }
    bits.golomb();
    bits.golomb();
    let lsb_bits = bits.golomb().checked_add(4).filter(|bits| *bits <= 16)?;
    let all_layers = bits.take(1) == 1;
    let mut reorder = 0;
    for _ in if all_layers { 0 } else { layers }..=layers {
        bits.golomb();
        reorder = bits.golomb();
        bits.golomb();
    }
    let block_bits = bits.golomb().checked_add(3)?.checked_add(bits.golomb()).filter(|bits| *bits <= 6)?;
    skip_numbers(bits, 4);
    if bits.take(1) == 1 && bits.take(1) == 1 {
        scaling_lists(bits);
    }
    bits.take(1);
    let sao = bits.take(1) == 1;
    if bits.take(1) == 1 {
        bits.take(8);
        bits.golomb();
        bits.golomb();
        bits.take(1);
    }
    let short_count = bits.golomb();
    let mut short_term = Vec::new();
    for _ in 0..Some(short_count).filter(|count| *count <= 64)? {
        short_term.push(short_term_set(bits, &short_term, false)?);
    }
    let long_term = if bits.take(1) == 1 {
        let count = Some(bits.golomb()).filter(|count| *count <= 32)?;
        Some((0..count).map(|_| (bits.take(lsb_bits), bits.take(1) == 1)).collect())
    } else {
        None
    };
    let temporal_mvp = bits.take(1) == 1;
    let blocks = |size: u32| u64::from(size).div_ceil(1 << block_bits);
    let count = blocks(width) * blocks(height);
    let is_sound = chroma <= 3 && (1..1 << 24).contains(&count) && !bits.is_over();
    is_sound.then_some(Sps {
        planes_apart,
        has_chroma: chroma != 0 && !planes_apart,
        address_bits: bits_for(usize::try_from(count).ok()?),
        lsb_bits,
        reorder: u8::try_from(reorder).ok()?,
        sao,
        short_term,
        long_term,
        temporal_mvp,
    })
}

/// Walks over scaling_list_data.
fn scaling_lists(bits: &mut Bits<'_>) {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if bits.take(1) == 0 {
                bits.golomb();
                continue;
            }
            let numbers = 64.min(1 << (4 + 2 * size)) + u32::from(size > 1);
            skip_numbers(bits, numbers);
        }
    }
}

/// st_ref_pic_set. `known` are the sets of the sequence before it: all of them where it stands in a slice header.
pub fn short_term_set(bits: &mut Bits<'_>, known: &[ShortTerm], in_slice: bool) -> Option<ShortTerm> {
    if !known.is_empty() && bits.take(1) == 1 {
        return predicted_set(bits, known, in_slice);
    }
    let (before, after) = (bits.golomb() as usize, bits.golomb() as usize);
    if before.checked_add(after)? > ENTRIES_MAX {
        return None;
    }
    let mut side = |count: usize, sign: i32| {
        let mut poc = 0;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let step = i32::try_from(bits.golomb()).ok().filter(|step| *step < STEP_MAX)? + 1;
            poc += sign * step;
            entries.push((poc, bits.take(1) == 1));
        }
        Some(entries)
    };
    Some(ShortTerm { before: side(before, -1)?, after: side(after, 1)? })
}

/// From another set, moved by some pictures (7-61, 7-62).
fn predicted_set(bits: &mut Bits<'_>, known: &[ShortTerm], in_slice: bool) -> Option<ShortTerm> {
    // Only a slice header may look further back than to the last one.
    let back = if in_slice { bits.golomb() as usize } else { 0 };
    let other = known.len().checked_sub(back.checked_add(1)?).and_then(|index| known.get(index))?;
    let is_negative = bits.take(1) == 1;
    let size = i32::try_from(bits.golomb()).ok().filter(|size| *size < STEP_MAX)? + 1;
    let moved = if is_negative { -size } else { size };
    // The other set's entries and, last, its own picture: is each used, and if not, does it stay?
    let count = other.before.len() + other.after.len();
    let flags: Vec<(bool, bool)> = (0..=count)
        .map(|_| {
            let used = bits.take(1) == 1;
            (used, used || bits.take(1) == 1)
        })
        .collect();
    let sources = other.before.iter().chain(&other.after).map(|(poc, _)| *poc).chain([0]);
    let mut kept: Vec<(i32, bool)> = sources
        .zip(flags)
        .filter(|(_, (_, stays))| *stays)
        .map(|(poc, (used, _))| (poc + moved, used))
        .filter(|(poc, _)| *poc != 0)
        .collect();
    kept.sort_unstable();
    let first_after = kept.partition_point(|(poc, _)| *poc < 0);
    let after = kept.split_off(first_after);
    kept.reverse();
    (kept.len() + after.len() <= ENTRIES_MAX).then_some(ShortTerm { before: kept, after })
}

/// The identifier of a picture parameter set and, where it is understood, the set.
pub fn pps(payload: &[u8]) -> (u32, Option<Pps>) {
    let mut bits = Bits::new(payload);
    let id = bits.golomb();
    (id, pps_body(&mut bits))
}

fn pps_body(bits: &mut Bits<'_>) -> Option<Pps> {
    let sps = bits.golomb();
    let (dependent_slices, output_flag) = (bits.take(1) == 1, bits.take(1) == 1);
    let extra_bits = bits.take(3);
    bits.take(1);
    bits.take(1);
    let active = [bits.golomb().checked_add(1)?, bits.golomb().checked_add(1)?];
    bits.golomb();
    bits.take(2);
    if bits.take(1) == 1 {
        bits.golomb();
    }
    bits.golomb();
    bits.golomb();
    bits.take(4);
    let (tiles, _wavefronts) = (bits.take(1) == 1, bits.take(1));
    if tiles {
        let (columns, rows) = (bits.golomb(), bits.golomb());
        if columns > 1 << 12 || rows > 1 << 12 {
            return None;
        }
        if bits.take(1) == 0 {
            skip_numbers(bits, columns + rows);
        }
        bits.take(1);
    }
    bits.take(1);
    if bits.take(1) == 1 {
        bits.take(1);
        if bits.take(1) == 0 {
            bits.golomb();
            bits.golomb();
        }
    }
    if bits.take(1) == 1 {
        scaling_lists(bits);
    }
    let modifies_lists = bits.take(1) == 1;
    bits.golomb();
    bits.take(1);
    // Range extension; multilayer, 3D, screen content and what is to come change what this relies on.
    let extensions = if bits.take(1) == 1 { bits.take(8) } else { 0 };
    let is_sound = extensions & 0x7f == 0 && active.iter().all(|count| *count <= ACTIVE_MAX);
    (is_sound && !bits.is_over()).then_some(Pps {
        sps,
        dependent_slices,
        output_flag,
        extra_bits,
        active,
        modifies_lists,
    })
}
