//! One batch on a device: the spine of the engine with a device in the place of the pool's decoders.
//!
//! Owns the open device and what was proved on it. Never decodes in software: what the device does not do ends the walk
//! as refused, and is the CPU's.

use super::capture::backend::{self, Why};
use super::decode::Decoders;
use super::develop::Develop;
use super::guard::guarded;
use super::hall::Hall;
use super::ledger::Ledger;
use super::media::hwaccel::{DeviceContext, DeviceDecoder};
use super::media::probe::Medium;
use super::media::trouble::Trouble;
use super::media::{caps, log, proof, source};
use super::road::Road;
use super::run;
use super::walk::Walker;
use super::wishes::Wishes;
use crate::model::delivery::{Deliver, Message, Planned};
use crate::model::device::{CodecClass, DeviceFacts, DeviceId, Refusal};
use crate::model::job::{Ended, FailCode, Failure, Grant, Source, Stage, Stats, VideoBatch};
use crate::model::media::Backend;

/// A device in the hands of this process.
pub struct Device {
    context: DeviceContext,
    facts: DeviceFacts,
    /// Why nothing is taken from it any more.
    spoiled: Option<Trouble>,
}

impl Device {
    /// Opens it and asks what it can do. Once a process, never before a `fork`.
    ///
    /// # Errors
    /// Why not, and a sentence for people.
    pub fn open(id: &DeviceId) -> Result<Device, (Refusal, String)> {
        source::warm_up();
        let opened = DeviceContext::open(id).and_then(|context| {
            let facts = caps::facts(&context)?;
            Ok(Device { context, facts, spoiled: None })
        });
        opened.map_err(|trouble| (trouble.reason, trouble.text))
    }

    /// What it can do, and what was proved so far.
    pub fn facts(&self) -> DeviceFacts {
        self.facts.clone()
    }

    /// Decodes the built-in clip of a kind of stream, unless that was done before.
    ///
    /// # Errors
    /// `Unproven` when the frames are not what they should be, `Unsupported` where it says that it does not decode
    /// such streams, else what went wrong.
    pub fn prove(&mut self, class: CodecClass) -> Result<(), (Refusal, String)> {
        self.proved(class).map_err(|trouble| (trouble.reason, trouble.text))
    }

    fn proved(&mut self, class: CodecClass) -> Result<(), Trouble> {
        if let Some(trouble) = &self.spoiled {
            return Err(trouble.clone());
        }
        let Some(row) = self.facts.rows.iter_mut().find(|row| row.class == class) else {
            return Err(Trouble::new(Refusal::Unsupported, format!("the device does not decode {class}")));
        };
        let unproven =
            || Trouble::new(Refusal::Unproven, format!("the built-in clip of {class} came out wrong"));
        match row.proven {
            Some(true) => Ok(()),
            Some(false) => Err(unproven()),
            None => match proof::prove(&self.context, class) {
                Ok(()) => {
                    row.proven = Some(true);
                    Ok(())
                }
                Err(trouble) => {
                    // What it does not take by its own word is no fault; anything else is the last word of this context.
                    if !matches!(trouble.reason, Refusal::Unsupported | Refusal::Software) {
                        self.spoiled = Some(trouble.clone());
                    }
                    row.proven = (trouble.reason == Refusal::Unproven).then_some(false);
                    Err(trouble)
                }
            },
        }
    }

    /// As `run::run`, but frames are decoded on the device only: at the first bad sign it ends as `Refused`, and what
    /// was delivered before stays.
    pub fn run(
        &mut self,
        batch: &VideoBatch,
        source: Source,
        grant: Grant,
        out: &dyn Deliver,
    ) -> (Ended, Stats) {
        let ledger = Ledger::new();
        let ended = match guarded(Stage::Decode, || self.walk(batch, source, grant, out, &ledger)) {
            Ok(Ok(ended)) => ended,
            Ok(Err(Stop::Failed(failure))) => Ended::Failed(failure),
            Ok(Err(Stop::Refused(trouble))) => self.refuse(trouble),
            // A bug of ours on this road; the CPU's is another.
            Err(panic) => self.refuse(Trouble::new(Refusal::Crash, panic.text)),
        };
        for text in log::take() {
            // Nobody may be left to read it; the end says so anyway.
            out.deliver(Message::Note { warning: true, text }).ok();
        }
        (ended, ledger.stats())
    }

