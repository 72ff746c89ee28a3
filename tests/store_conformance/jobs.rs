//! Submitting, looking, cancelling, asking again.

use stillframe::model::device::Refusal;
use stillframe::model::ids::ClaimToken;
use stillframe::model::job::{FailCode, Failure, Fallback, Stage};
use stillframe::model::media::Backend;
use stillframe::model::spec::{AskedSize, FrameType, Points, SnapshotSpec, SpriteSpec};
use stillframe::service::store::StoreError;
use stillframe::service::store::rows::{FinishedJob, JobState, NewJob, SnapshotKind};

use super::{ALICE, BOB, NOW, finished, job_id, new_job, plain_point, ready, sheet, spec, video_id};

#[tokio::test]
async fn a_submitted_job_is_there_as_sent() {
    let fresh = ready().await;
    let store = &fresh.store;
    let specs = [
        spec(),
        SnapshotSpec { points: Points::List(vec![0, 1_500, 1_500, -1]), ..spec() },
        SnapshotSpec { points: Points::Every { offset_ms: 1, count: 2, interval_ms: 3 }, ..spec() },
        SnapshotSpec { points: Points::ToEnd { offset_ms: 1, interval_ms: 2, most: 3 }, ..spec() },
        SnapshotSpec {
            points: Points::None,
            size: AskedSize { width: None, height: Some(720) },
            quality: 1,
            frame_type: FrameType::Intra,
            sprite: Some(SpriteSpec {
                cell: AskedSize { width: Some(120), height: None },
                columns: 3,
                lines: 10,
                padding: 1,
                margin: 2,
                color: [1, 2, 255],
            }),
            keep_pictures: false,
            frame_md5: true,
            tolerance_ms: 0,
        },
    ];
    for (i, spec) in specs.into_iter().enumerate() {
        let id = format!("j{i}");
        let job = NewJob {
            spec: spec.clone(),
            user_data: Some("{}".to_owned()),
            created_ms: NOW + 7,
            ..new_job(ALICE, "v", &id)
        };
        store.submit(job).await.expect("submits");
        let read = store.job(Some(ALICE), &job_id(&id)).await.expect("reads").expect("is there");
        assert_eq!(read.spec, spec);
        assert_eq!((read.account, read.video, read.state), (ALICE, video_id("v"), JobState::Queued));
        assert_eq!((read.user_data.as_deref(), read.request_id), (Some("{}"), format!("request-{id}")));
        assert_eq!((read.created_ms, read.started_ms, read.ended_ms), (NOW + 7, None, None));
        assert_eq!((read.attempts, read.pictures, read.sheets, read.failure), (0, 0, 0, None));
    }
    assert!(store.job(Some(BOB), &job_id("j0")).await.expect("reads").is_none(), "another's job");
    assert!(store.job(None, &job_id("j0")).await.expect("reads").is_some());
}

#[tokio::test]
async fn a_refused_submission_leaves_nothing_and_the_store_goes_on() {
    let fresh = ready().await;
    let store = &fresh.store;
    fresh.submit(ALICE, "v", "j").await;
    let taken = store.submit(new_job(ALICE, "v", "j")).await;
    assert!(matches!(taken, Err(StoreError::Taken { ref what }) if what == "job id"), "{taken:?}");
    let orphan = store.submit(new_job(ALICE, "no such video", "k")).await;
    assert!(matches!(orphan, Err(StoreError::Unavailable { .. })), "{orphan:?}");
    assert!(store.job(None, &job_id("k")).await.expect("reads").is_none());
    fresh.submit(ALICE, "v", "l").await;
    assert_eq!(store.counts().await.expect("counts").queued, 2);
}

#[tokio::test]
async fn lists_are_newest_first_and_by_state() {
    let fresh = ready().await;
    let store = &fresh.store;
    for id in ["a", "b", "c", "d", "e"] {
        fresh.submit(ALICE, "v", id).await;
    }
    let token = ClaimToken::from("t");
    fresh.claim(ALICE, "v", "t").await.expect("claims");
    assert!(store.finish(finished("a", &token)).await.expect("finishes"));
    let failure = Some(Failure::new(FailCode::Io, Stage::Open, "failed"));
    assert!(
        store.finish(FinishedJob { failure, pictures: 0, ..finished("b", &token) }).await.expect("finishes")
    );
    assert!(store.cancel(&job_id("c"), NOW).await.expect("cancels"));
    store.release(&token, &[job_id("d")], false, NOW).await.expect("releases");
    let list = |state, limit| async move {
        let jobs = store.jobs(state, limit).await.expect("lists");
        jobs.iter().map(|job| job.id.0.clone()).collect::<Vec<_>>().join("")
    };
    assert_eq!(list(None, 10).await, "edcba");
    assert_eq!(list(None, 2).await, "ed");
    for (state, expected) in JobState::ALL.into_iter().zip(["d", "e", "a", "b", "c"]) {
        assert_eq!(list(Some(state), 10).await, expected);
    }
}

