//! Proofs: each device is opened and decodes its clips at the start, and again after each wait of its breaker.
//!
//! Owns what the log says of a device's coming and going. Never gives a device work.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Choice, Devices};
use crate::model::device::{CodecClass, DeviceId, DeviceRow, Refusal};
use crate::service::stop;
use crate::worker::devices::Why;

impl Devices {
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
}
