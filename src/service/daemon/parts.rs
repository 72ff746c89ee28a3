//! What the parts of a daemon share, and each part made from it.
//!
//! Owns the wiring. Never starts a task: the composition root does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::folder::DataFolder;
use super::rounds::Rounds;
use super::{DaemonError, io};
use crate::model::ids::Incarnation;
use crate::service::admin::{AdminContext, Health};
use crate::service::api::{ApiContext, ProbeRequest};
use crate::service::batch::scheduler::Scheduler;
use crate::service::clock::Clock;
use crate::service::devices::Devices;
use crate::service::objects::{MediaRoots, ObjectStore};
use crate::service::pipeline::{Partials, Pipeline};
use crate::service::publish::{notifier, sweep};
use crate::service::settings::Settings;
use crate::service::store::Store;
use crate::service::telemetry::metrics::Scrape;
use crate::worker::budget::Budget;
use crate::worker::pool::{Pool, PoolConfig};

/// All that is shared.
pub struct Parts {
    pub settings: watch::Sender<Arc<Settings>>,
    pub health: Arc<Health>,
    store: Store,
    objects: ObjectStore,
    roots: MediaRoots,
    pool: Arc<Pool>,
    devices: Arc<Devices>,
    clock: Clock,
    incarnation: Incarnation,
    base_url: String,
    scrape: Scrape,
    /// Wakes the claim loop.
    submitted: Arc<Notify>,
    /// Wakes the notifier.
    wake: Arc<Notify>,
    /// Turns of the claim loop.
    turns: Arc<AtomicU64>,
}

impl Parts {
    /// Opens the store for this incarnation, clears up after the one before, and starts the worker.
    ///
    /// # Errors
    /// Whatever of it cannot be opened.
    pub async fn open(
        folder: &DataFolder,
        settings: Settings,
        api: SocketAddr,
        scrape: Scrape,
    ) -> Result<Parts, DaemonError> {
        let clock = Clock::Real;
        let roots = MediaRoots::new(&settings.media_roots)?;
        let store = Store::open(&folder.database()).await?;
        let incarnation = Incarnation(uuid::Uuid::new_v4().simple().to_string());
        let back = store.start_incarnation(&incarnation, clock.now_ms()).await?;
        let objects = ObjectStore::local(folder.objects())?;
        let swept = sweep::sweep(&objects).await?;
        tracing::info!(jobs_back = back, temps_swept = swept, data = %settings.data.display(), "store is open");
        let config = PoolConfig {
            run_cpu: settings.worker.run_cpu,
            no_progress: settings.worker.no_progress,
            budget: Budget::new(settings.worker.image_bytes),
        };
        let (run_cpu, budget) = (config.run_cpu, config.budget.clone());
        let devices = Arc::new(Devices::new(&settings.devices, run_cpu, budget, clock.clone()));
        let pool = Arc::new(io("start the worker", Pool::start(config).await)?);
        let base_url = settings.api.public_base_url.clone().unwrap_or_else(|| format!("http://{api}"));
        Ok(Parts {
            settings: watch::Sender::new(Arc::new(settings)),
            health: Arc::default(),
            store,
            objects,
            roots,
            pool,
            devices,
            clock,
            incarnation,
            base_url,
            scrape,
            submitted: Arc::default(),
            wake: Arc::default(),
            turns: Arc::default(),
        })
    }

    /// The pulse.
    pub fn rounds(&self, write_ahead_log: PathBuf) -> Rounds {
        Rounds {
            store: self.store.clone(),
            objects: self.objects.clone(),
            pool: Arc::clone(&self.pool),
            devices: Arc::clone(&self.devices),
            settings: self.settings.subscribe(),
            clock: self.clock.clone(),
            incarnation: self.incarnation.clone(),
            health: Arc::clone(&self.health),
            scrape: self.scrape.clone(),
            write_ahead_log,
            turns: Arc::clone(&self.turns),
        }
    }

    /// The claim loop.
    pub fn scheduler(&self) -> Scheduler {
        Scheduler {
            store: self.store.clone(),
            settings: self.settings.subscribe(),
            clock: self.clock.clone(),
            incarnation: self.incarnation.clone(),
            submitted: Arc::clone(&self.submitted),
            disk_full: Arc::clone(&self.health.disk_full),
            turns: Arc::clone(&self.turns),
        }
    }

    /// The spine.
    pub fn pipeline(&self) -> Pipeline {
        Pipeline {
            store: self.store.clone(),
            objects: self.objects.clone(),
            roots: self.roots.clone(),
            pool: Arc::clone(&self.pool),
            devices: Arc::clone(&self.devices),
            settings: self.settings.subscribe(),
            clock: self.clock.clone(),
            base_url: self.base_url.clone(),
            wake: Arc::clone(&self.wake),
            partials: Partials::default(),
        }
    }

    /// The API.
    pub fn api(&self, probes: mpsc::Sender<ProbeRequest>) -> ApiContext {
        ApiContext {
            store: self.store.clone(),
            objects: self.objects.clone(),
            roots: self.roots.clone(),
            settings: self.settings.subscribe(),
            clock: self.clock.clone(),
            submitted: Arc::clone(&self.submitted),
            probes,
            base_url: self.base_url.clone(),
            disk: Arc::clone(&self.health.disk_full),
        }
    }

    /// Metrics and health.
    pub fn admin(&self) -> AdminContext {
        AdminContext { health: Arc::clone(&self.health), scrape: self.scrape.clone() }
    }

    /// What opens and proves the devices.
    pub fn devices(&self, stop: watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.devices).keep(stop)
    }

    /// What empties the outbox.
    pub fn callbacks(&self, stop: watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
        let (store, settings) = (self.store.clone(), self.settings.subscribe());
        notifier::run(store, settings, self.clock.clone(), Arc::clone(&self.wake), stop)
    }

    /// Ends the worker and closes the store, once every task that shares them is gone; each within `patience`.
    pub async fn close(self, patience: Duration) {
        if tokio::time::timeout(patience, self.devices.shut_down()).await.is_err() {
            tracing::warn!("a device's process does not end");
        }
        match Arc::try_unwrap(self.pool) {
            Ok(pool) => {
                if tokio::time::timeout(patience, pool.shut_down()).await.is_err() {
                    tracing::warn!("the worker does not end");
                }
            }
            // Dropping the last share ends it as well.
            Err(pool) => drop(pool),
        }
        if tokio::time::timeout(patience, self.store.close()).await.is_err() {
            tracing::warn!("the database does not close; it recovers at the next start");
        }
    }
}
