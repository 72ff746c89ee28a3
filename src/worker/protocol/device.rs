//! What a device can do, as bytes. *Pure.*
//!
//! Owns the bytes of `DeviceRow` and `Refusal`. Never decides whether a stream fits a row.

use super::Malformed;
use super::cursor::{Reader, Writer};
use crate::model::device::{CodecClass, DeviceCodec, DeviceRow, Refusal};

/// Bytes of one row without its proof.
const ROW_BYTES: usize = 23;

pub(super) fn write_rows(w: &mut Writer, rows: &[DeviceRow]) {
    w.list(rows, |w, row| {
        w.u8(row.class.codec as u8);
        w.u8(row.class.depth);
        for number in [row.width_min, row.height_min, row.width_max, row.height_max, row.macroblocks_max] {
            w.u32(number);
        }
        w.option(row.proven, Writer::bool);
    });
}

pub(super) fn read_rows(r: &mut Reader<'_>) -> Result<Vec<DeviceRow>, Malformed> {
    r.list(ROW_BYTES, |r| {
        let codec = usize::from(r.u8()?);
        let codec = *DeviceCodec::ALL.get(codec).ok_or(Malformed::Value("device codec"))?;
        Ok(DeviceRow {
            class: CodecClass { codec, depth: r.u8()? },
            width_min: r.u32()?,
            height_min: r.u32()?,
            width_max: r.u32()?,
            height_max: r.u32()?,
            macroblocks_max: r.u32()?,
            proven: r.option(|r| r.bool("proven"))?,
        })
    })
}

pub(super) fn write_refusal(w: &mut Writer, refusal: Refusal) {
    w.u8(refusal as u8);
}

pub(super) fn read_refusal(r: &mut Reader<'_>) -> Result<Refusal, Malformed> {
    Refusal::ALL.get(usize::from(r.u8()?)).copied().ok_or(Malformed::Value("refusal"))
}
