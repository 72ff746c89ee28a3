//! The daemon's side of the bridge: starts the zygote, runs one batch a child, enforces deadlines.
//!
//! Owns the zygote's life: it is started, greeted, drained and, when it dies, started again. Never decides what
//! a death costs a job: it says how each batch ended.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::budget::{Budget, Held};
use super::link::{Link, Started};
use super::oom::OomKills;
use super::protocol::encode_batch;
use super::stderr;
use crate::model::delivery::Message;
use crate::model::job::{Ended, Grant, Source, Stats, VideoBatch};

pub use super::running::Running;
pub use super::wire::Launch;

/// A zygote that lived this long is started again at once.
const STEADY: Duration = Duration::from_secs(10);
/// The first and the longest pause before another start; it doubles in between.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a batch waits for a zygote, and how often it tries when one dies under it.
const ZYGOTE_WAIT: Duration = Duration::from_secs(30);
const FORK_TRIES: u32 = 3;

/// What the pool needs to know.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// CPU seconds a run may use before its child is killed.
    pub run_cpu: Duration,
    /// Wall time without progress in bytes or frames before the child is killed.
    pub no_progress: Duration,
    /// The image bytes that may wait in the daemon.
    pub budget: Budget,
}

/// The running zygote and its children. Dropping it ends them.
pub struct Pool {
    config: PoolConfig,
    link: watch::Receiver<Option<Arc<Link>>>,
    closing: watch::Sender<bool>,
    restarts: Arc<AtomicU64>,
    oom: Arc<OomKills>,
    keeper: Option<JoinHandle<()>>,
}

/// What comes out of a child.
#[derive(Debug)]
pub enum Delivery {
    /// Anything but an image's bytes; an `Image` message comes with the share that its bytes hold.
    Message(Message, Option<Held>),
    /// The last word: how the walk ended and what it cost, CPU of a dead child included.
    Ended(Ended, Stats),
}

impl Pool {
    /// Starts the zygote.
    ///
    /// # Errors
    /// When it cannot be started or greets with another build.
    pub async fn start(config: PoolConfig) -> io::Result<Pool> {
        Pool::start_as(config, Launch::own()).await
    }

    /// Starts another program as the zygote.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_as(config: PoolConfig, launch: Launch) -> io::Result<Pool> {
        let first = Link::start(&launch).await?;
        let (publish, link) = watch::channel(None);
        let (closing, close) = watch::channel(false);
        let restarts = Arc::new(AtomicU64::new(0));
        let oom = Arc::new(OomKills::of_this_group());
        let keeper = Keeper { launch, publish, close, restarts: Arc::clone(&restarts) };
        // Published before the first batch can ask.
        let first = keeper.publish(first)?;
        let keeper = tokio::spawn(keeper.keep(first));
        Ok(Pool { config, link, closing, restarts, oom, keeper: Some(keeper) })
    }

    /// Runs a batch in a child of its own.
    ///
    /// # Errors
    /// When no child can be made, or the batch is beyond the message limit; nobody pays for that.
    pub async fn run(&self, batch: VideoBatch, source: Source, grant: Grant) -> io::Result<Running> {
        let order = encode_batch(&batch, grant)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let Source::Fd(video) = source;
        let mut tries = 0;
        loop {
            tries += 1;
            let link = self.zygote().await?;
            let (ours, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            match link.fork(video.as_fd(), theirs.as_fd()).await {
                Ok(forked) => {
                    // Before anything can wait for the end of the file.
                    drop(theirs);
                    let oom = Arc::clone(&self.oom);
                    return Running::begin(forked, ours, order, &batch, &self.config, oom).await;
                }
                Err(_) if link.is_closed() && tries < FORK_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Children at work, and restarts of the zygote so far.
    pub fn gauges(&self) -> PoolGauges {
        let busy = self.link.borrow().as_ref().map_or(0, |link| link.children() as u64);
        PoolGauges { busy, zygote_restarts: self.restarts.load(Ordering::Relaxed) }
    }

    /// Process id of the zygote; none while it is being started again.
    pub fn zygote_pid(&self) -> Option<u32> {
        self.link.borrow().as_ref().map(|link| link.pid)
    }

    /// Ends the zygote after its children ended.
    pub async fn shut_down(mut self) {
        let link = self.link.borrow().clone();
        if let Some(link) = link {
            loop {
                let gone = link.child_gone.notified();
                if link.children() == 0 {
                    break;
                }
                gone.await;
            }
        }
        self.closing.send_replace(true);
        if let Some(keeper) = self.keeper.take()
            && let Err(error) = keeper.await
        {
            tracing::error!(%error, "worker's keeper failed");
        }
    }

    async fn zygote(&self) -> io::Result<Arc<Link>> {
        let mut link = self.link.clone();
        match timeout(ZYGOTE_WAIT, link.wait_for(|l| l.as_ref().is_some_and(|l| !l.is_closed()))).await {
            Ok(Ok(link)) => link.clone().ok_or_else(|| io::ErrorKind::NotConnected.into()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::NotConnected, "worker pool is shut down")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "worker does not come back")),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.closing.send_replace(true);
    }
}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolGauges {
    pub busy: u64,
    pub zygote_restarts: u64,
}

/// Keeps one zygote alive until the pool closes.
struct Keeper {
    launch: Launch,
    publish: watch::Sender<Option<Arc<Link>>>,
    close: watch::Receiver<bool>,
    restarts: Arc<AtomicU64>,
}

/// A zygote in use.
struct Kept {
    link: Arc<Link>,
    process: std::process::Child,
    since: Instant,
}

impl Keeper {
    fn publish(&self, started: Started) -> io::Result<Kept> {
        let Started { link, process, stderr } = started;
        if let Some(stderr) = stderr {
            stderr::drain(stderr)?;
        }
        let link = Arc::new(link);
        self.publish.send_replace(Some(Arc::clone(&link)));
        Ok(Kept { link, process, since: Instant::now() })
    }

    async fn keep(mut self, first: Kept) {
        let mut kept = Some(first);
        let mut pause = Duration::ZERO;
        while !*self.close.borrow() {
            let Some(now) = kept.take() else {
                let started = Link::start(&self.launch).await;
                match started.and_then(|started| self.publish(started)) {
                    Ok(again) => kept = Some(again),
                    Err(error) => {
                        tracing::error!(%error, "failed to start the worker again");
                        pause = longer(pause);
                        self.rest(pause).await;
                    }
                }
                continue;
            };
            let steady = self.serve(now).await;
            if *self.close.borrow() {
                break;
            }
            self.restarts.fetch_add(1, Ordering::Relaxed);
            pause = if steady { Duration::ZERO } else { pause };
            self.rest(pause).await;
            pause = longer(pause);
        }
    }

    // Hears one zygote to its end and takes it off the process table; true when it lived long.
    async fn serve(&mut self, kept: Kept) -> bool {
        let Kept { link, mut process, since } = kept;
        tokio::select! {
            heard = link.listen() => match heard {
                Ok(()) => tracing::error!(pid = link.pid, "worker is gone"),
                Err(error) => tracing::error!(pid = link.pid, %error, "worker failed"),
            },
            // A closed channel is a dropped pool.
            _closing = self.close.wait_for(|closing| *closing) => {}
        }
        self.publish.send_replace(None);
        link.close();
        link.kill();
        let waited = tokio::task::spawn_blocking(move || process.wait()).await;
        if let Ok(Err(error)) = waited {
            tracing::error!(%error, "failed to wait for the worker");
        }
        since.elapsed() >= STEADY
    }

    async fn rest(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            _closing = self.close.wait_for(|closing| *closing) => {}
        }
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
}
