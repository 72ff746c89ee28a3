//! HEVC: every picture names, by picture order count, all that stays in the buffer, and its lists what it reads of
//! that (HEVC, 8.3.1, 8.3.2 and 8.3.4). *Pure.*
//!
//! Owns the picture order counts, which must come out the same when pictures are left out, and the decoder's
//! buffer, in which a stand-in takes the place of what is kept and was left out. Never follows a run over the end
//! of a sequence or a splice.
//!
//! ```text
//!   picture order count   0 I   8 P   4 B   2 b   6 b      6 reads 4 and 8, and keeps 0 for nobody here
//!   sent for 6            0     8     4           6        2 is left out
//! ```

use super::{Unfit, reach};
use crate::engine::capture::closure::Sent;
use crate::model::coded::{Coded, HevcPicture, HevcPoc};
use crate::model::media::PacketHead;

/// More rounds of sending more do not pay, and a stream that is made to need them must not cost them.
const ROUNDS_MAX: usize = 16;
/// Frames that FFmpeg's decoder can hold.
const FRAMES_MAX: usize = 32;

/// As `references::closure`.
pub fn closure(heads: &[PacketHead], targets: &[usize], may_be_needed: &[bool]) -> Result<Vec<Sent>, Unfit> {
    let last = targets.last().map_or(0, |last| last + 1);
    let pictures: Vec<&HevcPicture> = heads[..last]
        .iter()
        .map(|head| match &head.coded {
            Coded::Hevc(picture) => Ok(&**picture),
            _ => Err(Unfit::NotUnderstood),
        })
        .collect::<Result<_, _>>()?;
    let whole = Whole::follow(&pictures)?;
    if targets.iter().any(|target| whole.skipped[*target]) {
        return Err(Unfit::NotThere);
    }
    let is_open = |i: usize| may_be_needed[i] && !whole.skipped[i];
    // Parameter sets are for whatever comes after them.
    let bringers = (0..last).filter(|i| pictures[*i].brings_sets);
    let mut wanted: Vec<usize> = targets.iter().copied().chain(bringers).chain([0]).collect();
    let mut reached = reach(&whole.refers, wanted.iter().copied(), is_open);
    for round in 0.. {
        let missing = whole.missing_for_counts(&pictures, &reached);
        if missing.is_empty() {
            break;
        }
        if round == ROUNDS_MAX || missing.iter().any(|i| reached[*i] || !is_open(*i)) {
            return Err(Unfit::NotThere);
        }
        wanted.extend(missing);
        reached = reach(&whole.refers, wanted.iter().copied(), is_open);
    }
    if wanted.iter().any(|i| !reached[*i]) {
        return Err(Unfit::NotThere);
    }
    whole.prove(&pictures, &reached)?;
    let mut sent: Vec<Sent> = reached.iter().map(|sent| if *sent { Sent::Whole } else { Sent::No }).collect();
    sent.resize(heads.len(), Sent::No);
    Ok(sent)
}

/// The run with nothing left out.
struct Whole {
    /// Picture order counts.
    counts: Vec<i64>,
    /// For every picture, those that it may refer to, and those without which the decoder's state is another one.
    refers: Vec<Vec<u32>>,
    /// The picture that each count leans on.
    anchors: Vec<Option<usize>>,
    /// Leading pictures of the run's start, which the decoder throws away.
    skipped: Vec<bool>,
}

impl Whole {
    fn follow(pictures: &[&HevcPicture]) -> Result<Whole, Unfit> {
        let mut whole = Whole {
            counts: Vec::with_capacity(pictures.len()),
            refers: Vec::with_capacity(pictures.len()),
            anchors: Vec::with_capacity(pictures.len()),
            skipped: vec![false; pictures.len()],
        };
        let mut buffer = Buffer::default();
        let (mut anchor, mut sequence) = (None, 0);
        for (i, picture) in pictures.iter().enumerate() {
            let turns = if i == 0 {
                !is_intra_point(picture)
            } else {
                is_splice(picture) || (is_idr(picture) && picture.discards)
            };
            if turns || picture.ends {
                return Err(Unfit::Turned);
            }
            if is_idr(picture) {
                (anchor, sequence) = (None, i);
                buffer.clear();
            }
            let count = count(picture, anchor.map(|a: usize| whole.counts[a]));
            whole.counts.push(count);
            whole.anchors.push(anchor);
            whole.skipped[i] = sequence == 0
                && !is_idr(pictures[0])
                && is_skipped_leading(picture)
                && count <= whole.counts[0];
            if whole.skipped[i] {
                whole.refers.push(Vec::new());
                continue;
            }
            let mut refers = buffer.take(i, count, picture)?.reads;
            if sequence != i {
                // Without it the decoder would stay in the sequence before.
                refers.push(number(sequence)?);
            }
            whole.refers.push(refers);
            if is_anchor(picture) {
                anchor = Some(i);
            }
        }
        Ok(whole)
    }

