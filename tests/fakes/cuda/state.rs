//! The one state of the double in a process.
//!
//! Owns contexts, decoders, device memory and each thread's stack of current contexts. Never hands out an address that
//! the CPU could use: device memory and handles are numbers that are looked up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::memory::Pending;
use crate::nvdec::Decoder;

pub struct State {
    /// The process that called `cuInit`; 0 before.
    pub pid: u32,
    /// The error that stuck; 0 without.
    pub sticky: i32,
    /// Context to its device.
    pub contexts: BTreeMap<u64, i32>,
    pub decoders: BTreeMap<u64, Decoder>,
    pub streams: BTreeMap<u64, ()>,
    /// What `cuMemAlloc` and `cuvidMapVideoFrame` gave, by address.
    pub memory: BTreeMap<u64, Block>,
    /// What was asked for and not waited for, by context.
    pub pending: Vec<(u64, Pending)>,
    next_handle: u64,
    next_address: u64,
}

/// A piece of device memory.
pub struct Block {
    pub bytes: Vec<u8>,
    /// The decoder that a mapped picture belongs to.
    pub decoder: Option<u64>,
}

static STATE: Mutex<State> = Mutex::new(State {
    pid: 0,
    sticky: 0,
    contexts: BTreeMap::new(),
    decoders: BTreeMap::new(),
    streams: BTreeMap::new(),
    memory: BTreeMap::new(),
    pending: Vec::new(),
    // Neither is an address that a processor takes: to follow one crashes.
    next_handle: 0x0e00_0000_0000_0000,
    next_address: 0x0f00_0000_0000_0000,
});

thread_local! {
    /// The current contexts of this thread, the uppermost last.
    pub static CURRENT: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl State {
    pub fn lock() -> MutexGuard<'static, Self> {
        STATE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn handle(&mut self) -> u64 {
        self.next_handle += 0x100;
        self.next_handle
    }

    /// The context that is current on this thread.
    pub fn current(&self) -> Option<u64> {
        CURRENT
            .with_borrow(|stack| stack.last().copied())
            .filter(|context| self.contexts.contains_key(context))
    }

    /// Takes in a block and says where it lies; blocks never touch.
    pub fn place(&mut self, block: Block) -> u64 {
        let address = self.next_address;
        self.next_address += (block.bytes.len() as u64).next_multiple_of(0x1000) + 0x1000;
        self.memory.insert(address, block);
        address
    }

    /// `length` bytes from `address` on, if all of them are device memory.
    pub fn bytes(&mut self, address: u64, length: usize) -> Option<&mut [u8]> {
        let (base, block) = self.memory.range_mut(..=address).next_back()?;
        let start = usize::try_from(address - base).ok()?;
        block.bytes.get_mut(start..start.checked_add(length)?)
    }

    pub fn mapped(&self, decoder: u64) -> usize {
        self.memory.values().filter(|block| block.decoder == Some(decoder)).count()
    }

    /// For the log: what has not been freed.
    pub fn living(&self) -> String {
        let maps = self.memory.values().filter(|block| block.decoder.is_some()).count();
        let surfaces: usize = self.decoders.values().map(|decoder| decoder.surfaces.len()).sum();
        format!(
            "contexts={} decoders={} maps={maps} surfaces={surfaces} allocations={} streams={}",
            self.contexts.len(),
            self.decoders.len(),
            self.memory.len() - maps,
            self.streams.len()
        )
    }
}
