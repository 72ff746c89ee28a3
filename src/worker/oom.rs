//! Whether the kernel's out-of-memory killer took a child.
//!
//! Owns the kill count of the daemon's own control group. Never guesses: without the count, or once it is
//! used up, a SIGKILL from outside is a crash.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The count of OOM kills in this control group, and how many of them a death was laid to.
#[derive(Debug, Default)]
pub(super) struct OomKills {
    events: Option<PathBuf>,
    explained: Mutex<u64>,
}

impl OomKills {
    /// Of the control group that this process and its children are in (cgroup v2).
    pub fn of_this_group() -> OomKills {
        let events = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| events_path(&text));
        let kills = OomKills { events, explained: Mutex::new(0) };
        let so_far = kills.count().unwrap_or(0);
        *kills.explained.lock().unwrap_or_else(PoisonError::into_inner) = so_far;
        kills
    }

    /// True when there is a kill that no death was laid to yet; it is then.
    pub fn explains_a_death(&self) -> bool {
        let Some(count) = self.count() else {
            return false;
        };
        let mut explained = self.explained.lock().unwrap_or_else(PoisonError::into_inner);
        let more = count > *explained;
        if more {
            *explained += 1;
        }
        more
    }

    fn count(&self) -> Option<u64> {
        oom_kills(&std::fs::read_to_string(self.events.as_ref()?).ok()?)
    }
}

// `0::/system.slice/stillframe.service` is the line of the unified hierarchy.
fn events_path(cgroup: &str) -> Option<PathBuf> {
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from("/sys/fs/cgroup").join(group).join("memory.events"))
}

fn oom_kills(events: &str) -> Option<u64> {
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_the_units_own_group() {
        let path = events_path("1:name=systemd:/\n0::/system.slice/stillframe.service\n");
        let expected = "/sys/fs/cgroup/system.slice/stillframe.service/memory.events";
        assert_eq!(path, Some(PathBuf::from(expected)));
        assert_eq!(events_path("4:memory:/x\n"), None);
        assert_eq!(oom_kills("low 0\noom 3\noom_kill 2\noom_group_kill 7\n"), Some(2));
        assert_eq!(oom_kills("low 0\n"), None);
    }

    #[test]
    fn one_kill_explains_one_death() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let write = |n: u64| std::fs::write(file.path(), format!("oom_kill {n}\n")).expect("written");
        write(1);
        let kills = OomKills { events: Some(file.path().to_owned()), explained: Mutex::new(1) };
        assert!(!kills.explains_a_death());
        write(3);
        assert!(kills.explains_a_death());
        assert!(kills.explains_a_death());
        assert!(!kills.explains_a_death());
        assert!(!OomKills::default().explains_a_death());
    }
}
