//! What a job's end comes to, as rows, moves and an event.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::model::ids::AccountId;
use crate::model::media::Backend;
use crate::model::snapshot::Counts;
use crate::model::spec::{Points, SnapshotSpec};

fn job(keep_pictures: bool) -> Job {
    let spec = SnapshotSpec { keep_pictures, ..SnapshotSpec::of(Points::List(vec![0])) };
    Job {
        id: "j".into(),
        account: AccountId(1),
        video: "v".into(),
        spec,
        user_data: None,
        request_id: String::new(),
        state: JobState::Running,
        attempts: 0,
        created_ms: 0,
        started_ms: Some(0),
        ended_ms: None,
        failure: None,
        pictures: 0,
        sheets: 0,
        fallbacks: Vec::new(),
    }
}

fn video() -> Video {
    Video {
        user_data: Some(r#"{"Extend":"of the video"}"#.to_owned()),
        ..Video::new(
            "v".into(),
            AccountId(1),
            "file:///media/a.mp4".to_owned(),
            "/media/a.mp4".to_owned(),
            1,
            0,
        )
    }
}

fn temp(name: &str) -> TempObject {
    TempObject { path: PathBuf::from(name), bytes: 7 }
}

fn shown() -> Shown {
    Shown {
        status: PointStatus::Ok,
        shown_ms: 0,
        pts: 0,
        width: 320,
        height: 180,
        key_frame: true,
        backend: Backend::Cpu,
        frame_md5: None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Picture,
    Cell,
    PastEnd,
    Failed(FailCode),
}

fn decided(keep_pictures: bool, fates: &[Fate], sheets: &[u32]) -> Decided {
    let points = (0..).zip(fates).map(|(asked, fate)| DecidedPoint {
        asked,
        asked_ms: i64::from(asked) * 1000,
        past_end: *fate == Fate::PastEnd,
        shown: matches!(fate, Fate::Picture | Fate::Cell).then(shown),
        failure: match fate {
            Fate::Failed(code) => Some(Failure::new(*code, Stage::Decode, format!("point {asked}"))),
            _ => None,
        },
        temp: (*fate == Fate::Picture).then(|| temp(&format!("p{asked}"))),
    });
    let sheets = sheets.iter().map(|number| DecidedSheet {
        number: *number,
        width: 10,
        height: 20,
        temp: temp(&format!("s{number}")),
    });
    Decided {
        token: "t".into(),
        job: job(keep_pictures),
        video: video(),
        points: points.collect(),
        sheets: sheets.collect(),
        failure: None,
        fallbacks: Vec::new(),
    }
}

fn moved(end: &End) -> Vec<(String, &str)> {
    end.moves.iter().map(|(temp, key)| (temp.path.display().to_string(), key.as_str())).collect()
}

#[test]
fn ordinals_have_no_gaps_and_follow_the_asked_order() {
    let fates = [Fate::Picture, Fate::Failed(FailCode::Corrupt), Fate::PastEnd, Fate::Picture];
    let end = tally(&decided(true, &fates, &[4, 1]), 9);
    assert_eq!(
        moved(&end),
        [
            ("p0".to_owned(), "v/snapshots/normal/j-00001.jpg"),
            ("p3".to_owned(), "v/snapshots/normal/j-00002.jpg"),
            ("s1".to_owned(), "v/snapshots/sprite/j-00001.jpg"),
            ("s4".to_owned(), "v/snapshots/sprite/j-00002.jpg"),
        ]
    );
    let told: Vec<_> = end.points.iter().map(|p| (p.status, p.ordinal, p.bytes)).collect();
    assert_eq!(
        told,
        [
            (PointStatus::Ok, Some(1), Some(7)),
            (PointStatus::Failed, None, None),
            (PointStatus::PastEnd, None, None),
            (PointStatus::Ok, Some(2), Some(7)),
        ]
    );
    assert_eq!(end.points[1].reason.as_deref(), Some("corrupt (decode): point 1"));
    assert_eq!(end.finished.failure, None);
    assert_eq!((end.finished.pictures, end.finished.tally.sheets, end.finished.ended_ms), (2, 2, 9));
}

#[test]
fn cells_count_as_delivered_while_a_sheet_holds_them() {
    let fates = [Fate::Cell, Fate::Cell, Fate::PastEnd];
    let with = tally(&decided(false, &fates, &[0]), 0).finished;
    let counts = Counts { asked: 3, delivered: 2, past_end: 1, failed: 0 };
    assert_eq!((with.pictures, with.tally.sheets, with.tally.points), (0, 1, counts));
    assert_eq!(with.failure, None);
    let without = tally(&decided(false, &fates, &[]), 0).finished;
    assert_eq!((without.tally.points.delivered, without.tally.points.failed), (0, 2));
    assert_eq!(without.failure.map(|f| f.code), Some(FailCode::Internal));
}

#[test]
fn a_job_without_images_fails_for_the_reason_that_most_points_share() {
    let code = |decided: &Decided| tally(decided, 0).finished.failure.map(|f| (f.code, f.text));
    let failed = Fate::Failed;
    let fates =
        [Fate::PastEnd, failed(FailCode::Timeout), failed(FailCode::Corrupt), failed(FailCode::Corrupt)];
    assert_eq!(code(&decided(true, &fates, &[])), Some((FailCode::Corrupt, "point 2".to_owned())));
    let tie = [failed(FailCode::Timeout), failed(FailCode::Corrupt)];
    assert_eq!(code(&decided(true, &tie, &[])), Some((FailCode::Timeout, "point 0".to_owned())));
    let past = code(&decided(true, &[Fate::PastEnd; 3], &[])).map(|(code, _)| code);
    assert_eq!(past, Some(FailCode::PastEnd));
    assert_eq!(code(&decided(true, &[], &[])).map(|(code, _)| code), Some(FailCode::PastEnd));
    let mut whole = decided(true, &fates, &[]);
    whole.failure = Some(Failure::new(FailCode::NoVideo, Stage::Probe, "no video stream"));
    assert_eq!(code(&whole), Some((FailCode::NoVideo, "no video stream".to_owned())));
}

#[test]
fn what_was_delivered_counts_whatever_became_of_the_job() {
    let mut cut = decided(true, &[Fate::Picture, Fate::Failed(FailCode::Crashed)], &[]);
    cut.points[1].failure = None;
    cut.failure = Some(Failure::new(FailCode::Crashed, Stage::Decode, "the process died"));
    let end = tally(&cut, 0);
    assert_eq!(end.finished.failure, None);
    assert_eq!(end.points[1].reason.as_deref(), Some("crashed (decode): the process died"));
}

#[test]
fn no_point_names_the_path_of_a_video_that_cannot_be_opened() {
    let mut gone = decided(true, &[Fate::Failed(FailCode::Crashed)], &[]);
    gone.points[0].failure = None;
    gone.failure = Some(Failure::new(FailCode::NotFound, Stage::Open, "/media/a.mp4: no such file"));
    let end = tally(&gone, 0);
    assert_eq!(end.points[0].reason.as_deref(), Some("not_found (open)"));
    assert_eq!(end.finished.failure, gone.failure);
}

#[test]
fn no_settings_no_event() {
    let decided = decided(true, &[Fate::Picture], &[]);
    let end = tally(&decided, 1_000);
    let event = |settings| event(&decided, &end, settings, "http://base", "e".to_owned()).expect("rendered");
    assert_eq!(event(None), None);
    let settings = CallbackSettings {
        app_id: String::new(),
        callback_url: "http://hook.test/".to_owned(),
        event_types: EVENT_TYPE.to_owned(),
        auth_switch: false,
        auth_key: None,
    };
    let sent = event(Some(&settings)).expect("an event");
    assert_eq!(
        (sent.url.as_str(), sent.event_id.as_str(), sent.created_ms),
        ("http://hook.test/", "e", 1_000)
    );
    assert!(sent.body.contains(r#""Extend":"of the video""#) && sent.body.contains(r#""SnapshotCount":1"#));
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Picture),
        Just(Fate::Cell),
        Just(Fate::PastEnd),
        prop::sample::select(FailCode::ALL.to_vec()).prop_map(Fate::Failed)
    ]
}

proptest! {
    #[test]
    fn the_counts_add_up(fates in prop::collection::vec(fate(), 0..20), sheets in 0u32..3, keep: bool) {
        let numbers: Vec<u32> = (0..sheets).collect();
        let end = tally(&decided(keep, &fates, &numbers), 0);
        let f = &end.finished;
        let Counts { asked, delivered, past_end, failed } = f.tally.points;
        prop_assert_eq!(asked, delivered + past_end + failed);
        prop_assert_eq!(f.failure.is_none(), f.pictures + f.tally.sheets > 0);
        prop_assert_eq!(end.moves.len(), (f.pictures + f.tally.sheets) as usize);
        let ordinals: Vec<u32> = end.points.iter().filter_map(|p| p.ordinal).collect();
        prop_assert_eq!(ordinals, (1..=f.pictures).collect::<Vec<_>>());
        for point in &end.points {
            prop_assert_eq!(point.reason.is_some(), point.status == PointStatus::Failed);
            prop_assert_eq!(point.shown.is_some(), point.status.has_picture());
        }
    }
}
