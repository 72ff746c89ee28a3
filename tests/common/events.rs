//! The events of a daemon's jobs, by job: how a test waits for an end without asking again and again.
//!
//! Owns a receiver that the daemon was told of. Never loses an event that came for another job.

use std::collections::HashMap;

use serde_json::Value;

use super::daemon::Daemon;
use super::receiver::Receiver;

/// Everything that came so far.
pub struct Events {
    receiver: Receiver,
    seen: HashMap<String, Value>,
}

impl Events {
    /// From now on every job of the daemon's key tells its end here.
    pub fn of(daemon: &Daemon) -> Events {
        Events::with(daemon, &[])
    }

    /// The same, with more parameters of SetMessageCallback.
    pub fn with(daemon: &Daemon, more: &[(&str, &str)]) -> Events {
        let receiver = Receiver::start(&[]);
        let url = receiver.url();
        let all: Vec<_> = [("CallbackURL", &*url), ("EventTypeList", "SnapshotComplete")]
            .into_iter()
            .chain([("CallbackType", "HTTP")])
            .chain(more.iter().copied())
            .collect();
        daemon.must("SetMessageCallback", &all);
        Events { receiver, seen: HashMap::new() }
    }

    /// The event of a job, as soon as it comes.
    #[track_caller]
    pub fn end_of(&mut self, job: &str) -> Value {
        loop {
            if let Some(event) = self.seen.remove(job) {
                return event;
            }
            let event = self.receiver.next().json();
            let job = event["JobId"].as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
            self.seen.insert(job, event);
        }
    }

    /// The next callback as it came, headers and all; only for a test that asks for nothing else.
    #[track_caller]
    pub fn next_raw(&self) -> super::receiver::Callback {
        self.receiver.next()
    }
}
