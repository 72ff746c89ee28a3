//! The event's body against the contract's examples.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::device::Refusal;
use crate::model::job::{Fallback, Stage};
use crate::model::media::Backend;
use crate::model::snapshot::{Counts, PointStatus, Shown};

const VIDEO: &str = "3b46b391aa1d4b0f9c2e5d7f00112233";
const JOB: &str = "9f2c7f0ab4d14b6e8d3351c0e2a4f688";
const BASE: &str = "http://img.example.test";

fn event(outcome: Outcome) -> SnapshotComplete {
    SnapshotComplete {
        job: JOB.into(),
        video: VIDEO.into(),
        ended_ms: 1_767_323_047_999,
        extend: Some(r#"{"order":"A-17"}"#.to_owned()),
        outcome,
        points: Counts { asked: 13, delivered: 12, past_end: 1, failed: 0 },
        sheets_asked: 0,
        fallbacks: Vec::new(),
    }
}

fn points() -> [PointRow; 2] {
    let shown = Shown {
        status: PointStatus::Ok,
        shown_ms: 1480,
        pts: 18944,
        width: 320,
        height: 180,
        key_frame: false,
        backend: Backend::Cpu,
        frame_md5: None,
    };
    let row = |asked, status| PointRow {
        asked,
        asked_ms: 1500,
        status,
        reason: None,
        shown: None,
        ordinal: None,
        bytes: None,
    };
    [
        PointRow { shown: Some(shown), ordinal: Some(1), bytes: Some(9120), ..row(0, PointStatus::Ok) },
        row(1, PointStatus::PastEnd),
    ]
}

fn told() -> Value {
    json!({"result": "success", "asked": 13, "delivered": 12, "past_end": 1, "failed": 0, "pictures": [
        {"ordinal": 1, "asked_ms": 1500, "shown_ms": 1480, "pts": 18944, "status": "ok", "width": 320, "height": 180,
         "key_frame": false, "backend": "cpu", "bytes": 9120, "file": format!("{VIDEO}/snapshots/normal/{JOB}-00001.jpg")},
        {"asked_ms": 1500, "status": "past_end"}]})
}

fn rendered(event: &SnapshotComplete, base_url: &str) -> Value {
    serde_json::from_str(&render(event, &points(), base_url).expect("plain data")).expect("JSON")
}

// The contract's own example, and the truth about every point.
#[test]
fn a_sprite_job_is_told_in_both_forms() {
    let body = rendered(&event(Outcome::Success { pictures: 12, sheets: 1 }), BASE);
    let golden = r#"{"EventType":"SnapshotComplete","EventTime":"2026-01-02T03:04:07Z","SubType":"SpecifiedTime","Status":"success",
 "VideoId":"3b46b391aa1d4b0f9c2e5d7f00112233","Extend":"{\"order\":\"A-17\"}",
 "JobId":"9f2c7f0ab4d14b6e8d3351c0e2a4f688","SnapshotCount":12,
 "SnapshotFormat":"3b46b391aa1d4b0f9c2e5d7f00112233/snapshots/normal/9f2c7f0ab4d14b6e8d3351c0e2a4f688-{SnapshotCount}.jpg",
 "SnapshotRegular":"http://img.example.test/3b46b391aa1d4b0f9c2e5d7f00112233/snapshots/normal/9f2c7f0ab4d14b6e8d3351c0e2a4f688-{SnapshotCount}.jpg",
 "SnapshotInfos":[
  {"Status":"success","SnapshotType":"NormalSnapshot","SnapshotCount":12,"JobId":"9f2c7f0ab4d14b6e8d3351c0e2a4f688",
   "SnapshotFormat":"3b46b391aa1d4b0f9c2e5d7f00112233/snapshots/normal/9f2c7f0ab4d14b6e8d3351c0e2a4f688-{SnapshotCount}.jpg",
   "SnapshotRegular":"http://img.example.test/3b46b391aa1d4b0f9c2e5d7f00112233/snapshots/normal/9f2c7f0ab4d14b6e8d3351c0e2a4f688-{SnapshotCount}.jpg"},
  {"Status":"success","SnapshotType":"SpriteSnapshot","SnapshotCount":1,"JobId":"9f2c7f0ab4d14b6e8d3351c0e2a4f688",
   "SnapshotFormat":"3b46b391aa1d4b0f9c2e5d7f00112233/snapshots/sprite/9f2c7f0ab4d14b6e8d3351c0e2a4f688-{SnapshotCount}.jpg",
   "SnapshotRegular":"http://img.example.test/3b46b391aa1d4b0f9c2e5d7f00112233/snapshots/sprite/9f2c7f0ab4d14b6e8d3351c0e2a4f688-{SnapshotCount}.jpg"}]}"#;
    let mut golden: Value = serde_json::from_str(golden).expect("golden");
    golden["Stillframe"] = told();
    assert_eq!(body, golden);
}

