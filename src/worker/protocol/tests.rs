//! Every message comes back as it went, and no bytes at all make the reader panic.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::model::delivery::{Message, Planned, PlannedJob, PlannedPoint};
use crate::model::device::{CodecClass, DeviceCodec, DeviceFacts, DeviceRow, Refusal};
use crate::model::job::{
    BatchJob, Death, Ended, FailCode, Failure, Grant, Stage, StagesUs, Stats, VideoBatch,
};
use crate::model::media::{Backend, Hdr, MediaFacts};
use crate::model::snapshot::{EncodedImage, ImageKind, PointKey, PointStatus, Shown};
use crate::model::spec::{AskedSize, FrameType, Points, SnapshotSpec, SpriteSpec};
use crate::model::time::TimeBase;

fn split(frame: &[u8]) -> (Head, &[u8]) {
    let (head, payload) = frame.split_first_chunk::<HEAD_BYTES>().expect("a head");
    let head = Head::decode(*head).expect("a good head");
    assert_eq!(head.len as usize, payload.len());
    (head, payload)
}

fn key() -> impl Strategy<Value = PointKey> {
    (any::<u32>(), any::<u32>()).prop_map(|(job, asked)| PointKey { job, asked })
}

fn keys() -> impl Strategy<Value = Vec<PointKey>> {
    prop::collection::vec(key(), 0..40)
}

fn failure() -> impl Strategy<Value = Failure> {
    (select(FailCode::ALL.to_vec()), select(Stage::ALL.to_vec()), ".{0,60}")
        .prop_map(|(code, stage, text)| Failure::new(code, stage, text))
}

fn stats() -> impl Strategy<Value = Stats> {
    (prop::array::uniform14(0u64..=1 << 48), prop::array::uniform(0u64..=1 << 48)).prop_map(
        |(n, unfit_runs)| Stats {
            opens: n[0],
            seeks: n[1],
            seek_runs: n[2],
            packets_read: n[3],
            packets_decoded: n[4],
            packets_skipped: n[5],
            frames_decoded: n[6],
            unfit_runs,
            cpu_us: n[7],
            wall_us: n[8],
            stages_us: StagesUs { open: n[9], plan: n[10], decode: n[11], convert: n[12], encode: n[13] },
        },
    )
}

fn media() -> impl Strategy<Value = MediaFacts> {
    let names = ("[a-z0-9]{0,20}", "[a-z0-9]{0,20}");
    let sizes = prop::array::uniform8(any::<u32>());
    let times = (any::<Option<i64>>(), any::<i64>(), 1i64.., 1i64.., any::<Option<u64>>());
    (names, sizes, times, select(vec![Hdr::None, Hdr::Pq, Hdr::Hlg])).prop_map(|(names, n, times, hdr)| {
        MediaFacts {
            container: names.0,
            stream: n[0],
            codec: names.1,
            width: n[1],
            height: n[2],
            display_width: n[3],
            display_height: n[4],
            rotation: n[5],
            sar: (n[6], n[7]),
            duration_ms: times.0,
            start_pts: times.1,
            time_base: TimeBase { num: times.2, den: times.3 },
            key_frames: times.4,
            hdr,
        }
    })
}

fn planned() -> impl Strategy<Value = Planned> {
    let point =
        (any::<i64>(), any::<bool>()).prop_map(|(asked_ms, past_end)| PlannedPoint { asked_ms, past_end });
    let job = (prop::collection::vec(point, 0..30), any::<u32>(), any::<u32>())
        .prop_map(|(points, sheets, cells_per_sheet)| PlannedJob { points, sheets, cells_per_sheet });
    (media(), prop::collection::vec(job, 0..5)).prop_map(|(media, jobs)| Planned { media, jobs })
}

