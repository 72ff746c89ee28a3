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

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::batch::breaker::{Breaker, Rules};
use super::clock::Clock;
use super::settings::{Choice, DeviceSettings};
use super::stop;
use super::telemetry::metrics;
use crate::model::device::{CodecClass, DeviceCodec, DeviceId, DeviceRow, Refusal};
use crate::model::ids::{AccountId, VideoId};
use crate::model::job::{Death, Grant, Source, VideoBatch};
use crate::model::media::Backend;
use crate::worker::budget::Budget;
use crate::worker::devices::{self as helpers, DevicesConfig, ReplacedBy, Seat, Why, find};
use crate::worker::pool::Running;

/// Strikes on so many different streams open a breaker.
const STRIKES: usize = 3;

/// All devices of the daemon.
pub struct Devices {
    helpers: helpers::Devices,
    choice: Choice,
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

/// A place for one batch on one device; dropping it frees the place.
pub struct Place<'a> {
    devices: &'a Devices,
    /// Gone once the batch runs.
    seat: Option<Seat>,
    id: DeviceId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // The helper's place first: whoever is told must find it.
        drop(self.seat.take());
        self.devices.with(&self.id, |device, _| device.busy = device.busy.saturating_sub(1));
        self.devices.changed.notify_waiters();
    }
}

impl Place<'_> {
    /// The kind of device.
    pub fn backend(&self) -> Backend {
        self.id.backend
    }

    /// The device.
    pub fn device(&self) -> &DeviceId {
        &self.id
    }

    /// Hands the batch to the device. Once only.
    ///
    /// # Errors
    /// When it cannot be opened, and why.
    pub async fn run(
        &mut self,
        owner: AccountId,
        batch: VideoBatch,
        source: Source,
        grant: Grant,
    ) -> Result<Running, Why> {
        let seat = self.seat.take().ok_or_else(|| (Refusal::NoDevice, format!("{}: no place", self.id)))?;
        self.devices.helpers.run(seat, &owner.to_string(), batch, source, grant).await
    }

    /// The device did the batch.
    pub fn worked(&self) {
        self.devices.with(&self.id, |device, _| device.breaker.worked());
    }

    /// The device gave the batch up. True when `verdict` has to follow.
    #[must_use]
    pub fn refused(&self, refusal: Refusal, video: &VideoId, codec: Option<&str>) -> bool {
        match refusal {
            Refusal::Crash => metrics::worker_died(Death::Crash),
            Refusal::Hang => metrics::worker_died(Death::Timeout),
            _ => {}
        }
        let codec = codec.and_then(DeviceCodec::parse);
        let awaited = self.devices.with(&self.id, |device, now_ms| {
            match (refusal, codec) {
                (Refusal::Unproven, Some(codec)) => device.breaker.shut_codec(codec),
                // Which kind came out wrong the next proof finds out.
                (Refusal::Unproven, None) => drop(device.breaker.refused(Refusal::Lost, video, 1, now_ms)),
                _ => {}
            }
            device.breaker.refused(refusal, video, device.busy, now_ms)
        });
        self.devices.look_again(&self.id);
        awaited.unwrap_or(false)
    }
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

    /// Opens and proves each device at once, and again after each wait, until `stop`.
    pub async fn keep(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        if self.helpers.ids().is_empty() && self.choice != Choice::Cpu {
            tracing::info!("no device is there or named: pictures are decoded on the CPU");
        }
        let mut proofs = JoinSet::new();
        loop {
            let opened = self.opened.notified();
            for id in self.due() {
                let devices = Arc::clone(&self);
                proofs.spawn(async move { devices.prove(&id).await });
            }
            let next_ms = self.proof_due_ms();
            tokio::select! {
                () = stop::asked(&mut stop) => return,
                () = opened => {}
                () = self.clock.sleep_until_ms(next_ms.unwrap_or(i64::MAX)), if next_ms.is_some() => {}
                Some(ended) = proofs.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a proof broke off");
                    }
                }
            }
        }
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

    /// Ends every helper, busy ones after what they do.
    pub async fn shut_down(&self) {
        self.helpers.shut_down().await;
    }

    /// Devices whose proof begins now.
    fn due(&self) -> Vec<DeviceId> {
        let now_ms = self.clock.now_ms();
        let mut devices = self.lock();
        let due = devices
            .iter_mut()
            .filter_map(|device| device.breaker.begin_proof(now_ms).then(|| device.id.clone()));
        due.collect()
    }

    async fn prove(&self, id: &DeviceId) {
        let proved = self.decode_clips(id).await;
        self.with(id, |device, now_ms| {
            match proved {
                Ok((model, rows)) => {
                    device.breaker.proved();
                    device.rows = rows;
                    let kinds: Vec<String> = device.rows.iter().map(|row| row.class.to_string()).collect();
                    if device.told_ready != Some(true) {
                        tracing::info!(device = %device.id, model, kinds = kinds.join(", "), "a device stands ready");
                    }
                    device.told_ready = Some(true);
                }
                Err((reason, text)) => {
                    device.breaker.proof_failed(now_ms);
                    device.rows.clear();
                    if device.told_ready != Some(false) {
                        let reason = reason.name();
                        tracing::warn!(device = %device.id, reason, "a device cannot be used, pictures are decoded on the CPU: {text}");
                    }
                    device.told_ready = Some(false);
                }
            }
        });
    }

    /// The device's model, and what it decodes as it should.
    async fn decode_clips(&self, id: &DeviceId) -> Result<(String, Vec<DeviceRow>), Why> {
        let facts = self.helpers.open_again(id).await?;
        let mut proven = Vec::new();
        let mut why = (Refusal::Unsupported, format!("{id}: it decodes nothing that we know"));
        for row in facts.rows {
            if self.with(id, |device, _| device.breaker.admits(row.class)) != Some(true) {
                continue;
            }
            match self.helpers.prove(id, row.class).await {
                Ok(()) => proven.push(DeviceRow { proven: Some(true), ..row }),
                Err((Refusal::Unproven, text)) => {
                    self.shut(id, row.class, &text);
                    why = (Refusal::Unproven, text);
                }
                // It says that it does, and does not: no fault of any other kind.
                Err(no @ (Refusal::Unsupported | Refusal::Software, _)) => why = no,
                Err(fault) => return Err(fault),
            }
        }
        if proven.is_empty() { Err(why) } else { Ok((facts.model, proven)) }
    }

    fn shut(&self, id: &DeviceId, class: CodecClass, text: &str) {
        tracing::warn!(device = %id, kind = %class, "a device decodes wrongly, until the restart this kind goes to the CPU: {text}");
        self.with(id, |device, _| device.breaker.shut(class));
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
