//! The picture road in f64: every kernel from its formula, nothing rounded before the last step.
//!
//! Slow and exact on purpose; the tests measure the product against it.

/// Planes of code values, as a decoder gives them.
#[derive(Clone)]
pub struct Raw {
    /// Luma size.
    pub width: usize,
    pub height: usize,
    /// Halvings of chroma as factors.
    pub sub: (usize, usize),
    pub depth: u32,
    /// Luma, Cb, Cr.
    pub planes: [Vec<f64>; 3],
}

impl Raw {
    /// Size of a plane.
    pub fn size(&self, plane: usize) -> (usize, usize) {
        if plane == 0 {
            (self.width, self.height)
        } else {
            (self.width.div_ceil(self.sub.0), self.height.div_ceil(self.sub.1))
        }
    }
}

/// How planes become R'G'B'.
#[derive(Clone, Copy, Debug)]
pub enum Matrix {
    Luma(f64, f64),
    YCgCo,
}

pub const BT709: Matrix = Matrix::Luma(0.2126, 0.0722);
pub const BT601: Matrix = Matrix::Luma(0.299, 0.114);
pub const BT2020: Matrix = Matrix::Luma(0.2627, 0.0593);
pub const S240M: Matrix = Matrix::Luma(0.212, 0.087);
pub const FCC: Matrix = Matrix::Luma(0.30, 0.11);

/// One picture of f64 values, row by row.
#[derive(Clone)]
pub struct Grid {
    pub width: usize,
    pub height: usize,
    pub data: Vec<f64>,
}

impl Grid {
    pub fn new(width: usize, height: usize, f: impl Fn(usize, usize) -> f64) -> Grid {
        let data = (0..width * height).map(|i| f(i % width, i / width)).collect();
        Grid { width, height, data }
    }

    pub fn at(&self, x: usize, y: usize) -> f64 {
        self.data[y.min(self.height - 1) * self.width + x.min(self.width - 1)]
    }
}

/// Catmull-Rom.
fn kernel(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0
    } else if x < 2.0 {
        -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0
    } else {
        0.0
    }
}

/// For each output sample the weights of source samples. The output spans `extent` source samples from
/// `start` on; the kernel widens on shrinking; outside the line samples are mirrored.
fn taps(source: usize, out: usize, start: f64, extent: f64) -> Vec<Vec<(usize, f64)>> {
    let step = extent / out as f64;
    let wide = step.max(1.0);
    let line = |k: usize| {
        let centre = start + (k as f64 + 0.5) * step;
        let (low, high) = ((centre - 2.0 * wide).floor() as i64 - 1, (centre + 2.0 * wide).ceil() as i64 + 1);
        let mut row: Vec<(usize, f64)> = Vec::new();
        for i in low..=high {
            let weight = kernel((i as f64 + 0.5 - centre) / wide);
            if weight != 0.0 {
                let n = source as i64;
                let folded = if i < 0 {
                    -1 - i
                } else if i >= n {
                    2 * n - 1 - i
                } else {
                    i
                };
                row.push((folded.clamp(0, n - 1) as usize, weight));
            }
        }
        let sum: f64 = row.iter().map(|(_, w)| w).sum();
        row.iter_mut().for_each(|(_, w)| *w /= sum);
        row
    };
    (0..out).map(line).collect()
}

/// Resamples a plane through two sets of weights.
fn resample(plane: &[f64], width: usize, columns: &[Vec<(usize, f64)>], rows: &[Vec<(usize, f64)>]) -> Grid {
    let height = plane.len() / width;
    let wide = columns.len();
    let mut half = vec![0.0; wide * height];
    for y in 0..height {
        let line = &plane[y * width..][..width];
        for (x, weights) in columns.iter().enumerate() {
            half[y * wide + x] = weights.iter().map(|(i, w)| line[*i] * w).sum();
        }
    }
    let mut data = vec![0.0; wide * rows.len()];
    for (y, weights) in rows.iter().enumerate() {
        let out = &mut data[y * wide..][..wide];
        for (i, w) in weights {
            out.iter_mut().zip(&half[i * wide..][..wide]).for_each(|(o, v)| *o += v * w);
        }
    }
    Grid { width: wide, height: rows.len(), data }
}

