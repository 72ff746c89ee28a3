//! Test patterns made in memory, and the frames that carry them.

use super::reference::{Grid, Raw};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

/// Gradients, a zone plate and bars within gamut, as code values of a depth and range.
pub fn mixed(width: usize, height: usize, sub: (usize, usize), depth: u32, full: bool) -> Raw {
    let (fw, fh) = (width as f64, height as f64);
    let luma = |x: f64, y: f64| {
        let (u, v) = (x / fw, y / fh);
        let ring =
            ((x - fw / 2.0).powi(2) + (y - fh / 2.0).powi(2)) * std::f64::consts::PI / fw.max(fh) / 2.0;
        let bar = if ((u * 8.0) as u32).is_multiple_of(2) { 0.06 } else { -0.06 };
        0.5 + 0.1 * (u - v) + 0.1 * ring.cos() + bar
    };
    let chroma = |x: f64, y: f64, seed: f64| {
        let step = if ((x / fw * 6.0) as u32 + (y / fh * 4.0 + seed) as u32).is_multiple_of(2) {
            0.04
        } else {
            -0.04
        };
        step + 0.04 * (x / 9.0 + seed * y / 7.0).sin()
    };
    let top = f64::from((1u32 << depth) - 1);
    let unit = f64::from(1u32 << (depth - 8));
    let code = |v: f64, colour: bool| {
        let code = match (full, colour) {
            (true, false) => v * top,
            (true, true) => v * top + 128.0 * unit,
            (false, false) => (16.0 + 219.0 * v) * unit,
            (false, true) => (128.0 + 224.0 * v) * unit,
        };
        code.round().clamp(0.0, top)
    };
    let (cw, ch) = (width.div_ceil(sub.0), height.div_ceil(sub.1));
    let (sx, sy) = (sub.0 as f64, sub.1 as f64);
    let colour =
        |seed: f64| Grid::new(cw, ch, |x, y| code(chroma(x as f64 * sx, y as f64 * sy, seed), true)).data;
    let planes = [
        Grid::new(width, height, |x, y| code(luma(x as f64, y as f64), false)).data,
        colour(1.0),
        colour(2.0),
    ];
    Raw { width, height, sub, depth, planes }
}

/// The same signal with a third of its colour.
pub fn muted(mut raw: Raw) -> Raw {
    let mid = f64::from(1u32 << (raw.depth - 1));
    for plane in &mut raw.planes[1..] {
        plane.iter_mut().for_each(|v| *v = (mid + (*v - mid) / 3.0).round());
    }
    raw
}

/// One colour, 8 bit 4:2:0.
pub fn flat(width: usize, height: usize, [y, cb, cr]: [f64; 3]) -> Raw {
    let chroma = width.div_ceil(2) * height.div_ceil(2);
    let planes = [vec![y; width * height], vec![cb; chroma], vec![cr; chroma]];
    Raw { width, height, sub: (2, 2), depth: 8, planes }
}

/// Rings that reach the finest detail at the left and right edge; full range.
pub fn zone_plate(width: usize, height: usize) -> Raw {
    let (w, h) = (width as f64, height as f64);
    let luma = Grid::new(width, height, |x, y| {
        let (x, y) = (x as f64 - w / 2.0, y as f64 - h / 2.0);
        (128.0 + 100.0 * (std::f64::consts::PI * (x * x + y * y) / w).cos()).round()
    });
    let mut raw = flat(width, height, [0.0, 128.0, 128.0]);
    raw.planes[0] = luma.data;
    raw
}

/// Black and white pixels in turn; full range.
pub fn checkerboard(width: usize, height: usize) -> Raw {
    let mut raw = flat(width, height, [0.0, 128.0, 128.0]);
    raw.planes[0] = Grid::new(width, height, |x, y| if (x + y) % 2 == 0 { 0.0 } else { 255.0 }).data;
    raw
}

/// Writes one sample of one or two bytes.
fn put(row: &mut [u8], x: usize, value: u16, depth: u32, big_endian: bool) {
    if depth <= 8 {
        row[x] = value as u8;
    } else {
        let bytes = if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        row[2 * x..2 * x + 2].copy_from_slice(&bytes);
    }
}

fn fill(frame: &mut Video, raw: &Raw, planes: usize, big_endian: bool) {
    for p in 0..planes {
        let (w, h) = raw.size(p);
        let stride = frame.stride(p);
        let data = frame.data_mut(p);
        for y in 0..h {
            for x in 0..w {
                put(&mut data[y * stride..], x, raw.planes[p][y * w + x] as u16, raw.depth, big_endian);
            }
        }
    }
}

/// A frame of three planes.
pub fn frame(raw: &Raw, pixel: Pixel) -> Video {
    let mut frame = Video::new(pixel, raw.width as u32, raw.height as u32);
    fill(&mut frame, raw, 3, format!("{pixel:?}").ends_with("BE"));
    frame
}

/// A frame of luma alone.
pub fn luma(raw: &Raw, pixel: Pixel) -> Video {
    let mut frame = Video::new(pixel, raw.width as u32, raw.height as u32);
    fill(&mut frame, raw, 1, false);
    frame
}

/// A frame of three planes and alpha.
pub fn with_alpha(raw: &Raw, pixel: Pixel, alpha: impl Fn(usize, usize) -> u8) -> Video {
    let mut frame = frame(raw, pixel);
    let stride = frame.stride(3);
    let data = frame.data_mut(3);
    for y in 0..raw.height {
        for x in 0..raw.width {
            data[y * stride + x] = alpha(x, y);
        }
    }
    frame
}

/// A frame whose chroma is interleaved; more than 8 bits lie in the upper bits of the word.
pub fn nv(raw: &Raw, pixel: Pixel, swapped: bool) -> Video {
    let mut frame = Video::new(pixel, raw.width as u32, raw.height as u32);
    let shift = if raw.depth > 8 { 16 - raw.depth } else { 0 };
    let (w, h) = raw.size(1);
    let stride = frame.stride(0);
    let data = frame.data_mut(0);
    for y in 0..raw.height {
        for x in 0..raw.width {
            let v = (raw.planes[0][y * raw.width + x] as u16) << shift;
            put(&mut data[y * stride..], x, v, raw.depth, false);
        }
    }
    let stride = frame.stride(1);
    let data = frame.data_mut(1);
    for y in 0..h {
        for x in 0..2 * w {
            let plane = 1 + (x % 2 + usize::from(swapped)) % 2;
            let v = (raw.planes[plane][y * w + x / 2] as u16) << shift;
            put(&mut data[y * stride..], x, v, raw.depth, false);
        }
    }
    frame
}

/// A packed frame, pixel by pixel (`step` bytes each; for one bit a pixel, byte by byte).
pub fn packed(
    width: usize,
    height: usize,
    pixel: Pixel,
    step: usize,
    f: impl Fn(usize, usize) -> Vec<u8>,
) -> Video {
    let pixels = if step == 1 { width * 8 } else { width };
    let mut frame = Video::new(pixel, pixels as u32, height as u32);
    let stride = frame.stride(0);
    let data = frame.data_mut(0);
    for y in 0..height {
        for x in 0..width {
            data[y * stride + x * step..][..step].copy_from_slice(&f(x, y));
        }
    }
    frame
}
