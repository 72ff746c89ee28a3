//! What the machine did meanwhile, out of /proc.
//!
//! Owns the reading of CPU times and of the load average. Never judges them.

use std::collections::HashMap;
use std::time::Duration;

/// CPU time since their start: the daemon's own, and that of its zygote and all children, ended ones included.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub daemon: Duration,
    pub workers: Duration,
}

impl Cpu {
    /// Of the daemon with this process id.
    pub fn of(daemon: u32) -> Cpu {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let time = |ticked: u64| Duration::from_secs_f64(ticked as f64 / ticks as f64);
        let all = processes();
        let mut cpu = Cpu::default();
        let mut left = vec![daemon];
        while let Some(pid) = left.pop() {
            let Some(process) = all.get(&pid) else { continue };
            if pid == daemon {
                cpu.daemon += time(process.own);
                cpu.workers += time(process.reaped);
            } else {
                cpu.workers += time(process.own + process.reaped);
            }
            left.extend(all.iter().filter(|(_, other)| other.parent == pid).map(|(pid, _)| *pid));
        }
        cpu
    }
}

struct Process {
    parent: u32,
    own: u64,
    /// Of children that ended.
    reaped: u64,
}

fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in front may hold blanks and brackets.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let parent = u32::try_from(number(1)?).ok()?;
        Some((pid, Process { parent, own: number(11)? + number(12)?, reaped: number(13)? + number(14)? }))
    })
    .collect()
}

/// Processes that want a core, averaged over a minute.
pub fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}
