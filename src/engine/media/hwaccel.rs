//! Decodes on a device: its context, decoders on it, and its frames brought into memory.
//!
//! Owns what a device says in return codes, in the log alone, or by going over to software without a word.
//! Never decodes in software, never takes anything from a decoder after its first error, and never decides what next.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ffmpeg_next::codec::Id;
use ffmpeg_next::{Packet, decoder, ffi, frame};

use super::decoder::Recipe;
use super::layout;
use super::log::{Heard, heard};
use super::trouble::{Trouble, is_full, is_lost, reason, story};
use crate::model::device::{DeviceId, Refusal};
use crate::model::media::Backend;

/// An open device; one a process, never before a `fork`.
pub struct DeviceContext {
    buffer: *mut ffi::AVBufferRef,
    backend: Backend,
}

impl DeviceContext {
    /// Opens it.
    ///
    /// # Errors
    /// `NoDevice`, or what the driver's code says.
    pub fn open(id: &DeviceId) -> Result<DeviceContext, Trouble> {
        let Some(kind) = kind(id.backend) else {
            return Err(Trouble::new(Refusal::NoDevice, format!("{id} is no device")));
        };
        let Ok(name) = CString::new(id.name.as_str()) else {
            return Err(Trouble::new(Refusal::NoDevice, "a device's name has no zero byte"));
        };
        let mut buffer = std::ptr::null_mut();
        // SAFETY: the name is a C string, and the buffer is ours once the call succeeds.
        let (code, heard) = heard(|| unsafe {
            ffi::av_hwdevice_ctx_create(&mut buffer, kind, name.as_ptr(), std::ptr::null_mut(), 0)
        });
        if code < 0 || buffer.is_null() {
            let text = story(&format!("{id} cannot be opened"), code, &heard);
            // Whatever code it is, there is no device to be lost.
            let full = is_full(&heard);
            return Err(Trouble::new(if full { Refusal::OutOfMemory } else { Refusal::NoDevice }, text));
        }
        Ok(DeviceContext { buffer, backend: id.backend })
    }

    /// Its kind.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What its driver knows it by: the CUcontext, the VADisplay.
    pub(super) fn handle(&self) -> *mut c_void {
        // SAFETY: the buffer holds an AVHWDeviceContext, whose `hwctx` is an AVCUDADeviceContext or an
        // AVVAAPIDeviceContext; either begins with that pointer.
        unsafe {
            let device = (*self.buffer).data.cast::<ffi::AVHWDeviceContext>();
            (*device).hwctx.cast::<*mut c_void>().read()
        }
    }

    /// The format of its frames.
    fn format(&self) -> ffi::AVPixelFormat {
        match self.backend {
            Backend::Vaapi => ffi::AVPixelFormat::AV_PIX_FMT_VAAPI,
            Backend::Cpu | Backend::Cuda => ffi::AVPixelFormat::AV_PIX_FMT_CUDA,
        }
    }

    /// Does this FFmpeg know how to let the device decode for this decoder?
    pub(super) fn serves(&self, codec: &ffmpeg_next::Codec) -> bool {
        let kind = kind(self.backend);
        // SAFETY: the list ends with null; its entries are static.
        (0..).map_while(|i| unsafe { ffi::avcodec_get_hw_config(codec.as_ptr(), i).as_ref() }).any(|config| {
            Some(config.device_type) == kind
                && config.methods & ffi::AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX as c_int != 0
        })
    }
}

impl Drop for DeviceContext {
    fn drop(&mut self) {
        // SAFETY: the reference is ours; decoders have their own.
        unsafe { ffi::av_buffer_unref(&mut self.buffer) }
    }
}

fn kind(backend: Backend) -> Option<ffi::AVHWDeviceType> {
    match backend {
        Backend::Cpu => None,
        Backend::Cuda => Some(ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA),
        Backend::Vaapi => Some(ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_VAAPI),
    }
}

/// The decoder that can use a device: AV1 has one without any software in it.
pub(super) fn device_codec(id: Id) -> Option<ffmpeg_next::Codec> {
    if id == Id::AV1 { decoder::find_by_name("av1") } else { decoder::find(id) }
}

/// What `get_format` leaves for the caller; it has no other way to tell.
struct Side {
    /// The device's frames.
    wanted: c_int,
    /// FFmpeg offered them.
    offered: AtomicBool,
    /// It did not, or not any more.
    refused: AtomicBool,
}

/// FFmpeg asks which of `formats` it shall decode to: the device's frames. Where those are not in the list it asks
/// because a set-up failed; the answer is then what it expects, and a note that nothing more is wanted.
///
/// # Safety
/// FFmpeg calls it: an open context whose `opaque` is a `Side`, and a list that ends with -1. Formats are plain
/// numbers here: a newer library may know some that the bindings do not.
unsafe extern "C" fn choose(context: *mut ffi::AVCodecContext, formats: *const c_int) -> c_int {
    // SAFETY: the caller vouches for both.
    unsafe {
        let Some(side) = (*context).opaque.cast::<Side>().as_ref() else { return *formats };
        let mut last = *formats;
        let mut listed = false;
        for format in (0..).map(|i| *formats.add(i)).take_while(|format| *format != -1) {
            listed |= format == side.wanted;
            last = format;
        }
        if listed && layout::is_read(last) {
            side.offered.store(true, Ordering::Relaxed);
            return side.wanted;
        }
        side.refused.store(true, Ordering::Relaxed);
        last
    }
}

