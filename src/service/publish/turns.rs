//! When callbacks that wait behind a busy host are due again. *Pure.*
//!
//! Owns the pace of each host: how long its callbacks take. Never reads a clock and never starts a callback.

use std::collections::HashMap;
use std::time::Duration;

/// Deliveries to one host at once: a slow one cannot take the pool.
pub(super) const PER_HOST_MAX: u32 = 4;
/// Hosts whose pace is remembered at once; past it all are forgotten and learnt again.
const HOSTS_MAX: usize = 1_024;
/// No row comes back sooner: each time costs a write.
const STEP_MIN: Duration = Duration::from_millis(20);

/// How long the last callback of each host took.
#[derive(Debug, Default)]
pub(super) struct Paces {
    last: HashMap<String, Duration>,
}

impl Paces {
    /// A callback to `host` ended after so long, however it ended.
    pub fn took(&mut self, host: String, took: Duration) {
        if self.last.len() >= HOSTS_MAX && !self.last.contains_key(&host) {
            self.last.clear();
        }
        self.last.insert(host, took);
    }

    /// Time between two turns of a host: half of what its last callback took, since a place that stays empty is a
    /// callback that waits for nothing; but all of what its oldest one under way has taken, should it hang now.
    /// `most` where nothing is known, and never more.
    pub fn step(&self, host: &str, oldest: Option<Duration>, most: Duration) -> Duration {
        let usual = self.last.get(host).map_or(most, |took| *took / 2);
        usual.max(oldest.unwrap_or_default()).max(STEP_MIN).min(most)
    }
}

/// Gives out turns; one value a look at the outbox, so that its pages queue up behind each other.
#[derive(Debug, Default)]
pub(super) struct Turns {
    ahead: HashMap<String, u32>,
}

impl Turns {
    /// When the next row of `host` is due again.
    pub fn next(&mut self, host: &str, now_ms: i64, step: Duration) -> i64 {
        let ahead = self.ahead.entry(host.to_owned()).or_default();
        let turn = i64::from(*ahead / PER_HOST_MAX) + 1;
        *ahead = ahead.saturating_add(1);
        let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        now_ms.saturating_add(turn.saturating_mul(step_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(5);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn rows_of_a_busy_host_come_back_turn_by_turn() {
        let mut turns = Turns::default();
        let due: Vec<i64> = (0..9).map(|_| turns.next("slow.test", 100, MOST)).collect();
        let (first, second, third) = (5_100, 10_100, 15_100);
        assert_eq!(due, [first, first, first, first, second, second, second, second, third]);
        assert_eq!(turns.next("other.test", 100, ms(20)), 120);
    }

    #[test]
    fn a_step_follows_the_host() {
        let mut paces = Paces::default();
        assert_eq!(paces.step("new.test", None, MOST), MOST);
        paces.took("h.test".to_owned(), ms(300));
        assert_eq!(paces.step("h.test", None, MOST), ms(150));
        assert_eq!(paces.step("h.test", Some(ms(100)), MOST), ms(150));
        // It was quick and hangs now.
        assert_eq!(paces.step("h.test", Some(ms(2_000)), MOST), ms(2_000));
        assert_eq!(paces.step("h.test", Some(ms(60_000)), MOST), MOST);
        paces.took("h.test".to_owned(), ms(1));
        assert_eq!(paces.step("h.test", None, MOST), STEP_MIN);
    }

    #[test]
    fn memory_is_bounded() {
        let mut paces = Paces::default();
        for host in 0..3 * HOSTS_MAX {
            paces.took(format!("{host}.test"), ms(10));
            assert!(paces.last.len() <= HOSTS_MAX);
        }
    }
}
