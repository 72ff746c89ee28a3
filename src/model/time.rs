//! Media time as exact fractions. *Pure.*
//!
//! Owns the comparison of instants and pts. Never rounds on the way, never asks a clock.
//!
//! Time 0 is the container's start (`origin`); instants and pts are compared without rounding.
//!
//! ```text
//!   pts of the frames      p0        p1             p2
//!                          |---------|--------------|------
//!   displayed at t:        [p0 .. p1)  [p1 ..    p2)
//!   t in ms                     ^ gets p0       ^ gets p1
//! ```

/// Unit of pts: seconds = pts * num / den. Both are positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBase {
    pub num: i64,
    pub den: i64,
}

/// An exact instant or length in seconds: num / den, den positive. Exact for whatever a clock can be meant to say;
/// the absurd times of a hostile file saturate instead of overflowing.
#[derive(Clone, Copy, Debug)]
pub struct Seconds {
    pub num: i128,
    pub den: i128,
}

impl Seconds {
    /// Zero seconds.
    pub const ZERO: Seconds = Seconds { num: 0, den: 1 };

    /// The instant of `pts` on the stream's own clock.
    pub fn of_pts(pts: i64, time_base: TimeBase) -> Seconds {
        Seconds { num: i128::from(pts) * i128::from(time_base.num), den: i128::from(time_base.den) }
    }

    /// An instant given in milliseconds.
    pub fn of_ms(ms: i64) -> Seconds {
        Seconds { num: i128::from(ms), den: 1000 }
    }

    /// The sum, exactly.
    pub fn plus(self, other: Seconds) -> Seconds {
        reduced(
            product(self.num, other.den).saturating_add(product(other.num, self.den)),
            product(self.den, other.den),
        )
    }

    /// The difference, exactly.
    pub fn minus(self, other: Seconds) -> Seconds {
        reduced(
            product(self.num, other.den).saturating_sub(product(other.num, self.den)),
            product(self.den, other.den),
        )
    }

    /// Milliseconds, rounded down.
    pub fn floor_ms(self) -> i64 {
        clamp(product(self.num, 1000).div_euclid(self.den))
    }

    /// Milliseconds, rounded up: asking for the result gives the frame that starts here.
    pub fn ceil_ms(self) -> i64 {
        clamp(product(self.num, -1000).div_euclid(self.den).saturating_neg())
    }

    /// The greatest pts that is not after this instant.
    pub fn floor_pts(self, time_base: TimeBase) -> i64 {
        let num = product(self.num, time_base.den.into());
        let den = product(self.den, time_base.num.into());
        clamp(num.div_euclid(den))
    }
}

impl PartialEq for Seconds {
    fn eq(&self, other: &Seconds) -> bool {
        product(self.num, other.den) == product(other.num, self.den)
    }
}

impl PartialOrd for Seconds {
    fn partial_cmp(&self, other: &Seconds) -> Option<std::cmp::Ordering> {
        product(self.num, other.den).partial_cmp(&product(other.num, self.den))
    }
}

fn product(a: i128, b: i128) -> i128 {
    a.saturating_mul(b)
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

// Sums of sums would overflow without this: time bases are small, but products of them grow.
fn reduced(num: i128, den: i128) -> Seconds {
    let (mut a, mut b) = (num.unsigned_abs(), den.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let divisor = i128::try_from(a.max(1)).unwrap_or(1);
    Seconds { num: num / divisor, den: den / divisor }
}

/// The greatest pts that a point at `ms` after `origin` may show.
pub fn pts_at(ms: i64, origin: Seconds, time_base: TimeBase) -> i64 {
    Seconds::of_ms(ms).plus(origin).floor_pts(time_base)
}

/// The start of the frame at `pts` in milliseconds after `origin`, rounded up.
pub fn shown_ms(pts: i64, origin: Seconds, time_base: TimeBase) -> i64 {
    Seconds::of_pts(pts, time_base).minus(origin).ceil_ms()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_point_on_a_frame_border_gets_that_frame() {
        let time_base = TimeBase { num: 1, den: 25 };
        assert_eq!(pts_at(40, Seconds::ZERO, time_base), 1);
        assert_eq!(pts_at(39, Seconds::ZERO, time_base), 0);
        let origin = Seconds::of_pts(1001, TimeBase { num: 1, den: 30000 });
        let ntsc = TimeBase { num: 1, den: 30000 };
        assert_eq!(pts_at(0, origin, ntsc), 1001);
    }

    proptest! {
        #[test]
        fn asking_for_what_was_shown_gives_the_same_frame(
            pts in -1_000_000_000i64..1_000_000_000, origin in -90_000i64..90_000,
            den in prop::sample::select(vec![600i64, 1000, 12800, 90000, 30000]), step in 10i64..1000,
        ) {
            // A frame lasts at least 1 ms here, so its rounded start still lies inside it.
            let time_base = TimeBase { num: 1, den };
            let origin = Seconds::of_pts(origin, TimeBase { num: 1, den: 90000 });
            let next = pts + (step * den / 1000).max(den / 500 + 1);
            let asked = shown_ms(pts, origin, time_base);
            let got = pts_at(asked, origin, time_base);
            prop_assert!(got >= pts && got < next);
        }

        #[test]
        fn no_time_overflows(
            pts in any::<i64>(), start in any::<i64>(), ms in any::<i64>(), num in 1i64..=i64::from(i32::MAX),
            den in 1i64..=i64::from(i32::MAX), other in 1i64..=i64::from(i32::MAX),
        ) {
            let (time_base, another) = (TimeBase { num, den }, TimeBase { num: other, den: num });
            let origin = Seconds::of_pts(start, another);
            let end = origin.plus(Seconds::of_pts(pts, another)).minus(Seconds::of_pts(start, time_base));
            prop_assert!(end < end.plus(end) || end >= end.plus(end));
            prop_assert!(end.den > 0);
            let told = [end.floor_ms(), end.ceil_ms(), shown_ms(pts, origin, time_base)];
            prop_assert!(told[0] <= told[1], "{told:?} {}", pts_at(ms, origin, time_base));
        }

        #[test]
        fn floor_pts_is_the_greatest_not_after(ms in -100_000i64..10_000_000, den in 1i64..200_000, num in 1i64..2000) {
            let time_base = TimeBase { num, den };
            let at = Seconds::of_ms(ms);
            let pts = at.floor_pts(time_base);
            prop_assert!(Seconds::of_pts(pts, time_base) <= at);
            prop_assert!(Seconds::of_pts(pts + 1, time_base) > at);
        }
    }
}
