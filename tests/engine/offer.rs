//! With a device on offer: a small job runs here as ever, of a large one nothing is decoded, and its remainder is
//! whole.

use super::*;
use stillframe::model::device::{CodecClass, DeviceRow};
use stillframe::model::job::Stats;
use stillframe::model::snapshot::{EncodedImage, PointKey, Shown};

/// All that a walk says, less what it costs.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    planned: usize,
    runs: usize,
    shown: BTreeMap<PointKey, Shown>,
    images: BTreeMap<ImageKind, EncodedImage>,
    failed: Vec<PointKey>,
}

#[derive(Default)]
struct Scribe {
    said: Mutex<Said>,
    stop: AtomicBool,
}

impl Deliver for Scribe {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        let mut said = self.said.lock().expect("whole");
        match message {
            Message::Planned(_) => said.planned += 1,
            Message::RunBegins { .. } => said.runs += 1,
            Message::Shown { point, shown } => assert_eq!(said.shown.insert(point, shown), None),
            Message::Image(image) => assert_eq!(said.images.insert(image.kind, image), None),
            Message::PointFailed { point, .. } => said.failed.push(point),
            Message::RunEnds { .. } | Message::Note { .. } => {}
        }
        Ok(())
    }

    fn stop_asked(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Six closed groups of 100 small pictures with so much noise that each is worth half a 1080p one.
pub fn noise() -> PathBuf {
    let source = "testsrc2=size=640x360:rate=25:duration=24,noise=alls=12:allf=t";
    let coding = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "28", "-g", "100", "-pix_fmt", "yuv420p"];
    clips::clip("noise.mp4", &[&["-f", "lavfi", "-i", source][..], &coding].concat())
}

pub fn row(codec: DeviceCodec) -> DeviceRow {
    DeviceRow {
        class: CodecClass { codec, depth: 8 },
        width_min: 48,
        height_min: 48,
        width_max: 4096,
        height_max: 4096,
        macroblocks_max: 65_536,
        proven: Some(true),
    }
}

/// The last picture of each of the first `groups`.
pub fn ends(groups: i64) -> Vec<i64> {
    (1..=groups).map(|group| group * 4_000 - 30).collect()
}

pub fn walk(clip: &Path, times: &[i64], offer: &[DeviceRow], threads: u32) -> (Ended, Stats, Said) {
    warm_up();
    let mut batch = batch(times);
    batch.jobs[0].spec.frame_md5 = true;
    batch.offer = offer.to_vec();
    let source = Source::Fd(OwnedFd::from(File::open(clip).expect("a clip")));
    let scribe = Scribe::default();
    let (ended, stats) = run(&batch, source, Grant { threads, bytes: 64 << 20 }, &scribe);
    (ended, stats, scribe.said.into_inner().expect("whole"))
}

/// Of `Stats`, what does not depend on the clock.
fn counts(stats: &Stats) -> [u64; 7] {
    let Stats {
        opens, seeks, seek_runs, packets_read, packets_decoded, packets_skipped, frames_decoded, ..
    } = *stats;
    [opens, seeks, seek_runs, packets_read, packets_decoded, packets_skipped, frames_decoded]
}

#[test]
fn a_small_job_runs_here_whatever_is_on_offer() {
    let clip = noise();
    for times in [&[0][..], &[3_970], &[0, 4_000, 8_000, 12_000, 16_000, 20_000], &[40, 3_970, 8_000]] {
        let (ended, stats, said) = walk(&clip, times, &[row(DeviceCodec::H264)], 1);
        let (plain_ended, plain_stats, plain) = walk(&clip, times, &[], 1);
        assert_eq!((&ended, &plain_ended), (&Ended::Done, &Ended::Done), "{times:?}");
        assert_eq!(said.images.len(), times.len());
        assert_eq!(said, plain, "{times:?}");
        assert_eq!(counts(&stats), counts(&plain_stats), "{times:?}");
    }
}

#[test]
fn of_a_large_job_nothing_is_decoded_and_its_remainder_is_whole() {
    let clip = noise();
    let (ended, stats, said) = walk(&clip, &ends(6), &[row(DeviceCodec::H264)], 1);
    assert_eq!(ended, Ended::DeviceWanted);
    assert_eq!(said, Said { planned: 1, ..Said::default() });
    assert_eq!((stats.seek_runs, stats.packets_decoded, stats.frames_decoded), (0, 0, 0));
    assert_eq!((stats.packets_skipped, stats.stages_us.decode), (0, 0));
    // What was read for nothing is told; it is not all of the file.
    assert!((200..600).contains(&stats.packets_read), "{stats:?}");
    let (ended, _, said) = walk(&clip, &ends(6), &[], 1);
    assert_eq!((ended, said.images.len(), said.shown.len(), said.runs), (Ended::Done, 6, 6, 6));
    assert_eq!(said.failed, []);
}

#[test]
fn a_device_that_takes_another_kind_changes_nothing() {
    let clip = noise();
    let small = DeviceRow { width_max: 320, ..row(DeviceCodec::H264) };
    let wrong = DeviceRow { proven: Some(false), ..row(DeviceCodec::H264) };
    let (_, plain_stats, plain) = walk(&clip, &ends(6), &[], 1);
    let (ended, stats, said) = walk(&clip, &ends(6), &[row(DeviceCodec::Hevc), small, wrong], 1);
    assert_eq!(ended, Ended::Done);
    assert_eq!((&said, counts(&stats)), (&plain, counts(&plain_stats)));
}

/// With three threads no device is faster for these, and all six groups are more than may wait.
#[test]
fn what_is_too_much_to_wait_is_decoded_here() {
    let clip = noise();
    assert!(std::fs::metadata(&clip).expect("a clip").len() > POOL_PAYLOAD_BYTES_MAX as u64);
    let times: Vec<i64> = (1..=6).flat_map(|group| [group * 4_000 - 2_030, group * 4_000 - 30]).collect();
    let (ended, stats, said) = walk(&clip, &times, &[row(DeviceCodec::H264)], 3);
    let (_, plain_stats, plain) = walk(&clip, &times, &[], 3);
    assert_eq!((ended, said.images.len()), (Ended::Done, 12));
    assert_eq!((&said, counts(&stats)), (&plain, counts(&plain_stats)));
}

#[test]
fn a_walk_from_the_first_packet_is_the_cpus() {
    // A raw stream tells no times.
    let clip = noise();
    let raw = clips::clip("noise.h264", &["-i", clip.to_str().expect("text"), "-c", "copy", "-t", "8"]);
    let (ended, _, said) = walk(&raw, &[0, 3_000, 7_900], &[row(DeviceCodec::H264)], 1);
    assert_eq!((ended, said.images.len(), said.failed.len()), (Ended::Done, 3, 0));
}

#[test]
fn who_asks_to_stop_gets_no_device() {
    warm_up();
    let mut batch = batch(&ends(6));
    batch.offer = vec![row(DeviceCodec::H264)];
    let source = Source::Fd(OwnedFd::from(File::open(noise()).expect("a clip")));
    let scribe = Scribe { stop: AtomicBool::new(true), ..Scribe::default() };
    let (ended, stats) = run(&batch, source, Grant { threads: 1, bytes: 64 << 20 }, &scribe);
    assert_eq!((ended, stats.frames_decoded), (Ended::Stopped, 0));
    assert_eq!(scribe.said.into_inner().expect("whole").runs, 0);
}
