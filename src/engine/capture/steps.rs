//! What goes into the planner and what comes out of it, as plain data. *Pure.*
//!
//! Owns the words of planning: want, target, seek run, step. Never decides anything.

use super::closure::Sent;
use crate::model::coded::Unfit;
use crate::model::media::{PacketHead, Start};

/// One instant to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Want {
    /// The greatest pts that may be shown.
    pub pts: i64,
    /// The nearest key frame at or before it serves, instead of the exact frame.
    pub intra: bool,
    /// Any frame whose pts is at most so far from `pts` may serve too, if it is cheaper.
    pub slack: i64,
}

impl Want {
    /// The greatest pts of a frame that may serve.
    pub fn reach(self) -> i64 {
        self.pts.saturating_add(self.slack)
    }
}

/// A frame to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub seq: u64,
    pub head: PacketHead,
    /// Indices of the wants that it serves.
    pub wants: Vec<usize>,
    /// True when nothing is shown after it.
    pub is_last: bool,
}

/// One stretch of decoding: from a usable start to its last target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeekRun {
    /// Sequence number of the start.
    pub first: u64,
    pub start: Start,
    /// What is shown before this pts may come out wrong, and is no target.
    pub exact_from: i64,
    /// The heads from `first` on, up to the last target (and its second field).
    pub heads: Vec<PacketHead>,
    /// What the decoder sees of each.
    pub sent: Vec<Sent>,
    /// Why that follows from the codec's rule and not from the reference closure, if so.
    pub unfit: Option<Unfit>,
    /// In decode order.
    pub targets: Vec<Target>,
}

impl SeekRun {
    /// Pictures in front of a run's true beginning come out damaged and are nobody's target: leading pictures
    /// of an open start, and those before a recovery point has recovered.
    pub fn forgives(&self, place: usize) -> bool {
        let Some(head) = self.heads.get(place) else { return true };
        match self.start {
            Start::Open | Start::After(_) => head.pts < Some(self.exact_from),
            Start::Clean | Start::No => false,
        }
    }
}

/// What the reader is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Feed the next head.
    More,
    /// A run is complete; ask again.
    Run(SeekRun),
    /// Nothing usable lies before the next want: begin further back than last time.
    Back,
    /// The next want lies in a later GOP: seek to it.
    Jump,
    /// Planning does not work on this stream: walk it from its first packet, decoding all.
    Linear(Reason),
    /// Every want is served or was given up.
    Done,
}

/// Why a walk must be linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Packets without pts.
    NoPts,
    /// Starts whose pts goes back.
    ClockGoesBack,
    /// More heads in one run than may be held.
    RunTooLong,
    /// Not one usable start.
    NoStart,
}
