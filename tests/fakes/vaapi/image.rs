//! The way of a picture to the CPU: wait for the surface, copy it into an image, map the image's buffer.
//!
//! Owns images. Never maps a surface itself: an image that is derived from one is a copy too.

use std::ffi::{c_int, c_void};

use crate::config::{NV12, P010};
use crate::pixels::{self, Shape, Surface};
use crate::state::Buffer;
use crate::{
    Call, INVALID_BUFFER, INVALID_IMAGE, INVALID_PARAMETER, INVALID_SURFACE, Kind, OK, at, call, set,
};

/// `VAImageBufferType`.
const IMAGE: u32 = 9;
/// Of `VAImageFormat`.
const FORMAT_BYTES: usize = 48;

pub extern "C" fn sync_surface(_: *mut c_void, surface: u32) -> c_int {
    call("SyncSurface", Kind::Work, |call| {
        if call.state.surfaces.contains_key(&surface) { OK } else { INVALID_SURFACE }
    })
}

/// Fourcc, byte order (least first), bits a pixel.
fn format(depth: u32) -> [u32; 3] {
    if depth > 8 { [P010, 1, 24] } else { [NV12, 1, 12] }
}

pub extern "C" fn query_formats(_: *mut c_void, list: *mut c_void, count: *mut c_int) -> c_int {
    call("QueryImageFormats", Kind::Work, |_| {
        // SAFETY: the caller's list has room for the two that the driver announced, and the caller's variable.
        unsafe {
            list.cast::<u8>().write_bytes(0, 2 * FORMAT_BYTES);
            set(list, 0, format(8));
            set(list, FORMAT_BYTES, format(10));
            count.write(2);
        }
        OK
    })
}

/// An image of that shape with these bytes.
fn make(call: &mut Call, shape: Shape, bytes: Vec<u8>, image: *mut c_void) {
    let (id, buffer) = (call.state.id(), call.state.id());
    let size = bytes.len() as u32;
    call.state.buffers.insert(buffer, Buffer { kind: IMAGE, bytes, mapped: false });
    call.state.images.insert(id, buffer);
    let pitch = shape.pitch() as u32;
    // SAFETY: the caller's `VAImage`, of 120 bytes.
    unsafe {
        image.cast::<u8>().write_bytes(0, 120);
        set(image, 0, id);
        set(image, 4, format(shape.depth));
        set(image, 52, buffer);
        set(image, 56, [shape.width as u16, shape.height as u16]);
        set(image, 60, size);
        set(image, 64, 2_u32);
        set(image, 68, [pitch, pitch, 0]);
        set(image, 80, [0, pitch * shape.height as u32, 0]);
    }
}

pub extern "C" fn create(
    _: *mut c_void,
    format: *const c_void,
    width: c_int,
    height: c_int,
    image: *mut c_void,
) -> c_int {
    call("CreateImage", Kind::Work, |call| {
        // SAFETY: the caller's `VAImageFormat`.
        let depth = match unsafe { at::<u32>(format, 0) } {
            NV12 => 8,
            P010 => 10,
            _ => return INVALID_PARAMETER,
        };
        let shape = Shape { width: width as usize, height: height as usize, depth };
        make(call, shape, vec![0; shape.bytes()], image);
        OK
    })
}

pub extern "C" fn derive(_: *mut c_void, surface: u32, image: *mut c_void) -> c_int {
    call("DeriveImage", Kind::Work, |call| {
        let Some((shape, found)) = call.state.surfaces.get(&surface).copied() else { return INVALID_SURFACE };
        // FFmpeg derives from a surface without a picture to see whether it can.
        let empty = found.bytes == 0;
        let bytes =
            if empty { vec![0x80; shape.bytes()] } else { pixels::paint(call.control, &found, shape) };
        make(call, shape, bytes, image);
        OK
    })
}

pub extern "C" fn destroy(_: *mut c_void, image: u32) -> c_int {
    call("DestroyImage", Kind::Free, |call| {
        let Some(buffer) = call.state.images.remove(&image) else { return INVALID_IMAGE };
        call.state.buffers.remove(&buffer);
        OK
    })
}

pub extern "C" fn get(
    _: *mut c_void,
    surface: u32,
    _x: c_int,
    _y: c_int,
    _width: u32,
    _height: u32,
    image: u32,
) -> c_int {
    call("GetImage", Kind::Work, |call| {
        let Some((shape, found)) = call.state.surfaces.get(&surface).copied() else { return INVALID_SURFACE };
        call.detail = format!("surface={surface:x} key={:016x}", found.key);
        let buffer = call.state.images.get(&image).and_then(|buffer| call.state.buffers.get_mut(buffer));
        let Some(buffer) = buffer else { return INVALID_IMAGE };
        pixels::record(call.control, &found, shape);
        let wrong = found.wrong || call.wrong;
        let bytes = pixels::paint(call.control, &Surface { wrong, ..found }, shape);
        if bytes.len() != buffer.bytes.len() {
            return INVALID_PARAMETER;
        }
        buffer.bytes.copy_from_slice(&bytes);
        OK
    })
}

pub extern "C" fn map_buffer(_: *mut c_void, buffer: u32, place: *mut *mut c_void) -> c_int {
    call("MapBuffer", Kind::Work, |call| {
        let Some(buffer) = call.state.buffers.get_mut(&buffer) else { return INVALID_BUFFER };
        buffer.mapped = true;
        // SAFETY: the caller's variable; the bytes stay where they are until the buffer is destroyed.
        unsafe { place.write(buffer.bytes.as_mut_ptr().cast()) };
        OK
    })
}

pub extern "C" fn unmap_buffer(_: *mut c_void, buffer: u32) -> c_int {
    call("UnmapBuffer", Kind::Free, |call| match call.state.buffers.get_mut(&buffer) {
        Some(buffer) => {
            buffer.mapped = false;
            OK
        }
        None => INVALID_BUFFER,
    })
}
