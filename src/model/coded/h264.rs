//! What the slice headers of an H.264 picture say of references (H.264, 7.3.3). *Pure.*
//!
//! Owns the facts, as they are written. Never resolves a number into a picture.

use std::sync::Arc;

/// A coded frame. Fields are never told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264Picture {
    /// Its sequence parameter set.
    pub sequence: Arc<H264Sequence>,
    pub idr: bool,
    /// What waits to be shown is to be thrown away (no_output_of_prior_pics_flag).
    pub discards: bool,
    /// nal_ref_idc is not 0: others may refer to it.
    pub reference: bool,
    /// The packet brings parameter sets unlike those before: without it what follows is misread.
    pub brings_sets: bool,
    pub frame_num: i32,
    /// pic_order_cnt_lsb.
    pub order_lsb: i32,
    /// delta_pic_order_cnt_bottom.
    pub order_bottom: i32,
    /// delta_pic_order_cnt.
    pub order_delta: [i32; 2],
    /// Memory management control operations; none: the window slides.
    pub marking: Option<Box<[H264Mark]>>,
    /// The reference lists of its slices, each kind once, in the order of their appearance.
    pub lists: Box<[H264Lists]>,
}

/// What a sequence parameter set says of references (H.264, 7.4.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264Sequence {
    /// frame_num counts modulo 2 to this.
    pub frame_num_bits: u32,
    pub order: H264Order,
    /// max_num_ref_frames.
    pub references_max: i32,
    /// gaps_in_frame_num_value_allowed_flag.
    pub gaps_allowed: bool,
    /// Width and height in macroblocks, chroma format, bit depths: pictures unlike in these do not mix.
    pub format: [u32; 5],
}

/// How the picture order count is told (pic_order_cnt_type).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum H264Order {
    /// Its lowest bits stand in the slice header: that many.
    Lsb { bits: u32 },
    /// It follows a cycle over the reference pictures (offset_for_ref_frame).
    Cycle { offsets: Box<[i32]>, non_reference: i32, bottom: i32 },
    /// It is the decode order.
    Decode,
}

/// A memory management control operation (H.264, 7.4.3.3). Numbers as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H264Mark {
    /// 1: difference_of_pic_nums_minus1.
    ShortUnused(u32),
    /// 2: long_term_pic_num.
    LongUnused(u32),
    /// 3: difference_of_pic_nums_minus1 and long_term_frame_idx.
    ShortToLong(u32, u32),
    /// 4: max_long_term_frame_idx_plus1.
    LongMax(u32),
    /// 5.
    Reset,
    /// 6: long_term_frame_idx.
    Long(u32),
}

/// The reference lists of a P or B slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct H264Lists {
    /// A B slice: both lists, in order of the picture order count.
    pub both: bool,
    /// Direct prediction scales vectors by picture order counts (direct_spatial_mv_pred_flag is 0).
    pub temporal: bool,
    /// Weights follow from picture order counts (weighted_bipred_idc is 2).
    pub implicit: bool,
    /// Active entries of each list.
    pub active: [u8; 2],
    /// ref_pic_list_modification of each list.
    pub changes: [Box<[H264Change]>; 2],
}

/// A step of list modification (H.264, 7.4.3.1). Numbers as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H264Change {
    /// abs_diff_pic_num_minus1, to be subtracted.
    Back(u32),
    /// abs_diff_pic_num_minus1, to be added.
    On(u32),
    /// long_term_pic_num.
    Long(u32),
}
