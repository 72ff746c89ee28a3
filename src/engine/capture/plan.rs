//! From packet heads to seek runs: a state machine that the reader drives. *Pure.*
//!
//! Owns which frame serves an instant and where decoding starts (PERFORMANCE 3.2 and 3.3).
//! Never sees payload, never reads, never seeks: it answers what to do next.
//!
//! ```text
//!   decode order   K0 p p p K1 b b p p p K2 ...        want w:  ---------------|
//!   pts             0 3 2 1  6 4 5 9 8 7 12                      0 1 2 3 4 5 6 7 8
//!                            ^ start of w's run: the last usable start at or before the target in decode
//!                              order whose pts is not above the target's
//!   w is settled once more than `reorder` packets with a pts above w were read (rule T1), or at the end
//! ```
//!
//! The reader seeks, calls [`Planner::restart`], then feeds one head a time and asks [`Planner::step`] until
//! it wants something other than `More`. Sequence numbers count fed heads and never restart, so a reader that
//! keeps packets beside the window finds them by number.

use std::collections::{BTreeMap, VecDeque};

use super::closure::{self, Sent};
use super::entrance::Entrance;
use super::steps::{Reason, SeekRun, Step, Target, Want};
use super::tolerance::{self, Candidate};
use crate::model::limits::RUN_HEADS_MAX;
use crate::model::media::{Ahead, Field, FrameHeader, PacketHead, Start};

/// Pictures without a time that a plan bears.
const TIMELESS_MAX: usize = 8;

/// The state machine.
#[derive(Debug)]
pub struct Planner {
    wants: Vec<Want>,
    next: usize,
    reorder: usize,
    window: VecDeque<PacketHead>,
    /// Sequence number of `window[0]`.
    base: u64,
    /// Usable starts in the window.
    starts: VecDeque<Entrance>,
    /// How much later than its start a run with a slow recovery is exact, the most seen so far.
    recovery: i64,
    /// Heads read with a pts above the next want: in the window, or before any start.
    later: usize,
    at_start: bool,
    ended: bool,
    greatest_pts: Option<i64>,
    last_start_pts: Option<i64>,
    /// Heads with and without a pts since the last restart, and those without that lie in runs, ever.
    timed: usize,
    timeless: usize,
    gaps: usize,
    pending: Option<Pending>,
    ready: VecDeque<SeekRun>,
    /// The next want changed, or a new start came: a jump may be worth it now.
    look_ahead: bool,
    /// The want that a seek was already made for: what that seek found is walked, whatever the index promises.
    sought: Option<usize>,
    linear: Option<Reason>,
    unserved: Vec<usize>,
}

#[derive(Debug)]
struct Pending {
    start: u64,
    exact_from: i64,
    targets: BTreeMap<u64, Target>,
}

impl Planner {
    /// A planner for `wants`, ascending and without duplicates. At most `reorder` pictures are decoded before
    /// and shown after any other picture of this stream.
    pub fn new(wants: Vec<Want>, reorder: usize) -> Planner {
        debug_assert!(wants.windows(2).all(|pair| pair[0] < pair[1]));
        Planner {
            wants,
            next: 0,
            reorder,
            window: VecDeque::new(),
            base: 0,
            starts: VecDeque::new(),
            recovery: 0,
            later: 0,
            at_start: false,
            ended: false,
            greatest_pts: None,
            last_start_pts: None,
            timed: 0,
            timeless: 0,
            gaps: 0,
            pending: None,
            ready: VecDeque::new(),
            look_ahead: false,
            sought: None,
            linear: None,
            unserved: Vec::new(),
        }
    }

    /// The instant that the next seek is for.
    pub fn next_want(&self) -> Option<Want> {
        self.wants.get(self.next).copied()
    }

    /// The pts that a seek for the next want aims at: far enough before it for a slow recovery.
    pub fn aim(&self) -> Option<i64> {
        self.next_want().map(|want| want.pts.saturating_sub(self.recovery))
    }

    /// Wants that no run will serve: from the next one on when the walk turns linear, or those without any
    /// shown frame at the end.
    pub fn unserved(&self) -> Vec<usize> {
        self.unserved.iter().copied().chain(self.next..self.wants.len()).collect()
    }

    /// The oldest sequence number that a later run may still ask for. Runs that are ready may overlap.
    pub fn keep_from(&self) -> u64 {
        self.ready.iter().map(|run| run.first).fold(self.base, u64::min)
    }

    /// The sequence number that the next fed head gets.
    pub fn next_seq(&self) -> u64 {
        self.base + self.window.len() as u64
    }

