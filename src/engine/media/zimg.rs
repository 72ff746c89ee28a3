//! The scaler: a safe handle on a zimg graph that resamples one plane to 16 bit.
//!
//! Owns zimg's names, its layout and its alignment. Never knows what the plane means.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_double, c_int, c_uint, c_void};

/// Version of the interface that the structures below are laid out for (2.4: zimg 2.9 and later).
const API_VERSION: c_uint = (2 << 8) | 4;
const COLOR_GREY: c_int = 0;
const PIXEL_BYTE: c_int = 0;
const PIXEL_WORD: c_int = 1;
const RESIZE_BICUBIC: c_int = 2;
const DITHER_NONE: c_int = 0;
/// Not the 64-byte mode: zimg up to 3.0.5 gets single columns wrong in the AVX-512 code it then takes, when a
/// width shrinks by about two at a ratio that is no whole number (322 to 160: column 47 is off by 20 of 255).
const CPU_AUTO: c_int = 1;
/// A row mask that says the plane is all there.
const BUFFER_MAX: c_uint = c_uint::MAX;

#[repr(C)]
struct RawPlane {
    data: *mut c_void,
    stride: isize,
    mask: c_uint,
}

/// `zimg_image_buffer` and its const twin: the same layout.
#[repr(C)]
struct RawBuffer {
    version: c_uint,
    plane: [RawPlane; 4],
}

#[repr(C)]
struct RawRegion {
    left: c_double,
    top: c_double,
    width: c_double,
    height: c_double,
}

#[repr(C)]
struct RawFormat {
    version: c_uint,
    width: c_uint,
    height: c_uint,
    pixel_type: c_int,
    subsample_w: c_uint,
    subsample_h: c_uint,
    color_family: c_int,
    matrix: c_int,
    transfer: c_int,
    primaries: c_int,
    depth: c_uint,
    pixel_range: c_int,
    field_parity: c_int,
    chroma_location: c_int,
    active: RawRegion,
    alpha: c_int,
}

#[repr(C)]
struct RawParams {
    version: c_uint,
    filter: c_int,
    filter_a: c_double,
    filter_b: c_double,
    filter_uv: c_int,
    filter_a_uv: c_double,
    filter_b_uv: c_double,
    dither: c_int,
    cpu: c_int,
    nominal_peak: c_double,
    approximate_gamma: c_char,
}

#[repr(C)]
struct RawGraph {
    _opaque: [u8; 0],
}

type RawCallback = Option<unsafe extern "C" fn(*mut c_void, c_uint, c_uint, c_uint) -> c_int>;

unsafe extern "C" {
    fn zimg_image_format_default(format: *mut RawFormat, version: c_uint);
    fn zimg_graph_builder_params_default(params: *mut RawParams, version: c_uint);
    fn zimg_filter_graph_build(
        src: *const RawFormat,
        dst: *const RawFormat,
        params: *const RawParams,
    ) -> *mut RawGraph;
    fn zimg_filter_graph_free(graph: *mut RawGraph);
    fn zimg_filter_graph_get_tmp_size(graph: *const RawGraph, out: *mut usize) -> c_int;
    fn zimg_filter_graph_process(
        graph: *const RawGraph,
        src: *const RawBuffer,
        dst: *const RawBuffer,
        tmp: *mut c_void,
        unpack: RawCallback,
        unpack_user: *mut c_void,
        pack: RawCallback,
        pack_user: *mut c_void,
    ) -> c_int;
    fn zimg_get_last_error(text: *mut c_char, n: usize) -> c_int;
    fn zimg_clear_last_error();
}

/// The alignment of pointers and strides, bytes, that goes with `CPU_AUTO`.
pub const ALIGNMENT: usize = 32;

