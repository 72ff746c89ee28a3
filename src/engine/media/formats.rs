//! Pixel formats: which of FFmpeg's we read, and what their samples are.
//!
//! Owns the refusal of what we do not read. Never touches a sample.

#![allow(unsafe_code)]

use ffmpeg_next::{ffi, frame};

use super::colour::Family;

/// A pixel format in words.
pub struct Format {
    /// FFmpeg's own description.
    pub desc: &'static ffi::AVPixFmtDescriptor,
    pub family: Family,
    /// Bits a sample of what comes out.
    pub depth: u32,
    pub full_by_name: bool,
    pub kind: Kind,
    /// Has a component of opacity.
    pub alpha: bool,
}

/// How samples are stored.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Every component has a place of its own, as `desc` tells.
    Components,
    /// Indices into 256 words of ARGB.
    Palette,
    /// One bit a pixel; true when a set bit is white.
    Bits(bool),
}

/// A pixel format by FFmpeg's number, with FFmpeg's own description of it.
pub fn by_number(number: i32) -> Option<(ffi::AVPixelFormat, &'static ffi::AVPixFmtDescriptor)> {
    if number < 0 || number >= ffi::AVPixelFormat::AV_PIX_FMT_NB as i32 {
        return None;
    }
    // SAFETY: the number lies within the enumeration, which has no gaps between 0 and NB; descriptors
    // are static.
    unsafe {
        let pixel = std::mem::transmute::<i32, ffi::AVPixelFormat>(number);
        ffi::av_pix_fmt_desc_get(pixel).as_ref().map(|desc| (pixel, desc))
    }
}

/// Looks a format up. The error names what we do not read.
pub fn describe(frame: &frame::Video) -> Result<Format, String> {
    // SAFETY: the frame is alive.
    let number = unsafe { (*frame.as_ptr()).format };
    let Some((pixel, desc)) = by_number(number) else {
        return Err(format!("pixel format {number} is unknown"));
    };
    // SAFETY: the name of a descriptor is a static C string.
    let name = unsafe { std::ffi::CStr::from_ptr(desc.name) }.to_string_lossy();
    let has = |flag: libc::c_int| desc.flags & u64::from(flag.unsigned_abs()) != 0;
    let bits = match pixel {
        ffi::AVPixelFormat::AV_PIX_FMT_MONOWHITE => Some(false),
        ffi::AVPixelFormat::AV_PIX_FMT_MONOBLACK => Some(true),
        _ => None,
    };
    let alpha = has(ffi::AV_PIX_FMT_FLAG_ALPHA);
    let made = |family, depth, kind| {
        let full_by_name = name.starts_with("yuvj");
        Ok(Format { desc, family, depth, full_by_name, kind, alpha })
    };
    if let Some(set_is_white) = bits {
        // One bit is full range whatever the codec: there is no room for another.
        return made(Family::Grey, 8, Kind::Bits(set_is_white)).map(|f| Format { full_by_name: true, ..f });
    }
    if has(ffi::AV_PIX_FMT_FLAG_PAL) {
        return made(Family::Rgb, 8, Kind::Palette).map(|f| Format { alpha: true, ..f });
    }
    let unread = ffi::AV_PIX_FMT_FLAG_BITSTREAM
        | ffi::AV_PIX_FMT_FLAG_HWACCEL
        | ffi::AV_PIX_FMT_FLAG_BAYER
        | ffi::AV_PIX_FMT_FLAG_FLOAT;
    // uyyvyy411 lays its luma out unevenly, and XYZ is no R'G'B'.
    if has(unread) || name.starts_with("xyz") || name.starts_with("uyyvyy") || desc.nb_components == 0 {
        return Err(format!("pixel format {name} is not supported"));
    }
    let family = match (has(ffi::AV_PIX_FMT_FLAG_RGB), desc.nb_components) {
        (true, _) => Family::Rgb,
        (false, 1 | 2) => Family::Grey,
        (false, _) => Family::Yuv,
    };
    let colours = &desc.comp[..if family == Family::Grey { 1 } else { 3 }];
    let depth = colours.iter().map(|c| c.depth.unsigned_abs()).max().unwrap_or(8).max(8);
    let uneven = colours.iter().any(|c| c.depth.unsigned_abs() != depth);
    if depth > 16 || (uneven && depth > 8) {
        return Err(format!("pixel format {name} is not supported"));
    }
    made(family, depth, Kind::Components)
}
