//! Reads one stream's packets in decode order, and moves in the file.
//!
//! Owns the open container, its index and the seek calls. Never decodes and never decides where to go:
//! the planner does.

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ffmpeg_next::codec::packet::side_data::Type as SideData;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::packet::Mut as _;
use ffmpeg_next::{Error, Packet, ffi, packet};

use super::encrypted;
use super::headers::Headers;
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::media::{Ahead, Need, PacketHead};
use crate::model::time::{Seconds, TimeBase};

/// Broken packets in a row after which the file counts as ended.
const BROKEN_MAX: u32 = 1_000;
/// Without an index, instants further ahead than this are worth a seek.
const FAR_SECONDS: i64 = 10;
/// FLV's video tag with nothing behind its own header.
const EMPTY_TAG_BYTES: i32 = 5;

/// How the container can be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An index of key frames.
    Index,
    /// A seek lands on some packet at or before the instant, or a little after.
    Guess,
    /// Only from the beginning.
    Walk,
}

/// The packets of one stream.
pub struct Reader {
    input: Input,
    stream: usize,
    time_base: TimeBase,
    entry: Entry,
    /// The index tells when key frames are decoded, not when they are shown (all but Matroska).
    index_by_dts: bool,
    /// How much later than decoded a picture is shown, the most seen so far.
    lead: i64,
    headers: Headers,
    /// Packets of the stream that were read while probing.
    replay: VecDeque<Packet>,
    /// The one packet of a stream that is a cover picture: FFmpeg hands it out once, however the file is entered.
    cover: Option<Packet>,
    /// Packets that wait for a pts.
    waiting: VecDeque<(Packet, PacketHead)>,
    /// See `source::Opened`.
    replaced: Arc<AtomicBool>,
    /// Packets of the stream read so far.
    pub packets_read: u64,
    pub seeks: u64,
}

/// What reading everything told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// The end of the last shown packet on the stream's clock; none without pts.
    pub end_pts: Option<i64>,
    /// Shown pictures.
    pub pictures: u64,
}

impl Reader {
    /// Over the chosen stream of an open container; every other stream is thrown away in the demuxer.
    /// `replay` holds packets of the stream that were already taken out.
    pub fn new(
        mut input: Input,
        stream: usize,
        time_base: TimeBase,
        headers: Headers,
        replay: VecDeque<Packet>,
        replaced: Arc<AtomicBool>,
    ) -> Reader {
        // SAFETY: the streams live as long as the input; `discard` may be set at any time.
        unsafe {
            let context = input.as_mut_ptr();
            for i in 0..(*context).nb_streams as usize {
                if i != stream {
                    (**(*context).streams.add(i)).discard = ffi::AVDiscard::AVDISCARD_ALL;
                }
            }
        }
        let cover = cover(&input, stream);
        let replay = if let Some(cover) = &cover { VecDeque::from([cover.clone()]) } else { replay };
        let mut reader = Reader {
            input,
            stream,
            time_base,
            entry: Entry::Walk,
            index_by_dts: true,
            lead: 0,
            headers,
            replay,
            cover,
            waiting: VecDeque::new(),
            replaced,
            packets_read: 0,
            seeks: 0,
        };
        reader.entry = reader.find_entry();
        reader
    }

    fn find_entry(&mut self) -> Entry {
        let name = self.input.format().name().to_owned();
        if name.starts_with("mpegts") || name == "mpeg" {
            // What these collect while seeking are positions, not key frames.
            return Entry::Guess;
        }
        if name.starts_with("matroska") {
            self.index_by_dts = false;
            self.read_cues();
        }
        if self.index_entries() >= 2 { Entry::Index } else { Entry::Walk }
    }

    /// Matroska reads its cues with the first seek. Without cues the index grows while reading, and the way
    /// ahead is unknown until it was read.
    fn read_cues(&mut self) {
        let start = self.first_time();
        // SAFETY: the input is open; afterwards it stands at its first packet, so the replay is read again.
        let code = unsafe {
            let flags = ffi::AVSEEK_FLAG_BACKWARD;
            ffi::av_seek_frame(self.input.as_mut_ptr(), self.stream as i32, start, flags)
        };
        if code >= 0 && self.cover.is_none() {
            self.replay.clear();
        }
    }

    fn index_entries(&self) -> i32 {
        // SAFETY: the stream lives as long as the input.
        unsafe { ffi::avformat_index_get_entries_count(self.raw_stream()) }
    }

    unsafe fn raw_stream(&self) -> *mut ffi::AVStream {
        // SAFETY: `stream` is an index that this input has.
        unsafe { *(*self.input.as_ptr()).streams.add(self.stream) }
    }

