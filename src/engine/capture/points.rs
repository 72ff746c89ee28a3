//! Resolves a job's instants against a medium. *Pure.*
//!
//! Owns the arithmetic of API contract 2.7: lists, series, even spread, what lies past the end.
//! Never decides which frame serves an instant; `plan` does.

use crate::model::delivery::PlannedPoint;
use crate::model::media::Timeline;
use crate::model::spec::Points;
use crate::model::time::Seconds;

/// Every instant of `points` in asked order. Those at or past the end are marked; without a known
/// duration nothing is past the end, and series that need one come out empty.
pub fn resolve(points: &Points, timeline: &Timeline) -> Vec<PlannedPoint> {
    let duration = timeline.duration;
    let asked: Vec<i64> = match points {
        Points::None => Vec::new(),
        Points::List(times) => times.clone(),
        Points::Every { offset_ms, count, interval_ms } => {
            (0..i64::from(*count)).map(|k| offset_ms.saturating_add(k.saturating_mul(*interval_ms))).collect()
        }
        Points::Even { offset_ms, count } => {
            let Some(duration) = duration else { return Vec::new() };
            (0..i128::from(*count)).map(|k| offset_ms.saturating_add(even(duration, k, *count))).collect()
        }
        Points::ToEnd { offset_ms, interval_ms, most } => {
            let Some(duration) = duration else { return Vec::new() };
            let step = (*interval_ms).max(1);
            (0..i64::from(*most))
                .map(|k| offset_ms.saturating_add(k.saturating_mul(step)))
                .take_while(|ms| Seconds::of_ms(*ms) < duration)
                .collect()
        }
    };
    asked
        .into_iter()
        .map(|asked_ms| PlannedPoint {
            asked_ms,
            past_end: duration.is_some_and(|d| Seconds::of_ms(asked_ms) >= d),
        })
        .collect()
}

/// True when `points` cannot be resolved without the duration.
pub fn needs_duration(points: &Points) -> bool {
    !matches!(points, Points::None)
}

/// floor(k x D / count) in milliseconds, D itself in whole milliseconds as the API tells it.
fn even(duration: Seconds, k: i128, count: u32) -> i64 {
    let ms = i128::from(duration.floor_ms());
    i64::try_from(k * ms / i128::from(count.max(1))).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::TimeBase;
    use proptest::prelude::*;

    fn timeline(duration_ms: Option<i64>) -> Timeline {
        Timeline {
            origin: Seconds::ZERO,
            time_base: TimeBase { num: 1, den: 1000 },
            duration: duration_ms.map(Seconds::of_ms),
        }
    }

    fn check(points: Points, duration_ms: i64, asked: &[i64], kept: usize) {
        let got = resolve(&points, &timeline(Some(duration_ms)));
        assert_eq!(got.iter().map(|p| p.asked_ms).collect::<Vec<_>>(), asked, "{points:?}");
        assert_eq!(got.iter().filter(|p| !p.past_end).count(), kept, "{points:?}");
    }

    #[test]
    fn the_plan_table_of_the_contract() {
        // 10 s, offset 2000, interval 1, count 3: pictures at 2, 3 and 4 s.
        check(Points::Every { offset_ms: 2000, count: 3, interval_ms: 1000 }, 10_000, &[2000, 3000, 4000], 3);
        // Pictures past the end are dropped.
        check(
            Points::Every { offset_ms: 8000, count: 4, interval_ms: 1000 },
            10_000,
            &[8000, 9000, 10_000, 11_000],
            2,
        );
        // Interval 0 spreads by duration.
        check(Points::Even { offset_ms: 0, count: 3 }, 10_000, &[0, 3333, 6666], 3);
        check(Points::Even { offset_ms: 5000, count: 4 }, 10_000, &[5000, 7500, 10_000, 12_500], 2);
        // Count 1 ignores the interval.
        check(Points::Every { offset_ms: 700, count: 1, interval_ms: 9000 }, 10_000, &[700], 1);
        // A list keeps order and duplicates.
        check(Points::List(vec![1500, 0, 1500, 10_000]), 10_000, &[1500, 0, 1500, 10_000], 3);
        // Offset at or past the end: nothing is left.
        check(Points::Every { offset_ms: 10_000, count: 2, interval_ms: 1000 }, 10_000, &[10_000, 11_000], 0);
        // The other reading of "Interval without Count", capped.
        check(
            Points::ToEnd { offset_ms: 0, interval_ms: 3000, most: 100 },
            10_000,
            &[0, 3000, 6000, 9000],
            4,
        );
        check(Points::ToEnd { offset_ms: 0, interval_ms: 3000, most: 2 }, 10_000, &[0, 3000], 2);
    }

    proptest! {
        #[test]
        fn an_even_spread_from_zero_always_fits(count in 1u32..500, duration_ms in 1i64..100_000_000) {
            let got = resolve(&Points::Even { offset_ms: 0, count }, &timeline(Some(duration_ms)));
            prop_assert_eq!(got.len(), count as usize);
            prop_assert!(got.iter().all(|p| !p.past_end));
            prop_assert!(got.windows(2).all(|w| w[0].asked_ms <= w[1].asked_ms));
        }
    }
}
