//! Planes out of a decoded frame: one native sample after the other, a plane a component, no alpha.
//!
//! Owns the pixel formats: what can be read in place is, what is packed, shifted, of the other byte order,
//! misaligned or transparent is copied. Never scales and never converts colour.

#![allow(unsafe_code)]

use std::marker::PhantomData;

use ffmpeg_next::{ffi, frame};

use super::colour::Family;
use super::formats::{Format, Kind};
use super::zimg::{ALIGNMENT, Aligned};

/// A plane the scaler can read: native samples of one or two bytes, aligned.
#[derive(Clone, Copy)]
pub struct SourcePlane<'a> {
    /// Start of row 0.
    pub data: *const u8,
    /// Bytes from row to row; negative when the rows are stored from the bottom.
    pub stride: isize,
    pub width: u32,
    pub height: u32,
    pub depth: u32,
    /// Halvings against luma, as a factor (1, 2 or 4).
    pub sub: (u32, u32),
    life: PhantomData<&'a [u8]>,
}

impl SourcePlane<'_> {
    /// Bytes a sample.
    pub fn bytes(&self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }

    /// Every second row, from the first or the second on: one field of an interlaced frame.
    pub fn field(&self, top: bool) -> Self {
        let skip = if top { 0 } else { self.stride };
        SourcePlane {
            // Row 1 exists: a field is taken only of planes with two rows.
            data: self.data.wrapping_offset(skip),
            stride: self.stride * 2,
            height: if top { self.height.div_ceil(2) } else { self.height / 2 },
            ..*self
        }
    }
}

/// The planes of a frame: luma, Cb, Cr; or R, G, B; or luma alone.
pub struct Planes<'a> {
    pub family: Family,
    pub depth: u32,
    pub planes: Vec<SourcePlane<'a>>,
}

/// Takes frames apart; keeps its buffers from frame to frame.
#[derive(Default)]
pub struct Unpacker {
    copies: [Aligned; 3],
    alpha: Aligned,
}

/// A component as it lies in the frame.
struct Component {
    data: *const u8,
    stride: isize,
    /// Samples a row, rows.
    width: usize,
    height: usize,
    /// Bytes from sample to sample, and to the sample inside.
    step: usize,
    offset: usize,
    shift: u32,
    depth: u32,
    big_endian: bool,
}

impl Component {
    /// Bytes that hold one sample.
    fn bytes(&self) -> usize {
        if self.shift + self.depth > 8 { 2 } else { 1 }
    }

    /// True when the scaler can read it where it is.
    fn in_place(&self, depth: u32) -> bool {
        let aligned = self.data.addr().is_multiple_of(ALIGNMENT)
            && self.stride.unsigned_abs().is_multiple_of(ALIGNMENT);
        let plain = self.offset == 0 && self.shift == 0 && self.step == self.bytes() && self.depth == depth;
        let native = self.bytes() == 1 || self.big_endian == cfg!(target_endian = "big");
        aligned && plain && native
    }

    fn row(&self, y: usize) -> &[u8] {
        // SAFETY: `component` has seen that a row holds `step * width` bytes and that y rows exist; the
        // frame outlives `self`.
        unsafe {
            let start = self.data.offset(self.stride * isize::try_from(y).unwrap_or(0));
            std::slice::from_raw_parts(start, self.step * self.width)
        }
    }
}