/// A decoder on a device.
pub struct DeviceDecoder {
    inner: decoder::Video,
    /// None decodes in software: only tests make such a one.
    side: Option<Arc<Side>>,
    /// Packets were sent since the last reset.
    dirty: bool,
}

/// What a decoder says when asked for a frame.
pub enum Got {
    Frame(DeviceFrame),
    /// Nothing without more packets.
    Hungry,
    /// Drained to the end.
    End,
}

/// A frame that still lies on the device.
pub struct DeviceFrame {
    frame: frame::Video,
    /// The number that was given with its packet.
    pub number: Option<u64>,
    /// The decoder says that something is wrong with it.
    pub damaged: bool,
}

impl DeviceDecoder {
    /// A decoder for the recipe's stream on `device`, which is not asked yet: that happens with the first packet.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn open(recipe: &Recipe, device: &DeviceContext) -> Result<DeviceDecoder, Trouble> {
        let unsupported = |text: String| Trouble::new(Refusal::Unsupported, text);
        let id = recipe.id();
        let codec = device_codec(id)
            .filter(|codec| device.serves(codec) && !recipe.has_alpha())
            .ok_or_else(|| unsupported(format!("{} is not decoded on devices", id.name())))?;
        let side = Arc::new(Side {
            wanted: device.format() as c_int,
            offered: AtomicBool::new(false),
            refused: AtomicBool::new(false),
        });
        let opened = recipe.open_codec(codec, 1, false, |context| {
            // SAFETY: the context is not open yet, which is when these fields may be set. `choose` has the type that
            // is asked for, with the enumeration as its number; `side` outlives the decoder.
            unsafe {
                (*context).hw_device_ctx = ffi::av_buffer_ref(device.buffer);
                (*context).opaque = Arc::as_ptr(&side).cast_mut().cast();
                (*context).get_format = Some(std::mem::transmute::<
                    unsafe extern "C" fn(*mut ffi::AVCodecContext, *const c_int) -> c_int,
                    unsafe extern "C" fn(
                        *mut ffi::AVCodecContext,
                        *const ffi::AVPixelFormat,
                    ) -> ffi::AVPixelFormat,
                >(choose));
            }
        });
        let inner = opened.map_err(|failure| unsupported(failure.text))?;
        Ok(DeviceDecoder { inner, side: Some(side), dirty: false })
    }

    /// The same road without a device, to show what it does to frames: nothing.
    #[cfg(test)]
    pub fn software(recipe: &Recipe) -> DeviceDecoder {
        let codec = decoder::find(recipe.id()).expect("a decoder");
        let inner = recipe.open_codec(codec, 1, false, |_| ()).expect("it opens");
        DeviceDecoder { inner, side: None, dirty: false }
    }

    /// Was anything sent since the last reset?
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// As `Decoder::gives_every_frame`.
    pub fn gives_every_frame(&self) -> bool {
        matches!(self.inner.id(), Id::H264 | Id::HEVC)
    }

    /// Gives a packet, marked with `number`. A `lenient` one belongs to a picture that cannot come out whole: that
    /// the stream's references are missing there is no trouble, and false is returned.
    ///
    /// # Errors
    /// The first sign that something is wrong with the device or the stream.
    pub fn send(&mut self, packet: &mut Packet, number: u64, lenient: bool) -> Result<bool, Trouble> {
        use ffmpeg_next::packet::Ref as _;
        self.dirty = true;
        packet.set_pts(i64::try_from(number).ok());
        packet.set_dts(None);
        // SAFETY: decoder and packet are alive. The field is read with each packet; there is one thread.
        let (code, heard) = heard(|| unsafe {
            let context = self.inner.as_mut_ptr();
            let explode = ffi::AV_EF_EXPLODE as c_int;
            // MPEG-1/2 take every slice that they leave to a device for a damaged one then.
            let is_mpeg12 = matches!(self.inner.id(), Id::MPEG1VIDEO | Id::MPEG2VIDEO);
            let wanted = if lenient || is_mpeg12 { 0 } else { explode };
            (*context).err_recognition = ((*context).err_recognition & !explode) | wanted;
            ffi::avcodec_send_packet(context, packet.as_ptr())
        });
        self.judge("the decoder refuses a packet", Refusal::Send, code, &heard, lenient)?;
        Ok(code >= 0)
    }

    /// Announces the end, so that the remaining frames come out.
    ///
    /// # Errors
    /// As `send`.
    pub fn drain(&mut self) -> Result<(), Trouble> {
        // SAFETY: the decoder is alive; no packet is the end.
        let (code, heard) =
            heard(|| unsafe { ffi::avcodec_send_packet(self.inner.as_mut_ptr(), std::ptr::null()) });
        let code = if code == ffi::AVERROR_EOF { 0 } else { code };
        self.judge("the decoder cannot be drained", Refusal::Send, code, &heard, false)
    }

    /// Drops all state, so that a new run may begin.
    pub fn reset(&mut self) {
        self.inner.flush();
        self.dirty = false;
    }

    /// The next frame, if there is one.
    ///
    /// # Errors
    /// As `send`; `Software` when the frame does not come from the device.
    pub fn receive(&mut self) -> Result<Got, Trouble> {
        let mut frame = frame::Video::empty();
        // SAFETY: decoder and frame are alive.
        let (code, heard) =
            heard(|| unsafe { ffi::avcodec_receive_frame(self.inner.as_mut_ptr(), frame.as_mut_ptr()) });
        let (end, hungry) = (code == ffi::AVERROR_EOF, code == ffi::AVERROR(libc::EAGAIN));
        let judged = if end || hungry { 0 } else { code };
        self.judge("the decoder gives no frame", Refusal::Receive, judged, &heard, false)?;
        if end || hungry {
            return Ok(if end { Got::End } else { Got::Hungry });
        }
        // SAFETY: the frame was just filled.
        let (format, flags, errors) = unsafe {
            let frame = &*frame.as_ptr();
            (frame.format, frame.flags, frame.decode_error_flags)
        };
        if self.side.as_ref().is_some_and(|side| side.wanted != format) {
            return Err(Trouble::new(Refusal::Software, "a frame was decoded in software"));
        }
        let number = frame.pts().and_then(|pts| u64::try_from(pts).ok());
        let damaged = errors != 0 || flags & ffi::AV_FRAME_FLAG_CORRUPT != 0;
        Ok(Got::Frame(DeviceFrame { frame, number, damaged }))
    }

    /// Copies a frame into memory, in the layout that the software decoder gives.
    ///
    /// # Errors
    /// `Transfer`, `Copy`, `Lost`, and `Unsupported` where the layout is another.
    pub fn bring(&mut self, from: DeviceFrame) -> Result<frame::Video, Trouble> {
        if self.side.is_none() {
            return Ok(from.frame);
        }
        let mut here = frame::Video::empty();
        // SAFETY: both frames are alive, and the empty one is filled.
        let (code, heard) = heard(|| unsafe {
            let code = ffi::av_hwframe_transfer_data(here.as_mut_ptr(), from.frame.as_ptr(), 0);
            // The copy brings pixels alone.
            if code < 0 { code } else { ffi::av_frame_copy_props(here.as_mut_ptr(), from.frame.as_ptr()) }
        });
        let failed = |why, code| {
            let text = story("a frame cannot be copied from the device", code, &heard);
            Err(Trouble::new(reason(&heard, why), text))
        };
        match code {
            code if code < 0 => return failed(Refusal::Transfer, code),
            _ if heard.copies_failed > 0 => return failed(Refusal::Copy, 0),
            _ if is_lost(&heard) => return failed(Refusal::Lost, 0),
            _ => {}
        }
        // Frames come cropped at the right and the bottom only.
        // SAFETY: the frame is filled, in memory and ours.
        let code = unsafe {
            let flags = ffi::AV_FRAME_CROP_UNALIGNED as c_int;
            ffi::av_frame_apply_cropping(here.as_mut_ptr(), flags)
        };
        if code < 0 {
            return failed(Refusal::Transfer, code);
        }
        // SAFETY: the decoder is open. The enumeration is read as a plain number.
        let target = unsafe { (&raw const (*self.inner.as_ptr()).sw_pix_fmt).cast::<c_int>().read() };
        layout::planar(here, target).map_err(|text| Trouble::new(Refusal::Unsupported, text))
    }

    /// What a call's return code and the log come to.
    fn judge(
        &self,
        what: &str,
        otherwise: Refusal,
        code: c_int,
        heard: &Heard,
        lenient: bool,
    ) -> Result<(), Trouble> {
        let trouble = |why| Err(Trouble::new(why, story(what, code, heard)));
        if let Some(side) = &self.side
            && side.refused.load(Ordering::Relaxed)
        {
            let offered = side.offered.load(Ordering::Relaxed);
            let why = if offered { Refusal::Software } else { Refusal::Unsupported };
            let text = story("the device does not take this stream", code, heard);
            return Err(Trouble::new(reason(heard, why), text));
        }
        // What the driver refuses FFmpeg says in these words; the rest of what it says is about the stream.
        let driver = heard.text.contains(" failed -> ") || heard.text.contains("Failed to ");
        // Besides invalid data, H.264 has a plain -1 for references that are not there.
        let of_stream = code == ffi::AVERROR_INVALIDDATA || code == -1;
        match () {
            () if code >= 0 && !driver => Ok(()),
            () if !driver && of_stream && lenient => Ok(()),
            () if !driver && of_stream => trouble(Refusal::Damage),
            () => trouble(reason(heard, otherwise)),
        }
    }
}
