//! The fence around FFmpeg and zimg: everything that touches C for video.
//!
//! Owns demuxing, decoding and the road from a frame to a picture. Returns facts; the spine counts and logs.

pub mod caps;
mod coding;
pub mod colour;
pub mod convert;
pub mod decoder;
mod encrypted;
pub mod facts;
pub mod fingerprint;
mod formats;
pub mod headers;
pub mod hwaccel;
mod layout;
pub mod log;
pub mod look;
mod pass;
pub mod probe;
pub mod proof;
pub mod reader;
mod scale;
pub mod source;
mod tonemap;
pub mod trouble;
mod unpack;
mod zimg;

pub use super::geometry;

/// What the spine carries from one part of this fence to another, without looking inside.
pub use ffmpeg_next::Packet;
pub use ffmpeg_next::frame::Video as Frame;
