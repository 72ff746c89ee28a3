//! The queue: heads, claims, releases, incarnations.

use stillframe::model::ids::{ClaimToken, Incarnation};
use stillframe::model::limits::{ATTEMPTS_MAX, JOBS_PER_BATCH_MAX};
use stillframe::service::store::RELEASE_AHEAD_MS_MAX;
use stillframe::service::store::rows::{DueHead, JobState};
use tokio::task::JoinSet;

use super::{ALICE, BOB, Fresh, NOW, finished, ids, incarnation, job_id, new_job, ready, video, video_id};

async fn heads(fresh: &Fresh, now_ms: i64, busy: &[&str]) -> Vec<DueHead> {
    let busy: Vec<_> = busy.iter().map(|id| video_id(id)).collect();
    fresh.store.due_heads(now_ms, &busy).await.expect("looks")
}

fn named(heads: &[DueHead]) -> Vec<(i64, &str, u64)> {
    heads.iter().map(|h| (h.account.0, h.video.0.as_str(), h.due_videos)).collect()
}

#[tokio::test]
async fn submit_claim_finish() {
    let fresh = ready().await;
    fresh.submit(ALICE, "v", "j").await;
    assert_eq!(named(&heads(&fresh, NOW, &[]).await), [(1, "v", 1)]);
    let claim = fresh.claim_at(ALICE, "v", "t", NOW + 3).await.expect("claims");
    assert_eq!((ids(&claim), claim.video.path.as_str()), (vec!["j"], "/media/v.mp4"));
    assert_eq!((claim.jobs[0].state, claim.jobs[0].started_ms), (JobState::Running, Some(NOW + 3)));
    assert!(heads(&fresh, NOW + 3, &[]).await.is_empty());
    assert!(fresh.claim(ALICE, "v", "t2").await.is_none(), "nothing is left to claim");
    assert!(fresh.store.finish(finished("j", &claim.token)).await.expect("finishes"));
    let job = fresh.store.job(None, &job_id("j")).await.expect("reads").expect("is there");
    assert_eq!((job.state, job.ended_ms, job.pictures), (JobState::Succeeded, Some(NOW + 5), 1));
    assert!(!fresh.store.finish(finished("j", &claim.token)).await.expect("is over"), "an end is the end");
}

#[tokio::test]
async fn one_head_an_account_the_oldest_free_and_due() {
    let fresh = ready().await;
    fresh.store.register_video(video(ALICE, "v2")).await.expect("registers");
    assert!(heads(&fresh, NOW, &[]).await.is_empty());
    for (account, video, id) in
        [(ALICE, "v2", "a"), (ALICE, "v", "b"), (BOB, "w", "c"), (ALICE, "v2", "d"), (BOB, "w", "e")]
    {
        fresh.submit(account, video, id).await;
    }
    let all = heads(&fresh, NOW, &[]).await;
    assert_eq!(named(&all), [(1, "v2", 3), (2, "w", 3)]);
    assert!(all[0].seq < all[1].seq);
    assert_eq!(named(&heads(&fresh, NOW, &["v2"]).await), [(1, "v", 2), (2, "w", 2)]);
    assert_eq!(named(&heads(&fresh, NOW, &["v2", "v"]).await), [(2, "w", 1)]);
    assert!(heads(&fresh, NOW, &["v", "v2", "w"]).await.is_empty());

    // Given back for later, the oldest waits and the next is the head.
    let claim = fresh.claim(ALICE, "v2", "t").await.expect("claims");
    assert_eq!(ids(&claim), ["a", "d"]);
    let jobs = [job_id("a"), job_id("d")];
    fresh.store.release(&claim.token, &jobs, false, NOW + 1_000).await.expect("releases");
    assert_eq!(named(&heads(&fresh, NOW, &[]).await), [(1, "v", 2), (2, "w", 2)]);
    assert_eq!(named(&heads(&fresh, NOW + 1_000, &[]).await), [(1, "v2", 3), (2, "w", 3)]);
    // A newer job of the same video is due while the older ones wait.
    fresh.submit(ALICE, "v2", "f").await;
    let now = heads(&fresh, NOW, &[]).await;
    assert_eq!(named(&now), [(1, "v2", 3), (2, "w", 3)]);
    let claim = fresh.claim(ALICE, "v2", "t2").await.expect("claims");
    assert_eq!(ids(&claim), ["f"]);
}

