//! A place for one batch on one device.
//!
//! Owns how the device's breaker hears of the batch's end. Never chooses the device.

use super::Devices;
use crate::model::device::{DeviceCodec, DeviceId, Refusal};
use crate::model::ids::{AccountId, VideoId};
use crate::model::job::{Death, Grant, Source, VideoBatch};
use crate::model::media::Backend;
use crate::service::telemetry::metrics;
use crate::worker::devices::{Seat, Why};
use crate::worker::pool::Running;

/// A place for one batch on one device; dropping it frees the place.
pub struct Place<'a> {
    pub(super) devices: &'a Devices,
    /// Gone once the batch runs.
    pub(super) seat: Option<Seat>,
    pub(super) id: DeviceId,
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
