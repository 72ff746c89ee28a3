//! One zygote as the daemon holds it: started, spoken to, ended.
//!
//! Owns the control socket's near end and who waits for which child. Never restarts anything: `pool` does.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::{Child, ChildStderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::devices::Turn;
use super::protocol::{Control, Exit};
use super::wire::{Launch, Wire};

/// How long the zygote may take to greet, and to fork a child: either takes milliseconds.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A child that lives.
pub(super) struct Forked {
    pub pid: u32,
    pub hold: Hold,
    /// What wait tells in the end; closed without a word when the zygote is gone.
    pub exit: oneshot::Receiver<Exit>,
}

/// What ends the process of a batch.
pub(super) enum Hold {
    Child(OwnedFd),
    /// A helper, for as long as it serves this batch and no other.
    Helper(Turn),
}

impl Hold {
    /// Kills it. It may be gone already.
    pub fn kill(&self) {
        match self {
            Hold::Child(pidfd) => drop(pidfd_send_signal(pidfd, Signal::KILL)),
            Hold::Helper(turn) => turn.kill(),
        }
    }

    /// Ends a process that cannot be believed; a helper even when it says that it is done.
    pub async fn condemn(&self) {
        match self {
            Hold::Child(_) => self.kill(),
            Hold::Helper(turn) => turn.condemn().await,
        }
    }

    /// True when the process is to outlive the batch.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Hold::Helper(_))
    }
}

/// The near end of one zygote.
pub(super) struct Link {
    pub pid: u32,
    pidfd: OwnedFd,
    wire: Wire,
    next_id: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Told whenever a child is gone.
    pub child_gone: Notify,
}

#[derive(Default)]
struct Waiting {
    closed: bool,
    children: HashMap<u64, Waiter>,
}

struct Waiter {
    forked: Option<oneshot::Sender<io::Result<(u32, OwnedFd)>>>,
    exit: oneshot::Sender<Exit>,
}

/// A zygote that greeted, and the process to wait for in the end.
pub(super) struct Started {
    pub link: Link,
    pub process: Child,
    pub stderr: Option<ChildStderr>,
}

impl Link {
    /// Starts a zygote and hears its greeting.
    ///
    /// # Errors
    /// When it cannot be started, does not greet, or was built from something else.
    pub async fn start(launch: &Launch) -> io::Result<Started> {
        let (mut process, wire) = launch.spawn([])?;
        match Link::greeted(&process, wire).await {
            Ok(link) => {
                let stderr = process.stderr.take();
                Ok(Started { link, process, stderr })
            }
            Err(error) => {
                // One that never greeted is of no use; it may be gone already.
                process.kill().ok();
                process.wait()?;
                Err(error)
            }
        }
    }

    async fn greeted(process: &Child, wire: Wire) -> io::Result<Link> {
        let pid = process.id();
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        let link = Link {
            pid,
            // Nobody has waited for it yet, so the number is still its own.
            pidfd: pidfd_open(raw, PidfdFlags::empty())?,
            wire,
            next_id: AtomicU64::new(1),
            waiting: Mutex::default(),
            child_gone: Notify::new(),
        };
        link.wire.greeting(ANSWER_WAIT).await?;
        Ok(link)
    }

    /// Hears the zygote until it is gone.
    ///
    /// # Errors
    /// When it says what makes no sense, or the socket fails.
    pub async fn listen(&self) -> io::Result<()> {
        while let Some((message, fds)) = self.wire.hear().await? {
            self.act(message, fds)?;
        }
        Ok(())
    }

    fn act(&self, message: Control, mut fds: Vec<OwnedFd>) -> io::Result<()> {
        let mut waiting = self.lock();
        match (message, fds.pop()) {
            (Control::Forked { id, pid }, Some(pidfd)) => {
                let forked = waiting.children.get_mut(&id).and_then(|waiter| waiter.forked.take());
                let unheard = match forked {
                    Some(forked) => forked.send(Ok((pid, pidfd))).err(),
                    None => Some(Ok((pid, pidfd))),
                };
                // Whoever asked for it has gone: so must it. It may have ended by itself.
                if let Some(Ok((_, pidfd))) = unheard {
                    pidfd_send_signal(&pidfd, Signal::KILL).ok();
                }
            }
            (Control::ForkFailed { id, errno }, None) => {
                if let Some(forked) = waiting.children.remove(&id).and_then(|waiter| waiter.forked) {
                    // Whoever asked for it may have gone.
                    forked.send(Err(io::Error::from_raw_os_error(errno))).ok();
                }
                self.child_gone.notify_waiters();
            }
            (Control::Exited { id, exit }, None) => {
                if let Some(waiter) = waiting.children.remove(&id) {
                    // Nobody listens any more when the batch was dropped.
                    waiter.exit.send(exit).ok();
                }
                self.child_gone.notify_waiters();
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "worker said what it cannot say")),
        }
        Ok(())
    }

    /// Has a child forked for a video and a batch socket.
    ///
    /// # Errors
    /// When the zygote is gone (`is_closed` then tells) or cannot fork.
    pub async fn fork(&self, video: BorrowedFd<'_>, batch: BorrowedFd<'_>) -> io::Result<Forked> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (forked, answer) = oneshot::channel();
        let (exit_sender, exit) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(gone());
            }
            waiting.children.insert(id, Waiter { forked: Some(forked), exit: exit_sender });
        }
        let mut unsent = Unsent { link: self, id, sent: false };
        self.wire.say(&Control::Fork { id }, &[video, batch]).await?;
        unsent.sent = true;
        match timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(forked)) => forked.map(|(pid, pidfd)| Forked { pid, hold: Hold::Child(pidfd), exit }),
            Ok(Err(_)) => Err(gone()),
            Err(_) => {
                // It hangs: nothing that it holds can be waited for.
                self.kill();
                Err(io::Error::new(io::ErrorKind::TimedOut, "worker does not fork"))
            }
        }
    }

    /// Children that live, or are being forked.
    pub fn children(&self) -> usize {
        self.lock().children.len()
    }

    /// True once the zygote is known to be gone.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Forgets every child: whoever waits for one learns that the zygote is gone.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.children.clear();
        // The zygote ends at this; it may have ended already.
        self.wire.hang_up();
        self.child_gone.notify_waiters();
    }

    /// Kills the zygote; its children die with it.
    pub fn kill(&self) {
        // It may be gone already.
        pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a child off the list again when the request for it never left.
struct Unsent<'a> {
    link: &'a Link,
    id: u64,
    sent: bool,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.link.lock().children.remove(&self.id);
            self.link.child_gone.notify_waiters();
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "worker is gone")
}