impl Unpacker {
    /// The planes of `frame`, alpha composited on black. The error says what does not fit together.
    pub fn unpack<'a>(
        &'a mut self,
        frame: &'a frame::Video,
        format: &Format,
        full: bool,
    ) -> Result<Planes<'a>, String> {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        match format.kind {
            Kind::Components => {}
            Kind::Palette => return self.palette(frame, width, height),
            Kind::Bits(set_is_white) => return self.bits(frame, width, height, set_is_white),
        }
        let count = if format.family == Family::Grey { 1 } else { 3 };
        let veil = if format.alpha { self.read_alpha(frame, format)? } else { None };
        let mut planes = Vec::with_capacity(count);
        for (i, buffer) in self.copies.iter_mut().enumerate().take(count) {
            let part = component(frame, format, i)?;
            let sub = subsampling(format, i);
            let (data, stride) = if veil.is_none() && part.in_place(format.depth) {
                (part.data, part.stride)
            } else {
                let stride = gather(&part, format.depth, buffer);
                if let Some(veil) = &veil {
                    let ground = ground(format, full, i);
                    let size = (part.width, part.height);
                    composite(
                        buffer,
                        stride,
                        size,
                        format.depth,
                        &Veil { sub, ..*veil },
                        &self.alpha,
                        ground,
                    );
                }
                (buffer.read_bytes(usize::MAX).as_ptr(), isize_of(stride))
            };
            planes.push(SourcePlane {
                data,
                stride,
                width: part.width as u32,
                height: part.height as u32,
                depth: format.depth,
                sub,
                life: PhantomData,
            });
        }
        Ok(Planes { family: format.family, depth: format.depth, planes })
    }

    /// Reads the alpha plane; none when every pixel is opaque.
    fn read_alpha(&mut self, frame: &frame::Video, format: &Format) -> Result<Option<Veil>, String> {
        let part = component(frame, format, usize::from(format.desc.nb_components) - 1)?;
        let stride = gather(&part, format.depth, &mut self.alpha);
        let veil = Veil { stride, width: part.width, height: part.height, sub: (1, 1) };
        Ok((!opaque(&self.alpha, &veil, format.depth)).then_some(veil))
    }

    /// Palette pixels: native-endian ARGB words in the second plane.
    fn palette<'a>(
        &'a mut self,
        frame: &'a frame::Video,
        width: usize,
        height: usize,
    ) -> Result<Planes<'a>, String> {
        // SAFETY: the frame is alive; a palette frame has 256 words in data[1], which `data` checks for.
        let words: [u32; 256] = unsafe {
            let table = data(frame, 1)?.cast::<u32>();
            std::array::from_fn(|i| table.add(i).read_unaligned())
        };
        let index = raw_component(frame, 0, width, height, 1)?;
        let stride = padded(width);
        let [r, g, b] = &mut self.copies;
        let parts = [(r, 16), (g, 8), (b, 0), (&mut self.alpha, 24)];
        for (buffer, shift) in parts {
            let out = buffer.bytes(stride * height);
            for y in 0..height {
                for (o, i) in out[y * stride..][..width].iter_mut().zip(index.row(y)) {
                    *o = (words[usize::from(*i)] >> shift) as u8;
                }
            }
        }
        let veil = Veil { stride, width, height, sub: (1, 1) };
        if !opaque(&self.alpha, &veil, 8) {
            for buffer in &mut self.copies {
                composite(buffer, stride, (width, height), 8, &veil, &self.alpha, 0);
            }
        }
        Ok(self.own(Family::Rgb, 3, stride, width, height))
    }

    /// One bit a pixel, the leftmost in the highest bit.
    fn bits<'a>(
        &'a mut self,
        frame: &'a frame::Video,
        width: usize,
        height: usize,
        set_is_white: bool,
    ) -> Result<Planes<'a>, String> {
        let packed = raw_component(frame, 0, width.div_ceil(8), height, 1)?;
        let stride = padded(width);
        let out = self.copies[0].bytes(stride * height);
        for y in 0..height {
            let row = packed.row(y);
            for (x, o) in out[y * stride..][..width].iter_mut().enumerate() {
                let set = row[x / 8] & (0x80 >> (x % 8)) != 0;
                *o = if set == set_is_white { 255 } else { 0 };
            }
        }
        Ok(self.own(Family::Grey, 1, stride, width, height))
    }

    /// The first `count` own buffers as 8-bit planes.
    fn own(&self, family: Family, count: usize, stride: usize, width: usize, height: usize) -> Planes<'_> {
        let plane = |buffer: &Aligned| SourcePlane {
            data: buffer.read_bytes(usize::MAX).as_ptr(),
            stride: isize_of(stride),
            width: width as u32,
            height: height as u32,
            depth: 8,
            sub: (1, 1),
            life: PhantomData,
        };
        Planes { family, depth: 8, planes: self.copies[..count].iter().map(plane).collect() }
    }
}

