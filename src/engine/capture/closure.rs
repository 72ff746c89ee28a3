//! What the decoder is given of a run: the targets and what they depend on, nothing else. *Pure.*
//!
//! Owns the choice between the two ways to tell: the reference closure, where the headers tell who may refer to
//! whom, and the rule of the codec where they do not. Never decides the targets.

use super::{references, rule};
use crate::model::coded::Unfit;
use crate::model::media::PacketHead;

/// What the decoder sees of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    No,
    Whole,
    /// Only these bytes, `[from, to)` each, which hold `pictures` coded pictures.
    Parts {
        bytes: Box<[(u32, u32)]>,
        pictures: usize,
    },
}

impl Sent {
    /// Is anything of the packet sent?
    pub fn any(&self) -> bool {
        *self != Sent::No
    }

    /// Coded pictures that it makes the decoder decode of the packet `head`.
    pub fn pictures(&self, head: &PacketHead) -> usize {
        match self {
            Sent::No => 0,
            Sent::Whole => head.pictures(),
            Sent::Parts { pictures, .. } => *pictures,
        }
    }
}

/// What is sent of a run, and how that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// One entry a head.
    pub sent: Vec<Sent>,
    /// Why the closure could not tell, if so: the codec's rule did.
    pub unfit: Option<Unfit>,
}

/// What to send of `heads`, of which `heads[0]` is the run's start, for `targets` (ascending indices).
/// Nothing after the last target (and its second field) is sent.
pub fn select(heads: &[PacketHead], targets: &[usize]) -> Selection {
    let by_rule = rule::may_be_needed(heads, targets);
    match references::closure(heads, targets, &by_rule) {
        Ok(sent) => Selection { sent, unfit: None },
        Err(unfit) => {
            let sent = by_rule.into_iter().map(|sent| if sent { Sent::Whole } else { Sent::No }).collect();
            Selection { sent, unfit: Some(unfit) }
        }
    }
}

/// Coded pictures that serve `targets` alone: what a choice among them costs.
pub fn cost(heads: &[PacketHead], targets: &[usize]) -> usize {
    let selection = select(heads, targets);
    selection.sent.iter().zip(heads).map(|(sent, head)| sent.pictures(head)).sum()
}
