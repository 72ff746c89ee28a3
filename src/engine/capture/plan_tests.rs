//! The planner against a brute-force reading of the rules, on simulated streams.

use proptest::prelude::*;

use self::simulated::*;
use super::*;
use crate::model::media::Need;

#[path = "plan_simulated.rs"]
mod simulated;

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
    fn a_tolerance_is_kept_to_and_never_costs_more(
        stream in streams(), wants in prop::collection::btree_set(0i64..90, 1..4), slack in 1i64..12,
        container in prop::sample::select(vec![Box::Indexed, Box::Guess, Box::Walk]),
    ) {
        prop_assume!(stream.iter().any(|r| !r.2));
        let with = |slack| wants.iter().map(|pts| Want { pts: *pts, intra: false, slack }).collect();
        let loose = drive_wants(&stream, with(slack), 4, container);
        prop_assert_eq!(loose.linear, None);
        for (i, want) in wants.iter().enumerate() {
            let served = loose.served.get(&i).copied();
            let within = served.is_some_and(|(pts, _)| pts.abs_diff(*want) <= slack.unsigned_abs());
            prop_assert!(within || served == literal(&stream, *want), "want {}: {:?}", want, served);
        }
        // One want alone: with several, what is the cheapest for each need not be for all.
        if wants.len() == 1 {
            prop_assert!(loose.pictures <= drive_wants(&stream, with(0), 4, container).pictures);
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
    let wants = [3, 25, 60].map(|pts| Want { pts, intra: false, slack: 0 }).to_vec();
    let mut planner = Planner::new(wants, 0);
    planner.restart(true);
    flat(2, 20).into_iter().take(27).for_each(|row| planner.feed(head(row)));
    let Step::Run(run) = planner.step(|_| Ahead::Unknown) else { panic!("no run") };
    assert_eq!(run.first, 0);
    planner.restart(false);
    let Step::Run(run) = planner.step(|_| Ahead::Unknown) else { panic!("no run") };
    assert_eq!((run.first, run.targets[0].head.pts), (20, Some(25)));
    assert_eq!(planner.next_want(), Some(Want { pts: 60, intra: false, slack: 0 }));
}

#[test]
fn packets_are_kept_for_every_run_that_is_ready() {
    // Slow recoveries whose runs overlap; at the end all are ready at once.
    let mut stream = flat(1, 50);
    [10, 15, 25, 30].into_iter().for_each(|place| stream[place].1 = Start::After(8));
    let wants = [20, 24, 35, 39].map(|pts| Want { pts, intra: false, slack: 0 }).to_vec();
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
    let mut planner = Planner::new(
        vec![Want { pts: 19, intra: false, slack: 0 }, Want { pts: 20, intra: false, slack: 0 }],
        0,
    );
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
    let mut planner = Planner::new(vec![Want { pts: 20, intra: true, slack: 0 }], 0);
    planner.restart(true);
    stream.into_iter().for_each(|row| planner.feed(head(row)));
    planner.end();
    let Step::Run(run) = planner.step(|_| Ahead::Unknown) else { panic!("no run") };
    assert_eq!((run.first, run.targets[0].head.pts), (10, Some(20)));
}

#[test]
fn an_intra_want_takes_the_start_of_its_run() {
    let mut planner = Planner::new(
        vec![Want { pts: 17, intra: false, slack: 0 }, Want { pts: 17, intra: true, slack: 0 }],
        0,
    );
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
    let mut planner = Planner::new(
        vec![Want { pts: 3, intra: false, slack: 0 }, Want { pts: 99, intra: false, slack: 0 }],
        0,
    );
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
        let mut planner = Planner::new(vec![Want { pts: 25, intra: false, slack: 0 }], 0);
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
    let mut no_pts = Planner::new(vec![Want { pts: 3, intra: false, slack: 0 }], 0);
    no_pts.restart(true);
    no_pts.feed(PacketHead { pts: None, ..head((0, Start::Clean, false)) });
    assert_eq!(no_pts.step(|_| Ahead::Unknown), Step::Linear(Reason::NoPts));

    let mut back = Planner::new(vec![Want { pts: 30, intra: false, slack: 0 }], 0);
    back.restart(true);
    back.feed(head((20, Start::Clean, false)));
    back.feed(head((3, Start::Clean, false)));
    assert_eq!(back.step(|_| Ahead::Unknown), Step::Linear(Reason::ClockGoesBack));
    assert_eq!(back.unserved(), [0]);

    let mut none = Planner::new(vec![Want { pts: 30, intra: false, slack: 0 }], 0);
    none.restart(true);
    none.feed(head((20, Start::No, false)));
    none.end();
    assert_eq!(none.step(|_| Ahead::Unknown), Step::Linear(Reason::NoStart));
}
