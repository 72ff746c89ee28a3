//! How a child's life ended, put together from all who know.
//!
//! Owns the word of the child itself, of wait, and of the deadline that killed it, and which of them counts.
//! Never kills: `running` does.

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::meter::Over;
use super::protocol::{Exit, How};
use crate::model::device::Refusal;
use crate::model::job::{Death, Ended, Stats};

/// What is known about the end.
pub(super) struct End {
    /// The process outlives the batch: its death is a device's fault, not the batch's.
    lasting: bool,
    wait: oneshot::Receiver<Exit>,
    /// Wait's word; `None` inside when the zygote took it along.
    waited: Option<Option<Exit>>,
    /// The child's own last word.
    pub said: Option<(Ended, Stats)>,
    /// Why we ended it.
    pub verdict: Option<Verdict>,
    /// Nothing more will be read.
    pub silent: bool,
    /// When waiting for the end is given up.
    pub give_up_at: Option<Instant>,
    /// What was settled.
    pub last: Option<(Ended, Stats)>,
}

/// Why a child was killed for its own doing.
pub(super) enum Verdict {
    Timeout(Over),
    Misspoke(String),
}

/// The end, with what it cost.
pub(super) struct Settled {
    pub ended: Ended,
    pub stats: Stats,
    /// What went wrong, for people.
    pub fault: Option<String>,
}

impl End {
    pub fn new(wait: oneshot::Receiver<Exit>, lasting: bool) -> End {
        let (waited, said, verdict, silent) = (None, None, None, false);
        End { lasting, wait, waited, said, verdict, silent, give_up_at: None, last: None }
    }

    /// Wait's word, once it is known; the process is gone then and its place in the table is free. Of a helper that
    /// stays it is the batch that is over, and nothing more comes of it.
    pub fn exit(&self) -> Option<Exit> {
        self.waited.flatten()
    }

    /// True when no word will come.
    pub fn zygote_is_gone(&self) -> bool {
        self.waited == Some(None)
    }

    /// Waits for wait's word; for ever, once it came.
    pub async fn heard(&mut self) {
        if self.waited.is_some() {
            std::future::pending::<()>().await;
        }
        self.waited = Some((&mut self.wait).await.ok());
    }

    /// Waits for it until `give_up_at`, which is `latest` unless it was set before.
    pub async fn wait(&mut self, latest: Instant) {
        let at = *self.give_up_at.get_or_insert(latest);
        if self.waited.is_none()
            && let Ok(waited) = timeout_at(at, &mut self.wait).await
        {
            self.waited = Some(waited.ok());
        }
    }

    /// Settles it. `killed`: by our own side. `seen`: the stats as far as they are known without wait.
    pub fn settle(&mut self, killed: bool, seen: Stats, oom: impl FnOnce() -> bool) -> Settled {
        let exit = self.exit();
        if let Some((ended, stats)) = self.said.take() {
            // What a helper itself knows is the CPU of its whole life.
            let known_us = if self.lasting { seen.cpu_us } else { stats.cpu_us };
            let cpu_us = exit.map_or(known_us, |exit| exit.cpu_us);
            return Settled { ended, stats: Stats { cpu_us, ..stats }, fault: None };
        }
        let stats = Stats { cpu_us: exit.map_or(seen.cpu_us, |exit| exit.cpu_us), ..seen };
        let (cause, reason) = if killed { (Death::Killed, None) } else { self.cause(oom) };
        let fault = reason.map(|reason| {
            let mib = exit.map_or(0, |exit| exit.peak_rss_kib / 1024);
            format!("{reason}; {} ms of CPU, {mib} MiB at most", stats.cpu_us / 1000)
        });
        if self.lasting && !killed {
            let reason = if cause == Death::Timeout { Refusal::Hang } else { Refusal::Crash };
            let ended = Ended::Refused { reason, text: fault.unwrap_or_default() };
            return Settled { ended, stats, fault: None };
        }
        Settled { ended: Ended::Died { cause }, stats, fault }
    }

