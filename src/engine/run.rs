//! THE SPINE of the engine: one batch, from open file to encoded images.
//!
//! ```text
//!   open, probe -> resolve points -> Planned -> [ seek, feed heads, SeekRun -> pool: decode -> develop ]* -> Ended
//! ```
//!
//! One reader demuxes and plans on the calling thread and hands whole runs, packets included, to one pool.
//! A run is one task with a decoder of its own; no pool thread ever waits for another.
//!
//! Owns the order of things. Never touches FFmpeg itself, never knows who listens.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::capture::backend::Choice;
use super::capture::points;
use super::decode::Decoders;
use super::develop::Develop;
use super::guard::guarded;
use super::hall::Hall;
use super::ledger::{Ledger, SentPacket};
use super::media::{log, probe};
use super::offer::Waiting;
use super::walk::{Survey, Walked, Walker};
use super::wishes::Wishes;
use crate::model::delivery::{Deliver, Message, Planned};
use crate::model::job::{Ended, FailCode, Failure, Grant, Source, Stage, Stats, VideoBatch};
use crate::model::media::MediaFacts;
use crate::model::spec::Points;
use crate::model::time::Seconds;

/// Serves every point of `batch`. Everything that is made or decided goes to `out`; what is missing when it
/// ends is again a batch.
pub fn run(batch: &VideoBatch, source: Source, grant: Grant, out: &dyn Deliver) -> (Ended, Stats) {
    run_in(&Manner::default(), batch, source, grant, out)
}

/// What a caller may ask of a walk beyond its pictures.
#[derive(Debug, Default)]
pub struct Manner {
    /// A walk for a single instant, which has no runs to share out, may decode with so many frame threads; 0 is 1.
    /// They cost CPU for the sake of wall time.
    pub frame_threads: u32,
    /// Takes a note of every packet that a decoder is given.
    pub sent: Option<Mutex<Vec<SentPacket>>>,
}

/// As `run`, in this manner.
pub fn run_in(
    manner: &Manner,
    batch: &VideoBatch,
    source: Source,
    grant: Grant,
    out: &dyn Deliver,
) -> (Ended, Stats) {
    let ledger = Ledger::noting(manner.sent.as_ref());
    // A panic is a bug. In a run or a picture it costs that; here it must cost this batch and nothing else.
    let ended =
        match guarded(Stage::Decode, || walk(batch, source, grant, manner.frame_threads, out, &ledger)) {
            Ok(Ok(ended)) => ended,
            Ok(Err(failure)) | Err(failure) => Ended::Failed(failure),
        };
    for text in log::take() {
        // Nobody may be left to read it; the end says so anyway.
        out.deliver(Message::Note { warning: true, text }).ok();
    }
    (ended, ledger.stats())
}

fn walk(
    batch: &VideoBatch,
    source: Source,
    grant: Grant,
    frame_threads: u32,
    out: &dyn Deliver,
    ledger: &Ledger<'_>,
) -> Result<Ended, Failure> {
    let mut medium = open(batch, source, ledger)?;
    let wishes = Wishes::new(batch, &medium.timeline);
    let planned = Planned { media: medium.facts.clone(), jobs: wishes.planned.clone() };
    if out.deliver(Message::Planned(planned)).is_err() {
        return Ok(Ended::Stopped);
    }
    if wishes.wants.is_empty() {
        return Ok(Ended::Done);
    }

    let threads = grant.threads.max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads as usize)
        .thread_name(|i| format!("decode-{i}"))
        .build()
        .map_err(|e| Failure::new(FailCode::Internal, Stage::Plan, format!("cannot start threads: {e}")))?;
    let develop = Develop::new(batch, &wishes, &medium.look, ledger, out);
    // Runs are the unit of parallelism.
    let frame_threads = if wishes.wants.len() == 1 { frame_threads.max(1) } else { 1 };
    let decoders = Decoders::new(&medium.recipe, frame_threads);
    let hall = Hall {
        wishes: &wishes,
        timeline: medium.timeline,
        frame_length: medium.frame_length,
        decoders: &decoders,
        develop: &develop,
        ledger,
        grant,
    };
    let lanes = lanes(&wishes, threads, frame_threads);
    let waiting = Waiting::for_batch(&batch.offer, &medium.coding, lanes, wishes.wants.len());
    let mut walker = Walker { reader: &mut medium.reader, hall, waiting, survey: None, road: None };
    let walked = pool.in_place_scope(|scope| walker.walk(scope));
    walker.tell();
    Ok(match walked? {
        _ if develop.is_over() => Ended::Stopped,
        Walked::DeviceWanted => Ended::DeviceWanted,
        Walked::Through => Ended::Done,
    })
}

