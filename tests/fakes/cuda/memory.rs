//! Device memory: to get, to give back, to copy.
//!
//! Owns the entry points that take device addresses. Never follows one: it is looked up, and a copy beyond what is there
//! gives 700, which sticks.

use std::ffi::{c_int, c_uint};

use crate::state::{Block, State};
use crate::{Call, ILLEGAL_ADDRESS, INVALID_CONTEXT, INVALID_VALUE, Kind, OK, OUT_OF_MEMORY, call};

const HOST: c_uint = 1;
const DEVICE: c_uint = 2;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Side {
    x: usize,
    y: usize,
    kind: c_uint,
    host: *mut u8,
    device: u64,
    array: u64,
    pitch: usize,
}

/// `CUDA_MEMCPY2D`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Rectangle {
    from: Side,
    to: Side,
    /// In bytes.
    width: usize,
    height: usize,
}

fn allocate(call: &mut Call, address: *mut u64, size: usize) -> c_int {
    if call.state.current().is_none() {
        return INVALID_CONTEXT;
    }
    if size == 0 {
        return INVALID_VALUE;
    }
    if size > room(call).0 {
        return OUT_OF_MEMORY;
    }
    let place = call.state.place(Block { bytes: vec![0; size], decoder: None });
    call.detail = format!("bytes={size}");
    // SAFETY: the caller's variable.
    unsafe { address.write(place) };
    OK
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc_v2(address: *mut u64, size: usize) -> c_int {
    call("MemAlloc", Kind::Work, |call| allocate(call, address, size))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    call("MemFree", Kind::Free, |call| {
        if call.state.memory.get(&address).is_none_or(|block| block.decoder.is_some()) {
            return INVALID_VALUE;
        }
        call.state.memory.remove(&address);
        OK
    })
}

/// Device memory that is free, as far as this process knows, and all of it, in bytes.
pub fn room(call: &Call) -> (usize, usize) {
    let all = usize::try_from(call.control.number("memory").unwrap_or(81_559)).unwrap_or(0) << 20;
    let used: usize = call.state.memory.values().map(|block| block.bytes.len()).sum();
    let surfaces: usize = call.state.decoders.values().map(crate::nvdec::Decoder::memory).sum();
    (all.saturating_sub(used + surfaces), all)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> c_int {
    call("MemGetInfo", Kind::Work, |call| {
        if call.state.current().is_none() {
            return INVALID_CONTEXT;
        }
        let (left, all) = room(call);
        // SAFETY: the caller's variables.
        unsafe {
            free.write(left);
            total.write(all);
        }
        OK
    })
}

impl Side {
    /// The first byte of a row, where the row lies in memory that is there.
    fn row(&self, call: &mut Call, row: usize, width: usize) -> Option<*mut u8> {
        let offset = (self.y + row).checked_mul(self.pitch)?.checked_add(self.x)?;
        match self.kind {
            HOST if !self.host.is_null() => Some(self.host.wrapping_add(offset)),
            DEVICE => {
                call.state.bytes(self.device.checked_add(offset as u64)?, width).map(<[u8]>::as_mut_ptr)
            }
            _ => None,
        }
    }
}

fn copy(call: &mut Call, copy: &Rectangle) -> c_int {
    for row in 0..copy.height {
        let ends = (copy.from.row(call, row, copy.width), copy.to.row(call, row, copy.width));
        let (Some(from), Some(to)) = ends else {
            call.state.sticky = ILLEGAL_ADDRESS;
            return ILLEGAL_ADDRESS;
        };
        // SAFETY: device rows were looked up with their length; for host rows the caller answers. `copy` and not
        // `copy_nonoverlapping`, as a caller may name one block twice.
        unsafe { std::ptr::copy(from, to, copy.width) };
    }
    if call.wrong && copy.height > 0 && copy.width > 0 {
        if let Some(to) = copy.to.row(call, copy.height / 2, copy.width) {
            // SAFETY: within the row that was just written.
            unsafe { *to.add(copy.width / 4) ^= 0x40 };
        }
    }
    OK
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2D_v2(what: *const Rectangle) -> c_int {
    call("Memcpy2D", Kind::Work, |call| {
        if call.state.current().is_none() {
            return INVALID_CONTEXT;
        }
        // SAFETY: the caller's description of the copy, which has this layout.
        copy(call, unsafe { &*what })
    })
}

// As a device may, it copies when it is waited for and not before: a caller that does not wait, or does not look at what
// the waiting returned, has what was in the buffer before.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2DAsync_v2(what: *const Rectangle, _stream: u64) -> c_int {
    let code = call("Memcpy2DAsync", Kind::Work, |call| {
        let Some(context) = call.state.current() else { return INVALID_CONTEXT };
        // SAFETY: the caller's description of the copy, which has this layout.
        let what = unsafe { *what };
        call.detail = format!("width={} height={}", what.width, what.height);
        // From device to device the order of the stream decides: what comes after, even to unmap the source, is after it.
        if what.to.kind == DEVICE {
            return copy(call, &what);
        }
        let wrong = call.wrong;
        call.state.pending.push((context, Pending { what, wrong }));
        OK
    });
    if code != OK {
        forget();
    }
    code
}

/// A copy that was asked for.
pub struct Pending {
    what: Rectangle,
    wrong: bool,
}

// SAFETY: the caller keeps both ends until it has waited, on whatever thread.
unsafe impl Send for Pending {}

/// Does what was asked for in the current context.
pub fn finish(call: &mut Call) -> c_int {
    let Some(context) = call.state.current() else { return INVALID_CONTEXT };
    let (now, later): (Vec<_>, Vec<_>) = call.state.pending.drain(..).partition(|(of, _)| *of == context);
    call.state.pending = later;
    for (_, pending) in now {
        call.wrong = pending.wrong;
        let code = copy(call, &pending.what);
        if code != OK {
            return code;
        }
    }
    OK
}

/// After a failure the caller does not wait any more: its buffers may be gone.
pub fn forget() {
    let mut state = State::lock();
    let current = state.current();
    state.pending.retain(|(context, _)| Some(*context) != current);
}
