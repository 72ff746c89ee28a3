//! Alibaba's Rust SDK, unmodified, against the daemon.
//!
//! Owns what its caller must see. It is a dev-dependency, so this runs everywhere.

mod common;

use aliyun_openapi_core_rust_sdk::client::error::Error;
use aliyun_openapi_core_rust_sdk::client::rpc::RPClient;
use common::daemon::{Daemon, Key, Setup, file_url};
use serde_json::{Value, json};

const UNKNOWN_VIDEO: &str = "0123456789abcdef0123456789abcdef";

/// One request, by POST or GET.
async fn ask(
    daemon: &Daemon,
    key: &Key,
    method: &str,
    action: &str,
    query: &[(&str, &str)],
) -> Result<Value, Error> {
    let text = RPClient::new(&*key.id, &*key.secret, format!("http://{}/", daemon.api))
        .version("2017-03-21")
        .request(method, action)
        .query(query.iter().copied())
        .text()
        .await?;
    Ok(serde_json::from_str(&text).unwrap())
}

/// The code that the caller can match on.
fn code(answer: Result<Value, Error>) -> Value {
    match answer {
        Err(Error::InvalidResponse { error_code, .. }) => json!({"code": error_code}),
        other => panic!("a fault was expected: {other:?}"),
    }
}

async fn road(method: &str) {
    let daemon = Daemon::start(Setup::default());
    let video = daemon.put(&common::clips::short());
    let key = &daemon.key;
    let metadata = json!([{"FileURL": file_url(&video), "Title": "clip"}]).to_string();
    let query = [("RegisterMetadatas", &*metadata), ("TemplateGroupId", "VOD_NO_TRANSCODE")];
    let registered = ask(&daemon, key, method, "RegisterMedia", &query).await.unwrap();
    let media = &registered["RegisteredMediaList"][0];
    let video = media["MediaId"].as_str().unwrap();
    // The list decides; the Count beside it must not.
    let submission = |video| {
        [("VideoId", video), ("Count", "1"), ("SpecifiedOffsetTimes", "[0,1500,2500]"), ("Width", "320")]
    };
    let submitted = ask(&daemon, key, method, "SubmitSnapshotJob", &submission(video)).await.unwrap();
    let job = submitted["SnapshotJob"]["JobId"].as_str().unwrap();
    let deadline = tokio::time::Instant::now() + common::PATIENCE;
    // An account has 15 GetJobDetail a second: the interval keeps to it, the deadline ends a job that never does.
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(250));
    let status = loop {
        looks.tick().await;
        let query = [("JobId", job), ("JobType", "snapshot")];
        let detail = ask(&daemon, key, method, "GetJobDetail", &query).await.unwrap();
        let status = detail["SnapshotJobDetail"]["Status"].clone();
        if status != "Processing" || tokio::time::Instant::now() > deadline {
            break status;
        }
    };
    let query = [("VideoId", video), ("SnapshotType", "NormalSnapshot")];
    let listed = ask(&daemon, key, method, "ListSnapshots", &query).await.unwrap();
    let listed = &listed["MediaSnapshot"];
    let shown = listed["Snapshots"]["Snapshot"].as_array().unwrap();
    let stranger = Key { secret: format!("{}x", key.secret), ..key.clone() };
    let told = json!({
        "new": media["NewRegister"],
        "failed_urls": registered["FailedFileURLs"],
        "job": job,
        "status": status,
        "total": listed["Total"],
        "urls": shown.iter().map(|one| &one["Url"]).collect::<Vec<_>>(),
        "unknown_video": code(ask(&daemon, key, method, "SubmitSnapshotJob", &submission(UNKNOWN_VIDEO)).await),
        "wrong_secret": code(ask(&daemon, &stranger, method, "SubmitSnapshotJob", &submission(video)).await),
    });
    common::sdk::check_told(&daemon, &told, &["SignatureDoesNotMatch"]);
}

#[tokio::test]
async fn post() {
    road("POST").await;
}

#[tokio::test]
async fn get() {
    road("GET").await;
}
