//! Walks the file: drives the planner with packet heads and sends finished runs to the pool.
//!
//! Owns the reader's position and the payload of the open run. Never decodes on its own thread, except what
//! is too large to be held.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rayon::Scope;

use super::capture::plan::{Planner, Reason, SeekRun, Step};
use super::decode::{Decoders, Held, Packets, decode_run};
use super::develop::{Develop, Exposure};
use super::guard::guarded;
use super::ledger::Ledger;
use super::linear;
use super::media::decoder::share;
use super::media::fingerprint::frame_md5;
use super::media::reader::Reader;
use super::media::{Frame, Packet};
use super::wishes::{Asker, Wishes};
use crate::model::delivery::Message;
use crate::model::job::{FailCode, Failure, Grant, Stage};
use crate::model::limits::RUN_PAYLOAD_BYTES_MAX;
use crate::model::media::{Ahead, Timeline};
use crate::model::snapshot::PointKey;
use crate::model::time::{Seconds, TimeBase};

/// One walk over one open video.
pub struct Walker<'e, 'a> {
    pub reader: &'a mut Reader,
    pub wishes: &'e Wishes,
    pub timeline: Timeline,
    pub frame_length: Seconds,
    pub decoders: &'e Decoders<'e>,
    pub develop: &'e Develop<'e>,
    pub ledger: &'e Ledger,
    pub grant: Grant,
    /// Takes the runs instead of decoding them.
    pub survey: Option<&'a mut Survey>,
}

/// What a walk would decode.
#[derive(Debug, Default)]
pub struct Survey {
    pub runs: Vec<SeekRun>,
    /// Why everything from the first packet on would be decoded, if so.
    pub linear: Option<Reason>,
}

/// What tasks of the pool share with the walk.
#[derive(Clone, Copy)]
struct Hall<'e> {
    wishes: &'e Wishes,
    timeline: Timeline,
    frame_length: Seconds,
    decoders: &'e Decoders<'e>,
    develop: &'e Develop<'e>,
    ledger: &'e Ledger,
    grant: Grant,
}

/// Packets beside the planner's window, by sequence number.
#[derive(Default)]
struct Payload {
    packets: VecDeque<Option<Packet>>,
    base: u64,
    bytes: usize,
}

/// Bytes that runs on their way through the pool hold, and pictures in the making.
#[derive(Default)]
struct Loads {
    packets: AtomicUsize,
    frames: AtomicU64,
}

