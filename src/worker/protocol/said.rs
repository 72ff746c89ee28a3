//! What a child says to the daemon: every `Message`, and how it ended. *Pure.*
//!
//! Owns their bytes and the range of each value. Never knows the order in which they may come:
//! `worker/grammar` does.

use super::cursor::{Reader, Writer};
use super::device::{read_refusal, write_refusal};
use super::{Kind, Malformed, NAME_BYTES_MAX, REASON_BYTES_MAX, framed};
use crate::model::delivery::{Message, Planned, PlannedJob, PlannedPoint};
use crate::model::job::{Death, Ended, FailCode, Failure, Stage, StagesUs, Stats};
use crate::model::limits::{IMAGE_BYTES_MAX, JPEG_SIDE_MAX, NOTE_BYTES_MAX};
use crate::model::media::{Backend, Hdr, MediaFacts};
use crate::model::snapshot::{EncodedImage, ImageKind, PointKey, PointStatus, Shown};
use crate::model::time::TimeBase;

/// job u32, kind u8, number u32, width u32, height u32, bytes u32.
pub(super) const IMAGE_HEADER_BYTES: u32 = 21;

/// One message from a child, as far as it fits a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Anything but an image.
    Message(Message),
    /// An image's bytes follow, `bytes` of them.
    Image(ImageHeader),
    /// The last message.
    Ended(Ended, Stats),
}

/// An image without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    pub job: u32,
    pub kind: ImageKind,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// How many bytes follow, already within `IMAGE_BYTES_MAX`.
    pub bytes: u32,
}

impl ImageHeader {
    /// The image with its bytes.
    ///
    /// # Errors
    /// When the bytes do not begin and end as a JPEG does.
    pub fn with_bytes(self, bytes: Vec<u8>) -> Result<EncodedImage, Malformed> {
        if !is_jpeg(&bytes) {
            return Err(Malformed::Value("image is no JPEG"));
        }
        let ImageHeader { job, kind, width, height, .. } = self;
        Ok(EncodedImage { job, kind, width, height, bytes })
    }
}

/// True when the bytes begin and end as a JPEG does.
pub fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes.starts_with(&[0xFF, 0xD8]) && bytes.ends_with(&[0xFF, 0xD9])
}

/// The frame of a message; the bytes of an `Image` are not in it and follow it on the wire.
///
/// # Errors
/// A message or image beyond its limit.
pub fn encode_message(message: &Message) -> Result<Vec<u8>, Malformed> {
    match message {
        Message::Planned(planned) => framed(Kind::Planned, |w| write_planned(w, planned)),
        Message::RunBegins { points, stats } => framed(Kind::RunBegins, |w| {
            write_stats(w, stats);
            w.list(points, |w, key| write_key(w, *key));
        }),
        Message::RunEnds { points } => framed(Kind::RunEnds, |w| w.list(points, |w, key| write_key(w, *key))),
        Message::Shown { point, shown } => framed(Kind::Shown, |w| {
            write_key(w, *point);
            write_shown(w, shown);
        }),
        Message::Image(image) => {
            let bytes = u32::try_from(image.bytes.len()).unwrap_or(u32::MAX);
            if bytes > IMAGE_BYTES_MAX {
                let (got, most) = (image.bytes.len() as u64, IMAGE_BYTES_MAX.into());
                return Err(Malformed::TooLong { what: "image", got, most });
            }
            framed(Kind::Image, |w| {
                w.u32(image.job);
                let (tag, number) = match image.kind {
                    ImageKind::Picture { asked } => (0, asked),
                    ImageKind::Sheet { number } => (1, number),
                };
                w.u8(tag);
                w.u32(number);
                w.u32(image.width);
                w.u32(image.height);
                w.u32(bytes);
            })
        }
        Message::PointFailed { point, failure } => framed(Kind::PointFailed, |w| {
            write_key(w, *point);
            write_failure(w, failure);
        }),
        Message::Note { warning, text } => framed(Kind::Note, |w| {
            w.bool(*warning);
            w.text(text, NOTE_BYTES_MAX);
        }),
    }
}

/// The frame of the last message.
///
/// # Errors
/// None in practice: its texts are cut to their limits.
pub fn encode_ended(ended: &Ended, stats: &Stats) -> Result<Vec<u8>, Malformed> {
    framed(Kind::Ended, |w| {
        write_stats(w, stats);
        match ended {
            Ended::Done => w.u8(0),
            Ended::Stopped => w.u8(1),
            Ended::Refused { reason, text } => {
                w.u8(2);
                write_refusal(w, *reason);
                w.text(text, REASON_BYTES_MAX);
            }
            Ended::Failed(failure) => {
                w.u8(3);
                write_failure(w, failure);
            }
            Ended::Died { cause } => {
                w.u8(4);
                w.u8(place(&DEATHS, cause));
            }
            Ended::DeviceWanted => w.u8(5),
        }
    })
}

