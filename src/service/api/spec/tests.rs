//! The plan-parameter table, row by row.

use super::*;
use crate::model::limits::{COUNT_MAX, FRAME_PIXELS_MAX, SHEET_PIXELS_MAX};
use proptest::prelude::*;

fn capture() -> CaptureSettings {
    CaptureSettings {
        jpeg_quality: 85,
        count_max: COUNT_MAX,
        interval_without_count_to_end: false,
        frame_pixels_max: FRAME_PIXELS_MAX,
        sheet_pixels_max: SHEET_PIXELS_MAX,
    }
}

fn spec_with(query: &str, capture: &CaptureSettings) -> Result<SnapshotSpec, ApiError> {
    parse(&Params::parse(query).unwrap(), capture)
}

fn spec(query: &str) -> Result<SnapshotSpec, ApiError> {
    spec_with(query, &capture())
}

fn refused(query: &str, name: &str) {
    let error = spec(query).expect_err(query);
    let message = format!("The specified parameter \"{name}\" is not valid.");
    assert_eq!(
        (error.code.as_ref(), error.status, error.message),
        ("InvalidParameter", 400, message),
        "{query}"
    );
}

fn every(offset_ms: i64, count: u32, interval_ms: i64) -> Points {
    Points::Every { offset_ms, count, interval_ms }
}

#[test]
fn parameters_become_points() {
    let check = |query: &str, expected: Points| {
        assert_eq!(spec(query).unwrap().points, expected, "{query}");
    };
    check("Count=10&Interval=5", every(0, 10, 5000)); // ambiguity 1
    check("", every(0, 1, 1000)); // 2
    check("SpecifiedOffsetTime=500", every(500, 1, 1000)); // 2
    check("Interval=5", every(0, 1, 5000)); // 3
    check("Count=3", every(0, 3, 1000)); // 4
    check("Count=3&Interval=0", Points::Even { offset_ms: 0, count: 3 }); // 5
    check("Count=3&Interval=0&SpecifiedOffsetTime=700", Points::Even { offset_ms: 700, count: 3 }); // 5
    check("Count=1&Interval=0", every(0, 1, 0)); // 6
    check("Interval=0&SpecifiedOffsetTime=9", every(9, 1, 0)); // 6
    check("SpecifiedOffsetTime=999999999", every(999_999_999, 1, 1000)); // 7: the engine drops it
    let list = "SpecifiedOffsetTimes=[0,1500]&Count=9&Interval=2&SpecifiedOffsetTime=7";
    check(list, Points::List(vec![0, 1500])); // 8
    check("SpecifiedOffsetTimes=[5]&Count=x&Interval=-1", Points::List(vec![5])); // 8: not read
    check("SpecifiedOffsetTimes=[9,0,9,3]", Points::List(vec![9, 0, 9, 3])); // 9
    check("SpecifiedOffsetTimes=[]&Count=2", every(0, 2, 1000)); // an empty list is absent
    check("SpecifiedOffsetTimes=&Count=2&Width=", every(0, 2, 1000)); // so is an empty value
    check("Count=1000", every(0, 1000, 1000));
}

#[test]
fn the_other_reading_of_an_interval_alone_is_a_setting() {
    let to_end = CaptureSettings { interval_without_count_to_end: true, ..capture() };
    let check = |query: &str, expected: Points| {
        assert_eq!(spec_with(query, &to_end).unwrap().points, expected, "{query}");
    };
    let every_five = Points::ToEnd { offset_ms: 100, interval_ms: 5000, most: COUNT_MAX };
    check("Interval=5&SpecifiedOffsetTime=100", every_five);
    check("Interval=5&Count=2", every(0, 2, 5000));
    check("Interval=0", every(0, 1, 0));
    check("", every(0, 1, 1000));
}

#[test]
fn the_three_array_encodings_are_equal() {
    let expected = spec("SpecifiedOffsetTimes=%5B0%2C1500%5D").unwrap();
    assert_eq!(expected.points, Points::List(vec![0, 1500]));
    for same in [
        "SpecifiedOffsetTimes=[0, 1500]",
        "SpecifiedOffsetTimes=[\"0\",\"1500\"]",
        "SpecifiedOffsetTimes=[0,%221500%22]",
        "SpecifiedOffsetTimes.1=0&SpecifiedOffsetTimes.2=1500",
        "SpecifiedOffsetTimes.2=1500&SpecifiedOffsetTimes.1=0",
    ] {
        assert_eq!(spec(same).as_ref(), Ok(&expected), "{same}");
    }
    let eleven: Vec<String> = (1..=11).map(|n| format!("SpecifiedOffsetTimes.{n}={n}")).collect();
    assert_eq!(spec(&eleven.join("&")).unwrap().points, Points::List((1..=11).collect()));
}

