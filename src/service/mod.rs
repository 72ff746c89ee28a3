//! The daemon: async, safe Rust, never touches a byte of a video.
//!
//! Owns the API, the queue, the published files and the callbacks.
//! Never decodes: it hands a `VideoBatch` and a descriptor to the bridge.

pub mod admin;
pub mod api;
pub mod batch;
pub mod clock;
pub mod daemon;
pub mod devices;
pub mod objects;
pub mod picture;
pub mod pipeline;
pub mod probe;
pub mod publish;
pub mod result;
pub mod settings;
pub mod stop;
pub mod store;
pub mod telemetry;
