//! Commands from the outside: the built binary, its output and its exit codes.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use secrecy::ExposeSecret;
use serde_json::Value;
use stillframe::service::api::{ApiContext, server};
use stillframe::service::clock::Clock;
use stillframe::service::objects::{MediaRoots, ObjectStore};
use stillframe::service::settings::{Flags, Settings};
use stillframe::service::store::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

fn stillframe(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stillframe"));
    command.env_clear().arg("--data").arg(data).args(arguments).envs(variables.iter().copied());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn new_key(data: &Path, more: &[&str]) -> (String, String) {
    let output = stillframe(data, &[&["keys", "new", "--json"], more].concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let key: Value = serde_json::from_slice(&output.stdout).unwrap();
    let part = |name: &str| key[name].as_str().unwrap().to_owned();
    (part("access_key_id"), part("access_key_secret"))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_and_switched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (id, secret) = new_key(&data, &[]);
    // The store is open elsewhere from here on, as with a daemon.
    let store = Store::open(&data.join("stillframe.db")).await.unwrap();
    let key = store.key(&id).await.unwrap().unwrap();
    assert_eq!(
        (key.secret.expose_secret(), key.account.0, key.enabled),
        (secret.as_str(), 1_000_000_000_000_001, true)
    );
    let (other, _) = new_key(&data, &["--account", "7"]);
    assert_eq!(store.key(&other).await.unwrap().unwrap().account.0, 7);

    let list = stillframe(&data, &["keys", "list", "--json"], &[]);
    let keys: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(keys.as_array().unwrap().len(), 2);
    let table = stillframe(&data, &["keys", "list"], &[]);
    for output in [&list, &table] {
        assert!(text(&output.stdout).contains(&id) && !text(&output.stdout).contains(&secret));
    }
    for (what, enabled) in [("disable", false), ("enable", true)] {
        assert_eq!(stillframe(&data, &["keys", what, &id], &[]).status.code(), Some(0));
        assert_eq!(store.key(&id).await.unwrap().unwrap().enabled, enabled);
    }
    assert_eq!(stillframe(&data, &["keys", "disable", "nobody"], &[]).status.code(), Some(1));
    assert_eq!(stillframe(&data, &["keys"], &[]).status.code(), Some(64));
    assert_eq!(stillframe(&data, &["keys", "new", "--account", "0"], &[]).status.code(), Some(64));
}

#[test]
fn keys_live_where_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let (config, data) = (folder.path().join("a.toml"), folder.path().join("data"));
    std::fs::write(&config, format!("[storage]\ndata = {data:?}\n")).unwrap();
    let keys = |variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stillframe"));
        command.env_clear().current_dir(folder.path()).envs(variables.iter().copied());
        command.args(["keys", "new", "--config"]).arg(&config).output().unwrap().status.code()
    };
    assert_eq!(keys(&[]), Some(0));
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(data.join("stillframe.db").is_file());
    let other = folder.path().join("other");
    assert_eq!(keys(&[("STILLFRAME_STORAGE_DATA", other.to_str().unwrap())]), Some(0));
    assert!(other.join("stillframe.db").is_file() && !folder.path().join("stillframe-data").exists());
    std::fs::write(&config, "[nothing]\n").unwrap();
    assert_eq!(keys(&[]), Some(78));
}

