//! The daemon as a process: it says when it is ready, what it sees, and it goes when told.

mod common;

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::daemon::{Daemon, Setup};
use common::{PATIENCE, http};
use rustix::process::{Pid, Signal, kill_process};

/// Daemons of these tests need no video.
fn start() -> Daemon {
    Daemon::start(Setup::default())
}

/// A `serve` process with a notify socket that the test reads.
struct Served {
    child: Child,
    notify: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Served {
    fn start(config: &str, env: &[(&str, &str)]) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        std::fs::write(folder.path().join("stillframe.toml"), config).unwrap();
        let child = common::stillframe()
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data")
            .arg(folder.path().join("data"))
            .arg("--config")
            .arg(folder.path().join("stillframe.toml"))
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Served { child, notify, folder }
    }

    /// Waits for a message with this line; returns the whole message.
    #[track_caller]
    fn wait_for(&self, line: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = [0; 4096];
        while Instant::now() < deadline {
            let length = self.notify.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|seen| seen == line) {
                return text;
            }
        }
        panic!("no {line}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn write_config(&self, text: &str) {
        std::fs::write(self.folder.path().join("stillframe.toml"), text).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already; both calls are right then too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn it_answers_its_admin_listener_and_goes_when_told() {
    let daemon = start();
    let run_json = daemon.data().join("run.json");
    assert_eq!(http::get(daemon.admin, "/healthz").status, 200);
    let ready = http::get(daemon.admin, "/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (200, "ready\n"));
    assert_eq!(http::get(daemon.admin, "/nothing").status, 404);
    assert_eq!(
        http::send(daemon.admin, b"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status,
        405
    );
    let metrics = daemon.metrics();
    for name in stillframe::service::telemetry::metrics::METRICS.iter().map(|metric| metric.name) {
        // Series whose labels come from the API's lists appear with the first request.
        let of_requests = name.starts_with("stillframe_http_request") || name.starts_with("stillframe_auth_");
        assert!(of_requests || metrics.contains(&format!("# TYPE {name} ")), "{name} is not in\n{metrics}");
    }
    assert!(metrics.contains("stillframe_db_wal_bytes "), "{metrics}");
    assert!(!metrics.contains("stillframe_disk_free_bytes{mount=\"data\"} 0\n"), "the disk was looked at");
    assert!(run_json.is_file());
    let (status, folder, _) = daemon.stop();
    assert_eq!(status.code(), Some(0));
    assert!(!folder.path().join("data/run.json").exists(), "run.json goes with the daemon");
}

#[test]
fn a_data_folder_has_one_daemon() {
    let daemon = start();
    let second = common::stillframe()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .arg(daemon.data())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another daemon runs on"), "{said}");
    assert!(daemon.data().join("run.json").is_file(), "the first one's run.json is its own");
    assert_eq!(http::get(daemon.admin, "/readyz").status, 200);
}

#[test]
fn a_daemon_that_was_cut_off_leaves_nothing_in_the_way() {
    let (folder, key) = start().kill();
    assert!(folder.path().join("data/run.json").is_file(), "nobody removed it");
    let again = Daemon::start_in(folder, key, Setup::default());
    assert_eq!(http::get(again.admin, "/readyz").status, 200);
}

#[test]
fn the_service_manager_hears_of_every_step() {
    let mut served = Served::start("[api]\nsubmit_per_second = 5\n", &[]);
    let ready = served.wait_for("READY=1");
    assert!(ready.contains("STATUS=API on 127.0.0.1:"), "{ready}");

    served.write_config("[api]\nsubmit_per_second = 0\nlisten = \"127.0.0.1:1\"\n[log]\njson = true\n");
    served.signal(Signal::HUP);
    let reloading = served.wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    let reloaded = served.wait_for("READY=1");
    // The flag wins over the file's address, so only the log waits.
    assert!(reloaded.contains("waiting for a restart: log.json"), "{reloaded}");

    served.write_config("[api]\nsubmit_per_second = \"many\"\n");
    served.signal(Signal::HUP);
    served.wait_for("RELOADING=1");
    let kept = served.wait_for("READY=1");
    assert!(kept.contains("reload refused") && kept.contains("line 2"), "{kept}");

    served.signal(Signal::TERM);
    served.wait_for("STOPPING=1");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_by_whole_rounds() {
    let served = Served::start("", &[("WATCHDOG_USEC", "600000")]);
    served.wait_for("READY=1");
    served.wait_for("WATCHDOG=1");
    served.wait_for("WATCHDOG=1");
}

#[test]
fn a_locked_database_shows_in_readiness_and_never_in_the_time_of_an_answer() {
    let daemon = start();
    let database = daemon.data().join("stillframe.db");
    let holder = Holder::new(&database);
    let deadline = Instant::now() + PATIENCE;
    let reason = loop {
        let began = Instant::now();
        let answer = http::get(daemon.admin, "/readyz");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "an answer waited for the database: {took:?}");
        assert_eq!(http::get(daemon.admin, "/healthz").status, 200);
        if answer.status == 503 {
            break answer.text();
        }
        assert!(Instant::now() < deadline, "still ready");
    };
    assert!(reason.contains("database"), "{reason}");
    drop(holder);
    while http::get(daemon.admin, "/readyz").status != 200 {
        assert!(Instant::now() < deadline, "not ready again");
    }
}

/// A process that holds the write lock.
struct Holder(Child);

impl Holder {
    /// Returns once it holds.
    fn new(database: &std::path::Path) -> Holder {
        let script = "import sqlite3, sys, signal\n\
                      c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
                      c.execute('BEGIN IMMEDIATE')\n\
                      print('held', flush=True)\n\
                      signal.pause()\n";
        let mut python = std::process::Command::new("python3");
        python.args(["-c", script]).arg(database).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = Holder(python.spawn().unwrap());
        let mut said = String::new();
        let out = holder.0.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said).unwrap();
        assert_eq!(said, "held\n");
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_disk_below_its_watermark_shows() {
    let daemon = Daemon::start(Setup {
        env: vec![("STILLFRAME_STORAGE_FREE_BYTES_MIN", u32::MAX.to_string() + "000000")],
        ..Setup::default()
    });
    let ready = http::get(daemon.admin, "/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (503, "disk below watermark\n"));
    assert_eq!(http::get(daemon.admin, "/healthz").status, 200);
}

#[test]
fn what_cannot_be_started_says_why() {
    let serve = |args: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let output =
            common::stillframe().arg("serve").arg("--data").arg(folder.path()).args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = serve(&["--config", "/nowhere/stillframe.toml"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("/nowhere/stillframe.toml"), "{said}");
    assert_eq!(serve(&["--listen", "nowhere"]).0, Some(64));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = serve(&["--listen", &address, "--admin", "127.0.0.1:0"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("failed to listen on {address}")), "{said}");
}