    /// After a seek: the heads that follow are not those that came before. `at_start` says that they are the
    /// stream's first. What was planned so far stays planned.
    pub fn restart(&mut self, at_start: bool) {
        self.flush_pending();
        self.base = self.next_seq();
        self.window.clear();
        self.starts.clear();
        self.later = 0;
        self.at_start = at_start;
        self.ended = false;
        self.greatest_pts = None;
        self.last_start_pts = None;
        (self.timed, self.timeless) = (0, 0);
    }

    /// The next head in decode order. Heads before the first usable start are dropped.
    pub fn feed(&mut self, head: PacketHead) {
        let Some(pts) = head.pts else {
            // A second field may leave its time to the first; anything else has no place on the timeline.
            if head.header.field.is_picture() {
                self.count_timeless();
            }
            self.push(head);
            return;
        };
        self.timed += 1;
        self.greatest_pts = Some(self.greatest_pts.map_or(pts, |greatest| greatest.max(pts)));
        if head.header.field.is_picture() {
            self.count_recovery(pts, &head.header);
        }
        let is_later = self.next_want().is_some_and(|want| is_later(&head, pts, want));
        if head.header.start != Start::No {
            if self.starts.is_empty() {
                self.later = 0;
            }
            if self.last_start_pts.is_some_and(|last| pts < last) {
                self.linear = Some(Reason::ClockGoesBack);
            }
            self.last_start_pts = Some(pts);
            self.starts.push_back(Entrance::new(self.next_seq(), pts, head.header.start));
            self.look_ahead = true;
        }
        // Before the first start too: when enough is read, it lies too late or there is none.
        self.later += usize::from(is_later);
        self.push(head);
    }

    /// A few pictures without a time are never targets; more of them, and a place must be counted out.
    fn count_timeless(&mut self) {
        self.timeless += 1;
        self.gaps += usize::from(!self.starts.is_empty());
        let borne = if self.at_start { self.timed } else { self.timed + TIMELESS_MAX };
        if self.timeless > borne || self.gaps > TIMELESS_MAX {
            self.linear = Some(Reason::NoPts);
        }
    }

    fn count_recovery(&mut self, pts: i64, header: &FrameHeader) {
        // The starts that still recover are the newest.
        for start in self.starts.iter_mut().rev().take_while(|start| start.exact_from.is_none()) {
            start.pass(pts, header);
            if let Some(from) = start.exact_from {
                self.recovery = self.recovery.max(from.saturating_sub(start.pts));
                self.look_ahead = true;
            }
        }
    }

    fn push(&mut self, head: PacketHead) {
        if self.starts.is_empty() {
            self.base += 1;
        } else {
            self.window.push_back(head);
        }
    }

    /// No more heads: the end of the stream.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// What to do now. `ahead` is asked for the next want after something was settled.
    pub fn step(&mut self, ahead: impl Fn(i64) -> Ahead) -> Step {
        if let Some(run) = self.ready.pop_front() {
            return Step::Run(run);
        }
        if let Some(reason) = self.linear {
            return self.after_pending(Step::Linear(reason));
        }
        while self.next < self.wants.len() && (self.later > self.reorder || self.ended) {
            match self.settle() {
                Settled::Yes => self.advance(),
                Settled::Never => {
                    self.unserved.push(self.next);
                    self.advance();
                }
                Settled::Back => return self.after_pending(Step::Back),
                Settled::NoStart => return self.after_pending(Step::Linear(Reason::NoStart)),
                Settled::NotYet => break,
            }
        }
        let Some(want) = self.next_want() else {
            return self.after_pending(Step::Done);
        };
        if self.first_start_is_too_late(want) {
            return self.after_pending(Step::Back);
        }
        if self.window.len() > RUN_HEADS_MAX {
            return self.after_pending(Step::Linear(Reason::RunTooLong));
        }
        if std::mem::take(&mut self.look_ahead) {
            return self.look(want, ahead);
        }
        Step::More
    }

    /// The pending run first, then `step`.
    fn after_pending(&mut self, step: Step) -> Step {
        self.flush_pending();
        if let Some(run) = self.ready.pop_front() {
            // Whatever called for `step` still holds when the reader asks again.
            self.look_ahead |= step == Step::Jump;
            return Step::Run(run);
        }
        if matches!(step, Step::Back | Step::Jump) {
            self.sought = Some(self.next);
        }
        step
    }