/// Runs that are decoded at a time: there are no more of them than wants, and a single one has frame threads.
fn lanes(wishes: &Wishes, threads: u32, frame_threads: u32) -> u32 {
    match u32::try_from(wishes.wants.len()).unwrap_or(u32::MAX) {
        1 => frame_threads,
        most => threads.min(most),
    }
}

/// What `run` would do for these points with so many threads: the medium, the wishes and the seek runs, without
/// decoding.
///
/// # Errors
/// As `run`: what ends the whole batch.
pub fn survey(
    batch: &VideoBatch,
    source: Source,
    threads: u32,
    out: &dyn Deliver,
) -> Result<(MediaFacts, Wishes, Survey, Stats), Failure> {
    let ledger = Ledger::new();
    let mut medium = open(batch, source, &ledger)?;
    let wishes = Wishes::new(batch, &medium.timeline);
    let mut survey = Survey::default();
    {
        let grant = Grant { threads: 1, bytes: 0 };
        let develop = Develop::new(batch, &wishes, &medium.look, &ledger, out);
        let decoders = Decoders::new(&medium.recipe, 1);
        let hall = Hall {
            wishes: &wishes,
            timeline: medium.timeline,
            frame_length: medium.frame_length,
            decoders: &decoders,
            develop: &develop,
            ledger: &ledger,
            grant,
        };
        let reader = &mut medium.reader;
        let mut walker = Walker { reader, hall, waiting: None, survey: Some(&mut survey), road: None };
        rayon::in_place_scope(|scope| walker.walk(scope))?;
        walker.tell();
    }
    let lanes = (lanes(&wishes, threads, 1), wishes.wants.len());
    let linear = survey.linear.is_some();
    survey.choice = Some(Choice::of_plan(&medium.coding, &batch.offer, lanes, &survey.runs, linear));
    Ok((medium.facts, wishes, survey, ledger.stats()))
}

/// Opens the video. A length that the container does not tell is found by reading it through once, when a
/// point needs it.
pub(super) fn open(
    batch: &VideoBatch,
    source: Source,
    ledger: &Ledger<'_>,
) -> Result<probe::Medium, Failure> {
    ledger.opens.fetch_add(1, Ordering::Relaxed);
    let mut medium =
        ledger.charge(Stage::Open, || probe::open(source, batch.stream, batch.frame_pixels_max))?;
    let is_probe = batch.jobs.iter().all(|job| job.spec.points == Points::None);
    let needs_end = is_probe || batch.jobs.iter().any(|job| points::needs_duration(&job.spec.points));
    if medium.timeline.duration.is_none() && needs_end {
        let scan = ledger.charge(Stage::Plan, || medium.reader.scan())?;
        let end = match scan.end_pts {
            Some(pts) => Seconds::of_pts(pts, medium.timeline.time_base).minus(medium.timeline.origin),
            None => Seconds {
                num: i128::from(scan.pictures) * medium.frame_length.num,
                den: medium.frame_length.den,
            },
        };
        probe::set_end(&mut medium, end);
    }
    Ok(medium)
}
