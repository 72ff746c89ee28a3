//! Planes and JPEGs of every target are the CPU's, whatever the codec and however the runs lie.
//!
//! Owns the clips, and the instants that are asked for. Never lets a picture pass that the double did not know.

use std::path::{Path, PathBuf};

use stillframe::model::device::{CodecClass, DeviceCodec};

use crate::child::{CUDA, child, on, on_cpu, on_device};
use crate::common;
use crate::common::clips;
use crate::common::fake::{Fake, cuda, table};
use crate::common::judge::{Dice, name, product_view};

/// The built-in clip that a kind of stream is proved with.
pub fn proof(class: CodecClass) -> PathBuf {
    let name = format!("{}_{}.mkv", class.codec.name(), class.depth);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/media/proof").join(name)
}

pub const H264: CodecClass = CodecClass { codec: DeviceCodec::H264, depth: 8 };

pub const fn class(codec: DeviceCodec, depth: u8) -> CodecClass {
    CodecClass { codec, depth }
}

/// Two seconds of motion.
pub fn made(name: &str, coding: &str) -> PathBuf {
    let source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"];
    clips::clip(name, &[&source[..], &coding.split_whitespace().collect::<Vec<_>>()].concat())
}

/// A double that knows the clip and what its kind is proved with.
pub fn knowing(class: CodecClass, clip: &Path) -> Fake {
    let proof = proof(class);
    cuda::knowing(&[clip, &proof])
}

/// So many instants, each some time of the clip, the first and the last among them.
pub fn instants(clip: &Path, count: usize) -> Vec<i64> {
    let end = product_view(clip)["duration_ms"].as_i64().expect("a duration");
    let mut dice = Dice::new(name(clip));
    let mut times = vec![0, end - 1];
    times.extend((2..count).map(|_| dice.below(end)));
    times.sort_unstable();
    times
}

/// A single one, some, and many that share runs: on the double as on the CPU.
fn is_exact(class: CodecClass, clip: &Path, settings: &[&str]) {
    let fake = knowing(class, clip);
    fake.control(settings);
    is_exact_on(CUDA, &fake, clip);
    let strict = !settings.contains(&"strict=0");
    assert!(!strict || fake.misses() == 0, "{}: {} misses", clip.display(), fake.misses());
}

/// The same on the device `id` of the double.
pub fn is_exact_on(id: &str, fake: &Fake, clip: &Path) {
    let (backend, _) = id.split_once(':').unwrap();
    let choices = [1, 5, 40].map(|count| instants(clip, count.max(2))[..count].to_vec());
    let walks: Vec<(&Path, &[i64])> = choices.iter().map(|times| (clip, &times[..])).collect();
    let walked = on(id, fake, &walks).unwrap_or_else(|refused| panic!("{}: {refused:?}", clip.display()));
    for (times, walked) in choices.iter().zip(walked) {
        let name = format!("{} at {times:?}", clip.display());
        assert_eq!((walked.ended.as_str(), walked.text.as_str()), ("done", ""), "{name}");
        assert!(walked.twice.is_empty() && walked.failed.is_empty(), "{name}: {walked:?}");
        let cpu = on_cpu(clip, times, &[]);
        assert_eq!(cpu.pictures.len(), times.len(), "{name}: {cpu:?}");
        assert_eq!(walked.pictures.len(), times.len(), "{name}");
        for (asked, picture) in &walked.pictures {
            assert_eq!(picture.backend, backend, "{name}");
            let wanted = cpu.pictures[asked].content();
            assert_eq!(picture.content(), wanted, "{name}: {} ms", times[*asked as usize]);
        }
    }
    fake.assert_nothing_left();
}

pub fn what_a_device_says_of_itself() {
    let fake = cuda::fake_cuda();
    let told = child(CUDA, &fake, &[]);
    assert_ne!(told["model"].as_str(), Some(""), "{told}");
    let rows = told["rows"].as_array().expect("rows");
    let row = |name: &str| rows.iter().find(|row| row["class"] == name);
    assert_eq!(row("h264 8 bit").expect("H.264")["max"][0], 4096);
    assert!(
        row("hevc 10 bit").is_some() && row("av1 8 bit").is_none() && row("h264 10 bit").is_none(),
        "{told}"
    );
    assert!(rows.iter().all(|row| row["proven"].is_null()), "nothing was decoded yet: {told}");
    fake.assert_nothing_left();
}

pub fn h264() {
    let x264 = |name: &str, parameters: &str| {
        is_exact(H264, &made(name, &format!("-c:v libx264 -pix_fmt yuv420p -x264-params {parameters}")), &[]);
    };
    x264("device_pyramid.mp4", "keyint=12:bframes=3:b-pyramid=normal");
    x264("device_references.mkv", "keyint=25:ref=6:bframes=5:weightp=2");
    x264("device_slices.ts", "keyint=10:slices=4:aud=1");
    x264("device_fields.mp4", "keyint=12:tff=1:bframes=2");
    x264("device_range.mp4", "keyint=20:fullrange=on");
}

