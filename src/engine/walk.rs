//! Walks the file: drives the planner with packet heads and sends finished runs to the pool.
//!
//! Owns the reader's position. Never decodes on its own thread, except what is too large to be held and what goes to a
//! device of this process; decodes nothing at all where another process has the device.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::Scope;

use super::capture::backend::Choice;
use super::capture::plan::Planner;
use super::capture::steps::{Reason, SeekRun, Step, Want};
use super::decode::{Held, Packets};
use super::develop::Exposure;
use super::hall::{Hall, Loads, RunGuard};
use super::linear;
use super::media::Packet;
use super::media::decoder::share;
use super::media::reader::Reader;
use super::offer::{Heard, Waiting};
use super::payload::{Again, Payload};
use super::road::Road;
use super::wishes::Asker;
use crate::model::delivery::Message;
use crate::model::device::Refusal;
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::media::Ahead;
use crate::model::snapshot::PointKey;
use crate::model::time::{Seconds, TimeBase};

/// One walk over one open video.
pub struct Walker<'e, 'a> {
    pub reader: &'a mut Reader,
    pub hall: Hall<'e>,
    /// Runs that wait until it is told whether a device decodes them; none when the CPU does in any case.
    pub waiting: Option<Waiting>,
    /// Takes the runs instead of decoding them.
    pub survey: Option<&'a mut Survey>,
    /// Takes the runs instead of the pool: a device decodes them, one after another, on this thread.
    pub road: Option<Road<'e>>,
}

/// What a walk would decode.
#[derive(Debug, Default)]
pub struct Survey {
    pub runs: Vec<SeekRun>,
    /// Why everything from the first packet on would be decoded, if so.
    pub linear: Option<Reason>,
    /// Where.
    pub choice: Option<Choice>,
}

/// How a walk came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// All that can be decided was, or is under way.
    Through,
    /// Nothing was decoded: a device is to have it.
    DeviceWanted,
}

