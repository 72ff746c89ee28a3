//! The tasks of the pool: decode a run, hand each frame on to be developed.
//!
//! Owns what they share and how many bytes they hold. Never reads ahead of its run and never waits for another task.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rayon::Scope;

use super::capture::steps::SeekRun;
use super::decode::{Decoders, Packets, decode_run};
use super::develop::{Develop, Exposure};
use super::guard::guarded;
use super::ledger::Ledger;
use super::media::Frame;
use super::media::fingerprint::frame_md5;
use super::wishes::{Asker, Wishes};
use crate::model::delivery::Message;
use crate::model::job::{Failure, Grant, Stage};
use crate::model::limits::POOL_PAYLOAD_BYTES_MAX;
use crate::model::media::Timeline;
use crate::model::snapshot::PointKey;
use crate::model::time::Seconds;

/// What the tasks of the pool share with the walk.
#[derive(Clone, Copy)]
pub struct Hall<'e> {
    pub wishes: &'e Wishes,
    pub timeline: Timeline,
    /// Display length of a frame whose packet tells none.
    pub frame_length: Seconds,
    pub decoders: &'e Decoders<'e>,
    pub develop: &'e Develop<'e>,
    pub ledger: &'e Ledger<'e>,
    pub grant: Grant,
}

/// What is on its way through the pool: bytes of packets that its runs hold, and pictures in the making.
#[derive(Default)]
pub struct Loads {
    packets: Mutex<usize>,
    fewer: Condvar,
    frames: AtomicU64,
    pictures: AtomicU32,
}

impl Loads {
    /// A share of the packets' bytes. Waits for runs to end while there would be too many; a run that is too large
    /// by itself goes alone.
    pub fn hold(self: &Arc<Loads>, bytes: usize) -> HeldBytes {
        let mut held = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        while *held > 0 && *held + bytes > POOL_PAYLOAD_BYTES_MAX {
            held = self.fewer.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held += bytes;
        HeldBytes { loads: Arc::clone(self), bytes }
    }
}

/// A share of the packets' bytes; given back on drop.
pub struct HeldBytes {
    loads: Arc<Loads>,
    bytes: usize,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        *self.loads.packets.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.loads.fewer.notify_all();
    }
}

impl<'e> Hall<'e> {
    /// One task of the pool: a run with a decoder of its own.
    pub fn decode(self, scope: &Scope<'e>, run: &SeekRun, packets: &mut dyn Packets, loads: &Arc<Loads>) {
        if self.develop.is_over() {
            return;
        }
        let points = self.points(run);
        self.ledger.run_begins(run.unfit);
        self.develop.say(Message::RunBegins { points: points.clone(), stats: self.ledger.stats() });
        let guard = Arc::new(RunGuard { develop: self.develop, points });
        let mut handed = vec![false; run.targets.len()];
        let mut deliver = |target: usize, frame, damaged| {
            handed[target] = true;
            let (exposure, askers) = self.exposure(run, target, damaged);
            self.hand_over(scope, frame, exposure, askers, loads, &guard);
            !self.develop.is_gone()
        };
        let decoded = guarded(Stage::Decode, || {
            decode_run(run, packets, self.decoders, self.ledger, &mut deliver).missing
        });
        let missing = decoded.unwrap_or_else(|panic| {
            let left = (0..handed.len()).filter(|target| !handed[*target]);
            left.map(|target| (target, panic.clone())).collect()
        });
        for (target, failure) in missing {
            for asker in run.targets[target].wants.iter().flat_map(|want| &self.wishes.askers[*want]) {
                self.develop.give_up(asker, failure.clone());
            }
        }
    }

    /// Every point of a run ends without a picture.
    pub fn fail(self, run: &SeekRun, failure: Failure) {
        for asker in run.targets.iter().flat_map(|t| &t.wants).flat_map(|want| &self.wishes.askers[*want]) {
            self.develop.give_up(asker, failure.clone());
        }
    }

    /// What is told of a target (by place in `SeekRun.targets`), and to whom.
    pub fn exposure(&self, run: &SeekRun, target: usize, damaged: bool) -> (Exposure, Vec<Asker>) {
        let target = &run.targets[target];
        let askers = target.wants.iter().flat_map(|want| &self.wishes.askers[*want]).copied().collect();
        let exposure = Exposure {
            pts: target.head.pts.unwrap_or(0),
            time_base: self.timeline.time_base,
            origin: self.timeline.origin,
            length: self.length_of(target.head.duration),
            key_frame: target.head.header.key,
            is_last: target.is_last,
            damaged,
            frame_md5: None,
        };
        (exposure, askers)
    }

    /// The points that a run serves.
    pub fn points(&self, run: &SeekRun) -> Vec<PointKey> {
        let wants = run.targets.iter().flat_map(|t| &t.wants);
        wants.flat_map(|want| &self.wishes.askers[*want]).map(|asker| asker.point).collect()
    }

    fn length_of(&self, duration: i64) -> i64 {
        if duration > 0 { duration } else { self.frame_length.floor_pts(self.timeline.time_base) }
    }

    /// Pictures are made by tasks of their own while the byte budget lasts and the pool keeps up, else on the spot.
    pub fn hand_over(
        self,
        scope: &Scope<'e>,
        frame: Frame,
        mut exposure: Exposure,
        askers: Vec<Asker>,
        loads: &Arc<Loads>,
        guard: &Arc<RunGuard<'e>>,
    ) {
        // A 16-bit 4:4:4 picture bounds whatever the decoder's format is.
        let bytes = u64::from(frame.width()) * u64::from(frame.height()) * 6;
        let loads = Arc::clone(loads);
        let guard = Arc::clone(guard);
        let before = loads.frames.fetch_add(bytes, Ordering::Relaxed);
        let others = loads.pictures.fetch_add(1, Ordering::Relaxed);
        let task = move |_: &Scope<'e>| {
            if self.develop.wants_md5(&askers) {
                exposure.frame_md5 = Some(frame_md5(&frame));
            }
            self.develop.develop(&frame, exposure, &askers);
            loads.frames.fetch_sub(bytes, Ordering::Relaxed);
            loads.pictures.fetch_sub(1, Ordering::Relaxed);
            drop(guard);
        };
        if others < self.grant.threads.saturating_sub(1) && before + bytes <= self.grant.bytes {
            scope.spawn(task);
        } else {
            task(scope);
        }
    }
}

/// Tells that a run is over once its last picture was delivered.
pub struct RunGuard<'e> {
    pub develop: &'e Develop<'e>,
    pub points: Vec<PointKey>,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.develop.say(Message::RunEnds { points: std::mem::take(&mut self.points) });
    }
}
