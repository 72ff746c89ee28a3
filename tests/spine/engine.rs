//! An engine without a decoder: the video's text says what happens at which instant.
//!
//! Each line of a video is a word and an instant in ms; the words of a device (`device.rs`) begin with `gpu:`. `crash 500`, `fail 700`, `hold 900` (work until asked to stop),
//! `corrupt 800` (the whole batch fails there), `quit 300` (ends as if all were done), `end 2000` (the video's end),
//! `wants 0` (a device on offer pays). Every walk leaves a dot beside its video.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::process::{Signal, getpid, kill_process};
use stillframe::model::delivery::{Deliver, Message, Planned, PlannedJob, PlannedPoint};
use stillframe::model::job::{Ended, FailCode, Failure, Grant, Source, Stage, Stats, VideoBatch};
use stillframe::model::media::{Backend, Hdr, MediaFacts};
use stillframe::model::snapshot::{EncodedImage, ImageKind, PointKey, PointStatus, Shown};
use stillframe::model::spec::Points;
use stillframe::model::time::TimeBase;

/// The engine that the zygote of this program runs.
pub fn engine(batch: &VideoBatch, source: Source, _grant: Grant, out: &dyn Deliver) -> (Ended, Stats) {
    let Source::Fd(video) = source;
    leave_a_dot(&video, "cpu");
    let script = read(&File::from(video));
    let end_ms = at(&script, "end").unwrap_or(60_000);
    // The receiver outlives every walk of these tests.
    let say = |message| out.deliver(message).expect("somebody listens");
    say(Message::Planned(planned(batch, end_ms)));
    if !batch.offer.is_empty() && at(&script, "wants").is_some() {
        return (Ended::DeviceWanted, Stats { opens: 1, ..Stats::default() });
    }
    for (job, entry) in (0..).zip(&batch.jobs) {
        for (asked, asked_ms) in (0..).zip(instants(&entry.spec.points)) {
            if asked_ms >= end_ms
                || entry.pictures_done.contains(&asked)
                || entry.points_failed.contains(&asked)
            {
                continue;
            }
            let point = PointKey { job, asked };
            let stats = Stats { frames_decoded: 1, ..Stats::default() };
            say(Message::RunBegins { points: vec![point], stats });
            let mut words = script.iter().filter(|(word, ms)| *ms == asked_ms && !word.starts_with("gpu:"));
            match words.next().map(|(word, _)| word.as_str()) {
                Some("crash") => {
                    kill_process(getpid(), Signal::KILL).expect("a signal");
                    unreachable!("killed");
                }
                Some("corrupt") => {
                    let failure = Failure::new(FailCode::Corrupt, Stage::Decode, "nothing decodes");
                    return (Ended::Failed(failure), Stats::default());
                }
                Some("quit") => return (Ended::Done, Stats::default()),
                Some("fail") => {
                    let failure = Failure::new(FailCode::Corrupt, Stage::Decode, "this one does not decode");
                    say(Message::PointFailed { point, failure });
                }
                Some("hold") => {
                    while !out.stop_asked() {
                        std::thread::yield_now();
                    }
                    return (Ended::Stopped, Stats::default());
                }
                _ => picture(point, asked_ms, end_ms, Backend::Cpu, &say),
            }
            say(Message::RunEnds { points: vec![point] });
        }
    }
    (Ended::Done, Stats { frames_decoded: 3, ..Stats::default() })
}

pub fn picture(point: PointKey, asked_ms: i64, end_ms: i64, backend: Backend, say: &impl Fn(Message)) {
    let shown = Shown {
        status: PointStatus::Ok,
        shown_ms: asked_ms,
        pts: asked_ms,
        width: 16,
        height: 16,
        key_frame: true,
        backend,
        frame_md5: None,
    };
    say(Message::Shown { point, shown });
    let kind = ImageKind::Picture { asked: point.asked };
    // What tells the pictures of one video from those of another.
    let tint = end_ms.to_be_bytes()[6];
    let bytes = vec![0xFF, 0xD8, tint, 0xFF, 0xD9];
    say(Message::Image(EncodedImage { job: point.job, kind, width: 16, height: 16, bytes }));
}

/// Tells those who look into the folder of the video that it was walked.
pub fn leave_a_dot(video: &OwnedFd, by: &str) {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", video.as_raw_fd())).expect("a path");
    let path = format!("{}.{by}", path.display());
    let dots = File::options().create(true).append(true).open(path);
    dots.expect("a folder that is ours").write_all(b".").expect("a dot");
}

pub fn read(video: &File) -> Vec<(String, i64)> {
    let mut text = [0; 4096];
    let length = video.read_at(&mut text, 0).expect("a video");
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(word, ms)| (word.to_owned(), ms.parse().expect("an instant")))
        .collect()
}

pub fn at(script: &[(String, i64)], word: &str) -> Option<i64> {
    script.iter().find(|(seen, _)| seen == word).map(|(_, ms)| *ms)
}

pub fn instants(points: &Points) -> Vec<i64> {
    match points {
        Points::List(list) => list.clone(),
        _ => Vec::new(),
    }
}

pub fn planned(batch: &VideoBatch, end_ms: i64) -> Planned {
    let point = |asked_ms| PlannedPoint { asked_ms, past_end: asked_ms >= end_ms };
    let jobs = batch.jobs.iter().map(|entry| PlannedJob {
        points: instants(&entry.spec.points).into_iter().map(point).collect(),
        sheets: 0,
        cells_per_sheet: 0,
    });
    let media = MediaFacts {
        container: "mov".into(),
        stream: 0,
        codec: "h264".into(),
        width: 16,
        height: 16,
        display_width: 16,
        display_height: 16,
        rotation: 0,
        sar: (1, 1),
        duration_ms: Some(end_ms),
        start_pts: 0,
        time_base: TimeBase { num: 1, den: 1000 },
        key_frames: None,
        hdr: Hdr::None,
    };
    Planned { media, jobs: jobs.collect() }
}
