//! The composition root: builds, starts, reloads and stops everything.
//!
//! Owns the order of starting and stopping. Never does a part's work.
//!
//! ```text
//!   start:  folder, store, incarnation, sweep, worker, listeners, tasks, one round, run.json, READY
//!   stop:   no claims, no new connections, batches give way, children gone, run.json gone
//! ```

mod folder;
mod rounds;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::admin::{self, AdminContext, Health};
use super::api::{self, ApiContext, ProbeRequest};
use super::batch::scheduler::Scheduler;
use super::clock::Clock;
use super::objects::{MediaRoots, ObjectError, ObjectStore};
use super::pipeline::{Partials, Pipeline};
use super::publish::{notifier, sweep};
use super::settings::{Flags, Settings};
use super::store::{Store, StoreError};
use super::telemetry::logging::LogControl;
use super::telemetry::metrics::{self, Scrape};
use super::{probe, stop};
use crate::model::ids::Incarnation;
use crate::worker::budget::Budget;
use crate::worker::pool::{Pool, PoolConfig};
use folder::{DataFolder, FolderError};
use rounds::Rounds;
use signals::{Asked, Signals};

/// Batches that were asked to stop may finish their runs in hand so long; then their children are killed.
const DRAIN: Duration = Duration::from_secs(20);
/// What is left after that has so long before the process ends all the same.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// Probes that may wait; more are refused and asked for again by the next request.
const PROBES_MAX: usize = 256;
/// Between two times of dropping what is remembered of jobs that ended.
const FORGET: Duration = Duration::from_secs(60);

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error("failed to {doing}: {source}")]
    Io { doing: String, source: std::io::Error },
    #[error("failed to set up the metrics: {0}")]
    Metrics(String),
    /// A task that runs for as long as the daemon is gone.
    #[error("{0} ended on its own")]
    TaskGone(&'static str),
}

fn io<T>(doing: impl Into<String>, result: std::io::Result<T>) -> Result<T, DaemonError> {
    result.map_err(|source| DaemonError::Io { doing: doing.into(), source })
}

/// Runs the daemon until it is told to stop; `flags` are read again at each reload.
///
/// # Errors
/// What keeps it from starting, or a task that broke off.
pub async fn run(flags: Flags, settings: Settings, log: LogControl) -> Result<(), DaemonError> {
    let mut signals = io("listen to signals", Signals::listen())?;
    let mut daemon = Daemon::start(settings).await?;
    let ended = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break Ok(()),
                Asked::Reload => daemon.reload(&flags, &log).await,
            },
            gone = daemon.tasks.join_next() => break Err(task_gone(gone)),
            gone = daemon.work.join_next() => break Err(task_gone(gone)),
        }
    };
    daemon.stop(&mut signals).await;
    ended
}

fn task_gone(gone: Option<Result<&'static str, tokio::task::JoinError>>) -> DaemonError {
    match gone {
        Some(Ok(name)) => DaemonError::TaskGone(name),
        Some(Err(error)) => {
            tracing::error!(%error, "a task broke off");
            DaemonError::TaskGone("a task")
        }
        None => DaemonError::TaskGone("every task"),
    }
}

/// The signals that stop one part each.
struct Stops {
    claiming: watch::Sender<bool>,
    working: watch::Sender<bool>,
    /// Listeners, probes and the notifier.
    serving: watch::Sender<bool>,
    /// The pulse and the admin listener: the last to go.
    watching: watch::Sender<bool>,
}

/// A running daemon.
struct Daemon {
    folder: DataFolder,
    store: Store,
    pool: Arc<Pool>,
    health: Arc<Health>,
    settings: watch::Sender<Arc<Settings>>,
    /// The claim loop and all batches.
    work: JoinSet<&'static str>,
    /// All that runs until the end. Each gives its name.
    tasks: JoinSet<&'static str>,
    stops: Stops,
    api: SocketAddr,
    admin: SocketAddr,
}

