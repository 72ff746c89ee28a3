//! Holds a daemon's decoding, so that a test decides how long a job takes and no clock does.
//!
//! Owns nothing but the signal. Never ends a process.

use rustix::process::{Pid, Signal, kill_process};

use super::daemon::Daemon;

/// While it lives no decoder is started.
pub struct Held(Pid);

impl Held {
    /// Stops the process below the daemon that starts its decoders.
    pub fn of(daemon: &Daemon) -> Held {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let children: Vec<i32> = pids.filter(|pid| parent(*pid) == Some(daemon.pid())).collect();
        let [child] = children[..] else { panic!("the daemon has these children: {children:?}") };
        let pid = Pid::from_raw(child).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Held(pid)
    }

    /// Lets it go on.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Held {
    // Also when a test fails: a stopped process would outlive its daemon.
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}

fn parent(pid: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last bracket may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
