//! Engines that do what a test asks for, chosen by the quality of the batch's first job.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::process::{Signal, getpid, kill_process};
use stillframe::model::delivery::{Deliver, Message, Planned, PlannedJob, PlannedPoint};
use stillframe::model::job::{
    BatchJob, Ended, FailCode, Failure, Grant, Source, Stage, StagesUs, Stats, VideoBatch,
};
use stillframe::model::media::{Backend, Hdr, MediaFacts};
use stillframe::model::snapshot::{EncodedImage, ImageKind, PointKey, PointStatus, Shown};
use stillframe::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};
use stillframe::model::time::TimeBase;

/// Says one of everything, an image of 3 MB among it.
pub const WALK: u8 = 1;
/// Ends as a batch that cannot be done, before any plan.
pub const FAIL: u8 = 2;
pub const DIE_KILL: u8 = 3;
pub const DIE_SEGV: u8 = 4;
pub const DIE_ABORT: u8 = 5;
pub const DIE_EXIT: u8 = 6;
pub const DIE_PANIC: u8 = 7;
/// Says it is ready, then works until it is asked to stop.
pub const UNTIL_STOPPED: u8 = 8;
/// Burns CPU in a run for ever.
pub const SPIN: u8 = 9;
/// Burns CPU before it plans.
pub const SPIN_OPENING: u8 = 10;
/// Does nothing for ever.
pub const SLEEP: u8 = 11;
/// Tells what the video's bytes are.
pub const READ: u8 = 12;
/// Tells its descriptors, environment and standing.
pub const TELL: u8 = 13;
/// Delivers large images and writes how many are out into the video.
pub const PRESS: u8 = 14;
/// Names a point that is not in the plan.
pub const MISSPEAK: u8 = 15;
/// Delivers what is no JPEG.
pub const NO_JPEG: u8 = 16;
/// Writes more notes than allowed.
pub const CHATTER: u8 = 17;
/// Delivers images from all threads of its grant at once.
pub const THREADS: u8 = 18;
/// Says it died.
pub const PLAY_DEAD: u8 = 19;

/// Images that `PRESS` delivers, and the bytes of each.
pub const PRESS_IMAGES: u32 = 3;
pub const LARGE: usize = 3_000_000;
/// Images a thread of `THREADS`.
pub const THREAD_IMAGES: u32 = 8;

/// A batch of one job of ten points for the engine of this number.
pub fn batch(engine: u8) -> VideoBatch {
    let spec = SnapshotSpec {
        points: Points::Every { offset_ms: 0, count: 10, interval_ms: 1_000 },
        size: AskedSize::default(),
        quality: engine,
        frame_type: FrameType::Normal,
        sprite: None,
        keep_pictures: true,
        frame_md5: false,
        tolerance_ms: 0,
    };
    let job = BatchJob { spec, pictures_done: vec![7], sheets_done: Vec::new(), points_failed: Vec::new() };
    VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: 36_000_000, offer: Vec::new() }
}

/// The engine that the zygote of this program runs.
pub fn engine(batch: &VideoBatch, source: Source, grant: Grant, out: &dyn Deliver) -> (Ended, Stats) {
    let Source::Fd(video) = source;
    let ended = match batch.jobs[0].spec.quality {
        WALK => say_all(out, script(batch)),
        FAIL => Ended::Failed(Failure::new(FailCode::NoVideo, Stage::Probe, "no video stream in it")),
        mode @ DIE_KILL..=DIE_PANIC => die(mode, out),
        UNTIL_STOPPED => until_stopped(out),
        SPIN => {
            say_all(out, vec![planned(10), begins(0)]);
            spin()
        }
        SPIN_OPENING => spin(),
        SLEEP => {
            say_all(out, vec![planned(10), begins(0)]);
            sleep()
        }
        READ => say_all(out, vec![note(read(video))]),
        TELL => say_all(out, tell()),
        PRESS => press(&File::from(video), out),
        MISSPEAK => say_all(out, vec![planned(10), begins(10)]),
        NO_JPEG => say_all(out, vec![planned(10), no_jpeg()]),
        CHATTER => say_all(out, (0..200).map(|n| note(format!("note {n}"))).collect()),
        THREADS => threads(grant, out),
        PLAY_DEAD => Ended::Died { cause: stillframe::model::job::Death::Zygote },
        other => panic!("no engine {other}"),
    };
    (ended, last_stats())
}

/// What `WALK` says, in order.
pub fn script(batch: &VideoBatch) -> Vec<Message> {
    let point = PointKey { job: 0, asked: 0 };
    let shown = Shown {
        status: PointStatus::Concealed,
        shown_ms: -3,
        pts: i64::MIN,
        width: 640,
        height: 359,
        key_frame: true,
        backend: Backend::Cpu,
        frame_md5: Some([0xA5; 16]),
    };
    let failure = Failure::new(FailCode::Corrupt, Stage::Decode, "frame 17 – does not decode");
    vec![
        note(format!("{:?}", batch.jobs[0])),
        planned(10),
        begins(0),
        Message::Shown { point, shown },
        image(0, LARGE),
        Message::PointFailed { point: PointKey { job: 0, asked: 1 }, failure },
        Message::RunEnds { points: vec![point] },
        image(9, 4),
    ]
}

