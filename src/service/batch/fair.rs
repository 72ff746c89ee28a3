//! Whose turn it is, and how many threads a turn gets. *Pure.*
//!
//! Owns the rule of fair shares. Never knows a queue or a process: counts come in.
//!
//! ```text
//!   slots:   [ normal ][ normal ] ... [ extra ]
//!             anybody's                only for an account with nothing running
//! ```

use std::collections::BTreeMap;

use crate::model::ids::AccountId;

/// Most threads of one batch: beyond that a video has too few runs in flight to feed them.
pub const THREADS_MAX: u32 = 16;

/// The oldest due work of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub account: AccountId,
    /// Order of submission.
    pub seq: i64,
}

/// Batches that may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// For anybody: one a core.
    pub normal: u32,
    /// On top, for accounts with nothing running: so that nobody waits for the end of another's batch.
    pub extra: u32,
}

impl Slots {
    /// The rule of the daemon: as many as cores, and one extra.
    pub fn of_cores(cores: u32) -> Slots {
        Slots { normal: cores.max(1), extra: 1 }
    }
}

/// The head to serve now: of the accounts with due work the one with the fewest batches running, then the one
/// served longest ago (never comes first), then the oldest work. None when no slot is free for any of them.
///
/// `running` counts batches an account; `last_served` holds a number that grows with each serving.
pub fn next(
    heads: &[Head],
    running: &BTreeMap<AccountId, u32>,
    last_served: &BTreeMap<AccountId, u64>,
    slots: Slots,
) -> Option<usize> {
    let of = |account: &AccountId| running.get(account).copied().unwrap_or(0);
    let busy: u64 = running.values().copied().map(u64::from).sum();
    let normal = u64::from(slots.normal);
    let free_for =
        |head: &Head| busy < normal || (busy < normal + u64::from(slots.extra) && of(&head.account) == 0);
    heads
        .iter()
        .enumerate()
        .filter(|(_, head)| free_for(head))
        // None is less than any number: who was never served comes first.
        .min_by_key(|(_, head)| (of(&head.account), last_served.get(&head.account).copied(), head.seq))
        .map(|(index, _)| index)
}

