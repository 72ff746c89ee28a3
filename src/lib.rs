//! stillframe takes still pictures out of video.
//!
//! Two houses and a bridge:
//!
//! ```text
//! request -> SnapshotSpec -> Job -> VideoBatch ==> SeekRun -> Picture -> EncodedImage ==> StoredSnapshot -> Event
//!  service/api          service/batch         |     engine/capture, media, encode      |     service/publish
//!                                           worker                                   worker
//! ```
//!
//! | module | what it is | its spine |
//! |---|---|---|
//! | [`service`] | the daemon: async, safe Rust, never touches a byte of a video | `service/pipeline.rs`: one batch from claim to commit |
//! | [`engine`] | what decodes: blocking, owns all C code | `engine/run.rs`: one batch from open file to encoded images |
//! | [`worker`] | the bridge: processes and messages | `worker/pool.rs` on the daemon's side, `worker/zygote.rs` on the other |
//! | [`model`] | the words of both houses: plain data, std only | |
//! | [`cli`] | one file a command; the only place that sees both houses | |
//!
//! # Invariants
//!
//! - `service` and `engine` never import each other; `cli` hands `engine::run` to the bridge as a function.
//! - A stage never imports another stage; the spine calls them. Fences return facts, spines count and log.
//! - `model` and every file whose header says *pure* know no clock, file, socket, database, pixel library or log.
//! - FFmpeg and zimg names live in `engine/media`, SQL in `service/store`, metric names in
//!   `service/telemetry/metrics.rs`, `unsafe` in `engine/media` and `worker`. `tests/tidy.rs` holds all of this.
//! - The 200 leaves after the commit. A job commits by itself. What was delivered stays; what is missing is
//!   again a `VideoBatch`.

// They panic when nobody reads any more; `cli::say` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod engine;
pub mod model;
pub mod service;
pub mod worker;
