//! The parent's side of devices: at most a few helpers each, one batch at a time in every one of them.
//!
//! Owns the places on each device and which device a batch gets. Never decides whether a device may be used or what
//! a fault on it costs: it says how each batch ended.
//!
//! ```text
//!   Devices -- one Home a device -- Lasting, one a helper -- Running, one a batch
//!   a helper is replaced after so many batches, for another owner, after a fault, and ends when it idles
//! ```

pub mod find;
mod home;
mod keeper;
mod lasting;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::sync::OwnedSemaphorePermit;

use self::home::Home;
pub(super) use self::lasting::Turn;
use super::budget::Budget;
use super::pool::{Launch, PoolConfig, Running};
use super::protocol::encode_batch;
use crate::model::device::{CodecClass, DeviceFacts, DeviceId, Refusal};
use crate::model::job::{Grant, Source, VideoBatch};

/// Why a device does not serve, and a sentence for people.
pub type Why = (Refusal, String);

/// How an opening went.
type Opened = Result<DeviceFacts, Why>;

/// What the helpers of all devices need to know.
#[derive(Clone, Debug)]
pub struct DevicesConfig {
    pub devices: Vec<DeviceId>,
    /// Processes a device, and so batches on it at once; at least 1.
    pub helpers: usize,
    /// Batches after which a helper is replaced.
    pub batches_max: u32,
    /// How long one may idle, since it holds memory of the device.
    pub idle: Duration,
    /// How long a device may take to open, and to decode a built-in clip.
    pub open_wait: Duration,
    /// Wall time of a batch without progress in bytes or frames before the helper is killed.
    pub no_progress: Duration,
    /// CPU seconds a run may use before the helper is killed.
    pub run_cpu: Duration,
    /// The image bytes that may wait in the parent.
    pub budget: Budget,
    /// What is started; `--device` and the device's name are added.
    pub launch: Launch,
}

impl DevicesConfig {
    /// The defaults: two helpers a device, from this program.
    pub fn new(devices: Vec<DeviceId>, budget: Budget) -> DevicesConfig {
        DevicesConfig {
            devices,
            helpers: 2,
            batches_max: 100,
            idle: Duration::from_secs(60),
            open_wait: Duration::from_secs(30),
            no_progress: Duration::from_secs(10),
            run_cpu: Duration::from_secs(30),
            budget,
            launch: Launch::own(),
        }
    }
}

/// Why a helper was replaced or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplacedBy {
    /// It served as many batches as one may.
    Batches,
    /// Somebody else's batch came.
    Owner,
    /// Nobody needed it for too long.
    Idle,
    /// The device had a fault.
    Fault,
    /// It died or was killed.
    Died,
}

impl ReplacedBy {
    /// Every cause.
    pub const ALL: [ReplacedBy; 5] =
        [ReplacedBy::Batches, ReplacedBy::Owner, ReplacedBy::Idle, ReplacedBy::Fault, ReplacedBy::Died];

    /// The word in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            ReplacedBy::Batches => "batches",
            ReplacedBy::Owner => "owner",
            ReplacedBy::Idle => "idle",
            ReplacedBy::Fault => "fault",
            ReplacedBy::Died => "died",
        }
    }
}

/// Numbers of one device for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceGauges {
    /// Helpers that open, work or end.
    pub busy: u64,
    pub idle: u64,
    /// Batches served so far.
    pub batches: u64,
    /// Helpers that ended so far, in the order of `ReplacedBy::ALL`.
    pub replaced: [u64; ReplacedBy::ALL.len()],
}

/// The helpers of all devices. Dropping it ends them after what they do.
pub struct Devices {
    config: Arc<DevicesConfig>,
    homes: Vec<Arc<Home>>,
    ids: Vec<DeviceId>,
}

/// A place for one batch on one device; dropping it frees the place.
pub struct Seat {
    home: Arc<Home>,
    place: OwnedSemaphorePermit,
}

impl Seat {
    /// The device.
    pub fn device(&self) -> &DeviceId {
        &self.home.id
    }
}

impl Devices {
    /// Starts nothing yet.
    pub fn new(config: DevicesConfig) -> Devices {
        let config = DevicesConfig { helpers: config.helpers.max(1), ..config };
        let ids = config.devices.clone();
        let homes = ids.iter().map(|id| Arc::new(Home::new(id.clone(), config.helpers))).collect();
        Devices { config: Arc::new(config), homes, ids }
    }

    /// Every device, in the order of the configuration.
    pub fn ids(&self) -> &[DeviceId] {
        &self.ids
    }

    /// A place on the least busy of these devices; none when every place on them is taken.
    pub fn seat(&self, among: &[DeviceId]) -> Option<Seat> {
        let mut homes: Vec<&Arc<Home>> = self.homes.iter().filter(|home| among.contains(&home.id)).collect();
        homes.sort_by_key(|home| std::cmp::Reverse(home.free()));
        homes.into_iter().find_map(|home| Some(Seat { place: home.place()?, home: Arc::clone(home) }))
    }