    /// Key frames in the container's index.
    pub fn key_frames(&self) -> Option<u64> {
        if self.entry != Entry::Index {
            return None;
        }
        // SAFETY: entries are read only between 0 and their count.
        let keys = unsafe {
            let stream = self.raw_stream();
            (0..ffi::avformat_index_get_entries_count(stream))
                .map(|i| ffi::avformat_index_get_entry(stream, i))
                .filter(|e| !e.is_null() && (**e).flags() & ffi::AVINDEX_KEYFRAME != 0)
                .count()
        };
        Some(keys as u64)
    }

    /// See `capture::plan`: the most pictures shown out of decode order.
    pub fn reorder(&self) -> usize {
        self.headers.reorder()
    }

    /// False when only a linear walk is safe for this codec.
    pub fn can_plan(&self) -> bool {
        self.headers.can_plan()
    }

    /// What the container knows of the way to `pts`.
    pub fn ahead(&self, pts: i64) -> Ahead {
        match self.entry {
            Entry::Walk => Ahead::Unknown,
            Entry::Guess => Ahead::Far(Seconds::of_ms(FAR_SECONDS * 1000).floor_pts(self.time_base)),
            // SAFETY: the entry is read before anything else is done with the index.
            Entry::Index => unsafe {
                let (mut at, flags) = (self.in_index(pts), ffi::AVSEEK_FLAG_BACKWARD);
                loop {
                    let entry = ffi::avformat_index_get_entry_from_timestamp(self.raw_stream(), at, flags);
                    match entry.as_ref() {
                        None => return Ahead::Unknown,
                        // FLV's mark of the end of a sequence counts as a key frame.
                        Some(entry) if (1..=EMPTY_TAG_BYTES).contains(&entry.size()) => {
                            at = entry.timestamp - 1
                        }
                        Some(entry) => return Ahead::Key(entry.timestamp),
                    }
                }
            },
        }
    }

    /// Where the index is asked for `pts`: a key frame decoded before it, but shown after it, is no use.
    fn in_index(&self, pts: i64) -> i64 {
        if self.index_by_dts { pts.saturating_sub(self.lead) } else { pts }
    }

