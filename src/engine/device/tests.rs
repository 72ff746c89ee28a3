//! The road of a device without one: the same chain of runs over a software decoder shows what the CPU's walk shows.

use std::sync::Mutex;

use super::*;
use crate::model::delivery::Gone;
use crate::model::job::BatchJob;
use crate::model::limits::FRAME_PIXELS_MAX;
use crate::model::media::Backend;
use crate::model::snapshot::{EncodedImage, PointKey, Shown};
use crate::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};

#[derive(Default)]
struct Receiver(Mutex<Vec<Message>>);

impl Deliver for Receiver {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        self.0.lock().unwrap().push(message);
        Ok(())
    }
}

impl Receiver {
    /// What was shown and made, in the order of the points.
    fn told(self) -> (Vec<(PointKey, Shown)>, Vec<EncodedImage>) {
        let messages = self.0.into_inner().unwrap();
        let mut open = 0i32;
        let (mut shown, mut images) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::RunBegins { .. } => open += 1,
                Message::RunEnds { .. } => open -= 1,
                Message::Shown { point, shown: told } => {
                    assert!(open > 0, "a picture of no run");
                    shown.push((point, told));
                }
                Message::Image(image) => images.push(image),
                Message::PointFailed { point, failure } => panic!("{point:?}: {failure}"),
                Message::Planned(_) | Message::Note { .. } => {}
            }
        }
        assert_eq!(open, 0, "each run that begins ends");
        shown.sort_by_key(|(point, _)| *point);
        images.sort_by_key(|image| format!("{:?}", image.kind));
        (shown, images)
    }
}

fn batch(times: &[i64]) -> VideoBatch {
    let spec = SnapshotSpec {
        points: Points::List(times.to_vec()),
        size: AskedSize::default(),
        quality: 85,
        frame_type: FrameType::Normal,
        sprite: None,
        keep_pictures: true,
        frame_md5: true,
        tolerance_ms: 0,
    };
    let job = BatchJob { spec, pictures_done: vec![], sheets_done: vec![], points_failed: vec![] };
    VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: FRAME_PIXELS_MAX, offer: vec![] }
}

/// As on a device, but for the decoder.
fn chained(class: CodecClass, batch: &VideoBatch, threads: u32) -> (Receiver, Result<Ended, Stop>) {
    let out = Receiver::default();
    let ledger = Ledger::new();
    let grant = Grant { threads, bytes: 64 << 20 };
    let mut medium = run::open(batch, proof::clip(class).unwrap(), &ledger).unwrap_or_else(|e| panic!("{e}"));
    let wishes = Wishes::new(batch, &medium.timeline);
    let decoder = DeviceDecoder::software(&medium.recipe);
    let ended = walk(&mut medium, &wishes, batch, grant, Backend::Cuda, &out, &ledger, decoder);
    (out, ended)
}

#[test]
fn a_chain_of_runs_shows_what_the_cpu_shows() {
    source::warm_up();
    // Every frame; one of each run and the last; out of the middle; a single one.
    let every: Vec<i64> = (0..16).map(|n| n * 40 + 7).collect();
    let choices = [&every[..], &[5, 200, 366, 400, 639], &[250, 330, 450], &[305]];
    for class in proof::classes() {
        for times in choices {
            for threads in [1, 3] {
                let batch = batch(times);
                let (out, ended) = chained(class, &batch, threads);
                let ended = ended.unwrap_or_else(|stop| match stop {
                    Stop::Failed(failure) => panic!("{class} {times:?}: {failure}"),
                    Stop::Refused(trouble) => panic!("{class} {times:?}: {trouble:?}"),
                });
                let on_cpu = Receiver::default();
                let grant = Grant { threads: 1, bytes: 64 << 20 };
                let (cpu, _) = run::run(&batch, proof::clip(class).unwrap(), grant, &on_cpu);
                assert_eq!((&ended, &cpu), (&Ended::Done, &Ended::Done), "{class} {times:?}");
                let (mut shown, images) = out.told();
                assert_eq!((shown.len(), images.len()), (times.len(), times.len()), "{class} {times:?}");
                shown.iter_mut().for_each(|(_, shown)| {
                    assert_eq!(shown.backend, Backend::Cuda);
                    shown.backend = Backend::Cpu;
                });
                let (shown_on_cpu, images_on_cpu) = on_cpu.told();
                assert_eq!(shown, shown_on_cpu, "{class} {times:?}");
                assert!(images == images_on_cpu, "{class} {times:?}: other JPEGs");
            }
        }
    }
}

#[test]
fn without_a_driver_nothing_is_opened() {
    for (id, missing) in [("cuda:77", "cuda:77"), ("vaapi:/dev/null", "vaapi:/dev/null")] {
        let id = DeviceId::parse(id).unwrap();
        let (reason, text) = Device::open(&id).err().expect("no such device");
        assert_eq!(reason, Refusal::NoDevice);
        assert!(text.starts_with(missing), "{text}");
    }
}