impl<'e> Walker<'e, '_> {
    /// Serves every want.
    ///
    /// # Errors
    /// What ends the whole batch: `Io`.
    pub fn walk(&mut self, scope: &Scope<'e>) -> Result<(), Failure> {
        let loads = Arc::new(Loads::default());
        if !self.reader.can_plan() {
            return self.walk_linearly(scope, None, Reason::NoStart, &loads);
        }
        let mut planner = Planner::new(self.wishes.wants.clone(), self.reader.reorder());
        let mut payload = Payload::default();
        let mut back = Seconds::of_ms(1000);
        planner.restart(self.begin(&planner));
        payload.restart(planner.next_seq());
        loop {
            if self.develop.is_over() {
                return Ok(());
            }
            let reader = &*self.reader;
            match self.ledger.charge(Stage::Plan, || planner.step(|pts| reader.ahead(pts))) {
                Step::More => {
                    payload.forget_before(planner.keep_from());
                    match self.ledger.charge(Stage::Plan, || self.reader.next())? {
                        Some((packet, head)) => {
                            payload.push(planner.next_seq(), packet);
                            planner.feed(head);
                        }
                        None => planner.end(),
                    }
                }
                Step::Run(run) => {
                    let keep = planner.keep_from();
                    if let Some(survey) = &mut self.survey {
                        survey.runs.push(run);
                    } else if let Some(packets) = payload.take(&run, keep) {
                        self.start(scope, run, packets, &loads);
                    } else {
                        // The planner's window went along with the position: begin anew behind this run.
                        self.read_twice(scope, &run, &loads)?;
                        if let Some(aim) = planner.aim() {
                            planner.restart(self.reader.seek(aim));
                            payload.restart(planner.next_seq());
                        }
                    }
                }
                Step::Jump => {
                    back = Seconds::of_ms(1000);
                    let Some(aim) = planner.aim() else { return Ok(()) };
                    planner.restart(self.reader.seek(aim));
                    payload.restart(planner.next_seq());
                }
                Step::Back => {
                    let Some(aim) = planner.aim() else { return Ok(()) };
                    let to = Seconds::of_pts(aim, self.timeline.time_base).minus(back);
                    back = back.plus(back);
                    planner.restart(self.reader.seek(to.floor_pts(self.timeline.time_base)));
                    payload.restart(planner.next_seq());
                }
                Step::Linear(reason) => {
                    return self.walk_linearly(scope, Some(planner.unserved()), reason, &loads);
                }
                Step::Done => {
                    self.give_up_unserved(&planner.unserved());
                    return Ok(());
                }
            }
        }
    }

    /// Goes to the first want, unless it lies near the beginning, where the reader stands. True when the
    /// packets that follow are the stream's first.
    fn begin(&mut self, planner: &Planner) -> bool {
        let Some(want) = planner.next_want() else { return true };
        let first = self.timeline.origin.floor_pts(self.timeline.time_base);
        let far = match self.reader.ahead(want.pts) {
            Ahead::Key(key) => key > first.max(self.reader.first_time()),
            Ahead::Far(gap) => want.pts.saturating_sub(first) > gap,
            Ahead::Unknown => false,
        };
        if far { self.reader.seek(want.pts) } else { true }
    }

    fn hall(&self) -> Hall<'e> {
        Hall {
            wishes: self.wishes,
            timeline: self.timeline,
            frame_length: self.frame_length,
            decoders: self.decoders,
            develop: self.develop,
            ledger: self.ledger,
            grant: self.grant,
        }
    }

    /// Copies what the reader counted.
    pub fn tell(&self) {
        self.ledger.packets_read.store(self.reader.packets_read, Ordering::Relaxed);
        self.ledger.seeks.store(self.reader.seeks, Ordering::Relaxed);
    }

    /// Sends a run to the pool. While the pool holds more than it should, the reader decodes this one itself.
    fn start(&self, scope: &Scope<'e>, run: SeekRun, packets: Vec<Packet>, loads: &Arc<Loads>) {
        self.tell();
        let bytes: usize = packets.iter().map(Packet::size).sum();
        let hall = self.hall();
        let loads = Arc::clone(loads);
        let before = loads.packets.fetch_add(bytes, Ordering::Relaxed);
        let task = move |scope: &Scope<'e>| {
            hall.decode(scope, &run, &mut Held::new(packets), &loads);
            loads.packets.fetch_sub(bytes, Ordering::Relaxed);
        };
        if before > RUN_PAYLOAD_BYTES_MAX {
            task(scope);
        } else {
            scope.spawn(task);
        }
    }

    /// A run whose packets are too many to be held is read again and decoded as it is read.
    fn read_twice(&mut self, scope: &Scope<'e>, run: &SeekRun, loads: &Arc<Loads>) -> Result<(), Failure> {
        self.tell();
        let hall = self.hall();
        let mut again = Again { reader: self.reader, run, current: Packet::empty(), left: 0, failure: None };
        match again.rewind() {
            Ok(()) => hall.decode(scope, run, &mut again, loads),
            Err(failure) => hall.fail(run, failure),
        }
        again.failure.map_or(Ok(()), Err)
    }

    /// Decodes everything from the first packet. `rest` names the wants that are left; none is all of them.
    fn walk_linearly(
        &mut self,
        scope: &Scope<'e>,
        rest: Option<Vec<usize>>,
        reason: Reason,
        loads: &Arc<Loads>,
    ) -> Result<(), Failure> {
        if let Some(survey) = &mut self.survey {
            survey.linear = Some(reason);
            return Ok(());
        }
        let counting = !self.has_pts()?;
        let (wants, askers): (Vec<i64>, Vec<Vec<Asker>>) = if counting {
            self.wishes.by_count(self.frame_length)
        } else {
            let rest = rest.unwrap_or_else(|| (0..self.wishes.wants.len()).collect());
            rest.iter().map(|i| (self.wishes.wants[*i].pts, self.wishes.askers[*i].clone())).unzip()
        };
        let points: Vec<PointKey> = askers.iter().flatten().map(|a| a.point).collect();
        self.reader.seek_start();
        self.tell();
        self.ledger.seek_runs.fetch_add(1, Ordering::Relaxed);
        self.develop.say(Message::RunBegins { points: points.clone(), stats: self.ledger.stats() });
        let hall = self.hall();
        let (time_base, origin) = if counting {
            (frame_number_base(self.frame_length), Seconds::ZERO)
        } else {
            (self.timeline.time_base, self.timeline.origin)
        };
        let guard = Arc::new(RunGuard { develop: self.develop, points });
        let served =
            linear::walk(self.reader, self.decoders, self.ledger, &wants, counting, &mut |want, seen| {
                let exposure = Exposure {
                    pts: seen.at,
                    time_base,
                    origin,
                    length: seen.length,
                    key_frame: seen.key_frame,
                    is_last: seen.is_last,
                    damaged: seen.damaged,
                    frame_md5: None,
                };
                hall.hand_over(scope, share(&seen.frame), exposure, askers[want].clone(), loads, &guard);
                !hall.develop.is_over()
            });
        self.tell();
        let served = served?;
        if !self.develop.is_over() {
            for asker in askers[served..].iter().flatten() {
                self.develop.give_up(asker, nothing_shown());
            }
        }
        Ok(())
    }

    /// Does the stream's first packet carry a pts?
    fn has_pts(&mut self) -> Result<bool, Failure> {
        self.reader.seek_start();
        Ok(self.reader.next()?.is_some_and(|(_, head)| head.pts.is_some()))
    }

    fn give_up_unserved(&self, wants: &[usize]) {
        for asker in wants.iter().flat_map(|want| &self.wishes.askers[*want]) {
            self.develop.give_up(asker, nothing_shown());
        }
    }
}

