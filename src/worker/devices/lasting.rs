//! One helper of a device, as the parent holds it: from its start to the end of its process.
//!
//! Owns its control socket, what it is doing and whose turn it is. Never chooses a helper and never starts another in
//! its place: `home` does.

#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::super::link::{Forked, Hold};
use super::super::protocol::{Control, Exit, How};
use super::super::reap::reap;
use super::super::wire::{Launch, Wire};
use super::super::{cpu, stderr};
use super::{Opened, ReplacedBy, Why};
use crate::model::device::{CodecClass, DeviceFacts, DeviceId, Refusal};

/// How long a helper may take to close its device before it is killed.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// How long the end of a killed one is waited for: a process that hangs in the kernel may never go.
const GONE_WAIT: Duration = Duration::from_secs(1);
/// What a helper sees of this process's environment: where the driver's libraries are, and what they are told.
const ENVIRONMENT: [&str; 5] = ["LD_LIBRARY_PATH", "CUDA_", "NVIDIA_", "LIBVA_", "FAKE_"];

/// One helper. Dropping it kills the process.
pub(super) struct Lasting {
    /// Its process id, while it lives.
    pub pid: u32,
    process: Pid,
    pidfd: AsyncFd<OwnedFd>,
    pub wire: Wire,
    state: Mutex<State>,
    /// Told when the state changed under the keeper's eyes.
    pub poke: Notify,
    /// Becomes true when the process is off the process table.
    off: watch::Sender<bool>,
}

pub(super) struct State {
    /// The turn that is on; none while it is idle or ending.
    turn: Option<u64>,
    turns: u64,
    pub doing: Doing,
    /// Whose batches it served.
    pub owner: Option<String>,
    pub batches: u32,
    /// It will serve nobody any more; the reason, unless its device is closed for good.
    pub going: Option<Option<ReplacedBy>>,
    /// Held while it is not idle.
    pub place: Option<OwnedSemaphorePermit>,
}

/// What it is doing, and who waits for it.
pub(super) enum Doing {
    Opening(oneshot::Sender<Opened>),
    /// Somebody has it and has given it nothing to do.
    Taken,
    Batch {
        id: u64,
        exit: oneshot::Sender<Exit>,
        cpu_before: Duration,
    },
    Proof {
        class: CodecClass,
        answer: oneshot::Sender<Result<(), Why>>,
    },
    Idle {
        since: Instant,
    },
}

/// The right to give one helper something to do. Dropping it before that is done kills the helper.
pub(in crate::worker) struct Turn {
    helper: Arc<Lasting>,
    id: u64,
}

impl Lasting {
    /// Starts the process; the turn is the caller's, and the facts come when the device is open.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        launch: &Launch,
        device: &DeviceId,
        place: Option<OwnedSemaphorePermit>,
    ) -> io::Result<(Turn, oneshot::Receiver<Opened>)> {
        let mut launch = launch.clone();
        launch.args.extend(["--device".into(), OsString::from(device.to_string())]);
        let passes = |name: &str| ENVIRONMENT.iter().any(|start| name.starts_with(start));
        let environment = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passes));
        // Its death signal follows the thread that starts it, and a thread of the runtime lives as long as the runtime.
        let (mut child, wire) = launch.spawn(environment)?;
        if let Some(pipe) = child.stderr.take() {
            stderr::drain(pipe)?;
        }
        let pid = child.id();
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        // Nobody has waited for it yet, so the number is still its own.
        let pidfd = pidfd_open(process, PidfdFlags::empty())?;
        let (opened, facts) = oneshot::channel();
        let state = State {
            turn: Some(1),
            turns: 1,
            doing: Doing::Opening(opened),
            owner: None,
            batches: 0,
            going: None,
            place,
        };
        let helper = Arc::new(Lasting {
            pid,
            process,
            // SAFETY: an OwnedFd names the same open descriptor for as long as it lives.
            pidfd: unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE)? },
            wire,
            state: Mutex::new(state),
            poke: Notify::new(),
            off: watch::Sender::new(false),
        });
        Ok((Turn { helper, id: 1 }, facts))
    }

    /// What it is doing and for whom.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an idle helper.
    pub fn take(self: &Arc<Self>, state: &mut State, place: OwnedSemaphorePermit) -> Turn {
        state.turns += 1;
        state.turn = Some(state.turns);
        state.doing = Doing::Taken;
        state.place = Some(place);
        Turn { helper: Arc::clone(self), id: state.turns }
    }

    /// Hears the greeting and how opening went; none when the process is gone.
    ///
    /// # Errors
    /// When it cannot be used, and why.
    pub async fn opening(&self, device: &DeviceId, wait: Duration) -> Result<Option<DeviceFacts>, Why> {
        let no_device = |text: String| (Refusal::NoDevice, format!("{device}: {text}"));
        let hang = || (Refusal::Hang, format!("{device}: does not open within {} s", wait.as_secs_f64()));
        let until = Instant::now() + wait;
        match self.wire.greeting(wait).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(hang()),
            Err(error) => return Err(no_device(format!("no helper: {error}"))),
        }
        match tokio::time::timeout_at(until, self.wire.hear()).await {
            Ok(Ok(Some((Control::Opened { facts }, beside)))) if beside.is_empty() => Ok(Some(facts)),
            Ok(Ok(Some((Control::Unopened { why }, _)))) => Err(named(device, why)),
            Ok(Ok(Some(_))) => Err(no_device("helper said what it cannot say".to_owned())),
            Ok(Ok(None) | Err(_)) => Ok(None),
            Err(_) => Err(hang()),
        }
    }

    /// Kills it. It may be gone already.
    pub fn kill(&self) {
        pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL).ok();
    }

    /// Waits until the process is gone.
    async fn gone(&self) {
        // The guard is dropped as it is: a process that ended stays so. An error shows in wait.
        drop(self.pidfd.readable().await);
    }

    /// Ends it, and waits for that with a limit; what wait tells, and none when it cannot be made to go.
    pub async fn see_off(&self, at_once: bool) -> Option<Exit> {
        self.wire.hang_up();
        if at_once {
            self.kill();
        }
        if timeout(CLOSE_WAIT, self.gone()).await.is_err() {
            self.kill();
            timeout(GONE_WAIT, self.gone()).await.ok()?;
        }
        self.reap()
    }

    fn reap(&self) -> Option<Exit> {
        let exit = reap(self.process).ok();
        self.off.send_replace(true);
        exit
    }

    /// Waits for one that could not be made to go.
    pub async fn wait_for_ever(&self) {
        self.gone().await;
        self.reap();
    }
}