pub fn h264_that_is_entered_in_open_groups() {
    let open = "-c:v libx264 -pix_fmt yuv420p -x264-params keyint=10:open-gop=1:bframes=3:scenecut=0";
    // Reference lists are others there than in the whole clip.
    is_exact(H264, &made("device_open.mp4", open), &["strict=0"]);
    is_exact(H264, &made("device_open.ts", open), &["strict=0"]);
}

pub fn hevc() {
    for (depth, format) in [(8, "yuv420p"), (10, "yuv420p10le")] {
        for (kind, settings) in [(0, &[][..]), (1, &["strict=0"])] {
            let x265 =
                format!("-c:v libx265 -x265-params keyint=12:open-gop={kind}:bframes=4:log-level=error");
            let name = format!("device_hevc_{depth}_{kind}.mp4");
            let clip = made(&name, &format!("{x265} -pix_fmt {format}"));
            is_exact(class(DeviceCodec::Hevc, depth), &clip, settings);
        }
    }
}

pub fn vp9() {
    let vp9 = "-c:v libvpx-vp9 -cpu-used 8 -b:v 400k -g 12 -auto-alt-ref 1 -lag-in-frames 8 -pix_fmt";
    is_exact(class(DeviceCodec::Vp9, 8), &made("device_vp9.webm", &format!("{vp9} yuv420p")), &[]);
    is_exact(class(DeviceCodec::Vp9, 10), &made("device_vp9_10.webm", &format!("{vp9} yuv420p10le")), &[]);
}

pub fn av1() {
    let offered = ["caps.codec=+av1,+av1-10"];
    let av1 = "-c:v libsvtav1 -preset 10 -g 15 -pix_fmt";
    is_exact(class(DeviceCodec::Av1, 8), &made("device_av1.mp4", &format!("{av1} yuv420p")), &offered);
    is_exact(
        class(DeviceCodec::Av1, 10),
        &made("device_av1_10.mp4", &format!("{av1} yuv420p10le")),
        &offered,
    );
}

pub fn the_others() {
    let clip = made("device_mpeg2.ts", "-c:v mpeg2video -bf 2 -g 12 -q:v 4");
    is_exact(class(DeviceCodec::Mpeg2, 8), &clip, &[]);
    let clip = made("device_mpeg2_fields.ts", "-c:v mpeg2video -bf 2 -g 12 -flags +ildct+ilme -q:v 4");
    is_exact(class(DeviceCodec::Mpeg2, 8), &clip, &[]);
    let clip = made("device_mpeg4.mkv", "-c:v mpeg4 -bf 2 -g 12 -q:v 4");
    is_exact(class(DeviceCodec::Mpeg4, 8), &clip, &[]);
}

/// Footage, as much of it as is decoded (seconds), and what the double must be told. The rest is not for a device:
/// 4:2:2, odd sizes, opacity, no times, no decoder.
const FOOTAGE: &[(&str, CodecClass, &str, &[&str])] = &[
    ("av1_960x540_gop100.mp4", class(DeviceCodec::Av1, 8), "3", &["caps.codec=+av1"]),
    ("av1_hdr10_1080p60_mdcv.mp4", class(DeviceCodec::Av1, 10), "0.4", &["caps.codec=+av1-10"]),
    ("bbb_h264_720p_1gop.mp4", H264, "1", &[]),
    ("bbb_h264_bpyramid_3b_sar.mp4", H264, "2", &[]),
    ("bbb_h264_nonref_3b.mp4", H264, "2", &[]),
    ("bbb_mpeg2_1080p24.ts", class(DeviceCodec::Mpeg2, 8), "1", &[]),
    ("bbb_vp9_sar.mp4", class(DeviceCodec::Vp9, 8), "2", &[]),
    ("camera_h264_1080i_mts_a7m3.mts", H264, "0.5", &[]),
    ("cctv_h264_768x432_gop10.mp4", H264, "2", &[]),
    ("decord_pancake.mkv", H264, "4", &[]),
    ("h264_edts.mp4", H264, "2", &[]),
    ("h264_nasa_two_streams.mp4", H264, "4", &[]),
    ("h264_start_852ms.mp4", H264, "3", &[]),
    ("hevc_1080p30_10s.mp4", class(DeviceCodec::Hevc, 8), "1", &[]),
    ("long_h264_1080p_6min_lowrate.mp4", H264, "1", &[]),
    ("phone_h264_1080p30_android.mp4", H264, "1", &[]),
    ("phone_h264_360p_rot90_gps.mov", H264, "2", &[]),
    ("phone_h264_720p_vfr_ducks.mp4", H264, "2", &[]),
    ("phone_hevc10_dolbyvision84_rot90.mov", class(DeviceCodec::Hevc, 10), "1", &[]),
    ("phone_hevc10_hdr10_vfr.mp4", class(DeviceCodec::Hevc, 10), "1", &[]),
    ("phone_hevc10_hlg_editlist_rot90.mp4", class(DeviceCodec::Hevc, 10), "1", &[]),
    ("screencast_h264_vfr_1080p.mkv", H264, "1", &[]),
    ("ts_hevc_1080p24.ts", class(DeviceCodec::Hevc, 8), "1", &[]),
    ("ts_missing_key_flags_720p60.ts", H264, "1", &[]),
];

