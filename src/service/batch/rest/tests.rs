//! The rule of the remainder, by example and by property.

use proptest::prelude::*;

use super::*;
use crate::model::delivery::PlannedPoint;
use crate::model::job::{FailCode, Stage};
use crate::model::media::Backend;
use crate::model::snapshot::PointStatus;
use crate::model::spec::{AskedSize, Points, SpriteSpec};

fn spec(keep_pictures: bool, with_sheets: bool) -> SnapshotSpec {
    SnapshotSpec {
        sprite: with_sheets.then(|| SpriteSpec {
            cell: AskedSize::default(),
            columns: 2,
            lines: 1,
            padding: 0,
            margin: 0,
            color: [0; 3],
        }),
        keep_pictures,
        ..SnapshotSpec::of(Points::Even { offset_ms: 0, count: 1 })
    }
}

/// A plan of points, `true` for past the end, in sheets of `per_sheet` cells if any.
fn plan(past_end: &[bool], per_sheet: Option<u32>) -> PlannedJob {
    let points = past_end.iter().map(|&past_end| PlannedPoint { asked_ms: 0, past_end }).collect();
    let cells = past_end.iter().filter(|&&past_end| !past_end).count() as u32;
    PlannedJob {
        points,
        sheets: per_sheet.map_or(0, |per_sheet| cells.div_ceil(per_sheet)),
        cells_per_sheet: per_sheet.unwrap_or(0),
    }
}

fn shown() -> Shown {
    Shown {
        status: PointStatus::Ok,
        shown_ms: 0,
        pts: 0,
        width: 2,
        height: 2,
        key_frame: true,
        backend: Backend::Cpu,
        frame_md5: None,
    }
}

fn cause() -> Failure {
    Failure::new(FailCode::Crashed, Stage::Decode, "the process died")
}

fn begun(keep_pictures: bool, past_end: &[bool], per_sheet: Option<u32>) -> JobProgress {
    let mut job = JobProgress::new(spec(keep_pictures, per_sheet.is_some()));
    assert!(job.take_plan(plan(past_end, per_sheet)));
    job
}

#[test]
fn before_the_plan_all_is_owed_and_nothing_is_taken() {
    let mut job = JobProgress::new(spec(true, true));
    assert!(!job.is_decided() && job.owes(0) && job.owes(99));
    assert!(!job.take_shown(0, shown()) && !job.take_picture(0, 1) && !job.take_sheet(0, 1, 1, 1));
    assert!(!job.take_failure(0, cause()));
    job.give_up(&cause());
    assert_eq!(job, JobProgress::new(spec(true, true)));
    assert_eq!(job.counts(), (0, 0, 0, 0));
}

#[test]
fn a_second_plan_must_be_the_first() {
    let mut job = begun(true, &[false, false], None);
    assert!(job.take_plan(plan(&[false, false], None)));
    assert!(!job.take_plan(plan(&[false, true], None)));
    assert_eq!(job.planned, Some(plan(&[false, false], None)));
}

#[test]
fn pictures_decide_point_by_point() {
    let mut job = begun(true, &[false, true, false, false], None);
    assert_eq!(job.missing_points(), [0, 2, 3]);
    assert!(!job.take_picture(1, 9), "past the end");
    assert!(!job.take_picture(4, 9), "no such point");
    assert!(!job.take_sheet(0, 1, 1, 1), "no sheets");
    assert!(job.take_shown(2, shown()) && job.take_picture(2, 9));
    assert!(job.take_failure(0, cause()));
    assert!(!job.take_picture(0, 9), "it has failed");
    assert!(!job.take_failure(2, cause()), "it is delivered");
    assert!(!job.owes(0) && !job.owes(1) && !job.owes(2) && job.owes(3) && !job.owes(4));
    let rest = job.remainder();
    assert_eq!((rest.pictures_done, rest.points_failed), (vec![2], vec![0]));
    assert!(job.take_picture(3, 9) && job.is_decided());
    assert_eq!(job.counts(), (4, 2, 1, 1));
    assert_eq!(job.delivered_points(), [2, 3]);
}

#[test]
fn a_missing_sheet_makes_all_its_cells_wanted_again() {
    let mut job = begun(true, &[false, true, false, false], Some(2));
    for asked in [0, 2, 3] {
        assert!(job.take_picture(asked, 9));
    }
    assert_eq!(job.missing_points(), [0, 2, 3]);
    assert!(job.take_sheet(1, 4, 2, 7));
    assert_eq!(job.missing_points(), [0, 2], "cells skip what is past the end");
    assert!(!job.take_sheet(2, 4, 2, 7), "no such sheet");
    assert_eq!(job.remainder().sheets_done, [1]);
    assert!(job.take_failure(0, cause()), "its cell may still fail");
    assert_eq!(job.missing_points(), [2]);
    assert!(job.take_sheet(0, 4, 2, 7) && job.is_decided());
    assert_eq!(job.counts(), (4, 2, 1, 1));
}

#[test]
fn a_picture_keeps_its_size_when_its_cell_comes_again() {
    let mut job = begun(true, &[false, false], Some(2));
    assert!(job.take_shown(0, Shown { width: 640, ..shown() }) && job.take_picture(0, 9));
    assert!(job.take_shown(1, Shown { width: 640, ..shown() }));
    // The walk ended; the next one makes the sheet and the second picture.
    assert!(
        job.take_shown(0, Shown { width: 64, ..shown() })
            && job.take_shown(1, Shown { width: 320, ..shown() })
    );
    assert!(job.take_picture(1, 9) && job.take_sheet(0, 128, 36, 9));
    assert!(job.is_decided());
    assert_eq!(job.shown.values().map(|shown| shown.width).collect::<Vec<_>>(), [640, 320]);
}

