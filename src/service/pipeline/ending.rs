//! How a walk's end is felt by a job that it left undecided. *Pure.*
//!
//! Owns the words of failure that no child says. Never decides about another attempt: `batch/retry` does.

use crate::model::job::{Death, Ended, FailCode, Failure, Stage};
use crate::service::batch::retry::Setback;

/// What the end of the walk is to an undecided job that has to `pay` for a death, and what it would fail with.
pub fn setback(ended: &Ended, pays: bool) -> (Setback, Failure) {
    let failure = match ended {
        Ended::Done => broken("the walk ended without every picture"),
        Ended::Stopped => return (Setback::NoFault, broken("the walk was stopped")),
        // The CPU has no device to refuse for, and was not offered one.
        Ended::Refused { reason, .. } => broken(&format!("the walk was refused: {}", reason.name())),
        Ended::DeviceWanted => broken("the walk asked for a device that nobody offered"),
        Ended::Failed(failure) => failure.clone(),
        Ended::Died { cause } => {
            let failure = died(*cause);
            let own_fault = pays && !matches!(cause, Death::Zygote | Death::Killed);
            return (if own_fault { Setback::Died } else { Setback::NoFault }, failure);
        }
    };
    (Setback::Failed(failure.code), failure)
}

/// A bug on our side.
pub fn broken(text: &str) -> Failure {
    Failure::new(FailCode::Internal, Stage::Decode, text)
}

/// The job was charged with all its attempts before.
pub fn exhausted() -> Failure {
    broken("every attempt at it broke off")
}

/// The file is another one than at the start.
pub fn replaced() -> Failure {
    Failure::new(FailCode::Replaced, Stage::Decode, "the file was replaced while it was read")
}

fn died(cause: Death) -> Failure {
    let code = if cause == Death::Timeout { FailCode::Timeout } else { FailCode::Crashed };
    Failure::new(code, Stage::Decode, format!("the process that decoded it died: {}", cause.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::device::Refusal;

    #[test]
    fn only_deaths_of_its_own_are_a_jobs_fault() {
        for (cause, code) in [
            (Death::Crash, FailCode::Crashed),
            (Death::Timeout, FailCode::Timeout),
            (Death::OutOfMemory, FailCode::Crashed),
        ] {
            let (setback, failure) = setback(&Ended::Died { cause }, true);
            assert_eq!((setback, failure.code), (Setback::Died, code));
            assert!(failure.text.contains(cause.name()), "{failure}");
            assert_eq!(super::setback(&Ended::Died { cause }, false).0, Setback::NoFault);
        }
        for cause in [Death::Zygote, Death::Killed] {
            assert_eq!(setback(&Ended::Died { cause }, true).0, Setback::NoFault);
        }
    }

    #[test]
    fn ends_that_were_said_are_everybodys() {
        for pays in [false, true] {
            assert_eq!(setback(&Ended::Stopped, pays).0, Setback::NoFault);
            assert_eq!(setback(&Ended::Done, pays).0, Setback::Failed(FailCode::Internal));
            let refused = Ended::Refused { reason: Refusal::OutOfMemory, text: "no surface".into() };
            assert_eq!(setback(&refused, pays).0, Setback::Failed(FailCode::Internal));
            let corrupt = Failure::new(FailCode::Corrupt, Stage::Decode, "no frame");
            let said = setback(&Ended::Failed(corrupt.clone()), pays);
            assert_eq!(said, (Setback::Failed(FailCode::Corrupt), corrupt));
        }
    }
}