/// What every engine that ends by itself says it cost; the CPU is the daemon's to know.
pub fn last_stats() -> Stats {
    Stats { opens: 1, frames_decoded: 21, cpu_us: 1, wall_us: 60, ..begin_stats() }
}

/// What a run says so far.
pub fn begin_stats() -> Stats {
    Stats { packets_read: 38, stages_us: StagesUs { open: 4, ..StagesUs::default() }, ..Stats::default() }
}

/// An image of `len` bytes for a point, its bytes a function of both.
pub fn image(asked: u32, len: usize) -> Message {
    let mut bytes: Vec<u8> = (0..len).map(|n| (n.wrapping_mul(31) >> 3) as u8 ^ asked as u8).collect();
    bytes[..2].copy_from_slice(&[0xFF, 0xD8]);
    bytes[len - 2..].copy_from_slice(&[0xFF, 0xD9]);
    Message::Image(EncodedImage {
        job: 0,
        kind: ImageKind::Picture { asked },
        width: 640,
        height: 359,
        bytes,
    })
}

pub fn note(text: impl Into<String>) -> Message {
    Message::Note { warning: false, text: text.into() }
}

fn planned(points: usize) -> Message {
    let media = MediaFacts {
        container: "mov".into(),
        stream: 1,
        codec: "h264".into(),
        width: 1920,
        height: 1080,
        display_width: 1080,
        display_height: 1920,
        rotation: 90,
        sar: (1, 1),
        duration_ms: None,
        start_pts: -1_024,
        time_base: TimeBase { num: 1, den: 12_800 },
        key_frames: Some(240),
        hdr: Hdr::Hlg,
    };
    let points = (0..points).map(|n| PlannedPoint { asked_ms: n as i64 * 1_000, past_end: n > 8 }).collect();
    Message::Planned(Planned { media, jobs: vec![PlannedJob { points, sheets: 0, cells_per_sheet: 0 }] })
}

fn begins(asked: u32) -> Message {
    Message::RunBegins { points: vec![PointKey { job: 0, asked }], stats: begin_stats() }
}

fn no_jpeg() -> Message {
    let kind = ImageKind::Picture { asked: 0 };
    Message::Image(EncodedImage { job: 0, kind, width: 8, height: 8, bytes: b"GIF89a".to_vec() })
}

fn say_all(out: &dyn Deliver, messages: Vec<Message>) -> Ended {
    match messages.into_iter().try_for_each(|message| out.deliver(message)) {
        Ok(()) => Ended::Done,
        Err(_) => Ended::Stopped,
    }
}

fn die(mode: u8, out: &dyn Deliver) -> Ended {
    say_all(out, vec![planned(10), begins(3)]);
    match mode {
        DIE_EXIT => std::process::exit(3),
        DIE_ABORT => std::process::abort(),
        DIE_PANIC => panic!("an engine's bug"),
        _ => {
            let signal = if mode == DIE_KILL { Signal::KILL } else { Signal::SEGV };
            // The runtime's own handler takes the first SEGV and stands back.
            loop {
                kill_process(getpid(), signal).expect("a signal to oneself");
            }
        }
    }
}

fn until_stopped(out: &dyn Deliver) -> Ended {
    say_all(out, vec![planned(10), note("ready")]);
    while !out.stop_asked() {
        std::thread::yield_now();
    }
    Ended::Stopped
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn sleep() -> ! {
    loop {
        std::thread::park();
    }
}

fn read(video: OwnedFd) -> String {
    let mut bytes = [0; 64];
    let n = File::from(video).read_at(&mut bytes, 0).expect("a readable video");
    String::from_utf8_lossy(&bytes[..n]).into_owned()
}

fn tell() -> Vec<Message> {
    let listing = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let names: Vec<_> = listing.flatten().map(|entry| (entry.file_name(), entry.path())).collect();
    // The listing's own descriptor is closed by now and has no target.
    let mut told: Vec<String> = names
        .iter()
        .filter_map(|(name, path)| Some((name, std::fs::read_link(path).ok()?)))
        .map(|(name, target)| format!("fd {} {}", name.display(), target.display()))
        .collect();
    told.extend(
        std::env::vars_os().map(|(name, value)| format!("env {}={}", name.display(), value.display())),
    );
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    told.push(format!("oom {}", read("/proc/self/oom_score_adj")));
    told.push(format!("nice {:?}", rustix::process::getpriority_process(None)));
    let death_signal = rustix::process::parent_process_death_signal();
    told.push(format!("deathsig {}", death_signal == Ok(Some(Signal::KILL))));
    told.sort();
    told.into_iter().map(note).collect()
}

fn press(video: &File, out: &dyn Deliver) -> Ended {
    say_all(out, vec![planned(10)]);
    for n in 0..PRESS_IMAGES {
        if out.deliver(image(n, LARGE)).is_err() {
            return Ended::Stopped;
        }
        video.write_all_at(&[n as u8 + 1], 0).expect("a writable video");
    }
    Ended::Done
}

fn threads(grant: Grant, out: &dyn Deliver) -> Ended {
    say_all(out, vec![planned(10)]);
    std::thread::scope(|scope| {
        for thread in 0..grant.threads {
            scope.spawn(move || {
                for n in 0..THREAD_IMAGES {
                    out.deliver(image(thread, 100_000 + n as usize)).expect("a receiver");
                }
            });
        }
    });
    Ended::Done
}