pub fn footage() {
    let mut failed = Vec::new();
    for (name, class, seconds, settings) in FOOTAGE {
        let Some(whole) = common::footage(name) else { return };
        let cut = ["-i", whole.to_str().unwrap(), "-t", seconds, "-map", "0:v:0", "-c", "copy"];
        let clip = clips::clip(&format!("device_{name}"), &cut);
        if std::panic::catch_unwind(|| is_exact(*class, &clip, settings)).is_err() {
            failed.push(name);
        } else {
            table::forget(&clip);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

pub fn what_does_not_fit_is_refused_before_it_is_decoded() {
    let x264 = |name: &str, more: &str| made(name, &format!("-c:v libx264 -g 10 {more}"));
    let odd = "-vf scale=161:131 -pix_fmt yuv420p -c:v libvpx-vp9 -cpu-used 8 -g 10";
    let refused: [(PathBuf, &[&str], &str, &str); 9] = [
        (x264("device_ten.mkv", "-pix_fmt yuv420p10le"), &[], "unsupported", "profile"),
        (x264("device_422.mkv", "-pix_fmt yuv422p"), &[], "unsupported", "profile"),
        (made("device_odd.webm", odd), &[], "unsupported", "odd"),
        (x264("device_plain.mp4", "-pix_fmt yuv420p"), &["caps.max=319x4096"], "unsupported", "large"),
        (x264("device_plain.mp4", "-pix_fmt yuv420p"), &["caps.codec=-h264"], "unsupported", "codec"),
        (
            made("device_av1.mp4", "-c:v libsvtav1 -preset 10 -g 15 -pix_fmt yuv420p"),
            &[],
            "unsupported",
            "codec",
        ),
        (made("device_vvc.mov", "-c:v prores"), &[], "unsupported", "codec"),
        (x264("device_plain.avi", "-pix_fmt yuv420p -bf 2"), &[], "linear", "first packet"),
        (
            x264("device_refresh.mp4", "-pix_fmt yuv420p -x264-params intra-refresh=1:keyint=10"),
            &[],
            "unsupported",
            "recovery",
        ),
    ];
    for (clip, settings, reason, word) in refused {
        let fake = cuda::fake_cuda();
        fake.knows(&proof(H264));
        fake.control(settings);
        let walked = on_device(&fake, &[(&clip, &[1500])]).expect("a device").remove(0);
        let name = format!("{}: {walked:?}", clip.display());
        assert_eq!(walked.ended, reason, "{name}");
        assert!(walked.text.contains(word), "{name}");
        assert!(
            walked.pictures.is_empty() && walked.failed.is_empty() && walked.frames_decoded == 0,
            "{name}"
        );
        // Where only the plan tells, the kind was proved before.
        let decoders = fake.calls("CreateDecoder");
        assert_eq!(decoders, usize::from(matches!(word, "first packet" | "recovery")), "{name}");
        fake.assert_nothing_left();
    }
}

pub fn clean_runs_keep_their_decoder() {
    let times: Vec<i64> = (0..10).map(|n| n * 200 + 100).collect();
    let decoders = |clip: &Path, settings: &[&str]| {
        let fake = knowing(H264, clip);
        fake.control(settings);
        let walked = on_device(&fake, &[(clip, &times)]).expect("a device").remove(0);
        assert_eq!((walked.ended.as_str(), walked.pictures.len()), ("done", times.len()), "{walked:?}");
        // One is made for the proof.
        fake.calls("CreateDecoder") - 1
    };
    assert_eq!(decoders(&crate::faults::grouped(), &[]), 1);
    let open = "-c:v libx264 -pix_fmt yuv420p -x264-params keyint=10:open-gop=1:bframes=3:scenecut=0";
    // FFmpeg makes a new one after each flush.
    assert_eq!(decoders(&made("device_open.mp4", open), &["strict=0"]), 5);
}
