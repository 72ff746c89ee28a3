//! What colour tags mean: from H.273 numbers to one linear map into R'G'B', and the map of JFIF. *Pure.*
//!
//! Owns the rule for what is tagged wrongly or not at all, the same for every decoder. Never knows pixels.

use crate::model::media::Hdr;

/// Colour tags as H.273 numbers them. "Unspecified" is 2; range and chroma location, which H.273 does not
/// number so, follow FFmpeg: 0 is unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    /// 1 limited, 2 full.
    pub range: i32,
    pub matrix: i32,
    pub transfer: i32,
    pub primaries: i32,
    /// 1 left, 2 centre, 3 top left, 4 top, 5 bottom left, 6 bottom.
    pub chroma_location: i32,
}

impl Tags {
    /// Nothing is said.
    pub const NONE: Tags = Tags { range: 0, matrix: 2, transfer: 2, primaries: 2, chroma_location: 0 };

    /// These tags, and where they say nothing the others.
    pub fn or(self, other: Tags) -> Tags {
        let pick = |a: i32, b: i32, said: bool| if said { a } else { b };
        Tags {
            range: pick(self.range, other.range, matches!(self.range, 1 | 2)),
            matrix: pick(self.matrix, other.matrix, !matches!(self.matrix, 2 | 3)),
            transfer: pick(self.transfer, other.transfer, !matches!(self.transfer, 0 | 2 | 3)),
            primaries: pick(self.primaries, other.primaries, !matches!(self.primaries, 0 | 2 | 3)),
            chroma_location: pick(self.chroma_location, other.chroma_location, self.chroma_location != 0),
        }
    }

    /// The transfer that needs a tone map.
    pub fn hdr(&self) -> Hdr {
        match self.transfer {
            16 => Hdr::Pq,
            18 => Hdr::Hlg,
            _ => Hdr::None,
        }
    }
}

/// What the planes of a frame hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Luma, Cb, Cr.
    Yuv,
    /// R, G, B.
    Rgb,
    /// Luma alone.
    Grey,
}

/// What the pixel format and the codec add to the tags.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub family: Family,
    /// A `yuvj` format: full range whatever the tag.
    pub full_by_name: bool,
    /// A still-picture codec: its untagged grey is full range.
    pub image_codec: bool,
    /// Pixels as coded, before any turn.
    pub width: u32,
    pub height: u32,
    /// Bits a sample.
    pub depth: u32,
}

/// How R'G'B' follows from the planes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Matrix {
    Rgb,
    /// Luma coefficients of red and blue.
    Luma {
        kr: f64,
        kb: f64,
    },
    YCgCo,
}

/// Which primaries the light has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gamut {
    /// BT.709, or near enough to count as it.
    Bt709,
    Bt2020,
    P3,
}

/// Tags, resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meaning {
    pub matrix: Matrix,
    pub full: bool,
    pub hdr: Hdr,
    pub gamut: Gamut,
    /// From luma sample 0 to chroma sample 0 in luma samples, for axes that are subsampled by two or more.
    pub siting: (f64, f64),
}

const BT709: Matrix = Matrix::Luma { kr: 0.2126, kb: 0.0722 };
const BT601: Matrix = Matrix::Luma { kr: 0.299, kb: 0.114 };
const BT2020: Matrix = Matrix::Luma { kr: 0.2627, kb: 0.0593 };

/// Resolves tags. The error names what we do not support.
pub fn meaning(tags: &Tags, shape: &Shape) -> Result<Meaning, String> {
    let full = match tags.range {
        _ if shape.full_by_name => true,
        1 => false,
        2 => true,
        _ => match shape.family {
            Family::Yuv => false,
            Family::Rgb => true,
            Family::Grey => shape.image_codec,
        },
    };
    let hdr = tags.hdr();
    let gamut = match tags.primaries {
        9 => Gamut::Bt2020,
        11 | 12 => Gamut::P3,
        2 if hdr != Hdr::None => Gamut::Bt2020,
        _ => Gamut::Bt709,
    };
    let siting = match tags.chroma_location {
        2 => (0.5, 0.5),
        3 => (0.0, 0.0),
        4 => (0.5, 0.0),
        5 => (0.0, 1.0),
        6 => (0.5, 1.0),
        _ => (0.0, 0.5),
    };
    Ok(Meaning { matrix: matrix(tags, shape)?, full, hdr, gamut, siting })
}

fn matrix(tags: &Tags, shape: &Shape) -> Result<Matrix, String> {
    match shape.family {
        Family::Rgb => return Ok(Matrix::Rgb),
        Family::Grey => return Ok(BT709),
        Family::Yuv => {}
    }
    match tags.matrix {
        1 => Ok(BT709),
        4 => Ok(Matrix::Luma { kr: 0.30, kb: 0.11 }),
        5 | 6 => Ok(BT601),
        7 => Ok(Matrix::Luma { kr: 0.212, kb: 0.087 }),
        8 => Ok(Matrix::YCgCo),
        9 | 10 => Ok(BT2020),
        12 | 13 => Ok(derived(tags.primaries).unwrap_or_else(|| untagged(tags, shape))),
        11 => Err("colour matrix SMPTE 2085 is not supported".into()),
        14 => Err("colour matrix ICtCp is not supported".into()),
        n @ 15..=17 => Err(format!("colour matrix {n} is not supported")),
        // 0 is RGB, which these planes are not; the rest is reserved.
        _ => Ok(untagged(tags, shape)),
    }
}

