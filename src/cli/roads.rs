//! The roads of one `grab`: this process's CPU, a device, and what a device left undone on the CPU again.
//!
//! Owns their order and what they cost together. Never writes a file: the album does.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use super::album::Album;
use super::device::{self, Chosen, Walked};
use super::say;
use crate::engine::run::{Manner, run_in};
use crate::model::device::{DeviceId, Refusal};
use crate::model::job::{Ended, FailCode, Failure, Grant, Source, Stage, Stats, VideoBatch};
use crate::model::media::Backend;
use crate::service::settings::DeviceSettings;
use crate::worker::devices::Why;

/// One job, and where it may be decoded.
pub struct Roads<'a> {
    pub file: &'a Path,
    /// With what the devices are taken to decode as its offer.
    pub batch: VideoBatch,
    pub video: OwnedFd,
    pub grant: Grant,
    pub manner: &'a Manner,
    pub album: &'a Album<'a>,
    pub chosen: Chosen,
    pub settings: DeviceSettings,
}

/// What all walks of a job came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub stats: Stats,
    /// Where the last walk decoded.
    pub backend: Backend,
    pub fallbacks: Vec<Fallback>,
}

/// A device that left something undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    pub from: Backend,
    pub reason: Refusal,
    pub text: String,
    /// How many points the CPU had still to make.
    pub points: usize,
}

impl Tally {
    /// Of a job that a single walk on the CPU did.
    pub fn of_cpu(stats: Stats) -> Tally {
        Tally { stats, ..Tally::default() }
    }
}

impl Roads<'_> {
    /// Walks until everything is decided that can be; how that ended, and what it cost.
    ///
    /// # Errors
    /// Why none of the devices could be opened that the caller insists on.
    pub fn walk(&self) -> Result<(Ended, Tally), Why> {
        let began = Instant::now();
        let mut tally = Tally::default();
        if !self.chosen.forced {
            let ended = self.on_cpu(self.batch.clone(), &mut tally);
            if ended != Ended::DeviceWanted {
                return Ok((ended, tally));
            }
        }
        let ended = self.by_way_of_a_device(&mut tally)?;
        // A device's opening and closing are in no walk.
        tally.stats.wall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok((ended, tally))
    }

    fn by_way_of_a_device(&self, tally: &mut Tally) -> Result<Ended, Why> {
        let Chosen { devices, forced } = &self.chosen;
        let batch = self.remainder().0;
        let walked = device::walk(devices, &self.settings, &batch, &self.video, self.grant, self.album);
        let Walked { on, unopened } = walked.unwrap_or_else(|error| {
            let why = |id: &DeviceId| (Refusal::NoDevice, format!("{id}: cannot start a helper: {error}"));
            Walked { on: None, unopened: devices.iter().map(|id| (id.clone(), why(id))).collect() }
        });
        if *forced && on.is_none() {
            let reason = unopened.first().map_or(Refusal::NoDevice, |(_, (reason, _))| *reason);
            let texts: Vec<&str> = unopened.iter().map(|(_, (_, text))| text.as_str()).collect();
            return Err((reason, texts.join("; ")));
        }
        for (id, why) in unopened {
            match &on {
                None => self.fall_back(&id, why, tally),
                Some((next, ..)) => say::complain(format_args!("{}; {next} has the job", why.1)),
            }
        }
        match on {
            None => {}
            Some((id, Ended::Refused { reason, text }, stats)) => {
                tally.stats = tally.stats.plus(stats);
                self.fall_back(&id, (reason, format!("{id}: {text}")), tally);
            }
            Some((id, ended, stats)) => {
                tally.stats = tally.stats.plus(stats);
                tally.backend = id.backend;
                return Ok(ended);
            }
        }
        Ok(self.on_cpu(self.remainder().0, tally))
    }

    fn on_cpu(&self, batch: VideoBatch, tally: &mut Tally) -> Ended {
        let source = match self.video.try_clone() {
            Ok(video) => Source::Fd(video),
            Err(error) => return Ended::Failed(Failure::new(FailCode::Io, Stage::Open, error.to_string())),
        };
        let (ended, stats) = run_in(self.manner, &batch, source, self.grant, self.album);
        tally.stats = tally.stats.plus(stats);
        ended
    }

    /// What is still to come, with nothing on offer, and how many points it is for.
    fn remainder(&self) -> (VideoBatch, usize) {
        let mut batch = VideoBatch { offer: Vec::new(), ..self.batch.clone() };
        let mut points = 0;
        for job in &mut batch.jobs {
            (*job, points) = self.album.remainder(&job.spec);
        }
        (batch, points)
    }

    fn fall_back(&self, id: &DeviceId, (reason, text): Why, tally: &mut Tally) {
        let points = self.remainder().1;
        say::complain(format_args!(
            "{}: {text} ({}); the CPU takes over",
            self.file.display(),
            reason.name()
        ));
        tally.fallbacks.push(Fallback { from: id.backend, reason, text, points });
    }
}
