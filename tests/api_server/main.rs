//! The API listener over real sockets, on a real store and real objects, with the clock in hand.

mod http;
mod operations;
mod security;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use stillframe::model::ids::AccountId;
use stillframe::service::api::params::Params;
use stillframe::service::api::{ApiContext, ProbeRequest, server, signature, time};
use stillframe::service::clock::{Clock, ManualClock};
use stillframe::service::objects::{MediaRoots, ObjectStore};
use stillframe::service::settings::{Flags, Settings};
use stillframe::service::store::Store;
use stillframe::service::store::rows::AccessKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

const ALICE: AccountId = AccountId(1_000_000_000_000_001);
const BOB: AccountId = AccountId(2);
const NOW: i64 = 1_767_323_045_000; // 2026-01-02T03:04:05Z
const BASE: &str = "http://img.example.test";
/// Where an answer that never comes ends a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running listener and all that it stands on.
struct Api {
    address: SocketAddr,
    store: Store,
    objects: ObjectStore,
    clock: ManualClock,
    disk: Arc<AtomicBool>,
    submitted: Arc<Notify>,
    probes: mpsc::Receiver<ProbeRequest>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
    nonces: AtomicU64,
    folder: tempfile::TempDir,
    /// The settings' sender lives as long as the daemon.
    _settings: watch::Sender<Arc<Settings>>,
}

/// One answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The JSON body; every answer has the RequestId in it and in a header.
    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json;charset=utf-8"), "{self:?}");
        let value: Value = serde_json::from_slice(&self.body).unwrap();
        let id = value["RequestId"].as_str().unwrap();
        assert_eq!(self.header("x-acs-request-id"), Some(id));
        assert!(id.len() == 36 && *id == id.to_uppercase(), "{id}");
        value
    }

    /// The fields of a success, which never has a top-level `Code`.
    fn ok(&self) -> Value {
        let value = self.json();
        assert_eq!(self.status, 200, "{value}");
        assert_eq!(value.get("Code"), None);
        value
    }

    /// Status and code of an error.
    fn error(&self) -> (u16, String) {
        let value = self.json();
        assert!(value["Message"].is_string() && value["HostId"].is_string(), "{value}");
        (self.status, value["Code"].as_str().unwrap().to_owned())
    }

    fn is_error(&self, status: u16, code: &str) {
        assert_eq!(self.error(), (status, code.to_owned()), "{}", self.text());
    }
}

impl Api {
    async fn start() -> Api {
        Api::start_with(|_| {}).await
    }

    async fn start_with(adjust: impl FnOnce(&mut Settings)) -> Api {
        let folder = tempfile::tempdir().unwrap();
        let media = folder.path().join("media");
        std::fs::create_dir(&media).unwrap();
        let mut settings = Settings::load(&Flags::default(), std::iter::empty()).unwrap();
        adjust(&mut settings);
        let (settings_in, settings) = watch::channel(Arc::new(settings));
        let store = Store::open(&folder.path().join("stillframe.db")).await.unwrap();
        for (id, secret, account, enabled) in [
            ("testid", "testsecret", ALICE, true),
            ("otherid", "othersecret", BOB, true),
            ("gone", "gonesecret", ALICE, false),
            ("STS.id", "testsecret", ALICE, true),
        ] {
            let secret = SecretString::from(secret);
            let key = AccessKey { id: id.into(), secret, account, enabled, created_ms: NOW };
            store.add_key(&key).await.unwrap();
        }
        let objects = ObjectStore::local(folder.path().join("objects")).unwrap();
        let clock = ManualClock::new(NOW);
        let (probes_in, probes) = mpsc::channel(16);
        let context = ApiContext {
            store: store.clone(),
            objects: objects.clone(),
            roots: MediaRoots::new(&[media]).unwrap(),
            settings,
            clock: Clock::Manual(clock.clone()),
            submitted: Arc::default(),
            probes: probes_in,
            base_url: BASE.into(),
            disk: Arc::default(),
        };
        let (disk, submitted) = (Arc::clone(&context.disk), Arc::clone(&context.submitted));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(server::serve(listener, Arc::new(context), stopped));
        Api {
            address,
            store,
            objects,
            clock,
            disk,
            submitted,
            probes,
            stop,
            served,
            nonces: AtomicU64::new(0),
            folder,
            _settings: settings_in,
        }
    }

    /// A file below the media root and its URL.
    fn file(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, b"some bytes").unwrap();
        format!("file://{}", path.display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("media").join(name)
    }

    fn nonce(&self) -> String {
        format!("nonce-{}", self.nonces.fetch_add(1, Ordering::Relaxed))
    }

    /// The parameters of a V1 request, signed, ready for a query or a form.
    fn signed_as(&self, method: &str, key: (&str, &str), pairs: &[(&str, &str)]) -> String {
        let now = time::print(Clock::Manual(self.clock.clone()).now_ms());
        let nonce = self.nonce();
        let mut params = Params::default();
        for (name, value) in [
            ("Version", "2017-03-21"),
            ("Format", "JSON"),
            ("AccessKeyId", key.0),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", &nonce),
            ("Timestamp", &now),
        ]
        .iter()
        .chain(pairs)
        {
            params.values.insert((*name).to_owned(), (*value).to_owned());
        }
        let signature = signature::v1_sign(key.1, &signature::v1_string_to_sign(method, &params));
        params.values.insert("Signature".into(), signature);
        params.canonical("")
    }

    fn signed(&self, pairs: &[(&str, &str)]) -> String {
        self.signed_as("POST", ("testid", "testsecret"), pairs)
    }

    /// One call, POST with everything in the query.
    async fn call(&self, action: &str, pairs: &[(&str, &str)]) -> Answer {
        self.call_as(("testid", "testsecret"), action, pairs).await
    }

    async fn call_as(&self, key: (&str, &str), action: &str, pairs: &[(&str, &str)]) -> Answer {
        let mut all = vec![("Action", action)];
        all.extend_from_slice(pairs);
        self.post(&self.signed_as("POST", key, &all)).await
    }

    async fn post(&self, query: &str) -> Answer {
        self.raw(&format!("POST /?{query} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await
    }

    /// Sends bytes and reads one answer to the end of the connection.
    async fn raw(&self, request: &str) -> Answer {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            parse(&answer)
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer")
    }

    /// Registers a file; returns the VideoId.
    async fn register(&self, name: &str) -> String {
        self.register_as(("testid", "testsecret"), name).await
    }

    async fn register_as(&self, key: (&str, &str), name: &str) -> String {
        let metadatas = format!(r#"[{{"FileURL":"{}","Title":"a title"}}]"#, self.file(name));
        let answer = self.call_as(key, "RegisterMedia", &[("RegisterMetadatas", &metadatas)]).await.ok();
        answer["RegisteredMediaList"][0]["MediaId"].as_str().unwrap().to_owned()
    }
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}