/// What one graph does; equal keys make equal graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GraphKey {
    /// Source samples a row, rows.
    pub width: u32,
    pub height: u32,
    /// Bits a sample; above 8 a sample has two bytes.
    pub depth: u32,
    pub full: bool,
    /// The window of the source that spans the output: start and extent in samples, as the bits of an f64.
    pub x: (u64, u64),
    pub y: (u64, u64),
    pub out_width: u32,
    pub out_height: u32,
}

/// A built graph. Running it changes nothing in it.
pub struct Graph {
    raw: *mut RawGraph,
    tmp_bytes: usize,
}

// SAFETY: zimg documents that a graph may be used from any thread; the handle owns it alone.
unsafe impl Send for Graph {}

impl Graph {
    /// Builds the graph: Catmull-Rom, widened on shrinking, no dither, 16 bit of the same range out.
    /// The error is zimg's own sentence.
    pub fn build(key: &GraphKey) -> Result<Graph, String> {
        let mut src = format(key.width, key.height, key.depth, key.full);
        src.active = RawRegion {
            left: f64::from_bits(key.x.0),
            top: f64::from_bits(key.y.0),
            width: f64::from_bits(key.x.1),
            height: f64::from_bits(key.y.1),
        };
        let dst = format(key.out_width, key.out_height, 16, key.full);
        let params = params();
        // SAFETY: the three structures are whole, of the version they say, and only read.
        let raw = unsafe { zimg_filter_graph_build(&src, &dst, &params) };
        if raw.is_null() {
            return Err(last_error());
        }
        let mut graph = Graph { raw, tmp_bytes: 0 };
        // SAFETY: `raw` is a live graph, `tmp_bytes` a place for a size.
        if unsafe { zimg_filter_graph_get_tmp_size(graph.raw, &mut graph.tmp_bytes) } != 0 {
            return Err(last_error());
        }
        Ok(graph)
    }

    /// Bytes of scratch that `run` wants.
    pub fn tmp_bytes(&self) -> usize {
        self.tmp_bytes
    }

    /// Resamples a plane.
    ///
    /// # Safety
    /// `src` and `dst` point to planes of the built sizes, `tmp` to `tmp_bytes` bytes; pointers and strides
    /// are multiples of `ALIGNMENT`; `dst` and `tmp` are not touched by anyone else meanwhile.
    pub unsafe fn run(
        &self,
        src: (*const u8, isize),
        dst: (*mut u16, isize),
        tmp: *mut u8,
    ) -> Result<(), String> {
        let from = buffer(src.0.cast_mut().cast(), src.1);
        let to = buffer(dst.0.cast(), dst.1);
        let none = std::ptr::null_mut();
        // SAFETY: the caller vouches for the planes; zimg only reads through the source pointer.
        let rc =
            unsafe { zimg_filter_graph_process(self.raw, &from, &to, tmp.cast(), None, none, None, none) };
        if rc == 0 { Ok(()) } else { Err(last_error()) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: `raw` came from the builder and is freed once.
        unsafe { zimg_filter_graph_free(self.raw) }
    }
}

fn buffer(data: *mut c_void, stride: isize) -> RawBuffer {
    let unused = || RawPlane { data: std::ptr::null_mut(), stride: 0, mask: 0 };
    let first = RawPlane { data, stride, mask: BUFFER_MAX };
    RawBuffer { version: API_VERSION, plane: [first, unused(), unused(), unused()] }
}

fn format(width: u32, height: u32, depth: u32, full: bool) -> RawFormat {
    let mut format = std::mem::MaybeUninit::<RawFormat>::zeroed();
    // SAFETY: the structure is plain numbers: zeroes are a value, and zimg fills in its defaults.
    let mut format = unsafe {
        zimg_image_format_default(format.as_mut_ptr(), API_VERSION);
        format.assume_init()
    };
    format.width = width;
    format.height = height;
    format.pixel_type = if depth > 8 { PIXEL_WORD } else { PIXEL_BYTE };
    format.color_family = COLOR_GREY;
    format.depth = depth;
    format.pixel_range = c_int::from(full);
    format
}

fn params() -> RawParams {
    let mut params = std::mem::MaybeUninit::<RawParams>::zeroed();
    // SAFETY: as above.
    let mut params = unsafe {
        zimg_graph_builder_params_default(params.as_mut_ptr(), API_VERSION);
        params.assume_init()
    };
    params.filter = RESIZE_BICUBIC;
    params.filter_a = 0.0;
    params.filter_b = 0.5;
    params.dither = DITHER_NONE;
    params.cpu = CPU_AUTO;
    params
}

fn last_error() -> String {
    let mut text = [0 as c_char; 512];
    // SAFETY: zimg writes at most 512 bytes and ends them with a zero; the error is this thread's own.
    let words = unsafe {
        zimg_get_last_error(text.as_mut_ptr(), text.len());
        zimg_clear_last_error();
        text[text.len() - 1] = 0;
        std::ffi::CStr::from_ptr(text.as_ptr())
    };
    format!("zimg: {}", words.to_string_lossy())
}

/// A growing buffer whose start is aligned for zimg.
#[derive(Default)]
pub struct Aligned {
    blocks: Vec<Block>,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block([u8; 64]);

impl Aligned {
    /// The first `bytes` bytes; grows, never shrinks. New bytes are zero, old ones keep what was there.
    pub fn bytes(&mut self, bytes: usize) -> &mut [u8] {
        let blocks = bytes.div_ceil(64);
        if self.blocks.len() < blocks {
            self.blocks.resize(blocks, Block([0; 64]));
        }
        // SAFETY: a block is 64 plain bytes without padding, and there are `blocks` of them.
        unsafe { std::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), bytes) }
    }

