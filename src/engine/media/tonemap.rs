//! Light that a plain screen cannot show: PQ and HLG to SDR, and wide primaries to BT.709.
//!
//! Owns the curves, their tables and the pass over the pixels. Static, per pixel, from metadata alone: the
//! same frame always gives the same picture. Never knows frames.

#![allow(unsafe_code)]

use super::colour::{self, Affine, Gamut};
use super::look::Light;
use super::pass::{Build, Rows, Target, byte};
use crate::model::media::Hdr;

/// cd/m2 that become SDR white (BT.2408 reference white).
const WHITE: f64 = 203.0;
/// Peak of a source that says nothing usable, and of the display that HLG is meant for.
pub const PEAK: f64 = 1000.0;
/// Steps of every table.
const STEPS: usize = 4096;

/// The peak of a PQ source: MaxCLL where it is usable, else the mastering display's maximum, else 1000.
pub fn source_peak(light: &Light) -> f64 {
    let usable = |v: &f64| *v > 100.0 && *v <= 10_000.0;
    [light.max_cll, light.mastering_max].into_iter().find(usable).unwrap_or(PEAK)
}

/// PQ (SMPTE ST 2084): code value to cd/m2.
fn pq_to_nits(e: f64) -> f64 {
    let p = e.clamp(0.0, 1.0).powf(1.0 / PQ_M2);
    10_000.0 * ((p - PQ_C1).max(0.0) / (PQ_C2 - PQ_C3 * p)).powf(1.0 / PQ_M1)
}

/// The inverse of `pq_to_nits`.
fn nits_to_pq(nits: f64) -> f64 {
    let p = (nits.clamp(0.0, 10_000.0) / 10_000.0).powf(PQ_M1);
    ((PQ_C1 + PQ_C2 * p) / (1.0 + PQ_C3 * p)).powf(PQ_M2)
}

const PQ_M1: f64 = 2610.0 / 16_384.0;
const PQ_M2: f64 = 2523.0 / 32.0;
const PQ_C1: f64 = 3424.0 / 4096.0;
const PQ_C2: f64 = 2413.0 / 128.0;
const PQ_C3: f64 = 2392.0 / 128.0;

/// HLG's inverse OETF (BT.2100): code value to scene light, 0 to 1.
fn hlg_to_scene(e: f64) -> f64 {
    const A: f64 = 0.178_832_77;
    const B: f64 = 1.0 - 4.0 * A;
    let c = 0.5 - A * (4.0 * A).ln();
    if e <= 0.5 { e * e / 3.0 } else { (((e - c) / A).exp() + B) / 12.0 }
}

/// The curve of BT.2390 with both blacks at 0: cd/m2 on the source's display to cd/m2 on ours.
fn squeeze(nits: f64, peak: f64) -> f64 {
    if peak <= WHITE {
        return nits.min(WHITE);
    }
    let top = nits_to_pq(peak);
    let (e, m) = ((nits_to_pq(nits) / top).min(1.0), nits_to_pq(WHITE) / top);
    let knee = 1.5 * m - 0.5;
    if e < knee {
        return nits;
    }
    let t = (e - knee) / (1.0 - knee);
    let (t2, t3) = (t * t, t * t * t);
    let bent =
        (2.0 * t3 - 3.0 * t2 + 1.0) * knee + (t3 - 2.0 * t2 + t) * (1.0 - knee) + (3.0 * t2 - 2.0 * t3) * m;
    pq_to_nits(bent * top)
}

fn srgb(l: f64) -> f64 {
    if l <= 0.003_130_8 { 12.92 * l } else { 1.055 * l.powf(1.0 / 2.4) - 0.055 }
}

/// Values of a function at 4097 places over 0..1, joined by straight lines.
struct Table(Box<[f32; STEPS + 1]>);

impl Table {
    fn new(f: impl Fn(f64) -> f64) -> Table {
        Table(Box::new(std::array::from_fn(|i| f(i as f64 / STEPS as f64) as f32)))
    }

    /// At `x`, clamped to 0..1.
    #[inline(always)]
    fn at(&self, x: f32) -> f32 {
        let x = unit(x) * STEPS as f32;
        // SAFETY: `unit` leaves 0 to 1 and no NaN.
        let i: i32 = unsafe { x.to_int_unchecked() };
        let place = (i as usize).min(STEPS - 1);
        let (low, high) = (self.0[place], self.0[place + 1]);
        low + (high - low) * (x - place as i32 as f32)
    }
}

