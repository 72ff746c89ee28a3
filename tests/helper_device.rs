//! The helper of a device with the real engine in it: it lives on, and nothing of a batch stays behind.
//!
//! Owns what a hundred batches, a hang and a crash in the driver leave in the helper. The device is a double.

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stillframe::model::delivery::Message;
use stillframe::model::device::{DeviceId, Refusal};
use stillframe::model::job::{BatchJob, Ended, Grant, Source, Stats, VideoBatch};
use stillframe::model::media::Backend;
use stillframe::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};
use stillframe::worker::budget::Budget;
use stillframe::worker::devices::{Devices, DevicesConfig, ReplacedBy};
use stillframe::worker::pool::{Delivery, Launch};

use common::clips::clip;
use common::fake::cuda::{self, FakeCuda};

fn h264() -> PathBuf {
    let source = "testsrc2=size=320x180:rate=25:duration=2";
    clip(
        "helper_device.mp4",
        &["-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25"],
    )
}

fn hevc() -> PathBuf {
    let source = "testsrc2=size=320x180:rate=25:duration=2";
    clip(
        "helper_device_hevc.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            source,
            "-c:v",
            "libx265",
            "-pix_fmt",
            "yuv420p",
            "-x265-params",
            "log-level=none:keyint=25:open-gop=0",
        ],
    )
}

fn double() -> FakeCuda {
    let proofs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/media/proof");
    cuda::knowing(&[&h264(), &hevc(), &proofs.join("h264_8.mkv"), &proofs.join("hevc_8.mkv")])
}

fn device() -> DeviceId {
    DeviceId { backend: Backend::Cuda, name: "0".to_owned() }
}

/// One helper of the program under test, which sees the double.
fn devices(fake: &FakeCuda, change: impl FnOnce(DevicesConfig) -> DevicesConfig) -> Devices {
    let config = DevicesConfig::new(vec![device()], Budget::new(64 << 20));
    // The loader looks into the environment that a process starts with.
    let program = common::stillframe().get_program().to_owned();
    let path = format!("LD_LIBRARY_PATH={}", fake.path().display());
    let launch = Launch { program: "/usr/bin/env".into(), args: vec![path.into(), program, "worker".into()] };
    Devices::new(change(DevicesConfig { helpers: 1, launch, ..config }))
}

fn batch(count: u32) -> VideoBatch {
    let spec = SnapshotSpec {
        points: Points::Even { offset_ms: 0, count },
        size: AskedSize { width: Some(160), height: None },
        quality: 85,
        frame_type: FrameType::Normal,
        tolerance_ms: 0,
        sprite: None,
        keep_pictures: true,
        frame_md5: false,
    };
    let job = BatchJob { spec, pictures_done: vec![], sheets_done: vec![], points_failed: vec![] };
    VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: 36_000_000, offer: Vec::new() }
}

/// What came of one batch.
struct Over {
    pid: u32,
    /// The images in the order of their points.
    images: Vec<Vec<u8>>,
    ended: Ended,
    stats: Stats,
}

async fn run(devices: &Devices, file: &Path, count: u32) -> Over {
    let seat = devices.seat(&[device()]).expect("a place");
    let source = Source::Fd(std::fs::File::open(file).unwrap().into());
    let grant = Grant { threads: 2, bytes: 16 << 20 };
    let mut running = devices.run(seat, "owner", batch(count), source, grant).await.expect("a helper");
    let mut images = Vec::new();
    loop {
        match running.next().await {
            Delivery::Message(Message::Image(image), _share) => images.push((image.kind, image.bytes)),
            Delivery::Message(Message::Shown { shown, .. }, _) => assert_eq!(shown.backend, Backend::Cuda),
            Delivery::Message(..) => {}
            Delivery::Ended(ended, stats) => {
                images.sort();
                let images = images.into_iter().map(|(_, bytes)| bytes).collect();
                return Over { pid: running.pid(), images, ended, stats };
            }
        }
    }
}

fn count(pid: u32, what: &str) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count()
}

fn replaced(devices: &Devices, by: ReplacedBy) -> u64 {
    devices.gauges()[0].1.replaced[by as usize]
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(common::PATIENCE, test).await.expect("a test that ends") });
}

#[test]
fn a_hundred_batches_leave_nothing_behind() {
    block_on(async {
        let (h264, hevc) = (h264(), hevc());
        let fake = double();
        let devices = devices(&fake, |config| config);
        let first = [run(&devices, &h264, 3).await, run(&devices, &hevc, 4).await];
        let helper = first[0].pid;
        let open = count(helper, "fd");
        for n in 2..100 {
            let (file, points) = if n % 2 == 0 { (&h264, 3) } else { (&hevc, 4) };
            assert_eq!(count(helper, "fd"), open, "after batch {n}");
            // The pool of a batch is told to end when the batch does; its threads take their time.
            common::until("only the first thread is left", || (count(helper, "task") == 1).then_some(()));
            let over = run(&devices, file, points).await;
            assert_eq!((over.pid, &over.ended), (helper, &Ended::Done), "batch {n}");
            assert!(over.images == first[n % 2].images && over.images.len() == points as usize, "batch {n}");
            assert_eq!(over.stats.frames_decoded, first[n % 2].stats.frames_decoded);
        }
        assert_eq!(replaced(&devices, ReplacedBy::Batches), 1);
        assert_eq!(fake.misses(), 0);
        // The device was closed in order, and nothing was alive on it.
        assert!(fake.log().iter().any(|entry| entry.name == "alive"), "the context was never destroyed");
        fake.assert_nothing_left();
        assert_ne!(run(&devices, &h264, 3).await.pid, helper);
        devices.shut_down().await;
        fake.assert_nothing_left();
    });
}

#[test]
fn a_driver_that_hangs_or_crashes_costs_its_helper_and_one_walk() {
    block_on(async {
        let file = h264();
        let fake = double();
        let short = Duration::from_secs(2);
        let devices = devices(&fake, |config| DevicesConfig { no_progress: short, ..config });
        let good = run(&devices, &file, 3).await;
        assert_eq!(good.ended, Ended::Done);
        for (action, reason) in [("hang", Refusal::Hang), ("crash", Refusal::Crash)] {
            for call in
                ["CreateDecoder", "DecodePicture", "MapVideoFrame", "Memcpy2DAsync", "StreamSynchronize"]
            {
                let helper = run(&devices, &file, 3).await.pid;
                fake.control(&[&format!("{call}={action}")]);
                let began = Instant::now();
                let over = run(&devices, &file, 3).await;
                let took = began.elapsed();
                fake.control(&[]);
                let Ended::Refused { reason: told, text } = &over.ended else {
                    panic!("{call}: {:?}", over.ended)
                };
                assert_eq!((over.pid, *told), (helper, reason), "{call}: {text}");
                // By the deadline and two seconds at most, on a machine that has time for it.
                assert!(took < short + Duration::from_secs(2) + common::PATIENCE / 10, "{call}: {took:?}");
                assert!(!Path::new(&format!("/proc/{helper}")).exists(), "{call}: the helper lives");
                let next = run(&devices, &file, 3).await;
                assert!(next.pid != helper && next.images == good.images, "{call}");
            }
        }
        assert_eq!(replaced(&devices, ReplacedBy::Died), 10);
        devices.shut_down().await;
    });
}