    /// Pictures that must be sent besides, so that those that are get the counts that they have.
    fn missing_for_counts(&self, pictures: &[&HevcPicture], sent: &[bool]) -> Vec<usize> {
        let mut missing = Vec::new();
        let mut anchor = None;
        for i in (0..pictures.len()).filter(|i| sent[*i]) {
            if is_idr(pictures[i]) {
                anchor = None;
            }
            if count(pictures[i], anchor) != self.counts[i] {
                missing.extend(self.anchors[i]);
            }
            if is_anchor(pictures[i]) {
                anchor = Some(self.counts[i]);
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Decodes on paper what is sent: everything must refer to what it refers to in the whole run.
    fn prove(&self, pictures: &[&HevcPicture], sent: &[bool]) -> Result<(), Unfit> {
        let mut buffer = Buffer::default();
        for i in (0..pictures.len()).filter(|i| sent[*i]) {
            if is_idr(pictures[i]) {
                buffer.clear();
            }
            let taken = buffer.take(i, self.counts[i], pictures[i])?;
            if !taken.reads.iter().all(|one| self.refers[i].contains(one)) {
                return Err(Unfit::NotThere);
            }
            // Pictures that wait to be shown, the one that pushes them out, and this one.
            if taken.frames + usize::from(pictures[i].waits) + 2 > FRAMES_MAX {
                return Err(Unfit::Crowded);
            }
        }
        Ok(())
    }
}

/// The decoder's buffer of one sequence.
#[derive(Default)]
struct Buffer {
    /// Count and number of the pictures; without a number it is a stand-in.
    kept: Vec<(i64, Option<u32>)>,
    /// The counts of every picture so far, in ascending order.
    counts: Vec<i64>,
}

/// What a picture does to the buffer.
struct Taken {
    /// What it reads.
    reads: Vec<u32>,
    /// Frames that the buffer holds at most meanwhile.
    frames: usize,
}

impl Buffer {
    fn clear(&mut self) {
        self.kept.clear();
        self.counts.clear();
    }

    /// Decodes the picture `i` of this count.
    fn take(&mut self, i: usize, count: i64, picture: &HevcPicture) -> Result<Taken, Unfit> {
        let mut next = Vec::with_capacity(picture.keeps.len() + 1);
        let mut taken = Taken { reads: Vec::new(), frames: self.kept.len() };
        for kept in &picture.keeps {
            let named = match kept.picture {
                HevcPoc::Delta(delta) => count + delta,
                HevcPoc::Lsb(low) => self.only_count(low, picture.lsb_bits)?,
            };
            let found = self.kept.iter().find(|(count, _)| *count == named).and_then(|(_, number)| *number);
            match found {
                Some(number) if kept.is_read || kept.long_term => taken.reads.push(number),
                Some(_) => {}
                // A stand-in for a long-term picture would have another count.
                None if kept.is_read || kept.long_term => return Err(Unfit::NotThere),
                None if self.kept.iter().any(|(count, _)| *count == named) => {}
                None => taken.frames += 1,
            }
            next.push((named, found));
        }
        next.push((count, Some(number(i)?)));
        self.kept = next;
        match self.counts.binary_search(&count) {
            Ok(_) => return Err(Unfit::Turned),
            Err(place) => self.counts.insert(place, count),
        }
        Ok(taken)
    }

    /// The count with these low bits, of all pictures so far: those that only wait to be shown are found too.
    fn only_count(&self, low: u32, bits: u8) -> Result<i64, Unfit> {
        let mask = (1i64 << bits) - 1;
        let mut found = self.counts.iter().filter(|count| **count & mask == i64::from(low));
        match (found.next(), found.next()) {
            (Some(count), None) => Ok(*count),
            _ => Err(Unfit::NotThere),
        }
    }
}

fn number(i: usize) -> Result<u32, Unfit> {
    u32::try_from(i).map_err(|_| Unfit::NotTold)
}

fn is_idr(picture: &HevcPicture) -> bool {
    matches!(picture.kind, 19 | 20)
}

/// BLA: a splice, where references and counts begin anew.
fn is_splice(picture: &HevcPicture) -> bool {
    matches!(picture.kind, 16..=18)
}

fn is_intra_point(picture: &HevcPicture) -> bool {
    matches!(picture.kind, 16..=21)
}

/// RASL: may refer to pictures before the intra point.
fn is_skipped_leading(picture: &HevcPicture) -> bool {
    matches!(picture.kind, 8 | 9)
}

/// Do later counts lean on it? In the lowest layer, and neither leading nor a sub-layer non-reference picture.
fn is_anchor(picture: &HevcPicture) -> bool {
    picture.temporal_id == 0 && (picture.kind >= 16 || matches!(picture.kind, 1 | 3 | 5))
}

/// The picture order count, leaning on the one of `anchor` (8.3.1).
fn count(picture: &HevcPicture, anchor: Option<i64>) -> i64 {
    let low = i64::from(picture.lsb);
    let Some(anchor) = anchor.filter(|_| !is_splice(picture)) else { return low };
    let cycle = 1i64 << picture.lsb_bits;
    let anchor_low = anchor & (cycle - 1);
    let high = anchor - anchor_low;
    if low < anchor_low && anchor_low - low >= cycle / 2 {
        high + cycle + low
    } else if low > anchor_low && low - anchor_low > cycle / 2 {
        high - cycle + low
    } else {
        high + low
    }
}

#[cfg(test)]
#[path = "hevc_tests.rs"]
mod tests;