/// Clamped to 0..1; what is no number becomes 0. As `byte`, in comparisons.
#[inline(always)]
fn unit(v: f32) -> f32 {
    let v = if v > 0.0 { v } else { 0.0 };
    if v < 1.0 { v } else { 1.0 }
}

/// Which map: equal keys make equal maps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapKey {
    pub hdr: Hdr,
    pub gamut: Gamut,
    /// cd/m2; plays a part for PQ alone.
    pub peak: f64,
}

/// A map of light, as tables.
pub struct LightMap {
    key: MapKey,
    /// Code value to light: cd/m2 up to the peak for PQ, scene light for HLG, linear 0..1 for SDR.
    light: Table,
    /// HLG: root of scene luminance to the factor of its OOTF.
    system: Table,
    /// The squeezed light, and its gain: over the code value for PQ, over root of light / 1000 for HLG.
    squeezed: Table,
    gain: Table,
    /// Root of linear light to code value.
    encode: Table,
    to_bt709: [[f32; 3]; 3],
}

impl LightMap {
    /// Builds the tables (a few tenths of a millisecond).
    pub fn new(key: MapKey) -> LightMap {
        let peak = key.peak;
        let gain = |nits: f64| if nits > 0.0 { squeeze(nits, peak) / nits } else { 1.0 };
        let pq = |e: f64| pq_to_nits(e).min(peak);
        let root = |u: f64| u * u * PEAK;
        let flat = || Table::new(|_| 0.0);
        let (light, system, squeezed, gain) = match key.hdr {
            Hdr::Pq => {
                (Table::new(pq), flat(), Table::new(|e| squeeze(pq(e), peak)), Table::new(|e| gain(pq(e))))
            }
            Hdr::Hlg => (
                Table::new(hlg_to_scene),
                Table::new(|u| PEAK * u.powf(0.4)),
                Table::new(|u| squeeze(root(u), peak)),
                Table::new(|u| gain(root(u))),
            ),
            Hdr::None => (Table::new(|e| e.powf(2.4)), flat(), flat(), flat()),
        };
        let encode = match key.hdr {
            Hdr::None => Table::new(|u| (u * u).powf(1.0 / 2.4)),
            _ => Table::new(|u| srgb(u * u)),
        };
        let to_bt709 = colour::to_bt709(key.gamut).map(|row| row.map(|v| v as f32));
        LightMap { key, light, system, squeezed, gain, encode, to_bt709 }
    }

    /// The key it was built from.
    pub fn key(&self) -> MapKey {
        self.key
    }

    /// R'G'B' of the source, in 0..1, to R'G'B' of the picture.
    #[inline(always)]
    fn pixel(&self, code: [f32; 3]) -> [f32; 3] {
        const SHARE: f32 = (1.0 / WHITE) as f32;
        let linear = match self.key.hdr {
            Hdr::None => code.map(|e| self.light.at(e)),
            Hdr::Pq => {
                let largest = code[0].max(code[1]).max(code[2]);
                let gain = self.gain.at(largest);
                let white = (1.0 - gain) * (1.0 - gain);
                code.map(|e| ((1.0 - white) * gain * self.light.at(e) + white * self.squeezed.at(e)) * SHARE)
            }
            Hdr::Hlg => {
                let scene = code.map(|e| self.light.at(e));
                let luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
                let factor = self.system.at(luminance.sqrt());
                let nits = scene.map(|s| (s * factor).min(PEAK as f32));
                let root = |l: f32| (l * (1.0 / PEAK as f32)).sqrt();
                let gain = self.gain.at(root(nits[0].max(nits[1]).max(nits[2])));
                let white = (1.0 - gain) * (1.0 - gain);
                nits.map(|l| ((1.0 - white) * gain * l + white * self.squeezed.at(root(l))) * SHARE)
            }
        };
        self.to_bt709.map(|row| {
            let l = row[0] * linear[0] + row[1] * linear[1] + row[2] * linear[2];
            self.encode.at(unit(l).sqrt())
        })
    }
}