#[test]
fn bad_lists_are_refused() {
    let many: Vec<String> = (0..31).map(|n| n.to_string()).collect();
    assert!(spec(&format!("SpecifiedOffsetTimes=[{}]", many[..30].join(","))).is_ok());
    refused(&format!("SpecifiedOffsetTimes=[{}]", many.join(",")), "SpecifiedOffsetTimes"); // ambiguity 10
    for bad in [
        "=0",
        "=0,1500",
        "=[-1]",
        "=[1.5]",
        "=[1e3]",
        "=[null]",
        "=[\"\"]",
        "=[[1]]",
        "=[1",
        "={\"1\":0}",
        "=[99999999999999999999]",
        "=[9223372036854775807]",
        "=['1']",
        ".0=1",
        ".2=1",
        ".01=1",
        ".x=1",
        ".=1",
        ".1=x",
        ".1=",
        ".1=-5",
        ".1=1&SpecifiedOffsetTimes.3=2",
        ".1=1&SpecifiedOffsetTimes=[1]",
    ] {
        refused(&format!("SpecifiedOffsetTimes{bad}"), "SpecifiedOffsetTimes");
    }
}

#[test]
fn bad_numbers_are_refused_by_name() {
    let never = ["-1", "x", "1.5", "1e2", "%2B5", "+5", "5+", "0x10", "99999999999999999999", "NaN", "[1]"];
    for name in ["SpecifiedOffsetTime", "Count", "Interval", "Width", "Height"] {
        for value in never {
            refused(&format!("{name}={value}"), name);
        }
    }
    for (query, name) in [
        ("Count=0", "Count"),
        ("Count=1001", "Count"),
        ("Count=4294967297", "Count"),
        ("Width=7", "Width"),
        ("Width=0", "Width"),
        ("Width=4097", "Width"),
        ("Height=7", "Height"),
        ("Height=4097", "Height"),
        ("Interval=9223372036854775807", "Interval"),
        ("SpecifiedOffsetTime=9223372036854775807", "SpecifiedOffsetTime"),
    ] {
        refused(query, name);
    }
}

#[test]
fn sizes_are_kept_as_asked() {
    let check = |query: &str, width, height| {
        assert_eq!(spec(query).unwrap().size, AskedSize { width, height }, "{query}");
    };
    check("", None, None);
    check("Width=8", Some(8), None); // ambiguity 11: the engine keeps the shape
    check("Height=4096", None, Some(4096)); // 11
    check("Width=641&Height=361", Some(641), Some(361)); // 12: stretched as given
}

#[test]
fn sprites_and_user_data_are_checked_here_too() {
    let sprite = spec("SpriteSnapshotConfig={}").unwrap();
    assert!(sprite.keep_pictures && sprite.sprite.is_some());
    let sprite = spec("SpriteSnapshotConfig={'KeepCellPic':'delete'}").unwrap();
    assert!(!sprite.keep_pictures);
    let plain = spec("SpriteSnapshotConfig=").unwrap();
    assert!(plain.keep_pictures && plain.sprite.is_none());
    assert_eq!((plain.quality, plain.frame_type, plain.frame_md5), (85, FrameType::Normal, false));
    refused("SpriteSnapshotConfig={\"Columns\":0}", "SpriteSnapshotConfig");
    refused("SpriteSnapshotConfig=[]", "SpriteSnapshotConfig");
    refused("Width=4096&Height=4096&SpriteSnapshotConfig={}", "SpriteSnapshotConfig");
    refused("UserData=x", "UserData");
    refused("UserData=[]", "UserData");
    assert!(spec("UserData={\"Extend\":\"x\"}").is_ok());
}

proptest! {
    #[test]
    fn points_stay_within_bounds(offset in any::<i64>(), count in any::<i32>(), interval in any::<i64>()) {
        let query = format!("SpecifiedOffsetTime={offset}&Count={count}&Interval={interval}");
        match spec(&query) {
            Ok(SnapshotSpec { points: Points::Every { offset_ms, count, interval_ms }, .. }) => {
                prop_assert_eq!((offset_ms, interval_ms), (offset, interval * 1000));
                prop_assert!((1..=COUNT_MAX).contains(&count));
                prop_assert!(offset_ms.checked_add(i64::from(count) * interval_ms).is_some());
            }
            Ok(SnapshotSpec { points: Points::Even { count, .. }, .. }) => prop_assert!(count > 1 && interval == 0),
            Ok(other) => prop_assert!(false, "{:?}", other.points),
            Err(error) => prop_assert_eq!(error.code.as_ref(), "InvalidParameter"),
        }
    }

    #[test]
    fn lists_are_read_the_same_from_every_encoding(times in prop::collection::vec(0i64..1_000_000, 1..30)) {
        let json = format!("SpecifiedOffsetTimes={times:?}");
        let numbered: Vec<String> =
            times.iter().zip(1..).map(|(t, n)| format!("SpecifiedOffsetTimes.{n}={t}")).collect();
        let expected = Points::List(times);
        prop_assert_eq!(&spec(&json).unwrap().points, &expected);
        prop_assert_eq!(&spec(&numbered.join("&")).unwrap().points, &expected);
    }
}
