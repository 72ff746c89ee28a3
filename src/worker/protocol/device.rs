//! What a device can do, as bytes. *Pure.*
//!
//! Owns the bytes of `DeviceFacts` and `Refusal`. Never decides whether a stream fits a row.

use super::cursor::{Reader, Writer};
use super::{Malformed, REASON_BYTES_MAX};
use crate::model::device::{CodecClass, DeviceCodec, DeviceFacts, DeviceRow, Refusal};

/// Longest name of a device, bytes.
const MODEL_BYTES_MAX: usize = 256;

/// Bytes of one row without its proof.
const ROW_BYTES: usize = 23;

pub(super) fn write_rows(w: &mut Writer, rows: &[DeviceRow]) {
    w.list(rows, |w, row| {
        write_class(w, row.class);
        for number in [row.width_min, row.height_min, row.width_max, row.height_max, row.macroblocks_max] {
            w.u32(number);
        }
        w.option(row.proven, Writer::bool);
    });
}

pub(super) fn read_rows(r: &mut Reader<'_>) -> Result<Vec<DeviceRow>, Malformed> {
    r.list(ROW_BYTES, |r| {
        Ok(DeviceRow {
            class: read_class(r)?,
            width_min: r.u32()?,
            height_min: r.u32()?,
            width_max: r.u32()?,
            height_max: r.u32()?,
            macroblocks_max: r.u32()?,
            proven: r.option(|r| r.bool("proven"))?,
        })
    })
}

pub(super) fn write_class(w: &mut Writer, class: CodecClass) {
    w.u8(class.codec as u8);
    w.u8(class.depth);
}

pub(super) fn read_class(r: &mut Reader<'_>) -> Result<CodecClass, Malformed> {
    let codec = usize::from(r.u8()?);
    let codec = *DeviceCodec::ALL.get(codec).ok_or(Malformed::Value("device codec"))?;
    Ok(CodecClass { codec, depth: r.u8()? })
}

pub(super) fn write_facts(w: &mut Writer, facts: &DeviceFacts) {
    w.text(&facts.model, MODEL_BYTES_MAX);
    write_rows(w, &facts.rows);
}

pub(super) fn read_facts(r: &mut Reader<'_>) -> Result<DeviceFacts, Malformed> {
    Ok(DeviceFacts { model: r.text(MODEL_BYTES_MAX)?, rows: read_rows(r)? })
}

pub(super) fn write_reason(w: &mut Writer, (reason, text): &(Refusal, String)) {
    write_refusal(w, *reason);
    w.text(text, REASON_BYTES_MAX);
}

pub(super) fn read_reason(r: &mut Reader<'_>) -> Result<(Refusal, String), Malformed> {
    Ok((read_refusal(r)?, r.text(REASON_BYTES_MAX)?))
}

pub(super) fn write_refusal(w: &mut Writer, refusal: Refusal) {
    w.u8(refusal as u8);
}

pub(super) fn read_refusal(r: &mut Reader<'_>) -> Result<Refusal, Malformed> {
    Refusal::ALL.get(usize::from(r.u8()?)).copied().ok_or(Malformed::Value("refusal"))
}
