//! A picture in memory: what leaves the media fence and enters the encoder. *Pure.*
//!
//! Owns the plane layout. Never knows where the pixels came from.

/// Full-range BT.601 4:2:0 planes, 8 bit, chroma sited in the centre of its 2x2 block, as JFIF means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels; odd sizes are kept, chroma planes are `(n + 1) / 2`.
    pub width: u32,
    pub height: u32,
    pub y: Plane,
    pub cb: Plane,
    pub cr: Plane,
}

/// One plane of 8-bit samples. `data` holds at least `stride * rows` bytes, where rows is the plane's
/// height rounded up to even for luma (the last row and column are repeated: the encoder reads them).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plane {
    pub data: Vec<u8>,
    pub stride: usize,
}
