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

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::net::RecvFlags;
use rustix::process::{Pid, Signal};

use super::Engine;
use super::protocol::{HEAD_BYTES, Head, Order, decode_order, encode_ended, encode_message, encode_stop};
use crate::model::delivery::{Deliver, Gone, Message};
use crate::model::job::{Grant, Source, VideoBatch};
use crate::model::limits::NOTES_MAX;

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

fn read_batch(mut socket: &UnixStream) -> io::Result<(VideoBatch, Grant)> {
    let mut head = [0; HEAD_BYTES];
    socket.read_exact(&mut head)?;
    let head = Head::decode(head).map_err(io::Error::other)?;
    let mut payload = vec![0; head.len as usize];
    socket.read_exact(&mut payload)?;
    match decode_order(head.kind, &payload).map_err(io::Error::other)? {
        Order::Batch(batch, grant) => Ok((batch, grant)),
        Order::Stop => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// The child's end of the batch socket. A write that blocks is the whole back pressure: it holds the lock,
/// so every thread that has something to deliver waits behind it.
struct Out {
    socket: UnixStream,
    writing: Mutex<()>,
    /// Bytes of a stop message that came so far.
    stop: Mutex<usize>,
    stop_asked: AtomicBool,
    gone: AtomicBool,
    notes: AtomicUsize,
}

impl Out {
    fn new(socket: UnixStream) -> Out {
        Out {
            socket,
            writing: Mutex::new(()),
            stop: Mutex::new(0),
            stop_asked: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            notes: AtomicUsize::new(0),
        }
    }

    // A frame and, for an image, its bytes: one unit on the wire.
    fn send(&self, frame: &[u8], bytes: &[u8]) -> Result<(), Gone> {
        let guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.gone.load(Ordering::Relaxed) {
            return Err(Gone);
        }
        let mut socket = &self.socket;
        let sent = socket.write_all(frame).and_then(|()| socket.write_all(bytes));
        drop(guard);
        sent.map_err(|_| self.lost())
    }

    fn lost(&self) -> Gone {
        self.gone.store(true, Ordering::Relaxed);
        // Threads that block in a write behind this one learn of it at once; a socket that is shut already
        // needs no shutting.
        self.socket.shutdown(Shutdown::Both).ok();
        Gone
    }

    // Takes what the daemon sent, without waiting. The only thing it can send is one stop message.
    fn look_for_stop(&self, seen: &mut usize) {
        let stop = encode_stop();
        while *seen < stop.len() {
            let mut bytes = [0u8; HEAD_BYTES];
            let left = &mut bytes[*seen..];
            match rustix::net::recv(&self.socket, left, RecvFlags::DONTWAIT) {
                Ok((n, _)) if n > 0 && bytes[*seen..*seen + n] == stop[*seen..*seen + n] => *seen += n,
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::INTR) => {}
                // The end of the file, an error, or a word that is not ours: nobody to work for.
                _ => {
                    self.lost();
                    break;
                }
            }
        }
        self.stop_asked.store(true, Ordering::Relaxed);
    }
}

impl Deliver for Out {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        let bytes: &[u8] = match &message {
            Message::Note { .. } if self.notes.fetch_add(1, Ordering::Relaxed) >= NOTES_MAX => {
                return Ok(());
            }
            Message::Image(image) => &image.bytes,
            _ => &[],
        };
        // A message beyond the limit cannot be said; the daemon would end this child for it anyway.
        let frame = encode_message(&message).map_err(|_| self.lost())?;
        self.send(&frame, bytes)
    }

    fn stop_asked(&self) -> bool {
        if self.stop_asked.load(Ordering::Relaxed) {
            return true;
        }
        // Another thread is looking right now: its answer will do next time.
        if let Ok(mut seen) = self.stop.try_lock() {
            self.look_for_stop(&mut seen);
        }
        self.stop_asked.load(Ordering::Relaxed)
    }
}
