//! Simulated streams and containers for the planner's tests.
//!
//! Owns the rules read literally over a whole stream. Never plans.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use crate::model::coded::Coded;
use crate::model::media::{FrameHeader, Need};

/// (pts, start, hidden) in decode order.
pub type Row = (i64, Start, bool);

pub fn head((pts, start, hidden): Row) -> PacketHead {
    PacketHead {
        pts: Some(pts),
        dts: None,
        duration: 1,
        size: 1,
        header: FrameHeader {
            start,
            key: start != Start::No,
            hidden,
            need: Need::Always,
            field: Field::Frame,
            resilient: false,
        },
        coded: Coded::Unknown,
    }
}

/// How the simulated container can be entered.
#[derive(Clone, Copy, Debug)]
pub enum Box {
    /// An index of every start.
    Indexed,
    /// Seeks land on any packet at or before the instant.
    Guess,
    /// No seeking at all.
    Walk,
}

#[derive(Debug, Default)]
pub struct Outcome {
    /// want index -> (target pts, start position).
    pub served: BTreeMap<usize, (i64, usize)>,
    pub runs: Vec<(usize, Vec<usize>)>,
    pub read: usize,
    pub jumps: usize,
    /// Coded pictures that are decoded.
    pub pictures: usize,
    pub linear: Option<Reason>,
}

/// Drives the planner over `stream` the way the reader does.
pub fn drive(stream: &[Row], wants: &[i64], reorder: usize, container: Box) -> Outcome {
    let wants = wants.iter().map(|pts| Want { pts: *pts, intra: false, slack: 0 }).collect();
    drive_wants(stream, wants, reorder, container)
}

/// As `drive`.
pub fn drive_wants(stream: &[Row], wants: Vec<Want>, reorder: usize, container: Box) -> Outcome {
    let mut planner = Planner::new(wants, reorder);
    let mut outcome = Outcome::default();
    // Where in the stream each sequence number was.
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    let seek = |pts: i64| -> usize {
        match container {
            Box::Indexed => stream.iter().rposition(|r| r.1 != Start::No && r.0 <= pts).unwrap_or(0),
            Box::Guess => stream.iter().position(|r| r.0 >= pts - 2).unwrap_or(stream.len() - 1),
            Box::Walk => 0,
        }
    };
    let ahead = |pts: i64| match container {
        Box::Indexed => Ahead::Key(stream[seek(pts)].0),
        Box::Guess => Ahead::Far(20),
        Box::Walk => Ahead::Unknown,
    };
    let (mut at, mut back) = (0, 1);
    planner.restart(true);
    for _ in 0..100_000 {
        match planner.step(ahead) {
            Step::More if at < stream.len() => {
                places.insert(planner.next_seq(), at);
                planner.feed(head(stream[at]));
                outcome.read += 1;
                at += 1;
            }
            Step::More => planner.end(),
            Step::Run(run) => {
                let first = places[&run.first];
                outcome.pictures += run.sent.iter().filter(|sent| sent.any()).count();
                assert_eq!(run.heads[0], head(stream[first]));
                for target in &run.targets {
                    let place = first + (target.seq - run.first) as usize;
                    assert_eq!(target.head, head(stream[place]));
                    assert!(run.sent[place - first].any());
                    for want in &target.wants {
                        let again = outcome.served.insert(*want, (stream[place].0, first));
                        assert!(again.is_none(), "served twice");
                    }
                }
                outcome
                    .runs
                    .push((first, run.targets.iter().map(|t| (t.seq - run.first) as usize).collect()));
            }
            Step::Jump => {
                outcome.jumps += 1;
                back = 1;
                at = seek(planner.aim().unwrap());
                planner.restart(at == 0);
            }
            Step::Back => {
                at = seek(planner.aim().unwrap() - back);
                back *= 2;
                if back > 1 << 20 {
                    at = 0;
                }
                planner.restart(at == 0);
            }
            Step::Linear(reason) => {
                outcome.linear = Some(reason);
                return outcome;
            }
            Step::Done => return outcome,
        }
    }
    panic!("the planner does not end");
}

/// The rules, read literally over the whole stream.
pub fn literal(stream: &[Row], want: i64) -> Option<(i64, usize)> {
    let start_of = |place: usize| {
        (0..=place).rev().find(|s| stream[*s].1 != Start::No && stream[*s].0 <= stream[place].0)
    };
    let reachable =
        || (0..stream.len()).filter(|p| !stream[*p].2).filter_map(|p| Some((stream[p].0, start_of(p)?)));
    reachable().filter(|(pts, _)| *pts <= want).max().or_else(|| reachable().min())
}

/// A closed or open GOP with B pictures: pts in decode order from a pattern.
pub fn gop(first: i64, frames: i64, bframes: i64, open: bool, out: &mut Vec<Row>) -> i64 {
    // Display order: leading pictures (open only), the start, then anchors each preceded by `bframes`.
    let lead = if open { bframes } else { 0 };
    let start_pts = first + lead;
    out.push((start_pts, if open { Start::Open } else { Start::Clean }, false));
    for k in 0..lead {
        out.push((first + k, Start::No, false));
    }
    let mut shown = start_pts + 1;
    while shown < first + frames {
        let anchor = (shown + bframes).min(first + frames - 1);
        out.push((anchor, Start::No, false));
        for b in shown..anchor {
            out.push((b, Start::No, false));
        }
        shown = anchor + 1;
    }
    first + frames.max(lead + 1)
}

pub fn streams() -> impl Strategy<Value = Vec<Row>> {
    (prop::collection::vec((4i64..14, 0i64..4, any::<bool>()), 1..8), 0usize..4).prop_map(|(gops, hidden)| {
        let mut rows = Vec::new();
        let mut at = 0;
        for (i, (frames, bframes, open)) in gops.into_iter().enumerate() {
            at = gop(at, frames, bframes, open && i > 0, &mut rows);
        }
        for row in rows.iter_mut().take(hidden) {
            row.2 = true;
        }
        rows
    })
}
