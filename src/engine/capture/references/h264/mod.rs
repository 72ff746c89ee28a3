//! H.264: the lists follow from what the decoder holds, and that from every reference picture it was sent. *Pure.*
//!
//! Owns the choice of what is sent: the closure, and as much more as keeps the decoder's lists what they are when
//! all is sent. Never sends what was not tried on the model of the decoder first.

mod decoder;

use decoder::{Decoder, STAND_IN, View};

use super::{Unfit, reach};
use crate::engine::capture::closure::Sent;
use crate::model::coded::{Coded, H264Mark, H264Picture};
use crate::model::media::PacketHead;

/// What lacks in more places is not repaired.
const REPAIRS_MAX: usize = 100_000;
/// More repairs than this do not pay.
const ROUNDS_MAX: usize = 8;
/// Rounds in which each picture that differs gets one more reference picture: most often the latest will do.
const ROUNDS_OF_ONE: usize = 3;

/// As `references::closure`.
pub fn closure(heads: &[PacketHead], targets: &[usize], may_be_needed: &[bool]) -> Result<Vec<Sent>, Unfit> {
    let end = targets.last().map_or(0, |last| last + 1);
    let pictures: Vec<&H264Picture> = heads[..end]
        .iter()
        .map(|head| match &head.coded {
            Coded::H264(picture) => Ok(&**picture),
            _ => Err(Unfit::NotUnderstood),
        })
        .collect::<Result<_, _>>()?;
    if pictures.iter().any(|picture| picture.sequence != pictures[0].sequence) {
        return Err(Unfit::Turned);
    }
    let chosen = choose(&pictures, targets, &may_be_needed[..end])?;
    let mut sent: Vec<Sent> = chosen.iter().map(|sent| if *sent { Sent::Whole } else { Sent::No }).collect();
    sent.resize(heads.len(), Sent::No);
    Ok(sent)
}

/// The fewest of `rule` (what the rule of the codec sends) with which the decoder decodes `targets` as with all.
fn choose(pictures: &[&H264Picture], targets: &[usize], rule: &[bool]) -> Result<Vec<bool>, Unfit> {
    let is_always_sent = |i: usize| i == 0 || pictures[i].brings_sets || resets(pictures[i]);
    let rule: Vec<bool> = rule.iter().enumerate().map(|(i, sent)| *sent || is_always_sent(i)).collect();
    let views = views(pictures, &rule);
    let refers: Vec<Vec<u32>> =
        views.iter().map(|view| view.refers().filter(|n| *n != STAND_IN).collect()).collect();
    let exact = reach(&refers, targets.iter().copied(), |i| rule[i]);
    if (0..exact.len()).any(|i| exact[i] && !views[i].sound) {
        return Err(Unfit::NotThere);
    }
    let mut sent: Vec<bool> = (0..exact.len()).map(|i| exact[i] || is_always_sent(i)).collect();
    for round in 0..ROUNDS_MAX {
        let one_by_one = round < ROUNDS_OF_ONE;
        let lacking = lacking(pictures, &rule, &exact, &sent, one_by_one).ok_or(Unfit::Differs)?;
        if lacking.is_empty() {
            return Ok(sent);
        }
        lacking.into_iter().for_each(|i| sent[i] = true);
    }
    Err(Unfit::Differs)
}

/// What the decoder's state does not outlive.
fn resets(picture: &H264Picture) -> bool {
    picture.idr || picture.marking.as_deref().is_some_and(|marks| marks.contains(&H264Mark::Reset))
}

/// Vectors are scaled somewhere.
fn is_strict(pictures: &[&H264Picture]) -> bool {
    pictures.iter().flat_map(|picture| &picture.lists).any(|lists| lists.temporal)
}

/// What each picture of `sent` depends on.
fn views(pictures: &[&H264Picture], sent: &[bool]) -> Vec<View> {
    let mut decoder = Decoder::new(is_strict(pictures));
    let decode = |(i, picture): (usize, &&H264Picture)| {
        if sent[i] { decoder.decode(i as u32, picture) } else { View::default() }
    };
    pictures.iter().enumerate().map(decode).collect()
}

/// What else must be sent for everything `exact` to be decoded as under `rule`; nothing if it is. Only its place
/// among the references is wanted of the rest, whatever comes out of it: what that would refer to need not be there.
/// None where no more can be sent and it still is not.
fn lacking(
    pictures: &[&H264Picture],
    rule: &[bool],
    exact: &[bool],
    sent: &[bool],
    one_by_one: bool,
) -> Option<Vec<usize>> {
    let (mut full, mut some) = (Decoder::new(is_strict(pictures)), Decoder::new(is_strict(pictures)));
    let mut lacking = Vec::new();
    for (i, picture) in pictures.iter().enumerate().filter(|(i, _)| rule[*i]) {
        let number = i as u32;
        if !sent[i] {
            full.decode(number, picture);
            continue;
        }
        let held: Vec<u32> = full.holds().collect();
        let (want, have) = (full.decode(number, picture), some.decode(number, picture));
        if want == have || (!exact[i] && have.decodes) {
            continue;
        }
        let mut more: Vec<usize> = held.into_iter().map(|n| n as usize).filter(|n| !sent[*n]).collect();
        if more.is_empty() {
            more.extend((0..i).filter(|n| rule[*n] && !sent[*n] && pictures[*n].reference));
        }
        if more.is_empty() {
            return None;
        }
        if one_by_one {
            let latest = more.iter().max().copied();
            more.retain(|n| Some(*n) == latest);
        }
        lacking.extend(more);
        if lacking.len() > REPAIRS_MAX {
            return None;
        }
        // From here on as if that had been sent.
        some = full.clone();
    }
    Some(lacking)
}

#[cfg(test)]
mod tests;
