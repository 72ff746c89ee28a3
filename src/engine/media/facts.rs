//! What the linked libraries can do: versions, and which of the listed containers and codecs are there.
//!
//! Owns the questions. Never judges the answers: `doctor` does.

#![allow(unsafe_code)]

use std::ffi::{CString, c_uint};

use ffmpeg_next::{codec, ffi, format, software, util};

use super::source::{CONTAINERS, DECODERS};

unsafe extern "C" {
    fn zimg_get_version_info(major: *mut c_uint, minor: *mut c_uint, micro: *mut c_uint);
}

/// One linked library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    pub name: &'static str,
    /// What runs, `59.37.100`.
    pub version: String,
    /// False when it was compiled against another major version: the layout of its structures may differ.
    pub fits: bool,
}

/// A name of a list and whether the linked FFmpeg has it.
pub type Listed = (&'static str, bool);

/// FFmpeg's libraries and zimg.
pub fn libraries() -> Vec<Library> {
    let ffmpeg = |name, running: u32, built: i32| Library {
        name,
        version: format!("{}.{}.{}", running >> 16, (running >> 8) & 0xFF, running & 0xFF),
        fits: i64::from(running >> 16) == i64::from(built),
    };
    let (mut major, mut minor, mut micro) = (0, 0, 0);
    // SAFETY: the function writes three integers and nothing else.
    unsafe { zimg_get_version_info(&raw mut major, &raw mut minor, &raw mut micro) };
    vec![
        ffmpeg("libavcodec", codec::version(), ffi::LIBAVCODEC_VERSION_MAJOR),
        ffmpeg("libavformat", format::version(), ffi::LIBAVFORMAT_VERSION_MAJOR),
        ffmpeg("libavutil", util::version(), ffi::LIBAVUTIL_VERSION_MAJOR),
        ffmpeg("libswscale", software::scaling::version(), ffi::LIBSWSCALE_VERSION_MAJOR),
        Library { name: "zimg", version: format!("{major}.{minor}.{micro}"), fits: major >= 2 },
    ]
}

/// The licence that the linked FFmpeg is under, in its own words; it binds whoever passes on a binary.
pub fn licence() -> &'static str {
    codec::license()
}

/// Every container of the list.
pub fn containers() -> Vec<Listed> {
    CONTAINERS.split(',').map(|name| (name, has_container(name))).collect()
}

/// Every decoder of the list.
pub fn decoders() -> Vec<Listed> {
    DECODERS.split(',').map(|name| (name, codec::decoder::find_by_name(name).is_some())).collect()
}

fn has_container(name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    // SAFETY: the name is a C string that outlives the call; the answer is only compared with null.
    unsafe { !ffi::av_find_input_format(name.as_ptr()).is_null() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_is_the_one_that_was_compiled_against() {
        for library in libraries() {
            assert!(library.fits, "{library:?}");
            assert!(!library.version.starts_with('0'), "{library:?}");
        }
    }

    #[test]
    fn lists_are_asked_name_by_name() {
        assert!(containers().contains(&("mov", true)), "{:?}", containers());
        assert!(decoders().contains(&("h264", true)), "{:?}", decoders());
        assert!(!has_container("no such container"));
    }
}
