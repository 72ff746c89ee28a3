//! Packet heads in, seek runs out: what must be decoded for the wanted instants.
//!
//! Everything in here is *pure*. It never sees payload, pixels or FFmpeg; the spine feeds it heads.

pub mod backend;
pub mod closure;
pub mod cost;
pub mod entrance;
pub mod plan;
pub mod points;
pub mod references;
pub mod rule;
pub mod steps;
pub mod tolerance;