    /// Waits for a place on a device; none when there is no such device.
    pub async fn wait_for_seat(&self, device: &DeviceId) -> Option<Seat> {
        let home = self.home(device)?;
        Some(Seat { place: home.wait_for_place().await?, home: Arc::clone(home) })
    }

    /// Runs a batch in a helper that serves this owner and has the device open, or in a new one. What the batch
    /// offers is left out: a device wants no other.
    ///
    /// # Errors
    /// When the device cannot be opened, and why. That is remembered: it is not tried again for each batch.
    pub async fn run(
        &self,
        seat: Seat,
        owner: &str,
        batch: VideoBatch,
        source: Source,
        grant: Grant,
    ) -> Result<Running, Why> {
        let Seat { home, place } = seat;
        if let Some(Err(why)) = home.known() {
            return Err(why);
        }
        let failed = |error: String| (Refusal::NoDevice, format!("{}: no helper: {error}", home.id));
        let batch = VideoBatch { offer: Vec::new(), ..batch };
        let order = encode_batch(&batch, grant).map_err(|error| failed(error.to_string()))?;
        let Source::Fd(video) = source;
        let mut place = Some(place);
        loop {
            let first = place.is_some();
            let place = match place.take() {
                Some(place) => Some(place),
                None => home.wait_for_place().await,
            };
            let place = place.ok_or_else(|| failed("devices are closed".to_owned()))?;
            let turn = home.turn(&self.config, Some(owner), place).await?;
            let (ours, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                    .map_err(|error| failed(error.to_string()))?;
            match turn.serve(owner, video.as_fd(), theirs.as_fd()).await {
                Ok(forked) => {
                    // Before anything can wait for the end of the file.
                    drop(theirs);
                    let limits = PoolConfig {
                        run_cpu: self.config.run_cpu,
                        no_progress: self.config.no_progress,
                        budget: self.config.budget.clone(),
                    };
                    let running = Running::begin(forked, ours, order, &batch, &limits, Arc::default()).await;
                    return running.map_err(|error| failed(error.to_string()));
                }
                // One that idled had died meanwhile, and nobody's batch with it.
                Err(_) if first => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
    }

    /// What was found when the device was last opened; none when that was never tried.
    pub fn known(&self, device: &DeviceId) -> Option<Result<DeviceFacts, Why>> {
        self.home(device)?.known()
    }

    /// What the device can do, or why it cannot be opened; opened for it when that was never tried.
    ///
    /// # Errors
    /// When it cannot be opened, and why.
    pub async fn facts(&self, device: &DeviceId) -> Result<DeviceFacts, Why> {
        match self.known(device) {
            Some(known) => known,
            None => self.open_again(device).await,
        }
    }

    /// Opens the device, whatever was found before, and lets the helper idle.
    ///
    /// # Errors
    /// When it cannot be opened, and why.
    pub async fn open_again(&self, device: &DeviceId) -> Result<DeviceFacts, Why> {
        let (home, turn) = self.turn(device).await?;
        home.give_back(turn);
        home.known().unwrap_or_else(|| Err(no_such(device)))
    }

    /// Decodes the built-in clip of a class in a helper of the device, whatever was found before.
    ///
    /// # Errors
    /// Why that did not come out as it should.
    pub async fn prove(&self, device: &DeviceId, class: CodecClass) -> Result<(), Why> {
        let (_home, turn) = self.turn(device).await?;
        turn.prove(device, class, self.config.open_wait).await
    }

    /// Numbers for the metrics.
    pub fn gauges(&self) -> Vec<(DeviceId, DeviceGauges)> {
        self.homes.iter().map(|home| (home.id.clone(), home.gauges())).collect()
    }

    /// Takes no batch any more and waits until every helper is gone, busy ones after what they do.
    pub async fn shut_down(&self) {
        self.close();
        for home in &self.homes {
            home.empty().await;
        }
    }

    fn close(&self) {
        self.homes.iter().for_each(|home| home.close());
    }

    async fn turn(&self, device: &DeviceId) -> Result<(&Arc<Home>, Turn), Why> {
        let home = self.home(device).ok_or_else(|| no_such(device))?;
        let place = home.wait_for_place().await.ok_or_else(|| no_such(device))?;
        Ok((home, home.turn(&self.config, None, place).await?))
    }

    fn home(&self, device: &DeviceId) -> Option<&Arc<Home>> {
        self.homes.iter().find(|home| home.id == *device)
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        self.close();
    }
}

fn no_such(device: &DeviceId) -> Why {
    (Refusal::NoDevice, format!("{device}: not one of the devices"))
}
