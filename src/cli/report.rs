//! The JSON objects that several commands print (DESIGN, Surface).
//!
//! Owns their keys, which are a promise. Never writes anywhere.

use serde_json::{Map, Value, json};

use super::roads::{Fallback, Tally};
use crate::engine::ledger::SentPacket;
use crate::model::coded::Unfit;
use crate::model::media::MediaFacts;
use crate::model::snapshot::Shown;

/// The `media` object.
pub fn media(facts: &MediaFacts) -> Value {
    json!({
        "container": facts.container,
        "stream": facts.stream,
        "codec": facts.codec,
        "width": facts.width,
        "height": facts.height,
        "display_width": facts.display_width,
        "display_height": facts.display_height,
        "rotation": facts.rotation,
        "sar": format!("{}:{}", facts.sar.0, facts.sar.1),
        "duration_ms": facts.duration_ms,
        "start_pts": facts.start_pts,
        "time_base": format!("{}/{}", facts.time_base.num, facts.time_base.den),
        "key_frames": facts.key_frames,
        "hdr": facts.hdr.name(),
    })
}

/// What is true about a picture; the caller adds ordinal, asked time, file and bytes.
pub fn shown(shown: &Shown) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("shown_ms".into(), json!(shown.shown_ms));
    object.insert("pts".into(), json!(shown.pts));
    object.insert("status".into(), json!(shown.status.name()));
    object.insert("width".into(), json!(shown.width));
    object.insert("height".into(), json!(shown.height));
    object.insert("key_frame".into(), json!(shown.key_frame));
    object.insert("backend".into(), json!(shown.backend.name()));
    if let Some(md5) = shown.frame_md5 {
        object.insert("frame_md5".into(), json!(hex(&md5)));
    }
    object
}

/// One packet as a decoder was given it: its run (the pts that it begins with, `null` in a linear walk), its place.
pub fn sent(sent: &SentPacket) -> Value {
    json!({"run": sent.run, "n": sent.place, "bytes": sent.bytes, "md5": hex(&sent.md5)})
}

/// The `stats` object.
pub fn stats(tally: &Tally) -> Value {
    let stats = &tally.stats;
    let ms = |us: u64| us.div_ceil(1000);
    let unfit = Unfit::ALL.iter().zip(stats.unfit_runs).filter(|(_, runs)| *runs > 0);
    let unfit: Map<String, Value> =
        unfit.map(|(reason, runs)| (reason.name().to_owned(), json!(runs))).collect();
    json!({
        "opens": stats.opens,
        "seeks": stats.seeks,
        "seek_runs": stats.seek_runs,
        "packets_read": stats.packets_read,
        "packets_decoded": stats.packets_decoded,
        "packets_skipped": stats.packets_skipped,
        "frames_decoded": stats.frames_decoded,
        "unfit_runs": unfit,
        "cpu_ms": ms(stats.cpu_us),
        "wall_ms": ms(stats.wall_us),
        "stages_ms": {
            "open": ms(stats.stages_us.open),
            "plan": ms(stats.stages_us.plan),
            "decode": ms(stats.stages_us.decode),
            "convert": ms(stats.stages_us.convert),
            "encode": ms(stats.stages_us.encode),
        },
        "backend": tally.backend.name(),
        // What a device did not do is no attempt.
        "attempts": 1,
        "fallbacks": tally.fallbacks.iter().map(fallback).collect::<Vec<_>>(),
    })
}

fn fallback(fallback: &Fallback) -> Value {
    json!({
        "from": fallback.from.name(),
        "reason": fallback.reason.name(),
        "text": fallback.text,
        "points": fallback.points,
    })
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
