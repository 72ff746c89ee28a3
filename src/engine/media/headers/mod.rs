//! Turns a packet's payload into a plain `FrameHeader`: may a run start here, who may leave it out.
//!
//! Owns the choice of parser a codec. Never keeps payload, never decodes a pixel.

mod field;
mod h264;
mod hevc;
mod hevc_sets;
mod modern;
pub(super) mod nal;

use ffmpeg_next::codec::Id;
use ffmpeg_next::codec::Parameters;

use crate::model::coded::Coded;
use crate::model::media::{Field, FrameHeader, Need, Start};

/// A recovery that takes longer is not worth waiting for.
const RECOVERY_FRAMES_MAX: u32 = 512;

/// Reads the headers of one stream, packet after packet.
pub struct Headers {
    kind: Kind,
    /// The container's key flag may stand for a recovery point that the stream does not announce.
    trusts_key_flags: bool,
    /// Opacity is a stream of its own beside each packet (VP9 in WebM), says the container; browsers say so of
    /// recordings that have none.
    alpha: bool,
    /// There was some.
    has_alpha: bool,
    fields: Option<field::FieldParser>,
}

enum Kind {
    H264 {
        length_bytes: usize,
        parser: Box<h264::Parser>,
    },
    Hevc(Box<hevc::Hevc>),
    Mpeg12,
    Mpeg4,
    Vp8,
    Vp9(Box<modern::Vp9>),
    Av1(Box<modern::Av1>),
    /// Every packet stands alone.
    Intra,
    /// Nothing is known: only a linear walk is safe.
    Unknown,
}

impl Headers {
    /// For a stream with these parameters. `indexed_container`: MP4 or Matroska, whose key flags are deliberate.
    /// `alpha`: each packet has a second one of opacity at its side.
    pub fn new(parameters: &Parameters, extradata: &[u8], indexed_container: bool, alpha: bool) -> Headers {
        let kind = match parameters.id() {
            Id::H264 => {
                let length_bytes = nal::h264_length_bytes(extradata);
                Kind::H264 { length_bytes, parser: Box::new(h264::Parser::new(extradata, length_bytes)) }
            }
            Id::HEVC => Kind::Hevc(Box::new(hevc::Hevc::new(extradata, hevc::marks_gaps()))),
            Id::MPEG1VIDEO | Id::MPEG2VIDEO => Kind::Mpeg12,
            Id::MPEG4 => Kind::Mpeg4,
            Id::VP8 => Kind::Vp8,
            Id::VP9 => Kind::Vp9(Box::new(modern::Vp9::new())),
            Id::AV1 => Kind::Av1(Box::new(modern::Av1::new(extradata))),
            Id::MJPEG | Id::PRORES | Id::DVVIDEO | Id::DNXHD => Kind::Intra,
            _ => Kind::Unknown,
        };
        let fields = match kind {
            Kind::H264 { length_bytes, .. } if nal::h264_may_have_fields(extradata, length_bytes) => {
                field::FieldParser::new(parameters)
            }
            _ => None,
        };
        Headers { kind, trusts_key_flags: indexed_container, alpha, has_alpha: false, fields }
    }

    /// False when runs cannot be planned for this codec.
    pub fn can_plan(&self) -> bool {
        !matches!(self.kind, Kind::Unknown)
    }

    /// The most pictures that are decoded before and shown after any other (PERFORMANCE T1), in packets.
    pub fn reorder(&self) -> usize {
        match self.kind {
            Kind::H264 { .. } if self.fields.is_some() => 33,
            Kind::H264 { .. } | Kind::Hevc(_) => 16,
            Kind::Mpeg12 | Kind::Mpeg4 => 1,
            _ => 0,
        }
    }

    /// True where the time of a picture without one can be told from the decoding times (MPEG-1/2).
    pub fn shows_at_next_anchor(&self) -> bool {
        matches!(self.kind, Kind::Mpeg12)
    }

    /// After a seek: nothing of the packets before holds.
    pub fn restart(&mut self) {
        if let Some(fields) = &mut self.fields {
            fields.restart();
        }
        match &mut self.kind {
            Kind::H264 { parser, .. } => parser.restart(),
            Kind::Hevc(parser) => parser.restart(),
            _ => {}
        }
    }

    /// Reads one packet. `beside` is what the container puts at its side; `key` and `hidden` are its flags.
    pub fn read(
        &mut self,
        data: &[u8],
        beside: Option<&[u8]>,
        key: bool,
        hidden: bool,
    ) -> (FrameHeader, Coded) {
        let mut coded = Coded::Unknown;
        let mut header = FrameHeader {
            start: Start::No,
            key,
            hidden,
            need: Need::Always,
            field: Field::Frame,
            resilient: false,
        };
        match &mut self.kind {
            Kind::H264 { length_bytes, parser } => {
                coded = parser.read(data);
                let facts = nal::h264(data, *length_bytes);
                header.start = match (facts.idr, facts.recovery_frames) {
                    (true, _) => Start::Clean,
                    (false, Some(0)) if facts.intra_only || key => Start::Open,
                    (false, Some(frames)) if frames == 0 || frames > RECOVERY_FRAMES_MAX => Start::No,
                    (false, Some(frames)) => Start::After(frames),
                    (false, None) if key && self.trusts_key_flags => Start::Open,
                    (false, None) => Start::No,
                };
                if facts.disposable {
                    header.need = Need::Target;
                }
                if nal::has_no_picture(data, *length_bytes, false) {
                    (header.field, header.start) = (Field::Nothing, Start::No);
                } else if let Some(fields) = &mut self.fields {
                    header.field = fields.read(data);
                    if header.field == Field::Second {
                        header.start = Start::No;
                    }
                }
            }
            Kind::Hevc(parser) => coded = parser.read(data, &mut header),
            Kind::Mpeg12 => {
                let facts = nal::mpeg12(data);
                header.start = if facts.intra { Start::Open } else { Start::No };
                if facts.bidirectional {
                    header.need = Need::Target;
                }
            }
            Kind::Mpeg4 => {
                let facts = nal::mpeg4(data);
                header.start = if facts.intra { Start::Open } else { Start::No };
                if facts.bidirectional {
                    header.need = Need::Target;
                }
            }
            Kind::Vp8 => {
                if data.first().is_some_and(|byte| byte & 1 == 0) {
                    header.start = Start::Clean;
                }
            }
            Kind::Vp9(parser) => {
                parser.read(data, &mut header);
                self.has_alpha |= self.alpha && beside.is_some();
                if self.has_alpha {
                    // The opacity has references of its own, which nothing here follows.
                    header.need = Need::Always;
                    if !beside.is_some_and(modern::is_vp9_alpha_key) {
                        header.start = Start::No;
                    }
                }
            }
            Kind::Av1(parser) => coded = parser.read(data, &mut header),
            Kind::Intra => {
                header.start = Start::Clean;
                header.need = Need::Target;
            }
            Kind::Unknown => {}
        }
        (header, coded)
    }
}
