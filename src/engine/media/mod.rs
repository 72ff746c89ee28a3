//! The fence around FFmpeg and zimg: what goes in is a file, what comes out is plain data and pictures.
//!
//! Owns every name of the C libraries. Never knows jobs or sheets.

pub mod colour;
pub mod convert;
mod formats;
pub mod look;
mod pass;
mod scale;
mod tonemap;
mod unpack;
mod zimg;

pub use super::geometry;