impl Daemon {
    async fn start(settings: Settings) -> Result<Daemon, DaemonError> {
        let clock = Clock::Real;
        let folder = DataFolder::take(&settings.data)?;
        let scrape = install_metrics()?;
        let store = Store::open(&folder.database()).await?;
        let incarnation = Incarnation(uuid::Uuid::new_v4().simple().to_string());
        let back = store.start_incarnation(&incarnation, clock.now_ms()).await?;
        let objects = ObjectStore::local(folder.objects())?;
        let swept = sweep::sweep(&objects).await?;
        tracing::info!(jobs_back = back, temps_swept = swept, data = %settings.data.display(), "store is open");
        let pool = Arc::new(io("start the worker", Pool::start(pool_config(&settings)).await)?);

        let (api_listener, api) = bind(settings.api.listen).await?;
        let (admin_listener, admin) = bind(settings.admin_listen).await?;
        let base_url = settings.api.public_base_url.clone().unwrap_or_else(|| format!("http://{api}"));
        let roots = MediaRoots::new(&settings.media_roots)?;
        let settings = watch::Sender::new(Arc::new(settings));
        let health = Arc::new(Health::default());
        let stops = Stops {
            claiming: watch::Sender::new(false),
            working: watch::Sender::new(false),
            serving: watch::Sender::new(false),
            watching: watch::Sender::new(false),
        };
        let (submitted, wake) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (probes, probe_requests) = mpsc::channel::<ProbeRequest>(PROBES_MAX);
        let turns = Arc::new(AtomicU64::new(0));

        let rounds = Rounds {
            store: store.clone(),
            objects: objects.clone(),
            pool: Arc::clone(&pool),
            settings: settings.subscribe(),
            clock: clock.clone(),
            incarnation: incarnation.clone(),
            health: Arc::clone(&health),
            scrape: scrape.clone(),
            write_ahead_log: folder.write_ahead_log(),
            turns: Arc::clone(&turns),
        };
        // One whole round before anybody is told that all is well.
        rounds.once().await;
        let scheduler = Scheduler {
            store: store.clone(),
            settings: settings.subscribe(),
            clock: clock.clone(),
            incarnation,
            submitted: Arc::clone(&submitted),
            disk_full: Arc::clone(&health.disk_full),
            turns,
        };
        let pipeline = Arc::new(Pipeline {
            store: store.clone(),
            objects: objects.clone(),
            roots: roots.clone(),
            pool: Arc::clone(&pool),
            settings: settings.subscribe(),
            clock: clock.clone(),
            base_url: base_url.clone(),
            wake: Arc::clone(&wake),
            partials: Partials::default(),
        });
        let context = Arc::new(ApiContext {
            store: store.clone(),
            objects,
            roots,
            settings: settings.subscribe(),
            clock: clock.clone(),
            submitted,
            probes,
            base_url,
            disk: Arc::clone(&health.disk_full),
        });
        let admin_context = Arc::new(AdminContext { health: Arc::clone(&health), scrape });

        let mut daemon = Daemon {
            folder,
            store: store.clone(),
            pool,
            health,
            settings,
            work: JoinSet::new(),
            tasks: JoinSet::new(),
            stops,
            api,
            admin,
        };
        let (claiming, working) = (daemon.stops.claiming.subscribe(), daemon.stops.working.subscribe());
        let (serving, watching) = (daemon.stops.serving.subscribe(), daemon.stops.watching.subscribe());
        daemon.work.spawn(claim_loop(scheduler, Arc::clone(&pipeline), claiming, working));
        daemon.task(
            "the callbacks",
            notifier::run(store, daemon.settings.subscribe(), clock, wake, serving.clone()),
        );
        daemon.task("the probes", probe::serve(Arc::clone(&pipeline), probe_requests, serving.clone()));
        daemon.task("housekeeping", forget_ended(pipeline, serving.clone()));
        daemon.task("the API", api::server::serve(api_listener, context, serving));
        daemon.task("the pulse", rounds.run(watching.clone()));
        daemon.task("the admin listener", admin::serve(admin_listener, admin_context, watching));
        io("write run.json", daemon.folder.write_run_file(api, admin))?;
        tracing::info!(%api, %admin, "ready");
        daemon.tell_ready("");
        Ok(daemon)
    }

