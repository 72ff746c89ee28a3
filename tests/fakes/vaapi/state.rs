//! The one state of the double in a process.
//!
//! Owns configurations, surfaces, contexts, buffers and images, each by a number. Never uses a number twice.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::pixels::{Shape, Surface};

pub struct State {
    /// How many drivers were started in this process, ever.
    pub displays: u32,
    /// The error that stuck; 0 without.
    pub sticky: i32,
    pub configs: BTreeMap<u32, i32>,
    pub surfaces: BTreeMap<u32, (Shape, Surface)>,
    pub contexts: BTreeMap<u32, Context>,
    pub buffers: BTreeMap<u32, Buffer>,
    /// Image to its buffer.
    pub images: BTreeMap<u32, u32>,
    next: u32,
}

/// A decoder.
pub struct Context {
    pub profile: i32,
    /// The picture that has begun, and what it was given so far.
    pub picture: Option<(u32, Vec<(u32, Vec<u8>)>)>,
    /// The surface of the last picture, where that was a first field.
    pub first_field: Option<u32>,
}

pub struct Buffer {
    pub kind: u32,
    pub bytes: Vec<u8>,
    pub mapped: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    displays: 0,
    sticky: 0,
    configs: BTreeMap::new(),
    surfaces: BTreeMap::new(),
    contexts: BTreeMap::new(),
    buffers: BTreeMap::new(),
    images: BTreeMap::new(),
    next: 0x0400_0000,
});

impl State {
    pub fn lock() -> MutexGuard<'static, Self> {
        STATE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn id(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// For the log: what has not been freed.
    pub fn living(&self) -> String {
        format!(
            "configs={} contexts={} surfaces={} buffers={} images={} maps={}",
            self.configs.len(),
            self.contexts.len(),
            self.surfaces.len(),
            self.buffers.len(),
            self.images.len(),
            self.buffers.values().filter(|buffer| buffer.mapped).count()
        )
    }
}
