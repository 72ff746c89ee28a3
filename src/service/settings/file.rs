//! The configuration file as it is written: one struct a section, each with its defaults.
//!
//! Owns key names, units, types and ranges. Never knows flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::devices::{self, Devices};
use super::{
    ApiSettings, CallbackPolicy, CaptureSettings, LogSettings, Settings, SettingsError, WorkerSettings,
};
use crate::model::limits;

/// The commented default file; a test holds it equal to the defaults below.
pub const DEFAULT_FILE: &str = include_str!("../../../systemd/stillframe.toml");

/// Longest time that a key in seconds may hold: a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub storage: Storage,
    pub media: Media,
    pub api: Api,
    pub admin: Admin,
    pub capture: Capture,
    pub worker: Worker,
    pub devices: Devices,
    pub callbacks: Callbacks,
    pub log: Log,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Empty: $STATE_DIRECTORY, else ./stillframe-data.
    pub data: PathBuf,
    pub free_bytes_min: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    pub roots: Vec<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    pub listen: SocketAddr,
    /// Empty: `http://` plus the bound address.
    pub public_base_url: String,
    pub clock_window_s: f64,
    pub submit_per_second: u32,
    pub max_connections: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    pub jpeg_quality: u8,
    pub count_max: u32,
    pub interval_without_count_to_end: bool,
    pub frame_pixels_max: u64,
    pub sheet_pixels_max: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    pub slots: u32,
    pub run_cpu_s: f64,
    pub no_progress_s: f64,
    pub image_bytes: u64,
    pub batch_bytes: u64,
    pub time_slice_s: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Callbacks {
    pub allow_cidrs: Vec<String>,
    pub allow_hosts: Vec<String>,
    pub concurrency: u32,
    pub timeout_s: f64,
    pub fast_attempts: u32,
    pub fast_retry_s: f64,
    pub retry: Retry,
    pub slow_retries_s: Vec<f64>,
}

/// What follows the first attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// Nothing, as VOD does.
    Vod,
    /// The slow schedule.
    Durable,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub json: bool,
    pub filter: String,
}

impl Default for Storage {
    fn default() -> Self {
        Storage { data: PathBuf::new(), free_bytes_min: 256 << 20 }
    }
}