/// Factors of a component against luma.
fn subsampling(format: &Format, component: usize) -> (u32, u32) {
    let chroma = format.family == Family::Yuv && matches!(component, 1 | 2);
    if chroma { (1 << format.desc.log2_chroma_w, 1 << format.desc.log2_chroma_h) } else { (1, 1) }
}

/// Finds a component in the frame and sees that its rows are as long as they must be.
fn component(frame: &frame::Video, format: &Format, i: usize) -> Result<Component, String> {
    let comp = &format.desc.comp[i];
    let (sx, sy) = subsampling(format, i);
    let (width, height) = (frame.width().div_ceil(sx) as usize, frame.height().div_ceil(sy) as usize);
    let [plane, step] = [comp.plane, comp.step].map(|v| v.unsigned_abs() as usize);
    let mut part = raw_component(frame, plane, width, height, step)?;
    part.shift = comp.shift.unsigned_abs();
    part.depth = comp.depth.unsigned_abs();
    part.big_endian = format.desc.flags & u64::from(ffi::AV_PIX_FMT_FLAG_BE.unsigned_abs()) != 0;
    // In the descriptors of big-endian formats a sample within one byte is counted from the byte before.
    let skipped = i32::from(part.big_endian && part.bytes() == 1);
    part.offset = usize::try_from(comp.offset + skipped).unwrap_or(0);
    if part.offset + part.bytes() > step {
        return Err("a pixel format whose samples straddle is not supported".into());
    }
    Ok(part)
}

fn raw_component(
    frame: &frame::Video,
    plane: usize,
    width: usize,
    height: usize,
    step: usize,
) -> Result<Component, String> {
    let data = data(frame, plane)?;
    // SAFETY: the frame is alive, and `data` has checked the index.
    let stride = unsafe { (*frame.as_ptr()).linesize[plane] } as isize;
    if stride.unsigned_abs() < step * width {
        return Err(format!("a row of {} bytes cannot hold {width} samples", stride.unsigned_abs()));
    }
    Ok(Component { data, stride, width, height, step, offset: 0, shift: 0, depth: 8, big_endian: false })
}

fn data(frame: &frame::Video, plane: usize) -> Result<*const u8, String> {
    // SAFETY: the frame is alive.
    let data = unsafe { &(*frame.as_ptr()).data };
    match data.get(plane) {
        Some(p) if !p.is_null() => Ok(p.cast_const()),
        _ => Err(format!("the frame has no plane {plane}")),
    }
}

/// Bytes a row, aligned for the scaler.
fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(64)
}

fn isize_of(stride: usize) -> isize {
    isize::try_from(stride).unwrap_or(isize::MAX)
}

/// Copies a component into `out` as native samples of `depth` bits; returns the bytes a row.
fn gather(part: &Component, depth: u32, out: &mut Aligned) -> usize {
    let bytes = if depth > 8 { 2 } else { 1 };
    let stride = padded(part.width * bytes);
    if depth > 8 {
        let words = out.words(stride / 2 * part.height);
        for y in 0..part.height {
            gather_words(&mut words[y * stride / 2..][..part.width], part.row(y), part);
        }
    } else {
        let out = out.bytes(stride * part.height);
        for y in 0..part.height {
            gather_bytes(&mut out[y * stride..][..part.width], part.row(y), part);
        }
    }
    stride
}

fn gather_words(out: &mut [u16], row: &[u8], part: &Component) {
    let mask = ((1u32 << part.depth) - 1) as u16;
    let at = part.offset;
    let read = |s: &[u8]| {
        let pair = [s[at], s[at + 1]];
        let value = if part.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        (value >> part.shift) & mask
    };
    match part.step {
        2 => out.iter_mut().zip(row.chunks_exact(2)).for_each(|(o, s)| *o = read(s)),
        4 => out.iter_mut().zip(row.chunks_exact(4)).for_each(|(o, s)| *o = read(s)),
        n => out.iter_mut().zip(row.chunks_exact(n)).for_each(|(o, s)| *o = read(s)),
    }
}

