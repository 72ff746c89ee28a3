//! Eight bad values of every parameter: each a code that names the parameter, and never a job.
//!
//! Owns the values. Never repeats what a good value does.

use serde_json::{Value, json};

use crate::common::clips;
use crate::common::daemon::{Daemon, Setup};
use crate::common::events::Events;
use crate::common::scrape::Scrape;

fn spaced(item: &str, times: usize) -> String {
    vec![item; times].join(",")
}

/// Name and bad values of each parameter of SubmitSnapshotJob whose code is `InvalidParameter`.
fn table() -> Vec<(&'static str, Vec<String>)> {
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let sides = owned(&["7", "0", "-1", "4097", "640.5", "x", "0x280", "99999999999999999999"]);
    let thirty_one = format!("[{}]", spaced("1", 31));
    let long = format!(r#"{{"Extend":"{}"}}"#, "e".repeat(513));
    let longer = format!(r#"{{"Extend":{{}},"x":"{}"}}"#, "e".repeat(1024));
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    vec![
        ("Width", sides.clone()),
        ("Height", sides),
        ("Count", owned(&["0", "-1", "1001", "1.5", "x", "1e2", " 3", "99999999999999999999"])),
        ("Interval", owned(&["-1", "0.5", "x", "1e1", "--1", "+1", "31557600001", "99999999999999999999"])),
        (
            "SpecifiedOffsetTime",
            owned(&["-1", "1.5", "x", "1e3", "0x10", "1 2", "\u{ff11}", "99999999999999999999"]),
        ),
        (
            "SpecifiedOffsetTimes",
            [
                owned(&["x", "{}", "5", "[-1]", "[1.5]", "[null]", "[0,", "[\"a\"]"]),
                vec![thirty_one, deep.clone()],
            ]
            .concat(),
        ),
        (
            "SpriteSnapshotConfig",
            [
                owned(&["x", "[]", "{", r#"{"Columns":0}"#, r#"{"Lines":10001}"#, r#"{"CellWidth":4097}"#]),
                owned(&[
                    r#"{"CellHeight":"7"}"#,
                    r#"{"Padding":-1}"#,
                    r#"{"Margin":1.5}"#,
                    r#"{"Color":"nocolour"}"#,
                ]),
                owned(&[r##"{"Color":"#12345"}"##, r#"{"KeepCellPic":"maybe"}"#]),
                owned(&[r#"{"Columns":10000,"Lines":10000}"#, r#"{"CellWidth":4000,"CellHeight":4000}"#]),
                vec![deep.clone()],
            ]
            .concat(),
        ),
        (
            "UserData",
            [
                owned(&["x", "[]", "{", "1", r#"{"Extend":1}"#, r#"{"MessageCallback":1}"#]),
                owned(&[r#"{"MessageCallback":{"CallbackURL":"ftp://h/"}}"#]),
                owned(&[r#"{"MessageCallback":{"CallbackType":"mns"}}"#]),
                vec![long, longer, deep],
            ]
            .concat(),
        ),
    ]
}

fn no_limit() -> Daemon {
    Daemon::start(Setup { env: vec![("STILLFRAME_API_SUBMIT_PER_SECOND", "0".into())], ..Setup::default() })
}

#[test]
fn eight_bad_values_of_every_parameter() {
    let daemon = no_limit();
    let mut events = Events::of(&daemon);
    let video = daemon.register(&daemon.put(&clips::short()));
    let first = daemon.submit(&video, &[]);
    assert_eq!(events.end_of(&first)["Status"], "success");
    let mut refused = 0.0;
    for (name, values) in table() {
        assert!(values.len() >= 8, "{name} has {} values", values.len());
        for value in values {
            let answer = daemon.call("SubmitSnapshotJob", &[("VideoId", &video), (name, &value)]);
            let shown: String = value.chars().take(60).collect();
            assert_eq!(
                (answer.status, &*answer.code()),
                (400, "InvalidParameter"),
                "{name}={shown}: {}",
                answer.text()
            );
            let message = answer.json()["Message"].as_str().unwrap().to_owned();
            assert!(message.contains(&format!("\"{name}\"")), "{name}={shown}: {message}");
            refused += 1.0;
        }
    }
    let long = "a".repeat(4000);
    let strangers = [
        "0",
        "x",
        "0123456789abcdef0123456789abcdef",
        "../../etc/passwd",
        "' OR 1=1 --",
        "%",
        "\u{1f3a5}",
        &long,
    ];
    for name in ["VideoId", "ReferenceId"] {
        for value in strangers {
            let answer = daemon.call("SubmitSnapshotJob", &[(name, value)]);
            assert_eq!((answer.status, &*answer.code()), (404, "InvalidVideo.NotFound"), "{name}={value}");
            refused += 1.0;
        }
    }
    let template = daemon.call("SubmitSnapshotJob", &[("VideoId", &video), ("SnapshotTemplateId", "t")]);
    assert_eq!((template.status, &*template.code()), (400, "UnsupportedOperation"));
    refused += 1.0;

    // Not one of them became a job, and the next honest one is done.
    let last = daemon.submit(&video, &[("Count", "2")]);
    assert_eq!(events.end_of(&last)["SnapshotCount"], 2);
    let scrape = Scrape::of(&daemon);
    let answers = |code: &str| {
        scrape.get(&format!("stillframe_http_requests_total{{action=\"SubmitSnapshotJob\",code=\"{code}\"}}"))
    };
    let codes = ["InvalidParameter", "InvalidVideo.NotFound", "UnsupportedOperation"];
    println!("{refused} bad values were refused");
    assert_eq!(codes.map(answers).iter().sum::<f64>(), refused);
    assert_eq!((answers("ok"), scrape.get("stillframe_jobs_submitted_total")), (2.0, 2.0));
    assert_eq!(
        scrape.sum("stillframe_http_requests_total") - answers("ok") - refused,
        2.0,
        "callback, register"
    );
}

#[test]
fn bad_registrations_are_refused_whole() {
    let daemon = no_limit();
    let url = crate::common::daemon::file_url(&daemon.put(&clips::short()));
    let entry = json!({"FileURL": url, "Title": "t"});
    let with = |name: &str, value: Value| {
        let mut changed = entry.clone();
        changed[name] = value;
        json!([changed]).to_string()
    };
    let values = [
        "x".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        "[1]".to_owned(),
        json!([{"FileURL": url}]).to_string(),
        json!([{"Title": "t"}]).to_string(),
        json!(vec![&entry; 11]).to_string(),
        with("Title", "t".repeat(129).into()),
        with("Title", json!(1)),
        with("FileURL", format!("file:///{}", "a".repeat(1020)).into()),
        with("CateId", json!("x")),
        with("Tags", spaced("t", 17).into()),
    ];
    for value in &values {
        let answer = daemon.call("RegisterMedia", &[("RegisterMetadatas", value)]);
        assert_eq!((answer.status, &*answer.code()), (400, "InvalidParameter"), "{value}: {}", answer.text());
        assert!(answer.text().contains("RegisterMetadatas"), "{}", answer.text());
    }
    let body = daemon.must("RegisterMedia", &[("RegisterMetadatas", &json!([entry]).to_string())]);
    assert_eq!(body["RegisteredMediaList"][0]["NewRegister"], true, "nothing of them was registered");
}
