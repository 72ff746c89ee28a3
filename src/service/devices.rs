//! Which devices stand ready beside the CPU, and what their faults cost them.
//!
//! Owns one breaker a device, the proofs that close it, and the choice of a device for a batch. Never waits for a busy
//! device, unless it was set so that every batch goes to one: the CPU does the work meanwhile.
//!
//! ```text
//!   start, or a wait is over -> keep: open, prove each kind of stream -> stands ready: offer, place -> run
//!     ^                                                                                          |
//!     `------------- breaker open <- refused: suspect -> the CPU's verdict: convict, acquit <----'
//! ```

mod place;
mod proof;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::batch::breaker::{Breaker, Rules};
use super::clock::Clock;
use super::settings::{Choice, DeviceSettings};
use super::telemetry::metrics;
use crate::model::device::{DeviceCodec, DeviceId, DeviceRow, Refusal};
use crate::model::ids::VideoId;
use crate::model::media::Backend;
use crate::worker::budget::Budget;
use crate::worker::devices::{self as helpers, DevicesConfig, ReplacedBy, find};
pub use place::Place;

/// Strikes on so many different streams open a breaker.
const STRIKES: usize = 3;

/// All devices of the daemon.
pub struct Devices {
    helpers: helpers::Devices,
    choice: Choice,
    recheck_every: u32,
    /// Batches that went to a device so far.
    batches: AtomicU64,
    clock: Clock,
    devices: Mutex<Vec<Device>>,
    /// Told when a breaker opened.
    opened: Notify,
    /// Told when a place is free again, or a device has nothing to offer any more.
    changed: Notify,
}

/// One device and what is known of it.
struct Device {
    id: DeviceId,
    breaker: Breaker,
    /// What it decodes by its own word, and decoded as it should.
    rows: Vec<DeviceRow>,
    /// Batches on it.
    busy: u32,
    /// The last log line said that it stands ready; none before the first.
    told_ready: Option<bool>,
}

/// Whose fault a refusal was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The CPU made of the stream all that was asked.
    Device,
    /// The CPU found it damaged too, or did not come to an end.
    NotDevice,
}

impl Devices {
    /// The devices of the settings, found or named; nothing is started yet.
    pub fn new(settings: &DeviceSettings, run_cpu: Duration, budget: Budget, clock: Clock) -> Devices {
        let named = if settings.named.is_empty() { find::find() } else { settings.named.clone() };
        let ids: Vec<DeviceId> = named.into_iter().filter(|id| settings.choice.admits(id.backend)).collect();
        let config = DevicesConfig {
            helpers: settings.helpers as usize,
            idle: settings.idle,
            no_progress: settings.no_progress,
            run_cpu,
            ..DevicesConfig::new(ids.clone(), budget)
        };
        let rules = Rules {
            strikes: STRIKES,
            wait_ms: whole_ms(settings.retry),
            wait_max_ms: whole_ms(settings.retry_max),
            seats: settings.helpers,
        };
        let now_ms = clock.now_ms();
        let device = |id| Device {
            id,
            breaker: Breaker::new(rules, now_ms),
            rows: Vec::new(),
            busy: 0,
            told_ready: None,
        };
        let devices = Mutex::new(ids.into_iter().map(device).collect());
        Devices {
            helpers: helpers::Devices::new(config),
            choice: settings.choice,
            recheck_every: settings.recheck_every,
            batches: AtomicU64::new(0),
            clock,
            devices,
            opened: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// The kind of device that every batch goes to first, if it was set so.
    pub fn forced(&self) -> Option<Backend> {
        self.choice.forced()
    }

    /// What the devices take that stand ready and have a place.
    pub fn offer(&self) -> Vec<DeviceRow> {
        let now_ms = self.clock.now_ms();
        let mut offer: Vec<DeviceRow> = Vec::new();
        for device in self.lock().iter_mut().filter_map(|device| device.has_room(now_ms)) {
            let rows = device.rows.iter().filter(|row| device.breaker.admits(row.class));
            for row in rows {
                if !offer.contains(row) {
                    offer.push(row.clone());
                }
            }
        }
        offer
    }

    /// A place on the least busy device that stands ready and takes this codec; none when all are busy by now.
    pub fn place(&self, codec: Option<&str>) -> Option<Place<'_>> {
        let now_ms = self.clock.now_ms();
        let mut devices = self.lock();
        let ready: Vec<DeviceId> = devices
            .iter_mut()
            .filter_map(|device| device.has_room(now_ms))
            .filter(|device| device.takes(codec))
            .map(|device| device.id.clone())
            .collect();
        let seat = self.helpers.seat(&ready)?;
        let id = seat.device().clone();
        devices.iter_mut().filter(|device| device.id == id).for_each(|device| device.busy += 1);
        Some(Place { devices: self, seat: Some(seat), id })
    }

    /// As `place`, but waits while those that stand ready are busy.
    pub async fn wait_for_place(&self, codec: Option<&str>) -> Option<Place<'_>> {
        loop {
            // Before the look, so that nothing is missed.
            let changed = self.changed.notified();
            if let Some(place) = self.place(codec) {
                return Some(place);
            }
            let now_ms = self.clock.now_ms();
            let waits = |device: &Device| device.is_ready(now_ms) && device.takes(codec) && device.busy > 0;
            if !self.lock().iter().any(waits) {
                return None;
            }
            changed.await;
        }
    }

