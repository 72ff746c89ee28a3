//! The configuration: one immutable value, from flags, environment, file and defaults.
//!
//! Owns names, defaults and checks of every key. Never reads a secret: keys live in the store.
//!
//! A flag wins over `STILLFRAME_SECTION_KEY`, which wins over the file, which wins over the defaults.

mod devices;
mod file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use devices::{Choice, DeviceSettings};
pub use file::DEFAULT_FILE;

/// Everything that can be set. Sections are the tables of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Holds the database, the objects, `run.json` and the lock.
    pub data: PathBuf,
    /// Below this many free bytes under `data` submissions are refused and no batch begins.
    pub free_bytes_min: u64,
    pub media_roots: Vec<PathBuf>,
    pub api: ApiSettings,
    pub admin_listen: SocketAddr,
    pub capture: CaptureSettings,
    pub worker: WorkerSettings,
    pub devices: DeviceSettings,
    pub callbacks: CallbackPolicy,
    pub log: LogSettings,
}

#[derive(Clone, Debug, PartialEq)]
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

#[derive(Clone, Debug, PartialEq)]
pub struct CaptureSettings {
    pub jpeg_quality: u8,
    /// Most pictures of one job.
    pub count_max: u32,
    /// Ambiguity 3's other reading: Interval without Count runs to the end.
    pub interval_without_count_to_end: bool,
    pub frame_pixels_max: u64,
    pub sheet_pixels_max: u64,
}

#[derive(Clone, Debug, PartialEq)]
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

#[derive(Clone, Debug, PartialEq)]
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

#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    pub json: bool,
    /// A tracing filter: `info`, `stillframe=debug`...
    pub filter: String,
}

/// What the command line says; it wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub data: Option<PathBuf>,
    pub media_roots: Vec<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// Why there are no settings. The exit code is 78.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("failed to read {}: {reason}", path.display())]
    Read { path: PathBuf, reason: String },
    /// `reason` carries line and column and shows the line.
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{name}: {reason}")]
    Variable { name: String, reason: String },
    /// A value of the right type that cannot be; `key` is `section.key`.
    #[error("{key}: {reason}")]
    Value { key: &'static str, reason: String },
}

impl Settings {
    /// Reads and checks everything. `variables` is the environment (`STATE_DIRECTORY` is looked up there too).
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load(
        flags: &Flags,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Settings, SettingsError> {
        let variables: Vec<(String, String)> = variables.into_iter().collect();
        let mut file = match &flags.config {
            Some(path) => file::read(path)?,
            None => file::File::default(),
        };
        for (name, value) in &variables {
            file.set_variable(name, value)?;
        }
        if !flags.media_roots.is_empty() {
            file.media.roots = flags.media_roots.clone();
        }
        let mut settings = file.resolve(flags.listen, flags.admin)?;
        if let Some(data) = &flags.data {
            settings.data = data.clone();
        } else if settings.data.as_os_str().is_empty() {
            let state = variables.iter().find(|(name, value)| name == "STATE_DIRECTORY" && !value.is_empty());
            // systemd lists several folders with colons; ours is the first.
            settings.data = match state {
                Some((_, value)) => PathBuf::from(value.split(':').next().unwrap_or(value)),
                None => PathBuf::from("stillframe-data"),
            };
        }
        settings.data = absolute("storage.data", &settings.data)?;
        for root in &mut settings.media_roots {
            *root = absolute("media.roots", root)?;
        }
        Ok(settings)
    }

    /// The settings of this process: its flags and its environment.
    ///
    /// # Errors
    /// As `load`.
    pub fn of_process(flags: &Flags) -> Result<Settings, SettingsError> {
        // A variable that is no UTF-8 is none of ours.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { return None };
            Some((name, value))
        });
        Settings::load(flags, variables)
    }

    /// Takes over what may change while the daemon runs, and names the keys that need a restart.
    pub fn reloaded(&self, new: Settings) -> (Settings, Vec<&'static str>) {
        let kept = Settings {
            data: self.data.clone(),
            media_roots: self.media_roots.clone(),
            admin_listen: self.admin_listen,
            api: ApiSettings {
                listen: self.api.listen,
                public_base_url: self.api.public_base_url.clone(),
                max_connections: self.api.max_connections,
                ..new.api.clone()
            },
            worker: WorkerSettings {
                run_cpu: self.worker.run_cpu,
                no_progress: self.worker.no_progress,
                image_bytes: self.worker.image_bytes,
                ..new.worker.clone()
            },
            devices: self.devices.clone(),
            log: LogSettings { json: self.log.json, ..new.log.clone() },
            ..new.clone()
        };
        let differs = [
            ("storage.data", kept.data != new.data),
            ("media.roots", kept.media_roots != new.media_roots),
            ("api.listen", kept.api.listen != new.api.listen),
            ("api.public_base_url", kept.api.public_base_url != new.api.public_base_url),
            ("api.max_connections", kept.api.max_connections != new.api.max_connections),
            ("admin.listen", kept.admin_listen != new.admin_listen),
            ("worker.run_cpu_s", kept.worker.run_cpu != new.worker.run_cpu),
            ("worker.no_progress_s", kept.worker.no_progress != new.worker.no_progress),
            ("worker.image_bytes", kept.worker.image_bytes != new.worker.image_bytes),
            ("devices", kept.devices != new.devices),
            ("log.json", kept.log.json != new.log.json),
        ];
        let restart = differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect();
        (kept, restart)
    }

    /// Batches at once.
    pub fn slots(&self) -> usize {
        match self.worker.slots {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            slots => slots as usize,
        }
    }
}

fn absolute(key: &'static str, path: &Path) -> Result<PathBuf, SettingsError> {
    std::path::absolute(path).map_err(|error| SettingsError::Value { key, reason: error.to_string() })
}
