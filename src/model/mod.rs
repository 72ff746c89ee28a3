//! The vocabulary of both houses: plain data with public fields, std only, *pure*.
//!
//! Owns the words (video, job, point, picture, sheet) and the exact arithmetic of media time.
//! Never does IO, never knows a wire format, a row format or a pixel.

pub mod coded;
pub mod delivery;
pub mod device;
pub mod event;
pub mod ids;
pub mod job;
pub mod limits;
pub mod media;
pub mod naming;
pub mod snapshot;
pub mod spec;
pub mod time;
