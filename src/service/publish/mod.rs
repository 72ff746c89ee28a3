//! Images in, durable result and event out.
//!
//! Owns the last part of a job's road: ordinals, the one commit, and the callbacks that tell of it.
//! Never knows how an image was made.

pub mod callback;
pub mod commit;
pub mod guard;
pub mod notifier;
pub mod payload;
pub mod retry;
pub mod sweep;
mod turns;
pub mod user_data;
