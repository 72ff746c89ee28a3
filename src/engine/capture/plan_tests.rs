//! The planner against a brute-force reading of the rules, on simulated streams.

use proptest::prelude::*;

use super::*;
use crate::model::coded::Coded;
use crate::model::media::{FrameHeader, Need};

/// (pts, start, hidden) in decode order.
type Row = (i64, Start, bool);

fn head((pts, start, hidden): Row) -> PacketHead {
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
enum Box {
    /// An index of every start.
    Indexed,
    /// Seeks land on any packet at or before the instant.
    Guess,
    /// No seeking at all.
    Walk,
}

#[derive(Debug, Default)]
struct Outcome {
    /// want index -> (target pts, start position).
    served: BTreeMap<usize, (i64, usize)>,
    runs: Vec<(usize, Vec<usize>)>,
    read: usize,
    jumps: usize,
    linear: Option<Reason>,
}

/// Drives the planner over `stream` the way the reader does.
fn drive(stream: &[Row], wants: &[i64], reorder: usize, container: Box) -> Outcome {
    let wants: Vec<Want> = wants.iter().map(|pts| Want { pts: *pts, intra: false }).collect();
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
fn literal(stream: &[Row], want: i64) -> Option<(i64, usize)> {
    let start_of = |place: usize| {
        (0..=place).rev().find(|s| stream[*s].1 != Start::No && stream[*s].0 <= stream[place].0)
    };
    let reachable =
        || (0..stream.len()).filter(|p| !stream[*p].2).filter_map(|p| Some((stream[p].0, start_of(p)?)));
    reachable().filter(|(pts, _)| *pts <= want).max().or_else(|| reachable().min())
}

/// A closed or open GOP with B pictures: pts in decode order from a pattern.
fn gop(first: i64, frames: i64, bframes: i64, open: bool, out: &mut Vec<Row>) -> i64 {
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

fn streams() -> impl Strategy<Value = Vec<Row>> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_want_gets_the_frame_and_the_start_of_the_rules(
        stream in streams(), wants in prop::collection::btree_set(-3i64..90, 1..12),
        container in prop::sample::select(vec![Box::Indexed, Box::Guess, Box::Walk]),
    ) {
        prop_assume!(stream.iter().any(|r| !r.2));
        let wants: Vec<i64> = wants.into_iter().collect();
        let outcome = drive(&stream, &wants, 4, container);
        prop_assert_eq!(outcome.linear, None);
        for (i, want) in wants.iter().enumerate() {
            prop_assert_eq!(outcome.served.get(&i).copied(), literal(&stream, *want), "want {}", want);
        }
    }

    #[test]
    fn points_of_one_gop_share_one_run(
        stream in streams(), wants in prop::collection::btree_set(0i64..90, 1..12),
        container in prop::sample::select(vec![Box::Indexed, Box::Guess, Box::Walk]),
    ) {
        prop_assume!(stream.iter().any(|r| !r.2));
        let wants: Vec<i64> = wants.into_iter().collect();
        let outcome = drive(&stream, &wants, 4, container);
        let mut starts: Vec<usize> = outcome.runs.iter().map(|r| r.0).collect();
        let runs = starts.len();
        starts.sort_unstable();
        starts.dedup();
        prop_assert_eq!(starts.len(), runs, "a start was used twice: {:?}", outcome.runs);
    }
}

fn flat(gops: usize, frames: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut at = 0;
    for _ in 0..gops {
        at = gop(at, frames, 0, false, &mut rows);
    }
    rows
}

#[test]
fn an_index_is_jumped_through_not_walked() {
    let stream = flat(100, 10);
    let outcome = drive(&stream, &[5, 505, 995], 2, Box::Indexed);
    assert_eq!(outcome.runs, [(0, vec![5]), (500, vec![5]), (990, vec![5])]);
    assert_eq!(outcome.jumps, 2);
    assert!(outcome.read < 40, "{}", outcome.read);
}

#[test]
fn without_an_index_near_points_are_walked_to_and_far_ones_sought() {
    let stream = flat(100, 10);
    let near = drive(&stream, &[5, 15], 2, Box::Guess);
    assert_eq!((near.jumps, near.runs.len()), (0, 2));
    let far = drive(&stream, &[5, 905], 2, Box::Guess);
    assert_eq!((far.jumps, far.runs.len()), (1, 2));
    assert!(far.read < 100, "{}", far.read);
}

#[test]
fn a_container_that_cannot_seek_is_read_once() {
    let stream = flat(50, 10);
    let outcome = drive(&stream, &[5, 105, 405], 2, Box::Walk);
    assert_eq!((outcome.jumps, outcome.runs.len()), (0, 3));
    assert!(outcome.read <= 410, "{}", outcome.read);
}

#[test]
fn a_recovery_point_serves_only_frames_behind_its_recovery() {
    let mut stream = flat(1, 30);
    stream[10].1 = Start::After(5);
    let outcome = drive(&stream, &[12, 20], 2, Box::Indexed);
    assert_eq!(outcome.served[&0], (12, 0));
    assert_eq!(outcome.served[&1], (20, 10));
}

#[test]
fn a_restart_loses_nothing_that_is_planned() {
    let wants = [3, 25, 60].map(|pts| Want { pts, intra: false }).to_vec();
    let mut planner = Planner::new(wants, 0);
    planner.restart(true);
    flat(2, 20).into_iter().take(27).for_each(|row| planner.feed(head(row)));
    let Step::Run(run) = planner.step(|_| Ahead::Unknown) else { panic!("no run") };
    assert_eq!(run.first, 0);
    planner.restart(false);
    let Step::Run(run) = planner.step(|_| Ahead::Unknown) else { panic!("no run") };
    assert_eq!((run.first, run.targets[0].head.pts), (20, Some(25)));
    assert_eq!(planner.next_want(), Some(Want { pts: 60, intra: false }));
}

#[test]
fn packets_are_kept_for_every_run_that_is_ready() {
    // Slow recoveries whose runs overlap; at the end all are ready at once.
    let mut stream = flat(1, 50);
    [10, 15, 25, 30].into_iter().for_each(|place| stream[place].1 = Start::After(8));
    let wants = [20, 24, 35, 39].map(|pts| Want { pts, intra: false }).to_vec();
    let mut planner = Planner::new(wants, 50);
    planner.restart(true);
    stream.into_iter().for_each(|row| planner.feed(head(row)));
    planner.end();
    let mut ready = Vec::new();
    while let Step::Run(run) = planner.step(|_| Ahead::Unknown) {
        ready.push((run.first, run.first + run.heads.len() as u64, planner.keep_from()));
    }
    assert_eq!(ready.iter().map(|run| run.0).collect::<Vec<_>>(), [10, 15, 25, 30]);
    assert!(ready.windows(2).all(|pair| pair[0].2 <= pair[1].0), "{ready:?}");
}

#[test]
fn recovery_is_counted_in_reference_pictures() {
    // Every other picture is referred to by none: five reference pictures after 10 is picture 20.
    let mut planner = Planner::new(vec![Want { pts: 19, intra: false }, Want { pts: 20, intra: false }], 0);
    planner.restart(true);
    for pts in 0..30 {
        let start = [(0, Start::Clean), (10, Start::After(5))].iter().find(|s| s.0 == pts).map(|s| s.1);
        let mut head = head((pts, start.unwrap_or(Start::No), false));
        head.header.need = if pts % 2 == 1 { Need::Target } else { Need::Always };
        planner.feed(head);
    }
    let mut runs = Vec::new();
    loop {
        match planner.step(|_| Ahead::Unknown) {
            Step::Run(run) => runs.push((run.first, run.exact_from, run.targets[0].head.pts)),
            Step::More => planner.end(),
            _ => break,
        }
    }
    assert_eq!(runs, [(0, 0, Some(19)), (10, 20, Some(20))]);
}

#[test]
fn a_slow_recovery_makes_no_run_twice_once_it_is_known() {
    let mut stream = flat(1, 200);
    for place in (20..200).step_by(20) {
        stream[place].1 = Start::After(25);
    }
    let wants: Vec<i64> = (0..190).step_by(7).collect();
    for container in [Box::Indexed, Box::Guess, Box::Walk] {
        let outcome = drive(&stream, &wants, 2, container);
        let mut starts: Vec<usize> = outcome.runs.iter().map(|run| run.0).collect();
        if starts[..2] == [0, 0] {
            // The jump that found the first one.
            starts.remove(0);
        }
        assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{container:?}: {starts:?}");
        assert_eq!(outcome.served.len(), wants.len());
    }
}

#[test]
fn an_intra_want_gets_the_exact_picture_where_recovery_is_slow() {
    let mut stream = flat(1, 40);
    stream[10].1 = Start::After(5);
    let mut planner = Planner::new(vec![Want { pts: 20, intra: true }], 0);
    planner.restart(true);
    stream.into_iter().for_each(|row| planner.feed(head(row)));
    planner.end();
    let Step::Run(run) = planner.step(|_| Ahead::Unknown) else { panic!("no run") };
    assert_eq!((run.first, run.targets[0].head.pts), (10, Some(20)));
}

#[test]
fn an_intra_want_takes_the_start_of_its_run() {
    let mut planner = Planner::new(vec![Want { pts: 17, intra: false }, Want { pts: 17, intra: true }], 0);
    planner.restart(true);
    for row in flat(3, 10) {
        planner.feed(head(row));
    }
    planner.end();
    let Step::Run(run) = planner.step(|_| Ahead::Unknown) else { panic!("no run") };
    assert_eq!(
        run.targets.iter().map(|t| (t.head.pts, t.wants.clone())).collect::<Vec<_>>(),
        [(Some(10), vec![1]), (Some(17), vec![0])]
    );
}

#[test]
fn the_last_frame_knows_that_it_is_the_last() {
    let mut planner = Planner::new(vec![Want { pts: 3, intra: false }, Want { pts: 99, intra: false }], 0);
    planner.restart(true);
    flat(1, 10).into_iter().for_each(|row| planner.feed(head(row)));
    planner.end();
    let Step::Run(run) = planner.step(|_| Ahead::Unknown) else { panic!("no run") };
    assert_eq!(run.targets.iter().map(|t| t.is_last).collect::<Vec<_>>(), [false, true]);
    assert_eq!(planner.step(|_| Ahead::Unknown), Step::Done);
}

#[test]
fn a_few_pictures_without_a_time_are_borne() {
    let plan = |timeless: usize| {
        let mut planner = Planner::new(vec![Want { pts: 25, intra: false }], 0);
        planner.restart(true);
        for (place, row) in flat(3, 10).into_iter().enumerate() {
            let pts = Some(row.0).filter(|_| place == 0 || place > timeless);
            planner.feed(PacketHead { pts, ..head(row) });
        }
        planner.end();
        planner.step(|_| Ahead::Unknown)
    };
    let Step::Run(run) = plan(1) else { panic!("no run") };
    assert_eq!((run.first, run.targets[0].head.pts), (20, Some(25)));
    // Two without a time behind one that has it: this stream tells no times.
    assert_eq!(plan(2), Step::Linear(Reason::NoPts));
}

#[test]
fn streams_that_cannot_be_planned_are_named() {
    let mut no_pts = Planner::new(vec![Want { pts: 3, intra: false }], 0);
    no_pts.restart(true);
    no_pts.feed(PacketHead { pts: None, ..head((0, Start::Clean, false)) });
    assert_eq!(no_pts.step(|_| Ahead::Unknown), Step::Linear(Reason::NoPts));

    let mut back = Planner::new(vec![Want { pts: 30, intra: false }], 0);
    back.restart(true);
    back.feed(head((20, Start::Clean, false)));
    back.feed(head((3, Start::Clean, false)));
    assert_eq!(back.step(|_| Ahead::Unknown), Step::Linear(Reason::ClockGoesBack));
    assert_eq!(back.unserved(), [0]);

    let mut none = Planner::new(vec![Want { pts: 30, intra: false }], 0);
    none.restart(true);
    none.feed(head((20, Start::No, false)));
    none.end();
    assert_eq!(none.step(|_| Ahead::Unknown), Step::Linear(Reason::NoStart));
}
