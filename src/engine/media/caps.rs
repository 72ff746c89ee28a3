//! What a device says that it can decode, asked of its own driver.
//!
//! Owns the few calls of NVIDIA's and VAAPI's libraries that FFmpeg does not make for us. Never decodes, and trusts no
//! answer further than the built-in clip goes.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use ffmpeg_next::codec::Id;

use super::hwaccel::{DeviceContext, device_codec};
use super::proof;
use super::trouble::Trouble;
use crate::model::device::{CodecClass, DeviceCodec, DeviceFacts, DeviceRow, Refusal};
use crate::model::media::Backend;

/// The device's name, and the kinds of streams that it says it decodes, of those that can be proved.
///
/// # Errors
/// `NoDevice` where the part of the driver that decodes is missing.
pub fn facts(device: &DeviceContext) -> Result<DeviceFacts, Trouble> {
    let classes = proof::classes().filter(|class| {
        let codec = device_codec(ffmpeg_id(class.codec));
        codec.is_some_and(|codec| device.serves(&codec))
    });
    match device.backend() {
        Backend::Vaapi => vaapi(device, classes),
        Backend::Cpu | Backend::Cuda => cuda(device, classes),
    }
}

fn ffmpeg_id(codec: DeviceCodec) -> Id {
    match codec {
        DeviceCodec::H264 => Id::H264,
        DeviceCodec::Hevc => Id::HEVC,
        DeviceCodec::Vp8 => Id::VP8,
        DeviceCodec::Vp9 => Id::VP9,
        DeviceCodec::Av1 => Id::AV1,
        DeviceCodec::Mpeg1 => Id::MPEG1VIDEO,
        DeviceCodec::Mpeg2 => Id::MPEG2VIDEO,
        DeviceCodec::Mpeg4 => Id::MPEG4,
        DeviceCodec::Vc1 => Id::VC1,
        DeviceCodec::Mjpeg => Id::MJPEG,
    }
}

/// A library of the driver's. It stays loaded: FFmpeg opens and closes it with every decoder.
struct Library(*mut c_void);

impl Library {
    fn open(name: &CStr) -> Result<Library, Trouble> {
        // SAFETY: the name is a C string; what the driver does when it is loaded it does for FFmpeg too.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: after a failure there is a text, which is copied at once.
            let text = unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned();
            return Err(Trouble::new(Refusal::NoDevice, format!("the driver's library is missing: {text}")));
        }
        Ok(Library(handle))
    }

    /// # Safety
    /// `F` is the type of the function of that name.
    unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F, Trouble> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) }
        // SAFETY: the handle is open.
        let place = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if place.is_null() {
            let text = format!("the driver has no {}", name.to_string_lossy());
            return Err(Trouble::new(Refusal::NoDevice, text));
        }
        // SAFETY: the caller vouches for the type, the assertion for the size.
        Ok(unsafe { std::mem::transmute_copy(&place) })
    }
}

/// `CUVIDDECODECAPS`: asked with the first three fields; the driver fills the rest.
#[repr(C)]
#[derive(Default)]
struct Caps {
    codec: c_int,
    chroma: c_int,
    depth_minus_8: c_uint,
    reserved: [c_uint; 3],
    supported: u8,
    engines: u8,
    formats: u16,
    width_max: c_uint,
    height_max: c_uint,
    macroblocks_max: c_uint,
    width_min: u16,
    height_min: u16,
    more: [c_uint; 32],
}

/// `cudaVideoChromaFormat_420`.
const CUDA_420: c_int = 1;

fn cuda_codec(codec: DeviceCodec) -> c_int {
    match codec {
        DeviceCodec::Mpeg1 => 0,
        DeviceCodec::Mpeg2 => 1,
        DeviceCodec::Mpeg4 => 2,
        DeviceCodec::Vc1 => 3,
        DeviceCodec::H264 => 4,
        DeviceCodec::Mjpeg => 5,
        DeviceCodec::Hevc => 8,
        DeviceCodec::Vp8 => 9,
        DeviceCodec::Vp9 => 10,
        DeviceCodec::Av1 => 11,
    }
}

