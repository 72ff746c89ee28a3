//! Rows P12 to P21: odd and huge sizes, opacity, studio formats, and pictures that change in mid-stream.

use std::path::Path;

use crate::common::{clips, judge};
use crate::pictures::{first, insist_no_combs, still, woven};
use crate::tools::{check_footage, clip, grab_at};

const RED: [u8; 3] = [255, 0, 0];

#[test]
fn p12_odd_sizes_are_kept() {
    let red = "color=red:s=641x361:r=25,format=yuv444p";
    let vp9 = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-cpu-used", "8", "-deadline", "realtime"];
    for (name, coding) in [("p12.webm", &vp9[..]), ("p12.mp4", &["-c:v", "libx264", "-pix_fmt", "yuv444p"])] {
        let file = still(name, red, coding);
        let image = first(&file).1;
        assert_eq!(image.size(), (641, 361), "{name}");
        for place in [(0, 0), (640, 180), (320, 360), (640, 360)] {
            image.insist(place, RED, 8);
        }
        let moving = format!("m{name}");
        let source = ["-f", "lavfi", "-i", "testsrc=s=641x361:r=25:d=1"];
        judge::check(&clips::clip(&moving, &[&source[..], coding].concat()));
    }
    check_footage(&["vp9_odd_dims.webm"]);
}

fn huge(name: &str, size: &str, coding: &[&str]) -> std::path::PathBuf {
    still(name, &format!("color=red:s={size}:r=25"), &[&["-preset", "ultrafast"], coding].concat())
}

#[test]
fn p15_huge_and_flat_frames() {
    let file = huge("p15.mp4", "7680x4320", &["-c:v", "libx264", "-g", "1"]);
    // Twelve frames of this size would not fit.
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -v 1500000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_stillframe"), "grab"]);
    let folder = tempfile::tempdir().unwrap();
    limited.args(["--json", "--times-ms", "0,40,80", "--width", "320", "--threads", "1", "--out"]);
    let report = crate::common::json(limited.arg(folder.path()).arg(&file));
    for picture in report["pictures"].as_array().unwrap() {
        assert_eq!(
            (&picture["status"], &picture["width"], &picture["height"]),
            (&"ok".into(), &320.into(), &180.into())
        );
    }
    let file = huge("p15f.mp4", "8192x64", &["-c:v", "libx264"]);
    let image = first(&file).1;
    assert_eq!(image.size(), (4096, 32), "both sides shrink");
    // Coded as SD, read as HD, for want of a tag.
    image.insist((4095, 31), [255, 25, 0], 8);
    judge::check(&file);
}

#[test]
fn p15_a_frame_above_the_limit_is_refused_by_name() {
    for name in ["p15x.mp4", "p15x.mkv", "p15x.ts"] {
        let file = huge(name, "8192x4416", &["-c:v", "libx264"]);
        let got = grab_at(&file, &[0], &[]);
        assert_eq!(got.code, Some(1), "{name}: {}", got.report);
        let error = &got.report["error"];
        assert_eq!(
            (&error["code"], &error["stage"]),
            (&"too_large".into(), &"probe".into()),
            "{name}: {}",
            got.report
        );
        assert!(error["text"].as_str().unwrap().contains("8192x4416"), "{error}");
    }
}

#[test]
fn p16_sixteen_references_and_deep_b_pictures() {
    let deep = ["-c:v", "libx264", "-refs", "16", "-bf", "8", "-b_strategy", "0", "-g", "60"];
    for name in ["p16.mp4", "p16.ts"] {
        judge::check(&clip(name, "5", &deep));
    }
}

#[test]
fn p18_opacity_lies_on_a_set_colour() {
    let vp9 = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-cpu-used", "8", "-deadline", "realtime"];
    let prores = ["-c:v", "prores_ks", "-profile:v", "4", "-pix_fmt", "yuva444p10le"];
    for (name, coding) in [("p18.webm", &vp9[..]), ("p18.mov", &prores)] {
        // Left half clear, right half opaque.
        let source = "color=red@1.0:s=320x240:r=25,format=rgba,geq=r=255:g=0:b=0:a='255*gt(X\\,159)'";
        let file = still(name, source, coding);
        let image = first(&file).1;
        image.insist((60, 120), [0; 3], 6);
        image.insist((260, 120), RED, 6);
        judge::check(&file);
    }
}

