//! Takes FFmpeg's log lines away from the terminal and keeps a few for the receiver of the walk.
//!
//! Owns the log callback. Never writes anywhere: the default callback asks the terminal, which a sandbox forbids.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Mutex;

use ffmpeg_next::ffi;

use crate::model::limits::{NOTE_BYTES_MAX, NOTES_MAX};

/// What FFmpeg says of things that are done on purpose; real errors would drown. Audio decoders are refused, twice a
/// stream. H.264 reference pictures that no target depends on are not sent: operations on them find nothing, and
/// what is sent to fill their place refers to stand-ins. HEVC has stand-ins for all of them.
const EXPECTED: [&str; 6] = [
    "not on whitelist",
    "mmco: unref short failure",
    "reference picture missing during reorder",
    "Missing reference picture, default is",
    "number of reference frames (",
    "Could not find ref with POC",
];

/// What was said on one thread while it listened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Copies from a CUDA device that failed: no return code tells of them.
    pub copies_failed: u32,
    /// Everything, joined, without the names of who says it.
    pub text: String,
}

thread_local! {
    static HEARD: RefCell<Option<Heard>> = const { RefCell::new(None) };
}

/// What this thread makes FFmpeg say while it does `work`. What other threads say is theirs.
pub fn heard<T>(work: impl FnOnce() -> T) -> (T, Heard) {
    HEARD.with(|heard| heard.replace(Some(Heard::default())));
    let done = work();
    (done, HEARD.with(RefCell::take).unwrap_or_default())
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Replaces FFmpeg's own callback, for the whole process.
pub fn install() {
    // SAFETY: the callback has the type that FFmpeg wants and lives for ever.
    unsafe { ffi::av_log_set_callback(Some(keep)) }
}

/// The lines since the last call, at most `NOTES_MAX`.
pub fn take() -> Vec<String> {
    LINES.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
}

unsafe extern "C" fn keep(
    context: *mut c_void,
    level: c_int,
    format: *const c_char,
    arguments: *mut ffi::__va_list_tag,
) {
    if level > ffi::AV_LOG_ERROR {
        return;
    }
    let mut line = [0 as c_char; NOTE_BYTES_MAX];
    let mut prefix: c_int = 1;
    // SAFETY: FFmpeg passes a valid format with its arguments, and gets the true size of the buffer.
    let text = unsafe {
        ffi::av_log_format_line2(
            context,
            level,
            format,
            arguments,
            line.as_mut_ptr(),
            line.len() as c_int,
            &mut prefix,
        );
        CStr::from_ptr(line.as_ptr())
    };
    let text = text.to_string_lossy();
    // SAFETY: as above; a context begins with the pointer to its class.
    unsafe { overhear(context, format, &text) };
    let text = text.trim_end();
    if text.is_empty() || EXPECTED.iter().any(|expected| text.contains(expected)) {
        return;
    }
    if let Ok(mut lines) = LINES.lock()
        && lines.len() < NOTES_MAX
        && lines.last().is_none_or(|last| last != text)
    {
        lines.push(text.to_owned());
    }
}

/// Keeps a line for the thread that listens.
///
/// # Safety
/// `context` is null or a logging context of FFmpeg's, `format` a C string.
unsafe fn overhear(context: *mut c_void, format: *const c_char, text: &str) {
    HEARD.with(|heard| {
        // A callback must not panic, whatever it interrupts.
        let Ok(mut heard) = heard.try_borrow_mut() else { return };
        let Some(heard) = heard.as_mut() else { return };
        // SAFETY: the caller vouches for both; a class has a name for as long as it lives.
        let (class, format) = unsafe {
            let class = context.cast::<*const ffi::AVClass>().as_ref().and_then(|class| class.as_ref());
            let name = class.map(|class| class.class_name).filter(|name| !name.is_null());
            (name.map(|name| CStr::from_ptr(name)), CStr::from_ptr(format))
        };
        // `cuda_transfer_data` returns 0 after a failed copy; the check of every CUDA call says this.
        let is_copy = class == Some(c"AVHWDeviceContext") && format == c"%s failed";
        heard.copies_failed += u32::from(is_copy);
        let said =
            if text.starts_with('[') { text.split_once("] ").map_or(text, |(_, said)| said) } else { text };
        if heard.text.len() < NOTE_BYTES_MAX {
            heard.text.push_str(&said.replace('\n', "; "));
        }
    });
}
