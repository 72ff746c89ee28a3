//! A test double of NVIDIA's driver: `libcuda.so.1` with all of libnvcuvid in it, enough for FFmpeg's CUDA decoding.
//!
//! Owns the way of every call: counted, failed on demand, done, logged. Never decodes: what a picture shows comes from a
//! table that was made with the software decoder. Never shipped: what it shows is how the caller behaves, nothing of a
//! device.

mod absent;
#[path = "../common/caps.rs"]
mod caps;
#[path = "../common/control.rs"]
mod control;
mod driver;
mod memory;
mod nvdec;
#[path = "../common/pixels.rs"]
mod pixels;
mod state;

use control::{Action, Control};
use state::State;

pub const OK: i32 = 0;
pub const INVALID_VALUE: i32 = 1;
pub const OUT_OF_MEMORY: i32 = 2;
pub const NOT_INITIALIZED: i32 = 3;
pub const NO_DEVICE: i32 = 100;
pub const INVALID_DEVICE: i32 = 101;
pub const INVALID_CONTEXT: i32 = 201;
pub const MAP_FAILED: i32 = 205;
pub const INVALID_HANDLE: i32 = 400;
pub const ILLEGAL_ADDRESS: i32 = 700;
pub const NOT_SUPPORTED: i32 = 801;

/// What kind of call it is, after an error that sticks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fails, does nothing.
    Work,
    /// Fails, yet frees.
    Free,
    /// Changes the current context: fails as `Work` does, unless `sticky.quiet`; in the log only where it failed.
    Switch,
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
pub fn call(name: &'static str, kind: Kind, body: impl FnOnce(&mut Call) -> i32) -> i32 {
    let control = Control::read();
    let action = control::enter(name, &control);
    let mut state = State::lock();
    let mut call = Call { state: &mut state, control: &control, wrong: false, detail: String::new() };
    let code = carry_out(&mut call, name, kind, action, body);
    if kind != Kind::Switch || code != OK {
        control::log(name, code, &call.detail);
    }
    code
}

fn carry_out(
    call: &mut Call,
    name: &str,
    kind: Kind,
    action: Option<Action>,
    body: impl FnOnce(&mut Call) -> i32,
) -> i32 {
    let pid = std::process::id();
    if name == "Init" && call.state.pid == 0 {
        call.state.pid = pid;
    }
    if call.state.pid != pid {
        return NOT_INITIALIZED;
    }
    match action {
        Some(Action::Code(code)) => return code,
        Some(Action::Sticky(code)) => call.state.sticky = code,
        Some(Action::Wrong) => call.wrong = true,
        _ => {}
    }
    let sticky = call.state.sticky;
    match kind {
        _ if sticky == OK => body(call),
        Kind::Switch if call.control.flag("sticky.quiet", false) => body(call),
        Kind::Free => {
            body(call);
            sticky
        }
        Kind::Work | Kind::Switch => sticky,
    }
}

/// What still lives when the process ends in an orderly way.
extern "C" fn at_exit() {
    let state = State::lock();
    if state.pid == std::process::id() {
        control::log("exit", OK, state.living());
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;
