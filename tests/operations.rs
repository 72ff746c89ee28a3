//! What an operator relies on: counters that are true, logs that parse and hold no secret, a reload that disturbs
//! nobody, two listeners that keep to themselves.
//!
//! Owns the script that is counted. Never looks inside: everything comes over sockets, signals and standard error.

mod common;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::daemon::{Daemon, Key, Setup, file_url};
use common::events::Events;
use common::held::Held;
use common::http::{self, Answer};
use common::scrape::{self, Scrape};
use common::{PATIENCE, clips, sign};
use rustix::process::Signal;
use serde_json::{Value, json};

const SUCCESS: &str = "stillframe_jobs_finished_total{result=\"success\",reason=\"none\"}";
const GONE: &str = "stillframe_jobs_finished_total{result=\"fail\",reason=\"not_found\"}";
const DELIVERED: &str = "stillframe_callbacks_total{result=\"delivered\"}";

/// A caller that keeps its own books.
struct Caller<'a> {
    daemon: &'a Daemon,
    answers: BTreeMap<(String, String), f64>,
}

impl Caller<'_> {
    fn call(&mut self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        let answer = self.daemon.call(action, parameters);
        let code = if answer.status == 200 { "ok".to_owned() } else { answer.code() };
        *self.answers.entry((action.to_owned(), code)).or_default() += 1.0;
        answer
    }

    /// Submits until it is let through.
    fn submit(&mut self, video: &str, times: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer =
                self.call("SubmitSnapshotJob", &[("VideoId", video), ("SpecifiedOffsetTimes", times)]);
            if answer.status == 200 {
                return answer.json()["SnapshotJob"]["JobId"].as_str().unwrap().to_owned();
            }
            assert_eq!(answer.code(), "Throttling.User", "{}", answer.text());
            assert!(Instant::now() < deadline, "never let through");
        }
    }

    fn of(&self, action: &str, code: &str) -> f64 {
        self.answers.get(&(action.to_owned(), code.to_owned())).copied().unwrap_or(0.0)
    }
}

#[test]
fn every_counter_equals_the_callers_own_books() {
    let daemon = Daemon::start(Setup {
        env: vec![("STILLFRAME_API_SUBMIT_PER_SECOND", "5".into())],
        ..Setup::default()
    });
    let mut caller = Caller { daemon: &daemon, answers: BTreeMap::new() };
    let receiver = common::receiver::Receiver::start(&[]);
    let url = receiver.url();
    let callback = [("CallbackType", "HTTP"), ("CallbackURL", &*url), ("EventTypeList", "SnapshotComplete")];
    caller.call("SetMessageCallback", &callback);
    let path = daemon.put(&clips::short());
    let gone = daemon.media().join("gone.mp4");
    std::fs::copy(&path, &gone).unwrap();
    let mut register = |path| {
        let metadata = json!([{"FileURL": file_url(path), "Title": "t"}]).to_string();
        let body = caller.call("RegisterMedia", &[("RegisterMetadatas", &metadata)]).json();
        body["RegisteredMediaList"][0]["MediaId"].as_str().unwrap().to_owned()
    };
    let (good, bad) = (register(&path), register(&gone));
    std::fs::remove_file(&gone).unwrap();

    // Two points each that are there and one past the end; then jobs whose file is gone; then too many.
    let mut jobs: Vec<String> = (0..6).map(|_| caller.submit(&good, "[0,1500,4000]")).collect();
    jobs.extend((0..4).map(|_| caller.submit(&bad, "[0]")));
    let deadline = Instant::now() + PATIENCE;
    while caller.of("SubmitSnapshotJob", "Throttling.User") < 3.0 {
        let answer = caller.call("SubmitSnapshotJob", &[("VideoId", &good)]);
        if answer.status == 200 {
            jobs.push(answer.json()["SnapshotJob"]["JobId"].as_str().unwrap().to_owned());
        }
        assert!(Instant::now() < deadline, "never throttled");
    }
    caller.call("SubmitSnapshotJob", &[("VideoId", "nothing")]);
    caller.call("GetVideoInfo", &[]);
    caller.call("NoSuchAction", &[]);
    let stranger = Key { secret: "wrong".into(), ..daemon.key.clone() };
    assert_eq!(daemon.call_as(&stranger, "GetVideoInfo", &[]).code(), "SignatureDoesNotMatch");

    let mut ended = BTreeMap::<String, f64>::new();
    for _ in &jobs {
        let event = receiver.next().json();
        *ended.entry(event["Status"].as_str().unwrap().to_owned()).or_default() += 1.0;
    }
    let all = jobs.len() as f64;
    let (single, fails) = (all - 10.0, 4.0);
    assert_eq!((ended["success"], ended["fail"]), (all - fails, fails));
    scrape::wait(&daemon, DELIVERED, all);
    scrape::wait(&daemon, SUCCESS, all - fails);
    let now = scrape::wait(&daemon, GONE, fails);

    println!("the caller's books: {:?}", caller.answers);
    let mut told = 0.0;
    for ((action, code), count) in &caller.answers {
        let action = if action == "NoSuchAction" { "other" } else { action };
        let series = format!("stillframe_http_requests_total{{action=\"{action}\",code=\"{code}\"}}");
        assert_eq!(now.get(&series), *count, "{series}");
        told += count;
    }
    let throttled = caller.of("SubmitSnapshotJob", "Throttling.User");
    #[rustfmt::skip]
    let exact = [
        ("stillframe_auth_failures_total{reason=\"SignatureDoesNotMatch\"}", 1.0),
        ("stillframe_throttled_total", throttled),
        ("stillframe_jobs_submitted_total", all),
        ("stillframe_job_queue_wait_seconds_count", all),
        (SUCCESS, all - fails),
        (GONE, fails),
        (DELIVERED, all),
        ("stillframe_callback_attempts_total{outcome=\"ok\"}", all),
        ("stillframe_capture_points_total{result=\"ok\"}", 6.0 * 2.0 + single),
        ("stillframe_capture_points_total{result=\"past_end\"}", 6.0),
    ];
    for (series, count) in exact {
        assert_eq!(now.get(series), count, "{series}");
    }
    #[rustfmt::skip]
    let sums = [
        ("stillframe_http_requests_total", told + 1.0),
        ("stillframe_auth_failures_total", 1.0),
        ("stillframe_jobs_finished_total", all),
        ("stillframe_callbacks_total", all),
        ("stillframe_callback_attempts_total", all),
        ("stillframe_jobs_quarantined_total", 0.0),
        ("stillframe_lease_lost_total", 0.0),
        ("stillframe_worker_restarts_total", 0.0),
    ];
    for (name, count) in sums {
        assert_eq!(now.sum(name), count, "{name}");
    }
    // The gauges come to rest too: nothing is queued, running or pending.
    let deadline = Instant::now() + PATIENCE;
    while ["stillframe_jobs", "stillframe_callbacks_pending"]
        .iter()
        .any(|name| Scrape::of(&daemon).sum(name) > 0.0)
    {
        assert!(Instant::now() < deadline, "{}", daemon.metrics());
    }
}

