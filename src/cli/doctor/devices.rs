//! The devices in `doctor`: each is opened and made to decode, in the same process that the daemon decodes in.
//!
//! Owns what is asked of a device and what of the answer is a fault. Never opens a device in this process.

use serde_json::{Value, json};

use super::{Check, Verdict, check};
use crate::cli::device::{self, Chosen};
use crate::engine::media::proof;
use crate::model::device::{CodecClass, DeviceFacts, DeviceId, DeviceRow};
use crate::service::settings::{Choice, DeviceSettings};
use crate::worker::devices::find::find;
use crate::worker::devices::{Devices, Why};

/// The built-in clips deliver no image bytes.
const NO_BYTES: u64 = 0;

/// A kind of stream that a device says it decodes, and whether it does.
type Proof = (DeviceRow, Result<(), Why>);

/// One device, and what came of it.
struct Examined {
    id: DeviceId,
    facts: Result<DeviceFacts, Why>,
    proofs: Vec<Proof>,
}

/// Examines the devices that are configured, or else those that are found: checks, and the same as JSON. What does not
/// work is a fault where it was asked for.
pub fn examine(settings: &DeviceSettings) -> (Vec<Check>, Value) {
    if settings.choice == Choice::Cpu {
        return (vec![check("devices", Verdict::Ok, "the configuration decodes on the CPU only")], json!([]));
    }
    // Without a name nothing can contradict the configuration.
    let Ok(Chosen { devices, forced }) = device::choose(settings.choice, None, settings, find) else {
        return (Vec::new(), json!([]));
    };
    if devices.is_empty() {
        let text = "none is configured and none is to be seen in /dev: the CPU decodes";
        return (vec![check("devices", Verdict::Note, text)], json!([]));
    }
    let severity = if forced || !settings.named.is_empty() { Verdict::Fault } else { Verdict::Note };
    match work(devices, settings) {
        Ok(all) => {
            let checks = all.iter().flat_map(|examined| examined.checks(severity)).collect();
            (checks, all.iter().map(Examined::json).collect())
        }
        Err(error) => (vec![check("devices", severity, format!("cannot be examined: {error}"))], json!([])),
    }
}

fn work(ids: Vec<DeviceId>, settings: &DeviceSettings) -> std::io::Result<Vec<Examined>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        let devices = device::helpers(ids.clone(), settings, NO_BYTES);
        let mut all = Vec::new();
        for id in ids {
            all.push(one(&devices, id).await);
        }
        devices.shut_down().await;
        all
    }))
}

async fn one(devices: &Devices, id: DeviceId) -> Examined {
    let facts = devices.facts(&id).await;
    let mut proofs = Vec::new();
    for row in facts.iter().flat_map(|facts| &facts.rows) {
        let proof = devices.prove(&id, row.class).await;
        proofs.push((row.clone(), proof));
    }
    Examined { id, facts, proofs }
}

impl Examined {
    fn checks(&self, severity: Verdict) -> Vec<Check> {
        let name = format!("device {}", self.id);
        let facts = match &self.facts {
            Ok(facts) => facts,
            Err((_, text)) => return vec![check(name, severity, text)],
        };
        let (verdict, text) = match facts.rows.is_empty() {
            true => (severity, format!("{} opens, but decodes nothing", facts.model)),
            false => (Verdict::Ok, format!("{} opens", facts.model)),
        };
        let mut checks = vec![check(name, verdict, text)];
        for (row, proof) in &self.proofs {
            let (verdict, text) = match proof {
                Ok(()) => {
                    (Verdict::Ok, format!("decodes exactly, up to {}x{}", row.width_max, row.height_max))
                }
                Err((reason, text)) => (severity, format!("{text} ({})", reason.name())),
            };
            checks.push(check(format!("{} {}", self.id, row.class), verdict, text));
        }
        let others: Vec<String> = self.others().map(|class| class.to_string()).collect();
        if !others.is_empty() {
            let text = format!("not decoded by its own word: {}", others.join(", "));
            checks.push(check(format!("{} others", self.id), Verdict::Note, text));
        }
        checks
    }

    /// The kinds of streams that the CPU would hand to a device, if this one took them.
    fn others(&self) -> impl Iterator<Item = CodecClass> {
        proof::classes().filter(|class| self.proofs.iter().all(|(row, _)| row.class != *class))
    }

    fn json(&self) -> Value {
        let why = |(reason, text): &Why| json!({"reason": reason.name(), "text": text});
        let class = |class: CodecClass| json!({"codec": class.codec.name(), "depth": class.depth});
        let proof = |(row, proof): &Proof| {
            let mut object = class(row.class);
            object["width_max"] = json!(row.width_max);
            object["height_max"] = json!(row.height_max);
            object["exact"] = json!(proof.is_ok());
            object["why_not"] = json!(proof.as_ref().err().map(why));
            object
        };
        json!({
            "device": self.id.to_string(),
            "model": self.facts.as_ref().ok().map(|facts| &facts.model),
            "why_not": self.facts.as_ref().err().map(why),
            "decodes": self.proofs.iter().map(proof).collect::<Vec<_>>(),
            "others": self.others().map(class).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::device::{DeviceCodec, Refusal};
    use crate::model::media::Backend;

    fn examined(facts: Result<Vec<Proof>, Why>) -> Examined {
        let id = DeviceId { backend: Backend::Cuda, name: "0".to_owned() };
        let (facts, proofs) = match facts {
            Ok(proofs) => {
                let rows = proofs.iter().map(|(row, _)| row.clone()).collect();
                (Ok(DeviceFacts { model: "A device".to_owned(), rows }), proofs)
            }
            Err(why) => (Err(why), Vec::new()),
        };
        Examined { id, facts, proofs }
    }

    fn verdicts(examined: &Examined, severity: Verdict) -> Vec<&'static str> {
        examined.checks(severity).iter().map(|check| check.verdict.name()).collect()
    }

    #[test]
    fn what_does_not_work_weighs_what_it_was_asked_for() {
        let row = device::assumed(Backend::Cuda).remove(0);
        let fault = || Err((Refusal::Unproven, "frame 3 differs".to_owned()));
        let none = examined(Err((Refusal::NoDevice, "cuda:0: no driver".to_owned())));
        let good = examined(Ok(vec![(row.clone(), Ok(()))]));
        let bad = examined(Ok(vec![(row.clone(), Ok(())), (row, fault())]));
        let empty = examined(Ok(vec![]));
        for (examined, asked, by_itself) in [
            (&none, &["fault"][..], &["note"][..]),
            (&good, &["ok", "ok", "note"], &["ok", "ok", "note"]),
            (&bad, &["ok", "ok", "fault", "note"], &["ok", "ok", "note", "note"]),
            (&empty, &["fault", "note"], &["note", "note"]),
        ] {
            assert_eq!(verdicts(examined, Verdict::Fault), asked);
            assert_eq!(verdicts(examined, Verdict::Note), by_itself);
        }
        assert_eq!(none.json()["why_not"]["reason"], "no_device");
        assert_eq!(bad.json()["decodes"][1]["why_not"]["text"], "frame 3 differs");
        let is_h264 = |class: &CodecClass| class.codec == DeviceCodec::H264 && class.depth == 8;
        assert!(good.others().count() > 3 && !good.others().any(|class| is_h264(&class)));
    }
}
