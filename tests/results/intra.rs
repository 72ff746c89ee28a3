//! FrameType `intra`: the nearest key frame at or before the instant, and the truth about which one that is.

use std::path::PathBuf;

use common::clips;
use serde_json::Value;
use stillframe::model::ids::{AccountId, JobId, VideoId};
use stillframe::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};
use stillframe::service::store::Store;
use stillframe::service::store::rows::NewJob;

use super::common;
use super::common::daemon::{Daemon, Setup};
use super::common::events::Events;
use super::{grab, statuses};

const TIMES: [i64; 7] = [0, 990, 1000, 1500, 2300, 3700, 0];

fn clip(name: &str, recipe: &[&str]) -> PathBuf {
    let source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4"];
    clips::clip(name, &[&source[..], recipe].concat())
}

/// Clips with a key frame each second, with and without an index, with and without times.
#[rustfmt::skip]
fn each_second() -> Vec<PathBuf> {
    let h264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "veryfast"];
    let closed = ["-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-bf", "2"];
    let open = ["-x264-params", "keyint=25:min-keyint=25:scenecut=0:open-gop=1:bframes=3"];
    vec![
        clip("h264.mp4", &[&h264[..], &closed].concat()),
        clip("h264.avi", &[&h264[..], &closed].concat()),
        clip("raw.h264", &[&h264[..], &closed, &["-f", "h264"]].concat()),
        clip("open.ts", &[&h264[..], &open].concat()),
        clip("open.mkv", &[&h264[..], &open].concat()),
        clip("hevc.mp4", &["-c:v", "libx265", "-pix_fmt", "yuv420p", "-preset", "veryfast", "-x265-params",
            "keyint=25:min-keyint=25:scenecut=0:open-gop=1:bframes=4:log-level=none"]),
        clip("av1.mkv", &["-c:v", "libaom-av1", "-cpu-used", "8", "-g", "25", "-keyint_min", "25"]),
        clip("vp9.webm", &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25",
            "-keyint_min", "25"]),
    ]
}

#[test]
fn the_nearest_key_frame_at_or_before_serves() {
    let want = [0, 0, 1000, 1000, 2000, 3000, 0];
    for file in each_second() {
        let told = grab(&file, &TIMES, &["--width", "64", "--frame-type", "intra"], 0);
        let shown: Vec<_> = statuses(&told).into_iter().map(|(_, shown)| shown.unwrap()).collect();
        assert_eq!(shown, want, "{}: {told}", file.display());
        let exact = grab(&file, &[0, 1000, 2000, 3000], &["--width", "64"], 0);
        for (picture, second) in told["pictures"].as_array().unwrap().iter().zip(want.map(|ms| ms / 1000)) {
            assert_eq!(
                (&picture["status"], &picture["key_frame"]),
                (&"ok".into(), &true.into()),
                "{picture}"
            );
            let judge = &exact["pictures"][usize::try_from(second).unwrap()];
            assert_eq!(picture["frame_md5"], judge["frame_md5"], "{}: {picture}", file.display());
        }
        println!("{}: {} frames decoded", file.display(), told["stats"]["frames_decoded"]);
    }
}

#[test]
fn where_every_frame_is_a_key_frame_the_exact_one_serves() {
    let file = clip("intra.mov", &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]);
    let told = grab(&file, &TIMES, &["--width", "64", "--frame-type", "intra"], 0);
    let exact = grab(&file, &TIMES, &["--width", "64"], 0);
    assert_eq!(told["pictures"], exact["pictures"]);
    assert_eq!(told["stats"]["frames_decoded"], 6, "{told}");
}

#[test]
fn without_whole_key_frames_the_exact_frame_serves_and_says_so() {
    let file = clip(
        "refresh.ts",
        &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "intra-refresh=1:keyint=25:bframes=0"],
    );
    let times = [2300, 3700];
    let told = grab(&file, &times, &["--width", "64", "--frame-type", "intra"], 0);
    let exact = grab(&file, &times, &["--width", "64"], 0);
    for (picture, judge) in
        told["pictures"].as_array().unwrap().iter().zip(exact["pictures"].as_array().unwrap())
    {
        assert_eq!(picture["key_frame"], false, "{picture}");
        assert_eq!(picture["frame_md5"], judge["frame_md5"], "{picture}");
    }
}

#[test]
fn the_daemon_takes_key_frames_for_a_job_that_wants_them() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let file = daemon.put(&each_second()[0]);
    let video = VideoId(daemon.register(&file));
    // One job of each kind, put down behind the API, which has a word for it only in templates.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let account = runtime.block_on(async {
        let store = Store::open(&daemon.data().join("stillframe.db")).await.unwrap();
        let keys = store.keys().await.unwrap();
        let account: AccountId = keys[0].account;
        let spec = SnapshotSpec {
            frame_type: FrameType::Intra,
            size: AskedSize { width: Some(64), height: None },
            ..SnapshotSpec::of(Points::List(TIMES.to_vec()))
        };
        let job = NewJob {
            id: JobId("0123456789abcdef0123456789abcdef".into()),
            account,
            video: video.clone(),
            spec,
            user_data: None,
            request_id: "r".into(),
            created_ms: 1,
        };
        store.submit(job).await.unwrap();
        account
    });
    // The queue is looked at with each submission.
    let exact = daemon.submit(&video.0, &[("SpecifiedOffsetTimes", "[2300]")]);
    assert_eq!(events.end_of(&exact)["Stillframe"]["pictures"][0]["shown_ms"], 2280);
    let event = events.end_of("0123456789abcdef0123456789abcdef");
    let pictures: Vec<Value> = event["Stillframe"]["pictures"].as_array().unwrap().clone();
    let shown: Vec<_> = pictures.iter().map(|picture| picture["shown_ms"].as_i64().unwrap()).collect();
    assert_eq!(shown, [0, 0, 1000, 1000, 2000, 3000, 0], "{account:?}: {event}");
    assert!(pictures.iter().all(|picture| picture["key_frame"] == true), "{event}");
}
