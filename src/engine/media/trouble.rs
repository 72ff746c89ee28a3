//! What is wrong with a device, out of return codes and of what its code says in the log.
//!
//! Owns the words by which the log tells a lost device and a full one. Never decides what follows.

use std::ffi::c_int;

use ffmpeg_next::Error;

use super::log::Heard;
use crate::model::device::Refusal;

/// Why a device gives nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: Refusal,
    /// A sentence for people.
    pub text: String,
}

impl Trouble {
    /// For this reason.
    pub fn new(reason: Refusal, text: impl Into<String>) -> Trouble {
        Trouble { reason, text: text.into() }
    }
}

/// What the driver's code says when nothing on the device works any more until the process ends: 700, 702, 714, 719
/// and 999, and their like.
const LOST: [&str; 9] = [
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_CONTEXT_IS_DESTROYED",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_UNKNOWN",
];
/// What it says when there is no room; the last one is libva's.
const FULL: [&str; 2] = ["CUDA_ERROR_OUT_OF_MEMORY", "resource allocation failed"];

fn says(heard: &Heard, words: &[&str]) -> bool {
    words.iter().any(|word| heard.text.contains(word))
}

/// Does nothing work any more?
pub(super) fn is_lost(heard: &Heard) -> bool {
    says(heard, &LOST)
}

/// Is there no room?
pub(super) fn is_full(heard: &Heard) -> bool {
    says(heard, &FULL)
}

/// The reason that the log gives, `otherwise` when it has none.
pub(super) fn reason(heard: &Heard, otherwise: Refusal) -> Refusal {
    match () {
        () if is_lost(heard) => Refusal::Lost,
        () if is_full(heard) => Refusal::OutOfMemory,
        () => otherwise,
    }
}

/// `what`, the error's text and what was said meanwhile.
pub(super) fn story(what: &str, code: c_int, heard: &Heard) -> String {
    let said = heard.text.trim_end_matches([';', ' ', '\n']);
    match (code < 0, said.is_empty()) {
        (true, true) => format!("{what}: {}", Error::from(code)),
        (true, false) => format!("{what}: {} ({said})", Error::from(code)),
        (false, false) => format!("{what}: {said}"),
        (false, true) => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_knows_better_than_the_code() {
        let heard = |text: &str| Heard { copies_failed: 0, text: text.to_owned() };
        let nothing = heard("");
        assert_eq!(reason(&nothing, Refusal::Send), Refusal::Send);
        assert_eq!(story("no frame", 0, &nothing), "no frame");
        let lost = heard("cuvidMapVideoFrame() failed -> CUDA_ERROR_LAUNCH_FAILED: unspecified; ");
        assert_eq!(reason(&lost, Refusal::Receive), Refusal::Lost);
        let full = heard("cuvidCreateDecoder() failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory");
        assert_eq!(reason(&full, Refusal::Software), Refusal::OutOfMemory);
        assert!(
            story("no decoder", -12, &full)
                .ends_with("(cuvidCreateDecoder() failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory)")
        );
        assert_eq!(
            reason(&heard("cuvidDecodePicture() failed -> CUDA_ERROR_INVALID_VALUE: x"), Refusal::Send),
            Refusal::Send
        );
    }
}
