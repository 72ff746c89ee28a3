//! The daemon's end of a control socket, and how the process at its other end is started.
//!
//! Owns the greeting and the datagrams. Never knows what they are about.

#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::protocol::Control;
use super::{build_id, fds};

/// What is started as a worker.
#[derive(Clone, Debug)]
pub struct Launch {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

impl Launch {
    /// This program itself, even when its file was replaced meanwhile.
    pub fn own() -> Launch {
        Launch { program: "/proc/self/exe".into(), args: vec!["worker".into()] }
    }

    /// Starts it, with nothing of this process's environment but what is given.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn spawn(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> io::Result<(Child, Wire)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        // SAFETY: an OwnedFd names the same open descriptor for as long as it lives.
        let wire = Wire { socket: unsafe { AsyncFd::register(ours)? } };
        // The temporary command holds the far end; it is gone after this statement, so that the near end
        // sees the end of the file when the worker dies.
        let process = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(environment)
            .env("TZ", "UTC0")
            .env("MALLOC_ARENA_MAX", "2")
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok((process, wire))
    }
}

/// The near end of a control socket.
pub(super) struct Wire {
    socket: AsyncFd<OwnedFd>,
}

impl Wire {
    /// Hears the greeting of a worker of this build.
    ///
    /// # Errors
    /// When it does not greet in time, or was built from something else.
    pub async fn greeting(&self, wait: Duration) -> io::Result<()> {
        let refused = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        match timeout(wait, self.hear()).await {
            Ok(Ok(Some((Control::Greeting { build }, _)))) if build == build_id() => Ok(()),
            Ok(Ok(Some((Control::Greeting { build }, _)))) => {
                Err(refused(format!("worker was built as {build}, this is {}", build_id())))
            }
            Ok(Ok(Some(_))) => Err(refused("worker did not greet".to_owned())),
            Ok(Ok(None)) => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "worker ended without a greeting"))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "worker does not greet")),
        }
    }

    /// The next message; none when the other end is gone. Cancel safe.
    ///
    /// # Errors
    /// The socket's, or bytes that are no message.
    pub async fn hear(&self) -> io::Result<Option<(Control, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.socket.readable().await?;
            if let Ok(heard) = ready.try_io(|socket| fds::receive(socket.as_fd())) {
                return heard;
            }
        }
    }

    /// Says a message, with descriptors beside it.
    ///
    /// # Errors
    /// When the other end is gone.
    pub async fn say(&self, message: &Control, beside: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            match fds::send(self.socket.as_fd(), message, beside) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.writable().await?.clear_ready();
                }
                said => return said,
            }
        }
    }

    /// Ends it: the worker ends at that. It may have ended already.
    pub fn hang_up(&self) {
        shutdown(self.socket.get_ref(), Shutdown::Both).ok();
    }
}
