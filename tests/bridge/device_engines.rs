//! A device that does what a test asks for: by its name when it is opened, by the class when it is proved, by the
//! quality of the first job in a batch.

use stillframe::model::delivery::Deliver;
use stillframe::model::device::{CodecClass, DeviceCodec, DeviceFacts, DeviceId, DeviceRow, Refusal};
use stillframe::model::job::{Ended, Grant, Source, Stats, VideoBatch};
use stillframe::model::media::Backend;
use stillframe::worker::OpenDevice;

use super::engines;

/// Refuses a batch as one that the device does not take.
pub const REFUSE_STREAM: u8 = 40;
/// Refuses it for a fault after the first picture.
pub const REFUSE_COPY: u8 = 41;
/// Wants a device, which it is.
pub const WANT: u8 = 42;
/// Keeps a descriptor and a thread behind.
pub const LEAK: u8 = 43;

/// A class that is proved; other classes of the same codec come out wrong, are not taken, crash and hang.
pub const GOOD: CodecClass = CodecClass { codec: DeviceCodec::H264, depth: 8 };
pub const WRONG: CodecClass = CodecClass { codec: DeviceCodec::H264, depth: 10 };
pub const NOT_TAKEN: CodecClass = CodecClass { codec: DeviceCodec::Av1, depth: 8 };
pub const CRASHES: CodecClass = CodecClass { codec: DeviceCodec::Vp8, depth: 8 };
pub const HANGS: CodecClass = CodecClass { codec: DeviceCodec::Vp9, depth: 8 };

struct Device;

/// `cuda:N` opens; the other names tell how they do not.
pub fn open(id: &DeviceId) -> Result<Box<dyn OpenDevice>, (Refusal, String)> {
    match id.name.as_str() {
        "none" => Err((Refusal::NoDevice, "open: no driver".to_owned())),
        "hangs" => loop {
            std::thread::park();
        },
        "crashes" => std::process::abort(),
        // Opens once, while this file is not there.
        path if path.starts_with('/') && std::path::Path::new(path).exists() => {
            Err((Refusal::NoDevice, "open: the file is there".to_owned()))
        }
        _ => Ok(Box::new(Device)),
    }
}

/// A device of CUDA by its name.
pub fn cuda(name: &str) -> DeviceId {
    DeviceId { backend: Backend::Cuda, name: name.to_owned() }
}

pub fn facts() -> DeviceFacts {
    let row = |class| DeviceRow {
        class,
        width_min: 48,
        height_min: 16,
        width_max: 4_096,
        height_max: 4_096,
        macroblocks_max: 65_536,
        proven: None,
    };
    DeviceFacts { model: "A device".to_owned(), rows: vec![row(GOOD), row(WRONG), row(CRASHES)] }
}

impl OpenDevice for Device {
    fn facts(&self) -> DeviceFacts {
        facts()
    }

    fn prove(&mut self, class: CodecClass) -> Result<(), (Refusal, String)> {
        match class {
            GOOD => Ok(()),
            NOT_TAKEN => Err((Refusal::Unsupported, "av1 is not taken".to_owned())),
            CRASHES => std::process::abort(),
            HANGS => loop {
                std::thread::park();
            },
            _ => Err((Refusal::Unproven, "frame 3 differs".to_owned())),
        }
    }

    fn run(&mut self, batch: &VideoBatch, source: Source, grant: Grant, out: &dyn Deliver) -> (Ended, Stats) {
        let refuse =
            |reason, text: &str| (Ended::Refused { reason, text: text.to_owned() }, engines::last_stats());
        match batch.jobs[0].spec.quality {
            REFUSE_STREAM => refuse(Refusal::Unsupported, "4:4:4 is not taken"),
            REFUSE_COPY => {
                for message in engines::script(batch).into_iter().take(5) {
                    out.deliver(message).expect("a receiver");
                }
                refuse(Refusal::Copy, "a copy failed")
            }
            WANT => (Ended::DeviceWanted, engines::last_stats()),
            LEAK => {
                std::mem::forget(std::fs::File::open("/dev/null").expect("a file"));
                std::thread::spawn(|| {
                    loop {
                        std::thread::park();
                    }
                });
                (Ended::Done, engines::last_stats())
            }
            _ => engines::engine(batch, source, grant, out),
        }
    }
}
