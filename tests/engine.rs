//! The engine in this process, with a receiver that looks on.

#[path = "engine/coding.rs"]
mod coding;
mod common;
#[path = "engine/offer.rs"]
mod offer;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use common::clips;
use stillframe::engine::media::source::warm_up;
use stillframe::engine::run::run;
use stillframe::model::delivery::{Deliver, Gone, Message};
use stillframe::model::device::DeviceCodec;
use stillframe::model::job::{BatchJob, Ended, FailCode, Grant, Source, VideoBatch};
use stillframe::model::limits::{FRAME_PIXELS_MAX, POOL_PAYLOAD_BYTES_MAX};
use stillframe::model::snapshot::ImageKind;
use stillframe::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};

/// Keeps what it is told; the first image that comes makes it panic.
#[derive(Default)]
struct Clumsy {
    has_fallen: AtomicBool,
    images: Mutex<Vec<ImageKind>>,
    failed: Mutex<Vec<(u32, FailCode)>>,
}

impl Deliver for Clumsy {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        match message {
            Message::Image(_) if !self.has_fallen.swap(true, Ordering::Relaxed) => panic!("fallen"),
            Message::Image(image) => self.images.lock().expect("whole").push(image.kind),
            Message::PointFailed { point, failure } => {
                self.failed.lock().expect("whole").push((point.asked, failure.code));
            }
            _ => {}
        }
        Ok(())
    }
}

fn batch(times: &[i64]) -> VideoBatch {
    let spec = SnapshotSpec {
        points: Points::List(times.to_vec()),
        size: AskedSize { width: Some(64), height: None },
        quality: 85,
        frame_type: FrameType::Normal,
        sprite: None,
        keep_pictures: true,
        frame_md5: false,
        tolerance_ms: 0,
    };
    let job = BatchJob { spec, pictures_done: vec![], sheets_done: vec![], points_failed: vec![] };
    VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: FRAME_PIXELS_MAX, offer: Vec::new() }
}

#[test]
fn a_panic_costs_the_point_that_meets_it() {
    warm_up();
    let clip = clips::short();
    for threads in [1, 3] {
        let source = Source::Fd(OwnedFd::from(File::open(&clip).expect("a clip")));
        let receiver = Clumsy::default();
        let grant = Grant { threads, bytes: 64 << 20 };
        let (ended, _) = run(&batch(&[100, 700, 1300, 1900, 2500, 3100]), source, grant, &receiver);
        assert_eq!(ended, Ended::Done);
        let failed = receiver.failed.into_inner().expect("whole");
        assert_eq!(failed.iter().map(|f| f.1).collect::<Vec<_>>(), [FailCode::Internal], "{threads} threads");
        assert_eq!(receiver.images.into_inner().expect("whole").len(), 5, "{threads} threads");
    }
}

/// Counts pictures.
#[derive(Default)]
struct Count(Mutex<Vec<ImageKind>>);

impl Deliver for Count {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        if let Message::Image(image) = message {
            self.0.lock().expect("whole").push(image.kind);
        }
        Ok(())
    }
}

#[test]
fn a_budget_of_one_picture_is_enough() {
    warm_up();
    let clip = clips::short();
    let mut batch = batch(&[0, 500, 1000, 1040, 1500, 2700, 3999]);
    // At source size; one picture in the making is counted with six bytes a pixel.
    batch.jobs[0].spec.size = AskedSize::default();
    for (threads, bytes) in [(1, 640 * 360 * 6), (8, 640 * 360 * 6), (1, 0), (2, 1)] {
        let count = Count::default();
        let source = Source::Fd(OwnedFd::from(File::open(&clip).expect("the clip")));
        let (ended, _) = run(&batch, source, Grant { threads, bytes }, &count);
        assert_eq!(ended, Ended::Done);
        assert_eq!(count.0.lock().expect("whole").len(), 7, "{threads} threads, {bytes} bytes");
    }
}
