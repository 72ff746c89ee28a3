//! What the zygote and its children write to standard error, as lines of the log.
//!
//! Owns the draining. Never lets it fill up, since a full pipe would block whoever writes, and never lets a
//! child flood the log.

use std::process::ChildStderr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;

/// Longest line; a longer one is logged in parts.
const LINE_BYTES_MAX: usize = 1_024;
/// Most lines that are logged in one window; the others are counted.
const LINES_MAX: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);

/// Drains the pipe until its last writer is gone.
///
/// # Errors
/// When the pipe cannot be watched.
pub(super) fn drain(stderr: ChildStderr) -> std::io::Result<()> {
    let mut pipe = pipe::Receiver::from_owned_fd(stderr.into())?;
    tokio::spawn(async move {
        let mut lines = Lines::default();
        let mut window = Instant::now();
        let mut chunk = [0; 4_096];
        while let Ok(n @ 1..) = pipe.read(&mut chunk).await {
            if window.elapsed() >= WINDOW {
                window = Instant::now();
                if let Some(left_out) = lines.new_window() {
                    tracing::warn!(left_out, "worker wrote more lines than are logged");
                }
            }
            lines.take(&chunk[..n], |line| tracing::warn!("worker: {line}"));
        }
    });
    Ok(())
}

#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    logged: u32,
    left_out: u64,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut log: impl FnMut(&str)) {
        for &byte in bytes {
            if byte != b'\n' {
                self.partial.push(byte);
            }
            if byte == b'\n' || self.partial.len() >= LINE_BYTES_MAX {
                if !self.partial.is_empty() {
                    if self.logged < LINES_MAX {
                        log(String::from_utf8_lossy(&self.partial).trim_end());
                        self.logged += 1;
                    } else {
                        self.left_out += 1;
                    }
                }
                self.partial.clear();
            }
        }
    }

    fn new_window(&mut self) -> Option<u64> {
        self.logged = 0;
        let left_out = std::mem::take(&mut self.left_out);
        (left_out > 0).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_long_ones_cut() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        lines.take(b"thread 'main' pan", |line| seen.push(line.to_owned()));
        lines.take(b"icked\n\n", |line| seen.push(line.to_owned()));
        lines.take(&[b'x'; LINE_BYTES_MAX + 1], |line| seen.push(line.to_owned()));
        lines.take(b"\n", |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["thread 'main' panicked", &"x".repeat(LINE_BYTES_MAX), "x"]);
    }

    #[test]
    fn a_flood_is_counted() {
        let mut lines = Lines::default();
        let mut logged = 0;
        lines.take("flood\n".repeat(LINES_MAX as usize + 7).as_bytes(), |_| logged += 1);
        assert_eq!(logged, LINES_MAX);
        assert_eq!(lines.new_window(), Some(7));
        lines.take(b"calm\n", |_| logged += 1);
        assert_eq!((logged, lines.new_window()), (LINES_MAX + 1, None));
    }
}
