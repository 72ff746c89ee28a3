//! What runs in a worker process: blocking, owns all C code.
//!
//! Owns decoding, scaling and encoding. Never knows jobs, names, stores or sockets: it is handed a
//! `VideoBatch` and a `Deliver`, and says how it ended.

pub mod capture;
mod damage;
pub mod decode;
pub mod develop;
pub mod device;
pub mod encode;
pub mod geometry;
pub mod guard;
pub mod hall;
pub mod ledger;
pub mod linear;
pub mod media;
mod offer;
pub mod payload;
pub mod picture;
pub mod road;
pub mod run;
pub mod walk;
pub mod wishes;
