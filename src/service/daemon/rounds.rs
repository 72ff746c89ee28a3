//! The daemon's pulse: is the database writable, is there space, does the scheduler turn.
//!
//! Owns the heartbeat, the watchdog and the gauges. Never repairs anything: it writes down what it saw.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::sync::watch;

use super::signals;
use crate::model::ids::Incarnation;
use crate::service::admin::Health;
use crate::service::clock::Clock;
use crate::service::devices::Devices;
use crate::service::objects::ObjectStore;
use crate::service::settings::Settings;
use crate::service::stop;
use crate::service::store::Store;
use crate::service::telemetry::metrics::{self, Scrape};
use crate::worker::pool::Pool;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// Between two heartbeats of this node.
const BEAT: Duration = Duration::from_secs(10);
/// Between two times of forgetting old nonces.
const PRUNE: Duration = Duration::from_secs(60);

/// The scheduler turns once a second when nothing else happens.
const SCHEDULER_SILENCE_MAX: Duration = Duration::from_secs(5);

/// What a round looks at.
pub struct Rounds {
    pub store: Store,
    pub objects: ObjectStore,
    pub pool: Arc<Pool>,
    pub devices: Arc<Devices>,
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Clock,
    pub incarnation: Incarnation,
    pub health: Arc<Health>,
    pub scrape: Scrape,
    pub write_ahead_log: PathBuf,
    /// Turns of the scheduler so far.
    pub turns: Arc<AtomicU64>,
}

impl Rounds {
    /// One round after the other until `stop`.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let watchdog = sd_notify::watchdog_enabled();
        let pause = watchdog.map_or(ROUND, |limit| ROUND.min(limit / 3));
        let (mut beaten, mut pruned) = (None, None);
        let mut turns_seen = self.turns.load(Ordering::Relaxed);
        let mut turned_at = Instant::now();
        loop {
            tokio::select! {
                () = stop::asked(&mut stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            let written = self.once().await;
            let turns = self.turns.load(Ordering::Relaxed);
            if std::mem::replace(&mut turns_seen, turns) != turns {
                turned_at = Instant::now();
                metrics::heartbeat("scheduler", self.clock.now_ms());
            }
            let turns = turned_at.elapsed() < SCHEDULER_SILENCE_MAX;
            if watchdog.is_some() && written && (turns || self.health.draining.load(Ordering::SeqCst)) {
                signals::tell(&[NotifyState::Watchdog]);
            }
            if written && is_due(&mut beaten, BEAT) {
                self.beat().await;
            }
            if written && is_due(&mut pruned, PRUNE) {
                self.prune().await;
            }
        }
    }

    /// One round; true when the database took a write.
    pub async fn once(&self) -> bool {
        self.look_at_disk();
        let now_ms = self.clock.now_ms();
        self.health.store_asked();
        let checked = self.store.check(now_ms).await;
        let written = checked.is_ok();
        self.health.store_answered(checked.map_err(|error| error.to_string()));
        if written {
            metrics::heartbeat("store", now_ms);
        }
        self.look_at_pool();
        self.look_at_store(now_ms).await;
        self.scrape.upkeep();
        written
    }

    fn look_at_disk(&self) {
        let Some(free) = self.objects.free_bytes() else { return };
        let least = self.settings.borrow().free_bytes_min;
        let full = free < least;
        if self.health.disk_full.swap(full, Ordering::SeqCst) != full {
            if full {
                tracing::error!(free, least, "the disk is below its watermark: nothing new is taken");
            } else {
                tracing::info!(free, "there is space again");
            }
        }
        metrics::disk_free(free);
    }

    fn look_at_pool(&self) {
        let gone = self.pool.zygote_pid().is_none();
        if self.health.worker_gone.swap(gone, Ordering::SeqCst) != gone && gone {
            tracing::error!("the worker is gone and being started again");
        }
        let gauges = self.pool.gauges();
        let slots = self.settings.borrow().slots() as u64;
        metrics::workers(gauges.busy, slots, gauges.zygote_restarts);
        self.devices.tell();
    }

    async fn look_at_store(&self, now_ms: i64) {
        // A missing log is an empty one.
        metrics::db_wal(std::fs::metadata(&self.write_ahead_log).map_or(0, |file| file.len()));
        match self.store.counts().await {
            Ok(counts) => {
                let age = |since_ms: Option<i64>| since_ms.map(|since_ms| now_ms - since_ms);
                metrics::jobs(counts.queued, counts.running, age(counts.oldest_queued_ms));
                let oldest = age(counts.oldest_pending_callback_ms);
                metrics::callbacks(counts.callbacks_pending, counts.callbacks_dead, oldest);
                metrics::nonces(counts.nonces);
            }
            Err(error) => tracing::debug!(%error, "no counts this round"),
        }
    }

    async fn beat(&self) {
        let now_ms = self.clock.now_ms();
        match self.store.beat(&self.incarnation, now_ms).await {
            Ok(()) => metrics::heartbeat("node", now_ms),
            Err(error) => tracing::warn!(%error, "no heartbeat"),
        }
    }

    async fn prune(&self) {
        if let Err(error) = self.store.prune(self.clock.now_ms()).await {
            tracing::warn!(%error, "failed to forget old nonces");
        }
    }
}

/// True, and the time taken down, when `every` has passed since the last time.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}