#[test]
fn a_scrape_passes_prometheus_own_check() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let video = daemon.register(&daemon.put(&clips::short()));
    let job = daemon.submit(&video, &[]);
    events.end_of(&job);
    let scrape = scrape::wait(&daemon, DELIVERED, 1.0);
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("not run: promtool is not installed (the package prometheus has it)");
        return;
    };
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), scrape.0.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && said.concat().trim().is_empty(), "{said:?}");
}

/// A signature out of the bytes of a signed request.
fn signature(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    text.split("Signature=").nth(1).unwrap().split("\r\n").next().unwrap().to_owned()
}

#[test]
fn log_lines_are_json_and_hold_no_secret() {
    let auth_key = "Canary0Of0The0Callback0Key";
    let token = "canary-of-the-callback-url";
    // At the most talkative: what is not said here is never said.
    let env = vec![("STILLFRAME_LOG_JSON", "true".into()), ("STILLFRAME_LOG_FILTER", "trace".into())];
    let daemon = Daemon::start(Setup { env, ..Setup::default() });
    let receiver = common::receiver::Receiver::start(&[]);
    let url = format!("{}?token={token}", receiver.url());
    #[rustfmt::skip]
    let callback = [("CallbackType", "HTTP"), ("CallbackURL", &*url), ("EventTypeList", "ALL"), ("AuthSwitch", "on"),
        ("AuthKey", auth_key)];
    daemon.must("SetMessageCallback", &callback);
    assert_eq!(daemon.must("GetMessageCallback", &[])["MessageCallback"]["AuthKey"], auth_key);
    let path = daemon.put(&clips::short());
    let video = daemon.register(&path);
    // Bytes that no decoder likes, so that FFmpeg has something to say as well.
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4000].fill(0xA5);
    std::fs::write(&path, &bytes).unwrap();

    let request =
        sign::v3(daemon.api, &daemon.key, "SubmitSnapshotJob", &[("VideoId", &video), ("Count", "4")]);
    let good = signature(&request);
    assert_eq!(http::send(daemon.api, &request).status, 200);
    let delivered = receiver.next();
    let callback_signature = delivered.header("x-vod-signature").unwrap().to_owned();
    let stranger = Key { secret: "canary-of-a-wrong-secret".into(), ..daemon.key.clone() };
    let request = sign::v3(daemon.api, &stranger, "GetVideoInfo", &[("VideoId", &video)]);
    let bad = signature(&request);
    assert_eq!(http::send(daemon.api, &request).code(), "SignatureDoesNotMatch");
    let old = format!(
        "/?Action=GetVideoInfo&Version=2017-03-21&Format=JSON&AccessKeyId={}&SignatureMethod=HMAC-SHA1&\
         SignatureVersion=1.0&SignatureNonce=n&Timestamp=2026-01-01T00%3A00%3A00Z&SecurityToken=canary-of-a-token&\
         Signature=canary-of-the-old-form",
        daemon.key.id
    );
    assert_ne!(http::get(daemon.api, &old).status, 200);
    let scrape = scrape::wait(&daemon, DELIVERED, 1.0);

    let log = daemon.log();
    assert!(log.lines().count() >= 5, "{log}");
    for line in log.lines() {
        let told: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target"] {
            assert!(told[field].is_string(), "{field} is missing: {line}");
        }
    }
    let ended = log.lines().find(|line| line.contains("job ended")).unwrap();
    let ended: Value = serde_json::from_str(ended).unwrap();
    assert_eq!((&ended["message"], &ended["level"]), (&"job ended".into(), &"INFO".into()));
    assert_eq!((&ended["video_id"], &ended["asked"]), (&video.clone().into(), &4.into()), "{ended}");
    let secrets = [
        ("the access key's secret", &*daemon.key.secret),
        ("a wrong secret", "canary-of-a-wrong-secret"),
        ("the callback's key", auth_key),
        ("the callback's URL", token),
        ("the callback's signature", &*callback_signature),
        ("a request's signature", &*good),
        ("a wrong signature", &*bad),
        ("an old signature", "canary-of-the-old-form"),
        ("a security token", "canary-of-a-token"),
    ];
    for (what, secret) in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what} is in the log");
        assert!(!scrape.0.contains(secret), "{what} is in the metrics");
    }
}

