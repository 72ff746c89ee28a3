//! The processes below a daemon, as /proc tells them.
//!
//! Owns how a worker and its children are told apart. Never ends anything by name: only by a process id that it looked up.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process that is there and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
}

impl Process {
    /// Is it `stillframe worker`, or a child that it forked?
    pub fn is_worker(self) -> bool {
        let command = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        command.split(|byte| *byte == 0).nth(1) == Some(b"worker".as_slice())
    }

    /// Has it this file open?
    pub fn has_open(self, file: &Path) -> bool {
        let file = file.canonicalize().unwrap();
        // A process that is gone by now has nothing open.
        let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", self.pid)) else { return false };
        open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == file))
    }

    /// Has it begun to decode? A child that only probes a video has no thread for that.
    pub fn decodes(self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else { return false };
        let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm"));
        threads.flatten().any(|thread| name(thread).is_ok_and(|name| name.starts_with("decode-")))
    }

    pub fn signal(self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid).unwrap()).unwrap();
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{self:?}: {error}"));
    }
}

/// Every process below `root`, whatever its depth.
pub fn below(root: u32) -> Vec<Process> {
    let all: Vec<Process> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect();
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let children = all.iter().filter(|process| process.parent == parent);
        children.for_each(|child| {
            found.push(*child);
            parents.push(child.pid);
        });
    }
    found
}

/// The child that decodes `video` for the daemon, if one does now.
pub fn walking(daemon: u32, video: &Path) -> Option<Process> {
    let below = below(daemon);
    let forked = |child: &&Process| child.parent != daemon && child.is_worker();
    below.iter().filter(forked).find(|child| child.has_open(video) && child.decodes()).copied()
}

// `pid (name) state parent ...`; the name may hold anything, so what follows its last bracket counts.
fn read(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(Process { pid, parent })
}
