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
//!
//!   daemon                       helper (a few a device, from /proc/self/exe, never forked)
//!   devices starts, replaces --> opens the device, serves one batch at a time
//!   running <-- batch socket: as above; the helper lives on -->
//! ```

pub mod budget;
mod child;
mod cpu;
pub mod devices;
mod end;
mod fds;
pub mod grammar;
pub mod helper;
mod link;
pub mod meter;
mod oom;
mod out;
pub mod pool;
pub mod protocol;
mod reap;
mod running;
mod stderr;
mod wire;
pub mod zygote;

use crate::model::delivery::Deliver;
use crate::model::device::{CodecClass, DeviceFacts, DeviceId, Refusal};
use crate::model::job::{Ended, Grant, Source, Stats, VideoBatch};

/// The engine as the bridge sees it.
pub type Engine = fn(&VideoBatch, Source, Grant, &dyn Deliver) -> (Ended, Stats);

/// A device in the hands of its process, as the bridge sees it.
pub trait OpenDevice {
    /// What it can do.
    fn facts(&self) -> DeviceFacts;
    /// Decodes the built-in clip of a kind of stream.
    ///
    /// # Errors
    /// Why that did not come out as it should, and a sentence for people.
    fn prove(&mut self, class: CodecClass) -> Result<(), (Refusal, String)>;
    /// As `Engine`, but frames are decoded on the device only: at the first bad sign it ends as `Refused`.
    fn run(&mut self, batch: &VideoBatch, source: Source, grant: Grant, out: &dyn Deliver) -> (Ended, Stats);
}

/// Opens a device, in the process that will use it; why not, and a sentence for people.
pub type DeviceEngine = fn(&DeviceId) -> Result<Box<dyn OpenDevice>, (Refusal, String)>;

/// What both sides of the bridge must have been built from: the build where one is known, else the version.
pub fn build_id() -> &'static str {
    option_env!("STILLFRAME_BUILD").unwrap_or(env!("CARGO_PKG_VERSION"))
}