    fn cause(&self, oom: impl FnOnce() -> bool) -> (Death, Option<String>) {
        let who = if self.lasting { "helper" } else { "child" };
        let (cause, reason) = match &self.verdict {
            Some(Verdict::Timeout(Over::Cpu)) => {
                (Death::Timeout, "a run used more CPU than allowed".to_owned())
            }
            Some(Verdict::Timeout(Over::Progress)) => (Death::Timeout, "no progress for too long".to_owned()),
            Some(Verdict::Misspoke(fault)) => (Death::Crash, format!("{who} broke the protocol: {fault}")),
            None => match self.exit().map(|exit| exit.how) {
                Some(How::Signal(libc::SIGKILL)) if oom() => {
                    (Death::OutOfMemory, format!("{who} was killed for want of memory"))
                }
                Some(How::Signal(signal)) => (Death::Crash, format!("{who} died of signal {signal}")),
                Some(How::Code(code)) => (Death::Crash, format!("{who} ended with code {code}")),
                None if self.zygote_is_gone() && !self.lasting => return (Death::Zygote, None),
                None => (Death::Crash, format!("{who} does not end")),
            },
        };
        (cause, Some(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(exit: Option<How>) -> End {
        let mut end = End::new(oneshot::channel().1, false);
        end.waited = Some(exit.map(|how| Exit { how, cpu_us: 70, peak_rss_kib: 1 }));
        end
    }

    fn died(cause: Death) -> Ended {
        Ended::Died { cause }
    }

    fn settled(mut end: End, killed: bool, oom: bool) -> (Ended, u64, bool) {
        let seen = Stats { cpu_us: 50, ..Stats::default() };
        let Settled { ended, stats, fault } = end.settle(killed, seen, || oom);
        (ended, stats.cpu_us, fault.is_some())
    }

    #[test]
    fn the_cause_is_the_best_that_is_known() {
        let kill = Some(How::Signal(libc::SIGKILL));
        assert_eq!(settled(end(kill), false, false), (died(Death::Crash), 70, true));
        assert_eq!(settled(end(kill), false, true), (died(Death::OutOfMemory), 70, true));
        assert_eq!(settled(end(kill), true, true), (died(Death::Killed), 70, false));
        assert_eq!(settled(end(Some(How::Signal(6))), false, true), (died(Death::Crash), 70, true));
        // An exit with success, but without a last word.
        assert_eq!(settled(end(Some(How::Code(0))), false, true), (died(Death::Crash), 70, true));
        assert_eq!(settled(end(None), false, true), (died(Death::Zygote), 50, false));
        let mut late = end(kill);
        late.verdict = Some(Verdict::Timeout(Over::Cpu));
        assert_eq!(settled(late, false, true), (died(Death::Timeout), 70, true));
        assert_eq!(
            settled(End::new(oneshot::channel().1, false), false, true),
            (died(Death::Crash), 50, true)
        );
    }

    #[test]
    fn the_childs_own_word_counts_whatever_came_after() {
        let mut end = end(Some(How::Signal(libc::SIGKILL)));
        end.said = Some((Ended::Done, Stats { cpu_us: 1, ..Stats::default() }));
        end.verdict = Some(Verdict::Timeout(Over::Progress));
        assert_eq!(settled(end, true, true), (Ended::Done, 70, false));
    }

    #[test]
    fn a_helpers_death_is_a_refusal_unless_we_killed_it() {
        let lasting = |exit, verdict| {
            let mut end = end(exit);
            (end.lasting, end.verdict) = (true, verdict);
            end
        };
        let reason = |end, killed| match settled(end, killed, true) {
            (Ended::Refused { reason, text }, cpu, false) => {
                assert!(text.contains("ms of CPU") && !text.contains("child"), "{text}");
                Ok((reason, cpu))
            }
            other => Err(other),
        };
        let kill = Some(How::Signal(libc::SIGKILL));
        let segv = Some(How::Signal(libc::SIGSEGV));
        let over = || Some(Verdict::Timeout(Over::Progress));
        assert_eq!(reason(lasting(segv, None), false), Ok((Refusal::Crash, 70)));
        assert_eq!(
            reason(lasting(kill, Some(Verdict::Misspoke("x".into()))), false),
            Ok((Refusal::Crash, 70))
        );
        assert_eq!(reason(lasting(Some(How::Code(0)), None), false), Ok((Refusal::Crash, 70)));
        assert_eq!(reason(lasting(None, None), false), Ok((Refusal::Crash, 50)));
        // It does not even die of the kill.
        assert_eq!(reason(lasting(None, over()), false), Ok((Refusal::Hang, 50)));
        assert_eq!(reason(lasting(kill, over()), false), Ok((Refusal::Hang, 70)));
        assert_eq!(reason(lasting(kill, over()), true), Err((died(Death::Killed), 70, false)));
    }
}
