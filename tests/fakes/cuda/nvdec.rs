//! The decoder: capabilities, surfaces, pictures, and the way a picture is mapped into device memory.
//!
//! Owns the key of a surface: it stands for all that went into its picture, through the keys of the surfaces that the
//! picture refers to. Never reads a bitstream but to hash it.

use std::ffi::{c_int, c_uint, c_void};

use crate::caps;
use crate::memory;
use crate::pixels::{self, Shape, Surface, codec};
use crate::state::Block;
use crate::{
    Call, INVALID_CONTEXT, INVALID_HANDLE, INVALID_VALUE, Kind, MAP_FAILED, NOT_SUPPORTED, OK, OUT_OF_MEMORY,
    call,
};

pub struct Decoder {
    context: u64,
    codec: u32,
    pub shape: Shape,
    pub surfaces: Vec<Surface>,
    /// How many may be mapped at once.
    outputs: usize,
}

impl Decoder {
    /// In bytes, roughly.
    pub fn memory(&self) -> usize {
        self.shape.bytes() * self.surfaces.len()
    }
}

/// A field of a foreign struct.
///
/// # Safety
///
/// `base + offset` lies within the caller's struct, which has a `T` there.
unsafe fn at<T: Copy>(base: *const c_void, offset: usize) -> T {
    // SAFETY: as demanded of the caller.
    unsafe { base.cast::<u8>().add(offset).cast::<T>().read_unaligned() }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuvidGetDecoderCaps(caps: *mut c_void) -> c_int {
    call("GetDecoderCaps", Kind::Work, |call| {
        if call.state.current().is_none() {
            return INVALID_CONTEXT;
        }
        // SAFETY: `CUVIDDECODECAPS`.
        let (codec, chroma, depth) =
            unsafe { (at::<u32>(caps, 0), at::<u32>(caps, 4), at::<u32>(caps, 8) + 8) };
        let row = caps::offered(call.control, codec, chroma, depth);
        call.detail = format!("codec={} offered={}", caps::name(codec, depth), row.is_some());
        let (max, min) = row.map_or(((0, 0), (0, 0)), |row| (row.max, row.min));
        let formats = if depth > 8 { 2_u16 } else { 1 };
        // SAFETY: `CUVIDDECODECAPS` again; what is written lies in its second half.
        unsafe {
            let out = caps.cast::<u8>();
            out.add(24).write(u8::from(row.is_some()));
            out.add(25).write(u8::from(row.is_some()));
            out.add(26).cast::<u16>().write_unaligned(if row.is_some() { formats } else { 0 });
            out.add(28).cast::<[u32; 3]>().write_unaligned([max.0, max.1, max.0 / 16 * (max.1 / 16)]);
            out.add(40).cast::<[u16; 2]>().write_unaligned([min.0, min.1]);
        }
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuvidCreateDecoder(decoder: *mut u64, info: *const c_void) -> c_int {
    call("CreateDecoder", Kind::Work, |call| {
        let Some(context) = call.state.current() else { return INVALID_CONTEXT };
        // SAFETY: `CUVIDDECODECREATEINFO`; its `unsigned long` are 8 bytes.
        let (width, height, surfaces, codec, chroma, depth, outputs) = unsafe {
            (
                at::<u64>(info, 96) as u32,
                at::<u64>(info, 104) as u32,
                at::<u64>(info, 16) as usize,
                at::<u32>(info, 24),
                at::<u32>(info, 28),
                at::<u64>(info, 40) as u32 + 8,
                at::<u64>(info, 112) as usize,
            )
        };
        let name = caps::name(codec, depth);
        let device = call.state.contexts[&context];
        call.detail = format!("codec={name} size={width}x{height} surfaces={surfaces} device={device}");
        let Some(row) = caps::offered(call.control, codec, chroma, depth) else { return NOT_SUPPORTED };
        if width > row.max.0 || height > row.max.1 || surfaces == 0 || width == 0 || height == 0 {
            return INVALID_VALUE;
        }
        if call.control.number("sessions").is_some_and(|most| call.state.decoders.len() as u64 >= most) {
            return OUT_OF_MEMORY;
        }
        let shape = Shape { width: width as usize, height: height as usize, depth };
        if shape.bytes() * surfaces > memory::room(call).0 {
            return OUT_OF_MEMORY;
        }
        let surfaces = vec![Surface::default(); surfaces];
        let handle = call.state.handle();
        call.state.decoders.insert(handle, Decoder { context, codec, shape, surfaces, outputs });
        // SAFETY: the caller's variable.
        unsafe { decoder.write(handle) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuvidDestroyDecoder(decoder: u64) -> c_int {
    call("DestroyDecoder", Kind::Free, |call| {
        let code = ready(call, decoder);
        // After an error that sticks there may be no current context any more.
        if code == OK || (code == INVALID_CONTEXT && call.state.sticky != OK) {
            call.state.decoders.remove(&decoder);
        }
        code
    })
}

/// Is there such a decoder, and is it one of the current context?
fn ready(call: &Call, decoder: u64) -> c_int {
    match (call.state.decoders.get(&decoder), call.state.current()) {
        (_, None) => INVALID_CONTEXT,
        (Some(found), Some(context)) if found.context == context => OK,
        _ => INVALID_HANDLE,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuvidDecodePicture(decoder: u64, picture: *const c_void) -> c_int {
    call("DecodePicture", Kind::Work, |call| {
        let code = ready(call, decoder);
        if code != OK {
            return code;
        }
        let found = &call.state.decoders[&decoder];
        // SAFETY: `CUVIDPICPARAMS`.
        let (index, second, length, data, intra) = unsafe {
            let (length, data) = (at::<u32>(picture, 24), at::<*const u8>(picture, 32));
            (
                at::<i32>(picture, 8),
                at::<i32>(picture, 20) != 0,
                length as usize,
                data,
                at::<i32>(picture, 60) != 0,
            )
        };
        let Some(old) = usize::try_from(index).ok().and_then(|index| found.surfaces.get(index)).copied()
        else {
            return INVALID_VALUE;
        };
        if data.is_null() || length == 0 {
            return INVALID_VALUE;
        }
        let mut keys = Vec::new();
        if !intra {
            // SAFETY: the codec's part of the same struct.
            let referenced = unsafe { references(found.codec, picture) };
            // A picture may name itself: as its own second field, and in MPEG-2 and MPEG-4 where it has no other.
            let others = referenced.into_iter().filter(|other| *other != index);
            keys.extend(
                others.filter_map(|other| found.surfaces.get(usize::try_from(other).ok()?)).map(|s| s.key),
            );
        }
        // SAFETY: the caller's bitstream, `length` bytes long.
        let bitstream = unsafe { std::slice::from_raw_parts(data, length) };
        let seed = pixels::seed(found.codec, found.shape);
        let surface = pixels::decoded(call.control, seed, bitstream, keys, second.then_some(old), call.wrong);
        let key = surface.key;
        if let Some(found) = call.state.decoders.get_mut(&decoder) {
            found.surfaces[index as usize] = surface;
        }
        call.detail =
            format!("surface={index} key={key:016x} intra={} second={}", u8::from(intra), u8::from(second));
        OK
    })
}

/// The surfaces that a picture may refer to.
///
/// # Safety
///
/// `picture` is a `CUVIDPICPARAMS` of this codec.
unsafe fn references(kind: u32, picture: *const c_void) -> Vec<i32> {
    const PART: usize = 184;
    let byte = |offset: usize| {
        // SAFETY: as demanded of the caller.
        let index = unsafe { at::<u8>(picture, PART + offset) };
        // No picture is -1, which a byte has as 255.
        if index == u8::MAX { -1 } else { i32::from(index) }
    };
    // SAFETY: as demanded of the caller.
    let word = |offset: usize| unsafe { at::<i32>(picture, PART + offset) };
    match kind {
        0..=codec::MPEG4 => vec![word(0), word(4)],
        codec::H264 => (0..16).map(|entry| word(104 + 28 * entry)).collect(),
        codec::HEVC => (0..16).map(|entry| word(252 + 4 * entry)).collect(),
        // FFmpeg does not say of VP9 that a picture is intra; its type has the sixth bit, "intra only" the twelfth.
        codec::VP9 if word(12) & 0x820 == 0x20 => (8..11).map(byte).collect(),
        codec::AV1 => (471..479).map(byte).collect(),
        _ => Vec::new(),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuvidMapVideoFrame64(
    decoder: u64,
    index: c_int,
    address: *mut u64,
    pitch: *mut c_uint,
    _processing: *const c_void,
) -> c_int {
    call("MapVideoFrame", Kind::Work, |call| {
        let code = ready(call, decoder);
        if code != OK {
            return code;
        }
        let found = &call.state.decoders[&decoder];
        let surface = usize::try_from(index).ok().and_then(|index| found.surfaces.get(index)).copied();
        let Some(surface) = surface else { return INVALID_VALUE };
        call.detail = format!("surface={index} key={:016x}", surface.key);
        if call.state.mapped(decoder) >= found.outputs {
            return MAP_FAILED;
        }
        let shape = found.shape;
        pixels::record(call.control, &surface, shape);
        let wrong = surface.wrong || call.wrong;
        let bytes = pixels::paint(call.control, &Surface { wrong, ..surface }, shape);
        let place = call.state.place(Block { bytes, decoder: Some(decoder) });
        // SAFETY: the caller's variables.
        unsafe {
            address.write(place);
            pitch.write(shape.pitch() as c_uint);
        }
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuvidUnmapVideoFrame64(decoder: u64, address: u64) -> c_int {
    call("UnmapVideoFrame", Kind::Free, |call| {
        if call.state.memory.get(&address).and_then(|block| block.decoder) != Some(decoder) {
            return INVALID_VALUE;
        }
        let code = ready(call, decoder);
        if code == OK || call.state.sticky != OK {
            call.state.memory.remove(&address);
        }
        code
    })
}
