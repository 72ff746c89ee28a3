//! Odd file names are names: never a shell's, a pattern's or a protocol's business (HARD-INPUTS D10).
//!
//! Owns the list of names. Never judges the picture but by the one that a plain name gives.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::json;

use crate::common::daemon::{Daemon, Setup, file_url};
use crate::common::events::Events;
use crate::common::{self, clips};

const NAMES: &[&str] = &[
    "we%d ird: [x] 'q' \u{fc}n\u{ef}.mp4",
    "-dash.mp4",
    "--out.mp4",
    "100%.mp4",
    "%25%2F%00.mp4",
    "%05d.mp4",
    "a#b?c&d=e+f.mp4",
    "\"double\" `back` $(touch x) ;|&.mp4",
    "back\\slash.mp4",
    "*?[a-z]{1,2}.mp4",
    "~.mp4",
    "concat:a|b.mp4",
    "http:x.mp4",
    "file:x.mp4",
    "pipe:0",
    "new\nline.mp4",
    " spaces around .mp4 ",
    "\u{65e5}\u{672c}\u{8a9e}.mp4",
    "e\u{301}.mp4",
    "\u{202e}4pm.evil",
    "no extension",
    "wrong.m3u8",
    "...",
];

fn picture_of(folder: &Path, name: &OsStr) -> Vec<u8> {
    let out = tempfile::tempdir().unwrap();
    let mut grab = common::stillframe();
    grab.current_dir(folder).args(["grab", "--times-ms", "1000", "--width", "160", "--out"]).arg(out.path());
    common::run(grab.arg("--").arg(name), 0);
    std::fs::read(out.path().join("00001.jpg")).unwrap()
}

#[test]
fn the_command_line_takes_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clips::short();
    std::fs::copy(&clip, folder.path().join("plain.mp4")).unwrap();
    let plain = picture_of(folder.path(), OsStr::new("plain.mp4"));
    let not_utf8 = OsStr::from_bytes(b"\xff\xfe.mp4");
    for name in NAMES.iter().map(OsStr::new).chain([not_utf8]) {
        std::fs::hard_link(folder.path().join("plain.mp4"), folder.path().join(name)).unwrap();
        assert_eq!(picture_of(folder.path(), name), plain, "{name:?}");
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["plain.mp4"], "no name was obeyed");
}

#[test]
fn the_daemon_takes_any_name_percent_encoded() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let clip = clips::short();
    let mut jobs = Vec::new();
    for name in NAMES {
        let path = daemon.media().join(name);
        std::fs::copy(&clip, &path).unwrap();
        let url = file_url(&path);
        let metadata = json!([{"FileURL": url, "Title": name}]).to_string();
        let body = daemon.must("RegisterMedia", &[("RegisterMetadatas", &metadata)]);
        assert_eq!(body["FailedFileURLs"], json!([]), "{url}");
        let media = &body["RegisteredMediaList"][0];
        assert_eq!((&media["FileURL"], &media["NewRegister"]), (&json!(url), &json!(true)), "{url}");
        let video = media["MediaId"].as_str().unwrap();
        jobs.push((name, daemon.submit(video, &[("SpecifiedOffsetTime", "1000")])));
    }
    for (name, job) in jobs {
        let event = events.end_of(&job);
        assert_eq!(
            (&event["Status"], &event["SnapshotCount"]),
            (&json!("success"), &json!(1)),
            "{name:?}: {event}"
        );
    }
}

#[test]
fn a_name_that_is_no_text_is_one_failed_url() {
    let daemon = Daemon::start(Setup::default());
    let clip = clips::short();
    let bad = daemon.media().join(OsStr::from_bytes(b"\xff.mp4"));
    std::fs::copy(&clip, &bad).unwrap();
    let (good, bad) = (file_url(&daemon.put(&clip)), file_url(&bad));
    let metadata = json!([{"FileURL": good, "Title": "t"}, {"FileURL": bad, "Title": "t"}]).to_string();
    let body = daemon.must("RegisterMedia", &[("RegisterMetadatas", &metadata)]);
    assert_eq!(body["FailedFileURLs"], json!([bad]), "{body}");
    assert_eq!(body["RegisteredMediaList"].as_array().unwrap().len(), 1, "{body}");
}

#[test]
fn a_name_cannot_write_lines_into_the_log() {
    let daemon = Daemon::start(Setup::default());
    let mut events = Events::of(&daemon);
    let path = daemon.media().join("a\n2026-01-01T00:00:00Z  INFO forged: \u{1b}[31mjob ended\n.mp4");
    std::fs::copy(clips::short(), &path).unwrap();
    let video = daemon.register(&path);
    std::fs::remove_file(&path).unwrap();
    let job = daemon.submit(&video, &[]);
    let event = events.end_of(&job);
    assert_eq!(event["ErrorCode"], "InvalidParameter.ResourceNotFound", "{event}");
    common::scrape::log_lines(&daemon, "job ended", 1);
    let log = daemon.log();
    assert!(!log.contains('\u{1b}'), "{log}");
    for line in log.lines() {
        assert!(line.starts_with("20") && !line.starts_with("2026-01-01T00:00:00Z"), "{line:?} of\n{log}");
    }
}
