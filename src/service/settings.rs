//! The configuration: one immutable value, from flags, environment, file and defaults.
//!
//! Owns names, defaults and checks of every key. Never reads a secret: keys live in the store.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be set. Sections are the tables of the file.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data: PathBuf,
    pub media_roots: Vec<PathBuf>,
    pub api: ApiSettings,
    pub admin_listen: SocketAddr,
    pub capture: CaptureSettings,
    pub worker: WorkerSettings,
    pub callbacks: CallbackPolicy,
    pub log: LogSettings,
}

#[derive(Clone, Debug)]
pub struct ApiSettings {
    pub listen: SocketAddr,
    /// `http://host[:port]` without a trailing slash; none is `http://` plus the bound API address.
    pub public_base_url: Option<String>,
    /// How far a request's clock may be off, either way.
    pub clock_window: Duration,
    /// SubmitSnapshotJob a second and account; 0 is no limit.
    pub submit_per_second: u32,
    pub max_connections: u32,
}

#[derive(Clone, Debug)]
pub struct CaptureSettings {
    pub jpeg_quality: u8,
    /// Most pictures of one job.
    pub count_max: u32,
    /// Ambiguity 3's other reading: Interval without Count runs to the end.
    pub interval_without_count_to_end: bool,
    pub frame_pixels_max: u64,
    pub sheet_pixels_max: u64,
}

#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Batches at once; 0 is one a core.
    pub slots: u32,
    pub run_cpu: Duration,
    pub no_progress: Duration,
    /// Image bytes that may wait in the daemon.
    pub image_bytes: u64,
    /// Bytes of pictures and sheets in the making, a batch.
    pub batch_bytes: u64,
    /// A batch that has run so long while another account waits without a slot is asked to stop.
    pub time_slice: Duration,
}

#[derive(Clone, Debug)]
pub struct CallbackPolicy {
    /// Address ranges beyond the public ones.
    pub allow_cidrs: Vec<ipnet::IpNet>,
    /// Host names that may resolve to anything.
    pub allow_hosts: Vec<String>,
    pub concurrency: u32,
    /// All of one attempt.
    pub timeout: Duration,
    /// Waits between VOD's own attempts.
    pub fast_retry: Duration,
    pub fast_attempts: u32,
    /// Waits after those, each +-20 %; empty is VOD's own rule alone.
    pub slow_retries: Vec<Duration>,
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    pub json: bool,
    /// A tracing filter: `info`, `stillframe=debug`...
    pub filter: String,
}
