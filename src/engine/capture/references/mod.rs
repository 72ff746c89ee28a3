//! The reference closure of a run's targets: what they may refer to, at second hand too. *Pure.*
//!
//! Owns the walk from the targets back. Who may refer to whom is told codec by codec, in the files beside this
//! one. Never guesses: what is not understood is `Unfit`, and the codec's rule takes its place (PERFORMANCE 6).

mod av1;
mod h264;
mod hevc;

use super::closure::Sent;
use crate::model::coded::{Coded, Unfit};
use crate::model::media::PacketHead;

/// What must be sent of `heads`, from the run's start on, for `targets`. Of what `may_be_needed` leaves out
/// nothing is sent.
///
/// # Errors
/// `Unfit` when that cannot be told.
pub fn closure(heads: &[PacketHead], targets: &[usize], may_be_needed: &[bool]) -> Result<Vec<Sent>, Unfit> {
    match heads.first().map(|head| &head.coded) {
        Some(Coded::Av1(_)) => av1::closure(heads, targets, may_be_needed),
        Some(Coded::Hevc(_)) => hevc::closure(heads, targets, may_be_needed),
        Some(Coded::H264(_)) => h264::closure(heads, targets, may_be_needed),
        Some(Coded::Unknown) | None => Err(Unfit::NotTold),
    }
}

/// What is reached from `targets` by `refers` (indices of what each node may refer to), through `open` nodes only.
fn reach(
    refers: &[Vec<u32>],
    targets: impl IntoIterator<Item = usize>,
    open: impl Fn(usize) -> bool,
) -> Vec<bool> {
    let mut reached = vec![false; refers.len()];
    let mut todo: Vec<usize> = targets.into_iter().collect();
    while let Some(node) = todo.pop() {
        if reached[node] || !open(node) {
            continue;
        }
        reached[node] = true;
        todo.extend(refers[node].iter().map(|other| *other as usize));
    }
    reached
}
