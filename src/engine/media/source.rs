//! Opens a video from a descriptor: no path, no protocol, only the containers and codecs on the lists.
//!
//! Owns the whitelists, FFmpeg's options, the positional reads below it, and what some versions leave out.
//! Never decodes and never chooses a stream.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::media::Type;
use ffmpeg_next::{Dictionary, Error, Packet, ffi};

use super::boxes;
use crate::model::job::{FailCode, Failure, Source, Stage};

/// Short demuxer names (DESIGN, Containers).
pub const CONTAINERS: &str = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,h264,hevc,ivf,gif,mxf";
/// FFmpeg's decoder names.
pub const DECODERS: &str = "h264,hevc,vp8,vp9,libvpx-vp9,av1,libdav1d,mpeg1video,mpeg2video,mpeg4,msmpeg4,h263,flv,\
                            vp6f,wmv1,wmv2,wmv3,vc1,theora,mjpeg,prores,dvvideo,gif,dnxhd,vvc";
/// Protocols that FFmpeg may open something by: none, it is handed what it reads.
pub const PROTOCOLS: &str = "";
/// The beginning that a refused file is named by.
const FIRST_BYTES: usize = 1024;
/// Bytes that one read asks for.
const BUFFER_BYTES: usize = 64 << 10;
/// Packets that may come before the first one of a video.
const BIRTH_PACKETS_MAX: usize = 200;
/// No single allocation of FFmpeg's may be larger.
const ALLOCATION_BYTES_MAX: usize = 512 << 20;

/// Sets what holds for the whole process: FFmpeg's log and its largest allocation. Call before any other.
pub fn warm_up() {
    super::log::install();
    // Errors have no text before this; the table is written once, before anything reads it.
    static TEXTS: std::sync::Once = std::sync::Once::new();
    TEXTS.call_once(ffmpeg_next::util::error::register_all);
    // SAFETY: both only set process-wide integers.
    unsafe {
        ffi::av_max_alloc(ALLOCATION_BYTES_MAX);
        ffi::av_log_set_level(ffi::AV_LOG_ERROR);
    }
}

/// An open container and its first bytes' verdict.
pub struct Opened {
    pub input: Input,
    /// Bytes read from the file so far, counted below FFmpeg.
    pub bytes_read: Arc<AtomicU64>,
    /// True once the file was written over while it was read: what comes now is of another video.
    pub replaced: Arc<AtomicBool>,
}

/// Positional reads: the shared file offset of a passed descriptor is never touched.
struct Positional {
    file: Arc<File>,
    at: u64,
    /// Where the file ends for its reader.
    end: u64,
    /// As opened.
    size: u64,
    modified: Option<SystemTime>,
    read: Arc<AtomicU64>,
    replaced: Arc<AtomicBool>,
}

impl Positional {
    /// Was it written to since it was opened? A file that only grew is a recording under way.
    fn is_replaced(&self) -> std::io::Result<bool> {
        let now = self.file.metadata()?;
        Ok(now.len() < self.size || (now.len() == self.size && now.modified().ok() != self.modified))
    }
}

