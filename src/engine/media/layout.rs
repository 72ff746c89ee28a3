//! From a device's layout of 4:2:0 samples to the software decoders' own.
//!
//! Owns the ways in which interleaved chroma and shifted samples are told apart from planes. Never changes a sample.

#![allow(unsafe_code)]

use std::ffi::c_int;

use ffmpeg_next::ffi::AVPixelFormat::*;
use ffmpeg_next::{ffi, frame};

/// What the software decoders give for 4:2:0, as numbers, and the bits of a sample.
const PLANAR: [(c_int, u32); 4] = [
    (AV_PIX_FMT_YUV420P as c_int, 8),
    (AV_PIX_FMT_YUVJ420P as c_int, 8),
    (AV_PIX_FMT_YUV420P10LE as c_int, 10),
    (AV_PIX_FMT_YUV420P12LE as c_int, 12),
];

/// Is it a format that frames of a device can be brought into?
pub(super) fn is_read(format: c_int) -> bool {
    PLANAR.iter().any(|(planar, _)| *planar == format)
}

/// The pixels of `from` in the planar format of number `target`, with everything else that the frame says.
///
/// # Errors
/// What does not fit together.
pub(super) fn planar(from: frame::Video, target: c_int) -> Result<frame::Video, String> {
    // SAFETY: the frame is alive.
    let format = unsafe { (*from.as_ptr()).format };
    let depth = PLANAR.iter().find(|(planar, _)| *planar == target).map(|(_, depth)| *depth);
    let interleaved =
        [(AV_PIX_FMT_NV12 as c_int, 8), (AV_PIX_FMT_P010LE as c_int, 10), (AV_PIX_FMT_P016LE as c_int, 12)];
    // Some drivers give ten bits in the layout of sixteen: the samples lie at the top of the word in both.
    let fits = |(have, bits): (c_int, u32), depth: u32| have == format && (bits > 8) == (depth > 8);
    let Some(depth) = depth.filter(|depth| interleaved.iter().any(|have| fits(*have, *depth))) else {
        return Err(format!("the device gives frames of format {format} where {target} is wanted"));
    };
    let (width, height) = (from.width() as usize, from.height() as usize);
    if width % 2 == 1 || height % 2 == 1 {
        return Err(format!("frames of {width}x{height} have no whole chroma on the device"));
    }
    let mut to = frame::Video::empty();
    // SAFETY: the new frame is described before its planes are allocated; both frames are alive for the copies.
    unsafe {
        let raw = to.as_mut_ptr();
        ((*raw).format, (*raw).width, (*raw).height) =
            (target, from.width() as c_int, from.height() as c_int);
        let code = ffi::av_frame_get_buffer(raw, 0);
        let code = if code < 0 { code } else { ffi::av_frame_copy_props(raw, from.as_ptr()) };
        if code < 0 {
            return Err(format!("no memory for a frame of {width}x{height}"));
        }
        let (from, to) = (&*from.as_ptr(), &*raw);
        let rows = |plane: usize, rows: usize| {
            let line = |frame: &ffi::AVFrame, plane: usize, y: usize| {
                frame.data[plane].offset(frame.linesize[plane] as isize * y as isize)
            };
            (0..rows).map(move |y| (line(from, plane.min(1), y), line(to, plane, y)))
        };
        for plane in 0..3 {
            let (width, height) = if plane == 0 { (width, height) } else { (width / 2, height / 2) };
            let (step, skip) = if plane == 0 { (1, 0) } else { (2, plane - 1) };
            for (source, sink) in rows(plane, height) {
                // Rows of the source hold `width * step` samples, those of the sink `width`: 4:2:0 and even sizes.
                if depth == 8 {
                    let source = std::slice::from_raw_parts(source, width * step);
                    let sink = std::slice::from_raw_parts_mut(sink, width);
                    pick(source, sink, step, skip, |sample| sample);
                } else {
                    let source = std::slice::from_raw_parts(source.cast::<u16>(), width * step);
                    let sink = std::slice::from_raw_parts_mut(sink.cast::<u16>(), width);
                    pick(source, sink, step, skip, |sample| (u16::from_le(sample) >> (16 - depth)).to_le());
                }
            }
        }
    }
    Ok(to)
}

/// Every `step`th sample from `skip` on.
fn pick<T: Copy>(source: &[T], sink: &mut [T], step: usize, skip: usize, sample: impl Fn(T) -> T) {
    for (to, from) in sink.iter_mut().zip(source.chunks_exact(step)) {
        *to = sample(from[skip]);
    }
}
