//! The choice between CPU and device, case by case, and what must hold of it whatever the constants are.

use proptest::prelude::*;

use super::*;
use crate::model::coded::Coded;
use crate::model::media::{Field, FrameHeader, Need, PacketHead};

use crate::engine::capture::steps::Target;

const fn row(codec: DeviceCodec, depth: u8) -> DeviceRow {
    DeviceRow {
        class: CodecClass { codec, depth },
        width_min: 48,
        height_min: 16,
        width_max: 4096,
        height_max: 4096,
        macroblocks_max: 65_536,
        proven: None,
    }
}

/// As a server's card without AV1.
fn card() -> Vec<DeviceRow> {
    use DeviceCodec::*;
    let classes = [(H264, 8), (Hevc, 8), (Hevc, 10), (Vp9, 8), (Vp9, 10), (Mpeg2, 8), (Mpeg4, 8), (Vp8, 8)];
    classes.map(|(codec, depth)| row(codec, depth)).to_vec()
}

fn coding(codec: &str, profile: i32, depth: u8, width: u32, height: u32) -> Coding {
    Coding { codec: codec.to_owned(), profile, depth, chroma: Some((1, 1)), width, height }
}

fn h264() -> Coding {
    coding("h264", 100, 8, 1920, 1080)
}

#[test]
fn what_is_admitted_and_why_not() {
    let hd = |codec: &str, profile, depth| coding(codec, profile, depth, 1920, 1080);
    let sized = |width, height| coding("h264", 100, 8, width, height);
    let cases: [(&str, Coding, Result<(), Why>); 38] = [
        ("high", h264(), Ok(())),
        ("main", hd("h264", 77, 8), Ok(())),
        ("constrained baseline", hd("h264", 578, 8), Ok(())),
        ("baseline", hd("h264", 66, 8), Ok(())),
        ("extended", hd("h264", 88, 8), Err(Why::Profile)),
        ("high 10", hd("h264", 110, 10), Err(Why::Profile)),
        ("high 10 intra", hd("h264", 110 | 1 << 11, 10), Err(Why::Profile)),
        ("ten bits said to be high", hd("h264", 100, 10), Err(Why::Depth)),
        ("profile not told", hd("h264", -99, 8), Err(Why::Profile)),
        ("depth not told", hd("h264", 100, 0), Err(Why::Profile)),
        ("4:2:2", Coding { chroma: Some((1, 0)), ..h264() }, Err(Why::Chroma)),
        ("4:4:4", Coding { chroma: Some((0, 0)), ..h264() }, Err(Why::Chroma)),
        ("4:4:0", Coding { chroma: Some((0, 1)), ..h264() }, Err(Why::Chroma)),
        ("grey", Coding { chroma: None, ..h264() }, Err(Why::Chroma)),
        ("hevc main", hd("hevc", 1, 8), Ok(())),
        ("hevc main 10", hd("hevc", 2, 10), Ok(())),
        ("hevc still picture", hd("hevc", 3, 8), Ok(())),
        ("hevc main 12", hd("hevc", 4, 12), Err(Why::Depth)),
        ("hevc screen content", hd("hevc", 9, 8), Err(Why::Profile)),
        ("vp9 profile 0", hd("vp9", 0, 8), Ok(())),
        ("vp9 profile 1", hd("vp9", 1, 8), Err(Why::Profile)),
        ("vp9 profile 2", hd("vp9", 2, 10), Ok(())),
        ("vp9 profile 2, twelve bits", hd("vp9", 2, 12), Err(Why::Depth)),
        ("vp8 has no profiles", hd("vp8", -99, 8), Ok(())),
        ("mpeg-2", hd("mpeg2video", 4, 8), Ok(())),
        ("mpeg-4 simple", hd("mpeg4", 0, 8), Ok(())),
        ("mpeg-4 advanced simple", hd("mpeg4", 15, 8), Ok(())),
        ("mpeg-4 studio", hd("mpeg4", 14, 10), Err(Why::Profile)),
        ("av1, no row", hd("av1", 0, 8), Err(Why::Codec)),
        ("vc-1, no row", hd("vc1", 3, 8), Err(Why::Codec)),
        ("prores is for no device", hd("prores", 2, 10), Err(Why::Codec)),
        ("odd width", sized(1279, 720), Err(Why::OddSize)),
        ("odd height", sized(1280, 719), Err(Why::OddSize)),
        ("both odd", sized(641, 361), Err(Why::OddSize)),
        ("too narrow", sized(46, 1080), Err(Why::TooSmall)),
        ("too low", sized(1920, 14), Err(Why::TooSmall)),
        ("too wide", sized(4098, 16), Err(Why::TooLarge)),
        ("the largest there is", sized(4096, 4096), Ok(())),
    ];
    for (name, coding, expected) in cases {
        assert_eq!(admit(&coding, &card()).map(|_| ()), expected, "{name}");
    }
}