    /// With the pending run's last word spoken, is the next want worth a seek?
    fn look(&mut self, want: Want, ahead: impl Fn(i64) -> Ahead) -> Step {
        let Some(greatest) = self.greatest_pts else { return Step::More };
        // A newer usable start at or before the want: whatever comes belongs to that start's run.
        let newer = self.starts.iter().rev().find(|start| start.serves(want.pts)).map(|start| start.seq);
        let pending_is_over = match (&self.pending, newer) {
            (Some(pending), Some(newer)) => newer > pending.start,
            (None, _) => true,
            (Some(_), None) => false,
        };
        // A start that still recovers will tell how far before a want one must begin.
        let recovers = self.starts.back().is_some_and(|start| start.exact_from.is_none());
        let jump = self.sought != Some(self.next)
            && !recovers
            && match ahead(want.pts.saturating_sub(self.recovery)) {
                Ahead::Key(key) => key > greatest,
                Ahead::Far(gap) => {
                    pending_is_over && newer.is_some() && want.pts.saturating_sub(greatest) > gap
                }
                Ahead::Unknown => false,
            };
        if jump {
            return self.after_pending(Step::Jump);
        }
        if pending_is_over {
            self.flush_pending();
            self.trim();
        }
        self.ready.pop_front().map_or(Step::More, Step::Run)
    }

    fn first_start_is_too_late(&self, want: Want) -> bool {
        !self.at_start && self.starts.front().is_some_and(|first| first.pts > want.pts)
    }

    /// Finds the frame for the next want, which is settled.
    fn settle(&mut self) -> Settled {
        let Some(want) = self.next_want() else { return Settled::NotYet };
        if self.starts.is_empty() {
            return match (self.at_start, self.ended) {
                (false, _) => Settled::Back,
                (true, true) => Settled::NoStart,
                (true, false) => Settled::NotYet,
            };
        }
        let mut found = self.best(|pts| pts <= want.pts, |pts, best| pts > best);
        if found.is_none() && self.at_start {
            // Before the first shown frame: that frame.
            found = self.best(|_| true, |pts, best| pts < best);
        }
        let Some((mut seq, start)) = found else {
            return match (self.at_start, self.ended) {
                (false, _) => Settled::Back,
                (true, true) => Settled::Never,
                (true, false) => Settled::NotYet,
            };
        };
        // Where a recovery point recovers slowly, the picture at it is not whole: the exact one is given.
        let is_picture = |header: &FrameHeader| !header.hidden && !matches!(header.start, Start::After(_));
        if want.intra && is_picture(&self.head(start.seq).header) {
            seq = start.seq;
        }
        let (seq, start) = self.cheapest(want, seq, start);
        self.assign(seq, start);
        Settled::Yes
    }

    /// The shown head that `fits` with the `better` pts, and its start. A head that no usable start reaches
    /// counts only to tell that the window does not begin early enough: then there is none.
    fn best(&self, fits: impl Fn(i64) -> bool, better: impl Fn(i64, i64) -> bool) -> Option<(u64, Entrance)> {
        let mut best: Option<(i64, u64, Option<Entrance>)> = None;
        for (i, head) in self.window.iter().enumerate().rev() {
            let Some(pts) = head.pts else { continue };
            if head.header.hidden || !head.header.field.is_picture() || !fits(pts) {
                continue;
            }
            if best.is_some_and(|(best, ..)| !better(pts, best)) {
                continue;
            }
            let seq = self.base + i as u64;
            let start = self.start_for(seq, pts);
            // At the stream's first start, what no start reaches is never a target.
            if start.is_some() || !self.at_start {
                best = Some((pts, seq, start));
            }
        }
        best.and_then(|(_, seq, start)| Some((seq, start?)))
    }

    /// Of the frames that may serve `want`, the cheapest; `seq` is the frame of the instant itself.
    fn cheapest(&self, want: Want, seq: u64, start: Entrance) -> (u64, Entrance) {
        if want.slack == 0 || want.intra {
            return (seq, start);
        }
        let candidates: Vec<Candidate> = (self.base..)
            .zip(&self.window)
            .filter(|(_, head)| !head.header.hidden && head.header.field.is_picture())
            .filter_map(|(at, head)| {
                let pts = head.pts?;
                let off = if at == seq { 0 } else { pts.abs_diff(want.pts).max(1) };
                let start = self.start_for(at, pts).filter(|_| off <= want.slack.unsigned_abs())?;
                let (place, start) = ((at - self.base) as usize, (start.seq - self.base) as usize);
                Some(Candidate { place, start, off })
            })
            .collect();
        let heads: Vec<PacketHead> = self.window.iter().cloned().collect();
        let (from, along) = match &self.pending {
            Some(pending) => (pending.start, pending.targets.keys().copied().collect()),
            None => (self.base, Vec::new()),
        };
        let along: Vec<usize> = along.into_iter().map(|seq: u64| (seq - self.base) as usize).collect();
        let best = tolerance::cheapest(&heads, &candidates, (from - self.base) as usize, &along);
        let found = best.and_then(|c| {
            let seq = self.base + c.place as u64;
            Some((seq, self.start_for(seq, self.head(seq).pts?)?))
        });
        found.unwrap_or((seq, start))
    }

