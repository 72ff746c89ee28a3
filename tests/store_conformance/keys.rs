//! Keys, nonces and the rate window.

use secrecy::{ExposeSecret, SecretString};
use stillframe::service::store::StoreError;
use stillframe::service::store::rows::{AccessKey, Admission, Admitted, JobState};
use tokio::task::JoinSet;

use super::{ALICE, BOB, NOW, fresh, job_id, new_job, ready};
use stillframe::model::ids::AccountId;
use stillframe::service::store::Store;

fn key(id: &str, account: AccountId) -> AccessKey {
    AccessKey {
        id: id.to_owned(),
        secret: SecretString::from(format!("secret of {id}")),
        account,
        enabled: true,
        created_ms: NOW,
    }
}

fn admission(account: AccountId, nonce: &str, now_ms: i64, limit: u32) -> Admission {
    Admission {
        key_id: format!("key-{account}"),
        account,
        nonce: nonce.to_owned(),
        nonce_expires_ms: now_ms + 60_000,
        now_ms,
        limit: Some(("SubmitSnapshotJob", limit)),
    }
}

#[tokio::test]
async fn keys_are_kept_disabled_and_unique() {
    let fresh = fresh().await;
    let store = &fresh.store;
    store.add_key(&key("a", ALICE)).await.expect("adds");
    store.add_key(&key("b", BOB)).await.expect("adds");
    let again = store.add_key(&key("a", BOB)).await;
    assert!(matches!(again, Err(StoreError::Taken { ref what }) if what == "access key id"), "{again:?}");

    let read = store.key("a").await.expect("reads").expect("is there");
    assert_eq!((read.account, read.enabled, read.created_ms), (ALICE, true, NOW));
    assert_eq!(read.secret.expose_secret(), "secret of a");
    assert!(store.key("c").await.expect("reads").is_none());

    assert!(store.set_key_enabled("a", false).await.expect("disables"));
    assert!(!store.set_key_enabled("c", false).await.expect("finds none"));
    assert!(!store.key("a").await.expect("reads").expect("is there").enabled);
    let all = store.keys().await.expect("lists");
    assert_eq!(
        all.iter().map(|k| (k.id.as_str(), k.enabled)).collect::<Vec<_>>(),
        [("a", false), ("b", true)]
    );
}

#[tokio::test]
async fn a_nonce_is_used_once_for_each_key() {
    let fresh = fresh().await;
    let store = &fresh.store;
    let admit = |account, nonce| store.admit(admission(account, nonce, NOW, 30));
    assert_eq!(admit(ALICE, "n").await.expect("admits"), Admitted::Yes);
    assert_eq!(admit(ALICE, "n").await.expect("admits"), Admitted::NonceUsed);
    assert_eq!(admit(BOB, "n").await.expect("admits"), Admitted::Yes);
    assert_eq!(admit(ALICE, "m").await.expect("admits"), Admitted::Yes);
}

#[tokio::test]
async fn a_nonce_survives_a_restart_until_it_expires() {
    let fresh = fresh().await;
    assert_eq!(fresh.store.admit(admission(ALICE, "n", NOW, 30)).await.expect("admits"), Admitted::Yes);
    fresh.store.close().await;
    let store = Store::open(&fresh.path()).await.expect("opens again");
    let later = |ms| store.admit(admission(ALICE, "n", NOW + ms, 30));
    assert_eq!(later(59_999).await.expect("admits"), Admitted::NonceUsed);
    assert_eq!(later(60_000).await.expect("admits"), Admitted::Yes, "expired");
    assert_eq!(later(60_001).await.expect("admits"), Admitted::NonceUsed, "its second life counts anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_concurrent_duplicates_exactly_one_gets_in() {
    let fresh = fresh().await;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let store = fresh.store.clone();
        asking.spawn(async move { store.admit(admission(ALICE, "same", NOW, 30)).await.expect("admits") });
    }
    let answers = asking.join_all().await;
    assert_eq!(answers.iter().filter(|a| **a == Admitted::Yes).count(), 1);
    assert_eq!(answers.iter().filter(|a| **a == Admitted::NonceUsed).count(), 49);
}

