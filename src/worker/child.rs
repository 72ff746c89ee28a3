//! One batch in one process: what runs between fork and `_exit`.
//!
//! Owns the child's descriptors and its end of the batch socket. Never returns to the zygote's code, whose
//! state it has inherited and must not touch.
//!
//! ```text
//!   descriptor 0, 1   /dev/null          3   batch socket
//!              2      the zygote's pipe  4   video             nothing else
//! ```

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, Signal};

use super::Engine;
use super::out::{Out, read_batch};
use super::protocol::encode_ended;
use crate::model::job::Source;

/// Exit codes of a child; all but `DONE` are a crash to the daemon.
mod code {
    pub const DONE: i32 = 0;
    /// Rust's own for a panic.
    pub const PANIC: i32 = 101;
    /// The process could not be set up.
    pub const SET_UP: i32 = 102;
    /// The daemon is gone, or speaks otherwise.
    pub const GONE: i32 = 103;
}

const BATCH_FD: RawFd = 3;
const VIDEO_FD: RawFd = 4;

/// Serves one batch and ends the process. `zygote` is the parent's process id.
pub(super) fn main(zygote: Pid, batch: OwnedFd, video: OwnedFd, engine: Engine) -> ! {
    // A panic must not unwind into the zygote's loop, from wherever it comes.
    let code = catch_unwind(AssertUnwindSafe(|| serve(zygote, batch, video, engine)));
    let code = code.unwrap_or(code::PANIC);
    // SAFETY: `_exit` takes an integer and does not return. No destructor and no atexit handler of the
    // zygote's runs in this copy of it.
    unsafe { libc::_exit(code) }
}

fn serve(zygote: Pid, batch: OwnedFd, video: OwnedFd, engine: Engine) -> i32 {
    let Ok((socket, video)) = set_up(zygote, batch, video) else {
        return code::SET_UP;
    };
    let Ok((batch, grant)) = read_batch(&socket) else {
        return code::GONE;
    };
    let out = Out::new(socket);
    let (ended, stats) = engine(&batch, Source::Fd(video), grant, &out);
    let Ok(frame) = encode_ended(&ended, &stats) else {
        return code::PANIC;
    };
    if out.send(&frame, &[]).is_err() { code::GONE } else { code::DONE }
}

// Dies with its parent, is the first to go when memory runs out, and holds nothing but its own batch.
fn set_up(zygote: Pid, batch: OwnedFd, video: OwnedFd) -> io::Result<(UnixStream, OwnedFd)> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above.
    if rustix::process::getppid() != Some(zygote) {
        return Err(io::ErrorKind::NotConnected.into());
    }
    // Raising one's own score is allowed to everybody, but /proc may not be there.
    std::fs::write("/proc/self/oom_score_adj", "900").ok();

    // Everything here is by number from now on: an owner must not close a number that is another's by then.
    let (batch, video) = (batch.into_raw_fd(), video.into_raw_fd());
    // The two may lie on each other's places, so they go out of the way first.
    let (batch, video) = (duplicate_above(batch)?, duplicate_above(video)?);
    for (from, to) in [(1, 0), (batch, BATCH_FD), (video, VIDEO_FD)] {
        // SAFETY: `dup2` takes two numbers. What was open at `to` belonged to the zygote's copy of its own
        // state, which nobody in this process uses or drops.
        if unsafe { libc::dup2(from, to) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: three numbers in; every descriptor from 5 on is the zygote's copy or one of the two copies
    // above, and nobody uses or owns them any more.
    if unsafe { libc::syscall(libc::SYS_close_range, VIDEO_FD + 1, libc::c_uint::MAX, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both numbers were just made by dup2, and nothing else owns them.
    let (batch, video) = unsafe { (OwnedFd::from_raw_fd(BATCH_FD), OwnedFd::from_raw_fd(VIDEO_FD)) };
    Ok((UnixStream::from(batch), video))
}

fn duplicate_above(fd: RawFd) -> io::Result<RawFd> {
    // SAFETY: three numbers in; the descriptor is open, the caller took it out of its owner.
    match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, VIDEO_FD + 1) } {
        -1 => Err(io::Error::last_os_error()),
        copy => Ok(copy),
    }
}