    fn refuse(&mut self, trouble: Trouble) -> Ended {
        if !matches!(trouble.reason, Refusal::Unsupported | Refusal::Linear) {
            self.spoiled.get_or_insert_with(|| trouble.clone());
        }
        Ended::Refused { reason: trouble.reason, text: trouble.text }
    }

    fn walk(
        &mut self,
        batch: &VideoBatch,
        source: Source,
        grant: Grant,
        out: &dyn Deliver,
        ledger: &Ledger<'_>,
    ) -> Result<Ended, Stop> {
        let mut medium = run::open(batch, source, ledger)?;
        let wishes = Wishes::new(batch, &medium.timeline);
        let planned = Planned { media: medium.facts.clone(), jobs: wishes.planned.clone() };
        if out.deliver(Message::Planned(planned)).is_err() {
            return Ok(Ended::Stopped);
        }
        if wishes.wants.is_empty() {
            return Ok(Ended::Done);
        }
        let decoder = self.decoder(&medium)?;
        walk(&mut medium, &wishes, batch, grant, self.context.backend(), out, ledger, decoder)
    }

    /// A decoder for the stream, if this device is for streams of its kind.
    fn decoder(&mut self, medium: &Medium) -> Result<DeviceDecoder, Trouble> {
        let row = backend::admit(&medium.coding, &self.facts.rows).map_err(|why| {
            let reason = if why == Why::Unproven { Refusal::Unproven } else { Refusal::Unsupported };
            Trouble::new(reason, format!("not for this device: {}", why.name()))
        })?;
        let class = row.class;
        if !medium.reader.can_plan() {
            return Err(Trouble::new(Refusal::Linear, "the stream must be walked from its first packet"));
        }
        self.proved(class)?;
        DeviceDecoder::open(&medium.recipe, &self.context)
    }
}

enum Stop {
    Failed(Failure),
    Refused(Trouble),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Stop {
        Stop::Refused(trouble)
    }
}

/// The walk itself: runs through `decoder`, pictures by the pool.
#[allow(clippy::too_many_arguments)]
fn walk(
    medium: &mut Medium,
    wishes: &Wishes,
    batch: &VideoBatch,
    grant: Grant,
    backend: Backend,
    out: &dyn Deliver,
    ledger: &Ledger<'_>,
    decoder: DeviceDecoder,
) -> Result<Ended, Stop> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(grant.threads.max(1) as usize)
        .thread_name(|i| format!("develop-{i}"))
        .build()
        .map_err(|e| Failure::new(FailCode::Internal, Stage::Plan, format!("cannot start threads: {e}")))?;
    let develop = Develop::new(batch, wishes, &medium.look, ledger, out).of(backend);
    let decoders = Decoders::new(&medium.recipe, 1);
    let hall = Hall {
        wishes,
        timeline: medium.timeline,
        frame_length: medium.frame_length,
        decoders: &decoders,
        develop: &develop,
        ledger,
        grant,
    };
    let road = Some(Road::new(decoder));
    let mut walker = Walker { reader: &mut medium.reader, hall, waiting: None, survey: None, road };
    let trouble = pool.in_place_scope(|scope| {
        walker.walk(scope)?;
        Ok::<_, Failure>(walker.road.take().and_then(|road| road.finish(scope, hall)))
    })?;
    walker.tell();
    match trouble {
        _ if develop.is_gone() => Ok(Ended::Stopped),
        Some(trouble) => Err(trouble.into()),
        None if develop.is_over() => Ok(Ended::Stopped),
        None => Ok(Ended::Done),
    }
}

#[cfg(test)]
mod tests;