    /// The first `samples` 16-bit samples, likewise.
    pub fn words(&mut self, samples: usize) -> &mut [u16] {
        let start = self.bytes(samples * 2).as_mut_ptr();
        // SAFETY: as in `bytes`; blocks are aligned to more than a u16 is.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), samples) }
    }

    /// The same samples, to read. Shorter when less was asked for before.
    pub fn read_words(&self, samples: usize) -> &[u16] {
        let samples = samples.min(self.blocks.len() * 32);
        // SAFETY: as in `words`.
        unsafe { std::slice::from_raw_parts(self.blocks.as_ptr().cast(), samples) }
    }

    /// The same bytes, to read. Shorter when less was asked for before.
    pub fn read_bytes(&self, bytes: usize) -> &[u8] {
        let bytes = bytes.min(self.blocks.len() * 64);
        // SAFETY: as in `bytes`.
        unsafe { std::slice::from_raw_parts(self.blocks.as_ptr().cast(), bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_zimgs_own() {
        let f = format(3, 2, 10, true);
        assert_eq!((f.version, f.width, f.height, f.depth, f.pixel_range), (API_VERSION, 3, 2, 10, 1));
        // Defaults that zimg writes behind every field that precedes them.
        assert_eq!(
            (f.matrix, f.transfer, f.primaries, f.field_parity, f.chroma_location, f.alpha),
            (2, 2, 2, 0, 0, 0)
        );
        assert!(f.active.left.is_nan() && f.active.height.is_nan());
        let p = params();
        assert_eq!((p.version, p.filter_uv, p.approximate_gamma), (API_VERSION, 1, 0));
        assert!(p.filter_a_uv.is_nan() && p.nominal_peak.is_nan());
    }

    #[test]
    fn a_refusal_says_why() {
        let zero = 0f64.to_bits();
        let key = GraphKey {
            width: 0,
            height: 4,
            depth: 8,
            full: true,
            x: (zero, 4f64.to_bits()),
            y: (zero, 4f64.to_bits()),
            out_width: 4,
            out_height: 4,
        };
        let text = Graph::build(&key).err().unwrap_or_default();
        assert!(text.starts_with("zimg: ") && text.len() > 8, "{text}");
    }
}
