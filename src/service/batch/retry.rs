//! What a setback costs a job, and when it is tried again. *Pure.*
//!
//! Owns the arithmetic of attempts. Never knows a clock: a delay goes out, an instant is made elsewhere.

use crate::model::job::FailCode;
use crate::model::limits::ATTEMPTS_MAX;

/// Longest wait between two attempts, ms.
pub const DELAY_MS_MAX: i64 = 30_000;

/// Why a claimed job was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// Nothing that the job did: shutdown, a time slice, another job's crash, the zygote, a full disk, the database.
    NoFault,
    /// Its process died while a point of it was under way.
    Died,
    /// The walk ended with this code.
    Failed(FailCode),
}

/// What becomes of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Back into the queue, due `delay_ms` from now; `charge` costs an attempt.
    Again { charge: bool, delay_ms: i64 },
    /// It ends now with what it has.
    GiveUp,
}

/// The verdict on a job that had used up `attempts` when it was claimed.
pub fn after(setback: Setback, attempts: u32) -> Verdict {
    match setback {
        Setback::NoFault => Verdict::Again { charge: false, delay_ms: 0 },
        Setback::Failed(code) if !code.may_pass_later() => Verdict::GiveUp,
        Setback::Died | Setback::Failed(_) => match is_exhausted(attempts.saturating_add(1)) {
            true => Verdict::GiveUp,
            false => Verdict::Again { charge: true, delay_ms: delay_ms(attempts.saturating_add(1)) },
        },
    }
}

/// True when a job that has used up `attempts` is not tried again.
pub fn is_exhausted(attempts: u32) -> bool {
    attempts >= ATTEMPTS_MAX
}

/// The wait before the attempt after `attempts` used-up ones, ms: none, none, then 1 s, 2 s, 4 s...
///
/// The first retry comes at once: most crashes have to do with one point, and who pays for it is known.
pub fn delay_ms(attempts: u32) -> i64 {
    match attempts {
        0 | 1 => 0,
        // 2^15 seconds is far above the cap already; a larger shift would overflow.
        _ => (1_000i64 << (attempts - 2).min(15)).min(DELAY_MS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_nobodys_fault_is_free_for_ever() {
        for attempts in [0, 1, ATTEMPTS_MAX - 1, ATTEMPTS_MAX, u32::MAX] {
            assert_eq!(after(Setback::NoFault, attempts), Verdict::Again { charge: false, delay_ms: 0 });
        }
    }

    #[test]
    fn a_crash_is_tried_at_once_then_a_second_later_then_never() {
        assert_eq!(after(Setback::Died, 0), Verdict::Again { charge: true, delay_ms: 0 });
        assert_eq!(after(Setback::Died, 1), Verdict::Again { charge: true, delay_ms: 1_000 });
        assert_eq!(after(Setback::Died, 2), Verdict::GiveUp);
        assert_eq!(after(Setback::Died, u32::MAX), Verdict::GiveUp);
    }

    #[test]
    fn a_code_that_cannot_pass_later_ends_the_job_at_once() {
        for code in FailCode::ALL {
            let expected = match code.may_pass_later() {
                true => Verdict::Again { charge: true, delay_ms: 0 },
                false => Verdict::GiveUp,
            };
            assert_eq!(after(Setback::Failed(code), 0), expected, "{}", code.name());
        }
        assert_eq!(after(Setback::Failed(FailCode::Io), ATTEMPTS_MAX - 1), Verdict::GiveUp);
    }

    proptest! {
        #[test]
        fn delays_grow_and_are_capped(attempts in 0u32..u32::MAX) {
            let (one, next) = (delay_ms(attempts), delay_ms(attempts + 1));
            prop_assert!(0 <= one && one <= next && next <= DELAY_MS_MAX);
        }

        #[test]
        fn no_job_is_charged_more_than_its_attempts(setbacks in prop::collection::vec(0u8..3, 0..40)) {
            let (mut attempts, mut charged) = (0, 0);
            for setback in setbacks {
                let setback = [Setback::NoFault, Setback::Died, Setback::Failed(FailCode::Io)][usize::from(setback)];
                match after(setback, attempts) {
                    Verdict::GiveUp => {
                        prop_assert_eq!(charged, ATTEMPTS_MAX - 1);
                        break;
                    }
                    Verdict::Again { charge, .. } => {
                        attempts += u32::from(charge);
                        charged += u32::from(charge);
                    }
                }
                prop_assert!(!is_exhausted(attempts));
            }
        }
    }
}
