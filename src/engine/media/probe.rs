//! Opens a video's medium: chooses the stream, finds time 0 and the end, gathers the facts.
//!
//! Owns the choice of the stream and the decision whether FFmpeg must look into the streams.
//! Never decodes a frame itself.

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ffmpeg_next::codec::Id;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::media::Type;
use ffmpeg_next::{Packet, ffi};

use super::coding;
use super::colour::Tags;
use super::decoder::Recipe;
use super::encrypted;
use super::headers::Headers;
use super::look::StreamLook;
use super::reader::{Reader, is_hidden};
use super::source::{self, Opened};
use crate::model::device::Coding;
use crate::model::job::{FailCode, Failure, Source, Stage};
use crate::model::media::{Hdr, MediaFacts, Timeline};
use crate::model::time::{Seconds, TimeBase};

/// Packets that finding time 0 may read.
const START_PACKETS_MAX: usize = 200;
/// Frames a second when nothing is said.
const DEFAULT_RATE: (i64, i64) = (25, 1);

/// An open video, ready to be planned and decoded.
pub struct Medium {
    pub reader: Reader,
    pub recipe: Recipe,
    pub look: StreamLook,
    pub timeline: Timeline,
    pub facts: MediaFacts,
    /// As far as a device must know before it is asked.
    pub coding: Coding,
    /// Display length of one frame, for streams without pts.
    pub frame_length: Seconds,
    pub bytes_read: Arc<AtomicU64>,
}

/// Opens and probes.
///
/// # Errors
/// As `source::open`; `NoVideo`, `Unsupported`, `TooLarge`, `Corrupt` at stage `Probe`.
pub fn open(source: Source, stream: Option<u32>, frame_pixels_max: u64) -> Result<Medium, Failure> {
    let Opened { mut input, bytes_read, replaced } = source::open(source)?;
    let container = input.format().name().split(',').next().unwrap_or("").to_owned();
    let indexed = container == "mov" || container == "matroska";
    let told = indexed && choose(&input, stream).is_ok_and(|index| is_told(&input, index));
    if let Some(stream) = choose(&input, stream).ok().and_then(|index| input.stream(index)) {
        // Before anything looks into packets, which would only be taken for damaged ones.
        encrypted::refuse_stream(&stream)?;
    }
    if !told {
        source::find_stream_info(&mut input, frame_pixels_max)?;
    }
    let index = choose(&input, stream)?;
    encrypted::refuse_stream(&input.stream(index).ok_or_else(no_video)?)?;
    let mut begin = Beginning { replay: VecDeque::new(), first: vec![None; input.streams().count()] };
    if told {
        begin.find(&mut input, index)?;
    }
    let origin = origin(&input, index, &begin);
    let chosen = input.stream(index).ok_or_else(no_video)?;
    let parameters = chosen.parameters();
    let time_base = time_base(chosen.time_base());
    let frame_length = frame_length(&chosen);
    let end = end(&input, &chosen, begin.start(&chosen), origin, time_base);
    let look = StreamLook::of_stream(&input, &chosen);
    let extradata = extradata(&parameters);
    let alpha = parameters.id() == Id::VP9 && chosen.metadata().get("alpha_mode") == Some("1");
    let headers = Headers::new(&parameters, &extradata, indexed, alpha);
    let recipe = Recipe::new(&parameters, time_base, frame_pixels_max, alpha);
    let codec = parameters.id().name().to_owned();
    let (width, height) = (look.coded_width, look.coded_height);
    if u64::from(width) * u64::from(height) > frame_pixels_max {
        let text = format!("frames of {width}x{height} are larger than {frame_pixels_max} pixels");
        return Err(Failure::new(FailCode::TooLarge, Stage::Probe, text));
    }
    refuse_unread(&parameters)?;
    let mut coding = coding::of_stream(&parameters, &extradata, begin.first_data(), (width, height));
    if alpha {
        // The plane beside it is none that a device decodes.
        coding.chroma = None;
    }
    let reader = Reader::new(input, index, time_base, headers, begin.replay, replaced);
    let timeline = Timeline { origin, time_base, duration: end };
    // A recording without a length has no finished index either.
    let key_frames = timeline.duration.and_then(|_| reader.key_frames());
    let mut facts = facts(container, index, codec, &look, &timeline, key_frames);
    if told && parameters.id() == Id::HEVC {
        facts.hdr = stream_hdr(&recipe).unwrap_or(facts.hdr);
    }
    Ok(Medium { reader, recipe, look, timeline, facts, coding, frame_length, bytes_read })
}

