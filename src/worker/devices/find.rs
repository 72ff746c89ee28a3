//! Which devices this host may have, by the names in /dev alone.
//!
//! Owns the look into /dev. Never opens a device and never loads a driver: that is for a process that may die of it.

use std::ffi::OsStr;
use std::path::Path;

use crate::model::device::DeviceId;
use crate::model::media::Backend;

/// The devices that can be seen, CUDA first, each kind by number.
pub fn find() -> Vec<DeviceId> {
    found(&names(Path::new("/dev")), &names(Path::new("/dev/dri")))
}

// A folder that is not there has no names.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect()
}

/// The devices behind the names in /dev and /dev/dri.
pub fn found(dev: &[String], dri: &[String]) -> Vec<DeviceId> {
    let mut devices = Vec::new();
    // Without the control node the driver is not loaded.
    if dev.iter().any(|name| OsStr::new(name) == "nvidiactl") {
        devices.extend(numbers(dev, "nvidia").map(|n| (Backend::Cuda, n.to_string())));
    }
    devices.extend(numbers(dri, "renderD").map(|n| (Backend::Vaapi, format!("/dev/dri/renderD{n}"))));
    devices.into_iter().map(|(backend, name)| DeviceId { backend, name }).collect()
}

fn numbers<'a>(names: &'a [String], start: &str) -> impl Iterator<Item = u32> + use<'a> {
    let digits = |name: &&'a str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|name| name.strip_prefix(start))
        .filter(digits)
        .filter_map(|digits| digits.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(dev: &[&str], dri: &[&str]) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        found(&owned(dev), &owned(dri)).iter().map(DeviceId::to_string).collect()
    }

    #[test]
    fn devices_are_told_by_their_nodes() {
        assert_eq!(told(&["null", "tty0"], &[]), [""; 0]);
        let dev = ["nvidia-uvm", "nvidia10", "nvidia2", "nvidia0", "nvidiactl", "nvidia-modeset", "nvidiaX"];
        assert_eq!(told(&dev, &[]), ["cuda:0", "cuda:2", "cuda:10"]);
        // A node that was left behind without a driver.
        assert_eq!(told(&["nvidia0"], &[]), [""; 0]);
        let dri = ["by-path", "card0", "renderD129", "renderD128", "renderD"];
        assert_eq!(told(&[], &dri), ["vaapi:/dev/dri/renderD128", "vaapi:/dev/dri/renderD129"]);
    }
}
