//! Where a run may begin, and from when on it is exact. *Pure.*
//!
//! Owns the count towards a slow recovery. Never chooses among starts: `plan` does.

use crate::model::media::{FrameHeader, Need, Start};

/// A usable start.
#[derive(Clone, Copy, Debug)]
pub struct Entrance {
    pub seq: u64,
    pub pts: i64,
    /// From this pts on, everything decoded from here is exact; none until that picture was read.
    pub exact_from: Option<i64>,
    /// Reference pictures still to come before the recovery point's promise holds.
    left: u32,
    /// The greatest pts read since.
    greatest: i64,
}

impl Entrance {
    /// The packet `seq`, which is shown at `pts`.
    pub fn new(seq: u64, pts: i64, start: Start) -> Entrance {
        let left = if let Start::After(frames) = start { frames } else { 0 };
        Entrance { seq, pts, exact_from: (left == 0).then_some(pts), left, greatest: pts }
    }

    /// Counts towards recovery, which H.264 counts in reference pictures (D.2.8). The picture that completes it
    /// is shown after everything decoded before it: so whatever is shown later is decoded later too.
    pub fn pass(&mut self, pts: i64, header: &FrameHeader) {
        if self.exact_from.is_some() {
            return;
        }
        if header.need != Need::Target {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 && pts > self.greatest && !header.hidden {
                self.exact_from = Some(pts);
            }
        }
        self.greatest = self.greatest.max(pts);
    }

    /// Is what is shown at `pts` exact, decoded from here?
    pub fn serves(&self, pts: i64) -> bool {
        self.exact_from.is_some_and(|from| from <= pts)
    }
}
