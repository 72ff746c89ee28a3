//! One decoder: packets in, frames out, told apart by a number of our own.
//!
//! Owns the decoder's settings and its drain and reset. Never seeks, never converts.

#![allow(unsafe_code)]

use ffmpeg_next::codec::{Context, Id, Parameters};
use ffmpeg_next::{Error, Packet, decoder, ffi, frame};

use super::source::decoder_options;
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::time::TimeBase;

/// All that is needed to open a decoder for a stream, as often as wanted.
pub struct Recipe {
    parameters: Parameters,
    time_base: TimeBase,
    frame_pixels_max: u64,
    /// VP9 with opacity at its side, which FFmpeg's own decoder does not see.
    alpha: bool,
}

// SAFETY: the parameters are an allocation of our own that nobody writes after `new`; reading them from several
// threads is what `avcodec_parameters_to_context` does.
unsafe impl Sync for Recipe {}

impl Recipe {
    /// Copies what it needs, so that the container may close.
    pub fn new(parameters: &Parameters, time_base: TimeBase, frame_pixels_max: u64, alpha: bool) -> Recipe {
        let mut own = Parameters::new();
        // SAFETY: both point to valid parameters.
        unsafe { ffi::avcodec_parameters_copy(own.as_mut_ptr(), parameters.as_ptr()) };
        Recipe { parameters: own, time_base, frame_pixels_max, alpha }
    }

    /// Opens a decoder with `threads` frame threads.
    ///
    /// # Errors
    /// `Unsupported` when there is no decoder, `Corrupt` when it refuses the stream.
    pub fn open(&self, threads: u32) -> Result<Decoder, Failure> {
        self.open_with(threads, false).or_else(|refusal| {
            // The sequence header beside an AV1 stream tells the largest frame that there may ever be; streams with
            // switch frames name the level's, beyond the limit of what is decoded. Each key frame brings its own.
            if self.parameters.id() == Id::AV1 { self.open_with(threads, true) } else { Err(refusal) }
        })
    }

    fn open_with(&self, threads: u32, bare: bool) -> Result<Decoder, Failure> {
        let with_alpha = if self.alpha { decoder::find_by_name("libvpx-vp9") } else { None };
        let codec = with_alpha.or_else(|| decoder::find(self.id())).ok_or_else(|| {
            let text = format!("no decoder for {}", self.id().name());
            Failure::new(FailCode::Unsupported, Stage::Decode, text)
        })?;
        let opened = self.open_codec(codec, threads, bare, |_| ())?;
        Ok(Decoder { inner: opened, dirty: false, drained: false })
    }

    /// Opens `codec` for the stream; `set_up` may set more fields of the context before.
    pub(super) fn open_codec(
        &self,
        codec: ffmpeg_next::Codec,
        threads: u32,
        bare: bool,
        set_up: impl FnOnce(*mut ffi::AVCodecContext),
    ) -> Result<decoder::Video, Failure> {
        let fail = |code, text: String| Failure::new(code, Stage::Decode, text);
        let mut context = Context::from_parameters(self.copy(bare))
            .map_err(|e| fail(FailCode::Internal, format!("cannot set up a decoder: {e}")))?;
        // SAFETY: the context is not open yet, which is when these fields may be set.
        unsafe {
            let c = context.as_mut_ptr();
            // Damaged frames come out and are told apart by their flags; without it a drain loses frames after
            // a recovery point. Unaligned: the coded crop is exact.
            (*c).flags |= (ffi::AV_CODEC_FLAG_OUTPUT_CORRUPT | ffi::AV_CODEC_FLAG_UNALIGNED) as i32;
            (*c).pkt_timebase.num = i32::try_from(self.time_base.num).unwrap_or(1);
            (*c).pkt_timebase.den = i32::try_from(self.time_base.den).unwrap_or(1);
            (*c).thread_type = ffi::FF_THREAD_FRAME;
            set_up(c);
        }
        let mut options = decoder_options(self.frame_pixels_max);
        options.set("threads", &threads.max(1).to_string());
        context.decoder().open_as_with(codec, options).and_then(|o| o.video()).map_err(|e| {
            fail(FailCode::Corrupt, format!("the decoder {} refuses the stream: {e}", codec.name()))
        })
    }

    /// The stream's codec.
    pub(super) fn id(&self) -> Id {
        self.parameters.id()
    }

    /// Has the stream opacity at its side?
    pub(super) fn has_alpha(&self) -> bool {
        self.alpha
    }

