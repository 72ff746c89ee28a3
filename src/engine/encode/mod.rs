//! From pictures to what is delivered: JPEG bytes, and the sheets that cells are painted into.
//!
//! Owns the encoder and the geometry of sheets. Never knows frames or where an image goes.

pub mod compose;
pub mod jpeg;
pub mod sprite;
