//! Devices, contexts, streams and the names of errors.
//!
//! Owns the entry points of libcuda that are no memory. Never does more than FFmpeg asks for: the rest is in `absent`.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::control::Control;
use crate::state::CURRENT;
use crate::{
    INVALID_CONTEXT, INVALID_DEVICE, INVALID_HANDLE, INVALID_VALUE, Kind, NO_DEVICE, OK, call, control,
    memory,
};

const NAME: &[u8] = b"Test double\0";

fn devices(control: &Control) -> i32 {
    control.number("devices").map_or(1, |count| i32::try_from(count).unwrap_or(i32::MAX))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: c_uint) -> c_int {
    call("Init", Kind::Work, |call| if devices(call.control) == 0 { NO_DEVICE } else { OK })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: the caller's variable.
    unsafe { version.write(12_020) };
    OK
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    call("DeviceGetCount", Kind::Work, |call| {
        // SAFETY: the caller's variable.
        unsafe { count.write(devices(call.control)) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    call("DeviceGet", Kind::Work, |call| {
        call.detail = format!("device={ordinal}");
        if !(0..devices(call.control)).contains(&ordinal) {
            return INVALID_DEVICE;
        }
        // SAFETY: the caller's variable.
        unsafe { device.write(ordinal) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int) -> c_int {
    call("DeviceGetAttribute", Kind::Work, |call| {
        call.detail = format!("device={device} attribute={attribute}");
        let known = match attribute {
            // The alignment of textures; the compute capability; the bus.
            14 => 512,
            75 => 9,
            33 => device + 1,
            _ => 0,
        };
        // SAFETY: the caller's variable.
        unsafe { value.write(known) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetName(name: *mut c_char, length: c_int, _device: c_int) -> c_int {
    call("DeviceGetName", Kind::Work, |_| {
        let length = usize::try_from(length).unwrap_or(0).min(NAME.len());
        if length == 0 {
            return INVALID_VALUE;
        }
        // SAFETY: the caller's buffer has at least `length` bytes, the last of which becomes its end.
        unsafe {
            name.cast::<u8>().copy_from_nonoverlapping(NAME.as_ptr(), length);
            name.add(length - 1).write(0);
        }
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, _device: c_int) -> c_int {
    call("DeviceComputeCapability", Kind::Work, |_| {
        // SAFETY: the caller's variables.
        unsafe {
            major.write(9);
            minor.write(0);
        }
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) -> c_int {
    call("DeviceGetUuid", Kind::Work, |_| {
        let mut bytes = *b"a double, no. 0.";
        bytes[14] += u8::try_from(device).unwrap_or(9);
        // SAFETY: the caller's variable.
        unsafe { uuid.write(bytes) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v2(context: *mut u64, _flags: c_uint, device: c_int) -> c_int {
    call("CtxCreate", Kind::Work, |call| {
        call.detail = format!("device={device}");
        if !(0..devices(call.control)).contains(&device) {
            return INVALID_DEVICE;
        }
        let handle = call.state.handle();
        call.state.contexts.insert(handle, device);
        CURRENT.with_borrow_mut(|stack| stack.push(handle));
        // SAFETY: the caller's variable.
        unsafe { context.write(handle) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy_v2(context: u64) -> c_int {
    let code = call("CtxDestroy", Kind::Free, |call| {
        if call.state.contexts.remove(&context).is_none() {
            return INVALID_CONTEXT;
        }
        CURRENT.with_borrow_mut(|stack| stack.retain(|current| *current != context));
        OK
    });
    control::log("alive", code, crate::state::State::lock().living());
    code
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(context: u64) -> c_int {
    call("CtxPushCurrent", Kind::Switch, |call| {
        if !call.state.contexts.contains_key(&context) {
            return INVALID_CONTEXT;
        }
        CURRENT.with_borrow_mut(|stack| stack.push(context));
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPopCurrent_v2(context: *mut u64) -> c_int {
    call("CtxPopCurrent", Kind::Switch, |_| {
        let Some(uppermost) = CURRENT.with_borrow_mut(Vec::pop) else { return INVALID_CONTEXT };
        if !context.is_null() {
            // SAFETY: the caller's variable.
            unsafe { context.write(uppermost) };
        }
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCurrent(context: *mut u64) -> c_int {
    call("CtxGetCurrent", Kind::Work, |call| {
        // SAFETY: the caller's variable; without a current context it becomes null.
        unsafe { context.write(call.state.current().unwrap_or(0)) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice(device: *mut c_int) -> c_int {
    call("CtxGetDevice", Kind::Work, |call| {
        let Some(context) = call.state.current() else { return INVALID_CONTEXT };
        // SAFETY: the caller's variable.
        unsafe { device.write(call.state.contexts[&context]) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetLimit(_limit: c_int, _value: usize) -> c_int {
    call("CtxSetLimit", Kind::Work, |call| if call.state.current().is_some() { OK } else { INVALID_CONTEXT })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreate(stream: *mut u64, _flags: c_uint) -> c_int {
    call("StreamCreate", Kind::Work, |call| {
        if call.state.current().is_none() {
            return INVALID_CONTEXT;
        }
        let handle = call.state.handle();
        call.state.streams.insert(handle, ());
        // SAFETY: the caller's variable.
        unsafe { stream.write(handle) };
        OK
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamQuery(handle: u64) -> c_int {
    call("StreamQuery", Kind::Work, |call| {
        if call.state.current().is_none() {
            INVALID_CONTEXT
        } else if handle != 0 && !call.state.streams.contains_key(&handle) {
            INVALID_HANDLE
        } else {
            OK
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(handle: u64) -> c_int {
    let code = call("StreamSynchronize", Kind::Work, |call| {
        if handle != 0 && !call.state.streams.contains_key(&handle) {
            INVALID_HANDLE
        } else {
            memory::finish(call)
        }
    });
    if code != OK {
        memory::forget();
    }
    code
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(stream: u64) -> c_int {
    call("StreamDestroy", Kind::Free, |call| {
        if call.state.streams.remove(&stream).is_some() { OK } else { INVALID_HANDLE }
    })
}

/// The names and sentences that a test may meet.
const ERRORS: &[(c_int, &[u8], &[u8])] = &[
    (0, b"CUDA_SUCCESS\0", b"no error\0"),
    (1, b"CUDA_ERROR_INVALID_VALUE\0", b"invalid argument\0"),
    (2, b"CUDA_ERROR_OUT_OF_MEMORY\0", b"out of memory\0"),
    (3, b"CUDA_ERROR_NOT_INITIALIZED\0", b"initialization error\0"),
    (100, b"CUDA_ERROR_NO_DEVICE\0", b"no CUDA-capable device is detected\0"),
    (101, b"CUDA_ERROR_INVALID_DEVICE\0", b"invalid device ordinal\0"),
    (201, b"CUDA_ERROR_INVALID_CONTEXT\0", b"invalid device context\0"),
    (205, b"CUDA_ERROR_MAP_FAILED\0", b"mapping of buffer object failed\0"),
    (214, b"CUDA_ERROR_ECC_UNCORRECTABLE\0", b"uncorrectable ECC error encountered\0"),
    (400, b"CUDA_ERROR_INVALID_HANDLE\0", b"invalid resource handle\0"),
    (700, b"CUDA_ERROR_ILLEGAL_ADDRESS\0", b"an illegal memory access was encountered\0"),
    (702, b"CUDA_ERROR_LAUNCH_TIMEOUT\0", b"the launch timed out and was terminated\0"),
    (714, b"CUDA_ERROR_HARDWARE_STACK_ERROR\0", b"hardware stack error\0"),
    (719, b"CUDA_ERROR_LAUNCH_FAILED\0", b"unspecified launch failure\0"),
    (801, b"CUDA_ERROR_NOT_SUPPORTED\0", b"operation not supported\0"),
    (999, b"CUDA_ERROR_UNKNOWN\0", b"unknown error\0"),
];

fn error(
    code: c_int,
    text: *mut *const c_void,
    which: impl Fn(&(c_int, &'static [u8], &'static [u8])) -> &'static [u8],
) -> c_int {
    let known = ERRORS.iter().find(|entry| entry.0 == code);
    // SAFETY: the caller's variable; the texts are static and end with a zero.
    unsafe { text.write(known.map_or(std::ptr::null(), |entry| which(entry).as_ptr().cast())) };
    if known.is_some() { OK } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorName(code: c_int, text: *mut *const c_void) -> c_int {
    error(code, text, |entry| entry.1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorString(code: c_int, text: *mut *const c_void) -> c_int {
    error(code, text, |entry| entry.2)
}
