//! What the daemon knows of a video once it is registered.
//!
//! Owns the promise that a registration finds out the duration by itself. Never takes a picture.

mod common;

use common::daemon::{Daemon, Setup};

#[test]
fn a_registered_video_has_its_duration() {
    let daemon = Daemon::start(Setup::default());
    let path = daemon.put(&common::clips::short());
    let size = std::fs::metadata(&path).unwrap().len();
    let video = daemon.register(&path);
    let deadline = std::time::Instant::now() + common::PATIENCE;
    // A probe runs beside the answer; asking again is how a client waits for it.
    let told = loop {
        let told = daemon.must("GetVideoInfo", &[("VideoId", &video)])["Video"].clone();
        if told["Duration"].as_f64().is_some_and(|seconds| seconds > 0.0)
            || std::time::Instant::now() > deadline
        {
            break told;
        }
    };
    assert_eq!(told["Duration"], 4.0, "{told:#}\n{}", daemon.log());
    assert_eq!(told["Size"], size, "{told:#}");
    assert!(!daemon.log().contains("found nothing"), "{}", daemon.log());
}