fn shown() -> impl Strategy<Value = Shown> {
    use PointStatus::{Concealed, Failed, FirstFrame, LastFrame, Ok, PastEnd};
    let status = select(vec![Ok, FirstFrame, LastFrame, PastEnd, Concealed, Failed]);
    let backend = select(vec![Backend::Cpu, Backend::Cuda, Backend::Vaapi]);
    let numbers = (any::<i64>(), any::<i64>(), any::<u32>(), any::<u32>());
    (status, numbers, any::<bool>(), backend, any::<Option<[u8; 16]>>()).prop_map(
        |(status, (shown_ms, pts, width, height), key_frame, backend, frame_md5)| Shown {
            status,
            shown_ms,
            pts,
            width,
            height,
            key_frame,
            backend,
            frame_md5,
        },
    )
}

fn image() -> impl Strategy<Value = EncodedImage> {
    let kind = prop_oneof![
        any::<u32>().prop_map(|asked| ImageKind::Picture { asked }),
        any::<u32>().prop_map(|number| ImageKind::Sheet { number }),
    ];
    let middle = prop::collection::vec(any::<u8>(), 0..300);
    (any::<u32>(), kind, 1u32..=65_535, 1u32..=65_535, middle).prop_map(
        |(job, kind, width, height, middle)| {
            let bytes = [&[0xFF, 0xD8], &middle[..], &[0xFF, 0xD9]].concat();
            EncodedImage { job, kind, width, height, bytes }
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        planned().prop_map(Message::Planned),
        (keys(), stats()).prop_map(|(points, stats)| Message::RunBegins { points, stats }),
        keys().prop_map(|points| Message::RunEnds { points }),
        (key(), shown()).prop_map(|(point, shown)| Message::Shown { point, shown }),
        image().prop_map(Message::Image),
        (key(), failure()).prop_map(|(point, failure)| Message::PointFailed { point, failure }),
        (any::<bool>(), ".{0,100}").prop_map(|(warning, text)| Message::Note { warning, text }),
    ]
}

fn ended() -> impl Strategy<Value = Ended> {
    use Death::{Crash, Killed, OutOfMemory, Timeout, Zygote};
    prop_oneof![
        Just(Ended::Done),
        Just(Ended::Stopped),
        (select(Refusal::ALL.to_vec()), ".{0,60}").prop_map(|(reason, text)| Ended::Refused { reason, text }),
        Just(Ended::DeviceWanted),
        failure().prop_map(Ended::Failed),
        select(vec![Crash, Timeout, OutOfMemory, Zygote, Killed]).prop_map(|cause| Ended::Died { cause }),
    ]
}

fn size() -> impl Strategy<Value = AskedSize> {
    (any::<Option<u32>>(), any::<Option<u32>>()).prop_map(|(width, height)| AskedSize { width, height })
}

fn spec() -> impl Strategy<Value = SnapshotSpec> {
    let points =
        prop_oneof![
            prop::collection::vec(any::<i64>(), 0..30).prop_map(Points::List),
            (any::<i64>(), any::<u32>(), any::<i64>())
                .prop_map(|(offset_ms, count, interval_ms)| Points::Every { offset_ms, count, interval_ms }),
            (any::<i64>(), any::<u32>()).prop_map(|(offset_ms, count)| Points::Even { offset_ms, count }),
            (any::<i64>(), any::<i64>(), any::<u32>())
                .prop_map(|(offset_ms, interval_ms, most)| Points::ToEnd { offset_ms, interval_ms, most }),
            Just(Points::None),
        ];
    let sprite = prop::option::of((size(), prop::array::uniform4(any::<u32>()), any::<[u8; 3]>()).prop_map(
        |(cell, n, color)| SpriteSpec {
            cell,
            columns: n[0],
            lines: n[1],
            padding: n[2],
            margin: n[3],
            color,
        },
    ));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u32>());
    (points, size(), any::<u8>(), sprite, flags).prop_map(|(points, size, quality, sprite, flags)| {
        let frame_type = if flags.0 { FrameType::Intra } else { FrameType::Normal };
        SnapshotSpec {
            points,
            size,
            quality,
            frame_type,
            tolerance_ms: flags.3,
            sprite,
            keep_pictures: flags.1,
            frame_md5: flags.2,
        }
    })
}

