//! THE SPINE: one batch from claim to commit.
//!
//! Owns the road of a claim: open the video, hand the batch over, take what comes, finish each job by itself, give
//! back what is left. Never decodes and never knows SQL, paths or wire formats: stages and fences do.
//!
//! ```text
//!   claim -> open -> walk in a child -> images to temp files -> job decided? -> publish, commit -> callback
//!                      (road: CPU, device, CPU)                                     (one job at a time)
//!                         `-> ended -> what is undecided: failed, charged and queued, or queued at no cost
//! ```

mod beside;
mod ending;
mod kept;
mod recheck;
mod report;
mod road;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::delivery::{Message, Planned};
use crate::model::ids::{ClaimToken, JobId};
use crate::model::job::{Ended, FailCode, Failure, Stats};
use crate::model::media::Backend;
use crate::model::snapshot::{EncodedImage, PointKey, PointStatus};
use crate::worker::pool::Pool;

use super::batch::retry::{self, Setback, Verdict};
use super::batch::scheduler::Orders;
use super::clock::Clock;
use super::devices::Devices;
use super::objects::{FileIdentity, MediaRoots, ObjectStore};
use super::publish::commit;
use super::settings::Settings;
use super::store::Store;
use super::store::rows::{Claim, Job, Video};
use super::telemetry::metrics;
use kept::Kept;
pub use kept::Partials;
use recheck::Recheck;

/// After trouble of ours (disk, database, no child): jobs wait so long before the next claim.
const TROUBLE_PAUSE_MS: i64 = 3_000;
/// Between two tries to give jobs back.
const RELEASE_PAUSE: Duration = Duration::from_secs(1);

/// What every batch needs.
pub struct Pipeline {
    pub store: Store,
    pub objects: ObjectStore,
    pub roots: MediaRoots,
    pub pool: Arc<Pool>,
    /// What stands ready beside the CPU.
    pub devices: Arc<Devices>,
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Clock,
    /// In front of object keys, without a trailing slash.
    pub base_url: String,
    /// Wakes the notifier after an event went into the outbox.
    pub wake: Arc<Notify>,
    /// What released jobs already have.
    pub partials: Partials,
}

/// One claim under way.
struct Batch<'a> {
    with: &'a Pipeline,
    token: ClaimToken,
    video: Video,
    jobs: Vec<Underway>,
    /// Index into `jobs` of each entry of the walk.
    walked: Vec<usize>,
    claimed_ms: i64,
    /// The file that is read.
    identity: Option<FileIdentity>,
    /// The child told what it will do.
    planned: bool,
    /// The video's codec, once a child told it.
    codec: Option<String>,
    /// Where the walk under way decodes.
    backend: Backend,
    /// Points of the runs under way, by index into `walked`.
    under_way: HashSet<PointKey>,
    /// What the walks before cost, and the one under way until now.
    stats_before: Stats,
    stats: Stats,
    pictures: u64,
    /// The walk under way found the stream damaged.
    damaged: bool,
    /// What a device made of the batch, when the CPU is to check it.
    recheck: Option<Recheck>,
    /// Nothing of the walk under way is delivered.
    unheard: bool,
    /// A fault on our side; nobody pays for it.
    trouble: bool,
    /// A job was cancelled meanwhile.
    lost: bool,
}

/// One job of the claim.
struct Underway {
    job: Job,
    kept: Kept,
    /// Finished, or lost to a cancel.
    over: bool,
}

impl Pipeline {
    /// Runs one claim to its end: afterwards no job of it is running.
    pub async fn run(&self, claim: Claim, orders: Orders) {
        let mut batch = Batch::new(self, claim);
        let opened = match self.open(&batch.video).await {
            Ok(opened) => opened,
            Err(failure) => {
                batch.remember(None);
                return batch.settle(Ended::Failed(failure)).await;
            }
        };
        batch.remember(Some(opened.identity));
        batch.end_exhausted().await;
        batch.finish_decided().await;
        let ended = batch.travel(opened.source, orders).await;
        let ended = batch.unless_replaced(ended).await;
        batch.settle(ended).await;
    }
}