#[test]
fn the_nearest_of_several_devices_tells_why() {
    let small = DeviceRow { width_max: 1280, ..row(DeviceCodec::H264, 8) };
    let few = DeviceRow { macroblocks_max: 8_159, ..row(DeviceCodec::H264, 8) };
    let broken = DeviceRow { proven: Some(false), ..row(DeviceCodec::H264, 8) };
    let good = DeviceRow { proven: Some(true), ..row(DeviceCodec::H264, 8) };
    let admitted = |offer: &[DeviceRow]| admit(&h264(), offer).map(Clone::clone);
    assert_eq!(admitted(&[]), Err(Why::NoDevice));
    assert_eq!(admitted(&[small.clone()]), Err(Why::TooLarge));
    // 120 x 68 = 8,160.
    assert_eq!(admitted(&[few.clone(), small.clone()]), Err(Why::TooManyMacroblocks));
    assert_eq!(admitted(&[DeviceRow { macroblocks_max: 8_160, ..few.clone() }]).map(|_| ()), Ok(()));
    assert_eq!(admitted(&[broken.clone(), few.clone()]), Err(Why::Unproven));
    assert_eq!(admitted(&[small, broken, few, good.clone()]), Ok(good));
    assert_eq!(admitted(&[row(DeviceCodec::Hevc, 8)]), Err(Why::Codec));
}

/// `runs` runs of `pictures` each with one target, 12 kB a picture.
fn deep(runs: u64, pictures: u64) -> Work {
    let all = runs * pictures;
    Work { runs, flushes: 0, targets: runs, cpu_pictures: all, cpu_bytes: all * 12_000, device_pictures: all }
}

fn verdict(coding: &Coding, lanes: u32, work: Work) -> Verdict {
    let mut scales = Scales::new(coding, &card(), lanes).expect("admitted");
    scales.add_work(work, 0);
    scales.last()
}

#[test]
fn what_is_worth_a_device() {
    let hevc = || coding("hevc", 1, 8, 1920, 1080);
    let flushed = |work: Work| Work { flushes: work.runs, ..work };
    let closure =
        |work: Work, pictures| Work { cpu_pictures: pictures, cpu_bytes: pictures * 12_000, ..work };
    let device = Verdict::Device;
    let little = Verdict::Cpu(Why::TooLittleWork);
    let slower = Verdict::Cpu(Why::NotFaster);
    let cases: [(&str, Coding, u32, Work, Verdict); 27] = [
        ("nothing", h264(), 1, Work::default(), little),
        ("a key frame", h264(), 1, deep(1, 1), little),
        ("a small key frame", coding("h264", 100, 8, 320, 180), 1, deep(1, 1), little),
        ("a large key frame", coding("h264", 100, 8, 3840, 2160), 1, deep(1, 1), little),
        ("a frame deep in a group", h264(), 1, deep(1, 250), little),
        ("ten of them", h264(), 1, deep(10, 250), device),
        ("ten of them, flushed each", h264(), 1, flushed(deep(10, 250)), device),
        ("ten of them in half a group, flushed", h264(), 1, flushed(deep(10, 60)), little),
        ("a hundred short runs, flushed", h264(), 1, flushed(deep(100, 12)), little),
        ("a thousand short runs, flushed", h264(), 1, flushed(deep(1_000, 12)), little),
        ("the same, not flushed", h264(), 1, deep(1_000, 12), device),
        ("ten key frames", h264(), 1, deep(10, 1), little),
        ("a thousand key frames", h264(), 1, deep(1_000, 1), slower),
        ("ten deep ones, two threads", h264(), 2, deep(10, 250), slower),
        ("a thousand, eight threads", h264(), 8, deep(1_000, 250), slower),
        ("the closure is a tenth", h264(), 1, closure(deep(10, 250), 250), little),
        ("the closure is half", h264(), 1, closure(deep(100, 250), 12_500), slower),
        ("hevc, one deep", hevc(), 1, deep(1, 250), little),
        ("hevc, four deep", hevc(), 1, deep(4, 250), device),
        ("hevc, four flushed: it keeps its decoder", hevc(), 1, flushed(deep(4, 250)), device),
        ("hevc, ten bits", coding("hevc", 2, 10, 1920, 1080), 1, deep(3, 250), device),
        ("hevc, two threads", hevc(), 2, deep(10, 250), device),
        ("hevc, three threads", hevc(), 3, deep(10, 250), slower),
        ("small pictures never pay", coding("h264", 100, 8, 320, 180), 1, deep(1_000, 250), slower),
        ("mpeg-2 is cheap here", coding("mpeg2video", 4, 8, 1920, 1080), 1, deep(1_000, 15), slower),
        ("vp9", coding("vp9", 0, 8, 1920, 1080), 1, deep(10, 128), device),
        ("4k", coding("h264", 100, 8, 3840, 2160), 1, deep(2, 250), device),
    ];
    for (name, coding, lanes, work, expected) in cases {
        let estimate = Scales { work, ..Scales::new(&coding, &card(), lanes).expect("admitted") }.estimate();
        assert_eq!(verdict(&coding, lanes, work), expected, "{name}: {estimate:?}");
    }
}
