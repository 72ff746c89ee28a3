//! `stillframe doctor --media`: what the linked FFmpeg offers to stillframe, name by name.
//!
//! Owns the two forms of that list. Never judges it: the checks do.

use serde_json::json;

use crate::cli::common;
use crate::engine::media::facts::{self, Offer, Offered};

/// Prints the list.
pub fn tell(as_json: bool) {
    let offered = facts::offered();
    if as_json {
        return common::print_json(&as_value(&offered));
    }
    let Offered { demuxers, decoders, protocols } = offered;
    head("demuxers", &demuxers);
    demuxers.names.iter().for_each(|name| say!("  {name}"));
    head("decoders", &decoders);
    for decoder in &decoders.names {
        say!("{}", format!("  {:<12} {}", decoder.name, decoder.devices.join(" ")).trim_end());
    }
    head("protocols", &protocols);
    protocols.names.iter().for_each(|name| say!("  {name}"));
}

fn head<T>(what: &str, offer: &Offer<T>) {
    say!("{what:<9} {} of {} that are linked", offer.names.len(), offer.linked);
}

fn as_value(offered: &Offered) -> serde_json::Value {
    let Offered { demuxers, decoders, protocols } = offered;
    let with_devices: Vec<_> = decoders
        .names
        .iter()
        .map(|decoder| json!({"name": decoder.name, "hwaccels": decoder.devices}))
        .collect();
    json!({
        "demuxers": demuxers.names,
        "decoders": with_devices,
        "protocols": protocols.names,
        "linked": {
            "demuxers": demuxers.linked,
            "decoders": decoders.linked,
            "protocols": protocols.linked,
        },
    })
}
