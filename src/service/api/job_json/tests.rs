//! Shapes of GetJobDetail.

use super::*;
use crate::model::device::Refusal;
use crate::model::ids::{AccountId, JobId, VideoId};
use crate::model::job::{FailCode, Failure, Fallback, Stage};
use crate::model::media::Backend;
use crate::model::snapshot::PointStatus;
use crate::model::snapshot::Shown;
use crate::model::spec::AskedSize;
use proptest::prelude::*;

fn job(state: JobState, points: Points) -> Job {
    Job {
        id: JobId::from("9f2c"),
        account: AccountId(1_000_000_000_000_001),
        video: VideoId::from("3b46"),
        spec: SnapshotSpec { size: AskedSize { width: Some(640), height: None }, ..SnapshotSpec::of(points) },
        user_data: None,
        request_id: "R".into(),
        state,
        attempts: 0,
        created_ms: 1_767_323_045_000,
        started_ms: None,
        ended_ms: Some(1_767_323_047_500),
        failure: None,
        pictures: 0,
        sheets: 0,
        fallbacks: Vec::new(),
    }
}

fn row(asked: u32, status: PointStatus) -> PointRow {
    let shown = status.has_picture().then_some(Shown {
        status,
        shown_ms: 1480,
        pts: 18944,
        width: 320,
        height: 180,
        key_frame: false,
        backend: Backend::Cpu,
        frame_md5: None,
    });
    PointRow {
        asked,
        asked_ms: 1500,
        status,
        reason: (status == PointStatus::Failed).then(|| "crashed".into()),
        ordinal: shown.is_some().then_some(asked + 1),
        bytes: shown.is_some().then_some(9120),
        shown,
    }
}

fn config(job: &Job, name: &str) -> Value {
    let shown = detail(job, &[]);
    serde_json::from_str(shown["SnapshotJobDetail"][name].as_str().unwrap()).unwrap()
}

#[test]
fn a_running_job_has_no_end_and_no_pictures() {
    for state in [JobState::Queued, JobState::Running] {
        let shown = detail(&job(state, Points::Even { offset_ms: 500, count: 12 }), &[]);
        assert_eq!(
            Value::Object(shown),
            json!({"JobType": "snapshot", "SnapshotJobDetail": {
                "JobId": "9f2c", "UserId": 1_000_000_000_000_001i64, "VideoId": "3b46", "Status": "Processing",
                "Trigger": "Manual", "CreateTime": "2026-01-02T03:04:05Z",
                "NormalConfig": r#"{"ft":"normal","inl":"0","num":"12","tm":"500","wd":"640"}"#}})
        );
    }
}

#[test]
fn an_ended_job_tells_the_truth() {
    let rows = [row(0, PointStatus::Ok), row(1, PointStatus::PastEnd), row(2, PointStatus::Failed)];
    let job = job(JobState::Succeeded, Points::List(vec![1500; 3]));
    let shown = &detail(&job, &rows)["SnapshotJobDetail"];
    assert_eq!(
        (&shown["Status"], &shown["CompleteTime"]),
        (&json!("Success"), &json!("2026-01-02T03:04:07Z"))
    );
    assert_eq!(
        shown["Stillframe"],
        json!({"result": "partial", "asked": 3, "delivered": 1, "past_end": 1, "failed": 1, "pictures": [
            {"ordinal": 1, "asked_ms": 1500, "shown_ms": 1480, "pts": 18944, "status": "ok", "width": 320,
             "height": 180, "key_frame": false, "backend": "cpu", "bytes": 9120,
             "file": "3b46/snapshots/normal/9f2c-00001.jpg"},
            {"asked_ms": 1500, "status": "past_end"},
            {"asked_ms": 1500, "status": "failed", "reason": "crashed"}]})
    );
}

#[test]
fn devices_that_gave_up_are_told() {
    let fallbacks = vec![
        Fallback { from: Backend::Cuda, reason: Refusal::Hang, points: 7 },
        Fallback { from: Backend::Vaapi, reason: Refusal::NoFrame, points: 1 },
    ];
    let job = Job { fallbacks, ..job(JobState::Succeeded, Points::List(vec![1500])) };
    let shown = &detail(&job, &[row(0, PointStatus::Ok)])["SnapshotJobDetail"];
    assert_eq!(
        shown["Stillframe"]["fallbacks"],
        json!([{"from": "cuda", "reason": "hang", "points": 7}, {"from": "vaapi", "reason": "no_frame", "points": 1}])
    );
}

#[test]
fn a_failed_job_shows_the_code_and_no_path() {
    let failure = Failure::new(FailCode::NotMedia, Stage::Open, "/srv/secret.mp4 is no video");
    let job = Job { failure: Some(failure), ..job(JobState::Failed, Points::List(vec![1, 2])) };
    let shown = detail(&job, &[]);
    let told = &shown["SnapshotJobDetail"]["Stillframe"];
    assert_eq!((&told["asked"], &told["failed"]), (&json!(2), &json!(2)));
    assert_eq!(told["failure"], json!({"code": "not_media", "stage": "open"}));
    assert!(!Value::Object(shown).to_string().contains("secret"));
}

#[test]
fn configs_have_the_short_keys() {
    let every = job(JobState::Queued, Points::Every { offset_ms: 2000, count: 3, interval_ms: 1000 });
    assert_eq!(
        config(&every, "NormalConfig"),
        json!({"tm": "2000", "num": "3", "inl": "1", "wd": "640", "ft": "normal"})
    );
    let list = job(JobState::Queued, Points::List(vec![0, 1500]));
    assert_eq!(
        config(&list, "NormalConfig"),
        json!({"num": "2", "tms": "[0,1500]", "wd": "640", "ft": "normal"})
    );
    let mut sprite = list;
    sprite.spec.sprite = Some(SpriteSpec {
        cell: AskedSize { width: Some(160), height: None },
        columns: 4,
        lines: 3,
        padding: 0,
        margin: 0,
        color: [0; 3],
    });
    assert_eq!(
        config(&sprite, "SpriteConfig"),
        json!({"cols": "4", "lines": "3", "pad": "0", "mgin": "0", "wd": "160", "ikcp": "true"})
    );
}

proptest! {
    #[test]
    fn counts_add_up(statuses in prop::collection::vec(0usize..6, 0..30), count in 1u32..30) {
        let all = [PointStatus::Ok, PointStatus::FirstFrame, PointStatus::LastFrame, PointStatus::PastEnd,
            PointStatus::Concealed, PointStatus::Failed];
        let rows: Vec<PointRow> = statuses.iter().zip(0..).map(|(s, n)| row(n, all[*s])).collect();
        let job = job(JobState::Succeeded, Points::Even { offset_ms: 0, count });
        let shown = detail(&job, &rows);
        let told = &shown["SnapshotJobDetail"]["Stillframe"];
        let number = |name: &str| told[name].as_u64().unwrap();
        prop_assert_eq!(number("asked"), number("delivered") + number("past_end") + number("failed"));
    }
}
