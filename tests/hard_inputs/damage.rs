//! Rows D7 and D13: a damaged middle, and a file that is replaced during the job.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use stillframe::engine::media::source::warm_up;
use stillframe::engine::run::run;
use stillframe::model::delivery::{Deliver, Gone, Message};
use stillframe::model::job::{BatchJob, Ended, FailCode, Grant, Source, VideoBatch};
use stillframe::model::limits::FRAME_PIXELS_MAX;
use stillframe::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};

use crate::common::{clips, json, judge};
use crate::tools::{clip, grab_at};

/// Bytes that repeat nothing, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| step()).collect()
}

/// Where the packet begins that lies at the middle of a file.
fn middle(file: &Path) -> usize {
    let half = std::fs::metadata(file).unwrap().len() / 2;
    let mut ffprobe = Command::new("ffprobe");
    ffprobe
        .args(["-v", "error", "-of", "json", "-select_streams", "v", "-show_entries", "packet=pos"])
        .arg(file);
    let packets = json(&mut ffprobe);
    let places = packets["packets"].as_array().unwrap().iter();
    let places = places.filter_map(|packet| packet["pos"].as_str()?.parse::<u64>().ok());
    places.filter(|place| *place >= half).min().unwrap() as usize
}

/// Noise in the middle: what is whole is exact, what is not is told, and no other frame is given.
#[track_caller]
fn damaged(whole: &Path, length: usize) -> Vec<String> {
    let mut bytes = std::fs::read(whole).unwrap();
    let from = middle(whole);
    bytes[from..from + length].copy_from_slice(&noise(length));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("damaged").with_extension(whole.extension().unwrap());
    std::fs::write(&file, bytes).unwrap();
    let may_vanish = whole.extension().is_some_and(|kind| kind != "mp4");
    let truth = judge::truth(whole, 0);
    let times: Vec<i64> = (0..200).map(|n| n * 40 + 20).collect();
    let got = grab_at(&file, &times, &["--width", "64"]);
    assert_eq!(got.pictures().len(), times.len());
    for (picture, status) in got.pictures().iter().zip(got.statuses()) {
        let want = truth.at(picture["asked_ms"].as_i64().unwrap()).unwrap();
        let what = format!("{}: want pts {}: {picture}", whole.display(), want.pts);
        match status {
            // Of a packet that is gone a container without an index has no trace: the frame before it goes on.
            "ok" if may_vanish && picture["pts"].as_i64() < Some(want.pts) => {
                let own = truth.frames.iter().find(|frame| Some(frame.pts) == picture["pts"].as_i64());
                assert_eq!(picture["frame_md5"], own.unwrap().md5.as_str(), "{what}");
            }
            "ok" | "last_frame" => assert_eq!(picture["frame_md5"], want.md5.as_str(), "{what}"),
            // Where the container lost the packet itself, the one before is shown, and its time told.
            "concealed" => assert!(picture["pts"].as_i64().unwrap() <= want.pts, "{what}"),
            other => {
                assert_eq!(other, "failed", "{what}");
                assert!(picture["reason"].as_str().unwrap().contains(" (decode): "), "{what}");
                assert!(picture.get("file").is_none(), "{what}");
            }
        }
    }
    let statuses: Vec<String> = got.statuses().into_iter().map(str::to_owned).collect();
    assert!(statuses[..80].iter().chain(&statuses[150..]).all(|status| status == "ok"), "{statuses:?}");
    assert_eq!(got.code, Some(if statuses.iter().any(|status| status == "failed") { 2 } else { 0 }));
    statuses
}

#[test]
fn d7_a_damaged_middle() {
    let x264 = ["-c:v", "libx264", "-bf", "3", "-g", "25"];
    let x265 = ["-c:v", "libx265", "-x265-params", "keyint=25:log-level=error"];
    let mpeg2 = ["-c:v", "mpeg2video", "-bf", "2", "-g", "12"];
    let clips = [("d7.mp4", &x264[..]), ("d7.mkv", &x264), ("d7h.mp4", &x265), ("d7m.ts", &mpeg2)];
    for (name, coding) in clips {
        let statuses = damaged(&clip(name, "8", coding), 6000);
        let concealed = statuses.iter().filter(|status| *status == "concealed").count();
        let failed = statuses.iter().filter(|status| *status == "failed").count();
        println!("{name}: {concealed} concealed, {failed} failed");
        // What Matroska loses is a whole cluster, without a trace.
        assert!(concealed + failed > 0 || name == "d7.mkv", "{name}: {statuses:?}");
    }
}

