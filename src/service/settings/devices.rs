//! The section about devices that decode: which ones, how many batches, how patient.
//!
//! Owns its keys, defaults and checks. Never looks for a device: an empty list is for whoever does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SettingsError;
use super::file::{positive_seconds, refuse, within};
use crate::model::device::DeviceId;
use crate::model::media::Backend;

/// Devices that decode.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSettings {
    pub choice: Choice,
    /// Those that are named; none: what is found.
    pub named: Vec<DeviceId>,
    /// Processes a device, and so batches on it at once.
    pub helpers: u32,
    /// Of a batch on a device, before its process is killed.
    pub no_progress: Duration,
    /// How long a process keeps a device open that it has no batch for.
    pub idle: Duration,
    /// After faults: the first wait before the device is proved again, and the longest.
    pub retry: Duration,
    pub retry_max: Duration,
    /// One batch in so many is decoded by the CPU too, which delivers it; 0 is none.
    pub recheck_every: u32,
}

/// Where frames are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// On a device where it pays, else on the CPU.
    Auto,
    Cpu,
    /// On a CUDA device first, whatever it costs.
    Cuda,
    /// On a VAAPI device first, whatever it costs.
    Vaapi,
}

impl Choice {
    /// True when devices of this kind are used.
    pub fn admits(self, backend: Backend) -> bool {
        match self {
            Choice::Auto => backend != Backend::Cpu,
            Choice::Cpu => false,
            Choice::Cuda | Choice::Vaapi => self.forced() == Some(backend),
        }
    }

    /// The kind of device that every batch goes to first.
    pub fn forced(self) -> Option<Backend> {
        match self {
            Choice::Auto | Choice::Cpu => None,
            Choice::Cuda => Some(Backend::Cuda),
            Choice::Vaapi => Some(Backend::Vaapi),
        }
    }
}

/// The section as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Devices {
    pub backend: Choice,
    /// CUDA ordinals.
    pub cuda: Vec<u32>,
    /// Render nodes.
    pub vaapi: Vec<String>,
    pub helpers: u32,
    pub no_progress_s: f64,
    pub idle_s: f64,
    pub retry_s: f64,
    pub retry_max_s: f64,
    pub recheck_every: u32,
}

impl Default for Devices {
    fn default() -> Self {
        Devices {
            backend: Choice::Auto,
            cuda: Vec::new(),
            vaapi: Vec::new(),
            helpers: 1,
            no_progress_s: 10.0,
            idle_s: 60.0,
            retry_s: 30.0,
            retry_max_s: 3600.0,
            recheck_every: 1000,
        }
    }
}

/// Checks every value.
///
/// # Errors
/// The first key whose value cannot be.
pub(super) fn resolve(devices: Devices) -> Result<DeviceSettings, SettingsError> {
    for node in &devices.vaapi {
        if !node.starts_with('/') {
            return refuse("devices.vaapi", format!("{node:?} is no absolute path"));
        }
    }
    let cuda = devices.cuda.iter().map(|ordinal| (Backend::Cuda, ordinal.to_string()));
    let vaapi = devices.vaapi.into_iter().map(|node| (Backend::Vaapi, node));
    let mut named: Vec<DeviceId> = Vec::new();
    for (backend, name) in cuda.chain(vaapi) {
        let id = DeviceId { backend, name };
        if named.contains(&id) {
            let key = if backend == Backend::Cuda { "devices.cuda" } else { "devices.vaapi" };
            return refuse(key, format!("{} is named twice", id.name));
        }
        named.push(id);
    }
    let retry = positive_seconds("devices.retry_s", devices.retry_s)?;
    let retry_max = positive_seconds("devices.retry_max_s", devices.retry_max_s)?;
    if retry_max < retry {
        return refuse("devices.retry_max_s", "is below devices.retry_s");
    }
    Ok(DeviceSettings {
        choice: devices.backend,
        named,
        helpers: within("devices.helpers", devices.helpers, 1..=64)?,
        no_progress: positive_seconds("devices.no_progress_s", devices.no_progress_s)?,
        idle: positive_seconds("devices.idle_s", devices.idle_s)?,
        retry,
        retry_max,
        recheck_every: devices.recheck_every,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_admits_its_devices() {
        for (choice, admitted, forced) in [
            (Choice::Auto, &[Backend::Cuda, Backend::Vaapi][..], None),
            (Choice::Cpu, &[], None),
            (Choice::Cuda, &[Backend::Cuda], Some(Backend::Cuda)),
            (Choice::Vaapi, &[Backend::Vaapi], Some(Backend::Vaapi)),
        ] {
            let seen: Vec<Backend> = Backend::ALL.into_iter().filter(|kind| choice.admits(*kind)).collect();
            assert_eq!((seen.as_slice(), choice.forced()), (admitted, forced), "{choice:?}");
        }
    }
}
