//! What was answered is there, whatever happens next.

use stillframe::service::store::{Store, StoreError};
use tokio::task::JoinSet;

use super::{ALICE, BOB, NOW, fresh, incarnation, job_id, new_job, ready, video_id};
use stillframe::model::ids::ClaimToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_concurrent_submissions_are_all_there() {
    let fresh = ready().await;
    let mut submitting = JoinSet::new();
    for i in 0..200 {
        let store = fresh.store.clone();
        // Every fourth is a duplicate of the one before it: its failure is its own.
        let id = format!("j{}", if i % 4 == 3 { i - 1 } else { i });
        submitting.spawn(async move { store.submit(new_job(ALICE, "v", &id)).await });
    }
    let answers = submitting.join_all().await;
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 150);
    assert_eq!(answers.iter().filter(|a| matches!(a, Err(StoreError::Taken { .. }))).count(), 50);
    assert_eq!(fresh.store.jobs(None, 1_000).await.expect("lists").len(), 150);
    assert_eq!(fresh.store.counts().await.expect("counts").queued, 150);
}

#[tokio::test]
async fn what_was_answered_survives_a_drop_without_a_close() {
    let fresh = ready().await;
    fresh.submit(ALICE, "v", "queued").await;
    fresh.submit(BOB, "w", "running").await;
    fresh.claim(BOB, "w", "t").await.expect("claims");
    let path = fresh.path();
    let super::Fresh { store, folder } = fresh;
    drop(store);
    // The second handle may be there before the first is gone: the file takes both.
    let again = Store::open(&path).await.expect("opens again");
    assert_eq!(again.jobs(None, 10).await.expect("lists").len(), 2);
    let job = again.job(None, &job_id("running")).await.expect("reads").expect("is there");
    assert_eq!(job.state.name(), "running");
    let claim = again.claim(ALICE, &video_id("v"), &ClaimToken::from("u"), &incarnation(), NOW).await;
    assert_eq!(claim.expect("claims").expect("is due").jobs.len(), 1);
    drop(folder);
}

#[tokio::test]
async fn two_handles_on_one_store_see_each_other() {
    let fresh = ready().await;
    let other = Store::open(&fresh.path()).await.expect("opens beside");
    fresh.submit(ALICE, "v", "a").await;
    assert!(other.job(None, &job_id("a")).await.expect("reads").is_some());
    assert!(other.cancel(&job_id("a"), NOW).await.expect("cancels"));
    assert_eq!(fresh.state("a").await, "cancelled");
    other.submit(new_job(ALICE, "v", "b")).await.expect("submits");
    fresh.submit(ALICE, "v", "c").await;
    assert_eq!(other.counts().await.expect("counts").queued, 2);
    other.close().await;
    fresh.submit(ALICE, "v", "d").await;
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let fresh = fresh().await;
    fresh.store.check(NOW).await.expect("writes");
    fresh.store.close().await;
    assert!(matches!(fresh.store.check(NOW).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(fresh.store.keys().await, Err(StoreError::Unavailable { .. })));
}
