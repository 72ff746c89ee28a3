//! What the daemon says to a child: the batch, and stop. *Pure.*
//!
//! Owns their bytes. Never resolves a spec.

use super::cursor::{Reader, Writer};
use super::device::{read_rows, write_rows};
use super::{Kind, Malformed, framed};
use crate::model::job::{BatchJob, Grant, VideoBatch};
use crate::model::spec::{AskedSize, FrameType, Points, SnapshotSpec, SpriteSpec};

/// One message to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Batch(VideoBatch, Grant),
    Stop,
}

/// The message that starts a child's work.
///
/// # Errors
/// A batch beyond the message limit.
pub fn encode_batch(batch: &VideoBatch, grant: Grant) -> Result<Vec<u8>, Malformed> {
    framed(Kind::Batch, |w| {
        w.u32(grant.threads);
        w.u64(grant.bytes);
        w.option(batch.stream, Writer::u32);
        w.u64(batch.frame_pixels_max);
        write_rows(w, &batch.offer);
        w.list(&batch.jobs, |w, job| {
            write_spec(w, &job.spec);
            w.list(&job.pictures_done, |w, n| w.u32(*n));
            w.list(&job.sheets_done, |w, n| w.u32(*n));
            w.list(&job.points_failed, |w, n| w.u32(*n));
        });
    })
}

/// The message that asks a child to stop after the runs in hand.
pub fn encode_stop() -> [u8; super::HEAD_BYTES] {
    [super::VERSION, Kind::Stop as u8, 0, 0, 0, 0]
}

/// Reads a message from the daemon.
///
/// # Errors
/// When the payload is none.
pub fn decode_order(kind: Kind, payload: &[u8]) -> Result<Order, Malformed> {
    let mut r = Reader::new(payload);
    let order = match kind {
        Kind::Stop => Order::Stop,
        Kind::Batch => {
            let grant = Grant { threads: r.u32()?, bytes: r.u64()? };
            let stream = r.option(Reader::u32)?;
            let frame_pixels_max = r.u64()?;
            let offer = read_rows(&mut r)?;
            // The smallest job, one without points or sizes, takes 20 bytes; the bound only keeps the allocation
            // near the bytes at hand.
            let jobs = r.list(16, |r| {
                Ok(BatchJob {
                    spec: read_spec(r)?,
                    pictures_done: r.list(4, Reader::u32)?,
                    sheets_done: r.list(4, Reader::u32)?,
                    points_failed: r.list(4, Reader::u32)?,
                })
            })?;
            Order::Batch(VideoBatch { jobs, stream, frame_pixels_max, offer }, grant)
        }
        _ => return Err(Malformed::Direction),
    };
    r.end()?;
    Ok(order)
}

fn write_spec(w: &mut Writer, spec: &SnapshotSpec) {
    match &spec.points {
        Points::List(instants) => {
            w.u8(0);
            w.list(instants, |w, ms| w.i64(*ms));
        }
        Points::Every { offset_ms, count, interval_ms } => {
            w.u8(1);
            w.i64(*offset_ms);
            w.u32(*count);
            w.i64(*interval_ms);
        }
        Points::Even { offset_ms, count } => {
            w.u8(2);
            w.i64(*offset_ms);
            w.u32(*count);
        }
        Points::ToEnd { offset_ms, interval_ms, most } => {
            w.u8(3);
            w.i64(*offset_ms);
            w.i64(*interval_ms);
            w.u32(*most);
        }
        Points::None => w.u8(4),
    }
    write_size(w, spec.size);
    w.u8(spec.quality);
    w.bool(spec.frame_type == FrameType::Intra);
    w.u32(spec.tolerance_ms);
    w.option(spec.sprite.as_ref(), |w, sprite| {
        write_size(w, sprite.cell);
        w.u32(sprite.columns);
        w.u32(sprite.lines);
        w.u32(sprite.padding);
        w.u32(sprite.margin);
        w.raw(&sprite.color);
    });
    w.bool(spec.keep_pictures);
    w.bool(spec.frame_md5);
}

fn read_spec(r: &mut Reader<'_>) -> Result<SnapshotSpec, Malformed> {
    let points = match r.u8()? {
        0 => Points::List(r.list(8, Reader::i64)?),
        1 => Points::Every { offset_ms: r.i64()?, count: r.u32()?, interval_ms: r.i64()? },
        2 => Points::Even { offset_ms: r.i64()?, count: r.u32()? },
        3 => Points::ToEnd { offset_ms: r.i64()?, interval_ms: r.i64()?, most: r.u32()? },
        4 => Points::None,
        _ => return Err(Malformed::Value("points")),
    };
    Ok(SnapshotSpec {
        points,
        size: read_size(r)?,
        quality: r.u8()?,
        frame_type: if r.bool("frame type")? { FrameType::Intra } else { FrameType::Normal },
        tolerance_ms: r.u32()?,
        sprite: r.option(|r| {
            Ok(SpriteSpec {
                cell: read_size(r)?,
                columns: r.u32()?,
                lines: r.u32()?,
                padding: r.u32()?,
                margin: r.u32()?,
                color: r.array3()?,
            })
        })?,
        keep_pictures: r.bool("keep pictures")?,
        frame_md5: r.bool("frame md5")?,
    })
}

fn write_size(w: &mut Writer, size: AskedSize) {
    w.option(size.width, Writer::u32);
    w.option(size.height, Writer::u32);
}

fn read_size(r: &mut Reader<'_>) -> Result<AskedSize, Malformed> {
    Ok(AskedSize { width: r.option(Reader::u32)?, height: r.option(Reader::u32)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_batch_is_one_that_can_be_read() {
        let spec = SnapshotSpec {
            points: Points::None,
            size: AskedSize::default(),
            quality: 85,
            frame_type: FrameType::Normal,
            tolerance_ms: 0,
            sprite: None,
            keep_pictures: false,
            frame_md5: false,
        };
        let job =
            BatchJob { spec, pictures_done: Vec::new(), sheets_done: Vec::new(), points_failed: Vec::new() };
        let batch = VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: 1, offer: Vec::new() };
        let grant = Grant { threads: 1, bytes: 1 };
        let bytes = encode_batch(&batch, grant).expect("it is short");
        let payload = &bytes[super::super::HEAD_BYTES..];
        assert_eq!(decode_order(Kind::Batch, payload), Ok(Order::Batch(batch, grant)));
    }
}
