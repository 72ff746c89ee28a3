//! The road of one claim over its walks: the CPU plans, a device may decode, the CPU does what is left.
//!
//! Owns which walk follows which, and what a device's end means to the next. Never decides what an end costs a job:
//! nothing that a device does costs any, since the CPU has the last word.
//!
//! ```text
//!   CPU, with an offer -- Done, Failed, Died ... ----------------------------------> the end
//!        | DeviceWanted (or every batch goes to a device first)
//!        v
//!   device -- Done, Stopped --------------------------------------------------> the end
//!        | Refused, or anything else; or done, but one in so many is done by the CPU too, which then delivers
//!        v
//!   CPU, without an offer: the remainder --------------------------------------> the end, and whose fault it was
//! ```

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::recheck::Recheck;
use super::{Batch, report};
use crate::model::delivery::Message;
use crate::model::device::{DeviceId, DeviceRow, Refusal};
use crate::model::job::{Death, Ended, Fallback, Grant, Source, Stats, VideoBatch};
use crate::model::media::Backend;
use crate::model::snapshot::{PointKey, Shown};
use crate::service::batch::group::{self, Grouped};
use crate::service::batch::scheduler::Orders;
use crate::service::devices::{Place, Verdict};
use crate::service::telemetry::metrics;
use crate::service::{result, stop};
use crate::worker::pool::{Delivery, Running};

/// Between two looks for jobs that were cancelled meanwhile.
const CANCEL_LOOK: Duration = Duration::from_secs(1);

/// What every walk of a claim is given.
struct Luggage {
    source: Source,
    grant: Grant,
    stop: watch::Receiver<bool>,
}

/// How a walk on a device went.
enum Onward {
    /// There is nothing left, or nothing more may be done now.
    End(Ended),
    /// The rest is for the CPU; its verdict on this device is awaited.
    Cpu(Option<DeviceId>),
}