/// The rule for an untagged matrix.
fn untagged(tags: &Tags, shape: &Shape) -> Matrix {
    match (tags.transfer, tags.primaries) {
        (16 | 18, _) | (_, 9) => BT2020,
        (_, 1) => BT709,
        (_, 5 | 6) => BT601,
        _ if shape.height >= 720 || shape.width >= 1280 => BT709,
        _ => BT601,
    }
}

/// Luma coefficients that follow from the primaries (H.273 MatrixCoefficients 12).
fn derived(primaries: i32) -> Option<Matrix> {
    let [red, _, blue] = rgb_to_xyz(chromaticities(primaries)?)[1];
    Some(Matrix::Luma { kr: red, kb: blue })
}

/// Red, green, blue and white in xy (H.273 ColourPrimaries).
fn chromaticities(primaries: i32) -> Option<[(f64, f64); 4]> {
    const D65: (f64, f64) = (0.3127, 0.3290);
    Some(match primaries {
        1 => [(0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65],
        4 => [(0.670, 0.330), (0.210, 0.710), (0.140, 0.080), (0.310, 0.316)],
        5 => [(0.640, 0.330), (0.290, 0.600), (0.150, 0.060), D65],
        6 | 7 => [(0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65],
        9 => [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65],
        11 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)],
        12 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65],
        22 => [(0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65],
        _ => return None,
    })
}

type Mat3 = [[f64; 3]; 3];

/// Linear RGB of these primaries to CIE XYZ (SMPTE RP 177).
fn rgb_to_xyz([r, g, b, w]: [(f64, f64); 4]) -> Mat3 {
    let column = |(x, y): (f64, f64)| [x / y, 1.0, (1.0 - x - y) / y];
    let (r, g, b, w) = (column(r), column(g), column(b), column(w));
    let m = [[r[0], g[0], b[0]], [r[1], g[1], b[1]], [r[2], g[2], b[2]]];
    let s = apply(&inverse(&m), w);
    m.map(|row| [row[0] * s[0], row[1] * s[1], row[2] * s[2]])
}

/// Linear light of a gamut to linear BT.709.
pub fn to_bt709(gamut: Gamut) -> Mat3 {
    // DCI white counts as D65, so that white stays white.
    let source = match gamut {
        Gamut::Bt709 => return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        Gamut::Bt2020 => chromaticities(9),
        Gamut::P3 => chromaticities(12),
    };
    let (Some(source), Some(target)) = (source, chromaticities(1)) else {
        unreachable!("both are in the table")
    };
    product(&inverse(&rgb_to_xyz(target)), &rgb_to_xyz(source))
}

fn apply(m: &Mat3, v: [f64; 3]) -> [f64; 3] {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

fn product(a: &Mat3, b: &Mat3) -> Mat3 {
    a.map(|row| std::array::from_fn(|j| row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]))
}

fn inverse(m: &Mat3) -> Mat3 {
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let det = m[0][0] * minor(0, 0) + m[0][1] * minor(0, 1) + m[0][2] * minor(0, 2);
    std::array::from_fn(|i| std::array::from_fn(|j| minor(j, i) / det))
}

/// Three weights and an offset for each of three results.
pub type Affine = [[f64; 4]; 3];

/// 16-bit samples, as the scaler leaves them, to R'G'B' in 0..1 (not clamped).
pub fn to_rgb(meaning: &Meaning, family: Family, depth: u32) -> Affine {
    let grey = family == Family::Grey;
    // How a sample becomes a number: weight and offset, for luma-like and for chroma planes.
    let (luma, chroma) = if meaning.full {
        let mid = f64::from(1u32 << (depth - 1)) / f64::from((1u32 << depth) - 1);
        ((1.0 / 65_535.0, 0.0), (1.0 / 65_535.0, -mid))
    } else {
        ((1.0 / (219.0 * 256.0), -16.0 / 219.0), (1.0 / (224.0 * 256.0), -128.0 / 224.0))
    };
    let (rows, scale): (Mat3, [(f64, f64); 3]) = match meaning.matrix {
        _ if grey => ([[1.0, 0.0, 0.0]; 3], [luma, (0.0, 0.0), (0.0, 0.0)]),
        Matrix::Rgb => ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [luma; 3]),
        Matrix::YCgCo => ([[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]], [luma, chroma, chroma]),
        Matrix::Luma { kr, kb } => {
            let (r, b, kg) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb), 1.0 - kr - kb);
            ([[1.0, 0.0, r], [1.0, -kb * b / kg, -kr * r / kg], [1.0, b, 0.0]], [luma, chroma, chroma])
        }
    };
    rows.map(|row| {
        let offset = (0..3).map(|i| row[i] * scale[i].1).sum();
        [row[0] * scale[0].0, row[1] * scale[1].0, row[2] * scale[2].0, offset]
    })
}

/// R'G'B' in 0..1 to JFIF's Y, Cb, Cr in 0..255.
pub const JFIF: Affine = [
    [0.299 * 255.0, 0.587 * 255.0, 0.114 * 255.0, 0.0],
    [-0.299 * 255.0 / 1.772, -0.587 * 255.0 / 1.772, 0.886 * 255.0 / 1.772, 128.0],
    [0.701 * 255.0 / 1.402, -0.587 * 255.0 / 1.402, -0.114 * 255.0 / 1.402, 128.0],
];

/// The map that does `first` and then `second`.
pub fn chain(second: &Affine, first: &Affine) -> Affine {
    second.map(|row| {
        let mut out = [0.0, 0.0, 0.0, row[3]];
        for (weight, step) in row.iter().zip(first) {
            for (o, s) in out.iter_mut().zip(step) {
                *o += weight * s;
            }
        }
        out
    })
}

#[cfg(test)]
mod tests;