#[tokio::test]
async fn no_sliding_second_lets_more_than_thirty_in() {
    let fresh = fresh().await;
    let store = &fresh.store;
    // Thirty in the last 100 ms of one calendar second; the next second does not start anew.
    for i in 0..30 {
        let admitted = store.admit(admission(ALICE, &format!("a{i}"), NOW + 900 + i, 30)).await;
        assert_eq!(admitted.expect("admits"), Admitted::Yes);
    }
    let over = |nonce: String, at| async move {
        store.admit(admission(ALICE, &nonce, NOW + at, 30)).await.expect("admits")
    };
    assert_eq!(over("b0".to_owned(), 1_000).await, Admitted::Throttled { retry_after_ms: 900 });
    assert_eq!(over("b1".to_owned(), 1_899).await, Admitted::Throttled { retry_after_ms: 1 });
    assert_eq!(over("b2".to_owned(), 1_900).await, Admitted::Yes, "the first of the thirty has left");
    assert_eq!(over("b3".to_owned(), 1_900).await, Admitted::Throttled { retry_after_ms: 1 });
    assert_eq!(over("b4".to_owned(), 1_901).await, Admitted::Yes);
    // Another account has a window of its own, and so has a request without a limit.
    assert_eq!(store.admit(admission(BOB, "b", NOW + 1_901, 30)).await.expect("admits"), Admitted::Yes);
    let mut free = admission(ALICE, "free", NOW + 1_901, 0);
    free.limit = None;
    assert_eq!(store.admit(free).await.expect("admits"), Admitted::Yes);
    let mut other = admission(ALICE, "other", NOW + 1_901, 30);
    other.limit = Some(("GetVideoInfo", 1));
    assert_eq!(store.admit(other).await.expect("admits"), Admitted::Yes);
}

#[tokio::test]
async fn a_throttled_request_has_used_its_nonce_and_a_replay_takes_no_place() {
    let fresh = fresh().await;
    let store = &fresh.store;
    assert_eq!(store.admit(admission(ALICE, "a", NOW, 2)).await.expect("admits"), Admitted::Yes);
    for _ in 0..5 {
        assert_eq!(store.admit(admission(ALICE, "a", NOW, 2)).await.expect("admits"), Admitted::NonceUsed);
    }
    assert_eq!(store.admit(admission(ALICE, "b", NOW, 2)).await.expect("admits"), Admitted::Yes);
    let throttled = Admitted::Throttled { retry_after_ms: 1_000 };
    assert_eq!(store.admit(admission(ALICE, "c", NOW, 2)).await.expect("admits"), throttled);
    let replay = store.admit(admission(ALICE, "c", NOW + 5_000, 2)).await.expect("admits");
    assert_eq!(replay, Admitted::NonceUsed);
}

#[tokio::test]
async fn a_job_comes_in_with_its_request_or_not_at_all() {
    let ready = ready().await;
    let store = &ready.store;
    let submit = |nonce: &str, id: &str| {
        store.admit_with_job(admission(ALICE, nonce, NOW, 2), new_job(ALICE, "v", id))
    };
    let is_queued = async |id: &str| {
        let job = store.job(None, &job_id(id)).await.expect("reads");
        job.is_some_and(|job| job.state == JobState::Queued)
    };
    assert_eq!(submit("a", "first").await.expect("admits"), Admitted::Yes);
    assert_eq!(submit("a", "replayed").await.expect("refuses"), Admitted::NonceUsed);
    // A row that cannot be is no reason to let the request in: its nonce is as free as before.
    let taken = submit("b", "first").await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    let nobodys =
        store.admit_with_job(admission(BOB, "n", NOW, 2), new_job(BOB, "no such video", "lost")).await;
    assert!(nobodys.is_err(), "{nobodys:?}");
    assert_eq!(store.admit(admission(BOB, "n", NOW, 2)).await.expect("admits"), Admitted::Yes);
    let throttled = Admitted::Throttled { retry_after_ms: 1_000 };
    assert_eq!(submit("b", "late").await.expect("refuses"), throttled);
    assert_eq!(submit("b", "replayed").await.expect("refuses"), Admitted::NonceUsed);
    assert!(is_queued("first").await);
    for id in ["replayed", "lost", "late"] {
        assert!(!is_queued(id).await, "{id}");
    }
}

#[tokio::test]
async fn pruning_forgets_what_expired_and_nothing_else() {
    let fresh = fresh().await;
    let store = &fresh.store;
    for (nonce, expires) in [("old", NOW + 10), ("edge", NOW + 20), ("new", NOW + 30)] {
        let mut asked = admission(ALICE, nonce, NOW, 30);
        asked.nonce_expires_ms = expires;
        store.admit(asked).await.expect("admits");
    }
    assert_eq!(store.counts().await.expect("counts").nonces, 3);
    store.prune(NOW + 20).await.expect("prunes");
    assert_eq!(store.counts().await.expect("counts").nonces, 1);
    assert_eq!(
        store.admit(admission(ALICE, "new", NOW + 21, 30)).await.expect("admits"),
        Admitted::NonceUsed
    );
}