#[test]
fn a_sheet_whose_cells_all_failed_need_not_come() {
    let mut job = begun(false, &[false, false, false], Some(2));
    assert!(!job.take_picture(0, 1), "cells are not kept");
    assert!(job.take_sheet(1, 4, 2, 7));
    assert!(job.take_failure(0, cause()) && !job.is_decided());
    assert!(job.take_failure(1, cause()) && job.is_decided());
    assert_eq!(job.counts(), (3, 1, 0, 2));
}

#[test]
fn giving_up_keeps_every_picture_that_exists() {
    let mut job = begun(true, &[false, false, false, true], Some(2));
    assert!(job.take_picture(0, 9) && job.take_picture(2, 9) && job.take_sheet(1, 4, 2, 7));
    job.give_up(&cause());
    assert!(job.is_decided());
    assert_eq!(job.counts(), (4, 2, 1, 1));
    assert_eq!((job.failed.get(&1), job.sheets.len()), (Some(&cause()), 1));
    assert!(!job.take_sheet(0, 4, 2, 7), "too late");
    let mut sheets_only = begun(false, &[false, false], Some(2));
    sheets_only.give_up(&cause());
    assert_eq!(sheets_only.counts(), (2, 0, 0, 2));
}

#[test]
fn a_job_without_images_is_decided_by_facts() {
    let mut job = begun(false, &[false], None);
    assert!(!job.is_decided());
    assert!(job.take_shown(0, shown()) && job.is_decided());
    assert!(begun(true, &[true, true], Some(3)).is_decided(), "nothing will come");
    assert!(begun(true, &[], None).is_decided(), "a probe");
}

/// What an engine would deliver for a remainder: every image of it that is not done, failed points excepted.
fn walk(job: &mut JobProgress, stop_after: usize) -> usize {
    let rest = job.remainder();
    let plan = job.planned.clone().expect("every walk plans first");
    let mut delivered = 0;
    let cells: Vec<u32> =
        (0..).zip(&plan.points).filter(|(_, p)| !p.past_end).map(|(asked, _)| asked).collect();
    let failed = |asked: &u32| rest.points_failed.contains(asked);
    if rest.spec.keep_pictures {
        for asked in cells.iter().filter(|a| !failed(a) && !rest.pictures_done.contains(a)) {
            if delivered == stop_after {
                return delivered;
            }
            assert!(job.take_picture(*asked, 1));
            delivered += 1;
        }
    }
    for number in (0..plan.sheets).filter(|number| !rest.sheets_done.contains(number)) {
        let mut of_it = cells.iter().skip((number * plan.cells_per_sheet) as usize);
        if of_it.by_ref().take(plan.cells_per_sheet as usize).all(failed) {
            continue;
        }
        if delivered == stop_after {
            return delivered;
        }
        assert!(job.take_sheet(number, 1, 1, 1));
        delivered += 1;
    }
    delivered
}

proptest! {
    #[test]
    fn delivered_and_remainder_are_all_and_the_walks_end_decided(
        past_end in prop::collection::vec(prop::bool::weighted(0.2), 0..40),
        per_sheet in prop::option::of(1u32..7), keep in any::<bool>(),
        failing in prop::collection::btree_set(0u32..40, 0..10), stops in prop::collection::vec(0usize..9, 0..12),
    ) {
        let keep = keep || per_sheet.is_none();
        let mut job = begun(keep, &past_end, per_sheet);
        let expected = |job: &JobProgress| {
            let (asked, delivered, past, failed) = job.counts();
            delivered + past + failed + job.missing_points().len() as u32 == asked
        };
        prop_assert!(expected(&job));
        let mut failing = failing.into_iter();
        for stop in stops {
            if let Some(asked) = failing.next() {
                let owed = job.owes(asked);
                prop_assert_eq!(job.take_failure(asked, cause()), owed);
            }
            walk(&mut job, stop);
            prop_assert!(expected(&job));
            // The three kinds of points never overlap.
            let (missing, delivered) = (job.missing_points(), job.delivered_points());
            prop_assert!(missing.iter().all(|a| !delivered.contains(a) && !job.failed.contains_key(a)));
            prop_assert!(delivered.iter().all(|a| !job.failed.contains_key(a)));
            prop_assert!(missing.iter().all(|&a| job.owes(a)) && delivered.iter().all(|&a| !job.owes(a)));
        }
        walk(&mut job, usize::MAX);
        prop_assert!(job.is_decided());
        let (asked, delivered, past, failed) = job.counts();
        prop_assert_eq!(asked, delivered + past + failed);
        prop_assert_eq!(walk(&mut job, usize::MAX), 0, "the remainder of what is done is empty");
    }

    #[test]
    fn giving_up_decides_at_any_time(
        past_end in prop::collection::vec(prop::bool::weighted(0.2), 0..40),
        per_sheet in prop::option::of(1u32..7), keep in any::<bool>(), stop in 0usize..60,
    ) {
        let mut job = begun(keep || per_sheet.is_none(), &past_end, per_sheet);
        walk(&mut job, stop);
        let before = (job.pictures.clone(), job.sheets.clone());
        job.give_up(&cause());
        prop_assert!(job.is_decided());
        prop_assert_eq!(&before, &(job.pictures.clone(), job.sheets.clone()), "what was delivered stays");
        prop_assert!(job.pictures.keys().all(|asked| !job.failed.contains_key(asked)));
        let (asked, delivered, past, failed) = job.counts();
        prop_assert_eq!(asked, delivered + past + failed);
        let remainder = job.remainder();
        job.give_up(&cause());
        prop_assert_eq!(remainder, job.remainder());
    }
}
