//! Who gets in, how often, and in which order the checks come.

use std::time::Duration;

use super::{Api, NOW};

const LIST: &[(&str, &str)] = &[("Action", "ListSnapshots"), ("VideoId", "x")];

#[tokio::test]
async fn a_nonce_is_good_once_and_a_bad_signature_burns_none() {
    let api = Api::start().await;
    let good = api.signed(LIST);
    let bad = good.replace("VideoId=x", "VideoId=y");
    api.post(&bad).await.is_error(400, "SignatureDoesNotMatch");
    api.post(&good).await.is_error(404, "InvalidVideo.NotFound");
    for _ in 0..2 {
        api.post(&good).await.is_error(400, "SignatureNonceUsed");
    }
    // The same nonce under another key is another nonce; `signed_as` counts on, so it is taken out of the query.
    let nonce = good.split("SignatureNonce=").nth(1).unwrap().split('&').next().unwrap();
    let pairs = [LIST[0], LIST[1], ("SignatureNonce", nonce)];
    let others = api.signed_as("POST", ("otherid", "othersecret"), &pairs);
    api.post(&others).await.is_error(404, "InvalidVideo.NotFound");
    // A nonce is kept as long as its request's time is good.
    api.clock.advance(Duration::from_secs(14 * 60));
    api.post(&good).await.is_error(400, "SignatureNonceUsed");
    api.clock.advance(Duration::from_secs(2 * 60));
    api.post(&good).await.is_error(400, "InvalidTimeStamp.Expired");
}

#[tokio::test]
async fn keys_are_looked_up_at_each_request() {
    let api = Api::start().await;
    let call = async |key| api.call_as(key, "ListSnapshots", &[("VideoId", "x")]).await;
    call(("nobody", "x")).await.is_error(404, "InvalidAccessKeyId.NotFound");
    call(("gone", "gonesecret")).await.is_error(400, "InvalidAccessKeyId.Inactive");
    api.store.set_key_enabled("gone", true).await.unwrap();
    call(("gone", "gonesecret")).await.is_error(404, "InvalidVideo.NotFound");
    call(("testid", "wrong")).await.is_error(400, "SignatureDoesNotMatch");
    call(("STS.id", "testsecret")).await.is_error(400, "MissingSecurityToken");
    let with_token = async |key| {
        api.call_as(key, "ListSnapshots", &[("VideoId", "x"), ("SecurityToken", "STS/TOKEN+=")]).await
    };
    with_token(("STS.id", "testsecret")).await.is_error(400, "InvalidSecurityToken.Malformed");
    with_token(("STS.nobody", "x")).await.is_error(404, "InvalidAccessKeyId.NotFound");
    with_token(("testid", "testsecret")).await.is_error(400, "InvalidSecurityToken.MismatchWithAccessKey");
}

#[tokio::test]
async fn checks_come_in_their_order() {
    let api = Api::start().await;
    // Each request is wrong in several ways; the first check in order speaks.
    let post = async |query: &str| api.post(query).await.error().1;
    assert_eq!(post("Action=Nothing&Version=1").await, "MissingAccessKeyId");
    assert_eq!(post("Format=JSON&Action=Nothing&Version=1&SignatureVersion=1.0").await, "InvalidVersion");
    assert_eq!(
        post("Format=JSON&Action=Nothing&Version=2017-03-21&SignatureVersion=1.0").await,
        "InvalidAction.NotFound"
    );
    assert_eq!(
        post("Format=JSON&Action=SubmitSnapshotJob&Version=2017-03-21&SignatureVersion=1.0").await,
        "MissingAccessKeyId"
    );
    let signed = api.signed(LIST);
    let old = signed.replace("2026-01-02T03%3A04", "2020-01-02T03%3A04");
    assert_eq!(
        post(&old.replace("AccessKeyId=testid", "AccessKeyId=nobody")).await,
        "InvalidAccessKeyId.NotFound"
    );
    assert_eq!(post(&old).await, "InvalidTimeStamp.Expired");
    assert_eq!(post(&old.replace("2020-01", "yesterday")).await, "InvalidTimeStamp.Format");
    let wrong = api.signed(&[LIST[0], ("PageNo", "x")]).replace("PageNo=x", "PageNo=y");
    assert_eq!(post(&wrong).await, "SignatureDoesNotMatch");
    let business = api.signed(&[LIST[0], ("PageNo", "x")]);
    assert_eq!(post(&business).await, "MissingParameter");
    assert_eq!(post(&business).await, "SignatureNonceUsed");
}