/// Converts `height` rows of 16-bit samples through a light map; as `pass::linear` in all else. `scratch`
/// is reused from strip to strip.
#[expect(clippy::too_many_arguments, reason = "the pass takes what `pass::linear` takes, and the light")]
pub fn mapped(
    build: Build,
    from: Rows<u16>,
    to: Target,
    width: usize,
    height: usize,
    to_rgb: &Affine,
    map: &LightMap,
    scratch: &mut Vec<[f32; 3]>,
) {
    let to_rgb = to_rgb.map(|row| row.map(|v| v as f32));
    scratch.resize(2 * width, [0.0; 3]);
    match build {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as in `pass::linear`.
        Build::Avx2 => unsafe { mapped_avx2(from, to, width, height, &to_rgb, map, scratch) },
        _ => mapped_rows(from, to, width, height, &to_rgb, map, scratch),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn mapped_avx2(
    from: Rows<u16>,
    to: Target,
    width: usize,
    height: usize,
    to_rgb: &[[f32; 4]; 3],
    map: &LightMap,
    scratch: &mut [[f32; 3]],
) {
    mapped_rows(from, to, width, height, to_rgb, map, scratch);
}

#[inline(always)]
fn mapped_rows(
    from: Rows<u16>,
    to: Target,
    width: usize,
    height: usize,
    to_rgb: &[[f32; 4]; 3],
    map: &LightMap,
    scratch: &mut [[f32; 3]],
) {
    let jfif = colour::JFIF.map(|row| row.map(|v| v as f32));
    let through = |k: &[f32; 4], v: [f32; 3]| v[0] * k[0] + v[1] * k[1] + v[2] * k[2] + k[3];
    let [y_out, cb_out, cr_out] = to.planes;
    let (above, below) = scratch.split_at_mut(width);
    for pair in 0..height.div_ceil(2) {
        for (line, y) in [(&mut *above, 2 * pair), (&mut *below, 2 * pair + 1)] {
            if y >= height {
                // An odd last row stands for both of its pair; `above` still holds it.
                continue;
            }
            let [a, b, c] = from.row(y, width);
            let luma = &mut y_out[y * to.strides[0]..][..width];
            for ((((a, b), c), line), luma) in a.iter().zip(b).zip(c).zip(line).zip(luma) {
                let v = [f32::from(*a), f32::from(*b), f32::from(*c)];
                *line = map.pixel([0, 1, 2].map(|i| unit(through(&to_rgb[i], v))));
                *luma = byte(through(&jfif[0], *line));
            }
        }
        let second = if 2 * pair + 1 < height { &*below } else { &*above };
        let cb = &mut cb_out[pair * to.strides[1]..][..width.div_ceil(2)];
        let cr = &mut cr_out[pair * to.strides[2]..][..width.div_ceil(2)];
        for x in 0..width.div_ceil(2) {
            let (l, r) = (2 * x, (2 * x + 1).min(width - 1));
            let mean = [0, 1, 2].map(|i| (above[l][i] + above[r][i] + second[l][i] + second[r][i]) * 0.25);
            cb[x] = byte(through(&jfif[1], mean));
            cr[x] = byte(through(&jfif[2], mean));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::media::colour::{Family, Shape, Tags, meaning, to_rgb};
    use crate::engine::media::pass::best_build;

    /// One 10-bit limited BT.2020 pixel through the tables, as 8-bit R, G, B.
    fn shown(transfer: i32, peak: f64, code: [u16; 3]) -> [i32; 3] {
        let tags = Tags { transfer, primaries: 9, ..Tags::NONE };
        let shape = Shape {
            family: Family::Yuv,
            full_by_name: false,
            image_codec: false,
            width: 64,
            height: 64,
            depth: 10,
        };
        let m = meaning(&tags, &shape).expect("BT.2020");
        let rgb = to_rgb(&m, Family::Yuv, 10).map(|k| {
            let v = code.map(|c| f64::from(c << 6));
            (k[0] * v[0] + k[1] * v[1] + k[2] * v[2] + k[3]).clamp(0.0, 1.0) as f32
        });
        LightMap::new(MapKey { hdr: m.hdr, gamut: m.gamut, peak })
            .pixel(rgb)
            .map(|v| (v * 255.0).round() as i32)
    }

    #[test]
    fn vectors_of_pq_and_hlg() {
        type Row = ([u16; 3], [i32; 3], [i32; 3], [i32; 3]);
        let table: [Row; 12] = [
            ([200, 512, 512], [17; 3], [17; 3], [33; 3]),
            ([400, 512, 512], [102; 3], [102; 3], [102; 3]),
            ([502, 512, 512], [180; 3], [170; 3], [137; 3]),
            ([573, 512, 512], [229; 3], [208; 3], [165; 3]),
            ([650, 512, 512], [252; 3], [236; 3], [202; 3]),
            ([723, 512, 512], [255; 3], [250; 3], [230; 3]),
            ([380, 480, 640], [255, 0, 44], [253, 0, 41], [180, 59, 77]),
            ([450, 600, 440], [0, 134, 254], [0, 129, 233], [26, 130, 177]),
            ([500, 400, 560], [255, 142, 0], [239, 132, 0], [175, 131, 61]),
            ([420, 420, 400], [0, 185, 0], [0, 176, 0], [0, 138, 43]),
            ([600, 440, 600], [255, 185, 114], [255, 168, 117], [255, 138, 116]),
            ([350, 700, 500], [0, 43, 255], [0, 44, 255], [60, 75, 209]),
        ];
        for (code, pq_1000, pq_4000, hlg) in table {
            for (transfer, peak, want) in [(16, 1000.0, pq_1000), (16, 4000.0, pq_4000), (18, 1000.0, hlg)] {
                let got = shown(transfer, peak, code);
                for i in 0..3 {
                    let slack = if want[i] < 20 { 2 } else { 1 };
                    assert!(
                        (got[i] - want[i]).abs() <= slack,
                        "{transfer} {peak} {code:?}: {got:?} for {want:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn curves_meet_their_published_points() {
        assert!((nits_to_pq(203.0) - 0.5807).abs() < 1e-4 && (nits_to_pq(1000.0) - 0.7518).abs() < 1e-4);
        for e in [0.01, 0.3, 0.58, 0.75, 1.0] {
            assert!((nits_to_pq(pq_to_nits(e)) - e).abs() < 1e-9);
        }
        assert!((hlg_to_scene(0.75) - 0.265).abs() < 1e-3 && (hlg_to_scene(1.0) - 1.0).abs() < 1e-6);
        assert!((squeeze(1000.0, 1000.0) - 203.0).abs() < 1e-6 && squeeze(50.0, 1000.0) == 50.0);
        assert_eq!((squeeze(150.0, 180.0), squeeze(300.0, 180.0)), (150.0, 203.0));
    }

    #[test]
    fn the_peak_follows_the_rule() {
        let peak = |max_cll, mastering_max| source_peak(&Light { max_cll, mastering_max });
        assert_eq!(peak(0.0, 0.0), 1000.0);
        assert_eq!(peak(400.0, 4000.0), 400.0);
        assert_eq!(peak(100.0, 4000.0), 4000.0);
        assert_eq!(peak(20_000.0, 10_001.0), 1000.0);
    }

    #[test]
    fn wide_primaries_keep_white_and_grey() {
        for gamut in [Gamut::Bt2020, Gamut::P3] {
            let map = LightMap::new(MapKey { hdr: Hdr::None, gamut, peak: PEAK });
            for v in [0.0, 0.25, 0.5, 1.0] {
                for c in map.pixel([v; 3]) {
                    assert!((c - v).abs() < 0.002, "{gamut:?} {v}: {c}");
                }
            }
            let red = map.pixel([0.8, 0.1, 0.1]);
            assert!(red[0] > 0.8 && red[1] < 0.1, "{red:?}");
        }
    }

    #[test]
    fn both_builds_agree_bit_for_bit() {
        let samples: Vec<u16> = (0..3 * 33 * 7u32).map(|i| (i.wrapping_mul(40_503) >> 3) as u16).collect();
        let n = 33 * 7;
        let from = Rows { planes: [&samples[..n], &samples[n..2 * n], &samples[2 * n..]], stride: 33 };
        let scale = 1.0 / 65_535.0;
        let to_rgb = [[scale, 0.0, 0.0, 0.0], [0.0, scale, 0.0, 0.0], [0.0, 0.0, scale, 0.0]];
        for hdr in [Hdr::None, Hdr::Pq, Hdr::Hlg] {
            let map = LightMap::new(MapKey { hdr, gamut: Gamut::Bt2020, peak: 1000.0 });
            let run = |build| {
                let mut out = [vec![0; n], vec![0; 17 * 4], vec![0; 17 * 4]];
                let [y, cb, cr] = &mut out;
                let to = Target { planes: [y, cb, cr], strides: [33, 17, 17] };
                mapped(build, from, to, 33, 7, &to_rgb, &map, &mut Vec::new());
                out
            };
            assert_eq!(run(Build::Plain), run(best_build()), "{hdr:?}");
        }
    }
}
