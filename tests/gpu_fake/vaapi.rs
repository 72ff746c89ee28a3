//! The same road through VAAPI, on a double of its display and driver.
//!
//! Owns what is VAAPI's own: the numbers of profiles, and that it reports what CUDA hides.

use std::path::Path;

use stillframe::model::device::DeviceCodec;

use crate::child::{child, on, on_cpu};
use crate::common::fake::Fake;
use crate::common::fake::vaapi::{self, NODE};
use crate::exact::{H264, class, instants, is_exact_on, made, proof};
use crate::faults::{grouped, the_rest};

fn node() -> String {
    format!("vaapi:{NODE}")
}

fn knowing(codec: DeviceCodec, depth: u8, clip: &Path) -> Fake {
    vaapi::knowing(&[clip, &proof(class(codec, depth))])
}

pub fn what_a_display_says_of_itself() {
    let told = child(&node(), &vaapi::fake_vaapi(), &[]);
    assert_ne!(told["model"].as_str(), Some(""), "{told}");
    let rows = told["rows"].as_array().expect("rows");
    let has = |name: &str| rows.iter().any(|row| row["class"] == name);
    assert!(has("h264 8 bit") && has("hevc 10 bit") && !has("av1 8 bit") && !has("h264 10 bit"), "{told}");
    for (setting, reason) in [("GetDisplay=1", "no_device"), ("Initialize=1", "no_device")] {
        let fake = vaapi::fake_vaapi();
        fake.control(&[setting]);
        let (refused, text) = on(&node(), &fake, &[]).expect_err("no display");
        assert_eq!(refused, reason, "{text}");
    }
}

pub fn pictures_of_vaapi_are_exact() {
    let exact = |codec, depth, name: &str, coding: &str| {
        let clip = made(name, coding);
        is_exact_on(&node(), &knowing(codec, depth, &clip), &clip);
    };
    let x264 = "-c:v libx264 -pix_fmt yuv420p -x264-params";
    let x265 = "-c:v libx265 -x265-params keyint=12:open-gop=0:bframes=4:log-level=error -pix_fmt";
    let vp9 = "-c:v libvpx-vp9 -cpu-used 8 -b:v 400k -g 12 -auto-alt-ref 1 -lag-in-frames 8 -pix_fmt";
    exact(
        DeviceCodec::H264,
        8,
        "device_pyramid.mp4",
        &format!("{x264} keyint=12:bframes=3:b-pyramid=normal"),
    );
    exact(DeviceCodec::H264, 8, "device_fields.mp4", &format!("{x264} keyint=12:tff=1:bframes=2"));
    exact(DeviceCodec::Hevc, 8, "device_hevc_8_0.mp4", &format!("{x265} yuv420p"));
    exact(DeviceCodec::Hevc, 10, "device_hevc_10_0.mp4", &format!("{x265} yuv420p10le"));
    exact(DeviceCodec::Vp9, 8, "device_vp9.webm", &format!("{vp9} yuv420p"));
    exact(DeviceCodec::Mpeg2, 8, "device_mpeg2.ts", "-c:v mpeg2video -bf 2 -g 12 -q:v 4");
}

/// A call, what it returns, and what that comes to; calls of the proof of H.264 before the walk.
const FAULTS: &[(&str, &str, &str, usize)] = &[
    ("CreateConfig", "1", "software", 1),
    ("CreateContext", "1", "software", 1),
    ("CreateContext", "2", "out_of_memory", 1),
    ("BeginPicture", "1", "send", 16),
    ("EndPicture", "23", "send", 16),
    ("SyncSurface", "1", "transfer", 16),
    ("GetImage", "1", "transfer", 16),
];

pub fn a_fault_of_vaapi_ends_with_its_reason() {
    let clip = grouped();
    let fake = knowing(H264.codec, H264.depth, &clip);
    let times = instants(&clip, 10);
    let whole = on_cpu(&clip, &times, &[]);
    for (call, code, reason, proof) in FAULTS {
        fake.control(&[]);
        fake.clear_log();
        on(&node(), &fake, &[(&clip, &times)]).expect("a device");
        let last = fake.calls(call);
        assert!(last > *proof, "{call}: {last} calls");
        for nth in [proof + 1, (proof + 1 + last) / 2, last] {
            let name = format!("{call}@{nth}={code} of {last}");
            fake.control(&[&format!("{call}@{nth}={code}")]);
            let walked = on(&node(), &fake, &[(&clip, &times)]).expect("a device").remove(0);
            assert_eq!(walked.ended, *reason, "{name}: {}", walked.text);
            let rest = the_rest(&clip, &times, &walked, &whole, &name);
            assert!(!rest.pictures.is_empty(), "{name}: a fault without a loss");
        }
    }
}