#[tokio::test]
async fn a_claim_takes_all_that_is_due_up_to_a_batch() {
    let fresh = ready().await;
    for i in 0..JOBS_PER_BATCH_MAX + 3 {
        fresh.submit(ALICE, "v", &format!("j{i:03}")).await;
    }
    let first = fresh.claim(ALICE, "v", "t1").await.expect("claims");
    let expected: Vec<_> = (0..JOBS_PER_BATCH_MAX).map(|i| format!("j{i:03}")).collect();
    assert_eq!(ids(&first), expected);
    assert_eq!(named(&heads(&fresh, NOW, &[]).await), [(1, "v", 1)]);
    let second = fresh.claim(ALICE, "v", "t2").await.expect("claims");
    assert_eq!(ids(&second), ["j064", "j065", "j066"]);
    assert!(fresh.claim(BOB, "v", "t3").await.is_none(), "another account claims nothing of it");
}

#[tokio::test]
async fn every_change_is_guarded_by_the_token() {
    let fresh = ready().await;
    let store = &fresh.store;
    fresh.submit(ALICE, "v", "j").await;
    let wrong = ClaimToken::from("wrong");
    assert!(!store.finish(finished("j", &wrong)).await.expect("is not running"));
    let claim = fresh.claim(ALICE, "v", "right").await.expect("claims");
    assert!(!store.finish(finished("j", &wrong)).await.expect("is not his"));
    assert!(store.release(&wrong, &[job_id("j")], true, NOW).await.expect("is not his").is_empty());
    assert_eq!(store.cancelled(&wrong, &[job_id("j")]).await.expect("looks"), [job_id("j")]);
    assert_eq!(fresh.state("j").await, "running");
    let back = store.release(&claim.token, &[job_id("j")], false, NOW).await.expect("releases");
    assert_eq!(back, [(job_id("j"), 0)]);
    assert!(!store.finish(finished("j", &claim.token)).await.expect("was given back"));
    fresh.claim(ALICE, "v", "next").await.expect("claims");
    assert!(!store.finish(finished("j", &claim.token)).await.expect("is another's now"));
    assert!(store.finish(finished("j", &ClaimToken::from("next"))).await.expect("finishes"));
}

#[tokio::test]
async fn a_release_charges_only_whom_it_is_told_to() {
    let fresh = ready().await;
    for id in ["a", "b", "c"] {
        fresh.submit(ALICE, "v", id).await;
    }
    let claim = fresh.claim(ALICE, "v", "t").await.expect("claims");
    let store = &fresh.store;
    assert_eq!(
        store.release(&claim.token, &[job_id("a")], true, NOW).await.expect("releases"),
        [(job_id("a"), 1)]
    );
    assert_eq!(
        store.release(&claim.token, &[job_id("b")], false, NOW).await.expect("releases"),
        [(job_id("b"), 0)]
    );
    assert_eq!(fresh.state("c").await, "running");
    assert!(store.release(&claim.token, &[], true, NOW).await.expect("releases none").is_empty());
    let again = fresh.claim(ALICE, "v", "t2").await.expect("claims");
    assert_eq!(again.jobs.iter().map(|j| j.attempts).collect::<Vec<_>>(), [1, 0]);
}

