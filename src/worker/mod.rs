//! The bridge: processes, messages, deadlines.
//!
//! Owns the zygote, its children and the bytes between them and the daemon.
//! Never knows a job's name, a database or a decoder: the engine comes in as a function.
//!
//! ```text
//!   daemon                       zygote (one, from /proc/self/exe)     child (one a batch)
//!   pool    starts, restarts --> zygote --------- fork --------------> child runs the engine
//!   link    <-- control: SEQPACKET, descriptors beside the bytes -->
//!   running <-- batch socket: STREAM, one a batch; its end of file is the sign of a death -->
//! ```

pub mod budget;
mod child;
mod cpu;
mod end;
mod fds;
pub mod grammar;
mod link;
pub mod meter;
mod oom;
pub mod pool;
pub mod protocol;
mod running;
mod stderr;
pub mod zygote;

use crate::model::delivery::Deliver;
use crate::model::job::{Ended, Grant, Source, Stats, VideoBatch};

/// The engine as the bridge sees it.
pub type Engine = fn(&VideoBatch, Source, Grant, &dyn Deliver) -> (Ended, Stats);

/// What both sides of the bridge must have been built from: the build where one is known, else the version.
pub fn build_id() -> &'static str {
    option_env!("STILLFRAME_BUILD").unwrap_or(env!("CARGO_PKG_VERSION"))
}