fn gather_bytes(out: &mut [u8], row: &[u8], part: &Component) {
    let at = part.offset;
    if part.depth == 8 && part.bytes() == 1 {
        match part.step {
            1 => out.copy_from_slice(&row[..out.len()]),
            2 => out.iter_mut().zip(row.chunks_exact(2)).for_each(|(o, s)| *o = s[at]),
            3 => out.iter_mut().zip(row.chunks_exact(3)).for_each(|(o, s)| *o = s[at]),
            4 => out.iter_mut().zip(row.chunks_exact(4)).for_each(|(o, s)| *o = s[at]),
            n => out.iter_mut().zip(row.chunks_exact(n)).for_each(|(o, s)| *o = s[at]),
        }
        return;
    }
    // Fewer than eight bits, or eight across two bytes: widened so that the top stays the top.
    let top = (1u32 << part.depth) - 1;
    for (o, s) in out.iter_mut().zip(row.chunks_exact(part.step)) {
        let value = match (part.bytes(), part.big_endian) {
            (1, _) => u32::from(s[at]),
            (_, true) => u32::from(u16::from_be_bytes([s[at], s[at + 1]])),
            (_, false) => u32::from(u16::from_le_bytes([s[at], s[at + 1]])),
        };
        *o = ((((value >> part.shift) & top) * 255 + top / 2) / top) as u8;
    }
}

/// A plane of alpha, and how a plane under it is subsampled.
struct Veil {
    /// Bytes a row.
    stride: usize,
    width: usize,
    height: usize,
    sub: (u32, u32),
}

fn opaque(alpha: &Aligned, veil: &Veil, depth: u32) -> bool {
    let top = (1u32 << depth) - 1;
    (0..veil.height).all(|y| alpha_row(alpha, veil, depth, y).all(|a| a == top))
}

fn alpha_row<'a>(alpha: &'a Aligned, veil: &Veil, depth: u32, y: usize) -> impl Iterator<Item = u32> + 'a {
    let wide = depth > 8;
    let row = &alpha.read_bytes(usize::MAX)[y * veil.stride..][..veil.width * if wide { 2 } else { 1 }];
    row.chunks_exact(if wide { 2 } else { 1 })
        .map(move |s| if wide { u32::from(u16::from_ne_bytes([s[0], s[1]])) } else { u32::from(s[0]) })
}

/// The code value of black in a plane.
fn ground(format: &Format, full: bool, component: usize) -> u32 {
    let unit = 1u32 << (format.depth - 8);
    match (format.family, component) {
        (Family::Yuv, 1 | 2) => 128 * unit,
        _ if full => 0,
        _ => 16 * unit,
    }
}

/// Mixes a plane with its ground, each sample with the mean of the alphas that it covers.
fn composite(
    plane: &mut Aligned,
    stride: usize,
    (width, height): (usize, usize),
    depth: u32,
    veil: &Veil,
    alpha: &Aligned,
    ground: u32,
) {
    let top = u64::from((1u32 << depth) - 1);
    let (sx, sy) = (veil.sub.0 as usize, veil.sub.1 as usize);
    let mut sums = vec![(0u64, 0u64); width];
    for y in 0..height {
        sums.fill((0, 0));
        for ay in (y * sy..(y + 1) * sy).take_while(|ay| *ay < veil.height) {
            for (ax, a) in alpha_row(alpha, veil, depth, ay).enumerate() {
                let slot = &mut sums[ax / sx];
                *slot = (slot.0 + u64::from(a), slot.1 + top);
            }
        }
        let mix = |c: u64, (a, whole): (u64, u64)| {
            // Chroma sizes are rounded up: every sample covers at least one pixel.
            (a * c + (whole - a) * u64::from(ground) + whole / 2) / whole.max(1)
        };
        if depth > 8 {
            let row = &mut plane.words(stride / 2 * height)[y * stride / 2..][..width];
            row.iter_mut().zip(&sums).for_each(|(c, s)| *c = mix(u64::from(*c), *s) as u16);
        } else {
            let row = &mut plane.bytes(stride * height)[y * stride..][..width];
            row.iter_mut().zip(&sums).for_each(|(c, s)| *c = mix(u64::from(*c), *s) as u8);
        }
    }
}