    /// A copy; a `bare` one lacks what the container has beside the stream.
    fn copy(&self, bare: bool) -> Parameters {
        let mut own = Parameters::new();
        // SAFETY: both point to valid parameters, and the copy's extradata is an allocation of its own or null.
        unsafe {
            ffi::avcodec_parameters_copy(own.as_mut_ptr(), self.parameters.as_ptr());
            if bare {
                let own = &mut *own.as_mut_ptr();
                ffi::av_freep((&raw mut own.extradata).cast());
                own.extradata_size = 0;
            }
        }
        own
    }
}

/// An open decoder.
pub struct Decoder {
    inner: decoder::Video,
    /// Packets were sent since the last reset.
    dirty: bool,
    drained: bool,
}

/// What a decoder says when asked for a frame.
pub enum Received {
    Frame(Decoded),
    /// Nothing without more packets.
    Hungry,
    /// Drained to the end.
    End,
    /// The decoder reports an error.
    Damage,
}

/// A frame and what the decoder says about it.
pub struct Decoded {
    pub frame: frame::Video,
    /// The number that was given with its packet.
    pub number: Option<u64>,
    /// The decoder concealed errors in it.
    pub damaged: bool,
}

impl Decoder {
    /// The transfer that the stream's own headers tell, as far as the decoder has read them; 2 for none.
    pub fn transfer(&self) -> i32 {
        // SAFETY: the decoder is open. The enumeration is read as a plain number: a newer library may hold a value
        // that the bindings do not know.
        unsafe { (&raw const (*self.inner.as_ptr()).color_trc).cast::<i32>().read() }
    }

    /// True when each packet of a shown picture gives a frame, unless something is wrong. Others have packets that
    /// only say that nothing changed, or hold what is never shown.
    pub fn gives_every_frame(&self) -> bool {
        matches!(self.inner.id(), Id::H264 | Id::HEVC)
    }

    /// Gives a packet, marked with `number`. False when the decoder refuses it, which is damage, not an end.
    pub fn send(&mut self, packet: &mut Packet, number: u64) -> bool {
        self.dirty = true;
        packet.set_pts(i64::try_from(number).ok());
        packet.set_dts(None);
        self.inner.send_packet(packet).is_ok()
    }

    /// Announces the end, so that the remaining frames come out.
    pub fn drain(&mut self) {
        self.drained = true;
        // A decoder that is drained already refuses; the frames decide.
        self.inner.send_eof().ok();
    }

    /// Drops all state, so that a new run may begin.
    pub fn reset(&mut self) {
        if self.dirty || self.drained {
            self.inner.flush();
        }
        (self.dirty, self.drained) = (false, false);
    }

    /// The next frame, if there is one.
    pub fn receive(&mut self) -> Received {
        let mut frame = frame::Video::empty();
        match self.inner.receive_frame(&mut frame) {
            Ok(()) => {
                // SAFETY: the frame was just filled.
                let (flags, errors) =
                    unsafe { ((*frame.as_ptr()).flags, (*frame.as_ptr()).decode_error_flags) };
                let number = frame.pts().and_then(|pts| u64::try_from(pts).ok());
                let damaged = errors != 0 || flags & ffi::AV_FRAME_FLAG_CORRUPT != 0;
                Received::Frame(Decoded { frame, number, damaged })
            }
            Err(Error::Eof) => Received::End,
            Err(Error::Other { errno }) if errno == libc::EAGAIN => Received::Hungry,
            Err(_) => Received::Damage,
        }
    }
}

/// A packet of these bytes of `packet`, `[from, to)` each; what lies outside is left out.
pub fn cut(packet: &Packet, bytes: &[(u32, u32)]) -> Packet {
    let data = packet.data().unwrap_or(&[]);
    let part = |(from, to): &(u32, u32)| data.get(*from as usize..*to as usize).unwrap_or(&[]);
    let joined: Vec<u8> = bytes.iter().flat_map(part).copied().collect();
    let mut cut = Packet::copy(&joined);
    cut.set_flags(packet.flags());
    cut
}

/// Another handle on the same pixels.
pub fn share(frame: &frame::Video) -> frame::Video {
    let mut other = frame::Video::empty();
    // SAFETY: both are valid frames; the reference is dropped with `other`.
    unsafe { ffi::av_frame_ref(other.as_mut_ptr(), frame.as_ptr()) };
    other
}
