//! Requests a second and address, before any signature work. *Pure.*
//!
//! Owns one sliding second an address (API contract, 1.12). Never counts loopback: a proxy on this host stands for
//! all its clients.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Most requests of one address in any sliding second.
pub const PER_ADDRESS_MAX: usize = 300;
// Addresses that are remembered at once; past it those that were silent for a second are forgotten.
const ADDRESSES_MAX: usize = 16_384;
const WINDOW_MS: i64 = 1_000;

/// The times of each address's latest requests.
#[derive(Debug, Default)]
pub struct Limiter {
    seen: HashMap<IpAddr, VecDeque<i64>>,
}

impl Limiter {
    /// Counts one request; false when it is one too many. Refused requests do not count.
    pub fn admit(&mut self, address: IpAddr, now_ms: i64) -> bool {
        let address = address.to_canonical();
        if address.is_loopback() {
            return true;
        }
        if self.seen.len() >= ADDRESSES_MAX && !self.seen.contains_key(&address) {
            self.seen.retain(|_, times| times.back().is_some_and(|t| now_ms - t < WINDOW_MS));
            if self.seen.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        let times = self.seen.entry(address).or_default();
        while times.front().is_some_and(|t| now_ms - t >= WINDOW_MS) {
            times.pop_front();
        }
        let room = times.len() < PER_ADDRESS_MAX;
        if room {
            times.push_back(now_ms);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.wrapping_add(0x0a00_0000).to_be_bytes())
    }

    #[test]
    fn an_address_has_its_own_sliding_second() {
        let mut limiter = Limiter::default();
        for n in 0..PER_ADDRESS_MAX {
            assert!(limiter.admit(address(1), if n < 100 { 0 } else { 500 }));
        }
        assert!(!limiter.admit(address(1), 999));
        assert!(limiter.admit(address(2), 999));
        let freed = (0..PER_ADDRESS_MAX).filter(|_| limiter.admit(address(1), 1000)).count();
        assert_eq!(freed, 100);
        let loopback: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert!((0..1000).all(|_| limiter.admit(loopback, 0)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut limiter = Limiter::default();
        for n in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
            assert!(limiter.admit(address(n), 0));
        }
        assert!(!limiter.admit(address(1 << 20), 999));
        assert!(limiter.admit(address(1 << 20), 1000));
        assert_eq!(limiter.seen.len(), 1);
    }

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_limit(steps in prop::collection::vec(0i64..20, 1..800)) {
            let (mut limiter, mut now, mut admitted) = (Limiter::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if limiter.admit(address(1), now) {
                    admitted.push(now);
                }
            }
            for (at, first) in admitted.iter().enumerate() {
                let within = admitted[at..].iter().filter(|t| **t - first < WINDOW_MS).count();
                prop_assert!(within <= PER_ADDRESS_MAX);
            }
        }
    }
}