impl Default for Api {
    fn default() -> Self {
        Api {
            listen: SocketAddr::from(([127, 0, 0, 1], 7480)),
            public_base_url: String::new(),
            clock_window_s: 900.0,
            submit_per_second: 30,
            max_connections: 1024,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Admin { listen: SocketAddr::from(([127, 0, 0, 1], 7481)) }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Capture {
            jpeg_quality: 85,
            count_max: limits::COUNT_MAX,
            interval_without_count_to_end: false,
            frame_pixels_max: limits::FRAME_PIXELS_MAX,
            sheet_pixels_max: limits::SHEET_PIXELS_MAX,
        }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Worker {
            slots: 0,
            run_cpu_s: 30.0,
            no_progress_s: 60.0,
            image_bytes: 64 << 20,
            batch_bytes: 256 << 20,
            time_slice_s: 5.0,
        }
    }
}

impl Default for Callbacks {
    fn default() -> Self {
        Callbacks {
            allow_cidrs: Vec::new(),
            allow_hosts: Vec::new(),
            concurrency: 32,
            timeout_s: 5.0,
            fast_attempts: 3,
            fast_retry_s: 1.0,
            retry: Retry::Durable,
            slow_retries_s: vec![300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 86_400.0, 86_400.0],
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { json: false, filter: "info".to_owned() }
    }
}

/// Reads one file.
///
/// # Errors
/// When it cannot be read, or with line and column of the first thing that is wrong in it.
pub fn read(path: &Path) -> Result<File, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| SettingsError::Read { path: path.to_owned(), reason: error.to_string() })?;
    parse(&text).map_err(|error| SettingsError::File {
        path: path.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

/// Reads the text of a file.
pub fn parse(text: &str) -> Result<File, toml::de::Error> {
    toml::from_str(text)
}

impl File {
    /// Takes over one environment variable if it names a key (`STILLFRAME_SECTION_KEY`); lists are
    /// separated by commas.
    ///
    /// # Errors
    /// When it names a section but no key of it, or its value is of another type.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<(), SettingsError> {
        let wrong = |reason: String| SettingsError::Variable { name: name.to_owned(), reason };
        let Some(path) = name.strip_prefix("STILLFRAME_").map(str::to_ascii_lowercase) else { return Ok(()) };
        let mut table = toml::Table::try_from(&*self).map_err(|error| wrong(error.to_string()))?;
        let Some((section, key)) = path.split_once('_').filter(|(section, _)| table.contains_key(*section))
        else {
            return Ok(());
        };
        let place = table.get_mut(section).and_then(|section| section.get_mut(key));
        let place = place.ok_or_else(|| wrong(format!("no key {key:?} in section [{section}]")))?;
        *place = typed_like(place, key, value).map_err(wrong)?;
        *self = table.try_into().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
        Ok(())
    }

    /// Checks every value and gives it its unit. Data folder and roots stay as written.
    ///
    /// # Errors
    /// The first key whose value cannot be.
    pub fn resolve(
        self,
        listen: Option<SocketAddr>,
        admin: Option<SocketAddr>,
    ) -> Result<Settings, SettingsError> {
        Ok(Settings {
            data: self.storage.data,
            free_bytes_min: self.storage.free_bytes_min,
            media_roots: self.media.roots,
            api: resolve_api(self.api, listen)?,
            admin_listen: admin.unwrap_or(self.admin.listen),
            capture: resolve_capture(&self.capture)?,
            worker: resolve_worker(&self.worker)?,
            devices: devices::resolve(self.devices)?,
            callbacks: resolve_callbacks(self.callbacks)?,
            log: resolve_log(self.log)?,
        })
    }
}

fn typed_like(old: &toml::Value, key: &str, value: &str) -> Result<toml::Value, String> {
    let number = |wanted: &str| format!("{value:?} is no {wanted}");
    Ok(match old {
        toml::Value::Integer(_) => toml::Value::Integer(value.parse().map_err(|_| number("whole number"))?),
        toml::Value::Float(_) => toml::Value::Float(value.parse().map_err(|_| number("number"))?),
        toml::Value::Boolean(_) => toml::Value::Boolean(value.parse().map_err(|_| number("true or false"))?),
        toml::Value::Array(_) => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            // The names carry the unit: a list in seconds is a list of numbers.
            let typed = items.map(|item| match key.ends_with("_s") {
                true => item.parse().map(toml::Value::Float).map_err(|_| format!("{item:?} is no number")),
                false if key == "cuda" => {
                    item.parse().map(toml::Value::Integer).map_err(|_| number("list of ordinals"))
                }
                false => Ok(toml::Value::String(item.to_owned())),
            });
            toml::Value::Array(typed.collect::<Result<_, _>>()?)
        }
        _ => toml::Value::String(value.to_owned()),
    })
}

pub(super) fn refuse<T>(key: &'static str, reason: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError::Value { key, reason: reason.into() })
}

fn seconds(key: &'static str, value: f64) -> Result<Duration, SettingsError> {
    if !(0.0..=SECONDS_MAX).contains(&value) {
        return refuse(key, format!("{value} is not between 0 and {SECONDS_MAX} seconds"));
    }
    Ok(Duration::from_secs_f64(value))
}

pub(super) fn positive_seconds(key: &'static str, value: f64) -> Result<Duration, SettingsError> {
    match seconds(key, value)? {
        Duration::ZERO => refuse(key, "must be above 0"),
        value => Ok(value),
    }
}

pub(super) fn within<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, SettingsError> {
    if !range.contains(&value) {
        return refuse(key, format!("{value} is not between {} and {}", range.start(), range.end()));
    }
    Ok(value)
}

fn resolve_api(api: Api, listen: Option<SocketAddr>) -> Result<ApiSettings, SettingsError> {
    let base = api.public_base_url.trim_end_matches('/');
    if !base.is_empty() {
        let url = url::Url::parse(base).map_err(|error| SettingsError::Value {
            key: "api.public_base_url",
            reason: error.to_string(),
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return refuse("api.public_base_url", "must be http://host[:port] or https://host[:port]");
        }
    }
    Ok(ApiSettings {
        listen: listen.unwrap_or(api.listen),
        public_base_url: (!base.is_empty()).then(|| base.to_owned()),
        clock_window: positive_seconds("api.clock_window_s", api.clock_window_s)?,
        submit_per_second: api.submit_per_second,
        max_connections: within("api.max_connections", api.max_connections, 1..=1_000_000)?,
    })
}

fn resolve_capture(capture: &Capture) -> Result<CaptureSettings, SettingsError> {
    Ok(CaptureSettings {
        jpeg_quality: within("capture.jpeg_quality", capture.jpeg_quality, 1..=100)?,
        count_max: within("capture.count_max", capture.count_max, 1..=limits::GRAB_COUNT_MAX)?,
        interval_without_count_to_end: capture.interval_without_count_to_end,
        frame_pixels_max: within("capture.frame_pixels_max", capture.frame_pixels_max, 1..=1 << 30)?,
        sheet_pixels_max: within("capture.sheet_pixels_max", capture.sheet_pixels_max, 1..=1 << 30)?,
    })
}

fn resolve_worker(worker: &Worker) -> Result<WorkerSettings, SettingsError> {
    Ok(WorkerSettings {
        slots: within("worker.slots", worker.slots, 0..=1024)?,
        run_cpu: positive_seconds("worker.run_cpu_s", worker.run_cpu_s)?,
        no_progress: positive_seconds("worker.no_progress_s", worker.no_progress_s)?,
        image_bytes: within("worker.image_bytes", worker.image_bytes, 1 << 20..=1 << 40)?,
        batch_bytes: within("worker.batch_bytes", worker.batch_bytes, 1 << 20..=1 << 40)?,
        time_slice: positive_seconds("worker.time_slice_s", worker.time_slice_s)?,
    })
}

fn resolve_callbacks(callbacks: Callbacks) -> Result<CallbackPolicy, SettingsError> {
    let mut allow_cidrs = Vec::new();
    for text in &callbacks.allow_cidrs {
        match text.parse() {
            Ok(range) => allow_cidrs.push(range),
            Err(_) => return refuse("callbacks.allow_cidrs", format!("{text:?} is no address range")),
        }
    }
    let slow = match callbacks.retry {
        Retry::Vod => Vec::new(),
        Retry::Durable => callbacks.slow_retries_s,
    };
    let slow = slow.into_iter().map(|value| positive_seconds("callbacks.slow_retries_s", value));
    Ok(CallbackPolicy {
        allow_cidrs,
        allow_hosts: callbacks.allow_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        concurrency: within("callbacks.concurrency", callbacks.concurrency, 1..=4096)?,
        timeout: positive_seconds("callbacks.timeout_s", callbacks.timeout_s)?,
        fast_retry: seconds("callbacks.fast_retry_s", callbacks.fast_retry_s)?,
        fast_attempts: within("callbacks.fast_attempts", callbacks.fast_attempts, 1..=100)?,
        slow_retries: slow.collect::<Result<_, _>>()?,
    })
}

fn resolve_log(log: Log) -> Result<LogSettings, SettingsError> {
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log.filter) {
        return refuse("log.filter", error.to_string());
    }
    Ok(LogSettings { json: log.json, filter: log.filter })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_says_every_key_and_the_defaults() {
        let written = parse(DEFAULT_FILE).expect("the shipped file parses");
        assert_eq!(written, File::default());
        let text: toml::Table = toml::from_str(DEFAULT_FILE).expect("a table");
        let all = toml::Table::try_from(File::default()).expect("a table");
        for (section, keys) in &all {
            let said = text.get(section).and_then(toml::Value::as_table).expect(section);
            for key in keys.as_table().expect("sections are tables").keys() {
                assert!(said.contains_key(key), "[{section}] {key} is not in the shipped file");
            }
        }
    }
}