    fn task(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    fn tell_ready(&self, remark: &str) {
        let status = format!("API on {}, admin on {}{remark}", self.api, self.admin);
        signals::tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// Reads everything again and takes over what may change, or keeps all of it.
    async fn reload(&self, flags: &Flags, log: &LogControl) {
        signals::tell_reloading();
        let flags = flags.clone();
        let read = tokio::task::spawn_blocking(move || Settings::of_process(&flags)).await;
        let remark = match read {
            Ok(Ok(new)) => {
                let (now, restart) = self.settings.borrow().reloaded(new);
                if let Err(error) = log.set_filter(&now.log.filter) {
                    tracing::error!(%error, "the log keeps its filter");
                }
                self.settings.send_replace(Arc::new(now));
                if restart.is_empty() {
                    tracing::info!("settings reloaded");
                    String::new()
                } else {
                    tracing::warn!(
                        keys = restart.join(", "),
                        "settings reloaded; these keys wait for a restart"
                    );
                    format!("; waiting for a restart: {}", restart.join(", "))
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "settings are kept as they were");
                format!("; reload refused: {error}")
            }
            Err(error) => {
                tracing::error!(%error, "settings are kept as they were");
                String::new()
            }
        };
        self.tell_ready(&remark);
    }

    /// Ends everything, in order, within `DRAIN` and a little; a second signal skips the waiting.
    async fn stop(mut self, signals: &mut Signals) {
        tracing::info!("stopping");
        signals::tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
        self.health.draining.store(true, Ordering::SeqCst);
        for stop in [&self.stops.claiming, &self.stops.serving, &self.stops.working] {
            stop.send_replace(true);
        }
        tokio::select! {
            _ = self.work.join_next() => {}
            () = tokio::time::sleep(DRAIN) => tracing::warn!("batches are cut off; their jobs cost nothing"),
            () = second_stop(signals) => tracing::warn!("asked again: batches are cut off"),
        }
        // Dropped batches kill their children; the next start finds their jobs and queues them at no cost.
        self.work.shutdown().await;
        self.stops.watching.send_replace(true);
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = rest => {}
            () = tokio::time::sleep(LAST_WAIT) => tracing::warn!("some connections are cut off"),
            () = second_stop(signals) => {}
        }
        self.tasks.shutdown().await;
        match Arc::try_unwrap(self.pool) {
            Ok(pool) => {
                if tokio::time::timeout(LAST_WAIT, pool.shut_down()).await.is_err() {
                    tracing::warn!("the worker does not end");
                }
            }
            // Dropping the last share ends it as well.
            Err(pool) => drop(pool),
        }
        if tokio::time::timeout(LAST_WAIT, self.store.close()).await.is_err() {
            tracing::warn!("the database does not close; it recovers at the next start");
        }
        if let Err(error) = self.folder.remove_run_file() {
            tracing::warn!(%error, "run.json is left behind");
        }
        tracing::info!("stopped");
    }
}

async fn second_stop(signals: &mut Signals) {
    while signals.next().await != Asked::Stop {}
}

async fn claim_loop(
    scheduler: Scheduler,
    pipeline: Arc<Pipeline>,
    claiming: watch::Receiver<bool>,
    working: watch::Receiver<bool>,
) -> &'static str {
    let run = move |claim, orders| {
        let pipeline = Arc::clone(&pipeline);
        async move { pipeline.run(claim, orders).await }
    };
    scheduler.run(run, claiming, working).await;
    "the claim loop"
}

async fn forget_ended(pipeline: Arc<Pipeline>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = stop::asked(&mut stop) => return,
            () = tokio::time::sleep(FORGET) => pipeline.forget_ended().await,
        }
    }
}

fn install_metrics() -> Result<Scrape, DaemonError> {
    let (recorder, scrape) = metrics::recorder().map_err(|error| DaemonError::Metrics(error.to_string()))?;
    ::metrics::set_global_recorder(recorder).map_err(|error| DaemonError::Metrics(error.to_string()))?;
    scrape.describe();
    Ok(scrape)
}

fn pool_config(settings: &Settings) -> PoolConfig {
    PoolConfig {
        run_cpu: settings.worker.run_cpu,
        no_progress: settings.worker.no_progress,
        budget: Budget::new(settings.worker.image_bytes),
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), DaemonError> {
    let listener = io(format!("listen on {address}"), TcpListener::bind(address).await)?;
    let bound = io("ask for the bound address", listener.local_addr())?;
    Ok((listener, bound))
}