#[tokio::test]
async fn a_cancelled_job_stays_cancelled() {
    let fresh = ready().await;
    let store = &fresh.store;
    for id in ["queued", "running"] {
        fresh.submit(ALICE, "v", id).await;
    }
    assert!(store.cancel(&job_id("queued"), NOW + 1).await.expect("cancels"));
    let claim = fresh.claim(ALICE, "v", "t").await.expect("claims");
    assert_eq!(super::ids(&claim), ["running"]);
    assert!(store.cancelled(&claim.token, &[job_id("running")]).await.expect("looks").is_empty());
    assert!(store.cancel(&job_id("running"), NOW + 2).await.expect("cancels"));
    let lost = store.cancelled(&claim.token, &[job_id("running"), job_id("no such job")]).await;
    assert_eq!(lost.expect("looks"), [job_id("running")]);

    let late = FinishedJob {
        points: vec![plain_point(0)],
        sheets: vec![sheet(1)],
        ..finished("running", &claim.token)
    };
    assert!(!store.finish(late).await.expect("finds no row"));
    assert!(store.points(&job_id("running")).await.expect("reads").is_empty());
    assert!(store.sheets(&job_id("running")).await.expect("reads").is_empty());
    let job = store.job(None, &job_id("running")).await.expect("reads").expect("is there");
    assert_eq!((job.state, job.ended_ms), (JobState::Cancelled, Some(NOW + 2)));
    assert!(
        store.release(&claim.token, &[job_id("running")], true, NOW).await.expect("finds none").is_empty()
    );
    assert!(!store.cancel(&job_id("running"), NOW).await.expect("is over"));
    assert!(!store.cancel(&job_id("no such job"), NOW).await.expect("finds none"));
}

#[tokio::test]
async fn a_job_asked_for_again_starts_anew() {
    let fresh = ready().await;
    let store = &fresh.store;
    fresh.submit(ALICE, "v", "j").await;
    assert!(!store.requeue(&job_id("j"), NOW).await.expect("is queued"));
    fresh.claim(ALICE, "v", "t1").await.expect("claims");
    store.release(&ClaimToken::from("t1"), &[job_id("j")], true, NOW).await.expect("releases");
    fresh.claim(ALICE, "v", "t2").await.expect("claims");
    assert!(!store.requeue(&job_id("j"), NOW).await.expect("is running"));
    let end = FinishedJob {
        failure: Some(Failure::new(FailCode::Crashed, Stage::Decode, "it died")),
        points: vec![plain_point(0), plain_point(1)],
        sheets: vec![sheet(1)],
        pictures: 0,
        fallbacks: vec![Fallback { from: Backend::Cuda, reason: Refusal::Lost, points: 2 }],
        ..finished("j", &ClaimToken::from("t2"))
    };
    let fallbacks = end.fallbacks.clone();
    assert!(store.finish(end).await.expect("finishes"));
    assert_eq!(store.points(&job_id("j")).await.expect("reads").len(), 2);
    let job = store.job(None, &job_id("j")).await.expect("reads").expect("is there");
    assert_eq!(job.fallbacks, fallbacks);

    assert!(store.requeue(&job_id("j"), NOW + 9).await.expect("queues again"));
    let job = store.job(None, &job_id("j")).await.expect("reads").expect("is there");
    assert_eq!((job.state, job.attempts, job.failure), (JobState::Queued, 0, None));
    assert_eq!((job.started_ms, job.ended_ms, job.pictures, job.sheets), (None, None, 0, 0));
    assert_eq!(job.fallbacks, []);
    assert!(store.points(&job_id("j")).await.expect("reads").is_empty());
    assert!(store.sheets(&job_id("j")).await.expect("reads").is_empty());
    fresh.claim_at(ALICE, "v", "t3", NOW + 9).await.expect("claims");
    let end = FinishedJob { points: vec![plain_point(0)], ..finished("j", &ClaimToken::from("t3")) };
    assert!(store.finish(end).await.expect("finishes again"));
    assert!(!store.requeue(&job_id("j"), NOW).await.expect("has succeeded"));
    assert!(!store.requeue(&job_id("no such job"), NOW).await.expect("finds none"));
}

#[tokio::test]
async fn the_latest_job_is_the_latest_submitted_that_has_such_images() {
    let fresh = ready().await;
    let store = &fresh.store;
    let latest = |kind| async move {
        let job = store.latest_job(&video_id("v"), kind).await.expect("reads");
        job.map(|job| job.id.0)
    };
    for id in ["a", "b", "c", "d", "e"] {
        fresh.submit(ALICE, "v", id).await;
    }
    assert_eq!(latest(SnapshotKind::Normal).await, None);
    let token = ClaimToken::from("t");
    fresh.claim(ALICE, "v", "t").await.expect("claims");
    // c ends first, then a: the latest submitted counts, whichever ends last.
    for (id, pictures, sheets) in [("c", 3, 0), ("a", 1, 1), ("b", 0, 2), ("d", 0, 0)] {
        let sheets = (1..=sheets).map(sheet).collect();
        assert!(
            store.finish(FinishedJob { pictures, sheets, ..finished(id, &token) }).await.expect("finishes")
        );
    }
    let failure = Some(Failure::new(FailCode::Corrupt, Stage::Decode, "no"));
    assert!(store.finish(FinishedJob { failure, ..finished("e", &token) }).await.expect("finishes"));
    assert_eq!(latest(SnapshotKind::Normal).await.as_deref(), Some("c"));
    assert_eq!(latest(SnapshotKind::Sprite).await.as_deref(), Some("b"));
    assert!(store.latest_job(&video_id("w"), SnapshotKind::Normal).await.expect("reads").is_none());
}

#[tokio::test]
async fn unfinished_names_the_jobs_that_still_wait_for_an_end() {
    let fresh = ready().await;
    let store = &fresh.store;
    for id in ["queued", "running", "ended"] {
        fresh
            .submit(if id == "queued" { BOB } else { ALICE }, if id == "queued" { "w" } else { "v" }, id)
            .await;
    }
    let claim = fresh.claim(ALICE, "v", "t").await.expect("claims");
    assert!(store.finish(finished("ended", &claim.token)).await.expect("finishes"));
    let asked: Vec<_> = ["queued", "running", "ended", "never"].into_iter().map(job_id).collect();
    let mut waiting = store.unfinished(&asked).await.expect("reads");
    waiting.sort();
    assert_eq!(waiting, [job_id("queued"), job_id("running")]);
    assert!(store.unfinished(&[]).await.expect("reads").is_empty());
}
