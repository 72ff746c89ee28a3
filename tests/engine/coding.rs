//! What is told of how a stream is coded, seen by what `plan` makes of a device that takes it or does not; and `plan`
//! comes to what a walk comes to.

use super::*;
use common::{json, stillframe};
use serde_json::Value;

fn choice(clip: &Path, times: &str, offer: &str) -> Value {
    let mut plan = stillframe();
    plan.args(["plan", "--json", "--times-ms", times]).arg(clip);
    if !offer.is_empty() {
        plan.args(["--offer", offer]);
    }
    json(&mut plan)["backend"].clone()
}

fn tiny(name: &str, filter: &str, coding: &[&str]) -> PathBuf {
    let source = format!("testsrc2=size=160x96:rate=25:duration=1{filter}");
    clips::clip(name, &[&["-f", "lavfi", "-i", &source][..], coding].concat())
}

#[test]
fn depth_and_chroma_are_told_in_every_container() {
    let h264 = |format: &'static str| ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", format];
    let hevc = |format: &'static str| {
        ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-pix_fmt", format]
    };
    let vp9 = |format: &'static str| {
        ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", format]
    };
    let av1 = |format: &'static str| ["-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", format];
    let cases: [(&str, &[&str], &str, &str); 24] = [
        ("a.mp4", &h264("yuv420p"), "h264:8", "too_little_work"),
        ("a.mkv", &h264("yuv420p"), "h264:8", "too_little_work"),
        ("a.ts", &h264("yuv420p"), "h264:8", "too_little_work"),
        ("a.mp4", &h264("yuv420p"), "hevc:8", "unsupported_codec"),
        ("b.mp4", &h264("yuv422p"), "h264:8", "unsupported_profile"),
        ("b.ts", &h264("yuv422p"), "h264:8", "unsupported_profile"),
        ("c.mp4", &h264("yuv420p10le"), "h264:8", "unsupported_profile"),
        ("d.mp4", &hevc("yuv420p"), "hevc:8", "too_little_work"),
        ("d.mp4", &hevc("yuv420p"), "hevc:10", "unsupported_depth"),
        ("d.ts", &hevc("yuv420p"), "hevc:8", "too_little_work"),
        ("e.mp4", &hevc("yuv420p10le"), "hevc:10", "too_little_work"),
        ("e.mkv", &hevc("yuv420p10le"), "hevc:10", "too_little_work"),
        ("e.mkv", &hevc("yuv420p10le"), "hevc:8", "unsupported_depth"),
        ("f.mp4", &hevc("yuv422p10le"), "hevc:10", "unsupported_chroma"),
        ("g.webm", &vp9("yuv420p"), "vp9:8", "too_little_work"),
        ("h.webm", &vp9("yuv420p10le"), "vp9:8", "unsupported_depth"),
        ("h.mp4", &vp9("yuv420p10le"), "vp9:10", "too_little_work"),
        ("i.webm", &vp9("yuv444p"), "vp9:8", "unsupported_profile"),
        ("j.webm", &vp9("yuva420p"), "vp9:8", "unsupported_chroma"),
        ("k.mp4", &av1("yuv420p"), "av1:8", "too_little_work"),
        ("l.mkv", &av1("yuv420p10le"), "av1:10", "too_little_work"),
        ("m.mp4", &["-c:v", "mpeg4"], "mpeg4:8", "too_little_work"),
        ("n.webm", &["-c:v", "libvpx", "-deadline", "realtime"], "vp8:8", "too_little_work"),
        ("o.ts", &["-c:v", "mpeg2video"], "mpeg2video:8", "too_little_work"),
    ];
    for (name, coding, offer, expected) in cases {
        let clip = tiny(name, "", coding);
        let found = choice(&clip, "500", offer);
        assert_eq!((&found["choice"], &found["why"]), (&"cpu".into(), &expected.into()), "{name} {offer}");
    }
}

#[test]
fn sizes_are_held_against_the_device() {
    let clip = tiny("p.webm", ",scale=159:95", &["-c:v", "libvpx-vp9", "-deadline", "realtime"]);
    assert_eq!(choice(&clip, "0", "vp9:8")["why"], "odd_size");
    let clip = tiny("q.mp4", ",scale=160:40", &["-c:v", "mpeg4"]);
    assert_eq!(choice(&clip, "0", "mpeg4:8")["why"], "too_small");
}

#[test]
fn the_plan_tells_where_a_walk_would_decode() {
    let clip = offer::noise();
    let text = |times: &[i64]| times.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let (one, all) = (offer::ends(1), offer::ends(6));
    for (times, kinds, expected) in [
        (&one, "", ("cpu", Some("no_device"))),
        (&one, "h264:8", ("cpu", Some("too_little_work"))),
        (&all, "hevc:8,hevc:10", ("cpu", Some("unsupported_codec"))),
        (&all, "hevc:8,h264:8", ("device", None)),
    ] {
        let found = choice(&clip, &text(times), kinds);
        assert_eq!(
            (found["choice"].as_str(), found["why"].as_str()),
            (Some(expected.0), expected.1),
            "{found}"
        );
        let rows: Vec<_> =
            kinds.contains("h264").then(|| offer::row(DeviceCodec::H264)).into_iter().collect();
        let (ended, ..) = offer::walk(&clip, times, &rows, 1);
        assert_eq!(ended == Ended::DeviceWanted, expected.0 == "device", "{found}");
        for key in ["cpu_us", "cpu_wall_us", "device_cpu_us", "device_wall_us"] {
            assert!(found[key].as_u64().is_some_and(|us| us > 0), "{key}: {found}");
        }
    }
    let mut plan = stillframe();
    common::run(plan.args(["plan", "--times-ms", "0", "--offer", "h264:9"]).arg(&clip), 64);
    let said = common::run(stillframe().args(["plan", "--times-ms", "0"]).arg(&clip), 0);
    assert!(String::from_utf8_lossy(&said.stdout).contains("decoded on the cpu (no_device): about "));
}
