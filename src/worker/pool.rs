//! The daemon's side of the bridge: starts the zygote, runs one batch a child, enforces deadlines.

use std::time::Duration;

use super::budget::{Budget, Held};
use crate::model::delivery::Message;
use crate::model::job::{Ended, Grant, Source, Stats, VideoBatch};

/// What the pool needs to know.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// CPU seconds a run may use before its child is killed.
    pub run_cpu: Duration,
    /// Wall time without progress in bytes or frames before the child is killed.
    pub no_progress: Duration,
    /// The image bytes that may wait in the daemon.
    pub budget: Budget,
}

/// The running zygote and its children.
pub struct Pool {}

/// One batch in one child.
pub struct Running {}

/// What comes out of a child.
#[derive(Debug)]
pub enum Delivery {
    /// Anything but an image's bytes; an `Image` message comes with the share that its bytes hold.
    Message(Message, Option<Held>),
    /// The last word: how the walk ended and what it cost, CPU of a dead child included.
    Ended(Ended, Stats),
}

impl Pool {
    /// Starts the zygote.
    ///
    /// # Errors
    /// When it cannot be started or greets with another build.
    pub async fn start(_config: PoolConfig) -> std::io::Result<Pool> {
        unimplemented!()
    }

    /// Runs a batch in a child of its own.
    ///
    /// # Errors
    /// When no child can be made; nobody pays for that.
    pub async fn run(&self, _batch: VideoBatch, _source: Source, _grant: Grant) -> std::io::Result<Running> {
        unimplemented!()
    }

    /// Children at work, and restarts of the zygote so far.
    pub fn gauges(&self) -> PoolGauges {
        unimplemented!()
    }

    /// Ends the zygote after its children ended.
    pub async fn shut_down(self) {
        unimplemented!()
    }
}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolGauges {
    pub busy: u64,
    pub zygote_restarts: u64,
}

impl Running {
    /// The next thing that the child says. `Ended` comes exactly once and last.
    pub async fn next(&mut self) -> Delivery {
        unimplemented!()
    }

    /// Asks the child to stop after the runs in hand.
    pub fn stop(&self) {
        unimplemented!()
    }

    /// Kills the child; `Ended(Died { cause: Killed })` follows.
    pub fn kill(&self) {
        unimplemented!()
    }
}