fn cuda(device: &DeviceContext, classes: impl Iterator<Item = CodecClass>) -> Result<DeviceFacts, Trouble> {
    type Push = unsafe extern "C" fn(*mut c_void) -> c_int;
    type Pop = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
    type Current = unsafe extern "C" fn(*mut c_int) -> c_int;
    type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    type Ask = unsafe extern "C" fn(*mut Caps) -> c_int;
    let driver = Library::open(c"libcuda.so.1")?;
    let decoding = Library::open(c"libnvcuvid.so.1")?;
    // SAFETY: the types are those of the driver's headers; the functions are called with what these ask for, and the
    // context is current while they are.
    unsafe {
        let push: Push = driver.function(c"cuCtxPushCurrent_v2")?;
        let pop: Pop = driver.function(c"cuCtxPopCurrent_v2")?;
        let current: Current = driver.function(c"cuCtxGetDevice")?;
        let name: Name = driver.function(c"cuDeviceGetName")?;
        let ask: Ask = decoding.function(c"cuvidGetDecoderCaps")?;
        match push(device.handle()) {
            0 => {}
            code => {
                return Err(Trouble::new(Refusal::NoDevice, format!("the device's context: code {code}")));
            }
        }
        let mut text = [0 as c_char; 256];
        let mut number = 0;
        let named = current(&mut number) == 0 && name(text.as_mut_ptr(), 255, number) == 0;
        let model =
            if named { CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned() } else { String::new() };
        let row = |class: CodecClass| {
            let mut caps = Caps {
                codec: cuda_codec(class.codec),
                chroma: CUDA_420,
                depth_minus_8: c_uint::from(class.depth - 8),
                ..Caps::default()
            };
            // NV12 is the first bit, P016 the second.
            let format = if class.depth == 8 { 1 } else { 2 };
            let serves = ask(&mut caps) == 0 && caps.supported != 0 && caps.formats & format != 0;
            serves.then(|| DeviceRow {
                class,
                width_min: u32::from(caps.width_min),
                height_min: u32::from(caps.height_min),
                width_max: caps.width_max,
                height_max: caps.height_max,
                macroblocks_max: caps.macroblocks_max,
                proven: None,
            })
        };
        let rows = classes.filter_map(row).collect();
        let mut popped = std::ptr::null_mut();
        pop(&mut popped);
        Ok(DeviceFacts { model, rows })
    }
}

/// VAAPI's numbers of the profiles that decode a class.
fn profiles(class: CodecClass) -> &'static [c_int] {
    match (class.codec, class.depth) {
        (DeviceCodec::H264, 8) => &[7, 6],
        (DeviceCodec::Hevc, 8) => &[17],
        (DeviceCodec::Hevc, 10) => &[18],
        (DeviceCodec::Vp8, 8) => &[14],
        (DeviceCodec::Vp9, 8) => &[19],
        (DeviceCodec::Vp9, 10) => &[21],
        (DeviceCodec::Av1, 8 | 10) => &[32],
        (DeviceCodec::Mpeg2, 8) => &[1],
        (DeviceCodec::Mpeg4, 8) => &[3],
        (DeviceCodec::Mjpeg, 8) => &[12],
        _ => &[],
    }
}

/// `VAConfigAttrib`.
#[repr(C)]
struct Attribute {
    kind: c_int,
    value: c_uint,
}

/// `VAEntrypointVLD`, and the attributes: kinds of surfaces, largest width and height.
const DECODING: c_int = 1;
const SURFACES: c_int = 0;
const WIDTH_MAX: c_int = 18;
const HEIGHT_MAX: c_int = 19;
const NOT_TOLD: c_uint = 0x8000_0000;
/// Where the driver tells no size: what every generation of hardware decodes.
const SIDE_UNTOLD: u32 = 2_048;

fn vaapi(device: &DeviceContext, classes: impl Iterator<Item = CodecClass>) -> Result<DeviceFacts, Trouble> {
    type Vendor = unsafe extern "C" fn(*mut c_void) -> *const c_char;
    type Ask = unsafe extern "C" fn(*mut c_void, c_int, c_int, *mut Attribute, c_int) -> c_int;
    type Most = unsafe extern "C" fn(*mut c_void) -> c_int;
    type List = unsafe extern "C" fn(*mut c_void, *mut c_int, *mut c_int) -> c_int;
    let library = Library::open(c"libva.so.2")?;
    // SAFETY: the types are those of libva's headers; the display is open as long as the device is.
    unsafe {
        let vendor: Vendor = library.function(c"vaQueryVendorString")?;
        let most: Most = library.function(c"vaMaxNumProfiles")?;
        let list: List = library.function(c"vaQueryConfigProfiles")?;
        let ask: Ask = library.function(c"vaGetConfigAttributes")?;
        let display = device.handle();
        let mut known = vec![-1; usize::try_from(most(display)).unwrap_or(0)];
        let mut count = 0;
        if list(display, known.as_mut_ptr(), &mut count) != 0 {
            return Err(Trouble::new(Refusal::NoDevice, "the driver does not tell what it decodes"));
        }
        known.truncate(usize::try_from(count).unwrap_or(0));
        let name = vendor(display);
        let model =
            if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() };
        let row = |class: CodecClass| {
            profiles(class).iter().filter(|profile| known.contains(profile)).find_map(|profile| {
                let mut told =
                    [SURFACES, WIDTH_MAX, HEIGHT_MAX].map(|kind| Attribute { kind, value: NOT_TOLD });
                // It fails for profiles that are not decoded.
                if ask(display, *profile, DECODING, told.as_mut_ptr(), told.len() as c_int) != 0 {
                    return None;
                }
                let [surfaces, width, height] = told.map(|told| told.value);
                let wanted = if class.depth == 8 { 0x1 } else { 0x100 };
                let side = |value| if value == NOT_TOLD || value == 0 { SIDE_UNTOLD } else { value };
                let (width_max, height_max) = (side(width), side(height));
                let serves = surfaces != NOT_TOLD && surfaces & wanted != 0;
                serves.then(|| DeviceRow {
                    class,
                    width_min: 16,
                    height_min: 16,
                    width_max,
                    height_max,
                    macroblocks_max: width_max.div_ceil(16).saturating_mul(height_max.div_ceil(16)),
                    proven: None,
                })
            })
        };
        Ok(DeviceFacts { model, rows: classes.filter_map(row).collect() })
    }
}
