//! Callbacks: nothing is lost, nothing overlaps, and no receiver holds up another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use stillframe::model::ids::{AccountId, ClaimToken, Incarnation, JobId, VideoId};
use stillframe::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};
use stillframe::service::clock::{Clock, ManualClock};
use stillframe::service::publish::{callback, notifier};
use stillframe::service::settings::{
    ApiSettings, CallbackPolicy, CaptureSettings, LogSettings, Settings, WorkerSettings,
};
use stillframe::service::store::Store;
use stillframe::service::store::rows::{
    CallbackSettings, DeliveryRow, DeliveryState, FinishedJob, NewDelivery, NewJob, Video, VideoStatus,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const NOW: i64 = 1_700_000_000_000;
const ACCOUNT: AccountId = AccountId(7);

fn policy() -> CallbackPolicy {
    CallbackPolicy {
        allow_cidrs: vec!["127.0.0.0/8".parse().expect("a range")],
        allow_hosts: Vec::new(),
        concurrency: 16,
        timeout: Duration::from_secs(60),
        fast_retry: Duration::from_secs(1),
        fast_attempts: 3,
        slow_retries: Vec::new(),
    }
}

fn settings(callbacks: CallbackPolicy) -> Arc<Settings> {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    Arc::new(Settings {
        data: "data".into(),
        media_roots: Vec::new(),
        api: ApiSettings {
            listen: any,
            public_base_url: None,
            clock_window: Duration::from_secs(900),
            submit_per_second: 0,
            max_connections: 1,
        },
        admin_listen: any,
        capture: CaptureSettings {
            jpeg_quality: 85,
            count_max: 1,
            interval_without_count_to_end: false,
            frame_pixels_max: 1,
            sheet_pixels_max: 1,
        },
        worker: WorkerSettings {
            slots: 1,
            run_cpu: Duration::from_secs(1),
            no_progress: Duration::from_secs(1),
            image_bytes: 1,
            batch_bytes: 1,
            time_slice: Duration::from_secs(1),
        },
        callbacks,
        log: LogSettings { json: false, filter: String::new() },
    })
}

fn video() -> Video {
    Video {
        id: "v".into(),
        account: ACCOUNT,
        reference_id: None,
        title: String::new(),
        description: None,
        tags: None,
        cate_id: None,
        cover_url: None,
        template_group_id: None,
        file_url: "file:///media/v.mp4".to_owned(),
        path: "/media/v.mp4".to_owned(),
        size: 1,
        duration_ms: None,
        status: VideoStatus::Normal,
        user_data: None,
        created_ms: NOW,
        modified_ms: NOW,
    }
}

fn new_job(id: &str) -> NewJob {
    let spec = SnapshotSpec {
        points: Points::List(vec![0]),
        size: AskedSize::default(),
        quality: 85,
        frame_type: FrameType::Normal,
        sprite: None,
        keep_pictures: true,
        frame_md5: false,
    };
    NewJob {
        id: id.into(),
        account: ACCOUNT,
        video: "v".into(),
        spec,
        user_data: None,
        request_id: String::new(),
        created_ms: NOW,
    }
}

/// A store, a clock set by hand and a notifier that runs on both.
struct Rig {
    store: Store,
    clock: ManualClock,
    wake: Arc<Notify>,
    settings: watch::Sender<Arc<Settings>>,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    // Removes the folder at the end.
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn new(policy: CallbackPolicy) -> Rig {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("stillframe.db")).await.expect("a store");
        store.start_incarnation(&Incarnation::from("i"), NOW).await.expect("started");
        store.register_video(video()).await.expect("registered");
        let rig = Rig {
            store,
            clock: ManualClock::new(NOW),
            wake: Arc::new(Notify::new()),
            settings: watch::Sender::new(settings(policy)),
            running: None,
            _folder: folder,
        };
        rig.set_key("OldKey1").await;
        rig
    }

    fn start(&mut self) {
        let stop = watch::Sender::new(false);
        let notifier = notifier::run(
            self.store.clone(),
            self.settings.subscribe(),
            Clock::Manual(self.clock.clone()),
            Arc::clone(&self.wake),
            stop.subscribe(),
        );
        self.running = Some((stop, tokio::spawn(notifier)));
    }

    fn tell_to_stop(&self) {
        self.running.as_ref().expect("running").0.send_replace(true);
    }

    async fn stop(&mut self) {
        self.tell_to_stop();
        let (_, running) = self.running.take().expect("running");
        running.await.expect("an orderly end");
    }

    async fn set_key(&self, key: &str) {
        let settings = CallbackSettings {
            app_id: "app-1000000".to_owned(),
            callback_url: "http://unused.test/".to_owned(),
            event_types: "ALL".to_owned(),
            auth_switch: true,
            auth_key: Some(SecretString::from(key)),
        };
        self.store.set_callback_settings(ACCOUNT, &settings).await.expect("set");
    }

    /// An event in the outbox, as a job's end puts it there.
    async fn event(&self, id: &str, url: &str) {
        self.store.submit(new_job(id)).await.expect("submitted");
        let token = ClaimToken::from(id);
        let claim =
            self.store.claim(ACCOUNT, &VideoId::from("v"), &token, &Incarnation::from("i"), NOW).await;
        assert!(claim.expect("claimed").is_some());
        let event = NewDelivery {
            event_id: id.to_owned(),
            account: ACCOUNT,
            job: Some(JobId::from(id)),
            event_type: "SnapshotComplete".to_owned(),
            url: url.to_owned(),
            body: format!("{{\"JobId\":\"{id}\"}}"),
            created_ms: NOW,
        };
        let end = FinishedJob {
            id: id.into(),
            token,
            ended_ms: NOW,
            failure: None,
            points: Vec::new(),
            sheets: Vec::new(),
            pictures: 1,
            event: Some(event),
        };
        assert!(self.store.finish(end).await.expect("finished"));
    }

    async fn row(&self, id: &str) -> DeliveryRow {
        self.store.delivery(id).await.expect("read").expect("a row")
    }

    /// The row once `when` holds of it; the test's own time limit is the runner's.
    async fn row_when(&self, id: &str, when: impl Fn(&DeliveryRow) -> bool) -> DeliveryRow {
        loop {
            let row = self.row(id).await;
            if when(&row) {
                return row;
            }
            tokio::task::yield_now().await;
        }
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

/// A request as a receiver saw it, and the way to answer it.
struct Seen {
    head: String,
    body: String,
    answer: oneshot::Sender<u16>,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let of = |line: &'_ str| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        self.head.lines().find(|line| of(line)).map_or("", |line| &line[name.len() + 2..])
    }

    fn answer(self, status: u16) {
        self.answer.send(status).expect("still waited for");
    }
}

/// Accepts for ever; each request waits for the test's answer.
async fn receiver(ip: &str) -> (String, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind((ip, 0)).await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut text = String::new();
                while !text.ends_with('}') {
                    let mut part = [0; 4096];
                    let got = stream.read(&mut part).await.expect("a request");
                    assert!(got > 0, "a whole request");
                    text.push_str(std::str::from_utf8(&part[..got]).expect("text"));
                }
                let (head, body) = text.split_once("\r\n\r\n").expect("a head");
                let (answer, answered) = oneshot::channel();
                seen.send(Seen { head: head.to_owned(), body: body.to_owned(), answer }).ok();
                if let Ok(status) = answered.await {
                    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(text.as_bytes()).await.ok();
                }
            });
        }
    });
    (url, requests)
}

async fn next(requests: &mut mpsc::UnboundedReceiver<Seen>) -> Seen {
    requests.recv().await.expect("a request")
}

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