    /// Says whose fault a refusal was that a verdict is awaited on.
    pub fn verdict(&self, id: &DeviceId, video: &VideoId, verdict: Verdict) {
        self.with(id, |device, now_ms| match verdict {
            Verdict::Device => device.breaker.convict(video, now_ms),
            Verdict::NotDevice => drop(device.breaker.acquit(video)),
        });
        self.look_again(id);
    }

    /// When the next proof of a device is due; none while all stand ready or are being proved.
    pub fn proof_due_ms(&self) -> Option<i64> {
        self.lock().iter().filter_map(|device| device.breaker.proof_due_ms()).min()
    }

    /// Numbers for the metrics.
    pub fn tell(&self) {
        let now_ms = self.clock.now_ms();
        let devices = self.lock();
        let ready = devices.iter().filter(|device| device.is_ready(now_ms)).count() as u64;
        let busy = devices.iter().map(|device| u64::from(device.busy)).sum();
        drop(devices);
        let replaced = |by: ReplacedBy| -> u64 {
            self.helpers.gauges().iter().map(|(_, gauges)| gauges.replaced[by as usize]).sum()
        };
        let recycled = [ReplacedBy::Batches, ReplacedBy::Owner, ReplacedBy::Fault].map(replaced);
        metrics::devices(ready, busy, recycled.iter().sum());
    }

    /// True for one batch in so many: the CPU is to decode it too.
    pub fn is_to_be_checked(&self) -> bool {
        let batches = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
        self.recheck_every > 0 && batches.is_multiple_of(u64::from(self.recheck_every))
    }

    /// The CPU found the same in a batch as the device.
    pub fn passed(&self, id: &DeviceId) {
        self.with(id, |device, _| device.breaker.worked());
    }

    /// The CPU found something else: the kind of stream is shut.
    pub fn differs(&self, id: &DeviceId, codec: Option<&str>, frames: u32, of: u32) {
        let codec = codec.and_then(DeviceCodec::parse);
        tracing::error!(
            device = %id,
            codec = codec.map_or("unknown", DeviceCodec::name),
            frames,
            of,
            "a device decodes otherwise than the CPU: until the restart this codec goes to the CPU"
        );
        metrics::fell_back(id.backend, Refusal::Unproven);
        if let Some(codec) = codec {
            self.with(id, |device, _| device.breaker.shut_codec(codec));
        }
    }

    /// Ends every helper, busy ones after what they do.
    pub async fn shut_down(&self) {
        self.helpers.shut_down().await;
    }

    /// After a fault: does the device still stand ready?
    fn look_again(&self, id: &DeviceId) {
        let open = self.with(id, |device, now_ms| {
            let open = device.breaker.proof_due_ms().is_some();
            if open && device.told_ready == Some(true) {
                let wait_ms = device.breaker.proof_due_ms().map_or(0, |due_ms| due_ms - now_ms);
                tracing::warn!(device = %device.id, wait_ms, "a device stands aside after faults");
                device.told_ready = None;
            }
            open
        });
        if open == Some(true) {
            self.opened.notify_one();
            self.changed.notify_waiters();
        }
    }

    fn with<T>(&self, id: &DeviceId, change: impl FnOnce(&mut Device, i64) -> T) -> Option<T> {
        let now_ms = self.clock.now_ms();
        self.lock().iter_mut().find(|device| device.id == *id).map(|device| change(device, now_ms))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Device>> {
        // Nobody computes while holding it.
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    fn is_ready(&self, now_ms: i64) -> bool {
        self.breaker.is_closed(now_ms) && self.rows.iter().any(|row| self.breaker.admits(row.class))
    }

    /// Itself, if it is ready and may serve one more.
    fn has_room(&mut self, now_ms: i64) -> Option<&mut Device> {
        (self.is_ready(now_ms) && self.busy < self.breaker.seats(now_ms)).then_some(self)
    }

    /// Whether it decodes this codec, of any depth; of an unknown one it may.
    fn takes(&self, codec: Option<&str>) -> bool {
        let same = |row: &&DeviceRow| codec.is_none_or(|codec| row.class.codec.name() == codec);
        self.rows.iter().filter(same).any(|row| self.breaker.admits(row.class))
    }
}

fn whole_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
