//! The reference closure of a run's targets: what they may refer to, at second hand too. *Pure.*
//!
//! Owns the walk from the targets back. Who may refer to whom is told codec by codec, in the files beside this
//! one. Never guesses: what is not understood is `Unfit`, and the codec's rule takes its place (PERFORMANCE 6).

mod av1;
mod h264;

use super::closure::Sent;
use crate::model::coded::Coded;
use crate::model::media::PacketHead;

/// Why the closure of a run cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unfit {
    /// The headers of some packet tell no references: the codec has none, or they were not understood.
    NotTold,
    /// A picture refers to one that is not in the run.
    NotThere,
    /// The decoder would not find the same pictures with some left out.
    Differs,
}

impl Unfit {
    /// The word in reports and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Unfit::NotTold => "not_told",
            Unfit::NotThere => "reference_not_there",
            Unfit::Differs => "decoder_differs",
        }
    }
}

/// What must be sent of `heads`, from the run's start on, for `targets`. Of what `may_be_needed` leaves out
/// nothing is sent.
///
/// # Errors
/// `Unfit` when that cannot be told.
pub fn closure(heads: &[PacketHead], targets: &[usize], may_be_needed: &[bool]) -> Result<Vec<Sent>, Unfit> {
    match heads.first().map(|head| &head.coded) {
        Some(Coded::Av1(_)) => av1::closure(heads, targets, may_be_needed),
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
