//! The coded pictures of a packet, as far as telling who may refer to whom needs them. *Pure.*
//!
//! Owns the plain facts of slice and frame headers. Never interprets them: `engine/capture/references` does.

mod h264;
mod hevc;

use std::sync::Arc;

pub use h264::{H264Change, H264Lists, H264Mark, H264Order, H264Picture, H264Sequence};
pub use hevc::{HevcPicture, HevcPoc, HevcReference};

/// What a packet's headers tell of references. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Coded {
    /// Nothing: only the codec's own rule (`Need`) holds.
    #[default]
    Unknown,
    /// A temporal unit: its frames, hidden ones included, in decode order.
    Av1(Arc<[Av1Frame]>),
    /// A picture of HEVC.
    Hevc(Arc<HevcPicture>),
    /// One coded frame.
    H264(Arc<H264Picture>),
}

impl Coded {
    /// Coded pictures in the packet: one where nothing is told. To show one of before is to code none.
    pub fn pictures(&self) -> usize {
        match self {
            Coded::Unknown | Coded::Hevc(_) | Coded::H264(_) => 1,
            Coded::Av1(frames) => frames.iter().filter(|frame| frame.shows.is_none()).count(),
        }
    }
}

/// A frame of AV1, or the header that shows one of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Av1Frame {
    /// Where its units (header, tile groups) lie in the packet, bytes.
    pub from: u32,
    pub to: u32,
    /// A frame of before is shown (show_existing_frame): its slot. Nothing is decoded.
    pub shows: Option<u8>,
    /// Slots that it may read (ref_frame_idx), a bit each; all of them where they are told by order hints alone.
    pub reads: u8,
    /// Slots that it fills (refresh_frame_flags), a bit each.
    pub fills: u8,
    /// It is shown where it stands.
    pub shown: bool,
}

/// Why the reference closure of a run cannot be told, so that the codec's own rule decides what is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unfit {
    /// The headers tell no references: the codec's are not read, or the stream has layers.
    NotTold,
    /// Some packet in the middle of the run was not understood.
    NotUnderstood,
    /// A picture refers to one that is not in the run.
    NotThere,
    /// Something in the run turns the decoder's state over: the end of a sequence, a splice, a discard.
    Turned,
    /// The decoder's buffer would not hold the stand-ins for what is left out.
    Crowded,
    /// The decoder would not find the same pictures with some left out.
    Differs,
}

impl Unfit {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Unfit; 6] = [
        Unfit::NotTold,
        Unfit::NotUnderstood,
        Unfit::NotThere,
        Unfit::Turned,
        Unfit::Crowded,
        Unfit::Differs,
    ];

    /// The word in reports and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Unfit::NotTold => "not_told",
            Unfit::NotUnderstood => "not_understood",
            Unfit::NotThere => "reference_not_there",
            Unfit::Turned => "state_turned_over",
            Unfit::Crowded => "buffer_crowded",
            Unfit::Differs => "decoder_differs",
        }
    }
}
