//! What has no picture to give is refused by name, at once, with its stage: never garbage, never "corrupt".

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::common::daemon::{Daemon, Setup};
use super::common::events::Events;
use super::common::{self, clips};
use super::{grab, job, statuses};

/// A clip whose packets name a key that is nowhere.
fn encrypted() -> PathBuf {
    #[rustfmt::skip]
    let recipe = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", "-c:v", "libx264", "-pix_fmt", "yuv420p",
        "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb",
        "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8"];
    clips::clip("encrypted.mp4", &recipe)
}

#[test]
fn what_cannot_be_seen_is_refused_by_name() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let copy = |name: &str, bytes: &[u8]| {
        let path = daemon.media().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let plain = std::fs::read(clips::short()).unwrap();
    // The brand at the beginning has the same name; the sample entry is the last of them.
    let entry = plain.windows(4).rposition(|four| four == b"avc1").unwrap();
    let mut encv = plain.clone();
    encv[entry..entry + 4].copy_from_slice(b"encv");
    let hidden = "the video stream is encrypted, and there is no key for it";
    let table: [(&str, Vec<u8>, &str, &str, &str); 7] = [
        ("cenc.mp4", std::fs::read(encrypted()).unwrap(), "unsupported", "probe", hidden),
        ("encv.mp4", encv, "unsupported", "probe", hidden),
        (
            "hls.mp4",
            b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n".to_vec(),
            "not_media",
            "open",
            "an HLS playlist",
        ),
        (
            "dash.mpd",
            b"<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"/>".to_vec(),
            "not_media",
            "open",
            "a DASH manifest",
        ),
        (
            "concat.mp4",
            b"ffconcat version 1.0\nfile 'hls.mp4'\n".to_vec(),
            "not_media",
            "open",
            "a concat script",
        ),
        (
            "sdp.mp4",
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n".to_vec(),
            "not_media",
            "open",
            "an SDP description",
        ),
        ("cut.mp4", plain[..plain.len() / 2].to_vec(), "incomplete", "open", "moov"),
    ];
    for (name, bytes, code, stage, words) in table {
        let file = copy(name, &bytes);
        let told = {
            let mut command = common::stillframe();
            command.arg("grab").arg(&file).args(["--count", "3", "--json"]);
            serde_json::from_slice::<Value>(&common::run(&mut command, 1).stdout).unwrap()
        };
        let error = &told["error"];
        assert_eq!((&error["code"], &error["stage"]), (&json!(code), &json!(stage)), "{name}: {told}");
        assert!(error["text"].as_str().unwrap().contains(words), "{name}: {told}");
        // Evenly spread, its instants are not even known.
        let video = daemon.register(&file);
        let truth = job(&daemon, &mut events, &video, &[("Count", "4"), ("Interval", "0")]);
        assert_eq!((&truth["asked"], &truth["failed"]), (&json!(4), &json!(4)), "{name}: {truth}");
        assert_eq!(truth["failure"], json!({"code": code, "stage": stage}), "{name}: {truth}");
        assert_eq!(truth["result"], "fail");
    }
    let scrape = common::scrape::wait(&daemon, "stillframe_capture_points_total{result=\"failed\"}", 28.0);
    assert_eq!(scrape.sum("stillframe_capture_points_total"), 28.0);
    assert_eq!(scrape.sum("stillframe_decoded_frames_total"), 0.0, "nothing of it was decoded");
}

#[test]
fn a_cover_is_a_picture_for_who_asks_for_it() {
    #[rustfmt::skip]
    let recipe = |codec: &'static str, format: &'static str| ["-f", "lavfi", "-i", "sine=duration=2", "-f", "lavfi", "-i",
        "testsrc2=size=320x320:rate=1:duration=1", "-map", "0", "-map", "1", "-frames:v", "1", "-c:a", "aac",
        "-c:v", codec, "-pix_fmt", format, "-disposition:v", "attached_pic"];
    let cover = clips::clip("cover.m4a", &recipe("mjpeg", "yuvj420p"));
    let told = grab(&cover, &[0, 1000, 1999, 5000], &["--stream", "1"], 2);
    let words = ["ok", "last_frame", "last_frame", "past_end"];
    assert_eq!(statuses(&told).into_iter().map(|(status, _)| status).collect::<Vec<_>>(), words, "{told}");
    assert_eq!(told["pictures"][0]["width"], 320);
    let error = |file: &Path, stream: &[&str]| {
        let mut command = common::stillframe();
        command.arg("grab").arg(file).args(["--count", "1", "--json"]).args(stream);
        serde_json::from_slice::<Value>(&common::run(&mut command, 1).stdout).unwrap()["error"].clone()
    };
    assert_eq!(error(&cover, &[])["code"], "no_video");
    let png = error(&clips::clip("cover-png.m4a", &recipe("png", "rgb24")), &["--stream", "1"]);
    // A portable build does not even have it.
    let text = if cfg!(feature = "portable") {
        "no decoder for png in this FFmpeg"
    } else {
        "png is not decoded here"
    };
    assert_eq!(png, json!({"code": "unsupported", "stage": "probe", "text": text}));
}
