//! What the kernel counts of a process: at its end, or so far.
//!
//! Owns the calls of wait and getrusage. Never ends a process.

#![allow(unsafe_code)]

use std::io;

use rustix::process::Pid;

use super::protocol::{Exit, How};

/// Takes a child that has ended off the process table.
///
/// # Errors
/// When it is no child of this process.
pub(super) fn reap(pid: Pid) -> io::Result<Exit> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live values of the types that wait4 writes.
        let got = unsafe { libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, &raw mut usage) };
        if got >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let how = if libc::WIFSIGNALED(status) {
        How::Signal(libc::WTERMSIG(status))
    } else {
        How::Code(libc::WEXITSTATUS(status))
    };
    Ok(Exit { how, cpu_us: cpu_us(&usage), peak_rss_kib: usage.ru_maxrss.unsigned_abs() })
}

/// User and system time of this process so far, microseconds, and its largest resident set, KiB.
pub(super) fn own() -> (u64, u64) {
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live rusage. It fails for another first argument only.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    // Linux counts the set in KiB.
    (cpu_us(&usage), usage.ru_maxrss.unsigned_abs())
}

fn cpu_us(usage: &libc::rusage) -> u64 {
    let us = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs();
    us(usage.ru_utime) + us(usage.ru_stime)
}
