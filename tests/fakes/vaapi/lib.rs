//! A test double of libva's DRM display and of a driver behind it, in one library that goes by both names: enough for
//! FFmpeg's VAAPI decoding.
//!
//! Owns the way of every call: counted, failed on demand, done, logged. Never decodes: what a picture shows comes from a
//! table that was made with the software decoder; MPEG-4, whose slices come otherwise than in that table, is a
//! checkerboard. Never shipped: what it shows is how the caller behaves, nothing of a device.

#[path = "../common/caps.rs"]
mod caps;
mod config;
#[path = "../common/control.rs"]
mod control;
mod display;
mod image;
mod picture;
#[path = "../common/pixels.rs"]
mod pixels;
mod state;

use std::ffi::c_int;

use control::{Action, Control};
use state::State;

pub const OK: c_int = 0;
pub const OPERATION_FAILED: c_int = 0x01;
pub const INVALID_CONFIG: c_int = 0x04;
pub const INVALID_CONTEXT: c_int = 0x05;
pub const INVALID_SURFACE: c_int = 0x06;
pub const INVALID_BUFFER: c_int = 0x07;
pub const INVALID_IMAGE: c_int = 0x08;
pub const UNSUPPORTED_PROFILE: c_int = 0x0c;
pub const UNSUPPORTED_ENTRYPOINT: c_int = 0x0d;
pub const INVALID_PARAMETER: c_int = 0x12;
pub const RESOLUTION_NOT_SUPPORTED: c_int = 0x13;
pub const UNIMPLEMENTED: c_int = 0x14;

/// What kind of call it is, after an error that sticks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fails, does nothing.
    Work,
    /// Fails, yet frees.
    Free,
}

/// What a call has to hand.
pub struct Call<'a> {
    pub state: &'a mut State,
    pub control: &'a Control,
    /// What it gives shall be wrong.
    pub wrong: bool,
    /// For the log.
    pub detail: String,
}

/// One call, by its plain name.
pub fn call(name: &'static str, kind: Kind, body: impl FnOnce(&mut Call) -> c_int) -> c_int {
    let control = Control::read();
    let action = control::enter(name, &control);
    let mut state = State::lock();
    let mut call = Call { state: &mut state, control: &control, wrong: false, detail: String::new() };
    let code = match action {
        Some(Action::Code(code)) => code,
        action => {
            if let Some(Action::Sticky(code)) = action {
                call.state.sticky = code;
            }
            call.wrong = action == Some(Action::Wrong);
            let sticky = call.state.sticky;
            let done = if sticky == OK || kind == Kind::Free { body(&mut call) } else { sticky };
            if sticky == OK { done } else { sticky }
        }
    };
    control::log(name, code, &call.detail);
    code
}

/// What still lives when the process ends in an orderly way.
extern "C" fn at_exit() {
    let state = State::lock();
    if state.displays > 0 {
        control::log("exit", OK, state.living());
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// A field of a foreign struct.
///
/// # Safety
///
/// `base + offset` lies within the caller's struct, which has a `T` there.
pub unsafe fn at<T: Copy>(base: *const std::ffi::c_void, offset: usize) -> T {
    // SAFETY: as demanded of the caller.
    unsafe { base.cast::<u8>().add(offset).cast::<T>().read_unaligned() }
}

/// Writes a field of a foreign struct.
///
/// # Safety
///
/// `base + offset` lies within the caller's struct, which has a `T` there.
pub unsafe fn set<T: Copy>(base: *mut std::ffi::c_void, offset: usize, value: T) {
    // SAFETY: as demanded of the caller.
    unsafe { base.cast::<u8>().add(offset).cast::<T>().write_unaligned(value) };
}