    /// The last usable start at or before `seq` in decode order from which `pts` is exact.
    fn start_for(&self, seq: u64, pts: i64) -> Option<Entrance> {
        self.starts.iter().rev().copied().find(|start| start.seq <= seq && start.serves(pts))
    }

    fn assign(&mut self, seq: u64, start: Entrance) {
        if self.pending.as_ref().is_some_and(|pending| pending.start != start.seq) {
            self.flush_pending();
        }
        let head = self.head(seq).clone();
        let is_last = self.ended && !self.window.iter().any(|h| !h.header.hidden && h.pts > head.pts);
        let next = self.next;
        let exact_from = start.exact_from.unwrap_or(start.pts);
        let pending = self.pending.get_or_insert_with(|| Pending {
            start: start.seq,
            exact_from,
            targets: BTreeMap::new(),
        });
        pending
            .targets
            .entry(seq)
            .or_insert_with(|| Target { seq, head, wants: Vec::new(), is_last })
            .wants
            .push(next);
    }

    fn flush_pending(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let from = (pending.start - self.base) as usize;
        let targets: Vec<Target> = pending.targets.into_values().collect();
        let Some(last) = targets.last().map(|t| (t.seq - self.base) as usize) else { return };
        let pair = self.window.get(last + 1).is_some_and(|next| next.header.field == Field::Second);
        let to = last + usize::from(pair && self.window[last].header.field == Field::First);
        // One head more than is sent: the rule for VP9 looks at the frame after.
        let mut heads: Vec<PacketHead> = self.window.iter().skip(from).take(to + 2 - from).cloned().collect();
        let indices: Vec<usize> = targets.iter().map(|t| (t.seq - pending.start) as usize).collect();
        let closure::Selection { mut sent, unfit } = closure::select(&heads, &indices);
        if let Some(second) = sent.get_mut(to - from) {
            *second = Sent::Whole;
        }
        heads.truncate(to - from + 1);
        sent.truncate(heads.len());
        let start = heads[0].header.start;
        let exact_from = pending.exact_from;
        self.ready.push_back(SeekRun {
            first: pending.start,
            start,
            exact_from,
            heads,
            sent,
            unfit,
            targets,
        });
    }

    fn advance(&mut self) {
        self.next += 1;
        self.look_ahead = true;
        self.trim();
        let next = self.next_want();
        self.later = self
            .window
            .iter()
            .filter(|head| next.zip(head.pts).is_some_and(|(want, pts)| is_later(head, pts, want)))
            .count();
    }

    /// Forgets what no later run can use: everything before the last start that the next want may need.
    fn trim(&mut self) {
        let Some(want) = self.next_want() else { return };
        let shown = |start: &&Entrance| !self.head(start.seq).header.hidden;
        let useful = self
            .starts
            .iter()
            .rev()
            .filter(shown)
            .find(|start| start.serves(want.pts))
            .map(|start| start.seq);
        let Some(mut from) = useful else { return };
        if let Some(pending) = &self.pending {
            from = from.min(pending.start);
        }
        if from > self.base {
            // The window's front is no longer the stream's first start, but nothing before it is wanted:
            // the front's pts is not above the next want.
            self.window.drain(..(from - self.base) as usize);
            self.base = from;
            while self.starts.front().is_some_and(|first| first.seq < from) {
                self.starts.pop_front();
            }
        }
    }

    fn head(&self, seq: u64) -> &PacketHead {
        &self.window[(seq - self.base) as usize]
    }
}

/// Counts towards rule T1: a picture, or a field of one, that is shown after all that may serve the want.
fn is_later(head: &PacketHead, pts: i64, want: Want) -> bool {
    head.header.field != Field::Nothing && pts > want.reach()
}

enum Settled {
    Yes,
    /// The end came and nothing is shown at all.
    Never,
    NotYet,
    Back,
    NoStart,
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
