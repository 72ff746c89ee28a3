//! The claim loop: due jobs in, one running batch a video out.
//!
//! Owns slots, fair turns and time slices. Never knows what a batch does: it is handed a function that runs one claim.
//!
//! ```text
//!   submitted, ended, poll --> heads of all accounts --> fair turn --> claim --> run(claim, orders)
//!                                                                                   ^ stop: slice over, or the end
//! ```

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};

use super::fair::{self, Head, Slots};
use crate::model::ids::{AccountId, ClaimToken, Incarnation, JobId, VideoId};
use crate::service::clock::Clock;
use crate::service::settings::Settings;
use crate::service::stop;
use crate::service::store::rows::{Claim, DueHead};
use crate::service::store::{Store, StoreError};

/// Jobs may become due, or be put into the queue by another process, without anybody telling.
const POLL: Duration = Duration::from_secs(1);
/// A batch that broke off is a bug: its jobs wait so long.
const BROKEN_PAUSE_MS: i64 = 10_000;

/// What a running batch is told.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Decoding threads, at least 1.
    pub threads: u32,
    /// Turns true when the batch is to end after the runs in hand.
    pub stop: watch::Receiver<bool>,
}

/// The claim loop and what it needs.
#[derive(Debug)]
pub struct Scheduler {
    pub store: Store,
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Clock,
    pub incarnation: Incarnation,
    /// Told after every durable submission.
    pub submitted: Arc<Notify>,
    /// No batch begins while this is true.
    pub disk_full: Arc<AtomicBool>,
    /// Counts the turns of the loop: proof that it turns.
    pub turns: Arc<AtomicU64>,
}

/// One batch under way.
struct Batch {
    account: AccountId,
    video: VideoId,
    token: ClaimToken,
    jobs: Vec<JobId>,
    since_ms: i64,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct Running {
    batches: HashMap<Id, Batch>,
    tasks: JoinSet<()>,
    /// Number of the latest turn of each account.
    served: BTreeMap<AccountId, u64>,
    turn: u64,
}

impl Scheduler {
    /// Claims and runs until `stop_claiming`, then waits for what runs; `stop_working` asks every batch to stop.
    pub async fn run<F>(
        self,
        run: impl Fn(Claim, Orders) -> F,
        mut stop_claiming: watch::Receiver<bool>,
        mut stop_working: watch::Receiver<bool>,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = Running::default();
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let claiming = !stop::is_asked(&stop_claiming);
            let working = !stop::is_asked(&stop_working);
            if !working {
                running.batches.values().for_each(Batch::ask_to_stop);
            }
            if !claiming && running.tasks.is_empty() {
                return;
            }
            if claiming && let Err(error) = self.fill(&mut running, &run, &stop_claiming).await {
                tracing::warn!(%error, "no work can be claimed");
            }
            tokio::select! {
                () = self.submitted.notified(), if claiming => {}
                Some(ended) = running.tasks.join_next_with_id() => self.ended(&mut running, ended).await,
                () = self.clock.sleep(POLL) => {}
                () = stop::asked(&mut stop_claiming), if claiming => {}
                () = stop::asked(&mut stop_working), if working => {}
            }
        }
    }

    /// Gives every free slot its turn, then asks batches whose slice is over to make room.
    async fn fill<F>(
        &self,
        running: &mut Running,
        run: &impl Fn(Claim, Orders) -> F,
        stop_claiming: &watch::Receiver<bool>,
    ) -> Result<(), StoreError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.disk_full.load(Ordering::SeqCst) {
            return Ok(());
        }
        let cores = u32::try_from(self.settings.borrow().slots()).unwrap_or(u32::MAX);
        let mut gone = Vec::new();
        loop {
            let busy = running.batches.values().map(|batch| &batch.video).chain(&gone);
            let busy: Vec<VideoId> = busy.cloned().collect();
            let now_ms = self.clock.now_ms();
            let heads = self.store.due_heads(now_ms, &busy).await?;
            // What was submitted after the stop is seen only after the stop, too.
            if stop::is_asked(stop_claiming) {
                return Ok(());
            }
            let turns: Vec<Head> =
                heads.iter().map(|head| Head { account: head.account, seq: head.seq }).collect();
            let next = fair::next(&turns, &running.by_account(), &running.served, Slots::of_cores(cores));
            let Some(head) = next.and_then(|next| heads.get(next)).cloned() else {
                self.make_room(running, &heads, now_ms);
                return Ok(());
            };
            running.serve(head.account);
            let token = ClaimToken(uuid::Uuid::new_v4().simple().to_string());
            let claim =
                self.store.claim(head.account, &head.video, &token, &self.incarnation, now_ms).await?;
            let Some(claim) = claim else {
                // Cancelled between the look and the claim.
                gone.push(head.video);
                continue;
            };
            let others = u32::try_from(running.batches.len()).unwrap_or(u32::MAX);
            let threads = fair::grant_threads(cores, others, head.due_videos);
            // Its slice begins now, not when the loop began to look.
            running.start(claim, threads, self.clock.now_ms(), run);
        }
    }

    /// Accounts that have nothing running and get no slot are made room for, one batch each.
    fn make_room(&self, running: &Running, heads: &[DueHead], now_ms: i64) {
        let by_account = running.by_account();
        let waiting = heads.iter().filter(|head| !by_account.contains_key(&head.account)).count();
        let already = running.batches.values().filter(|batch| *batch.stop.borrow()).count();
        let slice_ms =
            i64::try_from(self.settings.borrow().worker.time_slice.as_millis()).unwrap_or(i64::MAX);
        let mut over: Vec<&Batch> = running
            .batches
            .values()
            .filter(|batch| !*batch.stop.borrow() && now_ms - batch.since_ms >= slice_ms)
            .collect();
        // Who has run longest gives way first.
        over.sort_by_key(|batch| batch.since_ms);
        for batch in over.into_iter().take(waiting.saturating_sub(already)) {
            tracing::debug!(video_id = %batch.video, account = %batch.account, "a batch gives way");
            batch.ask_to_stop();
        }
    }

    async fn ended(&self, running: &mut Running, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let (id, broken) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        // Every task was put down when it began.
        let Some(batch) = running.batches.remove(&id) else { return };
        let Some(error) = broken else { return };
        tracing::error!(%error, video_id = %batch.video, "a batch broke off");
        let due_ms = self.clock.now_ms() + BROKEN_PAUSE_MS;
        if let Err(error) = self.store.release(&batch.token, &batch.jobs, true, due_ms).await {
            tracing::error!(%error, video_id = %batch.video, "its jobs wait for the next start of the daemon");
        }
    }
}

impl Running {
    fn start<F>(&mut self, claim: Claim, threads: u32, now_ms: i64, run: &impl Fn(Claim, Orders) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let batch = Batch {
            account: claim.account,
            video: claim.video.id.clone(),
            token: claim.token.clone(),
            jobs: claim.jobs.iter().map(|job| job.id.clone()).collect(),
            since_ms: now_ms,
            stop,
        };
        let task = self.tasks.spawn(run(claim, Orders { threads, stop: stopped }));
        self.batches.insert(task.id(), batch);
    }

    fn serve(&mut self, account: AccountId) {
        self.turn += 1;
        self.served.insert(account, self.turn);
    }

    fn by_account(&self) -> BTreeMap<AccountId, u32> {
        let mut counts = BTreeMap::new();
        for batch in self.batches.values() {
            *counts.entry(batch.account).or_default() += 1;
        }
        counts
    }
}

impl Batch {
    fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
