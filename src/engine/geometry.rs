//! Sizes and turns: from coded pixels to what a viewer sees, and from an asked size to a picture's. *Pure.*
//!
//! Owns the rounding of every derived side. Never knows pixels or who asked.

use crate::model::limits::{SIDE_MAX, SIDE_MIN};
use crate::model::spec::AskedSize;

/// How stored pixels are turned to be shown: first the transpose (x and y swapped), then the mirrors, which
/// are in shown coordinates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Orientation {
    pub transpose: bool,
    pub mirror_x: bool,
    pub mirror_y: bool,
}

impl Orientation {
    /// Reads a display matrix (nine numbers, row by row, as FFmpeg stores them). None when it is singular
    /// or more than one degree from a quarter turn: it is then ignored.
    pub fn of_matrix(m: &[i32; 9]) -> Option<Orientation> {
        /// tan of one degree
        const SLACK: f64 = 0.017_455;
        let [a, b, c, d] = [m[0], m[1], m[3], m[4]].map(f64::from);
        let near = |small: f64, large: f64| large != 0.0 && small.abs() <= SLACK * large.abs();
        if near(b, a) && near(c, d) {
            return Some(Orientation { transpose: false, mirror_x: a < 0.0, mirror_y: d < 0.0 });
        }
        if near(a, b) && near(d, c) {
            return Some(Orientation { transpose: true, mirror_x: c < 0.0, mirror_y: b < 0.0 });
        }
        None
    }

    /// The clockwise turn in degrees: 0, 90, 180 or 270. A mirror on top of it does not show here.
    pub fn degrees(self) -> u32 {
        match (self.transpose, self.mirror_y) {
            (false, false) => 0,
            (true, false) => 90,
            (false, true) => 180,
            (true, true) => 270,
        }
    }

    /// Swaps the sides where the turn does.
    pub fn turn(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.transpose { (height, width) } else { (width, height) }
    }
}

/// A sample aspect ratio that can be believed: 1:1 for none, negative, or beyond 1:10 to 10:1.
pub fn sane_sar(num: i64, den: i64) -> (u32, u32) {
    let believed = num > 0 && den > 0 && num <= 10 * den && den <= 10 * num;
    match (u32::try_from(num), u32::try_from(den)) {
        (Ok(n), Ok(d)) if believed => (n, d),
        _ => (1, 1),
    }
}

/// The size in square pixels, before any turn. Never fewer pixels than coded: a ratio above 1 widens, one
/// below 1 heightens; a ratio that moves the width by less than a pixel is none.
pub fn square_pixels((width, height): (u32, u32), sar: (u32, u32)) -> (u32, u32) {
    let (num, den) = (u64::from(sar.0), u64::from(sar.1));
    let w = u64::from(width);
    if num == 0 || den == 0 || (w * num).abs_diff(w * den) < den {
        return (width, height);
    }
    if num > den {
        (clip(rounded(w * num, den)), height)
    } else {
        (width, clip(rounded(u64::from(height) * den, num)))
    }
}

/// The picture's size for a display size and a wish. A given side stays, a derived one is the nearest even
/// number and at least 8; with no wish it is the display size. Above 4096 both shrink and keep the shape.
pub fn output_size(display: (u32, u32), asked: AskedSize) -> (u32, u32) {
    let (dw, dh) = (u64::from(display.0.max(1)), u64::from(display.1.max(1)));
    let (w, h) = match (asked.width, asked.height) {
        (Some(w), Some(h)) => (u64::from(w.max(1)), u64::from(h.max(1))),
        (Some(w), None) => (u64::from(w.max(1)), derived(u64::from(w.max(1)), dh, dw)),
        (None, Some(h)) => (derived(u64::from(h.max(1)), dw, dh), u64::from(h.max(1))),
        (None, None) => (dw, dh),
    };
    let most = u64::from(SIDE_MAX);
    let (w, h) = if w <= most && h <= most {
        (w, h)
    } else if w >= h {
        (most, derived(most, h, w))
    } else {
        (derived(most, w, h), most)
    };
    (clip(w), clip(h))
}

/// `side * num / den` to the nearest even number, at least 8.
fn derived(side: u64, num: u64, den: u64) -> u64 {
    (2 * rounded(side * num, 2 * den)).max(u64::from(SIDE_MIN))
}

/// `num / den`, halves up.
fn rounded(num: u64, den: u64) -> u64 {
    (num + den / 2) / den
}