/// One plane on the picture's grid. `siting` is the place of chroma sample 0 in luma samples.
pub fn plane(raw: &Raw, i: usize, (width, height): (usize, usize), siting: (f64, f64)) -> Grid {
    let (w, h) = raw.size(i);
    let line = |samples: usize, out: usize, sub: usize, luma: usize, offset: f64| {
        let s = if i == 0 { 1 } else { sub } as f64;
        let offset = if s > 1.0 { offset } else { 0.0 };
        taps(samples, out, 0.5 - (0.5 + offset) / s, luma as f64 / s)
    };
    let columns = line(w, width, raw.sub.0, raw.width, siting.0);
    let rows = line(h, height, raw.sub.1, raw.height, siting.1);
    resample(&raw.planes[i], w, &columns, &rows)
}

/// R'G'B' in 0..1, not clipped, one grid a component.
pub fn render(raw: &Raw, size: (usize, usize), matrix: Matrix, full: bool, siting: (f64, f64)) -> [Grid; 3] {
    let planes = [0, 1, 2].map(|i| plane(raw, i, size, siting));
    let unit = f64::from(1u32 << (raw.depth - 8));
    let top = f64::from((1u32 << raw.depth) - 1);
    let pixel = |i: usize| {
        let [y, cb, cr] = [0, 1, 2].map(|p| planes[p].data[i]);
        let (y, cb, cr) = if full {
            (y / top, (cb - 128.0 * unit) / top, (cr - 128.0 * unit) / top)
        } else {
            let c = |v: f64| (v - 128.0 * unit) / (224.0 * unit);
            ((y - 16.0 * unit) / (219.0 * unit), c(cb), c(cr))
        };
        match matrix {
            Matrix::YCgCo => [y - cb + cr, y + cb, y - cb - cr],
            Matrix::Luma(kr, kb) => {
                let (r, b) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
                [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b]
            }
        }
    };
    let pixels: Vec<[f64; 3]> = (0..size.0 * size.1).map(pixel).collect();
    [0, 1, 2].map(|p| Grid { width: size.0, height: size.1, data: pixels.iter().map(|v| v[p]).collect() })
}

/// The ideal JFIF planes: luma, and chroma as the mean of each 2x2 block (odd edges repeat).
pub fn jfif(rgb: &[Grid; 3]) -> [Grid; 3] {
    let (width, height) = (rgb[0].width, rgb[0].height);
    let luma =
        |x: usize, y: usize| 0.299 * rgb[0].at(x, y) + 0.587 * rgb[1].at(x, y) + 0.114 * rgb[2].at(x, y);
    let chroma = |component: usize, scale: f64| {
        Grid::new(width.div_ceil(2), height.div_ceil(2), |x, y| {
            let one = |dx: usize, dy: usize| {
                let (x, y) = ((2 * x + dx).min(width - 1), (2 * y + dy).min(height - 1));
                128.0 + 255.0 * (rgb[component].at(x, y) - luma(x, y)) / scale
            };
            (one(0, 0) + one(1, 0) + one(0, 1) + one(1, 1)) / 4.0
        })
    };
    [Grid::new(width, height, |x, y| 255.0 * luma(x, y)), chroma(2, 1.772), chroma(0, 1.402)]
}

/// A grid turned as a player turns it: transposed, then mirrored.
pub fn turned(grid: &Grid, transpose: bool, mirror_x: bool, mirror_y: bool) -> Grid {
    let (w, h) = if transpose { (grid.height, grid.width) } else { (grid.width, grid.height) };
    Grid::new(w, h, |x, y| {
        let (x, y) = (if mirror_x { w - 1 - x } else { x }, if mirror_y { h - 1 - y } else { y });
        if transpose { grid.at(y, x) } else { grid.at(x, y) }
    })
}
