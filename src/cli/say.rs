//! Standard output, and problems on standard error.
//!
//! Owns what happens when nobody reads any more: `jobs list | head -1` ends quietly, with the code of the work itself.
//! Never panics as `println!` does, and never hides that output was lost for any other reason.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::exit;

/// Some output was wanted and did not get out.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line of data.
macro_rules! say {
    ($($text:tt)*) => { crate::cli::say::line(format_args!($($text)*)) };
}

/// Prints one line; `say!` is `println!` by way of this.
pub fn line(text: impl Display) {
    bytes(format!("{text}\n").as_bytes());
}

/// Prints bytes as they are.
pub fn bytes(data: &[u8]) {
    let mut out = std::io::stdout().lock();
    if lost(out.write_all(data).and_then(|()| out.flush())) && !LOST.swap(true, Ordering::Relaxed) {
        complain("failed to write to standard output");
    }
}

/// Tells a problem on standard error; one that cannot be told still shows in the exit code.
pub fn complain(problem: impl Display) {
    remark(format_args!("stillframe: {problem}"));
}

/// Tells people something that is no data.
pub fn remark(text: impl Display) {
    drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
}

/// The exit code of a command that ends with `code`: output that is lost is a fault.
pub fn code(code: u8) -> u8 {
    if code == exit::DONE && LOST.load(Ordering::Relaxed) { exit::FAULT } else { code }
}

// A reader that has left has seen what it wanted: that is no loss.
fn lost(written: std::io::Result<()>) -> bool {
    written.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe)
}
