//! `stillframe worker`: the process that forks one child a batch.
//!
//! Owns fork and wait. Never runs a second thread, since a fork copies only one; never opens, reads or
//! decodes a video. It lives as long as the control socket, which is its descriptor 0.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::protocol::Control;
use super::reap::reap;
use super::{Engine, build_id, child, fds};

/// How far below the daemon decoding stands, in steps of nice(2): a core that both want answers requests first.
const NICENESS: i32 = 10;

unsafe extern "C" {
    // POSIX; the libc crate does not carry it for every target.
    fn tzset();
}

/// Serves the control socket on descriptor 0 until it ends; returns the exit code.
///
/// `warm_up` runs once before the first fork: what it loads and initialises is there in every child.
/// It must not start a thread.
pub fn main(engine: Engine, warm_up: fn()) -> u8 {
    let control = take_place();
    warm_up();
    match serve(&control, engine) {
        Ok(()) => 0,
        Err(error) => {
            // The daemon may be gone, and with it whoever reads this.
            writeln!(io::stderr(), "failed to serve the control socket: {error}").ok();
            1
        }
    }
}

/// Takes the control socket and the standing of a worker, before anything else is open or runs.
pub(super) fn take_place() -> OwnedFd {
    // SAFETY: the daemon starts this process with the control socket as descriptor 0, and nothing in the
    // program reads standard input.
    let control = unsafe { OwnedFd::from_raw_fd(0) };
    // What the daemon was handed without close-on-exec (a listener of its unit) is none of ours.
    // SAFETY: three numbers in; this process has opened nothing from 3 on yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    ignore_signals();
    // Everybody may stand further back. Should a kernel refuse it all the same, decoding goes on as it is.
    rustix::process::nice(NICENESS).ok();
    // SAFETY: reads TZ and sets the C library's zone; there is no second thread to see it change. A child
    // could not do it any more: it may not open /etc/localtime.
    unsafe { tzset() };
    control
}

// A Ctrl-C or a stop of the unit reaches every process of the group; the daemon alone decides when its
// children end, and this process ends with its socket.
fn ignore_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: SIG_IGN is no handler, so no code of ours ever runs in a signal's context.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

struct Child {
    id: u64,
    pid: Pid,
    pidfd: OwnedFd,
}

fn serve(control: &OwnedFd, engine: Engine) -> io::Result<()> {
    fds::send(control.as_fd(), &Control::Greeting { build: build_id().to_owned() }, &[])?;
    let mut children: BTreeMap<u64, Child> = BTreeMap::new();
    loop {
        let (spoken, ended) = wait(control.as_fd(), &children)?;
        for id in ended {
            if let Some(Child { pid, pidfd, .. }) = children.remove(&id) {
                let exit = reap(pid)?;
                // Nothing is left of a child once its end is told.
                drop(pidfd);
                fds::send(control.as_fd(), &Control::Exited { id, exit }, &[])?;
            }
        }
        if spoken {
            match fds::receive(control.as_fd())? {
                Some((Control::Fork { id }, fds)) => {
                    let answer = match <[OwnedFd; 2]>::try_from(fds) {
                        Ok([video, batch]) => fork(id, video, batch, engine),
                        Err(_) => Err(io::Error::from_raw_os_error(libc::EBADMSG)),
                    };
                    answer_fork(control.as_fd(), id, answer, &mut children)?;
                }
                Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "unexpected message")),
                None => return Ok(()),
            }
        }
    }
}

// Waits for the daemon or the end of a child: (the daemon spoke, children that ended).
fn wait(control: BorrowedFd<'_>, children: &BTreeMap<u64, Child>) -> io::Result<(bool, Vec<u64>)> {
    let mut polled: Vec<PollFd<'_>> = vec![PollFd::from_borrowed_fd(control, PollFlags::IN)];
    polled.extend(children.values().map(|child| PollFd::new(&child.pidfd, PollFlags::IN)));
    rustix::io::retry_on_intr(|| poll(&mut polled, None))?;
    let (first, rest) =
        polled.split_first().map_or((false, &[][..]), |(p, rest)| (!p.revents().is_empty(), rest));
    let ended = children.values().zip(rest).filter(|(_, p)| !p.revents().is_empty());
    Ok((first, ended.map(|(child, _)| child.id).collect()))
}

fn fork(id: u64, video: OwnedFd, batch: OwnedFd, engine: Engine) -> io::Result<Child> {
    let zygote = rustix::process::getpid();
    // SAFETY: this process has one thread, so the copy is whole: no lock is held by a thread that is not
    // in it. The child runs `child::main`, which never returns.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => child::main(zygote, batch, video, engine),
        raw => {
            let Some(pid) = Pid::from_raw(raw) else {
                return Err(io::Error::from_raw_os_error(libc::ECHILD));
            };
            // Only this process reaps, so the number is the child's until `reap`.
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(pidfd) => Ok(Child { id, pid, pidfd }),
                Err(error) => {
                    // Without a pidfd nobody could end it or learn of its end.
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
                    reap(pid)?;
                    Err(error.into())
                }
            }
        }
    }
}

fn answer_fork(
    control: BorrowedFd<'_>,
    id: u64,
    answer: io::Result<Child>,
    children: &mut BTreeMap<u64, Child>,
) -> io::Result<()> {
    match answer {
        Ok(child) => {
            let pid = child.pid.as_raw_nonzero().get().unsigned_abs();
            fds::send(control, &Control::Forked { id, pid }, &[child.pidfd.as_fd()])?;
            children.insert(id, child);
            Ok(())
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            fds::send(control, &Control::ForkFailed { id, errno }, &[])
        }
    }
}
