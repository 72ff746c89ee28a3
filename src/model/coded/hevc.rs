//! What HEVC slice headers tell of references. *Pure.*
//!
//! Owns the plain facts of a picture. Never resolves a picture order count: `engine/capture/references` does.

/// A picture of HEVC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HevcPicture {
    /// nal_unit_type of its slices.
    pub kind: u8,
    pub temporal_id: u8,
    /// slice_pic_order_cnt_lsb, and the bits that it has.
    pub lsb: u32,
    pub lsb_bits: u8,
    /// Its reference picture set: what stays in the buffer, for it or for later pictures.
    pub keeps: Box<[HevcReference]>,
    /// How many pictures may wait to be shown (sps_max_num_reorder_pics).
    pub waits: u8,
    /// Parameter sets come with it that were not known before.
    pub brings_sets: bool,
    /// Its packet ends a sequence (EOS, EOB).
    pub ends: bool,
    /// It is to be shown (pic_output_flag).
    pub is_shown: bool,
    /// What waits to be shown is to be thrown away (no_output_of_prior_pics_flag).
    pub discards: bool,
}

/// An entry of a reference picture set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HevcReference {
    pub picture: HevcPoc,
    pub long_term: bool,
    /// It is in an active list of some slice; else it only stays.
    pub is_read: bool,
}

/// How an entry names its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HevcPoc {
    /// Picture order count less that of the picture whose set it is.
    Delta(i64),
    /// The low bits of the picture order count.
    Lsb(u32),
}
