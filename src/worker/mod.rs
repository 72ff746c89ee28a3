//! The bridge: processes, messages, deadlines.
//!
//! Owns the zygote, its children and the bytes between them and the daemon.
//! Never knows a job's name, a database or a decoder: the engine comes in as a function.

pub mod budget;
pub mod grammar;
pub mod meter;
pub mod pool;
pub mod protocol;

use crate::model::delivery::Deliver;
use crate::model::job::{Ended, Grant, Source, Stats, VideoBatch};

/// The engine as the bridge sees it.
pub type Engine = fn(&VideoBatch, Source, Grant, &dyn Deliver) -> (Ended, Stats);
