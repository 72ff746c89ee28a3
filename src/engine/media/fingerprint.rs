//! The MD5 of a decoded frame, as `ffmpeg -f framemd5` gives it.
//!
//! Owns the byte order of the hash: rows packed without padding in the decoder's pixel format.
//! Never hashes anything scaled, turned or converted.

#![allow(unsafe_code)]

use ffmpeg_next::{ffi, frame};
use md5::{Digest, Md5};

/// MD5 over the frame after its coded crop; the palette is appended for pal8.
pub fn frame_md5(frame: &frame::Video) -> [u8; 16] {
    let mut hash = Md5::new();
    // SAFETY: the frame is decoded, so its format, size, pointers and strides belong together.
    unsafe {
        let f = &*frame.as_ptr();
        let format: ffi::AVPixelFormat = frame.format().into();
        let descriptor = ffi::av_pix_fmt_desc_get(format);
        if descriptor.is_null() {
            return hash.finalize().into();
        }
        let paletted = (*descriptor).flags & u64::try_from(ffi::AV_PIX_FMT_FLAG_PAL).unwrap_or(0) != 0;
        for plane in 0..4 {
            let width = ffi::av_image_get_linesize(format, f.width, plane);
            if width <= 0 || f.data[plane as usize].is_null() || (paletted && plane > 0) {
                break;
            }
            let chroma = plane == 1 || plane == 2;
            let shift = if chroma { (*descriptor).log2_chroma_h } else { 0 };
            let rows = -((-f.height) >> shift);
            for row in 0..rows as isize {
                let at = f.data[plane as usize].offset(row * f.linesize[plane as usize] as isize);
                hash.update(std::slice::from_raw_parts(at, width as usize));
            }
        }
        if paletted && !f.data[1].is_null() {
            hash.update(std::slice::from_raw_parts(f.data[1], 1024));
        }
    }
    hash.finalize().into()
}