#[tokio::test]
async fn an_account_over_its_rate_is_told_when_to_come_back() {
    let api = Api::start_with(|settings| settings.api.submit_per_second = 3).await;
    let video = api.register("a.mp4").await;
    let others = api.register_as(("otherid", "othersecret"), "b.mp4").await;
    let id = [("VideoId", video.as_str())];
    for _ in 0..3 {
        api.call("SubmitSnapshotJob", &id).await.ok();
    }
    let query = api.signed(&[("Action", "SubmitSnapshotJob"), id[0]]);
    let refused = api.post(&query).await;
    refused.is_error(400, "Throttling.User");
    let wait: u64 = refused.header("x-acs-retry-after").unwrap().parse().unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
    assert_eq!(api.store.jobs(None, 10).await.unwrap().len(), 3);
    // Its nonce is used up all the same.
    api.post(&query).await.is_error(400, "SignatureNonceUsed");
    // Another account and another operation have their own rates.
    api.call_as(("otherid", "othersecret"), "SubmitSnapshotJob", &[("VideoId", &others)]).await.ok();
    api.call("GetVideoInfo", &[("VideoId", "x")]).await.is_error(404, "InvalidVideo.NotFound");
    api.clock.advance(Duration::from_millis(wait));
    api.call("SubmitSnapshotJob", &id).await.ok();
}

#[tokio::test]
async fn equal_requests_at_once_are_accepted_once() {
    let api = std::sync::Arc::new(Api::start_with(|settings| settings.api.submit_per_second = 0).await);
    let video = api.register("a.mp4").await;
    let query = api.signed(&[("Action", "SubmitSnapshotJob"), ("VideoId", &video)]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (api, query) = (std::sync::Arc::clone(&api), query.clone());
        calls.spawn(async move { api.post(&query).await.status });
    }
    let statuses = calls.join_all().await;
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
    assert_eq!(api.store.jobs(None, 50).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_mismatch_can_be_split_by_the_legacy_client() {
    let api = Api::start().await;
    let answer = api.call_as(("testid", "wrong"), "ListSnapshots", &[("VideoId", "x")]).await.json();
    let message = answer["Message"].as_str().unwrap();
    let echoed = message.split(':').nth(1).unwrap();
    assert!(echoed.starts_with("POST&%2F&AccessKeyId%3Dtestid%26Action%3DListSnapshots"), "{message}");
    assert_eq!(message.matches(':').count(), 1);
    assert!(!message.contains("testsecret"));
}

#[tokio::test]
async fn a_real_sdk_gets_in() {
    use aliyun_openapi_core_rust_sdk::client::error::Error;
    use aliyun_openapi_core_rust_sdk::client::rpc::RPClient;
    let api = Api::start().await;
    // This SDK has no clock of ours: the daemon's goes to where it is.
    let now_ms = stillframe::service::clock::Clock::Real.now_ms();
    api.clock.advance(Duration::from_millis(u64::try_from(now_ms - NOW).unwrap()));
    let video = api.register("a.mp4").await;
    let endpoint = format!("http://{}/", api.address);
    let client = || RPClient::new("testid", "testsecret", endpoint.clone()).version("2017-03-21");
    let query = [
        ("VideoId", video.as_str()),
        ("Count", "3"),
        ("Interval", "0"),
        ("UserData", "{\"Extend\":\"a *~+中\"}"),
    ];
    let text = client().post("SubmitSnapshotJob").query(query).text().await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["SnapshotJob"]["JobId"].as_str().unwrap().len(), 32);
    let got = client().get("ListSnapshots").query([("VideoId", "nothing")]).text().await.unwrap_err();
    match got {
        Error::InvalidResponse { error_code, request_id, .. } => {
            assert_eq!((error_code.as_str(), request_id.len()), ("InvalidVideo.NotFound", 36));
        }
        other => panic!("{other}"),
    }
}