#[test]
fn a_reload_takes_what_is_good_keeps_what_is_not_and_never_stops_serving() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("stillframe.toml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    write("[api]\nsubmit_per_second = 1\n");
    let args = vec!["--config".into(), config.clone().into_os_string()];
    let daemon = Daemon::start(Setup { args, ..Setup::default() });
    let mut events = Events::of(&daemon);
    let video = daemon.register(&daemon.put(&clips::short()));
    let submit = || daemon.call("SubmitSnapshotJob", &[("VideoId", &video)]);
    let deadline = Instant::now() + PATIENCE;
    while submit().code() != "Throttling.User" {
        assert!(Instant::now() < deadline, "one a second was asked for");
    }

    // A job under way does not notice.
    let held = Held::of(&daemon);
    let job = loop {
        let answer = submit();
        if answer.status == 200 {
            break answer.json()["SnapshotJob"]["JobId"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "{}", answer.text());
    };
    write("[api]\nsubmit_per_second = 0\n[worker]\nrun_cpu_s = 31.0\n");
    daemon.signal(Signal::HUP);
    let told = scrape::log_lines(&daemon, "settings reloaded", 1);
    assert!(told[0].contains("worker.run_cpu_s") && told[0].contains("wait for a restart"), "{told:?}");
    for _ in 0..20 {
        let answer = submit();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    held.release();
    assert_eq!(events.end_of(&job)["Status"], "success");

    for wrong in
        ["[api]\nsubmit_per_second = \"x\"\n", "[api]\nunknown = 1\n", "no toml", "[log]\nfilter = \"=[\"\n"]
    {
        let kept = daemon.log().matches("settings are kept").count();
        write(wrong);
        daemon.signal(Signal::HUP);
        scrape::log_lines(&daemon, "settings are kept", kept + 1);
        for _ in 0..5 {
            let answer = submit();
            assert_eq!(answer.status, 200, "after {wrong:?}: {}", answer.text());
        }
        assert_eq!(http::get(daemon.admin, "/readyz").status, 200);
    }
    let last = submit().json()["SnapshotJob"]["JobId"].as_str().unwrap().to_owned();
    assert_eq!(events.end_of(&last)["Status"], "success");
    assert_eq!(Scrape::of(&daemon).get("stillframe_worker_zygote_restarts"), 0.0);
}

#[test]
fn neither_listener_serves_the_others_paths() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let video = daemon.register(&daemon.put(&clips::short()));
    let job = daemon.submit(&video, &[]);
    let event = events.end_of(&job);
    let picture = event["SnapshotRegular"].as_str().unwrap().replace("{SnapshotCount}", "00001");
    let path = &picture[format!("http://{}", daemon.api).len()..];
    assert_eq!((http::fetch(&picture).status, http::get(daemon.admin, path).status), (200, 404));
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(http::get(daemon.admin, path).status, 200, "{path}");
        let answer = http::get(daemon.api, path);
        assert_eq!((answer.status, &*answer.code()), (404, "InvalidAction.NotFound"), "{path}");
        assert!(!answer.text().contains("stillframe_"), "{path}");
    }
    let request = sign::v3(daemon.admin, &daemon.key, "GetVideoInfo", &[("VideoId", &video)]);
    let answer = http::send(daemon.admin, &request);
    assert_eq!(answer.status, 405, "{}", answer.text());
    assert!(!answer.text().contains(&video), "{}", answer.text());
    // Nothing of the data folder lies on either.
    for path in ["/stillframe.db", "/run.json", "/../stillframe.db", "/objects/", "/%2e%2e/run.json"] {
        for listener in [daemon.api, daemon.admin] {
            assert_eq!(http::get(listener, path).status, 404, "{path} on {listener}");
        }
    }
}