fn device_row() -> impl Strategy<Value = DeviceRow> {
    let numbers = prop::array::uniform5(any::<u32>());
    (class(), numbers, any::<Option<bool>>()).prop_map(|(class, n, proven)| DeviceRow {
        class,
        width_min: n[0],
        height_min: n[1],
        width_max: n[2],
        height_max: n[3],
        macroblocks_max: n[4],
        proven,
    })
}

fn batch() -> impl Strategy<Value = VideoBatch> {
    let list = || prop::collection::vec(any::<u32>(), 0..20);
    let job =
        (spec(), list(), list(), list()).prop_map(|(spec, pictures_done, sheets_done, points_failed)| {
            BatchJob { spec, pictures_done, sheets_done, points_failed }
        });
    let offer = prop::collection::vec(device_row(), 0..5);
    (prop::collection::vec(job, 0..5), any::<Option<u32>>(), any::<u64>(), offer).prop_map(
        |(jobs, stream, frame_pixels_max, offer)| VideoBatch { jobs, stream, frame_pixels_max, offer },
    )
}

fn control() -> impl Strategy<Value = Control> {
    let how = prop_oneof![any::<i32>().prop_map(How::Code), any::<i32>().prop_map(How::Signal)];
    prop_oneof![
        "[ -~]{0,80}".prop_map(|build| Control::Greeting { build }),
        any::<u64>().prop_map(|id| Control::Fork { id }),
        (any::<u64>(), any::<u32>()).prop_map(|(id, pid)| Control::Forked { id, pid }),
        (any::<u64>(), any::<i32>()).prop_map(|(id, errno)| Control::ForkFailed { id, errno }),
        (any::<u64>(), how, any::<u64>(), any::<u64>()).prop_map(|(id, how, cpu_us, peak_rss_kib)| {
            Control::Exited { id, exit: Exit { how, cpu_us, peak_rss_kib } }
        }),
        facts().prop_map(|facts| Control::Opened { facts }),
        reason().prop_map(|why| Control::Unopened { why }),
        any::<u64>().prop_map(|id| Control::Serve { id }),
        class().prop_map(|class| Control::Prove { class }),
        (class(), prop::option::of(reason())).prop_map(|(class, why_not)| Control::Proved { class, why_not }),
    ]
}

fn class() -> impl Strategy<Value = CodecClass> {
    (select(DeviceCodec::ALL.to_vec()), any::<u8>()).prop_map(|(codec, depth)| CodecClass { codec, depth })
}

fn reason() -> impl Strategy<Value = (Refusal, String)> {
    (select(Refusal::ALL.to_vec()), "[ -~]{0,2048}")
}

// As many rows as there are kinds of stream.
fn facts() -> impl Strategy<Value = DeviceFacts> {
    ("[ -~]{0,256}", prop::collection::vec(device_row(), 0..=30))
        .prop_map(|(model, rows)| DeviceFacts { model, rows })
}