fn nothing_shown() -> Failure {
    Failure::new(FailCode::Corrupt, Stage::Decode, "no frame is shown in the video stream")
}

/// A frame's number as its pts.
fn frame_number_base(frame_length: Seconds) -> TimeBase {
    TimeBase {
        num: i64::try_from(frame_length.num).unwrap_or(1),
        den: i64::try_from(frame_length.den).unwrap_or(25),
    }
}

impl<'e> Hall<'e> {
    /// One task of the pool: a run with a decoder of its own.
    fn decode(self, scope: &Scope<'e>, run: &SeekRun, packets: &mut dyn Packets, loads: &Arc<Loads>) {
        if self.develop.is_over() {
            return;
        }
        let points = self.points(run);
        self.ledger.seek_runs.fetch_add(1, Ordering::Relaxed);
        self.develop.say(Message::RunBegins { points: points.clone(), stats: self.ledger.stats() });
        let guard = Arc::new(RunGuard { develop: self.develop, points });
        let mut handed = vec![false; run.targets.len()];
        let mut deliver = |target: usize, frame, damaged| {
            handed[target] = true;
            let target = &run.targets[target];
            let askers: Vec<Asker> =
                target.wants.iter().flat_map(|want| &self.wishes.askers[*want]).copied().collect();
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

    fn fail(self, run: &SeekRun, failure: Failure) {
        for asker in run.targets.iter().flat_map(|t| &t.wants).flat_map(|want| &self.wishes.askers[*want]) {
            self.develop.give_up(asker, failure.clone());
        }
    }

    fn points(&self, run: &SeekRun) -> Vec<PointKey> {
        let wants = run.targets.iter().flat_map(|t| &t.wants);
        wants.flat_map(|want| &self.wishes.askers[*want]).map(|asker| asker.point).collect()
    }

    fn length_of(&self, duration: i64) -> i64 {
        if duration > 0 { duration } else { self.frame_length.floor_pts(self.timeline.time_base) }
    }

    /// Pictures are made by tasks of their own while the byte budget lasts, else on the spot.
    fn hand_over(
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
        let task = move |_: &Scope<'e>| {
            if self.develop.wants_md5(&askers) {
                exposure.frame_md5 = Some(frame_md5(&frame));
            }
            self.develop.develop(&frame, exposure, &askers);
            loads.frames.fetch_sub(bytes, Ordering::Relaxed);
            drop(guard);
        };
        if self.grant.threads > 1 && before + bytes <= self.grant.bytes {
            scope.spawn(task);
        } else {
            task(scope);
        }
    }
}

/// Tells that a run is over once its last picture was delivered.
struct RunGuard<'e> {
    develop: &'e Develop<'e>,
    points: Vec<PointKey>,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.develop.say(Message::RunEnds { points: std::mem::take(&mut self.points) });
    }
}