#[test]
fn output_that_nobody_reads_ends_quietly_and_lost_output_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    new_key(folder.path(), &[]);
    for arguments in [
        &["jobs", "list"] as &[&str],
        &["jobs", "list", "--json"],
        &["keys", "list"],
        &["callbacks", "list"],
        &["completions", "bash"],
        &["man"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = printing_to(folder.path(), writer.into(), Stdio::piped(), arguments);
        assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), ""), "{arguments:?}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = printing_to(folder.path(), full.into(), Stdio::piped(), arguments);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        assert!(text(&ended.stderr).contains("standard output"), "{arguments:?}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = printing_to(folder.path(), Stdio::null(), writer.into(), &["keys", "disable", "nobody"]);
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn what_cannot_be_imported_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("media");
    std::fs::create_dir(&root).unwrap();
    let outside = folder.path().join("outside.mp4");
    std::fs::write(&outside, b"some bytes").unwrap();
    let import = |path: &Path, account: &str| {
        let arguments = ["import", "--account", account, "--media-root", root.to_str().unwrap()];
        stillframe(folder.path(), &[&arguments[..], &[path.to_str().unwrap()]].concat(), &[])
    };
    for path in [&outside, &root.join("nothing.mp4"), &root] {
        let ended = import(path, "1");
        let problem = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{problem}");
        assert_eq!(problem.matches(path.to_str().unwrap()).count(), 1, "{problem}");
    }
    assert_eq!(import(&outside, "0").status.code(), Some(64));
}

fn printing_to(data: &Path, out: Stdio, err: Stdio, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stillframe"));
    command.env_clear().arg("--data").arg(data).args(arguments).stdout(out).stderr(err);
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_reach_a_running_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let (data, media) = (folder.path().join("data"), folder.path().join("media"));
    std::fs::create_dir(&media).unwrap();
    std::fs::write(media.join("a b.mp4"), b"some bytes").unwrap();
    let (id, secret) = new_key(&data, &[]);
    let keys = [("STILLFRAME_ACCESS_KEY_ID", id.as_str()), ("STILLFRAME_ACCESS_KEY_SECRET", secret.as_str())];
    let settings = Settings::load(&Flags::default(), std::iter::empty()).unwrap();
    let (_settings_in, settings) = watch::channel(Arc::new(settings));
    let (probes, _probes_out) = mpsc::channel(1);
    let context = ApiContext {
        store: Store::open(&data.join("stillframe.db")).await.unwrap(),
        objects: ObjectStore::local(data.join("objects")).unwrap(),
        roots: MediaRoots::new(std::slice::from_ref(&media)).unwrap(),
        settings,
        clock: Clock::Real,
        submitted: Arc::default(),
        probes,
        base_url: "http://h".into(),
        disk: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(server::serve(listener, Arc::new(context), stopped));

    let call = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = stillframe(&data, &[&["call"], arguments].concat(), variables);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).ok(), output.stderr)
    };
    let (code, _, problem) = call(&["GetVideoInfo", "VideoId=x"], &keys);
    assert_eq!(code, Some(1));
    assert!(text(&problem).contains("no daemon runs there"), "{}", text(&problem));

    let run = serde_json::json!({ "pid": 1, "api": address, "admin": "127.0.0.1:1" });
    std::fs::write(data.join("run.json"), run.to_string()).unwrap();
    let metadatas = format!(
        r#"RegisterMetadatas=[{{"FileURL":"file://{}/a%20b.mp4","Title":"*~+/中 b"}}]"#,
        media.display()
    );
    let (code, body, problem) = call(&["RegisterMedia", &metadatas], &keys);
    assert_eq!(code, Some(0), "{body:?} {}", text(&problem));
    let body = body.unwrap();
    let video = format!("VideoId={}", body["RegisteredMediaList"][0]["MediaId"].as_str().unwrap());
    let (code, body, _) = call(&["SubmitSnapshotJob", &video, "Count=2"], &keys);
    assert_eq!((code, body.unwrap()["SnapshotJob"]["JobId"].as_str().unwrap().len()), (Some(0), 32));
    let endpoint = format!("http://{address}/");
    let (code, body, _) =
        call(&["GetJobDetail", "JobId=x", "JobType=snapshot", "--endpoint", &endpoint], &keys);
    assert_eq!((code, body.unwrap()["Code"].as_str()), (Some(1), Some("NoSuchResource")));
    assert_eq!(call(&["GetVideoInfo"], &[]).0, Some(1));
    assert_eq!(call(&["GetVideoInfo", "VideoId"], &keys).0, Some(64));

    stop.send(true).unwrap();
    served.await.unwrap();
}