#[test]
fn p19_black_and_white_are_pictures() {
    let lead = "color=black:s=160x90:r=25:d=2[a];testsrc2=s=160x90:r=25:d=4,fade=in:0:50[b];[a][b]concat";
    let file = clips::clip("p19.mp4", &["-f", "lavfi", "-i", lead, "-c:v", "libx264", "-g", "50"]);
    judge::check(&file);
    let got = grab_at(&file, &[1000, 1960, 2040, 5000], &[]);
    assert_eq!(got.statuses(), ["ok"; 4]);
    assert_eq!(got.numbers("shown_ms"), [1000, 1960, 2040, 5000], "no brighter neighbour is taken");
    got.image(0).insist((80, 45), [0; 3], 2);
    for (name, color, want) in [("p19b.mp4", "black", [0; 3]), ("p19w.mp4", "white", [255; 3])] {
        let image = first(&still(name, &format!("color={color}:s=64x64:r=25"), &["-c:v", "libx264"])).1;
        image.insist((32, 32), want, 2);
    }
    check_footage(&["long_h264_1080p_6min_lowrate.mp4"]);
}

#[test]
fn p21_studio_formats() {
    for name in ["p21.avi", "p21.mov"] {
        let file = woven(name, "bff", &["-c:v", "dvvideo", "-pix_fmt", "yuv420p"]);
        judge::check(&file);
        insist_no_combs(&grab_at(&file, &[480], &["--height", "288"]).image(0), name);
    }
    let mxf = ["-c:v", "mpeg2video", "-pix_fmt", "yuv422p", "-b:v", "5M", "-bf", "2", "-g", "12"];
    judge::check(&clip("p21.mxf", "2", &mxf));
    first(&still("p21r.mxf", "color=red:s=320x240:r=25", &mxf)).1.insist((160, 120), RED, 8);
    let mjpeg = ["-c:v", "mjpeg", "-pix_fmt", "yuvj422p", "-q:v", "2"];
    let halves = "color=black:s=160x96:r=25,drawbox=x=80:w=80:h=96:color=white:t=fill,scale=out_range=pc";
    for name in ["p21j.avi", "p21j.mov"] {
        let image = first(&still(name, halves, &mjpeg)).1;
        image.insist((20, 48), [0; 3], 2);
        image.insist((140, 48), [255; 3], 2);
        judge::check(&clip(name, "2", &mjpeg));
    }
    check_footage(&["camera_mjpeg_avi_640.avi"]);
}

/// Two transport streams, one behind the other, are one file.
#[track_caller]
fn in_one(parts: [&Path; 2], sizes: [(usize, usize); 2]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.ts");
    std::fs::write(&file, parts.map(|part| std::fs::read(part).unwrap()).concat()).unwrap();
    let truths = parts.map(|part| judge::truth(part, 0));
    let times: Vec<i64> = (0..160).step_by(7).map(|frame| frame * 40).collect();
    let got = grab_at(&file, &times, &[]);
    let mut of_each = [0, 0];
    for (index, picture) in got.pictures().iter().enumerate() {
        let pts = picture["pts"].as_i64().unwrap_or_else(|| panic!("{picture}"));
        let (which, frame) = (0..2)
            .find_map(|which| Some((which, truths[which].frames.iter().find(|frame| frame.pts == pts)?)))
            .unwrap_or_else(|| panic!("no frame has this pts: {picture}"));
        assert_eq!(which, usize::from(picture["asked_ms"].as_i64().unwrap() >= 4000), "{picture}");
        assert_eq!(
            (&picture["status"], &picture["frame_md5"]),
            (&"ok".into(), &frame.md5.clone().into()),
            "{picture}"
        );
        assert_eq!(got.image(index).size(), sizes[which], "{picture}");
        of_each[which] += 1;
    }
    assert!(of_each.iter().all(|count| *count > 5), "{of_each:?}");
}

#[test]
fn a_change_of_size_or_format_in_mid_stream() {
    // The first part begins two frames after the clock that it was told.
    let later = ["-output_ts_offset", "4.08"];
    let part = |name: &str, size: &str, more: &[&str]| {
        let source = format!("testsrc2=s={size}:r=25:d=4");
        let coding = ["-f", "lavfi", "-i", &source, "-c:v", "libx264", "-preset", "veryfast", "-g", "25"];
        clips::clip(name, &[&coding[..], more].concat())
    };
    let small = part("size_a.ts", "160x90", &["-pix_fmt", "yuv420p"]);
    let large = part("size_b.ts", "320x240", &[&["-pix_fmt", "yuv420p"], &later[..]].concat());
    let deep = part("format_b.ts", "160x90", &[&["-pix_fmt", "yuv420p10le"], &later[..]].concat());
    in_one([&small, &large], [(160, 90), (320, 240)]);
    in_one([&small, &deep], [(160, 90), (160, 90)]);
}