impl Payload {
    fn restart(&mut self, base: u64) {
        *self = Payload { base, ..Payload::default() };
    }

    fn push(&mut self, seq: u64, packet: Packet) {
        if self.packets.is_empty() {
            self.base = seq;
        }
        if self.bytes + packet.size() > RUN_PAYLOAD_BYTES_MAX {
            self.packets.iter_mut().for_each(|held| *held = None);
            self.bytes = 0;
        }
        self.bytes += packet.size();
        self.packets.push_back(Some(packet));
    }

    fn forget_before(&mut self, seq: u64) {
        while self.base < seq {
            let Some(packet) = self.packets.pop_front() else {
                self.base = seq;
                return;
            };
            self.bytes -= packet.map_or(0, |p| p.size());
            self.base += 1;
        }
    }

    /// The run's packets; those at or after `keep` stay here too. None when some were dropped.
    fn take(&mut self, run: &SeekRun, keep: u64) -> Option<Vec<Packet>> {
        let from = usize::try_from(run.first.checked_sub(self.base)?).ok()?;
        let to = from + run.heads.len();
        if to > self.packets.len() || self.packets.range(from..to).any(Option::is_none) {
            return None;
        }
        let mut packets = Vec::with_capacity(run.heads.len());
        for place in from..to {
            let shared = self.base + place as u64 >= keep;
            let slot = &mut self.packets[place];
            let packet = if shared { slot.clone() } else { slot.take() }?;
            if !shared {
                self.bytes -= packet.size();
            }
            packets.push(packet);
        }
        Some(packets)
    }
}

/// The packets of a run, read from the file once more.
struct Again<'a, 'b> {
    reader: &'a mut Reader,
    run: &'b SeekRun,
    current: Packet,
    left: usize,
    failure: Option<Failure>,
}

impl Packets for Again<'_, '_> {
    fn rewind(&mut self) -> Result<(), Failure> {
        let start = self.run.heads[0];
        self.reader.seek(start.pts.unwrap_or(0));
        let mut from_start = false;
        loop {
            match self.reader.next()? {
                Some((packet, head)) if head == start => {
                    self.current = packet;
                    self.left = self.run.heads.len();
                    return Ok(());
                }
                Some(_) => {}
                None if from_start => {
                    let text = "a part of the file that was there is not found again";
                    return Err(Failure::new(FailCode::Replaced, Stage::Decode, text));
                }
                None => {
                    from_start = true;
                    self.reader.seek_start();
                }
            }
        }
    }

    fn next(&mut self) -> Result<Option<&mut Packet>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        // The first packet was found by `rewind`.
        if self.left < self.run.heads.len() {
            match self.reader.next() {
                Ok(Some((packet, _))) => self.current = packet,
                Ok(None) => return Ok(None),
                Err(failure) => {
                    self.failure = Some(failure.clone());
                    return Err(failure);
                }
            }
        }
        self.left -= 1;
        Ok(Some(&mut self.current))
    }
}
