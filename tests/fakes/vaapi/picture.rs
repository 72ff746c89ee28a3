//! Buffers, and the pictures that are made of them.
//!
//! Owns what is known of a codec's parameters: which surfaces a picture refers to, and whether it is a field. Never reads
//! a bitstream but to hash it.

use std::ffi::{c_int, c_uint, c_void};

use crate::pixels::{self, Surface, codec};
use crate::state::Buffer;
use crate::{INVALID_BUFFER, INVALID_CONTEXT, INVALID_PARAMETER, INVALID_SURFACE, Kind, OK, call, config};

const PICTURE: u32 = 0;
const SLICE: u32 = 4;
const SLICE_DATA: u32 = 5;

pub extern "C" fn create_buffer(
    _: *mut c_void,
    _context: u32,
    kind: c_uint,
    size: c_uint,
    count: c_uint,
    data: *const u8,
    buffer: *mut u32,
) -> c_int {
    call("CreateBuffer", Kind::Work, |call| {
        let length = size as usize * count as usize;
        call.detail = format!("kind={kind} bytes={length}");
        let bytes = if data.is_null() {
            vec![0; length]
        } else {
            // SAFETY: the caller's data, that long.
            unsafe { std::slice::from_raw_parts(data, length) }.to_vec()
        };
        let id = call.state.id();
        call.state.buffers.insert(id, Buffer { kind, bytes, mapped: false });
        // SAFETY: the caller's variable.
        unsafe { buffer.write(id) };
        OK
    })
}

pub extern "C" fn destroy_buffer(_: *mut c_void, buffer: u32) -> c_int {
    call("DestroyBuffer", Kind::Free, |call| match call.state.buffers.remove(&buffer) {
        Some(_) => OK,
        None => INVALID_BUFFER,
    })
}

pub extern "C" fn begin(_: *mut c_void, context: u32, surface: u32) -> c_int {
    call("BeginPicture", Kind::Work, |call| {
        call.detail = format!("surface={surface:x}");
        let Some(context) = call.state.contexts.get_mut(&context) else { return INVALID_CONTEXT };
        if !call.state.surfaces.contains_key(&surface) {
            return INVALID_SURFACE;
        }
        context.picture = Some((surface, Vec::new()));
        OK
    })
}

pub extern "C" fn render(_: *mut c_void, context: u32, buffers: *const u32, count: c_int) -> c_int {
    call("RenderPicture", Kind::Work, |call| {
        let Some(context) = call.state.contexts.get_mut(&context) else { return INVALID_CONTEXT };
        let Some((_, parts)) = &mut context.picture else { return INVALID_PARAMETER };
        for n in 0..usize::try_from(count).unwrap_or(0) {
            // SAFETY: the caller's list of `count`.
            let Some(buffer) = call.state.buffers.get(&unsafe { *buffers.add(n) }) else {
                return INVALID_BUFFER;
            };
            parts.push((buffer.kind, buffer.bytes.clone()));
        }
        OK
    })
}

pub extern "C" fn end(_: *mut c_void, context: u32) -> c_int {
    call("EndPicture", Kind::Work, |call| {
        let Some(context) = call.state.contexts.get_mut(&context) else { return INVALID_CONTEXT };
        let Some((target, parts)) = context.picture.take() else { return INVALID_PARAMETER };
        let kind = config::codec_of(context.profile);
        let Some((shape, old)) = call.state.surfaces.get(&target).copied() else { return INVALID_SURFACE };
        let read = read(kind, &parts);
        let second = read.field && context.first_field == Some(target);
        context.first_field = (read.field && !second).then_some(target);
        let others = read.references.iter().filter(|other| **other != target);
        let keys =
            others.filter_map(|other| call.state.surfaces.get(other)).map(|found| found.1.key).collect();
        let seed = pixels::seed(kind, shape);
        let surface =
            pixels::decoded(call.control, seed, &read.bitstream, keys, second.then_some(old), call.wrong);
        let Surface { key, .. } = surface;
        call.state.surfaces.insert(target, (shape, surface));
        call.detail = format!("surface={target:x} key={key:016x} second={}", u8::from(second));
        OK
    })
}

/// What a picture says of itself.
#[derive(Default)]
struct Picture {
    /// As NVDEC is given it, so that one table serves both.
    bitstream: Vec<u8>,
    references: Vec<u32>,
    /// One of two fields of a frame.
    field: bool,
}

fn read(kind: u32, parts: &[(u32, Vec<u8>)]) -> Picture {
    let of = |wanted: u32| parts.iter().filter(move |part| part.0 == wanted).map(|part| &part.1[..]);
    let mut picture = Picture::default();
    let start: &[u8] = if matches!(kind, codec::H264 | codec::HEVC) { &[0, 0, 1] } else { &[] };
    let mut last: &[u8] = &[];
    for slice in of(SLICE_DATA) {
        // AV1: every tile comes with all tiles of its group.
        if kind == codec::AV1 && slice == last {
            continue;
        }
        last = slice;
        picture.bitstream.extend_from_slice(start);
        picture.bitstream.extend_from_slice(slice);
    }
    let Some(parameters) = of(PICTURE).next() else { return picture };
    let word = |offset: usize| {
        let bytes = parameters.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let intra = match kind {
        // The type of each slice: 2 and 4 refer to nothing.
        codec::H264 => of(SLICE).all(|slice| matches!(slice.get(16), Some(2 | 4))),
        // The type of the unit: from 16 on a picture to begin at.
        codec::HEVC => of(SLICE_DATA).next().is_some_and(|unit| matches!(unit[0] >> 1 & 0x3f, 16..=23)),
        _ => false,
    };
    match kind {
        codec::H264 => {
            // `CurrPic.flags`: top or bottom field.
            picture.field = word(8) & 6 != 0;
            if !intra {
                picture.references = (0..16).map(|n| word(36 + 36 * n)).collect();
            }
        }
        codec::HEVC if !intra => picture.references = (0..15).map(|n| word(28 + 28 * n)).collect(),
        codec::MPEG2 => {
            // The structure is 3 where the picture is a frame, the coding type is 1 where it is intra.
            picture.field = word(20) >> 2 & 3 != 3;
            if word(12) != 1 {
                picture.references = vec![word(4), word(8)];
            }
        }
        codec::VP9 => {
            // Inter, and not "intra only"; then which of the eight it refers to.
            let fields = word(36);
            if fields & 0x24 == 4 {
                picture.references =
                    [19, 23, 27].map(|bit| word(4 + 4 * (fields >> bit & 7) as usize)).to_vec();
            }
        }
        // Types 1 and 3 are inter.
        codec::AV1 if word(676) & 1 == 1 => picture.references = (0..8).map(|n| word(40 + 4 * n)).collect(),
        _ => {}
    }
    picture
}