impl<'e> Walker<'e, '_> {
    /// Serves every want, unless a device is to.
    ///
    /// # Errors
    /// What ends the whole batch: `Io`.
    pub fn walk(&mut self, scope: &Scope<'e>) -> Result<Walked, Failure> {
        let loads = Arc::new(Loads::default());
        let walked = self.walk_planned(scope, &loads);
        // What was planned before the file could not be read any more is decoded all the same.
        self.release(scope, &loads);
        walked
    }

    fn walk_planned(&mut self, scope: &Scope<'e>, loads: &Arc<Loads>) -> Result<Walked, Failure> {
        if !self.reader.can_plan() {
            return self.walk_linearly(scope, None, Reason::NoStart, loads);
        }
        let mut planner = Planner::new(self.hall.wishes.wants.clone(), self.reader.reorder());
        let mut payload = Payload::default();
        let mut back = Seconds::of_ms(1000);
        planner.restart(self.begin(&planner));
        payload.restart(planner.next_seq());
        loop {
            if self.hall.develop.is_over() || self.road.as_ref().is_some_and(Road::is_closed) {
                return Ok(Walked::Through);
            }
            let reader = &*self.reader;
            match self.hall.ledger.charge(Stage::Plan, || planner.step(|pts| reader.ahead(pts))) {
                Step::More => {
                    payload.forget_before(planner.keep_from());
                    match self.hall.ledger.charge(Stage::Plan, || self.reader.next())? {
                        Some((packet, head)) => {
                            payload.push(planner.next_seq(), packet);
                            planner.feed(head);
                        }
                        None => planner.end(),
                    }
                }
                Step::Run(run) => {
                    let packets = payload.take(&run, planner.keep_from());
                    let read_twice = packets.is_none() && self.survey.is_none();
                    if self.take_run(scope, run, packets, loads)? == Walked::DeviceWanted {
                        return Ok(Walked::DeviceWanted);
                    }
                    // The planner's window went along with the position: begin anew behind this run.
                    if read_twice && let Some(aim) = planner.aim() {
                        planner.restart(self.reader.seek(aim));
                        payload.restart(planner.next_seq());
                    }
                }
                Step::Jump => {
                    back = Seconds::of_ms(1000);
                    let Some(aim) = planner.aim() else { return self.settle(scope, None, loads) };
                    planner.restart(self.reader.seek(aim));
                    payload.restart(planner.next_seq());
                }
                Step::Back => {
                    let Some(aim) = planner.aim() else { return self.settle(scope, None, loads) };
                    let to = Seconds::of_pts(aim, self.hall.timeline.time_base).minus(back);
                    back = back.plus(back);
                    planner.restart(self.reader.seek(to.floor_pts(self.hall.timeline.time_base)));
                    payload.restart(planner.next_seq());
                }
                Step::Linear(reason) => {
                    self.release(scope, loads);
                    return self.walk_linearly(scope, Some(planner.unserved()), reason, loads);
                }
                Step::Done => {
                    let walked = self.settle(scope, None, loads)?;
                    if walked == Walked::Through {
                        self.give_up_unserved(&planner.unserved());
                    }
                    return Ok(walked);
                }
            }
        }
    }

    /// A run is complete: it is noted, waits, or is decoded. `packets` are none when they are too many to be held.
    fn take_run(
        &mut self,
        scope: &Scope<'e>,
        run: SeekRun,
        packets: Option<Vec<Packet>>,
        loads: &Arc<Loads>,
    ) -> Result<Walked, Failure> {
        if let Some(survey) = &mut self.survey {
            survey.runs.push(run);
            return Ok(Walked::Through);
        }
        let Some(packets) = packets else {
            if self.settle(scope, Some(&run), loads)? == Walked::DeviceWanted {
                return Ok(Walked::DeviceWanted);
            }
            return self.read_twice(scope, &run, loads).map(|()| Walked::Through);
        };
        let Some(waiting) = &mut self.waiting else {
            self.start(scope, run, packets, loads);
            return Ok(Walked::Through);
        };
        let heard = waiting.hear(run, packets);
        Ok(self.obey(scope, heard, loads))
    }

    /// Nothing more is waited for: `run`, which is too large for that, or all there was.
    fn settle(
        &mut self,
        scope: &Scope<'e>,
        run: Option<&SeekRun>,
        loads: &Arc<Loads>,
    ) -> Result<Walked, Failure> {
        let Some(waiting) = self.waiting.take() else { return Ok(Walked::Through) };
        Ok(self.obey(scope, waiting.last(run), loads))
    }

    fn obey(&mut self, scope: &Scope<'e>, heard: Heard, loads: &Arc<Loads>) -> Walked {
        match heard {
            Heard::Wait => Walked::Through,
            Heard::Device => {
                self.waiting = None;
                Walked::DeviceWanted
            }
            Heard::Cpu(runs) => {
                self.waiting = None;
                for (run, packets) in runs {
                    self.start(scope, run, packets, loads);
                }
                Walked::Through
            }
        }
    }

    /// The CPU decodes what waits.
    fn release(&mut self, scope: &Scope<'e>, loads: &Arc<Loads>) {
        if let Some(waiting) = self.waiting.take() {
            self.obey(scope, Heard::Cpu(waiting.give_up()), loads);
        }
    }

    /// Goes to the first want, unless it lies near the beginning, where the reader stands. True when the
    /// packets that follow are the stream's first.
    fn begin(&mut self, planner: &Planner) -> bool {
        let Some(want) = planner.next_want() else { return true };
        let first = self.hall.timeline.origin.floor_pts(self.hall.timeline.time_base);
        let far = match self.reader.ahead(want.pts) {
            Ahead::Key(key) => key > first.max(self.reader.first_time()),
            Ahead::Far(gap) => want.pts.saturating_sub(first) > gap,
            Ahead::Unknown => false,
        };
        if far { self.reader.seek(want.pts) } else { true }
    }

    /// Copies what the reader counted.
    pub fn tell(&self) {
        self.hall.ledger.packets_read.store(self.reader.packets_read, Ordering::Relaxed);
        self.hall.ledger.seeks.store(self.reader.seeks, Ordering::Relaxed);
    }

    /// Sends a run to the pool, as soon as that holds no more than it should.
    fn start(&mut self, scope: &Scope<'e>, run: SeekRun, packets: Vec<Packet>, loads: &Arc<Loads>) {
        self.tell();
        if let Some(road) = &mut self.road {
            return road.decode(scope, self.hall, run, &mut Held::new(packets));
        }
        let bytes: usize = packets.iter().map(Packet::size).sum();
        let hall = self.hall;
        let loads = Arc::clone(loads);
        let held = loads.hold(bytes);
        scope.spawn(move |scope: &Scope<'e>| {
            hall.decode(scope, &run, &mut Held::new(packets), &loads);
            drop(held);
        });
    }

    /// A run whose packets are too many to be held is read again and decoded as it is read.
    fn read_twice(&mut self, scope: &Scope<'e>, run: &SeekRun, loads: &Arc<Loads>) -> Result<(), Failure> {
        self.tell();
        let hall = self.hall;
        let mut again = Again::new(self.reader, run);
        match (again.rewind(), &mut self.road) {
            (Ok(()), None) => hall.decode(scope, run, &mut again, loads),
            (Ok(()), Some(road)) => road.decode(scope, hall, run.clone(), &mut again),
            (Err(failure), None) => hall.fail(run, failure),
            (Err(failure), Some(road)) => road.lose(&failure),
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
    ) -> Result<Walked, Failure> {
        if let Some(survey) = &mut self.survey {
            survey.linear = Some(reason);
            return Ok(Walked::Through);
        }
        if let Some(road) = &mut self.road {
            road.decline(Refusal::Linear, "the stream must be walked from its first packet");
            return Ok(Walked::Through);
        }
        let counting = !self.has_pts()?;
        let rest = rest.unwrap_or_else(|| (0..self.hall.wishes.wants.len()).collect());
        let (wants, askers): (Vec<Want>, Vec<Vec<Asker>>) = if counting {
            self.hall.wishes.by_count(&rest, self.hall.frame_length)
        } else {
            rest.iter().map(|i| (self.hall.wishes.wants[*i], self.hall.wishes.askers[*i].clone())).unzip()
        };
        let points: Vec<PointKey> = askers.iter().flatten().map(|a| a.point).collect();
        self.reader.seek_start();
        self.tell();
        self.hall.ledger.run_begins(None);
        self.hall.develop.say(Message::RunBegins { points: points.clone(), stats: self.hall.ledger.stats() });
        let hall = self.hall;
        let (time_base, origin) = if counting {
            (frame_number_base(self.hall.frame_length), Seconds::ZERO)
        } else {
            (self.hall.timeline.time_base, self.hall.timeline.origin)
        };
        let guard = Arc::new(RunGuard { develop: self.hall.develop, points });
        let served = linear::walk(
            self.reader,
            self.hall.decoders,
            self.hall.ledger,
            &wants,
            counting,
            &mut |want, seen| {
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
            },
        );
        self.tell();
        let served = served?;
        if !self.hall.develop.is_over() {
            for asker in served.lost.iter().flat_map(|want| &askers[*want]) {
                let text = "the decoder gave no frame for it";
                self.hall.develop.give_up(asker, Failure::new(FailCode::Corrupt, Stage::Decode, text));
            }
            for asker in askers[served.count..].iter().flatten() {
                self.hall.develop.give_up(asker, nothing_shown());
            }
        }
        Ok(Walked::Through)
    }

    /// Does the stream's first packet carry a pts?
    fn has_pts(&mut self) -> Result<bool, Failure> {
        self.reader.seek_start();
        Ok(self.reader.next()?.is_some_and(|(_, head)| head.pts.is_some()))
    }

    fn give_up_unserved(&self, wants: &[usize]) {
        for asker in wants.iter().flat_map(|want| &self.hall.wishes.askers[*want]) {
            self.hall.develop.give_up(asker, nothing_shown());
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