fn clip(side: u64) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(width: Option<u32>, height: Option<u32>) -> AskedSize {
        AskedSize { width, height }
    }

    #[test]
    fn sizes_follow_the_written_rule() {
        let table = [
            ((1920, 1080), None, None, (1920, 1080)),
            ((641, 361), None, None, (641, 361)),
            ((1920, 1080), Some(320), None, (320, 180)),
            ((1920, 1080), None, Some(181), (322, 181)),
            ((1920, 1080), Some(333), Some(77), (333, 77)),
            ((1920, 800), Some(320), None, (320, 134)),
            ((7680, 4320), None, None, (4096, 2304)),
            ((1000, 3000), Some(4096), None, (1366, 4096)),
            ((4000, 10), Some(320), None, (320, 8)),
            ((4, 4), None, None, (4, 4)),
            ((1, 100_000), Some(4096), None, (8, 4096)),
        ];
        for (display, w, h, want) in table {
            assert_eq!(output_size(display, asked(w, h)), want, "{display:?} {w:?} {h:?}");
        }
    }

    #[test]
    fn aspect_ratios_widen_or_heighten() {
        assert_eq!(square_pixels((720, 576), (64, 45)), (1024, 576));
        assert_eq!(square_pixels((720, 576), (16, 15)), (768, 576));
        assert_eq!(square_pixels((720, 480), (8, 9)), (720, 540));
        assert_eq!(square_pixels((1280, 720), (1280, 1281)), (1280, 720));
        assert_eq!(square_pixels((1280, 720), sane_sar(0, 1)), (1280, 720));
        assert_eq!(sane_sar(-4, 3), (1, 1));
        assert_eq!(sane_sar(11, 1), (1, 1));
        assert_eq!(sane_sar(1, 10), (1, 10));
    }

    #[test]
    fn the_eight_display_matrices() {
        const ONE: i32 = 1 << 16;
        let m = |a: i32, b: i32, c: i32, d: i32| [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30];
        let table = [
            (m(1, 0, 0, 1), (false, false, false), 0),
            (m(0, 1, -1, 0), (true, true, false), 90),
            (m(-1, 0, 0, -1), (false, true, true), 180),
            (m(0, -1, 1, 0), (true, false, true), 270),
            (m(-1, 0, 0, 1), (false, true, false), 0),
            (m(1, 0, 0, -1), (false, false, true), 180),
            (m(0, 1, 1, 0), (true, false, false), 90),
            (m(0, -1, -1, 0), (true, true, true), 270),
        ];
        for (matrix, (transpose, mirror_x, mirror_y), degrees) in table {
            let got = Orientation::of_matrix(&matrix);
            assert_eq!(got, Some(Orientation { transpose, mirror_x, mirror_y }));
            assert_eq!(got.map(Orientation::degrees), Some(degrees));
        }
        assert_eq!(Orientation::of_matrix(&[0; 9]), None);
        assert_eq!(Orientation::of_matrix(&[ONE, ONE, 0, -ONE, ONE, 0, 0, 0, 1 << 30]), None);
        assert_eq!(
            Orientation::of_matrix(&[ONE, 900, 0, -900, ONE, 0, 0, 0, 1 << 30]),
            Some(Orientation::default())
        );
    }

    proptest! {
        #[test]
        fn a_picture_never_passes_the_limits(
            dw in 1u32..20_000, dh in 1u32..20_000,
            w in proptest::option::of(8u32..=4096), h in proptest::option::of(8u32..=4096),
        ) {
            let (ow, oh) = output_size((dw, dh), asked(w, h));
            prop_assert!(ow >= 1 && oh >= 1 && ow <= SIDE_MAX && oh <= SIDE_MAX);
            match (w, h) {
                (Some(w), Some(h)) => prop_assert_eq!((ow, oh), (w, h)),
                (Some(w), None) => prop_assert!(oh >= 8 && oh % 2 == 0 && (ow == w || oh == SIDE_MAX)),
                (None, Some(h)) => prop_assert!(ow >= 8 && ow % 2 == 0 && (oh == h || ow == SIDE_MAX)),
                (None, None) => prop_assert!(dw > SIDE_MAX || dh > SIDE_MAX || (ow, oh) == (dw, dh)),
            }
        }

        #[test]
        fn square_pixels_never_lose_any(w in 1u32..10_000, h in 1u32..10_000, n in 0i64..5000, d in 0i64..5000) {
            let (ow, oh) = square_pixels((w, h), sane_sar(n, d));
            prop_assert!(ow >= w && oh >= h && (ow == w || oh == h));
        }
    }
}
