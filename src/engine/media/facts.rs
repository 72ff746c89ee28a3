//! What the linked libraries can do: versions, which of the listed containers and codecs are there, what else there is.
//!
//! Owns the questions. Never judges the answers: `doctor` does.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_uint, c_void};
use std::ptr;

use ffmpeg_next::{codec, ffi, format, software, util};

use super::source::{CONTAINERS, DECODERS, PROTOCOLS};

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

/// Kinds of devices that a decoder may be told to use, in FFmpeg's names.
const DEVICES: [&str; 2] = ["cuda", "vaapi"];

/// What the linked FFmpeg has and our lists let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub demuxers: Offer<String>,
    pub decoders: Offer<OfferedDecoder>,
    pub protocols: Offer<String>,
}

/// Of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer<T> {
    /// In FFmpeg's order.
    pub names: Vec<T>,
    /// How many are linked, whatever the list says.
    pub linked: usize,
}

/// A decoder, and the kinds of devices that it was built to hand its work to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedDecoder {
    pub name: String,
    pub devices: Vec<String>,
}

/// Everything that an input can reach.
pub fn offered() -> Offered {
    let linked: Vec<String> = linked_demuxers();
    // A demuxer goes by any of the names that it has.
    let passes = |name: &String| name.split(',').any(|name| is_listed(CONTAINERS, name));
    let demuxers =
        Offer { linked: linked.len(), names: linked.into_iter().filter(|name| passes(name)).collect() };

    let linked = linked_decoders();
    let decoders = Offer {
        linked: linked.len(),
        names: linked.into_iter().filter(|decoder| is_listed(DECODERS, &decoder.name)).collect(),
    };

    let linked = linked_protocols();
    let protocols = Offer {
        linked: linked.len(),
        names: linked.into_iter().filter(|name| is_listed(PROTOCOLS, name)).collect(),
    };
    Offered { demuxers, decoders, protocols }
}

fn is_listed(list: &str, name: &str) -> bool {
    list.split(',').any(|listed| listed == name)
}

/// A name out of FFmpeg's static tables.
///
/// # Safety
/// `name` is null or a C string.
unsafe fn text(name: *const c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

fn linked_demuxers() -> Vec<String> {
    let mut at: *mut c_void = ptr::null_mut();
    // SAFETY: the function keeps its place in `at`; what it returns is static, with a static name.
    let next = || unsafe { ffi::av_demuxer_iterate(&raw mut at).as_ref().map(|demuxer| text(demuxer.name)) };
    std::iter::from_fn(next).collect()
}

fn linked_decoders() -> Vec<OfferedDecoder> {
    let mut at: *mut c_void = ptr::null_mut();
    // SAFETY: as for demuxers.
    let next = || unsafe { ffi::av_codec_iterate(&raw mut at).as_ref() };
    std::iter::from_fn(next)
        // SAFETY: the codec is one of FFmpeg's static ones.
        .filter(|codec| unsafe { ffi::av_codec_is_decoder(ptr::from_ref(*codec)) } != 0)
        .map(|codec| {
            // SAFETY: its name is static.
            OfferedDecoder { name: unsafe { text(codec.name) }, devices: devices(codec) }
        })
        .collect()
}

fn devices(codec: &ffi::AVCodec) -> Vec<String> {
    let by_context = ffi::AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX as i32;
    let mut names: Vec<String> = (0..)
        // SAFETY: the codec is static, and so is what the function returns, until it returns null.
        .map_while(|n| unsafe { ffi::avcodec_get_hw_config(codec, n).as_ref() })
        .filter(|way| way.methods & by_context != 0)
        // SAFETY: the function returns a static name or null for every number.
        .map(|way| unsafe { text(ffi::av_hwdevice_get_type_name(way.device_type)) })
        .filter(|name| DEVICES.contains(&name.as_str()))
        .collect();
    // FFmpeg's order is that of its preference, which differs without a reason.
    names.sort_unstable();
    names
}

fn linked_protocols() -> Vec<String> {
    let mut at: *mut c_void = ptr::null_mut();
    // SAFETY: the function keeps its place in `at` and returns a static name, null at the end.
    let next = || unsafe { ffi::avio_enum_protocols(&raw mut at, 0).as_ref().map(|name| text(name)) };
    std::iter::from_fn(next).collect()
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