/// Reads a message from a child.
///
/// # Errors
/// When the payload is none, or a value lies outside its range.
pub fn decode_said(kind: Kind, payload: &[u8]) -> Result<Said, Malformed> {
    let mut r = Reader::new(payload);
    let said = match kind {
        Kind::Planned => Said::Message(Message::Planned(read_planned(&mut r)?)),
        Kind::RunBegins => {
            let stats = read_stats(&mut r)?;
            Said::Message(Message::RunBegins { points: r.list(8, read_key)?, stats })
        }
        Kind::RunEnds => Said::Message(Message::RunEnds { points: r.list(8, read_key)? }),
        Kind::Shown => Said::Message(Message::Shown { point: read_key(&mut r)?, shown: read_shown(&mut r)? }),
        Kind::Image => Said::Image(read_image_header(&mut r)?),
        Kind::PointFailed => {
            Said::Message(Message::PointFailed { point: read_key(&mut r)?, failure: read_failure(&mut r)? })
        }
        Kind::Note => {
            Said::Message(Message::Note { warning: r.bool("warning")?, text: r.text(NOTE_BYTES_MAX)? })
        }
        Kind::Ended => {
            let stats = read_stats(&mut r)?;
            let ended = match r.u8()? {
                0 => Ended::Done,
                1 => Ended::Stopped,
                2 => Ended::Refused { reason: read_refusal(&mut r)?, text: r.text(REASON_BYTES_MAX)? },
                3 => Ended::Failed(read_failure(&mut r)?),
                4 => Ended::Died { cause: pick(&DEATHS, r.u8()?, "death")? },
                5 => Ended::DeviceWanted,
                _ => return Err(Malformed::Value("end")),
            };
            Said::Ended(ended, stats)
        }
        _ => return Err(Malformed::Direction),
    };
    r.end()?;
    Ok(said)
}

/// Largest count in `Stats`: the daemon adds them up over remainders, and a sum must never overflow.
const STAT_MAX: u64 = 1 << 48;

const DEATHS: [Death; 5] = [Death::Crash, Death::Timeout, Death::OutOfMemory, Death::Zygote, Death::Killed];
const STATUSES: [PointStatus; 6] = [
    PointStatus::Ok,
    PointStatus::FirstFrame,
    PointStatus::LastFrame,
    PointStatus::PastEnd,
    PointStatus::Concealed,
    PointStatus::Failed,
];
const BACKENDS: [Backend; 3] = [Backend::Cpu, Backend::Cuda, Backend::Vaapi];
const HDRS: [Hdr; 3] = [Hdr::None, Hdr::Pq, Hdr::Hlg];

