//! The composition root: builds, starts, reloads and stops everything.
//!
//! Owns the order of starting and stopping. Never does a part's work.
//!
//! ```text
//!   start:  folder, store, incarnation, sweep, worker, listeners, tasks, one round, run.json, READY
//!   stop:   no claims, no new connections, batches give way, children gone, run.json gone
//! ```

mod folder;
mod parts;
mod rounds;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::api::{self, ProbeRequest};
use super::batch::scheduler::Scheduler;
use super::objects::ObjectError;
use super::pipeline::Pipeline;
use super::settings::{Flags, Settings};
use super::store::StoreError;
use super::telemetry::logging::LogControl;
use super::telemetry::metrics::{self, Scrape};
use super::{admin, probe, stop};
use folder::{DataFolder, FolderError};
use parts::Parts;
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
#[derive(Default)]
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
    parts: Parts,
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
        let folder = DataFolder::take(&settings.data)?;
        let scrape = install_metrics()?;
        let (api_listener, api) = bind(settings.api.listen).await?;
        let (admin_listener, admin) = bind(settings.admin_listen).await?;
        let parts = Parts::open(&folder, settings, api, scrape).await?;
        let rounds = parts.rounds(folder.write_ahead_log());
        // One whole round before anybody is told that all is well.
        rounds.once().await;

        let (probes, probe_requests) = mpsc::channel::<ProbeRequest>(PROBES_MAX);
        let (scheduler, pipeline) = (parts.scheduler(), Arc::new(parts.pipeline()));
        let (context, admin_context) = (Arc::new(parts.api(probes)), Arc::new(parts.admin()));
        let mut daemon = Daemon {
            folder,
            parts,
            work: JoinSet::new(),
            tasks: JoinSet::new(),
            stops: Stops::default(),
            api,
            admin,
        };
        let (claiming, working) = (daemon.stops.claiming.subscribe(), daemon.stops.working.subscribe());
        let (serving, watching) = (daemon.stops.serving.subscribe(), daemon.stops.watching.subscribe());
        daemon.work.spawn(claim_loop(scheduler, Arc::clone(&pipeline), claiming, working));
        let callbacks = daemon.parts.callbacks(serving.clone());
        daemon.task("the callbacks", callbacks);
        let devices = daemon.parts.devices(serving.clone());
        daemon.task("the devices", devices);
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
                let (now, restart) = self.parts.settings.borrow().reloaded(new);
                if let Err(error) = log.set_filter(&now.log.filter) {
                    tracing::error!(%error, "the log keeps its filter");
                }
                self.parts.settings.send_replace(Arc::new(now));
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
        self.parts.health.draining.store(true, Ordering::SeqCst);
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
        self.parts.close(LAST_WAIT).await;
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

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), DaemonError> {
    let listener = io(format!("listen on {address}"), TcpListener::bind(address).await)?;
    let bound = io("ask for the bound address", listener.local_addr())?;
    Ok((listener, bound))
}
