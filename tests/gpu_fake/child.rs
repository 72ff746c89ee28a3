//! One walk of the engine, on the CPU in this process or on the double in a child of it, and what came of it.
//!
//! Owns the words between parent and child. Never judges.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use serde_json::{Value, json};
use stillframe::engine::device::Device;
use stillframe::engine::run;
use stillframe::model::delivery::{Deliver, Gone, Message};
use stillframe::model::device::DeviceId;
use stillframe::model::job::{BatchJob, Ended, Grant, Source, Stats, VideoBatch};
use stillframe::model::limits::FRAME_PIXELS_MAX;
use stillframe::model::snapshot::ImageKind;
use stillframe::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};

use crate::common;
use crate::common::fake::Fake;

/// What was delivered of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub status: String,
    pub pts: i64,
    /// Of the decoded frame.
    pub md5: String,
    pub backend: String,
    /// Of the JPEG.
    pub jpeg: String,
}

impl Picture {
    /// What must be the same wherever it is made.
    pub fn content(&self) -> (&str, i64, &str, &str) {
        (&self.status, self.pts, &self.md5, &self.jpeg)
    }
}

/// What came of a walk.
#[derive(Clone, Debug)]
pub struct Walked {
    /// `done`, `stopped`, a refusal's name, or `failed`.
    pub ended: String,
    pub text: String,
    /// By asked index; a point that came twice is in `twice`.
    pub pictures: BTreeMap<u32, Picture>,
    pub twice: Vec<u32>,
    pub failed: Vec<u32>,
    pub frames_decoded: u64,
}

#[derive(Default)]
struct Receiver(Mutex<Vec<Message>>);

impl Deliver for Receiver {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        self.0.lock().unwrap().push(message);
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn batch(times: &[i64], done: &[u32]) -> VideoBatch {
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
    let job = BatchJob { spec, pictures_done: done.to_vec(), sheets_done: vec![], points_failed: vec![] };
    VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: FRAME_PIXELS_MAX, offer: vec![] }
}

type Run<'a> = &'a mut dyn FnMut(&VideoBatch, Source, Grant, &dyn Deliver) -> (Ended, Stats);

fn walk(clip: &Path, times: &[i64], done: &[u32], run: Run<'_>) -> Value {
    let out = Receiver::default();
    let source = Source::Fd(File::open(clip).expect("a clip").into());
    let (ended, stats) = run(&batch(times, done), source, Grant { threads: 2, bytes: 256 << 20 }, &out);
    let (ended, text) = match ended {
        Ended::Done => ("done".to_owned(), String::new()),
        Ended::Stopped => ("stopped".to_owned(), String::new()),
        Ended::Refused { reason, text } => (reason.name().to_owned(), text),
        Ended::Failed(failure) => ("failed".to_owned(), failure.to_string()),
        other => (format!("{other:?}"), String::new()),
    };
    let messages = out.0.into_inner().unwrap();
    let mut open = 0;
    let (mut shown, mut images, mut failed) = (Vec::new(), BTreeMap::new(), Vec::new());
    for message in messages {
        match message {
            Message::RunBegins { .. } => open += 1,
            Message::RunEnds { .. } => open -= 1,
            Message::Shown { point, shown: told } => shown.push(json!({
                "asked": point.asked, "status": format!("{:?}", told.status), "pts": told.pts,
                "md5": told.frame_md5.map(|md5| hex(&md5)), "backend": told.backend.name(),
            })),
            Message::Image(image) => {
                use sha2::Digest as _;
                let ImageKind::Picture { asked } = image.kind else { continue };
                images.insert(asked.to_string(), hex(&sha2::Sha256::digest(&image.bytes)[..8]));
            }
            Message::PointFailed { point, .. } => failed.push(point.asked),
            Message::Planned(_) | Message::Note { .. } => {}
        }
    }
    assert_eq!(open, 0, "each run that begins ends");
    json!({
        "ended": ended, "text": text, "shown": shown, "images": images, "failed": failed,
        "frames_decoded": stats.frames_decoded,
    })
}