/// Decoding threads of a batch that starts now: the cores, shared by what runs and what is due (itself included).
pub fn grant_threads(cores: u32, running: u32, due_videos: u64) -> u32 {
    let sharers = u64::from(running).saturating_add(due_videos).max(1);
    // At most `cores`, so it fits.
    let share = u32::try_from(u64::from(cores) / sharers).unwrap_or(THREADS_MAX);
    share.clamp(1, THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: AccountId = AccountId(1);
    const B: AccountId = AccountId(2);
    const C: AccountId = AccountId(3);

    fn head(account: AccountId, seq: i64) -> Head {
        Head { account, seq }
    }

    fn check(
        running: &[(AccountId, u32)],
        served: &[(AccountId, u64)],
        normal: u32,
        expected: Option<AccountId>,
    ) {
        let heads = [head(A, 3), head(B, 2), head(C, 1)];
        let running = running.iter().copied().collect();
        let served = served.iter().copied().collect();
        let slots = Slots { normal, extra: 1 };
        assert_eq!(next(&heads, &running, &served, slots).map(|i| heads[i].account), expected);
    }

    #[test]
    fn fewest_running_then_longest_ago_then_oldest() {
        check(&[], &[], 2, Some(C));
        check(&[], &[(C, 5)], 2, Some(B));
        check(&[], &[(A, 7), (B, 6), (C, 5)], 2, Some(C));
        check(&[(C, 1)], &[(A, 7), (B, 6), (C, 5)], 2, Some(B));
        check(&[(B, 1), (C, 1)], &[(A, 7)], 4, Some(A));
        check(&[(A, 2), (B, 1), (C, 1)], &[(B, 2), (C, 1)], 5, Some(C));
    }

    #[test]
    fn the_extra_slot_is_for_the_idle_alone() {
        check(&[(B, 1), (C, 1)], &[], 2, Some(A));
        check(&[(A, 1), (B, 1), (C, 1)], &[], 3, None);
        check(&[(A, 1), (B, 1)], &[], 1, None);
        check(&[(AccountId(9), 3)], &[], 2, None);
        assert_eq!(next(&[], &BTreeMap::new(), &BTreeMap::new(), Slots::of_cores(0)), None);
    }

    #[test]
    fn threads_are_shared_by_what_runs_and_what_is_due() {
        for (cores, running, due, expected) in [
            (2, 0, 1, 2),
            (2, 1, 1, 1),
            (8, 1, 1, 4),
            (64, 0, 1, 16),
            (64, 3, 5, 8),
            (8, 0, 0, 8),
            (0, 0, 0, 1),
            (8, u32::MAX, u64::MAX, 1),
        ] {
            assert_eq!(grant_threads(cores, running, due), expected, "{cores} {running} {due}");
        }
    }

    proptest! {
        #[test]
        fn a_grant_is_a_share_of_the_cores(cores in 1u32..512, running in 0u32..600, due in 1u64..2_000) {
            let threads = grant_threads(cores, running, due);
            prop_assert!((1..=THREADS_MAX).contains(&threads));
            prop_assert!(threads == 1 || u64::from(threads) * (u64::from(running) + due) <= u64::from(cores));
        }

        // A has endless work and takes every slot it can get. Whenever B has work, B is served before A starts
        // another batch once A has anything running, and without waiting for any batch to end.
        #[test]
        fn a_small_account_never_waits_behind_a_large_one(
            cores in 1u32..6, events in prop::collection::vec((any::<bool>(), 0usize..6), 1..200),
        ) {
            let slots = Slots::of_cores(cores);
            let mut running: BTreeMap<AccountId, u32> = BTreeMap::new();
            let mut served = BTreeMap::new();
            let mut seq = 0i64;
            let mut b_waits: Option<i64> = None;
            for (serial, (b_comes, ends)) in (0u64..).zip(events) {
                seq += 1;
                // B's batch ends before B comes again: now and then, not all the time.
                if b_comes && b_waits.is_none() {
                    running.remove(&B);
                    b_waits = Some(seq);
                }
                let a_running = running.entry(A).or_default();
                *a_running = a_running.saturating_sub(u32::try_from(ends).unwrap_or(0));
                let mut turns = 0u64;
                loop {
                    let mut heads = vec![head(A, seq - 1_000)];
                    heads.extend(b_waits.map(|seq| head(B, seq)));
                    let Some(chosen) = next(&heads, &running, &served, slots) else { break };
                    let account = heads[chosen].account;
                    if b_waits.is_some() && running.get(&A).is_some_and(|&n| n > 0) {
                        prop_assert_eq!(account, B);
                    }
                    *running.entry(account).or_default() += 1;
                    turns += 1;
                    served.insert(account, serial * 100 + turns);
                    if account == B {
                        b_waits = None;
                    }
                }
                prop_assert!(b_waits.is_none(), "a slot was free for it");
                let all: u32 = running.values().sum();
                prop_assert!(all <= slots.normal + slots.extra);
                prop_assert!(running.get(&A).copied().unwrap_or(0) <= slots.normal);
            }
        }

        // Equal accounts with endless work: nobody gets two turns more than another.
        #[test]
        fn equals_take_turns(accounts in 1i64..6, turns in 1usize..60) {
            let heads: Vec<_> = (0..accounts).map(|n| head(AccountId(n), 100 - n)).collect();
            let (mut served, mut count) = (BTreeMap::new(), BTreeMap::<AccountId, usize>::new());
            for turn in 0..turns {
                let chosen = next(&heads, &BTreeMap::new(), &served, Slots::of_cores(1)).expect("a slot is free");
                served.insert(heads[chosen].account, turn as u64);
                *count.entry(heads[chosen].account).or_default() += 1;
            }
            let of = |n| count.get(&AccountId(n)).copied().unwrap_or(0);
            let most = (0..accounts).map(of).max().unwrap_or(0);
            prop_assert!((0..accounts).all(|n| most - of(n) <= 1));
        }
    }
}
