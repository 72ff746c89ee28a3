//! RPC text in, a job row out, RPC text back.
//!
//! Owns the wire of the ApsaraVideo VOD API: parameters, signatures, answers, and the pictures below the base URL.
//! Never decodes, plans or publishes; what it accepts is durable before it answers.

pub mod action;
mod auth;
mod callback_settings;
pub mod color;
pub mod error;
pub mod job_json;
mod jobs;
pub mod json;
mod limiter;
pub mod metadata;
pub mod params;
mod pictures;
pub mod request;
pub mod response;
mod rpc;
pub mod server;
pub mod signature;
mod snapshots;
pub mod spec;
pub mod sprite;
mod stall;
mod submit;
pub mod time;
pub mod user_data;
mod videos;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::clock::Clock;
use super::objects::{MediaRoots, ObjectStore};
use super::settings::Settings;
use super::store::Store;
use super::store::rows::Video;

/// All that the API needs of the daemon.
#[derive(Debug)]
pub struct ApiContext {
    pub store: Store,
    pub objects: ObjectStore,
    pub roots: MediaRoots,
    /// A request keeps the value that it began with.
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Clock,
    /// Told after every durable submission; wakes the scheduler.
    pub submitted: Arc<Notify>,
    pub probes: mpsc::Sender<ProbeRequest>,
    /// `http://host[:port]` in front of object keys, without a trailing slash.
    pub base_url: String,
    /// True while the disk is too full to accept jobs.
    pub disk: Arc<AtomicBool>,
}

/// Asks for a video's duration.
#[derive(Debug)]
pub struct ProbeRequest {
    pub video: Video,
    /// Told when the row has been updated, or when nothing could be found out.
    pub done: Option<oneshot::Sender<()>>,
}