fn facts(
    container: String,
    index: usize,
    codec: String,
    look: &StreamLook,
    timeline: &Timeline,
    key_frames: Option<u64>,
) -> MediaFacts {
    let (display_width, display_height) = look.display_size(look.coded_width, look.coded_height);
    MediaFacts {
        container,
        stream: u32::try_from(index).unwrap_or(0),
        codec,
        width: look.coded_width,
        height: look.coded_height,
        display_width,
        display_height,
        rotation: look.rotation(),
        sar: look.sar,
        duration_ms: timeline.duration.map(Seconds::floor_ms),
        start_pts: timeline.origin.floor_pts(timeline.time_base),
        time_base: timeline.time_base,
        key_frames,
        hdr: look.hdr(),
    }
}

/// What the stream itself says of its light: a container that is silent, or wrong, is common. Pictures go by the
/// frame's word anyway.
fn stream_hdr(recipe: &Recipe) -> Option<Hdr> {
    let transfer = recipe.open(1).ok()?.transfer();
    (transfer != Tags::NONE.transfer).then(|| Tags { transfer, ..Tags::NONE }.hdr())
}

/// The codec's name; the container's four characters when FFmpeg does not know it.
fn codec_name(parameters: &ffmpeg_next::codec::Parameters) -> String {
    // SAFETY: the parameters are alive for the call.
    let tag = unsafe { (*parameters.as_ptr()).codec_tag };
    if parameters.id() != Id::None || tag == 0 {
        return parameters.id().name().to_owned();
    }
    tag.to_le_bytes().iter().map(|b| if b.is_ascii_graphic() { *b as char } else { '?' }).collect()
}

/// Refuses what no decoder on the list reads.
fn refuse_unread(parameters: &ffmpeg_next::codec::Parameters) -> Result<(), Failure> {
    let refusal = |text| Err(Failure::new(FailCode::Unsupported, Stage::Probe, text));
    match ffmpeg_next::decoder::find(parameters.id()) {
        None => refusal(format!("no decoder for {} in this FFmpeg", codec_name(parameters))),
        Some(decoder) if !source::DECODERS.split(',').any(|name| name == decoder.name()) => {
            refusal(format!("{} is not decoded here", codec_name(parameters)))
        }
        Some(_) => Ok(()),
    }
}

/// With a length found by a scan the end is known after all.
pub fn set_end(medium: &mut Medium, end: Seconds) {
    medium.timeline.duration = Some(end);
    medium.facts.duration_ms = Some(end.floor_ms());
}

fn no_video() -> Failure {
    Failure::new(FailCode::NoVideo, Stage::Probe, "no video stream in it")
}

/// The first video stream flagged default that is no attached picture, else the first such; or the one named.
fn choose(input: &Input, wanted: Option<u32>) -> Result<usize, Failure> {
    let is_video = |stream: &ffmpeg_next::Stream<'_>| {
        let picture = ffi::AV_DISPOSITION_ATTACHED_PIC | ffi::AV_DISPOSITION_TIMED_THUMBNAILS;
        stream.parameters().medium() == Type::Video && stream.disposition().bits() & picture == 0
    };
    if let Some(wanted) = wanted {
        return match input.stream(wanted as usize) {
            Some(stream) if stream.parameters().medium() == Type::Video => Ok(wanted as usize),
            _ => Err(Failure::new(
                FailCode::NoVideo,
                Stage::Probe,
                format!("stream {wanted} is no video stream"),
            )),
        };
    }
    let default = ffi::AV_DISPOSITION_DEFAULT;
    let mut videos = input.streams().filter(is_video);
    let first = videos.next().ok_or_else(no_video)?;
    let is_default = |stream: &ffmpeg_next::Stream<'_>| stream.disposition().bits() & default != 0;
    if is_default(&first) {
        return Ok(first.index());
    }
    Ok(videos.find(is_default).map_or(first.index(), |stream| stream.index()))
}

/// True when the container tells enough to decode without looking into the stream.
fn is_told(input: &Input, index: usize) -> bool {
    let Some(stream) = input.stream(index) else { return false };
    let parameters = stream.parameters();
    let has_sets = !extradata(&parameters).is_empty();
    // SAFETY: a stream has its parameters as long as it lives.
    let sized = unsafe { (*parameters.as_ptr()).width > 0 && (*parameters.as_ptr()).height > 0 };
    let needs_sets = matches!(parameters.id(), Id::H264 | Id::HEVC | Id::AV1 | Id::MPEG4);
    let known = matches!(
        parameters.id(),
        Id::H264 | Id::HEVC | Id::AV1 | Id::MPEG4 | Id::VP8 | Id::VP9 | Id::MJPEG | Id::PRORES | Id::DNXHD
    );
    sized && known && (has_sets || !needs_sets)
}

