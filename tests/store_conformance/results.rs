//! What is kept of an ended job.

use stillframe::model::ids::ClaimToken;
use stillframe::model::job::{FailCode, Failure, Stage};
use stillframe::model::media::Backend;
use stillframe::model::snapshot::{PointStatus, Shown};
use stillframe::service::store::rows::{FinishedJob, JobState, NewDelivery, PointRow, SheetRow};

use super::{ALICE, NOW, finished, job_id, plain_point, ready};

const STATUSES: [PointStatus; 6] = [
    PointStatus::Ok,
    PointStatus::FirstFrame,
    PointStatus::LastFrame,
    PointStatus::PastEnd,
    PointStatus::Concealed,
    PointStatus::Failed,
];

fn every_point() -> Vec<PointRow> {
    let mut points = Vec::new();
    for status in STATUSES {
        for backend in [Backend::Cpu, Backend::Cuda, Backend::Vaapi] {
            let asked = points.len() as u32;
            let odd = asked % 2 == 1;
            // A frame may have been shown for a point that failed afterwards.
            let shown = (status != PointStatus::PastEnd).then_some(Shown {
                status: if status == PointStatus::Failed { PointStatus::Ok } else { status },
                shown_ms: if odd { i64::MIN } else { i64::MAX },
                pts: if odd { i64::MAX } else { -1 },
                width: u32::MAX,
                height: 1,
                key_frame: odd,
                backend,
                frame_md5: odd.then_some([0xab; 16]),
            });
            let image = status.has_picture() && odd;
            points.push(PointRow {
                asked,
                asked_ms: i64::from(asked) - 5,
                status,
                reason: (!status.has_picture()).then(|| "a \"reason\", \u{4e2d}\n".to_owned()),
                shown,
                ordinal: image.then_some(asked + 1),
                bytes: image.then_some(1 << 40),
            });
        }
    }
    points
}

#[tokio::test]
async fn every_point_and_sheet_survives() {
    let fresh = ready().await;
    fresh.submit(ALICE, "v", "j").await;
    let claim = fresh.claim(ALICE, "v", "t").await.expect("claims");
    let sheets = vec![
        SheetRow { number: 1, width: 1, height: u32::MAX, bytes: 0 },
        SheetRow { number: 2, width: 65_535, height: 2, bytes: 1 << 40 },
    ];
    let end = FinishedJob {
        points: every_point(),
        sheets: sheets.clone(),
        pictures: 7,
        ..finished("j", &claim.token)
    };
    assert!(fresh.store.finish(end).await.expect("finishes"));
    assert_eq!(fresh.store.points(&job_id("j")).await.expect("reads"), every_point());
    assert_eq!(fresh.store.sheets(&job_id("j")).await.expect("reads"), sheets);
    let job = fresh.store.job(None, &job_id("j")).await.expect("reads").expect("is there");
    assert_eq!((job.pictures, job.sheets, job.failure), (7, 2, None));
    assert!(fresh.store.points(&job_id("no such job")).await.expect("reads").is_empty());
}

#[tokio::test]
async fn a_thousand_points_go_in_at_once() {
    let fresh = ready().await;
    fresh.submit(ALICE, "v", "j").await;
    let claim = fresh.claim(ALICE, "v", "t").await.expect("claims");
    let points: Vec<_> = (0..1_000).map(plain_point).collect();
    assert!(
        fresh.store.finish(FinishedJob { points, ..finished("j", &claim.token) }).await.expect("finishes")
    );
    let read = fresh.store.points(&job_id("j")).await.expect("reads");
    assert_eq!(read.iter().map(|p| p.asked).collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_failure_survives() {
    let fresh = ready().await;
    let all =
        FailCode::ALL.into_iter().flat_map(|code| Stage::ALL.into_iter().map(move |stage| (code, stage)));
    for (code, stage) in all.step_by(5) {
        let id = format!("{}-{}", code.name(), stage.name());
        fresh.submit(ALICE, "v", &id).await;
        let claim = fresh.claim(ALICE, "v", &id).await.expect("claims");
        let failure = Failure::new(code, stage, format!("why {id}"));
        let end = FinishedJob { failure: Some(failure.clone()), pictures: 0, ..finished(&id, &claim.token) };
        assert!(fresh.store.finish(end).await.expect("finishes"));
        let job = fresh.store.job(None, &job_id(&id)).await.expect("reads").expect("is there");
        assert_eq!((job.state, job.failure), (JobState::Failed, Some(failure)));
    }
}

#[tokio::test]
async fn an_end_is_all_or_nothing() {
    let fresh = ready().await;
    fresh.submit(ALICE, "v", "j").await;
    fresh.submit(ALICE, "v", "k").await;
    let claim = fresh.claim(ALICE, "v", "t").await.expect("claims");
    let event = NewDelivery {
        event_id: "e".to_owned(),
        account: ALICE,
        job: Some(job_id("j")),
        event_type: "SnapshotComplete".to_owned(),
        url: "https://example.com".to_owned(),
        body: "{}".to_owned(),
        created_ms: NOW,
    };
    // Two points of the same place cannot both be kept: nothing of the end is.
    let twice = FinishedJob {
        points: vec![plain_point(3), plain_point(3)],
        event: Some(event.clone()),
        ..finished("j", &claim.token)
    };
    assert!(fresh.store.finish(twice).await.is_err());
    assert_eq!(fresh.state("j").await, "running");
    assert!(fresh.store.points(&job_id("j")).await.expect("reads").is_empty());
    assert!(fresh.store.delivery("e").await.expect("reads").is_none());
    // An event of no job of ours comes last in the transaction and takes all of it along.
    let orphan = NewDelivery { job: Some(job_id("no such job")), ..event.clone() };
    let end =
        FinishedJob { points: vec![plain_point(3)], event: Some(orphan), ..finished("j", &claim.token) };
    assert!(fresh.store.finish(end).await.is_err());
    assert!(fresh.store.points(&job_id("j")).await.expect("reads").is_empty());
    // And neither its claim nor its neighbour's is harmed.
    let good =
        FinishedJob { points: vec![plain_point(3)], event: Some(event), ..finished("j", &claim.token) };
    assert!(fresh.store.finish(good).await.expect("finishes"));
    assert!(fresh.store.finish(finished("k", &ClaimToken::from("t"))).await.expect("finishes"));
    assert!(fresh.store.delivery("e").await.expect("reads").is_some());
}
