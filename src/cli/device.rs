//! Devices on the command line: which ones, and one batch on one of them.
//!
//! Owns what is asked of a device before it is opened, and the helper that `grab` starts. Never decodes in this process:
//! a driver that crashes or hangs costs the helper.

use std::os::fd::OwnedFd;

use crate::model::delivery::Deliver;
use crate::model::device::{CodecClass, DeviceCodec, DeviceId, DeviceRow};
use crate::model::job::{Ended, Grant, Source, Stats, VideoBatch};
use crate::model::media::Backend;
use crate::service::settings::{Choice, DeviceSettings};
use crate::worker::budget::Budget;
use crate::worker::devices::{Devices, DevicesConfig, Why};
use crate::worker::pool::{Delivery, Running};

/// Whose batches the helper serves: there is only one caller.
const OWNER: &str = "grab";
/// CUDA's first device and the first render node, for a caller who wants one although none is seen.
const FIRST: [(Backend, &str); 2] = [(Backend::Cuda, "0"), (Backend::Vaapi, "/dev/dri/renderD128")];

/// Which devices a command uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// In the order in which they are tried.
    pub devices: Vec<DeviceId>,
    /// A kind of device was asked for: when none can be opened, that is a fault.
    pub forced: bool,
}

/// The devices for a command: `choice` and `name` are the flags', `settings` tell what is configured, `found` what was
/// found on the host.
///
/// # Errors
/// When the flags contradict each other.
pub fn choose(
    choice: Choice,
    name: Option<&str>,
    settings: &DeviceSettings,
    found: impl FnOnce() -> Vec<DeviceId>,
) -> Result<Chosen, String> {
    if let Some(name) = name {
        let id = named(choice, name)?;
        return Ok(Chosen { devices: vec![id], forced: choice.forced().is_some() });
    }
    if choice == Choice::Cpu {
        return Ok(Chosen { devices: Vec::new(), forced: false });
    }
    let mut devices = if settings.named.is_empty() { found() } else { settings.named.clone() };
    devices.retain(|id| choice.admits(id.backend));
    if let (Some(backend), true) = (choice.forced(), devices.is_empty()) {
        // Its driver says best why there is none.
        let first = FIRST.into_iter().filter(|(kind, _)| *kind == backend);
        devices.extend(first.map(|(backend, name)| DeviceId { backend, name: name.to_owned() }));
    }
    Ok(Chosen { devices, forced: choice.forced().is_some() })
}

// `1` is a CUDA device, a path is a render node, and `cuda:1` says it all.
fn named(choice: Choice, name: &str) -> Result<DeviceId, String> {
    let id = DeviceId::parse(name).or_else(|| {
        let backend = match name.starts_with('/') {
            true => Backend::Vaapi,
            false => name.bytes().all(|byte| byte.is_ascii_digit()).then_some(Backend::Cuda)?,
        };
        Some(DeviceId { backend, name: name.to_owned() }).filter(|id| !id.name.is_empty())
    });
    let id =
        id.ok_or_else(|| format!("{name:?} is no device: a number for CUDA, the path of a render node"))?;
    match choice.admits(id.backend) {
        true => Ok(id),
        false => Err(format!("{id} is no device for this backend")),
    }
}

/// What such a device is taken to decode until it is asked: enough to tell whether opening one can pay. What it really
/// decodes it says itself, and then it may still decline.
pub fn assumed(backend: Backend) -> Vec<DeviceRow> {
    use DeviceCodec::{H264, Hevc, Mpeg2, Mpeg4, Vp8, Vp9};
    // AV1 is on recent devices only, and on none of the large ones: a start in vain would cost more than it gives.
    let classes: &[(DeviceCodec, u8, u32)] = match backend {
        Backend::Cpu => &[],
        Backend::Cuda => &[
            (H264, 8, 4_096),
            (Hevc, 8, 8_192),
            (Hevc, 10, 8_192),
            (Vp8, 8, 4_096),
            (Vp9, 8, 8_192),
            (Vp9, 10, 8_192),
            (Mpeg2, 8, 4_080),
            (Mpeg4, 8, 2_032),
        ],
        Backend::Vaapi => &[(H264, 8, 4_096), (Hevc, 8, 8_192), (Hevc, 10, 8_192), (Vp9, 8, 8_192)],
    };
    let row = |&(codec, depth, side): &(DeviceCodec, u8, u32)| DeviceRow {
        class: CodecClass { codec, depth },
        width_min: 176,
        height_min: 176,
        width_max: side,
        height_max: side,
        macroblocks_max: side.div_ceil(16).pow(2),
        proven: None,
    };
    classes.iter().map(row).collect()
}

/// The rows of several devices together, for the offer of a batch.
pub fn offer(devices: &[DeviceId]) -> Vec<DeviceRow> {
    let mut kinds: Vec<Backend> = devices.iter().map(|id| id.backend).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.into_iter().flat_map(assumed).collect()
}

/// The helpers for these devices, one each.
pub fn helpers(devices: Vec<DeviceId>, settings: &DeviceSettings, bytes: u64) -> Devices {
    let defaults = DevicesConfig::new(devices, Budget::new(bytes));
    Devices::new(DevicesConfig {
        helpers: 1,
        no_progress: settings.no_progress,
        idle: settings.idle,
        ..defaults
    })
}

/// How a batch went on a device.
pub struct Walked {
    /// The device that had it, and how that ended; none when no device could be opened.
    pub on: Option<(DeviceId, Ended, Stats)>,
    /// Those that could not be opened, and why.
    pub unopened: Vec<(DeviceId, Why)>,
}

/// Gives a batch to the first of the devices that opens. Everything that comes goes to `out`.
///
/// # Errors
/// When this process has no descriptors left.
pub fn walk(
    devices: &[DeviceId],
    settings: &DeviceSettings,
    batch: &VideoBatch,
    video: &OwnedFd,
    grant: Grant,
    out: &dyn Deliver,
) -> std::io::Result<Walked> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut walked = Walked { on: None, unopened: Vec::new() };
        let helpers = helpers(devices.to_vec(), settings, grant.bytes);
        for id in devices {
            let Some(seat) = helpers.seat(std::slice::from_ref(id)) else { continue };
            let source = Source::Fd(video.try_clone()?);
            match helpers.run(seat, OWNER, batch.clone(), source, grant).await {
                Ok(running) => {
                    let (ended, stats) = hear(running, out).await;
                    walked.on = Some((id.clone(), ended, stats));
                    break;
                }
                Err(why) => walked.unopened.push((id.clone(), why)),
            }
        }
        // So that the device is closed in order.
        helpers.shut_down().await;
        Ok(walked)
    })
}

async fn hear(mut running: Running, out: &dyn Deliver) -> (Ended, Stats) {
    let mut listens = true;
    loop {
        match running.next().await {
            Delivery::Message(message, _share) => {
                if listens && out.deliver(message).is_err() {
                    listens = false;
                    running.kill();
                }
            }
            // Nobody wanted more.
            Delivery::Ended(Ended::Died { .. }, stats) => return (Ended::Stopped, stats),
            Delivery::Ended(ended, stats) => return (ended, stats),
        }
    }
}