impl State {
    /// Ends the turn: nobody can kill it for that any more.
    pub fn turn_is_over(&mut self) {
        self.turn = None;
    }

    /// True when nobody has it.
    pub fn is_idle(&self) -> bool {
        matches!(self.doing, Doing::Idle { .. }) && self.going.is_none()
    }

    /// It waits for work, and its place is free again.
    pub fn rest(&mut self) {
        self.turn = None;
        self.doing = Doing::Idle { since: Instant::now() };
        self.place = None;
    }
}

impl Turn {
    /// The helper.
    pub(super) fn helper(&self) -> &Arc<Lasting> {
        &self.helper
    }

    /// Kills the helper if this turn is still on.
    pub fn kill(&self) {
        let mut state = self.helper.state();
        if state.turn == Some(self.id) {
            state.going.get_or_insert(Some(ReplacedBy::Died));
            // Under the lock: afterwards it may be another's.
            self.helper.kill();
            self.helper.poke.notify_one();
        }
    }

    /// Kills the helper even if this turn is over, and waits for its end with a limit: it cannot be believed any more.
    pub async fn condemn(&self) {
        self.helper.state().going.get_or_insert(Some(ReplacedBy::Died));
        self.helper.kill();
        self.helper.poke.notify_one();
        // One that cannot be made to go keeps its place.
        timeout(CLOSE_WAIT, self.helper.off.subscribe().wait_for(|off| *off)).await.ok();
    }

    /// Gives it back without anything done.
    pub(super) fn give_back(self) {
        self.helper.state().rest();
        self.helper.poke.notify_one();
    }

    /// Gives it a batch.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) async fn serve(
        self,
        owner: &str,
        video: BorrowedFd<'_>,
        batch: BorrowedFd<'_>,
    ) -> io::Result<Forked> {
        let (sender, exit) = oneshot::channel();
        let (pid, id) = (self.helper.pid, self.id);
        {
            let mut state = self.helper.state();
            state.owner = Some(owner.to_owned());
            let cpu_before = cpu::of(pid).unwrap_or_default();
            state.doing = Doing::Batch { id, exit: sender, cpu_before };
        }
        self.helper.wire.say(&Control::Serve { id }, &[video, batch]).await?;
        Ok(Forked { pid, hold: Hold::Helper(self), exit })
    }

    /// Has it decode the built-in clip of a class.
    ///
    /// # Errors
    /// Why that did not come out as it should.
    pub(super) async fn prove(self, device: &DeviceId, class: CodecClass, wait: Duration) -> Result<(), Why> {
        let (answer, mut heard) = oneshot::channel();
        self.helper.state().doing = Doing::Proof { class, answer };
        let gone = || (Refusal::Crash, format!("{device}: helper is gone"));
        self.helper.wire.say(&Control::Prove { class }, &[]).await.map_err(|_| gone())?;
        match timeout(wait, &mut heard).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone())),
            Err(_) => {
                self.kill();
                // Its place is free again when it is gone.
                timeout(CLOSE_WAIT, heard).await.ok();
                let text = format!("{device}: no picture of {class} within {} s", wait.as_secs_f64());
                Err((Refusal::Hang, text))
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Why a device does not serve, with its name.
pub(super) fn named(device: &DeviceId, (reason, text): Why) -> Why {
    match text.contains(&device.to_string()) {
        true => (reason, text),
        false => (reason, format!("{device}: {text}")),
    }
}

/// How a process ended, for people.
pub(super) fn way_out(exit: Option<Exit>) -> String {
    match exit.map(|exit| exit.how) {
        Some(How::Signal(signal)) => format!("helper died of signal {signal}"),
        Some(How::Code(code)) => format!("helper ended with code {code}"),
        None => "helper does not end".to_owned(),
    }
}
