//! Counts what a walk costs, from several threads at once.
//!
//! Owns the counters and the CPU clocks of the stages. Never decides anything.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use md5::{Digest, Md5};
use rustix::time::{ClockId, clock_gettime};

use crate::model::coded::Unfit;
use crate::model::job::{Stage, StagesUs, Stats};

/// One packet as a decoder was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPacket {
    /// The pts of the packet that its run begins with; none in a linear walk.
    pub run: Option<i64>,
    /// Its place in the run, from 0.
    pub place: usize,
    /// Bytes given, and their MD5.
    pub bytes: usize,
    pub md5: [u8; 16],
}

/// The counters of one walk.
#[derive(Debug)]
pub struct Ledger<'n> {
    sent: Option<&'n Mutex<Vec<SentPacket>>>,
    began: Instant,
    cpu_at_start_us: u64,
    pub seek_runs: AtomicU64,
    pub packets_decoded: AtomicU64,
    pub packets_skipped: AtomicU64,
    pub frames_decoded: AtomicU64,
    unfit_runs: [AtomicU64; Unfit::ALL.len()],
    /// Read by one thread, told here now and then.
    pub packets_read: AtomicU64,
    pub seeks: AtomicU64,
    pub opens: AtomicU64,
    stages_us: [AtomicU64; Stage::ALL.len()],
}

/// CPU time of the calling thread, microseconds.
fn thread_cpu_us() -> u64 {
    micros(ClockId::ThreadCPUTime)
}

fn micros(clock: ClockId) -> u64 {
    let at = clock_gettime(clock);
    u64::try_from(at.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(at.tv_nsec).unwrap_or(0) / 1_000
}

impl<'n> Ledger<'n> {
    /// Counting begins now.
    pub fn new() -> Ledger<'n> {
        Ledger::noting(None)
    }

    /// Counting begins now; what a decoder is given goes to `sent` too.
    pub fn noting(sent: Option<&'n Mutex<Vec<SentPacket>>>) -> Ledger<'n> {
        Ledger {
            sent,
            began: Instant::now(),
            cpu_at_start_us: micros(ClockId::ProcessCPUTime),
            seek_runs: AtomicU64::new(0),
            packets_decoded: AtomicU64::new(0),
            packets_skipped: AtomicU64::new(0),
            frames_decoded: AtomicU64::new(0),
            unfit_runs: [const { AtomicU64::new(0) }; Unfit::ALL.len()],
            packets_read: AtomicU64::new(0),
            seeks: AtomicU64::new(0),
            opens: AtomicU64::new(0),
            stages_us: [const { AtomicU64::new(0) }; Stage::ALL.len()],
        }
    }

    /// A run begins; `unfit` says why its closure could not be told, if so.
    pub fn run_begins(&self, unfit: Option<Unfit>) {
        self.seek_runs.fetch_add(1, Ordering::Relaxed);
        if let Some(unfit) = unfit {
            self.unfit_runs[unfit as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A decoder is given `data` as the packet at `place` of the run that begins at pts `run`.
    pub fn note_sent(&self, run: Option<i64>, place: usize, data: &[u8]) {
        let Some(mut sent) = self.sent.and_then(|sent| sent.lock().ok()) else { return };
        sent.push(SentPacket { run, place, bytes: data.len(), md5: Md5::digest(data).into() });
    }

    /// Runs `work` and charges its thread's CPU time to `stage`.
    pub fn charge<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let before = thread_cpu_us();
        let result = work();
        self.stages_us[stage as usize].fetch_add(thread_cpu_us().saturating_sub(before), Ordering::Relaxed);
        result
    }

    /// Everything so far.
    pub fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stage = |stage: Stage| get(&self.stages_us[stage as usize]);
        Stats {
            opens: get(&self.opens),
            seeks: get(&self.seeks),
            seek_runs: get(&self.seek_runs),
            packets_read: get(&self.packets_read),
            packets_decoded: get(&self.packets_decoded),
            packets_skipped: get(&self.packets_skipped),
            frames_decoded: get(&self.frames_decoded),
            unfit_runs: self.unfit_runs.each_ref().map(get),
            cpu_us: micros(ClockId::ProcessCPUTime).saturating_sub(self.cpu_at_start_us),
            wall_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            stages_us: StagesUs {
                open: stage(Stage::Open) + stage(Stage::Probe),
                plan: stage(Stage::Plan),
                decode: stage(Stage::Decode),
                convert: stage(Stage::Convert),
                encode: stage(Stage::Encode),
            },
        }
    }
}

impl Default for Ledger<'_> {
    fn default() -> Self {
        Ledger::new()
    }
}