impl Read for Positional {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // A file that grew meanwhile may be read on, unless its end was left out on purpose.
        let room = if self.end < self.size { self.end.saturating_sub(self.at) } else { u64::MAX };
        let most = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buffer[..most], self.at)?;
        // Asked afterwards: what was read before the change is the old video's.
        if self.is_replaced()? {
            self.replaced.store(true, Ordering::Relaxed);
            return Err(std::io::Error::from_raw_os_error(libc::EIO));
        }
        self.at += n as u64;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Seek for Positional {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => i128::from(at),
            SeekFrom::End(by) => i128::from(self.end) + i128::from(by),
            SeekFrom::Current(by) => i128::from(self.at) + i128::from(by),
        };
        self.at = u64::try_from(at).map_err(|_| std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Opens the container. Streams that need it are still to be probed.
///
/// # Errors
/// `Empty`, `Incomplete`, `NotMedia`, `TooLarge`, `Io`, all at stage `Open`.
pub fn open(source: Source) -> Result<Opened, Failure> {
    let Source::Fd(fd) = source;
    let (file, size, first) = look(fd)?;
    let file = Arc::new(file);
    match attempt(&file, size, size, &first) {
        // A recording whose last fragment is only begun: FFmpeg refuses the whole of it.
        Err(failure) if failure.code == FailCode::Incomplete => match boxes::begun_fragment(&file, size) {
            Some(end) => attempt(&file, size, end, &first),
            None => Err(failure),
        },
        done => done,
    }
}

/// Opens the container as if the file ended at `end`.
fn attempt(file: &Arc<File>, size: u64, end: u64, first: &[u8]) -> Result<Opened, Failure> {
    let modified = file.metadata().and_then(|now| now.modified()).ok();
    let (read, replaced) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let stream = Positional {
        file: Arc::clone(file),
        at: 0,
        end,
        size,
        modified,
        read: Arc::clone(&read),
        replaced: Arc::clone(&replaced),
    };
    let mut io = StreamIo::from_read_seek_with_capacity(stream, BUFFER_BYTES).map_err(internal)?;
    let mut options = Dictionary::new();
    options.set("protocol_whitelist", PROTOCOLS);
    options.set("format_whitelist", CONTAINERS);
    options.set("codec_whitelist", DECODERS);
    options.set("probesize", "5000000");
    options.set("formatprobesize", "1048576");
    options.set("analyzeduration", "5000000");
    options.set("max_streams", "64");
    options.set("max_probe_packets", "2500");

    // SAFETY: the context is allocated here and given to `avformat_open_input`, which frees it on failure;
    // `io` outlives it in both cases, and the dictionary is owned again whatever happens.
    let (context, code, unknown) = unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(internal("out of memory"));
        }
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        let mut left = options.disown();
        let code = ffi::avformat_open_input(&mut context, ptr::null(), ptr::null_mut(), &mut left);
        (context, code, Dictionary::own(left))
    };
    if code < 0 {
        return Err(refusal(Error::from(code), first));
    }
    // SAFETY: `context` was opened above and is handed over together with the AVIO context that it reads from.
    let mut input = unsafe { Input::wrap_with_custom_io(context, io) };
    if let Some((key, _)) = unknown.iter().next() {
        return Err(internal(format!("this FFmpeg does not know the option {key}")));
    }
    complete_length(&mut input, file);
    Ok(Opened { input, bytes_read: read, replaced })
}

/// FFmpeg told the length that an MP4 file gives itself up to 6.0; later ones would be asked for every stream's.
fn complete_length(input: &mut Input, file: &File) {
    let is_mp4 = input.format().name().split(',').any(|name| name == "mov");
    // SAFETY: the input is open; the field is a plain number that FFmpeg fills in only where nothing is known.
    let length = unsafe { &mut (*input.as_mut_ptr()).duration };
    if is_mp4 && *length == ffi::AV_NOPTS_VALUE {
        *length = boxes::movie_length(file).unwrap_or(ffi::AV_NOPTS_VALUE);
    }
}

/// Lets FFmpeg look into the streams. Every probe decoder gets the limits that ours have.
///
/// # Errors
/// `Corrupt` or `TooLarge` at stage `Probe`.
pub fn find_stream_info(input: &mut Input, frame_pixels_max: u64) -> Result<(), Failure> {
    if input.nb_streams() == 0 {
        bear_streams(input);
    }
    let rates = forget_rates(input);
    let probed = probe_streams(input, frame_pixels_max);
    restore_rates(input, &rates);
    probed
}

/// The rate of a raw stream is what its own headers say. Since FFmpeg 6.1 the demuxer puts a default there, which
/// keeps the headers from being asked; it is taken away and given back.
fn forget_rates(input: &mut Input) -> Vec<ffi::AVRational> {
    if !matches!(input.format().name(), "h264" | "hevc") {
        return Vec::new();
    }
    let unknown = ffi::AVRational { num: 0, den: 1 };
    // SAFETY: the input is open, and a stream lives as long as it.
    input
        .streams()
        .map(|s| unsafe { std::mem::replace(&mut (*s.as_ptr().cast_mut()).avg_frame_rate, unknown) })
        .collect()
}

fn restore_rates(input: &mut Input, rates: &[ffi::AVRational]) {
    for (stream, default) in input.streams().zip(rates) {
        // SAFETY: as in `forget_rates`.
        let rate = unsafe { &mut (*stream.as_ptr().cast_mut()).avg_frame_rate };
        if rate.num == 0 {
            *rate = *default;
        }
    }
}

/// FLV and program streams tell of a stream with its first packet. Those that are born while FFmpeg looks into the
/// streams get no options of ours and must not be decoded, but some tell their picture size in no other way.
fn bear_streams(input: &mut Input) {
    for _ in 0..BIRTH_PACKETS_MAX {
        let has_video = input.streams().any(|stream| stream.parameters().medium() == Type::Video);
        if has_video || Packet::empty().read(input).is_err() {
            break;
        }
    }
    // SAFETY: the input is open. By byte, since the place of the first time is not known yet.
    unsafe { ffi::av_seek_frame(input.as_mut_ptr(), -1, 0, ffi::AVSEEK_FLAG_BYTE) };
    // What is born later is still not decoded.
    let known = input.nb_streams() > 0;
    let names = if known { DECODERS } else { "none" };
    allow_decoders(input, names);
}

