//! CPU time of another process, all its threads.
//!
//! Owns one system call. Never reads /proc: a hidden or missing /proc would blind the deadline.

#![allow(unsafe_code)]

use std::time::Duration;

/// User and system time of the process so far; none when it is gone.
pub(super) fn of(pid: u32) -> Option<Duration> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the pointer is to a live clockid_t.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_used_cpu_and_a_missing_one_has_no_clock() {
        assert!(super::of(std::process::id()).is_some_and(|cpu| !cpu.is_zero()));
        // Above the kernel's highest process id.
        assert_eq!(super::of(1 << 23), None);
    }
}