// The whole of a reader: what a receiver does with bytes off the wire.
fn read_anything(bytes: &[u8]) {
    let Some((head, payload)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return;
    };
    if let Ok(head) = Head::decode(*head) {
        let payload = &payload[..payload.len().min(head.len as usize)];
        // Both refuse the other direction's kinds, so at most one of them reads it.
        let said = decode_said(head.kind, payload);
        let order = decode_order(head.kind, payload);
        assert!(said.is_err() || order.is_err());
    }
    if let Ok(control) = decode_control(bytes) {
        assert_eq!(encode_control(&control).as_deref(), Ok(bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn messages_come_back(message in message()) {
        let frame = encode_message(&message).expect("within the limits");
        let (head, payload) = split(&frame);
        let back = match decode_said(head.kind, payload).expect("a message") {
            Said::Message(message) => message,
            Said::Image(header) => {
                let Message::Image(image) = &message else { panic!("became an image") };
                prop_assert_eq!(header.bytes as usize, image.bytes.len());
                Message::Image(header.with_bytes(image.bytes.clone()).expect("a JPEG"))
            }
            Said::Ended(..) => panic!("became an end"),
        };
        prop_assert_eq!(back, message);
    }

    #[test]
    fn the_end_comes_back(ended in ended(), stats in stats()) {
        let frame = encode_ended(&ended, &stats).expect("within the limits");
        let (head, payload) = split(&frame);
        prop_assert_eq!(decode_said(head.kind, payload), Ok(Said::Ended(ended, stats)));
    }

    #[test]
    fn batches_come_back(batch in batch(), threads: u32, bytes: u64) {
        let grant = Grant { threads, bytes };
        let frame = encode_batch(&batch, grant).expect("within the limits");
        let (head, payload) = split(&frame);
        prop_assert_eq!(decode_order(head.kind, payload), Ok(Order::Batch(batch, grant)));
    }

    #[test]
    fn control_comes_back(control in control()) {
        let datagram = encode_control(&control).expect("within the limits");
        prop_assert!(datagram.len() <= CONTROL_BYTES_MAX);
        prop_assert_eq!(decode_control(&datagram), Ok(control));
    }

    #[test]
    fn a_cut_message_is_refused(message in message(), at: Index) {
        let frame = encode_message(&message).expect("within the limits");
        let (head, payload) = split(&frame);
        if !payload.is_empty() {
            prop_assert!(decode_said(head.kind, &payload[..at.index(payload.len())]).is_err());
        }
        let mut longer = payload.to_vec();
        longer.push(0);
        prop_assert_eq!(decode_said(head.kind, &longer), Err(Malformed::LeftOver));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_anything(&bytes);
    }

    #[test]
    fn no_payload_behind_a_good_head_makes_it_panic(
        kind in select(vec![1u8, 2, 16, 17, 18, 19, 20, 21, 22, 23, 32, 33, 34, 35, 36, 40, 41, 42, 43, 44]),
        // Small bytes hit the tags, flags and counts far more often.
        payload in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..300),
    ) {
        let mut bytes = vec![VERSION, kind];
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&payload);
        read_anything(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_flipped_byte_never_panics(message in message(), batch in batch(), at: Index, to: u8) {
        for mut frame in [
            encode_message(&message).expect("within the limits"),
            encode_batch(&batch, Grant { threads: 1, bytes: 1 }).expect("within the limits"),
        ] {
            let at = at.index(frame.len());
            frame[at] = to;
            read_anything(&frame);
        }
    }
}

#[test]
fn lengths_are_refused_before_anything_is_read() {
    let check = |kind: Kind, len: u32, good: bool| {
        let [a, b, c, d] = len.to_le_bytes();
        let head = Head::decode([VERSION, kind as u8, a, b, c, d]);
        assert_eq!(head.is_ok(), good, "{kind:?} of {len} bytes");
    };
    check(Kind::Planned, MESSAGE_BYTES_MAX, true);
    check(Kind::Planned, MESSAGE_BYTES_MAX + 1, false);
    check(Kind::Stop, 0, true);
    check(Kind::Stop, 1, false);
    check(Kind::Image, 21, true);
    check(Kind::Image, 22, false);
    check(Kind::Note, u32::MAX, false);
    check(Kind::Ended, 1 << 20, false);
    assert_eq!(Head::decode([VERSION + 1, 2, 0, 0, 0, 0]), Err(Malformed::Version(VERSION + 1)));
    assert_eq!(Head::decode([VERSION, 99, 0, 0, 0, 0]), Err(Malformed::Kind(99)));
}

#[test]
fn a_probe_is_the_smallest_batch_and_is_read() {
    let spec = SnapshotSpec {
        points: Points::None,
        size: AskedSize::default(),
        quality: 85,
        frame_type: FrameType::Normal,
        tolerance_ms: 0,
        sprite: None,
        keep_pictures: false,
        frame_md5: false,
    };
    let job =
        BatchJob { spec, pictures_done: Vec::new(), sheets_done: Vec::new(), points_failed: Vec::new() };
    let (batch, grant) = (
        VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: 1, offer: Vec::new() },
        Grant { threads: 1, bytes: 1 },
    );
    let frame = encode_batch(&batch, grant).expect("within the limits");
    assert_eq!(decode_order(Kind::Batch, &frame[HEAD_BYTES..]), Ok(Order::Batch(batch, grant)));
}

#[test]
fn a_count_beyond_the_bytes_allocates_nothing() {
    // 4 Gi points announced, none there.
    let payload = u32::MAX.to_le_bytes();
    assert_eq!(decode_said(Kind::RunEnds, &payload), Err(Malformed::Cut));
}

#[test]
fn an_image_header_beyond_its_limits_is_refused() {
    let header = |width: u32, height: u32, bytes: u32| {
        let mut payload = vec![0, 0, 0, 0, 0, 0, 0, 0, 0];
        for number in [width, height, bytes] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
        decode_said(Kind::Image, &payload)
    };
    assert!(header(640, 360, 9_000).is_ok());
    assert!(header(0, 360, 9_000).is_err());
    assert!(header(640, 65_536, 9_000).is_err());
    assert!(header(640, 360, (128 << 20) + 1).is_err());
}

#[test]
fn only_a_jpeg_is_an_image() {
    assert!(is_jpeg(&[0xFF, 0xD8, 0xFF, 0xD9]));
    assert!(!is_jpeg(&[0xFF, 0xD8, 0xD9]));
    assert!(!is_jpeg(&[0xFF, 0xD8, 0xFF, 0xD9, 0x00]));
    assert!(!is_jpeg(b"GIF89a"));
    assert!(!is_jpeg(&[]));
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let long = Message::Note { warning: true, text: "ä".repeat(400) };
    let frame = encode_message(&long).expect("cut to its limit");
    let (head, payload) = split(&frame);
    let Ok(Said::Message(Message::Note { text, .. })) = decode_said(head.kind, payload) else {
        panic!("no note");
    };
    assert_eq!(text, "ä".repeat(NOTE_BYTES_MAX / 2));

    let failed = Ended::Failed(Failure::new(FailCode::Io, Stage::Open, "x".repeat(10_000)));
    let frame = encode_ended(&failed, &Stats::default()).expect("cut to its limit");
    let (head, payload) = split(&frame);
    assert!(matches!(decode_said(head.kind, payload), Ok(Said::Ended(Ended::Failed(f), _))
        if f.text.len() == REASON_BYTES_MAX));
}

#[test]
fn a_time_base_of_zero_never_arrives() {
    let mut media = MediaFacts {
        container: "mov".into(),
        stream: 0,
        codec: "h264".into(),
        width: 1,
        height: 1,
        display_width: 1,
        display_height: 1,
        rotation: 0,
        sar: (1, 1),
        duration_ms: None,
        start_pts: 0,
        time_base: TimeBase { num: 1, den: 1 },
        key_frames: None,
        hdr: Hdr::None,
    };
    let decoded = |media: &MediaFacts| {
        let planned = Message::Planned(Planned { media: media.clone(), jobs: Vec::new() });
        let frame = encode_message(&planned).expect("within the limits");
        let (head, payload) = split(&frame);
        decode_said(head.kind, payload).is_ok()
    };
    assert!(decoded(&media));
    media.time_base.den = 0;
    assert!(!decoded(&media));
}

#[test]
fn the_smallest_batch_comes_back() {
    // A probe: one job without points.
    let spec = SnapshotSpec {
        points: Points::None,
        size: AskedSize::default(),
        quality: 85,
        frame_type: FrameType::Normal,
        tolerance_ms: 0,
        sprite: None,
        keep_pictures: false,
        frame_md5: false,
    };
    let job = BatchJob { spec, pictures_done: vec![], sheets_done: vec![], points_failed: vec![] };
    let batch = VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: 1, offer: Vec::new() };
    let grant = Grant { threads: 1, bytes: 1 };
    let frame = encode_batch(&batch, grant).unwrap();
    let (head, payload) = split(&frame);
    assert_eq!(decode_order(head.kind, payload).unwrap(), Order::Batch(batch, grant));
}