// Closed sets travel as their place in a list. Every variant is in its list (the tests walk them all), so
// the number that stands for "not there" never leaves; the reader would refuse it.
fn place<T: PartialEq>(list: &[T], value: &T) -> u8 {
    list.iter().position(|v| v == value).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn pick<T: Copy>(list: &[T], at: u8, what: &'static str) -> Result<T, Malformed> {
    list.get(usize::from(at)).copied().ok_or(Malformed::Value(what))
}

fn write_key(w: &mut Writer, key: PointKey) {
    w.u32(key.job);
    w.u32(key.asked);
}

fn read_key(r: &mut Reader<'_>) -> Result<PointKey, Malformed> {
    Ok(PointKey { job: r.u32()?, asked: r.u32()? })
}

fn write_failure(w: &mut Writer, failure: &Failure) {
    w.u8(place(&FailCode::ALL, &failure.code));
    w.u8(place(&Stage::ALL, &failure.stage));
    w.text(&failure.text, REASON_BYTES_MAX);
}

fn read_failure(r: &mut Reader<'_>) -> Result<Failure, Malformed> {
    Ok(Failure {
        code: pick(&FailCode::ALL, r.u8()?, "fail code")?,
        stage: pick(&Stage::ALL, r.u8()?, "stage")?,
        text: r.text(REASON_BYTES_MAX)?,
    })
}

fn write_shown(w: &mut Writer, shown: &Shown) {
    w.u8(place(&STATUSES, &shown.status));
    w.i64(shown.shown_ms);
    w.i64(shown.pts);
    w.u32(shown.width);
    w.u32(shown.height);
    w.bool(shown.key_frame);
    w.u8(place(&BACKENDS, &shown.backend));
    w.option(shown.frame_md5, |w, md5| w.raw(&md5));
}

fn read_shown(r: &mut Reader<'_>) -> Result<Shown, Malformed> {
    Ok(Shown {
        status: pick(&STATUSES, r.u8()?, "status")?,
        shown_ms: r.i64()?,
        pts: r.i64()?,
        width: r.u32()?,
        height: r.u32()?,
        key_frame: r.bool("key frame")?,
        backend: pick(&BACKENDS, r.u8()?, "backend")?,
        frame_md5: r.option(Reader::array16)?,
    })
}

fn read_image_header(r: &mut Reader<'_>) -> Result<ImageHeader, Malformed> {
    let job = r.u32()?;
    let kind = match (r.u8()?, r.u32()?) {
        (0, asked) => ImageKind::Picture { asked },
        (1, number) => ImageKind::Sheet { number },
        _ => return Err(Malformed::Value("image kind")),
    };
    let (width, height, bytes) = (r.u32()?, r.u32()?, r.u32()?);
    if !(1..=JPEG_SIDE_MAX).contains(&width) || !(1..=JPEG_SIDE_MAX).contains(&height) {
        return Err(Malformed::Value("image size"));
    }
    if bytes > IMAGE_BYTES_MAX {
        return Err(Malformed::TooLong { what: "image", got: bytes.into(), most: IMAGE_BYTES_MAX.into() });
    }
    Ok(ImageHeader { job, kind, width, height, bytes })
}

fn write_planned(w: &mut Writer, planned: &Planned) {
    let media = &planned.media;
    w.text(&media.container, NAME_BYTES_MAX);
    w.u32(media.stream);
    w.text(&media.codec, NAME_BYTES_MAX);
    for number in [media.width, media.height, media.display_width, media.display_height, media.rotation] {
        w.u32(number);
    }
    w.u32(media.sar.0);
    w.u32(media.sar.1);
    w.option(media.duration_ms, Writer::i64);
    w.i64(media.start_pts);
    w.i64(media.time_base.num);
    w.i64(media.time_base.den);
    w.option(media.key_frames, Writer::u64);
    w.u8(place(&HDRS, &media.hdr));
    w.list(&planned.jobs, |w, job| {
        w.u32(job.sheets);
        w.u32(job.cells_per_sheet);
        w.list(&job.points, |w, point| {
            w.i64(point.asked_ms);
            w.bool(point.past_end);
        });
    });
}

fn read_planned(r: &mut Reader<'_>) -> Result<Planned, Malformed> {
    let media = MediaFacts {
        container: r.text(NAME_BYTES_MAX)?,
        stream: r.u32()?,
        codec: r.text(NAME_BYTES_MAX)?,
        width: r.u32()?,
        height: r.u32()?,
        display_width: r.u32()?,
        display_height: r.u32()?,
        rotation: r.u32()?,
        sar: (r.u32()?, r.u32()?),
        duration_ms: r.option(Reader::i64)?,
        start_pts: r.i64()?,
        time_base: TimeBase { num: r.i64()?, den: r.i64()? },
        key_frames: r.option(Reader::u64)?,
        hdr: pick(&HDRS, r.u8()?, "hdr")?,
    };
    // Whoever does arithmetic with it divides by both.
    if media.time_base.num <= 0 || media.time_base.den <= 0 {
        return Err(Malformed::Value("time base"));
    }
    let jobs = r.list(12, |r| {
        Ok(PlannedJob {
            sheets: r.u32()?,
            cells_per_sheet: r.u32()?,
            points: r.list(9, |r| Ok(PlannedPoint { asked_ms: r.i64()?, past_end: r.bool("past end")? }))?,
        })
    })?;
    Ok(Planned { media, jobs })
}

fn write_stats(w: &mut Writer, stats: &Stats) {
    for number in [
        stats.opens,
        stats.seeks,
        stats.seek_runs,
        stats.packets_read,
        stats.packets_decoded,
        stats.packets_skipped,
        stats.frames_decoded,
        stats.cpu_us,
        stats.wall_us,
        stats.stages_us.open,
        stats.stages_us.plan,
        stats.stages_us.decode,
        stats.stages_us.convert,
        stats.stages_us.encode,
    ]
    .into_iter()
    .chain(stats.unfit_runs)
    {
        w.u64(number);
    }
}

fn read_stats(r: &mut Reader<'_>) -> Result<Stats, Malformed> {
    let mut number = || match r.u64()? {
        n if n <= STAT_MAX => Ok(n),
        _ => Err(Malformed::Value("stats")),
    };
    let mut stats = Stats {
        opens: number()?,
        seeks: number()?,
        seek_runs: number()?,
        packets_read: number()?,
        packets_decoded: number()?,
        packets_skipped: number()?,
        frames_decoded: number()?,
        cpu_us: number()?,
        wall_us: number()?,
        stages_us: StagesUs {
            open: number()?,
            plan: number()?,
            decode: number()?,
            convert: number()?,
            encode: number()?,
        },
        unfit_runs: Default::default(),
    };
    for runs in &mut stats.unfit_runs {
        *runs = number()?;
    }
    Ok(stats)
}