impl Batch<'_> {
    /// Walks until everything is delivered, or for as long as may be.
    pub(super) async fn travel(&mut self, source: Source, orders: Orders) -> Ended {
        let bytes = self.with.settings.borrow().worker.batch_bytes;
        let grant = Grant { threads: orders.threads, bytes };
        let luggage = Luggage { source, grant, stop: orders.stop };
        let ended = self.walks(&luggage).await;
        let total = self.total();
        if total != Stats::default() {
            metrics::batch_ended(&total, self.pictures);
        }
        ended
    }

    async fn walks(&mut self, luggage: &Luggage) -> Ended {
        let may_ask = !self.jobs.iter().any(|underway| !underway.over && underway.kept.device_gave_up);
        let forced = self.with.devices.forced();
        if forced.is_none() || !may_ask {
            let offer = if may_ask { self.with.devices.offer() } else { Vec::new() };
            let ended = self.on_cpu(offer, luggage).await;
            if ended != Ended::DeviceWanted || self.is_over(luggage) {
                return if ended == Ended::DeviceWanted { Ended::Stopped } else { ended };
            }
        }
        let accused = match self.on_device(forced, luggage).await {
            Onward::End(ended) => return ended,
            Onward::Cpu(accused) => accused,
        };
        let ended =
            if self.is_over(luggage) { Ended::Stopped } else { self.on_cpu(Vec::new(), luggage).await };
        self.judge();
        if let Some(device) = accused {
            let clean = ended == Ended::Done && !self.damaged;
            let verdict = if clean { Verdict::Device } else { Verdict::NotDevice };
            self.with.devices.verdict(&device, &self.video.id, verdict);
        }
        ended
    }

    /// True when no other walk may begin.
    fn is_over(&self, luggage: &Luggage) -> bool {
        self.trouble || *luggage.stop.borrow() || self.jobs.iter().all(|underway| underway.over)
    }

    async fn on_cpu(&mut self, offer: Vec<DeviceRow>, luggage: &Luggage) -> Ended {
        let Some(walk) = self.walk(Backend::Cpu) else { return Ended::Stopped };
        let begun = match again(&luggage.source) {
            Ok(source) => self.with.pool.run(VideoBatch { offer, ..walk }, source, luggage.grant).await,
            Err(error) => Err(error),
        };
        match begun {
            Ok(child) => self.follow(child, luggage.stop.clone()).await,
            Err(error) => {
                tracing::error!(%error, video_id = %self.video.id, "no child for a batch");
                self.trouble = true;
                Ended::Died { cause: Death::Zygote }
            }
        }
    }

    async fn on_device(&mut self, forced: Option<Backend>, luggage: &Luggage) -> Onward {
        let codec = self.codec.clone();
        let place = match forced {
            None => self.with.devices.place(codec.as_deref()),
            Some(_) => {
                let mut stop = luggage.stop.clone();
                tokio::select! {
                    place = self.with.devices.wait_for_place(codec.as_deref()) => place,
                    () = stop::asked(&mut stop) => return Onward::End(Ended::Stopped),
                }
            }
        };
        let Some(mut place) = place else {
            // Without force that is no fault: another batch was faster.
            if let Some(from) = forced {
                self.fell_back(from, Refusal::Breaker, "no device stands ready");
            }
            return Onward::Cpu(None);
        };
        self.unheard = self.with.devices.is_to_be_checked();
        self.recheck = self.unheard.then(|| Recheck::of(place.device()));
        let Some(walk) = self.walk(place.backend()) else { return Onward::End(Ended::Stopped) };
        let source = match again(&luggage.source) {
            Ok(source) => source,
            Err(error) => {
                tracing::error!(%error, video_id = %self.video.id, "a descriptor cannot be had twice");
                return Onward::Cpu(None);
            }
        };
        let owner = self.video.account;
        let ended = match place.run(owner, walk, source, luggage.grant).await {
            Ok(child) => self.follow(child, luggage.stop.clone()).await,
            Err((reason, text)) => Ended::Refused { reason, text },
        };
        self.after_device(&place, ended)
    }

    /// What a device's end means. Only an end without anything missing is taken at its word.
    fn after_device(&mut self, place: &Place<'_>, ended: Ended) -> Onward {
        let missing = self.jobs.iter().any(|underway| !underway.over);
        if std::mem::take(&mut self.unheard) {
            if ended == Ended::Done {
                return Onward::Cpu(None);
            }
            self.recheck = None;
        }
        let (reason, text) = match ended {
            Ended::Done if !missing => {
                place.worked();
                return Onward::End(Ended::Done);
            }
            // Ours, or nobody's any more.
            Ended::Stopped | Ended::Died { cause: Death::Killed } => return Onward::End(ended),
            ended if self.trouble => return Onward::End(ended),
            Ended::Refused { reason, text } => (reason, text),
            Ended::Done => (Refusal::NoFrame, "it ended without every picture".to_owned()),
            Ended::Failed(failure) => {
                // Before anything was decoded, as the CPU may find as well: its word counts.
                tracing::warn!(video_id = %self.video.id, device = %place.device(), %failure, "a walk on a device failed");
                self.open_mut().for_each(|underway| underway.kept.device_gave_up = true);
                return Onward::Cpu(None);
            }
            Ended::DeviceWanted => (Refusal::Crash, "it wants a device".to_owned()),
            Ended::Died { cause: Death::Timeout } => (Refusal::Hang, "its process hung".to_owned()),
            Ended::Died { cause } => (Refusal::Crash, format!("its process died: {}", cause.name())),
        };
        let accused = place.refused(reason, &self.video.id, self.codec.as_deref());
        let accused = accused.then(|| place.device().clone());
        if missing {
            self.fell_back(place.backend(), reason, &format!("{}: {text}", place.device()));
        }
        Onward::Cpu(accused)
    }

    /// Takes of a walk that delivers nothing what the check needs.
    pub(super) fn overhear(&mut self, message: Message) {
        match message {
            Message::Planned(planned) => self.codec = Some(planned.media.codec),
            Message::RunBegins { stats, .. } => self.count(stats),
            Message::Shown { point, shown } => {
                let job = self.walked.get(point.job as usize).copied();
                if let (Some(recheck), Some(job)) = (&mut self.recheck, job) {
                    recheck.note(job, point.asked, &shown);
                }
            }
            Message::Note { text, .. } => tracing::debug!(video_id = %self.video.id, "{text}"),
            Message::Image(_) | Message::PointFailed { .. } | Message::RunEnds { .. } => {}
        }
    }

    /// Holds a frame against the device's, and leaves out of it what only the check asked for.
    pub(super) fn compare(&mut self, point: PointKey, shown: &mut Shown) {
        let Some(&job) = self.walked.get(point.job as usize) else { return };
        if let Some(recheck) = &mut self.recheck {
            recheck.compare(job, point.asked, shown);
            if !self.jobs[job].kept.progress.spec.frame_md5 {
                shown.frame_md5 = None;
            }
        }
    }

    /// What a check comes to. Only the CPU's pictures were delivered, whatever it says.
    fn judge(&mut self) {
        let Some(recheck) = self.recheck.take() else { return };
        match recheck.differ {
            0 => self.with.devices.passed(&recheck.device),
            frames => {
                self.with.devices.differs(&recheck.device, self.codec.as_deref(), frames, recheck.compared)
            }
        }
    }

    /// Notes that a device gave up: once a batch for the metrics, and in each job that is not over.
    fn fell_back(&mut self, from: Backend, reason: Refusal, text: &str) {
        let mut all = 0;
        for underway in self.open_mut() {
            let progress = &underway.kept.progress;
            let points = match &progress.planned {
                Some(_) => u32::try_from(progress.missing_points().len()).unwrap_or(u32::MAX),
                None => result::asked(&progress.spec.points),
            };
            all += points;
            underway.kept.fallbacks.push(Fallback { from, reason, points });
            underway.kept.device_gave_up = true;
        }
        report::fell_back(&self.video, from, reason, all, text);
    }

    fn open_mut(&mut self) -> impl Iterator<Item = &mut super::Underway> {
        self.jobs.iter_mut().filter(|underway| !underway.over)
    }

    /// The batch of the next walk: the remainder of every job that is not over.
    fn walk(&mut self, backend: Backend) -> Option<VideoBatch> {
        let open: Vec<usize> = (0..self.jobs.len()).filter(|&index| !self.jobs[index].over).collect();
        let progress = open.iter().map(|&index| &self.jobs[index].kept.progress);
        let frame_pixels_max = self.with.settings.borrow().capture.frame_pixels_max;
        let Grouped { mut batch, jobs } = group::batch(progress, None, frame_pixels_max)?;
        if self.recheck.is_some() {
            batch.jobs.iter_mut().for_each(|entry| entry.spec.frame_md5 = true);
        }
        self.walked = jobs.into_iter().map(|entry| open[entry]).collect();
        self.stats_before = self.total();
        self.stats = Stats::default();
        self.planned = false;
        self.under_way.clear();
        self.damaged = false;
        self.backend = backend;
        Some(batch)
    }

    /// Takes all that the child says, until its last word.
    async fn follow(&mut self, mut child: Running, mut stop: watch::Receiver<bool>) -> Ended {
        let mut stopping = false;
        let mut cancel_look = tokio::time::interval(CANCEL_LOOK);
        cancel_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                delivery = child.next() => match delivery {
                    // The share of the byte budget is held until the image is on disk.
                    Delivery::Message(message, _held) => self.take(message).await,
                    Delivery::Ended(ended, stats) => {
                        self.count(stats);
                        return ended;
                    }
                },
                () = stop::asked(&mut stop), if !stopping => {
                    stopping = true;
                    child.stop();
                }
                _ = cancel_look.tick() => self.drop_cancelled().await,
            }
            // After a cancel nobody may be left that the child works for; without one it is about to end by itself.
            if self.trouble || (self.lost && self.open_jobs().is_empty()) {
                child.kill();
            }
        }
    }

    /// Takes what the child counted until now.
    pub(super) fn count(&mut self, stats: Stats) {
        let more = stats.frames_decoded.saturating_sub(self.stats.frames_decoded);
        metrics::frames_decoded(self.backend, more);
        self.stats = stats;
    }

    /// What all walks of the claim cost until now.
    pub(super) fn total(&self) -> Stats {
        self.stats_before.plus(self.stats)
    }
}

/// The same open file once more: it is read at positions only, so walks do not disturb each other.
fn again(source: &Source) -> std::io::Result<Source> {
    let Source::Fd(video) = source;
    OwnedFd::try_clone(video).map(Source::Fd)
}