#[test]
fn devices_that_gave_up_are_told() {
    let fallback = Fallback { from: Backend::Cuda, reason: Refusal::Copy, points: 3 };
    let event =
        SnapshotComplete { fallbacks: vec![fallback], ..event(Outcome::Success { pictures: 12, sheets: 0 }) };
    let told = &rendered(&event, BASE)["Stillframe"]["fallbacks"];
    assert_eq!(told, &json!([{"from": "cuda", "reason": "copy", "points": 3}]));
}

#[test]
fn a_failure_carries_code_and_job_and_no_pictures() {
    let fail =
        Outcome::Fail(Failure::new(FailCode::NotMedia, Stage::Open, "a.mp4: no container that is read"));
    let body = rendered(&event(fail), BASE);
    let mut truth = told();
    truth["result"] = "fail".into();
    truth["failure"] = json!({"code": "not_media", "stage": "open"});
    assert_eq!(
        body,
        json!({"EventType": "SnapshotComplete", "EventTime": "2026-01-02T03:04:07Z", "SubType": "SpecifiedTime",
            "Status": "fail", "VideoId": VIDEO, "ErrorCode": "InvalidParameter.ResourceContentBad",
            "ErrorMessage": "The resource operated InputFile is bad: a.mp4: no container that is read",
            "Extend": "{\"order\":\"A-17\"}", "JobId": JOB,
            "Stillframe": truth})
    );
}

#[test]
fn cells_that_were_not_kept_are_not_on_offer() {
    let body = rendered(&event(Outcome::Success { pictures: 0, sheets: 2 }), BASE);
    assert_eq!(body["SnapshotInfos"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["SnapshotInfos"][0]["SnapshotType"], "SpriteSnapshot");
    assert_eq!(body["SnapshotCount"], 2);
    assert_eq!(body["SnapshotFormat"], format!("{VIDEO}/snapshots/sprite/{JOB}-{{SnapshotCount}}.jpg"));
}

#[test]
fn regular_is_http_even_behind_https() {
    for base in ["https://img.example.test", "http://img.example.test/", "https://img.example.test/"] {
        let body = rendered(&event(Outcome::Success { pictures: 1, sheets: 0 }), base);
        let regular = body["SnapshotRegular"].as_str().expect("text");
        assert!(regular.starts_with("http://img.example.test/3b46"), "{regular}");
    }
}

#[test]
fn extend_is_absent_when_nobody_gave_one() {
    let mut event = event(Outcome::Success { pictures: 1, sheets: 0 });
    event.extend = None;
    assert_eq!(rendered(&event, BASE).get("Extend"), None);
}

#[test]
fn every_code_has_one_of_the_three_words() {
    for code in FailCode::ALL {
        let word = error_code(code);
        assert_eq!(word == "InternalError", code.may_pass_later(), "{word} for {}", code.name());
    }
    assert_eq!(error_code(FailCode::NotFound), "InvalidParameter.ResourceNotFound");
    let text = "/data/objects is full";
    assert!(!error_message(FailCode::Io, text).contains("/data"), "our own folders stay with us");
}

proptest! {
    #[test]
    fn any_text_survives_and_stays_bounded(text in ".{0,900}", extend in ".{0,100}", ended_ms: i64) {
        let mut event = event(Outcome::Fail(Failure::new(FailCode::Corrupt, Stage::Decode, text)));
        event.extend = Some(extend.clone());
        event.ended_ms = ended_ms;
        let body = rendered(&event, BASE);
        prop_assert_eq!(body["Extend"].as_str(), Some(extend.as_str()));
        prop_assert!(body["ErrorMessage"].as_str().is_some_and(|m| m.len() < REASON_BYTES_MAX + 64));
    }
}