#[tokio::test]
async fn the_last_attempt_runs_alone() {
    let fresh = ready().await;
    let store = &fresh.store;
    // Brings `id` to its last attempt; it is the only job that can be claimed.
    let wear_out = |id: &'static str| {
        let fresh = &fresh;
        async move {
            for attempt in 1..ATTEMPTS_MAX {
                let token = format!("{id}{attempt}");
                let claim = fresh.claim(ALICE, "v", &token).await.expect("claims");
                assert_eq!(ids(&claim), [id]);
                fresh.store.release(&claim.token, &[job_id(id)], true, NOW).await.expect("releases");
            }
        }
    };
    fresh.submit(ALICE, "v", "first").await;
    wear_out("first").await;
    for id in ["second", "third"] {
        fresh.submit(ALICE, "v", id).await;
    }
    let alone = fresh.claim(ALICE, "v", "alone").await.expect("claims");
    assert_eq!((ids(&alone), alone.jobs[0].attempts), (vec!["first"], ATTEMPTS_MAX - 1));

    // When it is not the oldest, the others go first and leave it for later.
    let rest = fresh.claim(ALICE, "v", "rest").await.expect("claims");
    assert_eq!(ids(&rest), ["second", "third"]);
    store.release(&alone.token, &[job_id("first")], false, NOW + 50).await.expect("releases");
    store.release(&rest.token, &[job_id("second"), job_id("third")], false, NOW).await.expect("releases");
    store.cancel(&job_id("third"), NOW).await.expect("cancels");
    fresh.submit(ALICE, "v", "fourth").await;
    // Now `second` is the oldest due job, `fourth` joins it, `first` is due later and `third` is gone.
    let others = fresh.claim(ALICE, "v", "others").await.expect("claims");
    assert_eq!(ids(&others), ["second", "fourth"]);
    store.release(&others.token, &[job_id("second")], true, NOW).await.expect("releases");
    store.release(&others.token, &[job_id("fourth")], false, NOW).await.expect("releases");
    let at = fresh.claim_at(ALICE, "v", "mixed", NOW + 50).await.expect("claims");
    assert_eq!(ids(&at), ["first"], "the oldest due job is on its last attempt");
    let at = fresh.claim_at(ALICE, "v", "mixed2", NOW + 50).await.expect("claims");
    assert_eq!(ids(&at), ["second", "fourth"]);
}

#[tokio::test]
async fn a_job_on_its_last_attempt_is_left_by_a_claim_whose_oldest_is_not() {
    let fresh = ready().await;
    let store = &fresh.store;
    for id in ["a", "b", "c"] {
        fresh.submit(ALICE, "v", id).await;
    }
    for attempt in 1..ATTEMPTS_MAX {
        let claim = fresh.claim(ALICE, "v", &format!("t{attempt}")).await.expect("claims");
        assert_eq!(ids(&claim), ["a", "b", "c"]);
        store.release(&claim.token, &[job_id("b")], true, NOW).await.expect("releases");
        store.release(&claim.token, &[job_id("a"), job_id("c")], false, NOW).await.expect("releases");
    }
    assert_eq!(ids(&fresh.claim(ALICE, "v", "x").await.expect("claims")), ["a", "c"]);
    assert_eq!(ids(&fresh.claim(ALICE, "v", "y").await.expect("claims")), ["b"]);
}