#[test]
fn d7_what_refers_to_damage_is_told_as_damaged() {
    // One picture that others refer to: the rest of its group is not what it was.
    let whole = clip("d7r.mp4", "8", &["-c:v", "libx264", "-bf", "0", "-g", "25"]);
    let mut bytes = std::fs::read(&whole).unwrap();
    let from = middle(&whole);
    // The length of its first unit.
    bytes[from..from + 4].copy_from_slice(&[0x7F; 4]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("damaged.mp4");
    std::fs::write(&file, bytes).unwrap();
    let truth = judge::truth(&whole, 0);
    let times: Vec<i64> = (0..200).map(|n| n * 40).collect();
    let together = grab_at(&file, &times, &["--width", "64"]);
    let bad: Vec<usize> = (0..200).filter(|n| together.statuses()[*n] != "ok").collect();
    assert!(!bad.is_empty() && bad[0] / 25 == bad[bad.len() - 1] / 25, "within a group: {bad:?}");
    assert!(
        bad.windows(2).all(|pair| pair[1] == pair[0] + 1) && (bad[bad.len() - 1] + 1).is_multiple_of(25),
        "{bad:?}"
    );
    for (n, picture) in together.pictures().iter().enumerate().filter(|(n, _)| !bad.contains(n)) {
        assert_eq!(picture["frame_md5"], truth.frames[n].md5.as_str(), "{picture}");
    }
    // The same when the last of them is asked for alone.
    let last = times[bad[bad.len() - 1]];
    let alone = grab_at(&file, &[last], &[]);
    assert_eq!(
        (together.statuses()[bad[0]], alone.statuses()),
        ("failed", vec!["concealed"]),
        "{}",
        alone.report
    );
    assert_eq!(alone.pictures()[0]["frame_md5"], together.pictures()[bad[bad.len() - 1]]["frame_md5"]);
}

/// What is done to the file once the job is planned.
type Change = fn(&Path);

struct Changing {
    file: PathBuf,
    change: Change,
    images: Mutex<Vec<Vec<u8>>>,
}

impl Deliver for Changing {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        match message {
            Message::Planned(_) => (self.change)(&self.file),
            Message::Image(image) => self.images.lock().unwrap().push(image.bytes),
            _ => {}
        }
        Ok(())
    }
}

/// Takes a picture of the end of a file that is changed after it was probed.
fn changed(change: Change) -> (Ended, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.mp4");
    std::fs::copy(clips::short(), &file).unwrap();
    // A clock may not have ticked between the copy and the change.
    let past = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(&file).unwrap().set_modified(past).unwrap();
    let spec = SnapshotSpec {
        points: Points::List(vec![3500]),
        size: AskedSize { width: Some(64), height: None },
        quality: 85,
        frame_type: FrameType::Normal,
        sprite: None,
        keep_pictures: true,
        frame_md5: false,
        tolerance_ms: 0,
    };
    let job = BatchJob { spec, pictures_done: vec![], sheets_done: vec![], points_failed: vec![] };
    let batch =
        VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: FRAME_PIXELS_MAX, offer: Vec::new() };
    let source = Source::Fd(OwnedFd::from(File::open(&file).unwrap()));
    let receiver = Changing { file, change, images: Mutex::default() };
    let (ended, _) = run(&batch, source, Grant { threads: 1, bytes: 64 << 20 }, &receiver);
    (ended, receiver.images.into_inner().unwrap())
}

#[test]
fn d13_replaced_during_the_job() {
    warm_up();
    let (ended, undisturbed) = changed(|_| {});
    assert_eq!((&ended, undisturbed.len()), (&Ended::Done, 1));
    // Another file under its name: the one that was opened is still there.
    let swapped = changed(|file| {
        std::fs::write(file.with_extension("new"), b"another film").unwrap();
        std::fs::rename(file.with_extension("new"), file).unwrap();
    });
    assert_eq!(swapped, (Ended::Done, undisturbed.clone()));
    // Written over in place, at the same length, and cut: no picture of it is given.
    let changes: [Change; 2] = [
        |file| std::fs::write(file, noise(std::fs::metadata(file).unwrap().len() as usize)).unwrap(),
        |file| File::options().write(true).open(file).unwrap().set_len(100_000).unwrap(),
    ];
    for change in changes {
        let (ended, images) = changed(change);
        let Ended::Failed(failure) = &ended else { panic!("{ended:?}") };
        assert_eq!((failure.code, images.len()), (FailCode::Replaced, 0), "{failure}");
    }
    // A recording that only grew is no other video.
    let grown = changed(|file| {
        use std::io::Write;
        File::options().append(true).open(file).unwrap().write_all(&[0; 4096]).unwrap();
    });
    assert_eq!(grown, (Ended::Done, undisturbed));
}
