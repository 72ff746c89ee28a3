//! A daemon of its own for a test: own data folder, own ports, own key.
//!
//! Owns the process and ends it when dropped. Never reuses a port: the daemon picks them and tells.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::http::{self, Answer};
use super::{PATIENCE, sign};

/// What a daemon is started with.
#[derive(Clone, Default)]
pub struct Setup {
    /// Variables, `STILLFRAME_SECTION_KEY` as a rule.
    pub env: Vec<(&'static str, String)>,
    /// Folders beside the one that every test daemon has (`Daemon::media`).
    pub media_roots: Vec<PathBuf>,
    /// More arguments of `serve`.
    pub args: Vec<OsString>,
}

/// An access key.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    folder: TempDir,
    pub api: SocketAddr,
    pub admin: SocketAddr,
    pub key: Key,
}

impl Daemon {
    /// Starts a daemon and waits until it accepts. Callbacks to this machine are allowed.
    pub fn start(setup: Setup) -> Daemon {
        let folder = tempfile::Builder::new().prefix("stillframe-test-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("media")).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let key = new_key(&folder.path().join("data"));
        Self::start_in(folder, key, setup)
    }

    /// Starts a daemon on the data folder of one that has ended.
    pub fn start_in(folder: TempDir, key: Key, setup: Setup) -> Daemon {
        let (mut daemon, notify) = Self::spawn_in(folder, key, setup);
        daemon.wait_until_ready(&notify);
        daemon
    }

    /// Starts a daemon and ends it without a word while it starts: once it has logged so many more lines.
    pub fn start_and_kill(folder: TempDir, key: Key, setup: Setup, lines: usize) -> (TempDir, Key) {
        let count = |folder: &Path| {
            let log = std::fs::read(folder.join("log")).unwrap_or_default();
            log.iter().filter(|byte| **byte == b'\n').count()
        };
        let before = count(folder.path());
        let (daemon, _notify) = Self::spawn_in(folder, key, setup);
        super::until("a line of the log", || (count(daemon.folder.path()) >= before + lines).then_some(()));
        daemon.kill()
    }

    fn spawn_in(folder: TempDir, key: Key, setup: Setup) -> (Daemon, UnixDatagram) {
        let data = folder.path().join("data");
        let notify =
            UnixDatagram::bind(folder.path().join(format!("notify-{}", uuid::Uuid::now_v7()))).unwrap();
        let notify_path = notify.local_addr().unwrap().as_pathname().unwrap().to_owned();
        let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let mut command = super::stillframe();
        command.arg("serve").arg("--data").arg(&data).args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        command.arg("--media-root").arg(folder.path().join("media"));
        for root in &setup.media_roots {
            command.arg("--media-root").arg(root);
        }
        command.args(&setup.args);
        command.env("STILLFRAME_CALLBACKS_ALLOW_CIDRS", "127.0.0.0/8").env("NOTIFY_SOCKET", notify_path);
        command.envs(setup.env.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        // From here on the process is ended even if a wait for it panics.
        (Daemon { child, folder, api: unknown, admin: unknown, key }, notify)
    }

    fn wait_until_ready(&mut self, notify: &UnixDatagram) {
        // The wait ends with the daemon's READY=1; the time-out only looks whether it is still alive.
        notify.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let run_json = self.data().join("run.json");
        let mut ready = false;
        while !(ready && run_json.is_file()) {
            let mut text = [0; 4096];
            if let Ok(length) = notify.recv(&mut text) {
                ready |= String::from_utf8_lossy(&text[..length]).lines().any(|line| line == "READY=1");
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended while it started: {status}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the daemon is not ready\n{}", self.log());
        }
        let run: Value = serde_json::from_slice(&std::fs::read(run_json).unwrap()).unwrap();
        assert_eq!(run["pid"], self.child.id());
        self.api = run["api"].as_str().unwrap().parse().unwrap();
        self.admin = run["admin"].as_str().unwrap().parse().unwrap();
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A media root that is empty at first.
    pub fn media(&self) -> PathBuf {
        self.folder.path().join("media")
    }

    /// Puts a copy of a video below the media root; returns its path.
    pub fn put(&self, video: &Path) -> PathBuf {
        let path = self.media().join(video.file_name().unwrap());
        std::fs::copy(video, &path).unwrap();
        path
    }

    /// Everything that the daemon wrote to stderr.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap_or_default())
            .into_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A request signed V3 with the daemon's own key: status and JSON body.
    pub fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        self.call_as(&self.key, action, parameters)
    }

    /// A request signed V3 with any key.
    pub fn call_as(&self, key: &Key, action: &str, parameters: &[(&str, &str)]) -> Answer {
        let request = sign::v3(self.api, key, action, parameters);
        http::send(self.api, &request)
    }

    /// Calls and insists on success; returns the body.
    #[track_caller]
    pub fn must(&self, action: &str, parameters: &[(&str, &str)]) -> Value {
        self.must_as(&self.key, action, parameters)
    }

    /// Calls with any key and insists on success; returns the body.
    #[track_caller]
    pub fn must_as(&self, key: &Key, action: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self.call_as(key, action, parameters);
        assert_eq!(answer.status, 200, "{action} {parameters:?}: {}\n{}", answer.text(), self.log());
        answer.json()
    }

    /// Registers a file; returns its VideoId.
    #[track_caller]
    pub fn register(&self, path: &Path) -> String {
        self.register_as(&self.key, path)
    }

    /// Registers a file for the account of any key; returns its VideoId.
    #[track_caller]
    pub fn register_as(&self, key: &Key, path: &Path) -> String {
        let metadata = serde_json::json!([{"FileURL": file_url(path), "Title": "clip"}]).to_string();
        let parameters = [("RegisterMetadatas", &*metadata), ("TemplateGroupId", "VOD_NO_TRANSCODE")];
        let body = self.must_as(key, "RegisterMedia", &parameters);
        body["RegisteredMediaList"][0]["MediaId"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    }

    /// Submits a job; returns its JobId.
    #[track_caller]
    pub fn submit(&self, video: &str, parameters: &[(&str, &str)]) -> String {
        let all: Vec<_> = [("VideoId", video)].into_iter().chain(parameters.iter().copied()).collect();
        let body = self.must("SubmitSnapshotJob", &all);
        body["SnapshotJob"]["JobId"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    }

    /// Has every snapshot event of the key's account sent to `url`.
    #[track_caller]
    pub fn call_back(&self, key: &Key, url: &str) {
        let parameters =
            [("CallbackType", "HTTP"), ("CallbackURL", url), ("EventTypeList", "SnapshotComplete")];
        let answer = self.call_as(key, "SetMessageCallback", &parameters);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The sum of a metric's series, as of now.
    pub fn count(&self, metric: &str) -> u64 {
        let text = self.metrics();
        let of_metric = text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            (name.split('{').next() == Some(metric)).then(|| value.parse::<f64>().unwrap())
        });
        // Counters of a test stay far below 2^53.
        of_metric.sum::<f64>() as u64
    }

    /// One scrape of the metrics.
    pub fn metrics(&self) -> String {
        http::get(self.admin, "/metrics").text()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks the daemon to end and waits for it; the folder and the key can start another one.
    pub fn stop(mut self) -> (ExitStatus, TempDir, Key) {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }

    /// Ends the daemon without a word, as a power cut would.
    pub fn kill(mut self) -> (TempDir, Key) {
        self.child.kill().unwrap();
        let (_, folder, key) = self.ended();
        (folder, key)
    }

    fn ended(&mut self) -> (ExitStatus, TempDir, Key) {
        let status = self.child.wait().unwrap();
        let nothing = tempfile::tempdir().unwrap();
        (status, std::mem::replace(&mut self.folder, nothing), self.key.clone())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the daemon's log\n{}", self.log());
        }
        // It may have ended already; both calls are right then too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes a key with `stillframe keys new`, which works with and without a daemon.
pub fn new_key(data: &Path) -> Key {
    read_key(super::stillframe().args(["keys", "new", "--json", "--data"]).arg(data))
}

/// Makes a key of another account than the first.
pub fn new_key_of(data: &Path, account: u32) -> Key {
    let account = account.to_string();
    read_key(super::stillframe().args(["keys", "new", "--json", "--account", &account, "--data"]).arg(data))
}

fn read_key(command: &mut Command) -> Key {
    let told = super::json(command);
    let text = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    Key { id: text("access_key_id"), secret: text("access_key_secret") }
}

/// `file:///...` of an absolute path, percent-encoded.
pub fn file_url(path: &Path) -> String {
    assert!(path.is_absolute(), "{}", path.display());
    url::Url::from_file_path(path).unwrap().into()
}
