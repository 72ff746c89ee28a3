//! PQ and HLG to SDR in f64, for the tests: from the published formulae, per pixel, no tables.

use super::reference::Grid;

fn pq(e: f64) -> f64 {
    let p = e.max(0.0).powf(32.0 / 2523.0);
    let (c1, c2, c3) = (0.835_937_5, 18.851_562_5, 18.687_5);
    10_000.0 * ((p - c1).max(0.0) / (c2 - c3 * p)).powf(16_384.0 / 2610.0)
}

fn pq_inverse(nits: f64) -> f64 {
    let p = (nits / 10_000.0).powf(2610.0 / 16_384.0);
    ((0.835_937_5 + 18.851_562_5 * p) / (1.0 + 18.687_5 * p)).powf(2523.0 / 32.0)
}

fn hlg(rgb: [f64; 3]) -> [f64; 3] {
    let (a, b) = (0.178_832_77, 0.284_668_92);
    let c = 0.559_910_73;
    let scene = rgb.map(|e| if e <= 0.5 { e * e / 3.0 } else { (((e - c) / a).exp() + b) / 12.0 });
    let luminance = 0.2627 * scene[0] + 0.678 * scene[1] + 0.0593 * scene[2];
    scene.map(|s| 1000.0 * luminance.max(1e-12).powf(0.2) * s)
}

/// BT.2390 with a target of 203 cd/m2.
fn curve(nits: f64, peak: f64) -> f64 {
    let top = pq_inverse(peak);
    let (e, m) = (pq_inverse(nits) / top, pq_inverse(203.0) / top);
    let knee = 1.5 * m - 0.5;
    if e < knee {
        return nits;
    }
    let t = (e - knee) / (1.0 - knee);
    let bent = (2.0 * t.powi(3) - 3.0 * t * t + 1.0) * knee
        + (t.powi(3) - 2.0 * t * t + t) * (1.0 - knee)
        + (3.0 * t * t - 2.0 * t.powi(3)) * m;
    pq(bent * top)
}

/// R'G'B' of BT.2020 to sRGB's. `peak` is none for HLG.
pub fn tone_mapped(rgb: &[Grid; 3], peak: Option<f64>) -> [Grid; 3] {
    let pixel = |i: usize| {
        let code = [0, 1, 2].map(|p| rgb[p].data[i].clamp(0.0, 1.0));
        let top = peak.unwrap_or(1000.0);
        let nits = if peak.is_some() { code.map(pq) } else { hlg(code) }.map(|l| l.min(top));
        let largest = nits[0].max(nits[1]).max(nits[2]).max(1e-6);
        let gain = curve(largest, top) / largest;
        let white = (1.0 - gain).powi(2);
        let [r, g, b] = nits.map(|l| ((1.0 - white) * gain * l + white * curve(l, top)) / 203.0);
        [
            1.660_491 * r - 0.587_641 * g - 0.072_850 * b,
            -0.124_550 * r + 1.132_900 * g - 0.008_349 * b,
            -0.018_151 * r - 0.100_579 * g + 1.118_730 * b,
        ]
        .map(|l| {
            let l = l.clamp(0.0, 1.0);
            if l <= 0.003_130_8 { 12.92 * l } else { 1.055 * l.powf(1.0 / 2.4) - 0.055 }
        })
    };
    let pixels: Vec<[f64; 3]> = (0..rgb[0].data.len()).map(pixel).collect();
    [0, 1, 2].map(|p| Grid { data: pixels.iter().map(|v| v[p]).collect(), ..rgb[p].clone() })
}
