//! What is known about a medium and its packets, as plain data. *Pure.*
//!
//! Owns the facts that leave the FFmpeg fence. Never holds payload or pixels.

use super::coded::Coded;
use super::time::{Seconds, TimeBase};

/// What opening and probing told about a video's medium; the `media` object of `grab --json`.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaFacts {
    /// Short demuxer name: `mov`, `matroska`, `mpegts`...
    pub container: String,
    /// Index of the chosen video stream.
    pub stream: u32,
    /// FFmpeg's codec name: `h264`, `hevc`...
    pub codec: String,
    /// Coded size after the coded crop, pixels.
    pub width: u32,
    pub height: u32,
    /// Size as shown: after sample aspect ratio and rotation.
    pub display_width: u32,
    pub display_height: u32,
    /// Clockwise quarter turns in degrees: 0, 90, 180, 270.
    pub rotation: u32,
    /// Sample aspect ratio, 1:1 when unknown.
    pub sar: (u32, u32),
    /// D: the end of the last shown thing, ms after time 0; none when only a scan would tell.
    pub duration_ms: Option<i64>,
    /// The stream's pts at time 0 (time 0 is the container's start), rounded down.
    pub start_pts: i64,
    pub time_base: TimeBase,
    /// Key frames in the container's index; none without an index.
    pub key_frames: Option<u64>,
    pub hdr: Hdr,
}

/// The transfer that needs a tone map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hdr {
    #[default]
    None,
    Pq,
    Hlg,
}

impl Hdr {
    /// The word in `media.hdr`.
    pub fn name(self) -> &'static str {
        match self {
            Hdr::None => "none",
            Hdr::Pq => "pq",
            Hdr::Hlg => "hlg",
        }
    }
}

/// Where a frame is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    #[default]
    Cpu,
    Cuda,
    Vaapi,
}

impl Backend {
    /// Every backend.
    pub const ALL: [Backend; 3] = [Backend::Cpu, Backend::Cuda, Backend::Vaapi];

    /// The inverse of `name`.
    pub fn parse(text: &str) -> Option<Backend> {
        Backend::ALL.into_iter().find(|backend| backend.name() == text)
    }

    /// The word in JSON and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Cpu => "cpu",
            Backend::Cuda => "cuda",
            Backend::Vaapi => "vaapi",
        }
    }
}

/// The timeline of the chosen stream: all that resolving points needs.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Time 0 on the stream's clock.
    pub origin: Seconds,
    pub time_base: TimeBase,
    /// D, or none when only a scan would tell.
    pub duration: Option<Seconds>,
}

/// One packet without its payload, as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketHead {
    /// Presentation time in stream time base; none where the container has none.
    pub pts: Option<i64>,
    pub dts: Option<i64>,
    /// Display length in stream time base, 0 when unknown.
    pub duration: i64,
    /// Payload bytes.
    pub size: u32,
    pub header: FrameHeader,
    pub coded: Coded,
}

impl PacketHead {
    /// Coded pictures in the packet; the second field of one belongs to the packet before.
    pub fn pictures(&self) -> usize {
        if self.header.field.is_picture() { self.coded.pictures() } else { 0 }
    }
}

/// What the codec's own headers say about a packet (PERFORMANCE rules S2, C, T3, T4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// May a decode run start here?
    pub start: Start,
    /// Flagged as key by the container or the parser.
    pub key: bool,
    /// True when an edit list hides it: sent to the decoder, never a target.
    pub hidden: bool,
    /// Who may leave this packet out.
    pub need: Need,
    /// Place in a field pair.
    pub field: Field,
    /// VP9: takes nothing but references from the frame before it.
    pub resilient: bool,
}

/// Usable starts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing can begin here.
    No,
    /// IDR (AV1, VP9: key frame): the decoder needs no reset in front of it.
    Clean,
    /// A recovery point or CRA: usable after a reset; leading pictures belong to the run before.
    Open,
    /// A recovery point that is exact only from so many frames on.
    After(u32),
}

/// What may be lost when a packet is left out (PERFORMANCE 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Something after it may refer to it.
    Always,
    /// Nothing refers to it: only wanted as a target.
    Target,
    /// HEVC: wanted by targets of a higher temporal layer, or of the same one unless `sub_layer_non_reference`.
    Layer { temporal_id: u8, sub_layer_non_reference: bool },
    /// VP9: nothing refers to it, and the frame after it carries nothing over from it.
    TargetIfNextIsResilient,
}

/// Field pairs (H.264 PAFF): one picture in two packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Frame,
    First,
    Second,
    /// No picture at all: messages or parameter sets in a packet of their own.
    Nothing,
}

impl Field {
    /// Does a picture begin here, which comes out for itself?
    pub fn is_picture(self) -> bool {
        matches!(self, Field::Frame | Field::First)
    }
}

/// What the container knows about the way ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// The index entry of the last key frame at or before the instant, as pts or dts.
    Key(i64),
    /// No index, but seeking works; instants further than this many pts ahead are worth one.
    Far(i64),
    /// Seeking is no better than reading.
    Unknown,
}