impl<'a> Batch<'a> {
    fn new(with: &'a Pipeline, claim: Claim) -> Batch<'a> {
        let claimed_ms = with.clock.now_ms();
        let jobs = claim.jobs.into_iter().map(|job| {
            metrics::job_claimed(claimed_ms - job.created_ms);
            Underway { kept: Kept::new(&job), job, over: false }
        });
        Batch {
            with,
            token: claim.token,
            video: claim.video,
            jobs: jobs.collect(),
            walked: Vec::new(),
            claimed_ms,
            identity: None,
            planned: false,
            codec: None,
            backend: Backend::Cpu,
            under_way: HashSet::new(),
            stats_before: Stats::default(),
            stats: Stats::default(),
            pictures: 0,
            damaged: false,
            recheck: None,
            unheard: false,
            trouble: false,
            lost: false,
        }
    }

    /// Takes up what earlier claims of these jobs delivered, if it is of this very file.
    fn remember(&mut self, identity: Option<FileIdentity>) {
        self.identity = identity;
        for underway in &mut self.jobs {
            if let Some(kept) = self.with.partials.take(&underway.job.id, identity) {
                underway.kept = kept;
            }
            underway.kept.identity = identity;
        }
    }

    async fn take(&mut self, message: Message) {
        match message {
            message if self.unheard => self.overhear(message),
            Message::Planned(planned) => self.take_plan(planned).await,
            Message::RunBegins { points, stats } => {
                self.under_way.extend(points);
                self.count(stats);
            }
            Message::RunEnds { points } => points.iter().for_each(|point| {
                self.under_way.remove(point);
            }),
            Message::Shown { point, mut shown } => {
                self.compare(point, &mut shown);
                self.pictures += 1;
                self.damaged |= shown.status == PointStatus::Concealed;
                if let Some(underway) = self.walked_job(point.job) {
                    underway.kept.progress.take_shown(point.asked, shown);
                }
            }
            Message::Image(image) => self.take_image(image).await,
            Message::PointFailed { point, failure } => {
                self.damaged |= failure.code == FailCode::Corrupt;
                if let Some(underway) = self.walked_job(point.job) {
                    underway.kept.progress.take_failure(point.asked, failure);
                    self.finish_decided().await;
                }
            }
            Message::Note { warning: true, text } => tracing::warn!(video_id = %self.video.id, "{text}"),
            Message::Note { warning: false, text } => tracing::debug!(video_id = %self.video.id, "{text}"),
        }
    }

    async fn take_plan(&mut self, planned: Planned) {
        self.planned = true;
        self.codec = Some(planned.media.codec.clone());
        let size = self.identity.map_or(self.video.size, |identity| identity.size);
        self.with.note_facts(&self.video, &planned, size).await;
        for (job, plan) in (0..).zip(planned.jobs) {
            let Some(underway) = self.walked_job(job) else { continue };
            if !underway.kept.progress.take_plan(plan) {
                // What an earlier walk delivered does not go with what this one would.
                let index = self.walked[job as usize];
                self.finish(index, Some(ending::replaced())).await;
            }
        }
        // Where every point lies past the end nothing else will come.
        self.finish_decided().await;
    }

    async fn take_image(&mut self, image: EncodedImage) {
        let (objects, video) = (&self.with.objects, self.video.id.clone());
        let Some(underway) = self.walked_job(image.job) else { return };
        let (kind, width, height) = (image.kind, image.width, image.height);
        match objects.put_temp(&video, &underway.job.id, kind, image.bytes).await {
            Ok(temp) => drop(underway.kept.take_image(kind, (width, height), temp)),
            Err(error) => {
                tracing::error!(%error, job_id = %underway.job.id, "an image cannot be kept");
                self.trouble = true;
                return;
            }
        }
        self.finish_decided().await;
    }

    /// The job behind a message; none once it is over.
    fn walked_job(&mut self, job: u32) -> Option<&mut Underway> {
        let index = *self.walked.get(job as usize)?;
        Some(&mut self.jobs[index]).filter(|underway| !underway.over)
    }

    /// Forgets jobs that were cancelled.
    async fn drop_cancelled(&mut self) {
        let open = self.open_jobs();
        let cancelled = self.with.store.cancelled(&self.token, &open).await.unwrap_or_default();
        for id in &cancelled {
            tracing::info!(job_id = %id, video_id = %self.video.id, "cancelled while it ran");
            self.with.discard(&self.video.id, id).await;
            self.jobs.iter_mut().filter(|underway| underway.job.id == *id).for_each(|job| job.over = true);
        }
        self.lost |= !cancelled.is_empty();
    }

    fn open_jobs(&self) -> Vec<JobId> {
        let open = self.jobs.iter().filter(|underway| !underway.over);
        open.map(|underway| underway.job.id.clone()).collect()
    }

    /// A job whose batches all broke off is not tried for ever.
    async fn end_exhausted(&mut self) {
        for index in 0..self.jobs.len() {
            if retry::is_exhausted(self.jobs[index].job.attempts) {
                self.finish(index, Some(ending::exhausted())).await;
            }
        }
    }

    /// Brings every job to its end of which all points are decided.
    async fn finish_decided(&mut self) {
        for index in 0..self.jobs.len() {
            if !self.jobs[index].over && self.jobs[index].kept.progress.is_decided() {
                self.finish(index, None).await;
            }
        }
    }

    /// Publishes and commits one job. When that cannot be done now, the job keeps what it has and goes back.
    async fn finish(&mut self, index: usize, failure: Option<Failure>) {
        let began = std::time::Instant::now();
        let with = self.with;
        let underway = &self.jobs[index];
        let decided = underway.kept.decided(&self.token, &underway.job, &self.video, failure);
        let told = report::Told::of(&decided);
        let event_id = uuid::Uuid::new_v4().hyphenated().to_string();
        let finished =
            commit::finish(&with.store, &with.objects, &with.clock, &with.base_url, event_id, decided).await;
        match finished {
            Ok(finished) => {
                if finished.event {
                    with.wake.notify_one();
                }
                let walk = report::Walk { claimed_ms: self.claimed_ms, stats: self.total() };
                report::job_ended(&underway.job, &finished, &told, walk, began.elapsed());
                self.jobs[index].over = true;
                self.lost |= !finished.held;
            }
            Err(error) => {
                tracing::error!(%error, job_id = %underway.job.id, "a job cannot be finished now");
                self.trouble = true;
            }
        }
    }

    /// What was asked of a file that is no longer there cannot be answered from two files.
    async fn unless_replaced(&self, ended: Ended) -> Ended {
        let Some(identity) = self.identity else { return ended };
        if self.trouble || self.open_jobs().is_empty() {
            return ended;
        }
        let (roots, path) = (self.with.roots.clone(), self.video.path.clone());
        let same = tokio::task::spawn_blocking(move || roots.unchanged(Path::new(&path), identity)).await;
        if same.unwrap_or(true) { ended } else { Ended::Failed(ending::replaced()) }
    }

    /// Ends what can be ended and gives the rest back, each job at the cost that it has to bear.
    async fn settle(mut self, ended: Ended) {
        report::batch_ended(&self.video, &ended, self.walked.len(), &self.total());
        // The database may have been away when its last image came.
        self.finish_decided().await;
        for index in 0..self.jobs.len() {
            if self.jobs[index].over {
                continue;
            }
            let (setback, failure) = match self.trouble {
                true => (Setback::NoFault, ending::broken("trouble of the daemon's own")),
                false => ending::setback(&ended, self.pays(index)),
            };
            match retry::after(setback, self.jobs[index].job.attempts) {
                Verdict::Again { charge, delay_ms } => self.give_back(index, charge, delay_ms).await,
                Verdict::GiveUp => {
                    self.finish(index, Some(failure)).await;
                    if !self.jobs[index].over {
                        self.give_back(index, false, 0).await;
                    }
                }
            }
        }
    }

    /// Has this job to bear the child's death? While nothing is under way the child opens, reads and plans for all.
    fn pays(&self, index: usize) -> bool {
        let under_way = |point: &PointKey| self.walked.get(point.job as usize) == Some(&index);
        !self.planned || self.under_way.is_empty() || self.under_way.iter().any(under_way)
    }

    /// Puts a job back into the queue, however long the database takes to hear of it.
    async fn give_back(&mut self, index: usize, charge: bool, delay_ms: i64) {
        let underway = &mut self.jobs[index];
        underway.over = true;
        let id = underway.job.id.clone();
        // Before the release: another claim of the job may follow at once.
        let kept = std::mem::replace(&mut underway.kept, Kept::new(&underway.job));
        self.with.partials.put(&self.video.id, &id, kept);
        let delay_ms = if self.trouble { delay_ms.max(TROUBLE_PAUSE_MS) } else { delay_ms };
        let released = loop {
            let due_ms = self.with.clock.now_ms() + delay_ms;
            match self.with.store.release(&self.token, std::slice::from_ref(&id), charge, due_ms).await {
                Ok(released) => break released,
                Err(error) => tracing::warn!(%error, job_id = %id, "a job cannot be given back yet"),
            }
            self.with.clock.sleep(RELEASE_PAUSE).await;
        };
        if released.is_empty() {
            // Cancelled: nobody will ask for what it has.
            self.with.partials.forget(&id);
            self.with.discard(&self.video.id, &id).await;
        }
    }
}
