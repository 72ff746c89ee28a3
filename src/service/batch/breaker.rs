//! When one device may be given work, and how much at once. *Pure.*
//!
//! Owns strikes, waits, seats and the kinds of streams that are shut. Never knows a clock or a process: times come in.
//!
//! ```text
//!   Open (waits, doubling) -- time is up --> HalfOpen (proof clips) -- all well --> Closed, on trial until a batch was done
//!     ^                                        |                                      |
//!     `------------- a proof failed -----------'   <-- three strikes, a hang, a lost device, one strike on trial
//! ```
//!
//! A device begins as open with nothing to wait for: the first proof is that of the daemon's start.

use std::collections::BTreeSet;

use crate::model::device::{CodecClass, DeviceCodec, Refusal};
use crate::model::ids::VideoId;

/// How patient a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Strikes on so many different streams open it.
    pub strikes: usize,
    /// The first wait, ms; each failure after it doubles the wait.
    pub wait_ms: i64,
    /// The longest wait, ms. Strikes are forgotten after so long, too.
    pub wait_max_ms: i64,
    /// Batches that the device may serve at once.
    pub seats: u32,
}

/// What a refusal means for the device that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: the stream is none for it.
    Nothing,
    /// It serves too many at once.
    Capacity,
    /// A strike, unless the CPU finds the stream damaged too.
    Strike,
    /// Nothing more may go there, whoever's fault it was.
    Opens,
    /// It cannot be trusted with this kind of stream.
    Shuts,
}

/// What a refusal means.
pub fn meaning(refusal: Refusal) -> Meaning {
    match refusal {
        Refusal::Unsupported | Refusal::Software | Refusal::Linear | Refusal::Damage | Refusal::Breaker => {
            Meaning::Nothing
        }
        Refusal::OutOfMemory => Meaning::Capacity,
        Refusal::Send
        | Refusal::Receive
        | Refusal::Transfer
        | Refusal::Copy
        | Refusal::NoFrame
        | Refusal::Crash => Meaning::Strike,
        Refusal::Hang | Refusal::Lost | Refusal::NoDevice => Meaning::Opens,
        Refusal::Unproven => Meaning::Shuts,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until_ms: i64 },
    HalfOpen,
}

/// The breaker of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    rules: Rules,
    state: State,
    /// How long it stays open the next time.
    wait_ms: i64,
    /// Its proof clips came out well after a fault, but no batch has yet.
    on_trial: bool,
    /// Streams that it failed with, and when.
    strikes: Vec<(VideoId, i64)>,
    /// Streams that it failed with and that the CPU is still at work on.
    suspects: Vec<VideoId>,
    shut: BTreeSet<CodecClass>,
    seats: Seats,
}

impl Breaker {
    /// Of a device that nothing is known about yet: a proof is due.
    pub fn new(rules: Rules, now_ms: i64) -> Breaker {
        Breaker {
            rules,
            state: State::Open { until_ms: now_ms },
            wait_ms: rules.wait_ms,
            on_trial: false,
            strikes: Vec::new(),
            suspects: Vec::new(),
            shut: BTreeSet::new(),
            seats: Seats::new(rules),
        }
    }

    /// When the next proof is due; none unless it is open.
    pub fn proof_due_ms(&self) -> Option<i64> {
        match self.state {
            State::Open { until_ms } => Some(until_ms),
            State::Closed | State::HalfOpen => None,
        }
    }

    /// Takes the one turn at a proof, if it is due: `proved` or `proof_failed` has to follow.
    pub fn begin_proof(&mut self, now_ms: i64) -> bool {
        let due = self.proof_due_ms().is_some_and(|due_ms| due_ms <= now_ms);
        if due {
            self.state = State::HalfOpen;
        }
        due
    }

    /// The proof clips came out as they should.
    pub fn proved(&mut self) {
        if self.state == State::HalfOpen {
            self.state = State::Closed;
            self.strikes.clear();
        }
    }

    /// They did not, or the device could not be opened.
    pub fn proof_failed(&mut self, now_ms: i64) {
        if self.state == State::HalfOpen {
            self.open(now_ms);
        }
    }

    /// True when batches may go to the device, as far as faults are concerned. While the CPU has not said whose
    /// fault the last ones were, each of them counts as the device's.
    pub fn is_closed(&self, now_ms: i64) -> bool {
        let mut against: BTreeSet<&VideoId> = self.suspects.iter().collect();
        against.extend(self.fresh_strikes(now_ms));
        let bearable = if self.on_trial { 0 } else { self.rules.strikes.saturating_sub(1) };
        self.state == State::Closed && against.len() <= bearable
    }

    /// True when the device may be given this kind of stream.
    pub fn admits(&self, class: CodecClass) -> bool {
        !self.shut.contains(&class)
    }