fn extradata(parameters: &ffmpeg_next::codec::Parameters) -> Vec<u8> {
    // SAFETY: pointer and size belong together.
    unsafe {
        let p = &*parameters.as_ptr();
        match usize::try_from(p.extradata_size) {
            Ok(size) if size > 0 && !p.extradata.is_null() => {
                std::slice::from_raw_parts(p.extradata, size).to_vec()
            }
            _ => Vec::new(),
        }
    }
}

fn time_base(rational: ffmpeg_next::Rational) -> TimeBase {
    let (num, den) = (i64::from(rational.numerator()), i64::from(rational.denominator()));
    if num > 0 && den > 0 { TimeBase { num, den } } else { TimeBase { num: 1, den: 90_000 } }
}

fn frame_length(stream: &ffmpeg_next::Stream<'_>) -> Seconds {
    let rate = [stream.avg_frame_rate(), stream.rate()]
        .into_iter()
        .map(|r| (i128::from(r.numerator()), i128::from(r.denominator())))
        .find(|(num, den)| *num > 0 && *den > 0);
    let (num, den) = rate.unwrap_or((i128::from(DEFAULT_RATE.0), i128::from(DEFAULT_RATE.1)));
    Seconds { num: den, den: num }
}

/// What the first packets tell.
struct Beginning {
    /// Those of the chosen stream, still to be planned.
    replay: VecDeque<Packet>,
    /// The first pts of each stream. FFmpeg knows of a start only where it can tell the decoding time, which it
    /// cannot in Matroska for pictures out of order.
    first: Vec<Option<i64>>,
}

impl Beginning {
    /// Reads packets until every audio and video stream has told its start.
    fn find(&mut self, input: &mut Input, index: usize) -> Result<(), Failure> {
        for _ in 0..START_PACKETS_MAX {
            let has_start = |s: &ffmpeg_next::Stream<'_>| self.start(s).is_some();
            if input.streams().all(|s| !counts_for_start(&s) || has_start(&s)) && !self.replay.is_empty() {
                break;
            }
            let mut packet = Packet::empty();
            match packet.read(input) {
                Ok(()) => {
                    let hidden = is_hidden(&packet);
                    if let (Some(first), false) = (self.first.get_mut(packet.stream()), hidden) {
                        *first = first.or(packet.pts());
                    }
                    if packet.stream() == index {
                        encrypted::refuse_packet(&packet, Stage::Probe)?;
                        self.replay.push_back(packet);
                    }
                }
                Err(ffmpeg_next::Error::Other { errno }) if errno == libc::EIO => {
                    return Err(Failure::new(FailCode::Io, Stage::Probe, "the file cannot be read"));
                }
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// The first packet of the chosen stream, where it was read already.
    fn first_data(&self) -> Option<&[u8]> {
        self.replay.front().and_then(Packet::data)
    }

    fn start(&self, stream: &ffmpeg_next::Stream<'_>) -> Option<i64> {
        Some(stream.start_time())
            .filter(|start| *start != ffi::AV_NOPTS_VALUE)
            .or_else(|| self.first.get(stream.index()).copied().flatten())
    }
}

fn counts_for_start(stream: &ffmpeg_next::Stream<'_>) -> bool {
    let picture = ffi::AV_DISPOSITION_ATTACHED_PIC;
    matches!(stream.parameters().medium(), Type::Video | Type::Audio)
        && stream.disposition().bits() & picture == 0
}

/// Time 0: the earliest start over audio and video; the chosen stream's own start when nothing else is told.
fn origin(input: &Input, index: usize, begin: &Beginning) -> Seconds {
    let starts = input
        .streams()
        .filter(|s| counts_for_start(s) || s.index() == index)
        .filter_map(|s| Some(Seconds::of_pts(begin.start(&s)?, time_base(s.time_base()))));
    starts.reduce(|a, b| if b < a { b } else { a }).unwrap_or(Seconds::ZERO)
}

/// D: the later of the container's duration and the stream's own end, counted from time 0.
fn end(
    input: &Input,
    stream: &ffmpeg_next::Stream<'_>,
    start: Option<i64>,
    origin: Seconds,
    time_base: TimeBase,
) -> Option<Seconds> {
    // SAFETY: the input is open.
    let (duration, guessed) = unsafe {
        let context = &*input.as_ptr();
        let guessed = context.duration_estimation_method
            == ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_BITRATE;
        (context.duration, guessed)
    };
    if guessed {
        return None;
    }
    let container =
        (duration > 0).then(|| Seconds { num: i128::from(duration), den: i128::from(ffi::AV_TIME_BASE) });
    let own = start.filter(|_| stream.duration() > 0).map(|start| {
        let length = Seconds::of_pts(stream.duration(), time_base);
        Seconds::of_pts(start, time_base).plus(length).minus(origin)
    });
    match (container, own) {
        (Some(a), Some(b)) => Some(if b > a { b } else { a }),
        (a, b) => a.or(b),
    }
}