/// What a child told of one walk.
pub fn read(told: &Value) -> Walked {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let (mut pictures, mut twice) = (BTreeMap::new(), Vec::new());
    for shown in told["shown"].as_array().unwrap() {
        let asked = number(&shown["asked"]);
        // A picture counts once its image was delivered.
        let Some(jpeg) = told["images"][asked.to_string()].as_str() else { continue };
        let picture = Picture {
            status: text(&shown["status"]),
            pts: shown["pts"].as_i64().unwrap(),
            md5: text(&shown["md5"]),
            backend: text(&shown["backend"]),
            jpeg: jpeg.to_owned(),
        };
        if pictures.insert(asked, picture).is_some() {
            twice.push(asked);
        }
    }
    Walked {
        ended: text(&told["ended"]),
        text: text(&told["text"]),
        pictures,
        twice,
        failed: told["failed"].as_array().unwrap().iter().map(number).collect(),
        frames_decoded: told["frames_decoded"].as_u64().unwrap(),
    }
}

/// On the CPU; `done` is left out.
pub fn on_cpu(clip: &Path, times: &[i64], done: &[u32]) -> Walked {
    stillframe::engine::media::source::warm_up();
    read(&walk(clip, times, done, &mut run::run))
}

/// The first CUDA device.
pub const CUDA: &str = "cuda:0";

/// On the double, a child that opens it once and walks `walks`. An `Err` is why it could not be opened.
pub fn on_device(fake: &Fake, walks: &[(&Path, &[i64])]) -> Result<Vec<Walked>, (String, String)> {
    on(CUDA, fake, walks)
}

/// As `on_device`, on the device of that name.
pub fn on(id: &str, fake: &Fake, walks: &[(&Path, &[i64])]) -> Result<Vec<Walked>, (String, String)> {
    let told = child(id, fake, walks);
    match &told["refused"] {
        Value::Null => Ok(told["walks"].as_array().unwrap().iter().map(read).collect()),
        refused => Err((refused[0].as_str().unwrap().to_owned(), refused[1].as_str().unwrap().to_owned())),
    }
}

/// Everything that such a child tells.
pub fn child(id: &str, fake: &Fake, walks: &[(&Path, &[i64])]) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    fake.lend(&mut command).args(["device", id]);
    for (clip, times) in walks {
        command.arg(clip).arg(times.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
    }
    common::json(&mut command)
}

/// The child: the device, then pairs of a clip and its instants.
pub fn main(args: &[String]) -> ExitCode {
    let (id, args) = args.split_first().expect("a device");
    let id = DeviceId::parse(id).expect("a device");
    let told = match Device::open(&id) {
        Err((reason, text)) => json!({ "refused": [reason.name(), text] }),
        Ok(mut device) => {
            let mut one = |pair: &[String]| {
                let times: Vec<i64> = pair[1].split(',').map(|ms| ms.parse().unwrap()).collect();
                let run: Run<'_> = &mut |batch, source, grant, out| device.run(batch, source, grant, out);
                walk(Path::new(&pair[0]), &times, &[], run)
            };
            let mut pairs = args.chunks_exact(2);
            // The first one opens what stays open: the driver's libraries, the terminal's zone.
            let first = pairs.next().map(&mut one);
            let before = descriptors();
            let walks: Vec<Value> = first.into_iter().chain(pairs.map(&mut one)).collect();
            let after = descriptors();
            let facts = device.facts();
            let row = |row: &stillframe::model::device::DeviceRow| {
                let most = [row.width_max, row.height_max, row.macroblocks_max];
                json!({ "class": row.class.to_string(), "max": most, "proven": row.proven })
            };
            let rows: Vec<Value> = facts.rows.iter().map(row).collect();
            json!({
                "model": facts.model, "rows": rows, "walks": walks,
                "descriptors_before": before, "descriptors_after": after,
            })
        }
    };
    println!("{told}");
    ExitCode::SUCCESS
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the process's descriptors").count()
}
