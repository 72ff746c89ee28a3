//! The last pass over the pixels: 16-bit 4:4:4 rows to full-range BT.601 4:2:0, and the turning of planes.
//!
//! Owns the inner loops. Plain code, built twice (for every machine, and for AVX2), one picked at run time;
//! no fused multiply-add, so both give the same bits. Never knows where the numbers came from.

#![allow(unsafe_code)]

use super::colour::Affine;

/// The whole linear conversion, folded: three weights and an offset for each of Y, Cb, Cr.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    pub y: [f32; 4],
    /// For the sum of four samples.
    pub cb: [f32; 4],
    pub cr: [f32; 4],
}

impl Linear {
    /// From the map of one pixel to JFIF's numbers.
    pub fn new(map: &Affine) -> Linear {
        let narrow = |row: [f64; 4], share: f64| {
            [row[0] * share, row[1] * share, row[2] * share, row[3]].map(|v| v as f32)
        };
        Linear { y: narrow(map[0], 1.0), cb: narrow(map[1], 0.25), cr: narrow(map[2], 0.25) }
    }
}

/// Rows of samples, `width` in use.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    pub planes: [&'a [T]; 3],
    pub stride: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Row `y` of each plane.
    #[inline(always)]
    pub fn row(&self, y: usize, width: usize) -> [&'a [T]; 3] {
        self.planes.map(|p| &p[y * self.stride..][..width])
    }
}

/// Planes of a picture that take the rows of one strip.
pub struct Target<'a> {
    pub planes: [&'a mut [u8]; 3],
    pub strides: [usize; 3],
}

/// Which build of the loops runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    Plain,
    Avx2,
}

/// The fastest build that this machine runs.
pub fn best_build() -> Build {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return Build::Avx2;
    }
    Build::Plain
}

/// Converts `height` rows of 16-bit samples; the strip begins at an even row of the picture, so its chroma
/// is its own. An odd last row or column stands for both of its pair.
pub fn linear(build: Build, from: Rows<u16>, to: Target, width: usize, height: usize, map: &Linear) {
    match build {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `best_build`, or a test that asked it, has seen that the machine has AVX2.
        Build::Avx2 => unsafe { linear_avx2(from, to, width, height, map) },
        _ => linear_rows(from, to, width, height, map),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn linear_avx2(from: Rows<u16>, to: Target, width: usize, height: usize, map: &Linear) {
    linear_rows(from, to, width, height, map);
}

#[inline(always)]
fn linear_rows(from: Rows<u16>, to: Target, width: usize, height: usize, map: &Linear) {
    let [y_out, cb_out, cr_out] = to.planes;
    for y in 0..height {
        luma_row(&mut y_out[y * to.strides[0]..][..width], from.row(y, width), map.y);
    }
    let half = width.div_ceil(2);
    for y in 0..height.div_ceil(2) {
        let above = from.row(2 * y, width);
        let below = from.row((2 * y + 1).min(height - 1), width);
        let cb = &mut cb_out[y * to.strides[1]..][..half];
        let cr = &mut cr_out[y * to.strides[2]..][..half];
        chroma_row(cb, cr, above, below, map);
    }
}

#[inline(always)]
fn luma_row(out: &mut [u8], [a, b, c]: [&[u16]; 3], k: [f32; 4]) {
    for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
        *out = byte(f32::from(*a) * k[0] + f32::from(*b) * k[1] + f32::from(*c) * k[2] + k[3]);
    }
}

/// Chroma samples that are made at a time, so that their sums stay in the nearest cache.
const BLOCK: usize = 128;

#[inline(always)]
fn chroma_row(cb: &mut [u8], cr: &mut [u8], above: [&[u16]; 3], below: [&[u16]; 3], map: &Linear) {
    let width = above[0].len();
    let mut sums = [[0f32; BLOCK]; 3];
    for (i, (cb, cr)) in cb.chunks_mut(BLOCK).zip(cr.chunks_mut(BLOCK)).enumerate() {
        let (from, to) = (2 * i * BLOCK, (2 * (i + 1) * BLOCK).min(width));
        for (sums, (above, below)) in sums.iter_mut().zip(above.iter().zip(below)) {
            sum_blocks(sums, &above[from..to], &below[from..to]);
        }
        chroma_block(cb, map.cb, &sums);
        chroma_block(cr, map.cr, &sums);
    }
}

/// The sum of every 2x2 block; an odd last column counts twice.
#[inline(always)]
fn sum_blocks(out: &mut [f32; BLOCK], above: &[u16], below: &[u16]) {
    for ((out, a), b) in out.iter_mut().zip(above.chunks_exact(2)).zip(below.chunks_exact(2)) {
        let sum = u32::from(a[0]) + u32::from(a[1]) + u32::from(b[0]) + u32::from(b[1]);
        // At most 18 bits: exact, and a signed conversion is one instruction.
        *out = sum as i32 as f32;
    }
    let pairs = above.len() / 2;
    if let ([a], [b]) = (&above[2 * pairs..], &below[2 * pairs..]) {
        out[pairs] = (2 * (u32::from(*a) + u32::from(*b))) as i32 as f32;
    }
}

#[inline(always)]
fn chroma_block(out: &mut [u8], k: [f32; 4], [a, b, c]: &[[f32; BLOCK]; 3]) {
    for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
        *out = byte(a * k[0] + b * k[1] + c * k[2] + k[3]);
    }
}