fn allow_decoders(input: &mut Input, names: &str) {
    let Ok(names) = CString::new(names) else { return };
    // SAFETY: the input is open and copies the text; an option of this name was taken when it was opened.
    unsafe { ffi::av_opt_set(input.as_mut_ptr().cast(), c"codec_whitelist".as_ptr(), names.as_ptr(), 0) };
}

fn probe_streams(input: &mut Input, frame_pixels_max: u64) -> Result<(), Failure> {
    // SAFETY: the array has one dictionary a stream, as the call wants; each is owned again afterwards.
    let code = unsafe {
        let context = input.as_mut_ptr();
        let streams = (*context).nb_streams as usize;
        let mut options: Vec<*mut ffi::AVDictionary> =
            (0..streams).map(|_| decoder_options(frame_pixels_max).disown()).collect();
        let array = if streams == 0 { ptr::null_mut() } else { options.as_mut_ptr() };
        let code = ffi::avformat_find_stream_info(context, array);
        options.into_iter().for_each(|o| drop(Dictionary::own(o)));
        code
    };
    if code < 0 {
        return Err(Failure::new(
            FailCode::Corrupt,
            Stage::Probe,
            format!("the streams cannot be read: {}", Error::from(code)),
        ));
    }
    Ok(())
}

/// What every decoder is opened with, in the probe too.
pub fn decoder_options(frame_pixels_max: u64) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    options.set("max_pixels", &frame_pixels_max.to_string());
    options.set("threads", "1");
    options.set("codec_whitelist", DECODERS);
    options
}

/// The file, its size and its first bytes.
fn look(fd: OwnedFd) -> Result<(File, u64, Vec<u8>), Failure> {
    let file = File::from(fd);
    let io =
        |e: std::io::Error| Failure::new(FailCode::Io, Stage::Open, format!("cannot read the file: {e}"));
    let size = file.metadata().map_err(io)?.len();
    if size == 0 {
        return Err(Failure::new(FailCode::Empty, Stage::Open, "the file is empty"));
    }
    let mut first = vec![0; FIRST_BYTES];
    let mut have = 0;
    while have < first.len() {
        match file.read_at(&mut first[have..], have as u64).map_err(io)? {
            0 => break,
            n => have += n,
        }
    }
    first.truncate(have);
    Ok((file, size, first))
}

/// What a refusal to open means.
fn refusal(error: Error, first: &[u8]) -> Failure {
    let at = |code, text: String| Failure::new(code, Stage::Open, text);
    let boxes = [&b"ftyp"[..], b"moov", b"mdat", b"wide", b"free", b"skip"];
    let is_mp4 = first.get(4..8).is_some_and(|name| boxes.contains(&name));
    match error {
        Error::Other { errno } if errno == libc::EIO => {
            at(FailCode::Io, format!("cannot read the file: {error}"))
        }
        Error::Other { errno } if errno == libc::ENOMEM => {
            at(FailCode::TooLarge, "the container asks for more memory than is allowed".to_owned())
        }
        _ if is_mp4 => at(
            FailCode::Incomplete,
            "the MP4 file is cut: the moov box that describes it is missing or damaged".to_owned(),
        ),
        _ => match other_kind(first) {
            Some(name) => {
                at(FailCode::NotMedia, format!("not a video container that is read here, but {name}"))
            }
            None => at(FailCode::NotMedia, format!("not a video container that is read here ({error})")),
        },
    }
}

/// What people hand in for a video. Some hold nothing but the names of other files: these are never followed.
fn other_kind(first: &[u8]) -> Option<&'static str> {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let has = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    match () {
        () if text.starts_with(b"#EXTM3U") => Some("an HLS playlist"),
        () if text.starts_with(b"ffconcat") => Some("a concat script"),
        () if text.starts_with(b"<") && has(b"<MPD") => Some("a DASH manifest"),
        () if text.starts_with(b"<") && has(b"<SmoothStreamingMedia") => Some("a Smooth Streaming manifest"),
        () if text.starts_with(b"v=0") && has(b"m=video") => Some("an SDP description"),
        () if text.starts_with(b"[playlist]") => Some("a PLS playlist"),
        () if text.starts_with(b"<?xml") => Some("an XML document"),
        () if first.starts_with(b"\xff\xd8\xff") => Some("a JPEG picture"),
        () if first.starts_with(b"\x89PNG\r\n") => Some("a PNG picture"),
        () if first.starts_with(b"%PDF") => Some("a PDF document"),
        () if first.starts_with(b"PK\x03\x04") => Some("a ZIP archive"),
        () => None,
    }
}

fn internal(reason: impl std::fmt::Display) -> Failure {
    Failure::new(FailCode::Internal, Stage::Open, format!("cannot set up FFmpeg: {reason}"))
}
