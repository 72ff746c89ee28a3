//! The life of an event in the outbox.

use stillframe::service::store::rows::{DeliveryState, FinishedJob, NewDelivery};

use super::{ALICE, Fresh, NOW, finished, job_id, ready};

fn event(id: &str, job: &str, created_ms: i64) -> NewDelivery {
    NewDelivery {
        event_id: id.to_owned(),
        account: ALICE,
        job: Some(job_id(job)),
        event_type: "SnapshotComplete".to_owned(),
        url: "https://example.com/callback".to_owned(),
        body: format!("{{\"event\":\"{id}\"}}"),
        created_ms,
    }
}

/// A store with one pending event a name, each a millisecond after the one before.
async fn with_events(names: &[&str]) -> Fresh {
    let fresh = ready().await;
    for (i, name) in names.iter().enumerate() {
        fresh.submit(ALICE, "v", name).await;
        let claim = fresh.claim(ALICE, "v", name).await.expect("claims");
        let end =
            FinishedJob { event: Some(event(name, name, NOW + i as i64)), ..finished(name, &claim.token) };
        assert!(fresh.store.finish(end).await.expect("finishes"));
    }
    fresh
}

async fn due(fresh: &Fresh, now_ms: i64) -> Vec<String> {
    let rows = fresh.store.due_deliveries(now_ms, 10).await.expect("looks");
    rows.into_iter().map(|row| row.event_id).collect()
}

#[tokio::test]
async fn an_event_is_due_at_once_and_gone_when_delivered() {
    let fresh = with_events(&["a", "b"]).await;
    let store = &fresh.store;
    assert_eq!(due(&fresh, NOW - 3_600_000).await, ["a", "b"], "a clock set back holds no new event up");
    assert_eq!(due(&fresh, NOW + 1).await, ["a", "b"]);
    assert_eq!(store.due_deliveries(NOW + 1, 1).await.expect("looks").len(), 1);
    assert!(store.next_delivery_ms().await.expect("looks").is_some_and(|at| at <= NOW));
    let row = store.delivery("a").await.expect("reads").expect("is there");
    assert_eq!((row.body.as_str(), row.url.as_str()), ("{\"event\":\"a\"}", "https://example.com/callback"));
    assert_eq!(
        (row.account, row.job, row.event_type.as_str()),
        (ALICE, Some(job_id("a")), "SnapshotComplete")
    );
    assert_eq!((row.state, row.attempts, row.next_ms), (DeliveryState::Pending, 0, NOW));

    store.delivery_done("a", NOW + 2).await.expect("records");
    assert_eq!(due(&fresh, NOW + 5).await, ["b"]);
    let row = store.delivery("a").await.expect("reads").expect("is there");
    assert_eq!((row.state, row.attempts, row.last_error), (DeliveryState::Delivered, 1, None));
    store.delivery_done("b", NOW + 2).await.expect("records");
    assert_eq!(store.next_delivery_ms().await.expect("looks"), None);
    assert_eq!(store.counts().await.expect("counts").callbacks_pending, 0);
}

#[tokio::test]
async fn a_failing_event_is_tried_again_and_dies_at_last() {
    let fresh = with_events(&["a", "b"]).await;
    let store = &fresh.store;
    store.delivery_failed("a", "status 500", Some(NOW + 1_000)).await.expect("records");
    assert_eq!(due(&fresh, NOW + 999).await, ["b"]);
    assert_eq!(due(&fresh, NOW + 1_000).await, ["b", "a"]);
    let counts = store.counts().await.expect("counts");
    assert_eq!((counts.callbacks_pending, counts.oldest_pending_callback_ms), (2, Some(NOW)));
    store.delivery_failed("a", "status 502", None).await.expect("records");
    let row = store.delivery("a").await.expect("reads").expect("is there");
    assert_eq!(
        (row.state, row.attempts, row.last_error.as_deref()),
        (DeliveryState::Dead, 2, Some("status 502"))
    );
    let counts = store.counts().await.expect("counts");
    assert_eq!((counts.callbacks_pending, counts.callbacks_dead), (1, 1));
    // Late news about a dead row changes nothing.
    store.delivery_done("a", NOW).await.expect("changes nothing");
    store.delivery_failed("a", "late", Some(NOW)).await.expect("changes nothing");
    assert_eq!(due(&fresh, NOW + 9_999).await, ["b"]);

    let list = |state| async move {
        let rows = store.deliveries(state, 10).await.expect("lists");
        rows.into_iter().map(|row| row.event_id).collect::<Vec<_>>()
    };
    assert_eq!(list(None).await, ["b", "a"], "newest first");
    assert_eq!(list(Some(DeliveryState::Dead)).await, ["a"]);
    assert_eq!(list(Some(DeliveryState::Pending)).await, ["b"]);
    assert_eq!(list(Some(DeliveryState::Delivered)).await, [""; 0]);
}

#[tokio::test]
async fn a_redelivered_event_starts_anew() {
    let fresh = with_events(&["a", "b"]).await;
    let store = &fresh.store;
    store.delivery_failed("a", "refused", None).await.expect("records");
    store.delivery_done("b", NOW).await.expect("records");
    for id in ["a", "b"] {
        assert!(store.redeliver(id, NOW + 50).await.expect("queues again"));
        let row = store.delivery(id).await.expect("reads").expect("is there");
        assert_eq!((row.state, row.attempts), (DeliveryState::Pending, 0));
        assert_eq!(row.last_error, None);
    }
    assert_eq!(due(&fresh, NOW + 50).await, ["a", "b"]);
    assert!(!store.redeliver("no such event", NOW).await.expect("finds none"));
}

#[tokio::test]
async fn the_second_end_of_a_job_replaces_an_event_of_the_same_id() {
    let fresh = ready().await;
    let store = &fresh.store;
    fresh.submit(ALICE, "v", "j").await;
    let claim = fresh.claim(ALICE, "v", "t1").await.expect("claims");
    let failure = stillframe::model::job::Failure::new(
        stillframe::model::job::FailCode::Io,
        stillframe::model::job::Stage::Open,
        "no",
    );
    let first = FinishedJob {
        failure: Some(failure),
        pictures: 0,
        event: Some(event("e", "j", NOW)),
        ..finished("j", &claim.token)
    };
    assert!(store.finish(first).await.expect("finishes"));
    store.delivery_done("e", NOW).await.expect("records");
    assert!(store.requeue(&job_id("j"), NOW).await.expect("queues again"));
    let claim = fresh.claim(ALICE, "v", "t2").await.expect("claims");
    let body = NewDelivery { body: "anew".to_owned(), ..event("e", "j", NOW + 70) };
    assert!(
        store
            .finish(FinishedJob { event: Some(body), ..finished("j", &claim.token) })
            .await
            .expect("finishes")
    );
    let row = store.delivery("e").await.expect("reads").expect("is there");
    assert_eq!((row.body.as_str(), row.state, row.next_ms), ("anew", DeliveryState::Pending, NOW + 70));
}