/// Halves up, clamped; what is no number becomes 0.
#[inline(always)]
pub fn byte(v: f32) -> u8 {
    // Comparisons, because `f32::max` and `clamp` promise more about NaN than the one instruction does.
    let v = if v > 0.0 { v } else { 0.0 };
    let v = if v < 255.0 { v } else { 255.0 };
    // SAFETY: the first comparison has taken a NaN away, and 0.5 to 255.5 fits.
    let v: i32 = unsafe { (v + 0.5).to_int_unchecked() };
    v as u8
}

/// A plane to be turned, and where it goes.
pub struct Turn {
    pub transpose: bool,
    pub mirror_x: bool,
    pub mirror_y: bool,
    /// Size of the result.
    pub width: usize,
    pub height: usize,
}

/// Turns a plane: transposes in blocks that stay in the cache, then mirrors.
pub fn turn(from: &[u16], from_stride: usize, to: &mut [u16], to_stride: usize, turn: &Turn) {
    const BLOCK: usize = 16;
    let (width, height) = (turn.width, turn.height);
    if !turn.transpose {
        for y in 0..height {
            let source_y = if turn.mirror_y { height - 1 - y } else { y };
            let (from, to) = (&from[source_y * from_stride..][..width], &mut to[y * to_stride..][..width]);
            if turn.mirror_x {
                to.iter_mut().zip(from.iter().rev()).for_each(|(t, f)| *t = *f);
            } else {
                to.copy_from_slice(from);
            }
        }
        return;
    }
    let mut block = [[0u16; BLOCK]; BLOCK];
    for top in (0..height).step_by(BLOCK) {
        let rows = BLOCK.min(height - top);
        // Rows of the result are columns of the source: the leftmost of this band.
        let column = if turn.mirror_y { height - top - rows } else { top };
        for left in (0..width).step_by(BLOCK) {
            let columns = BLOCK.min(width - left);
            for (x, line) in block.iter_mut().take(columns).enumerate() {
                let row = if turn.mirror_x { width - 1 - (left + x) } else { left + x };
                line[..rows].copy_from_slice(&from[row * from_stride + column..][..rows]);
            }
            for y in 0..rows {
                let from_y = if turn.mirror_y { rows - 1 - y } else { y };
                let to = &mut to[(top + y) * to_stride + left..][..columns];
                to.iter_mut().zip(&block).for_each(|(to, line)| *to = line[from_y]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed stream of samples (a linear congruence), so that a failure is the same every time.
    fn noise(n: usize) -> Vec<u16> {
        let mut state = 7u32;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as u16
            })
            .collect()
    }

    fn run(build: Build, width: usize, height: usize, map: &Linear) -> [Vec<u8>; 3] {
        let samples = noise(width * height * 3);
        let n = width * height;
        let (hw, hh) = (width.div_ceil(2), height.div_ceil(2));
        let mut out = [vec![0; n], vec![0; hw * hh], vec![0; hw * hh]];
        let [y, cb, cr] = &mut out;
        let from = Rows { planes: [&samples[..n], &samples[n..2 * n], &samples[2 * n..]], stride: width };
        linear(build, from, Target { planes: [y, cb, cr], strides: [width, hw, hw] }, width, height, map);
        out
    }

    #[test]
    fn both_builds_agree_bit_for_bit() {
        let map = Linear {
            y: [0.003_9, 0.000_7, -0.001_3, 3.2],
            cb: [-0.000_31, 0.000_9, 0.000_2, 128.0],
            cr: [0.000_7, -0.000_6, 0.000_11, 128.0],
        };
        assert_ne!(best_build(), Build::Plain, "this test needs a machine with AVX2");
        for (w, h) in [(1, 1), (2, 2), (161, 121), (640, 33), (7, 3)] {
            assert_eq!(run(Build::Plain, w, h, &map), run(best_build(), w, h, &map), "{w}x{h}");
        }
    }

    #[test]
    fn odd_edges_stand_for_their_pair() {
        // Chroma that is the mean of the first plane: the corner pixel alone decides its block.
        let map = Linear { y: [1.0 / 257.0, 0.0, 0.0, 0.0], cb: [0.25 / 257.0, 0.0, 0.0, 0.0], cr: [0.0; 4] };
        let plane: Vec<u16> = [10u16, 20, 30, 40, 50, 60, 70, 80, 90].map(|v| v * 257).to_vec();
        let mut out = [vec![0; 9], vec![0; 4], vec![0; 4]];
        let [y, cb, cr] = &mut out;
        let from = Rows { planes: [&plane[..]; 3], stride: 3 };
        linear(Build::Plain, from, Target { planes: [y, cb, cr], strides: [3, 2, 2] }, 3, 3, &map);
        assert_eq!(out[0], [10, 20, 30, 40, 50, 60, 70, 80, 90]);
        assert_eq!(out[1], [30, 45, 75, 90]);
    }

    #[test]
    fn turning_moves_every_sample_to_its_place() {
        let (w, h) = (37, 21);
        let from = noise(w * h);
        for bits in 0..8 {
            let (transpose, mirror_x, mirror_y) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            let (ow, oh) = if transpose { (h, w) } else { (w, h) };
            let mut to = vec![0; ow * oh];
            turn(&from, w, &mut to, ow, &Turn { transpose, mirror_x, mirror_y, width: ow, height: oh });
            for y in 0..h {
                for x in 0..w {
                    let (tx, ty) = if transpose { (y, x) } else { (x, y) };
                    let tx = if mirror_x { ow - 1 - tx } else { tx };
                    let ty = if mirror_y { oh - 1 - ty } else { ty };
                    assert_eq!(to[ty * ow + tx], from[y * w + x]);
                }
            }
        }
    }
}
