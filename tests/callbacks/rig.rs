//! A store, a clock set by hand, a notifier on both, and receivers that answer as the test says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use stillframe::model::ids::{AccountId, ClaimToken, Incarnation, JobId, VideoId};
use stillframe::model::spec::{Points, SnapshotSpec};
use stillframe::service::clock::{Clock, ManualClock};
use stillframe::service::publish::notifier;
use stillframe::service::settings::{CallbackPolicy, Flags, Settings};
use stillframe::service::store::Store;
use stillframe::service::store::rows::{
    CallbackSettings, DeliveryRow, FinishedJob, NewDelivery, NewJob, Video,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub const NOW: i64 = 1_700_000_000_000;
pub const ACCOUNT: AccountId = AccountId(7);
/// Whatever takes this long will never come; no test that passes waits for it.
pub const HANGS: Duration = Duration::from_secs(60);

pub fn policy() -> CallbackPolicy {
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

pub fn settings(callbacks: CallbackPolicy) -> Arc<Settings> {
    let defaults = Settings::load(&Flags::default(), []).expect("defaults");
    Arc::new(Settings { callbacks, ..defaults })
}

pub fn video() -> Video {
    Video::new("v".into(), ACCOUNT, "file:///media/v.mp4".to_owned(), "/media/v.mp4".to_owned(), 1, NOW)
}

pub fn new_job(id: &str) -> NewJob {
    let spec = SnapshotSpec::of(Points::List(vec![0]));
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
pub struct Rig {
    pub store: Store,
    pub clock: ManualClock,
    pub wake: Arc<Notify>,
    pub settings: watch::Sender<Arc<Settings>>,
    pub running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    // Removes the folder at the end.
    _folder: tempfile::TempDir,
}

impl Rig {
    pub async fn new(policy: CallbackPolicy) -> Rig {
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

    pub fn start(&mut self) {
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

    pub fn tell_to_stop(&self) {
        self.running.as_ref().expect("running").0.send_replace(true);
    }

    pub async fn stop(&mut self) {
        self.tell_to_stop();
        let (_, running) = self.running.take().expect("running");
        running.await.expect("an orderly end");
    }

    pub async fn set_key(&self, key: &str) {
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
    pub async fn event(&self, id: &str, url: &str) {
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
            fallbacks: Vec::new(),
            event: Some(event),
        };
        assert!(self.store.finish(end).await.expect("finished"));
    }

    pub async fn row(&self, id: &str) -> DeliveryRow {
        self.store.delivery(id).await.expect("read").expect("a row")
    }

    /// The row once `when` holds of it.
    pub async fn row_when(&self, id: &str, when: impl Fn(&DeliveryRow) -> bool) -> DeliveryRow {
        let until = Instant::now() + HANGS;
        loop {
            let row = self.row(id).await;
            if when(&row) {
                return row;
            }
            assert!(Instant::now() < until, "{row:?} stays as it is");
            tokio::task::yield_now().await;
        }
    }

    pub fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

/// A request as a receiver saw it, and the way to answer it.
pub struct Seen {
    pub head: String,
    pub body: String,
    pub answer: oneshot::Sender<u16>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        let of = |line: &'_ str| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        self.head.lines().find(|line| of(line)).map_or("", |line| &line[name.len() + 2..])
    }

    pub fn answer(self, status: u16) {
        self.answer.send(status).expect("still waited for");
    }
}

/// Accepts for ever; each request waits for the test's answer.
pub async fn receiver(ip: &str) -> (String, mpsc::UnboundedReceiver<Seen>) {
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

pub async fn next(requests: &mut mpsc::UnboundedReceiver<Seen>) -> Seen {
    let seen = tokio::time::timeout(HANGS, requests.recv()).await;
    seen.expect("a request will come").expect("a receiver")
}
