//! When a callback is tried again. *Pure.*
//!
//! Owns the schedule: VOD's own attempts first, then the slow ones, then no more. Never rolls dice: randomness
//! comes in.

use std::time::Duration;

use crate::service::settings::CallbackPolicy;

/// The wait after so many attempts have failed; none when the event is dead. `random` spreads the slow waits over
/// +-20 %, so that receivers that were down together are not all asked at once.
pub fn wait_after(attempts: u32, policy: &CallbackPolicy, random: u32) -> Option<Duration> {
    if attempts < policy.fast_attempts {
        return Some(policy.fast_retry);
    }
    let slow = usize::try_from(attempts - policy.fast_attempts).ok()?;
    let spread = 0.8 + 0.4 * f64::from(random) / f64::from(u32::MAX);
    policy.slow_retries.get(slow).map(|wait| wait.mul_f64(spread))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(fast_attempts: u32, slow_s: &[u64]) -> CallbackPolicy {
        CallbackPolicy {
            allow_cidrs: Vec::new(),
            allow_hosts: Vec::new(),
            concurrency: 1,
            timeout: Duration::from_secs(5),
            fast_retry: Duration::from_secs(1),
            fast_attempts,
            slow_retries: slow_s.iter().map(|s| Duration::from_secs(*s)).collect(),
        }
    }

    #[test]
    fn vods_own_rule_is_three_attempts_a_second_apart() {
        let waits: Vec<_> = (1..=4).map(|attempts| wait_after(attempts, &policy(3, &[]), 7)).collect();
        let second = Some(Duration::from_secs(1));
        assert_eq!(waits, [second, second, None, None]);
    }

    proptest! {
        #[test]
        fn slow_waits_follow_in_order_within_a_fifth(
            fast in 0u32..6, slow in prop::collection::vec(1u64..200_000, 0..8), random: u32,
        ) {
            let policy = policy(fast, &slow);
            for (attempts, base_s) in (fast..).zip(&slow) {
                let ratio = wait_after(attempts, &policy, random).expect("scheduled").as_secs_f64() / *base_s as f64;
                prop_assert!((0.799..=1.201).contains(&ratio), "{}", ratio);
            }
            prop_assert_eq!(wait_after(fast + slow.len() as u32, &policy, random), None);
            prop_assert_eq!(wait_after(u32::MAX, &policy, random), None);
        }
    }
}
