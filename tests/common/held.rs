//! Holds a daemon's decoding, so that a test decides how long a job takes and no clock does.
//!
//! Owns nothing but the signal. Never ends a process.

use rustix::process::Signal;

use super::daemon::Daemon;
use super::processes::{Process, below};

/// While it lives no decoder is started.
pub struct Held(Process);

impl Held {
    /// Stops the process below the daemon that starts its decoders.
    pub fn of(daemon: &Daemon) -> Held {
        let children: Vec<Process> =
            below(daemon.pid()).into_iter().filter(|process| process.parent == daemon.pid()).collect();
        let [zygote] = children[..] else { panic!("the daemon has these children: {children:?}") };
        zygote.signal(Signal::STOP);
        Held(zygote)
    }

    /// Lets it go on.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}
