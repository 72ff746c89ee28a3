//! Takes FFmpeg's log lines away from the terminal and keeps a few for the receiver of the walk.
//!
//! Owns the log callback. Never writes anywhere: the default callback asks the terminal, which a sandbox forbids.

#![allow(unsafe_code)]

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