    /// The next packet of the stream and its head; none at the end.
    ///
    /// # Errors
    /// `Io` when the file cannot be read, `Replaced` when it is no longer what was opened, `Unsupported` where it is
    /// encrypted.
    // It borrows the reader and may fail: no iterator.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<(Packet, PacketHead)>, Failure> {
        // Without an index: AVI's times are no times, there frames are counted.
        if self.entry != Entry::Guess || !self.headers.shows_at_next_anchor() {
            return self.read();
        }
        while self.waiting.front().is_none_or(|(_, head)| head.pts.is_none() && head.dts.is_some()) {
            let next = self.read()?;
            fill_in(&mut self.waiting, next.as_ref().map(|(_, head)| head));
            let Some(next) = next else { break };
            self.waiting.push_back(next);
        }
        Ok(self.waiting.pop_front())
    }

    fn read(&mut self) -> Result<Option<(Packet, PacketHead)>, Failure> {
        let Some(packet) = self.next_packet()? else { return Ok(None) };
        self.packets_read += 1;
        encrypted::refuse_packet(&packet, Stage::Decode)?;
        let flags = packet.flags();
        if let Some((pts, dts)) = packet.pts().zip(packet.dts()) {
            self.lead = self.lead.max(pts.saturating_sub(dts));
        }
        let hidden = is_hidden(&packet);
        let side = packet.side_data().find(|side| side.kind() == SideData::MatroskaBlockAdditional);
        let beside = side.as_ref().map(packet::SideData::data);
        let key = flags.contains(packet::Flags::KEY);
        let (header, coded) = self.headers.read(packet.data().unwrap_or(&[]), beside, key, hidden);
        let head = PacketHead {
            pts: packet.pts(),
            dts: packet.dts(),
            duration: packet.duration().max(0),
            size: u32::try_from(packet.size()).unwrap_or(u32::MAX),
            header,
            coded,
        };
        Ok(Some((packet, head)))
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, Failure> {
        if let Some(packet) = self.replay.pop_front() {
            return Ok(Some(packet));
        }
        if self.cover.is_some() {
            return Ok(None);
        }
        let mut broken = 0;
        loop {
            let mut packet = Packet::empty();
            let read = packet.read(&mut self.input);
            if self.replaced.load(Ordering::Relaxed) {
                let text = "the file was written over while it was read";
                return Err(Failure::new(FailCode::Replaced, Stage::Decode, text));
            }
            match read {
                Ok(()) if packet.stream() == self.stream => return Ok(Some(packet)),
                Ok(()) => {}
                Err(Error::Eof) => return Ok(None),
                Err(Error::Other { errno }) if errno == libc::EAGAIN => {}
                Err(Error::Other { errno }) if errno == libc::EIO => {
                    return Err(Failure::new(FailCode::Io, Stage::Decode, "the file cannot be read"));
                }
                // A damaged stretch: go on behind it, but not for ever.
                Err(_) if broken < BROKEN_MAX => broken += 1,
                Err(_) => return Ok(None),
            }
        }
    }

    /// Moves to the container's idea of `pts`. True when that is the stream's first packet for sure.
    pub fn seek(&mut self, pts: i64) -> bool {
        if self.entry == Entry::Walk || pts <= self.first_time() {
            self.seek_start();
            return true;
        }
        self.moved();
        let at = self.in_index(pts);
        // SAFETY: the input is open.
        let code = unsafe {
            let flags = ffi::AVSEEK_FLAG_BACKWARD;
            ffi::av_seek_frame(self.input.as_mut_ptr(), self.stream as i32, at, flags)
        };
        if code < 0 {
            self.seek_start();
        }
        code < 0
    }

    /// Moves to the stream's first packet.
    pub fn seek_start(&mut self) {
        self.moved();
        let first = self.first_time();
        // SAFETY: the input is open; a container that refuses one way is asked another.
        unsafe {
            let context = self.input.as_mut_ptr();
            let backward = ffi::AVSEEK_FLAG_BACKWARD;
            let to_first_byte = || ffi::av_seek_frame(context, -1, 0, ffi::AVSEEK_FLAG_BYTE) >= 0;
            // A transport stream begins at its first byte, whatever its clock says there; a raw stream knows no
            // times at all. Any other container must be told a time, or its parser stands in the wrong place.
            if self.entry == Entry::Guess && to_first_byte() {
                return;
            }
            let by_time = ffi::av_seek_frame(context, self.stream as i32, first, backward) >= 0;
            if !by_time && !to_first_byte() {
                ffi::avformat_seek_file(context, self.stream as i32, i64::MIN, first, i64::MAX, 0);
            }
        }
    }

    fn moved(&mut self) {
        self.seeks += 1;
        self.replay.clear();
        self.replay.extend(self.cover.clone());
        self.waiting.clear();
        self.headers.restart();
    }

    /// The smallest time that the index or the stream's start knows.
    pub fn first_time(&self) -> i64 {
        // SAFETY: the stream lives as long as the input; entry 0 is read only when there is one.
        unsafe {
            let stream = self.raw_stream();
            let start = Some((*stream).start_time).filter(|t| *t != ffi::AV_NOPTS_VALUE);
            let entry = if ffi::avformat_index_get_entries_count(stream) > 0 {
                let entry = ffi::avformat_index_get_entry(stream, 0);
                (!entry.is_null()).then(|| (*entry).timestamp)
            } else {
                None
            };
            start.into_iter().chain(entry).min().unwrap_or(0)
        }
    }

    /// Reads everything once without decoding, and goes back to the beginning.
    ///
    /// # Errors
    /// `Io`.
    pub fn scan(&mut self) -> Result<Scan, Failure> {
        let mut scan = Scan::default();
        while let Some((_, head)) = self.next()? {
            if head.header.hidden || !head.header.field.is_picture() {
                continue;
            }
            scan.pictures += 1;
            if let Some(pts) = head.pts {
                let end = pts.saturating_add(head.duration.max(1));
                scan.end_pts = Some(scan.end_pts.map_or(end, |e| e.max(end)));
            }
        }
        self.seek_start();
        Ok(scan)
    }
}

/// Does an edit list hide this packet's picture? The bindings' own flags leave that bit out.
pub(super) fn is_hidden(packet: &Packet) -> bool {
    use ffmpeg_next::packet::Ref;
    // SAFETY: the packet is alive for the call.
    unsafe { (*packet.as_ptr()).flags & ffi::AV_PKT_FLAG_DISCARD != 0 }
}

/// The packet of a stream that is nothing but a picture at the file's side.
fn cover(input: &Input, stream: usize) -> Option<Packet> {
    let stream = input.stream(stream)?;
    if stream.disposition().bits() & ffi::AV_DISPOSITION_ATTACHED_PIC == 0 {
        return None;
    }
    // SAFETY: the packet belongs to the stream, which lives for the call; what comes out is a reference of our own.
    let cover = unsafe {
        let mut cover = Packet::empty();
        let code = ffi::av_packet_ref(cover.as_mut_ptr(), &raw const (*stream.as_ptr()).attached_pic);
        (code >= 0).then_some(cover)
    }?;
    (cover.size() > 0).then_some(cover)
}

/// Program streams tell only some times. In MPEG-1/2 a B picture is shown when it is decoded, any other when the
/// next other one is decoded: `next` is the head that follows `waiting`, none at the end.
fn fill_in(waiting: &mut VecDeque<(Packet, PacketHead)>, next: Option<&PacketHead>) {
    let is_b = |head: &PacketHead| head.header.need == Need::Target;
    let time = match next {
        Some(next) if is_b(next) => None,
        Some(next) => next.dts,
        None => waiting.back().and_then(|(_, last)| Some(last.dts?.saturating_add(last.duration.max(1)))),
    };
    for (_, head) in waiting.iter_mut().filter(|(_, head)| head.pts.is_none()) {
        head.pts = if is_b(head) { head.dts } else { time };
    }
}
