//! The choice between CPU and device, case by case, and what must hold of it whatever the constants are.

use proptest::prelude::*;

use super::*;
use crate::engine::capture::steps::Target;
use crate::model::coded::Coded;
use crate::model::media::{Field, FrameHeader, Need, PacketHead};

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
    let admitted = |offer: &[DeviceRow]| admit(&h264(), offer).cloned();
    assert_eq!(admitted(&[]), Err(Why::NoDevice));
    assert_eq!(admitted(std::slice::from_ref(&small)), Err(Why::TooLarge));
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
    let mut scales = Scales::new(coding, &card(), lanes, 1_000).expect("admitted");
    scales.add_work(work, 1_000, 0);
    scales.last()
}

#[test]
fn what_is_worth_a_device() {
    let hevc = || coding("hevc", 1, 8, 1920, 1080);
    let flushed = |work: Work| Work { flushes: work.runs, ..work };
    let closure =
        |work: Work, pictures| Work { cpu_pictures: pictures, cpu_bytes: pictures * 12_000, ..work };
    let light = |work: Work| Work { cpu_bytes: work.cpu_bytes / 12, ..work };
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
        ("a thousand key frames", h264(), 1, deep(1_000, 1), little),
        ("ten deep ones, two threads", h264(), 2, deep(10, 250), slower),
        ("a thousand, eight threads", h264(), 8, deep(1_000, 250), slower),
        ("the closure is a tenth", h264(), 1, closure(deep(10, 250), 250), little),
        ("the closure is half", h264(), 1, closure(deep(100, 250), 12_500), slower),
        ("hevc, one deep", hevc(), 1, deep(1, 250), slower),
        ("hevc, four deep", hevc(), 1, deep(4, 250), device),
        ("hevc, four flushed: it keeps its decoder", hevc(), 1, flushed(deep(4, 250)), device),
        ("hevc, ten bits", coding("hevc", 2, 10, 1920, 1080), 1, deep(3, 250), device),
        ("hevc, two threads", hevc(), 2, deep(10, 250), device),
        ("hevc, three threads", hevc(), 3, deep(10, 250), slower),
        ("small pictures never pay", coding("h264", 100, 8, 320, 180), 1, light(deep(1_000, 250)), little),
        ("mpeg-2 is cheap here", coding("mpeg2video", 4, 8, 1920, 1080), 1, deep(1_000, 15), slower),
        ("vp9", coding("vp9", 0, 8, 1920, 1080), 1, deep(10, 128), device),
        ("4k", coding("h264", 100, 8, 3840, 2160), 1, deep(2, 250), device),
    ];
    let mut wrong = Vec::new();
    for (name, coding, lanes, work, expected) in cases {
        let estimate =
            Scales { work, ..Scales::new(&coding, &card(), lanes, 1_000).expect("admitted") }.estimate();
        let found = verdict(&coding, lanes, work);
        if found != expected {
            wrong.push(format!("{name}: {found:?}, not {expected:?}: {estimate:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A run of `frames` frames that starts like this; every `step`th one is shown, nothing refers to it, and the closure
/// leaves it out unless it is a target. `targets` are places.
fn run(start: Start, frames: usize, step: usize, targets: &[usize]) -> SeekRun {
    let idle = |place: usize| place % step == step - 1;
    let head = |place: usize| PacketHead {
        pts: Some(place as i64),
        dts: Some(place as i64),
        duration: 1,
        size: 1_000,
        header: FrameHeader {
            start: if place == 0 { start } else { Start::No },
            key: place == 0,
            hidden: false,
            need: if idle(place) { Need::Target } else { Need::Always },
            field: Field::Frame,
            resilient: false,
        },
        coded: Coded::Unknown,
    };
    let heads: Vec<PacketHead> = (0..frames).map(head).collect();
    let target = |place: &usize| Target {
        seq: 7 + *place as u64,
        head: heads[*place].clone(),
        wants: vec![0],
        is_last: false,
    };
    let sent = |place| if targets.contains(&place) || place % 4 == 0 { Sent::Whole } else { Sent::No };
    SeekRun {
        first: 7,
        start,
        exact_from: 0,
        sent: (0..frames).map(sent).collect(),
        unfit: None,
        targets: targets.iter().map(target).collect(),
        heads,
    }
}

#[test]
fn a_run_is_counted_for_both_sides() {
    // The closure: 0, 4, 8, 11. The codec's rule: all but 2, 5, 8; the target 11 is one of its kind.
    let work = Work::of_run(&run(Start::Clean, 12, 3, &[11]));
    let expected =
        Work { runs: 1, flushes: 0, targets: 1, cpu_pictures: 4, cpu_bytes: 4_000, device_pictures: 9 };
    assert_eq!(work, expected);
    assert_eq!(Work::of_run(&run(Start::Open, 12, 3, &[5, 11])).flushes, 1);
    let both = Work::of_run(&run(Start::After(3), 12, 3, &[5, 11])).plus(expected);
    assert_eq!((both.runs, both.flushes, both.targets, both.cpu_pictures), (2, 1, 3, 9));
    let mut parts = run(Start::Clean, 1, 2, &[0]);
    parts.sent[0] = Sent::Parts { bytes: [(0, 100), (300, 350)].into(), pictures: 2 };
    let work = Work::of_run(&parts);
    assert_eq!((work.cpu_pictures, work.cpu_bytes, work.device_pictures), (2, 150, 2));
}

#[test]
fn when_no_more_may_wait_what_is_there_decides() {
    let scales = || Scales::new(&h264(), &card(), 1, 1_000).expect("admitted");
    let mut full = scales();
    assert_eq!(full.add_work(deep(1, 50), 1, POOL_PAYLOAD_BYTES_MAX), Verdict::Undecided);
    assert_eq!(full.add_work(deep(1, 50), 1, 1), Verdict::Cpu(Why::TooLittleWork));
    assert_eq!(scales().add_work(deep(10, 250), 1, POOL_PAYLOAD_BYTES_MAX + 1), Verdict::Device);
    let (mut one, mut whole) = (scales(), run(Start::Clean, 250, 3, &[249]));
    whole.sent.fill(Sent::Whole);
    assert_eq!(one.add(&whole), Verdict::Undecided);
    assert_eq!((one.held, one.served), (250_000, 1));
    assert_eq!(one.estimate().against, Some(Why::TooLittleWork));
}

/// Ten times what there is, and four times that for what cannot be known, is asked before the waiting ends.
#[test]
fn nothing_waits_without_hope() {
    let heard = |lanes, wants, work| {
        Scales::new(&h264(), &card(), lanes, wants).expect("admitted").add_work(work, 1, 0)
    };
    for (lanes, wants, pictures, expected) in [
        (1, 1, 1, Verdict::Cpu(Why::TooLittleWork)),
        (1, 10, 1, Verdict::Cpu(Why::TooLittleWork)),
        (1, 10, 25, Verdict::Undecided),
        (1, 1_000, 1, Verdict::Cpu(Why::TooLittleWork)),
        (1, 1_000, 12, Verdict::Undecided),
        (2, 1_000, 250, Verdict::Cpu(Why::NotFaster)),
        (1, 2, 250, Verdict::Undecided),
        (1, 2, 1_000, Verdict::Device),
    ] {
        assert_eq!(heard(lanes, wants, deep(1, pictures)), expected, "{lanes} {wants} {pictures}");
    }
}

#[test]
fn words_differ() {
    let names: std::collections::BTreeSet<&str> = Why::ALL.iter().map(|why| why.name()).collect();
    assert_eq!(names.len(), Why::ALL.len());
}

fn any_coding() -> impl Strategy<Value = Coding> {
    let codec =
        prop::sample::select(vec!["h264", "hevc", "vp9", "av1", "mpeg2video", "mpeg4", "vp8", "ffv1"]);
    let profile = prop::sample::select(vec![-99, 0, 1, 2, 4, 15, 77, 100, 110]);
    let depth = prop::sample::select(vec![0u8, 8, 10, 12]);
    let chroma = prop::sample::select(vec![None, Some((1, 1)), Some((1, 0)), Some((0, 0))]);
    (codec, profile, depth, chroma, 0u32..9_000, 0u32..9_000).prop_map(
        |(codec, profile, depth, chroma, width, height)| Coding {
            codec: codec.to_owned(),
            profile,
            depth,
            chroma,
            width,
            height,
        },
    )
}

fn any_offer() -> impl Strategy<Value = Vec<DeviceRow>> {
    let one =
        (0usize..DeviceCodec::ALL.len(), prop::sample::select(vec![8u8, 10]), 16u32..9_000, 1u32..300_000)
            .prop_flat_map(|(codec, depth, side, macroblocks)| {
                prop::sample::select(vec![None, Some(true), Some(false)]).prop_map(move |proven| DeviceRow {
                    width_max: side,
                    height_max: side,
                    macroblocks_max: macroblocks,
                    proven,
                    ..row(DeviceCodec::ALL[codec], depth)
                })
            });
    prop::collection::vec(one, 0..6)
}

fn any_work() -> impl Strategy<Value = Work> {
    (0u64..3_000, 0u64..400, 0u64..400, 0u64..200_000, 0u64..300).prop_map(
        |(runs, cpu, more, bytes, flushes)| Work {
            runs,
            flushes: flushes.min(runs),
            targets: runs * 2,
            cpu_pictures: runs * cpu,
            cpu_bytes: runs * cpu * bytes,
            device_pictures: runs * (cpu + more),
        },
    )
}

proptest! {
    /// Twice as much of the same, or the same and more for the CPU alone, never turns a device's work back into the
    /// CPU's. (What costs a device more than the CPU may: a thousand key frames behind one deep run.)
    #[test]
    fn more_work_is_never_less_for_a_device(
        work in any_work(), k in 1u64..50, lanes in 1u32..9, more in 0u64..10_000, bytes in 0u64..1_000_000_000,
        width in 24u32..2_048, height in 8u32..2_048,
    ) {
        let coding = coding("hevc", 2, 10, width * 2, height * 2);
        if verdict(&coding, lanes, work) == Verdict::Device {
            prop_assert_eq!(verdict(&coding, lanes, work.times(k)), Verdict::Device);
            let heavier =
                Work { cpu_pictures: work.cpu_pictures + more, cpu_bytes: work.cpu_bytes + bytes, ..work };
            prop_assert_eq!(verdict(&coding, lanes, heavier), Verdict::Device);
            prop_assert_eq!(verdict(&coding, 1, work), Verdict::Device, "with fewer threads");
        }
    }

    /// Two parts that are each worth a device are so together.
    #[test]
    fn what_is_worth_it_apart_is_worth_it_together(one in any_work(), other in any_work(), lanes in 1u32..4) {
        let of = |work| verdict(&h264(), lanes, work);
        if of(one) == Verdict::Device && of(other) == Verdict::Device {
            prop_assert_eq!(of(one.plus(other)), Verdict::Device);
        }
    }

    /// What no row admits, no amount of work brings to a device; what one admits lies within its limits.
    #[test]
    fn a_device_gets_only_what_it_takes(coding in any_coding(), offer in any_offer(), work in any_work()) {
        let takes = |row: &DeviceRow| {
            row.class.codec.name() == coding.codec
                && row.class.depth == coding.depth
                && (row.width_min..=row.width_max).contains(&coding.width)
                && (row.height_min..=row.height_max).contains(&coding.height)
                && coding.width.div_ceil(16) * coding.height.div_ceil(16) <= row.macroblocks_max
                && row.proven != Some(false)
        };
        let even = coding.chroma == Some((1, 1)) && coding.width % 2 == 0 && coding.height % 2 == 0;
        match Scales::new(&coding, &offer, 1, 1_000) {
            Ok(mut scales) => {
                prop_assert!(even && offer.iter().any(takes));
                // It is not the verdict that limits it then, but the work.
                let found = scales.add_work(work, 1_000, 0);
                prop_assert_eq!(found == Verdict::Device, scales.last() == Verdict::Device);
            }
            Err(Why::Profile) => {}
            Err(_) => prop_assert!(!even || !offer.iter().any(takes)),
        }
    }

    /// The estimates only grow with the work.
    #[test]
    fn no_work_is_for_nothing(one in any_work(), other in any_work(), lanes in 1u32..9) {
        let of = |work| Scales { work, ..Scales::new(&h264(), &card(), lanes, 1_000).expect("admitted") }.estimate();
        let (part, whole) = (of(one), of(one.plus(other)));
        prop_assert!(part.cpu_us <= whole.cpu_us && part.cpu_wall_us <= whole.cpu_wall_us);
        prop_assert!(part.device_cpu_us <= whole.device_cpu_us && part.device_wall_us <= whole.device_wall_us);
    }
}
