//! Callbacks: nothing is lost, nothing overlaps, and no receiver holds up another.

#[path = "callbacks/rig.rs"]
mod rig;

use std::time::Duration;

use rig::{NOW, Rig, next, policy, receiver, settings};
use stillframe::service::publish::callback;
use stillframe::service::store::rows::DeliveryState;

#[tokio::test]
async fn a_new_event_leaves_at_once_and_is_done() {
    let mut rig = Rig::new(policy()).await;
    let (url, mut requests) = receiver("127.0.0.1").await;
    rig.start();
    rig.event("e1", &url).await;
    rig.wake.notify_one();
    let seen = next(&mut requests).await;
    assert_eq!(seen.body, r#"{"JobId":"e1"}"#);
    assert_eq!(seen.header("x-stillframe-event-id"), "e1");
    assert_eq!(seen.header("x-vod-timestamp"), "1700000000");
    assert_eq!(seen.header("x-vod-signature"), callback::signature(&url, NOW / 1000, "OldKey1"));
    seen.answer(200);
    let row = rig.row_when("e1", |row| row.state == DeliveryState::Delivered).await;
    assert_eq!((row.attempts, row.last_error), (1, None));
    rig.stop().await;
}

#[tokio::test]
async fn three_attempts_a_second_apart_then_a_dead_letter_that_can_be_redelivered() {
    let mut rig = Rig::new(policy()).await;
    let (url, mut requests) = receiver("127.0.0.1").await;
    rig.event("e1", &url).await;
    rig.start();
    for attempt in 1..=3u32 {
        let seen = next(&mut requests).await;
        let at_s = NOW / 1000 + i64::from(attempt) - 1;
        assert_eq!(seen.header("x-vod-timestamp"), at_s.to_string(), "attempt {attempt}");
        seen.answer(503);
        let row = rig.row_when("e1", |row| row.attempts == attempt).await;
        assert_eq!(row.last_error.as_deref(), Some("answered with status 503"));
        // Were it sent a millisecond early, its timestamp would tell.
        rig.advance_ms(999);
        rig.advance_ms(1);
    }
    let row = rig.row("e1").await;
    assert_eq!((row.state, row.attempts), (DeliveryState::Dead, 3));
    assert!(rig.store.redeliver("e1", NOW + 3_000).await.expect("redelivered"));
    rig.wake.notify_one();
    let seen = next(&mut requests).await;
    assert_eq!(seen.header("x-stillframe-event-id"), "e1");
    assert_eq!(seen.header("x-vod-timestamp"), (NOW / 1000 + 3).to_string());
    assert_eq!(seen.body, r#"{"JobId":"e1"}"#);
    seen.answer(200);
    rig.row_when("e1", |row| row.state == DeliveryState::Delivered).await;
    rig.stop().await;
}

#[tokio::test]
async fn slow_retries_follow_within_a_fifth() {
    let mut slow = policy();
    slow.fast_attempts = 1;
    slow.slow_retries = vec![Duration::from_secs(300), Duration::from_secs(1_800)];
    let mut rig = Rig::new(slow).await;
    let (url, mut requests) = receiver("127.0.0.1").await;
    rig.event("e1", &url).await;
    rig.start();
    let mut now_ms = NOW;
    for (attempt, wait_ms) in [(1, 300_000), (2, 1_800_000)] {
        next(&mut requests).await.answer(500);
        let row = rig.row_when("e1", |row| row.attempts == attempt).await;
        let waits_ms = row.next_ms - now_ms;
        assert!((wait_ms * 8 / 10..=wait_ms * 12 / 10).contains(&waits_ms), "{waits_ms}");
        rig.advance_ms(waits_ms as u64);
        now_ms = row.next_ms;
    }
    next(&mut requests).await.answer(500);
    let row = rig.row_when("e1", |row| row.attempts == 3).await;
    assert_eq!(row.state, DeliveryState::Dead);
    rig.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_the_rows_say() {
    let mut rig = Rig::new(policy()).await;
    let (url, mut requests) = receiver("127.0.0.1").await;
    rig.event("e1", &url).await;
    rig.start();
    next(&mut requests).await.answer(500);
    rig.row_when("e1", |row| row.attempts == 1).await;
    rig.stop().await;
    rig.set_key("NewKey2").await;
    rig.start();
    rig.advance_ms(1_000);
    let seen = next(&mut requests).await;
    let signature = callback::signature(&url, NOW / 1000 + 1, "NewKey2");
    assert_eq!(seen.header("x-vod-signature"), signature, "the key of this moment");
    seen.answer(200);
    let row = rig.row_when("e1", |row| row.state == DeliveryState::Delivered).await;
    assert_eq!(row.attempts, 2);
    rig.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_the_attempt_under_way() {
    let mut rig = Rig::new(policy()).await;
    let (url, mut requests) = receiver("127.0.0.1").await;
    rig.event("e1", &url).await;
    rig.start();
    let seen = next(&mut requests).await;
    rig.tell_to_stop();
    rig.event("e2", &url).await;
    rig.wake.notify_one();
    seen.answer(200);
    rig.stop().await;
    assert_eq!(rig.row("e1").await.state, DeliveryState::Delivered);
    assert_eq!(rig.row("e2").await.attempts, 0);
}

#[tokio::test]
async fn attempts_of_one_event_never_overlap() {
    let mut rig = Rig::new(policy()).await;
    let (url, mut requests) = receiver("127.0.0.1").await;
    rig.event("e1", &url).await;
    rig.start();
    let first = next(&mut requests).await;
    // Its row is still due; another event's request shows that the notifier has looked again.
    rig.event("e2", &url).await;
    rig.advance_ms(10_000);
    rig.wake.notify_one();
    let second = next(&mut requests).await;
    assert_eq!((first.body.as_str(), second.body.as_str()), (r#"{"JobId":"e1"}"#, r#"{"JobId":"e2"}"#));
    first.answer(200);
    second.answer(200);
    for event in ["e1", "e2"] {
        let row = rig.row_when(event, |row| row.state == DeliveryState::Delivered).await;
        assert_eq!(row.attempts, 1);
    }
    rig.stop().await;
    assert!(requests.try_recv().is_err(), "each came once");
}

#[tokio::test]
async fn one_slow_host_cannot_hold_up_another() {
    let mut rig = Rig::new(policy()).await;
    let (slow, mut slow_requests) = receiver("127.0.0.1").await;
    let (healthy, mut healthy_requests) = receiver("127.0.0.2").await;
    for i in 0..90 {
        rig.event(&format!("s{i}"), &slow).await;
    }
    rig.event("h", &healthy).await;
    rig.start();
    // 90 rows that nobody answers lie before it.
    next(&mut healthy_requests).await.answer(200);
    rig.row_when("h", |row| row.state == DeliveryState::Delivered).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(&mut slow_requests).await);
    }
    let mut bodies: Vec<String> = held.iter().map(|seen| seen.body.clone()).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 4, "four different events");
    assert!(slow_requests.try_recv().is_err(), "never more than four at once");
    for seen in held {
        seen.answer(200);
    }
    // The others were put off, four for each time that an attempt may take.
    for turn in 1..=22 {
        rig.advance_ms(60_000);
        for _ in 0..if turn < 22 { 4 } else { 2 } {
            next(&mut slow_requests).await.answer(200);
        }
    }
    for i in 0..90 {
        let row = rig.row_when(&format!("s{i}"), |row| row.state == DeliveryState::Delivered).await;
        assert_eq!(row.attempts, 1, "being put off costs nothing");
    }
    rig.stop().await;
}

#[tokio::test]
async fn concurrency_bounds_the_whole() {
    let mut narrow = policy();
    narrow.concurrency = 2;
    let mut rig = Rig::new(narrow).await;
    let (url, mut requests) = receiver("127.0.0.1").await;
    for i in 0..5 {
        rig.event(&format!("e{i}"), &url).await;
    }
    rig.start();
    let mut open = vec![next(&mut requests).await, next(&mut requests).await];
    for _ in 2..5 {
        rig.wake.notify_one();
        tokio::task::yield_now().await;
        assert!(requests.try_recv().is_err(), "a third one");
        open.remove(0).answer(200);
        open.push(next(&mut requests).await);
    }
    for seen in open {
        seen.answer(200);
    }
    for i in 0..5 {
        rig.row_when(&format!("e{i}"), |row| row.state == DeliveryState::Delivered).await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn what_can_never_be_sent_is_dead_at_once_and_the_private_after_its_attempts() {
    let mut closed = policy();
    closed.allow_cidrs.clear();
    closed.fast_attempts = 2;
    let mut rig = Rig::new(closed).await;
    let (url, mut requests) = receiver("127.0.0.1").await;
    let with_user = url.replace("http://", "http://user:canary@");
    rig.event("user", &with_user).await;
    rig.event("private", &url).await;
    rig.start();
    let row = rig.row_when("user", |row| row.state == DeliveryState::Dead).await;
    assert_eq!(row.attempts, 1);
    assert!(row.last_error.is_some_and(|error| !error.contains("canary")));
    rig.row_when("private", |row| row.attempts == 1).await;
    rig.advance_ms(1_000);
    let row = rig.row_when("private", |row| row.state == DeliveryState::Dead).await;
    assert_eq!(row.last_error.as_deref(), Some("no permitted address for 127.0.0.1"));
    assert!(requests.try_recv().is_err(), "nobody came");
    // What the operator opens counts from the next attempt on.
    rig.settings.send_replace(settings(policy()));
    assert!(rig.store.redeliver("private", NOW).await.expect("redelivered"));
    rig.wake.notify_one();
    next(&mut requests).await.answer(200);
    rig.row_when("private", |row| row.state == DeliveryState::Delivered).await;
    rig.stop().await;
}
