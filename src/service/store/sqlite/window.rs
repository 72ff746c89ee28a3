//! How many requests an account made in the last second. *Pure.*
//!
//! Owns the sliding windows, one an account and action. Never knows a clock: instants come in.

use std::collections::{HashMap, VecDeque};

use crate::model::ids::AccountId;

/// Length of the window, ms: the contract's limits are per second.
const WINDOW_MS: i64 = 1_000;

/// Accepted requests of the last second.
#[derive(Debug, Default)]
pub(super) struct Windows {
    windows: HashMap<(AccountId, &'static str), VecDeque<i64>>,
}

impl Windows {
    /// Takes a place in the window at `now_ms`, so that no sliding second ever holds more than `limit`.
    ///
    /// # Errors
    /// Milliseconds until a place is free; nothing was taken.
    pub(super) fn take(
        &mut self,
        account: AccountId,
        action: &'static str,
        limit: u32,
        now_ms: i64,
    ) -> Result<(), u64> {
        let window = self.windows.entry((account, action)).or_default();
        // Requests reach the writer slightly out of order: an earlier one counts as made with the newest.
        // A clock set back by more than the window starts anew instead of throttling until it catches up.
        let newest = window.back().copied().unwrap_or(i64::MIN);
        let at = if newest.saturating_sub(now_ms) > WINDOW_MS {
            window.clear();
            now_ms
        } else {
            now_ms.max(newest)
        };
        while window.front().is_some_and(|&first| at - first >= WINDOW_MS) {
            window.pop_front();
        }
        if window.len() >= limit as usize {
            let first = window.front().copied().unwrap_or(at);
            return Err(u64::try_from(first + WINDOW_MS - now_ms).unwrap_or(1).max(1));
        }
        window.push_back(at);
        Ok(())
    }

    /// Drops windows that nobody used for a second.
    pub(super) fn forget_idle(&mut self, now_ms: i64) {
        self.windows.retain(|_, window| window.back().is_some_and(|&last| now_ms - last < WINDOW_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUBMIT: &str = "SubmitSnapshotJob";
    const ACCOUNT: AccountId = AccountId(1);

    #[test]
    fn a_clock_set_back_an_hour_does_not_throttle_for_an_hour() {
        let mut windows = Windows::default();
        assert_eq!(windows.take(ACCOUNT, SUBMIT, 1, 3_600_000), Ok(()));
        assert_eq!(windows.take(ACCOUNT, SUBMIT, 1, 3_600_000), Err(1_000));
        assert_eq!(windows.take(ACCOUNT, SUBMIT, 1, 0), Ok(()));
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_in() {
        assert_eq!(Windows::default().take(ACCOUNT, SUBMIT, 0, 5), Err(1_000));
    }

    #[test]
    fn idle_windows_are_forgotten_and_used_ones_are_not() {
        let mut windows = Windows::default();
        assert_eq!(windows.take(ACCOUNT, SUBMIT, 1, 0), Ok(()));
        assert_eq!(windows.take(AccountId(2), SUBMIT, 1, 900), Ok(()));
        windows.forget_idle(1_000);
        assert_eq!(windows.windows.len(), 1);
        assert_eq!(windows.take(AccountId(2), SUBMIT, 1, 1_000), Err(900));
    }

    proptest! {
        #[test]
        fn no_sliding_second_holds_more_than_the_limit(
            limit in 1u32..8, steps in prop::collection::vec(0i64..400, 1..200),
        ) {
            let mut windows = Windows::default();
            let (mut now, mut taken) = (0, Vec::new());
            for step in steps {
                now += step;
                match windows.take(ACCOUNT, SUBMIT, limit, now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        // The promised wait is exact: one millisecond less is refused, the wait itself is not.
                        let later = now + i64::try_from(wait).expect("waits are short");
                        prop_assert_eq!(taken.iter().filter(|&&t| later - 1 - t < 1_000).count(), limit as usize);
                        prop_assert!(taken.iter().filter(|&&t| later - t < 1_000).count() < limit as usize);
                    }
                }
            }
            for &start in &taken {
                let inside = taken.iter().filter(|&&t| t >= start && t < start + 1_000).count();
                prop_assert!(inside <= limit as usize);
            }
        }
    }
}