#[tokio::test]
async fn claims_of_another_incarnation_are_void() {
    let fresh = ready().await;
    let store = &fresh.store;
    for id in ["a", "b"] {
        fresh.submit(ALICE, "v", id).await;
    }
    let old = fresh.claim(ALICE, "v", "old").await.expect("claims");
    let next = Incarnation::from("second");
    assert_eq!(store.start_incarnation(&next, NOW + 1).await.expect("starts"), 2);
    assert_eq!(fresh.state("a").await, "queued");
    assert!(!store.finish(finished("a", &old.token)).await.expect("is void"));
    assert!(fresh.claim_at(ALICE, "v", "stale", NOW + 1).await.is_none(), "a stale daemon claims nothing");
    let token = ClaimToken::from("new");
    let claim =
        store.claim(ALICE, &video_id("v"), &token, &next, NOW + 1).await.expect("claims").expect("is due");
    assert_eq!(claim.jobs.iter().map(|j| j.attempts).collect::<Vec<_>>(), [0, 0], "at no cost");
    store.beat(&next, NOW + 2).await.expect("beats");
    assert_eq!(store.start_incarnation(&next, NOW + 3).await.expect("starts"), 0, "its own claims stand");
    assert!(store.finish(finished("a", &token)).await.expect("finishes"));
    assert_eq!(store.start_incarnation(&incarnation(), NOW + 4).await.expect("starts"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_claims_one_gets_the_jobs() {
    let fresh = ready().await;
    for i in 0..20 {
        fresh.submit(ALICE, "v", &format!("j{i}")).await;
    }
    let mut claiming = JoinSet::new();
    for i in 0..16 {
        let store = fresh.store.clone();
        claiming.spawn(async move {
            let token = ClaimToken(format!("t{i}"));
            store.claim(ALICE, &video_id("v"), &token, &incarnation(), NOW).await.expect("claims")
        });
    }
    let claims: Vec<_> = claiming.join_all().await.into_iter().flatten().collect();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].jobs.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_follow_every_transition() {
    let fresh = ready().await;
    let store = &fresh.store;
    let counts = || async { store.counts().await.expect("counts") };
    assert_eq!(counts().await.oldest_queued_ms, None);
    for (i, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let mut job = new_job(ALICE, "v", id);
        job.created_ms = NOW - 10 + i as i64;
        store.submit(job).await.expect("submits");
    }
    let now = counts().await;
    assert_eq!((now.queued, now.running, now.oldest_queued_ms), (4, 0, Some(NOW - 10)));
    store.cancel(&job_id("a"), NOW).await.expect("cancels");
    assert_eq!((counts().await.queued, counts().await.oldest_queued_ms), (3, Some(NOW - 9)));
    let claim = fresh.claim(ALICE, "v", "t").await.expect("claims");
    assert_eq!((counts().await.queued, counts().await.running), (0, 3));
    store.release(&claim.token, &[job_id("c")], true, NOW).await.expect("releases");
    store.finish(finished("b", &claim.token)).await.expect("finishes");
    assert_eq!((counts().await.queued, counts().await.running), (1, 1));
    assert_eq!(counts().await.oldest_queued_ms, Some(NOW - 8));
    store.start_incarnation(&Incarnation::from("next"), NOW).await.expect("starts");
    store.requeue(&job_id("a"), NOW).await.expect("queues again");
    assert_eq!((counts().await.queued, counts().await.running), (3, 0));
    assert_eq!(counts().await.oldest_queued_ms, Some(NOW - 10));
}

#[tokio::test]
async fn a_clock_set_back_holds_nothing_up() {
    let fresh = ready().await;
    for id in ["a", "b"] {
        fresh.submit(ALICE, "v", id).await;
    }
    const HOUR: i64 = 3_600_000;
    assert_eq!(named(&heads(&fresh, NOW - HOUR, &[]).await), [(1, "v", 1)], "a new job is due at any time");
    let claim = fresh.claim(ALICE, "v", "t").await.expect("claims");
    let jobs = [job_id("a"), job_id("b")];
    fresh.store.release(&claim.token, &jobs, false, NOW + RELEASE_AHEAD_MS_MAX).await.expect("releases");
    assert!(heads(&fresh, NOW, &[]).await.is_empty());
    assert!(fresh.claim(ALICE, "v", "early").await.is_none());
    assert_eq!(named(&heads(&fresh, NOW - 1, &[]).await), [(1, "v", 1)]);
    assert_eq!(ids(&fresh.claim_at(ALICE, "v", "back", NOW - HOUR).await.expect("claims")), ["a", "b"]);
}