    /// Shuts a kind of stream; nothing opens it again.
    pub fn shut(&mut self, class: CodecClass) {
        self.shut.insert(class);
    }

    /// Shuts every depth of a codec.
    pub fn shut_codec(&mut self, codec: DeviceCodec) {
        self.shut.extend([8, 10, 12].map(|depth| CodecClass { codec, depth }));
    }

    /// Batches that the device may serve at once now.
    pub fn seats(&mut self, now_ms: i64) -> u32 {
        self.seats.now(now_ms)
    }

    /// A batch was done by the device.
    pub fn worked(&mut self) {
        if self.state == State::Closed {
            self.on_trial = false;
            self.wait_ms = self.rules.wait_ms;
        }
        self.seats.worked();
    }

    /// The device refused `video` for `refusal` while it served `busy` batches, this one among them. True when
    /// the CPU's verdict is awaited: `acquit` or `convict` has to follow.
    pub fn refused(&mut self, refusal: Refusal, video: &VideoId, busy: u32, now_ms: i64) -> bool {
        match meaning(refusal) {
            // A class that is not known any more is not shut here: who knows it says so.
            Meaning::Nothing | Meaning::Shuts => {}
            Meaning::Capacity => self.seats.ran_out(busy, now_ms),
            Meaning::Opens => self.open_if_closed(now_ms),
            // Once it is open nothing more is learned from those that were still at it.
            Meaning::Strike if self.state != State::Closed => {}
            Meaning::Strike => {
                self.suspects.push(video.clone());
                return true;
            }
        }
        false
    }

    /// The CPU found the stream damaged too, or nothing can be said about it. False when the breaker opened
    /// meanwhile: it has forgotten the case.
    pub fn acquit(&mut self, video: &VideoId) -> bool {
        let at = self.suspects.iter().position(|suspect| suspect == video);
        at.map(|at| self.suspects.swap_remove(at)).is_some()
    }

    /// The CPU found nothing wrong with the stream.
    pub fn convict(&mut self, video: &VideoId, now_ms: i64) {
        if !self.acquit(video) {
            return;
        }
        let wait_max_ms = self.rules.wait_max_ms;
        self.strikes.retain(|(seen, at_ms)| seen != video && now_ms.saturating_sub(*at_ms) < wait_max_ms);
        self.strikes.push((video.clone(), now_ms));
        if self.on_trial || self.strikes.len() >= self.rules.strikes {
            self.open_if_closed(now_ms);
        }
    }

    fn fresh_strikes(&self, now_ms: i64) -> impl Iterator<Item = &VideoId> {
        let wait_max_ms = self.rules.wait_max_ms;
        let fresh = self.strikes.iter().filter(move |(_, at_ms)| now_ms.saturating_sub(*at_ms) < wait_max_ms);
        fresh.map(|(video, _)| video)
    }

    // What is open stays as it is, and what is being proved has its answer soon: batches of before say nothing new.
    fn open_if_closed(&mut self, now_ms: i64) {
        if self.state == State::Closed {
            self.open(now_ms);
        }
    }

    fn open(&mut self, now_ms: i64) {
        self.state = State::Open { until_ms: now_ms.saturating_add(self.wait_ms) };
        self.wait_ms = self.wait_ms.saturating_mul(2).min(self.rules.wait_max_ms);
        self.on_trial = true;
        self.strikes.clear();
        self.suspects.clear();
    }
}

/// How many batches a device serves at once: fewer after it ran out of memory, one more after each wait.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seats {
    rules: Rules,
    now: u32,
    /// When there is one more.
    grows_ms: i64,
    /// How long the next one is waited for.
    wait_ms: i64,
}

impl Seats {
    fn new(rules: Rules) -> Seats {
        Seats { rules, now: rules.seats, grows_ms: 0, wait_ms: rules.wait_ms }
    }

    fn now(&mut self, now_ms: i64) -> u32 {
        if self.now < self.rules.seats && self.grows_ms <= now_ms {
            self.now += 1;
            self.grows_ms = now_ms.saturating_add(self.wait_ms);
        }
        self.now
    }

    // One more was too many. With one alone it is others who have the memory, and there may be none for us.
    fn ran_out(&mut self, busy: u32, now_ms: i64) {
        self.now = self.now.min(busy.saturating_sub(1));
        self.grows_ms = now_ms.saturating_add(self.wait_ms);
        self.wait_ms = self.wait_ms.saturating_mul(2).min(self.rules.wait_max_ms);
    }

    fn worked(&mut self) {
        if self.now == self.rules.seats {
            self.wait_ms = self.rules.wait_ms;
        }
    }
}

#[cfg(test)]
mod tests;
