//! When a child has had enough: CPU of each run, and time without progress. *Pure.*
//!
//! Owns the two deadlines of a batch. Never reads a clock: elapsed times come in.
//!
//! ```text
//!   CPU of the process   |--open, plan--|--run A--------------|--A and B--|--B--|
//!   charged to                 open              A              half each    B
//! ```
//!
//! A run is one thread's work, so what the process uses while n runs are under way is charged in equal
//! parts: a run that hangs alone is charged in full, and honest runs beside it are not made to pay for it.

use std::time::Duration;

use crate::model::snapshot::PointKey;

/// CPU that counts as a sign of life: a tick of the coarsest scheduler clock.
const SIGN_OF_LIFE: Duration = Duration::from_millis(10);

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A run, or opening and planning, used too much CPU.
    Cpu,
    /// Neither bytes nor CPU for too long.
    Progress,
}

/// What a child used so far.
#[derive(Clone, Debug)]
pub struct Meter {
    run_cpu: Duration,
    no_progress: Duration,
    /// CPU of the process as last seen.
    cpu: Duration,
    /// CPU while no run was under way, since the last run began or ended.
    between: Duration,
    runs: Vec<Run>,
    /// Wall time spent waiting for the child since its last sign of life.
    waited: Duration,
    /// CPU of the process at that sign.
    cpu_at_sign: Duration,
}

#[derive(Clone, Debug)]
struct Run {
    points: Vec<PointKey>,
    cpu: Duration,
}

impl Meter {
    /// With the two deadlines.
    pub fn new(run_cpu: Duration, no_progress: Duration) -> Meter {
        Meter {
            run_cpu,
            no_progress,
            cpu: Duration::ZERO,
            between: Duration::ZERO,
            runs: Vec::new(),
            waited: Duration::ZERO,
            cpu_at_sign: Duration::ZERO,
        }
    }

    /// CPU of the process, as the parent reads it, all threads since its start.
    pub fn cpu_is(&mut self, cpu: Duration) {
        let used = cpu.saturating_sub(self.cpu);
        self.cpu = self.cpu.max(cpu);
        match u32::try_from(self.runs.len()) {
            Ok(0) => self.between += used,
            // More runs than 32 bits count cannot be: each holds a planned point.
            runs => {
                let share = used / runs.unwrap_or(u32::MAX);
                self.runs.iter_mut().for_each(|run| run.cpu += share);
            }
        }
        if self.cpu.saturating_sub(self.cpu_at_sign) >= SIGN_OF_LIFE {
            self.sign_of_life();
        }
    }

    /// A run begins; one that begins again (after damage) starts anew.
    pub fn run_begins(&mut self, points: Vec<PointKey>) {
        self.run_ends(&points);
        self.runs.push(Run { points, cpu: Duration::ZERO });
    }

    /// Every point of a run is decided.
    pub fn run_ends(&mut self, points: &[PointKey]) {
        self.runs.retain(|run| match points.first() {
            Some(first) => !run.points.contains(first),
            None => !run.points.is_empty(),
        });
        self.between = Duration::ZERO;
    }

    /// Points of all runs under way.
    pub fn points_under_way(&self) -> usize {
        self.runs.iter().map(|run| run.points.len()).sum()
    }

    /// Bytes came.
    pub fn sign_of_life(&mut self) {
        self.waited = Duration::ZERO;
        self.cpu_at_sign = self.cpu;
    }

    /// The daemon waited this long for the child. Time in which the child waited for the daemon is not
    /// reported, so it does not count.
    pub fn waited(&mut self, wall: Duration) {
        self.waited += wall;
    }

    /// CPU of the process as last seen.
    pub fn cpu(&self) -> Duration {
        self.cpu
    }

    /// The deadline that passed, if one did.
    pub fn over(&self) -> Option<Over> {
        let most = self.runs.iter().map(|run| run.cpu).max().unwrap_or(self.between);
        if most > self.run_cpu {
            Some(Over::Cpu)
        } else if self.waited > self.no_progress {
            Some(Over::Progress)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn points(asked: &[u32]) -> Vec<PointKey> {
        asked.iter().map(|&asked| PointKey { job: 0, asked }).collect()
    }

    fn meter() -> Meter {
        Meter::new(s(30), s(60))
    }

    #[test]
    fn opening_has_the_limit_of_a_run() {
        let mut meter = meter();
        meter.cpu_is(s(30));
        assert_eq!(meter.over(), None);
        meter.cpu_is(s(31));
        assert_eq!(meter.over(), Some(Over::Cpu));
    }

    #[test]
    fn each_run_has_a_count_of_its_own() {
        let mut meter = meter();
        for n in 0..10u32 {
            meter.cpu_is(s(u64::from(n) * 29));
            meter.run_begins(points(&[n]));
            meter.cpu_is(s(u64::from(n) * 29 + 28));
            assert_eq!(meter.over(), None);
            meter.run_ends(&points(&[n]));
        }
        assert_eq!(meter.points_under_way(), 0);
    }

    #[test]
    fn a_hanging_run_is_not_hidden_by_others() {
        let mut meter = meter();
        meter.run_begins(points(&[0]));
        let mut cpu = 0;
        // Other runs come and go beside it, 2 CPU seconds each.
        let over = (1..100u32).find(|&n| {
            meter.run_begins(points(&[n]));
            cpu += 2;
            meter.cpu_is(s(cpu));
            meter.run_ends(&points(&[n]));
            meter.over().is_some()
        });
        assert_eq!(over, Some(31));
        assert_eq!(meter.over(), Some(Over::Cpu));
    }

    #[test]
    fn runs_side_by_side_share_what_the_process_uses() {
        let mut meter = meter();
        (0..16).for_each(|n| meter.run_begins(points(&[n])));
        meter.cpu_is(s(16 * 30));
        assert_eq!(meter.over(), None);
        meter.cpu_is(s(16 * 31));
        assert_eq!(meter.over(), Some(Over::Cpu));
    }

    #[test]
    fn a_run_that_begins_again_starts_anew() {
        let mut meter = meter();
        meter.run_begins(points(&[4, 5]));
        meter.cpu_is(s(29));
        meter.run_begins(points(&[4, 5]));
        meter.cpu_is(s(50));
        assert_eq!((meter.over(), meter.points_under_way()), (None, 2));
    }

    #[test]
    fn only_silence_without_cpu_is_no_progress() {
        let mut meter = meter();
        meter.run_begins(points(&[0]));
        meter.waited(s(59));
        meter.cpu_is(Duration::from_millis(20));
        meter.waited(s(59));
        assert_eq!(meter.over(), None);
        meter.cpu_is(Duration::from_millis(25));
        meter.waited(s(2));
        assert_eq!(meter.over(), Some(Over::Progress));
        meter.sign_of_life();
        assert_eq!(meter.over(), None);
    }

    #[test]
    fn a_clock_that_reads_less_is_ignored() {
        let mut meter = meter();
        meter.cpu_is(s(20));
        meter.cpu_is(s(5));
        meter.cpu_is(s(25));
        assert_eq!((meter.over(), meter.cpu()), (None, s(25)));
    }
}
