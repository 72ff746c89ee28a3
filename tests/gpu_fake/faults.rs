//! Each fault of the driver ends the walk with its reason; what was delivered before is right, and the CPU does the rest.
//!
//! Owns the table of faults. Never says how a device fails: the double fails as it is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stillframe::model::device::{CodecClass, DeviceCodec};

use crate::child::{CUDA, Walked, child, on_cpu, on_device};
use crate::common::clips;
use crate::common::fake::{Fake, cuda};
use crate::exact::{H264, class, instants, knowing, made, proof};

/// Five closed groups with B pictures.
pub fn grouped() -> PathBuf {
    made("device_groups.mp4", "-c:v libx264 -pix_fmt yuv420p -x264-params keyint=10:bframes=3:scenecut=0")
}

pub fn without_a_driver_there_is_no_device() {
    let refused = |fake: &Fake, word: &str| {
        let (reason, text) = on_device(fake, &[]).expect_err("no device");
        assert_eq!(reason, "no_device", "{text}");
        assert!(text.contains(word), "{text}");
    };
    refused(&cuda::compute_only(), "libnvcuvid.so.1");
    refused(&cuda::hollow_driver(), "cuda:0");
    for (setting, word) in [
        ("devices=0", "CUDA_ERROR_NO_DEVICE"),
        ("Init@1=999", "CUDA_ERROR_UNKNOWN"),
        ("DeviceGet@1=101", "CUDA_ERROR_INVALID_DEVICE"),
        ("CtxCreate@1=801", "CUDA_ERROR_NOT_SUPPORTED"),
    ] {
        let fake = cuda::fake_cuda();
        fake.control(&[setting]);
        refused(&fake, word);
    }
    let fake = cuda::fake_cuda();
    fake.control(&["CtxCreate@1=2"]);
    assert_eq!(on_device(&fake, &[]).expect_err("no room").0, "out_of_memory");
}

pub fn a_clip_that_comes_out_wrong_shuts_its_kind() {
    let (clip, hevc) = (grouped(), made("device_other.mp4", HEVC));
    let proofs = [proof(H264), proof(class(DeviceCodec::Hevc, 8))];
    let fake = cuda::knowing(&[&clip, &hevc, &proofs[0], &proofs[1]]);
    fake.control(&["Memcpy2DAsync@7=wrong"]);
    let walks: [(&Path, &[i64]); 2] = [(&clip, &[500]), (&clip, &[500])];
    let told = child(CUDA, &fake, &walks);
    let row = told["rows"].as_array().unwrap().iter().find(|row| row["class"] == "h264 8 bit").unwrap();
    assert_eq!(row["proven"], false, "{told}");
    for walked in on_device(&fake, &walks).expect("a device") {
        assert_eq!(walked.ended, "unproven", "{}", walked.text);
        assert!(walked.pictures.is_empty());
    }
    // What is right stays proven for as long as the process lives.
    fake.control(&[]);
    fake.clear_log();
    let told = child(CUDA, &fake, &[(&clip, &[500]), (&hevc, &[500]), (&clip, &[700])]);
    let proven = told["rows"].as_array().unwrap().iter().filter(|row| row["proven"] == true).count();
    assert_eq!((proven, fake.calls("CreateDecoder")), (2, 2 + 3), "{told}");
}

const HEVC: &str = "-c:v libx265 -pix_fmt yuv420p -x265-params keyint=10:open-gop=0:log-level=error";

const VP9: &str =
    "-c:v libvpx-vp9 -cpu-used 8 -b:v 400k -g 12 -auto-alt-ref 1 -lag-in-frames 8 -pix_fmt yuv420p";
const AV1: &str = "-c:v libsvtav1 -preset 10 -g 15 -pix_fmt yuv420p";

/// What fails, with which code, and what that comes to.
struct Fault {
    /// As the double names the call.
    call: &'static str,
    action: &'static str,
    also: &'static [&'static str],
    reasons: &'static [&'static str],
}

const fn fault(call: &'static str, action: &'static str, reasons: &'static [&'static str]) -> Fault {
    Fault { call, action, also: &[], reasons }
}

const FAULTS: &[Fault] = &[
    // The decoder, which a walk makes once.
    fault("CreateDecoder", "1", &["software"]),
    fault("CreateDecoder", "2", &["out_of_memory"]),
    fault("CreateDecoder", "719", &["lost"]),
    fault("GetDecoderCaps", "801", &["software"]),
    fault("DecodePicture", "1", &["send"]),
    fault("DecodePicture", "700", &["lost"]),
    fault("DecodePicture", "sticky:700", &["lost"]),
    fault("MapVideoFrame", "205", &["send", "receive"]),
    // A device that fell off meanwhile.
    fault("MapVideoFrame", "999", &["lost"]),
    fault("Memcpy2DAsync", "1", &["copy"]),
    fault("StreamSynchronize", "1", &["copy"]),
    fault("StreamSynchronize", "700", &["lost"]),
    Fault { call: "Memcpy2DAsync", action: "sticky:700", also: &["sticky.quiet=1"], reasons: &["lost"] },
    fault("StreamSynchronize", "sticky:719", &["lost"]),
];

/// How often each call was made.
struct Counts(Vec<(&'static str, usize)>);

impl Counts {
    /// By a walk over `times` without a fault.
    fn of(fake: &Fake, clip: &Path, times: &[i64], settings: &[&str]) -> Counts {
        fake.control(settings);
        fake.clear_log();
        let walked = on_device(fake, &[(clip, times)]).expect("a device").remove(0);
        assert_eq!(walked.ended, "done", "{}", walked.text);
        Counts(FAULTS.iter().map(|fault| (fault.call, fake.calls(fault.call))).collect())
    }

    fn get(&self, call: &str) -> usize {
        self.0.iter().find(|(counted, _)| *counted == call).map_or(0, |(_, count)| *count)
    }
}

/// Calls that a walk to the clip's first frame makes beside the proof: one of each, and one copy a plane.
fn of_one_frame(call: &str) -> usize {
    if call == "Memcpy2DAsync" { 2 } else { 1 }
}

pub fn each_fault_ends_with_its_reason_and_the_cpu_does_the_rest() {
    let clip = grouped();
    for count in [1, 10, 100] {
        let times = if count == 1 { vec![900] } else { instants(&clip, count) };
        fails_everywhere(H264, &clip, &times, &[], false);
    }
}

pub fn the_other_codecs_fail_alike() {
    let others = [
        (class(DeviceCodec::Hevc, 8), made("device_other.mp4", HEVC)),
        (class(DeviceCodec::Vp9, 8), made("device_vp9.webm", VP9)),
        (class(DeviceCodec::Av1, 8), made("device_av1.mp4", AV1)),
        (class(DeviceCodec::Mpeg2, 8), made("device_mpeg2.ts", "-c:v mpeg2video -bf 2 -g 12 -q:v 4")),
        (class(DeviceCodec::Mpeg4, 8), made("device_mpeg4.mkv", "-c:v mpeg4 -bf 2 -g 12 -q:v 4")),
    ];
    for (class, clip) in others {
        fails_everywhere(class, &clip, &instants(&clip, 10), &["caps.codec=+av1"], true);
    }
}

/// Each fault at the first call of a walk, one in the middle and the last one, or in the middle only.
fn fails_everywhere(class: CodecClass, clip: &Path, times: &[i64], settings: &[&str], middle: bool) {
    let fake = knowing(class, clip);
    let whole = on_cpu(clip, times, &[]);
    assert_eq!((whole.ended.as_str(), whole.pictures.len()), ("done", times.len()));
    let (first, counted) =
        (Counts::of(&fake, clip, &[0], settings), Counts::of(&fake, clip, times, settings));
    for fault in FAULTS {
        let before = first.get(fault.call) - of_one_frame(fault.call);
        let last = counted.get(fault.call);
        assert!(last > before, "{}: {last} calls, {before} before the walk", fault.call);
        let half = (before + 1 + last) / 2;
        let calls = if middle { BTreeSet::from([half]) } else { BTreeSet::from([before + 1, half, last]) };
        for nth in calls {
            let line = format!("{}@{nth}={}", fault.call, fault.action);
            let name = format!("{class} {line} of {last} with {} points", times.len());
            fake.control(&[settings, &[line.as_str()], fault.also].concat());
            fake.clear_log();
            let walked = on_device(&fake, &[(clip, times)]).expect("a device").remove(0);
            let ended = walked.ended.as_str();
            assert!(fault.reasons.contains(&ended), "{name}: {ended} {}", walked.text);
            let rest = the_rest(clip, times, &walked, &whole, &name);
            assert!(nth > before + 1 || walked.pictures.is_empty(), "{name}: pictures before the first one");
            // All frames but the last were in memory before; some of them may have waited for it.
            let copied = fault.call == "StreamSynchronize" && nth == last && times.len() > 1;
            let frames: BTreeSet<_> = rest.pictures.values().map(|picture| &picture.md5).collect();
            assert!(!copied || frames.len() <= 3, "{name}: {} frames are left", frames.len());
            assert!(!rest.pictures.is_empty(), "{name}: a fault without a loss");
            // After an error that sticks FFmpeg cannot make the context current any more and leaves a map to it.
            if !fault.action.starts_with("sticky") {
                fake.assert_nothing_left();
            }
        }
    }
}

/// H.264 makes a new decoder after each flush.
pub fn a_decoder_that_cannot_be_made_again_ends_the_walk() {
    let clip = made(
        "device_open.mp4",
        "-c:v libx264 -pix_fmt yuv420p -x264-params keyint=10:open-gop=1:bframes=3:scenecut=0",
    );
    let times: Vec<i64> = (0..10).map(|n| n * 200 + 100).collect();
    let fake = knowing(H264, &clip);
    let whole = on_cpu(&clip, &times, &[]);
    for (nth, code, reason) in [(3, 1, "software"), (4, 2, "out_of_memory"), (5, 999, "lost")] {
        let name = format!("CreateDecoder@{nth}={code}");
        fake.control(&["strict=0", &name]);
        let walked = on_device(&fake, &[(&clip, &times)]).expect("a device").remove(0);
        assert_eq!(walked.ended, reason, "{name}: {}", walked.text);
        // Two pictures a run.
        assert_eq!(walked.pictures.len(), (nth - 2) * 2, "{name}");
        the_rest(&clip, &times, &walked, &whole, &name);
    }
}

/// The remainder on the CPU: everything that is missing, nothing else, and all of it right.
#[track_caller]
pub fn the_rest(clip: &Path, times: &[i64], walked: &Walked, whole: &Walked, name: &str) -> Walked {
    assert!(walked.twice.is_empty() && walked.failed.is_empty(), "{name}: {walked:?}");
    let done: Vec<u32> = walked.pictures.keys().copied().collect();
    let rest = on_cpu(clip, times, &done);
    assert_eq!((rest.ended.as_str(), rest.failed.len(), rest.twice.len()), ("done", 0, 0), "{name}");
    let missing: Vec<u32> = whole.pictures.keys().copied().filter(|asked| !done.contains(asked)).collect();
    assert_eq!(rest.pictures.keys().copied().collect::<Vec<_>>(), missing, "{name}");
    for (asked, picture) in walked.pictures.iter().chain(&rest.pictures) {
        let wanted = whole.pictures[asked].content();
        assert_eq!(picture.content(), wanted, "{name}: {} ms by {}", times[*asked as usize], picture.backend);
    }
    assert!(rest.frames_decoded <= whole.frames_decoded, "{name}: more than for all of it");
    rest
}

pub fn a_damaged_stream_is_not_the_devices_fault() {
    let whole = made("device_damage.ts", "-c:v libx264 -pix_fmt yuv420p -g 10 -bf 2 -b:v 2M");
    let mut bytes = std::fs::read(&whole).unwrap();
    // One packet of 188 bytes is lost in the middle: the demuxer marks what it belongs to.
    let packets = bytes.len() / 188;
    let is_video = |n: &usize| {
        let packet = &bytes[n * 188..];
        u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff == 0x100 && packet[1] & 0x40 == 0
    };
    let lost = (packets / 2..packets).find(is_video).expect("a packet of the video");
    bytes.drain(lost * 188..(lost + 1) * 188);
    let folder = tempfile::tempdir_in(clips::folder()).unwrap();
    let clip = folder.path().join("damaged.ts");
    std::fs::write(&clip, bytes).unwrap();
    let fake = knowing(H264, &whole);
    let times: Vec<i64> = (0..50).map(|n| n * 40).collect();
    let walked = on_device(&fake, &[(&clip, &times)]).expect("a device").remove(0);
    assert_eq!(walked.ended, "damage", "{}", walked.text);
    let cpu = on_cpu(&clip, &times, &[]);
    assert!(cpu.pictures.values().any(|picture| picture.status == "Concealed"), "{cpu:?}");
    assert!(!walked.pictures.is_empty() && walked.pictures.len() < 40, "{} pictures", walked.pictures.len());
    the_rest(&clip, &times, &walked, &cpu, "damage");
}

pub fn after_a_refusal_nothing_is_taken() {
    let clip = grouped();
    let fake = knowing(H264, &clip);
    let times: Vec<i64> = (0..50).map(|n| n * 40).collect();
    for line in ["DecodePicture@30=1", "MapVideoFrame@30=205", "StreamSynchronize@30=1"] {
        fake.control(&[line]);
        fake.clear_log();
        let walked = on_device(&fake, &[(&clip, &times), (&clip, &times)]).expect("a device");
        assert_eq!(
            (walked[1].ended.clone(), walked[1].pictures.len()),
            (walked[0].ended.clone(), 0),
            "{line}"
        );
        let log = fake.log();
        let (call, _) = line.split_once('@').unwrap();
        let failed =
            log.iter().position(|entry| entry.name == call && entry.result != "0").expect("a failure");
        let after = |entry: &&_| {
            let entry: &crate::common::fake::log::Entry = entry;
            ["DecodePicture", "MapVideoFrame", "Memcpy2DAsync"].contains(&entry.name.as_str())
        };
        assert_eq!(log[failed + 1..].iter().filter(after).count(), 0, "{line}: something more was taken");
    }
}

pub fn a_hundred_batches_leave_nothing_behind() {
    let clip = grouped();
    let fake = knowing(H264, &clip);
    let times = instants(&clip, 5);
    let walks: Vec<(&Path, &[i64])> = (0..100).map(|_| (&clip as &Path, &times[..])).collect();
    let told = child(CUDA, &fake, &walks);
    let descriptors = |key: &str| told[key].as_u64().expect("a count");
    assert_eq!(
        descriptors("descriptors_after"),
        descriptors("descriptors_before"),
        "descriptors were left open"
    );
    let whole = on_cpu(&clip, &times, &[]);
    for walked in told["walks"].as_array().unwrap() {
        let walked = crate::child::read(walked);
        assert_eq!(walked.ended, "done", "{}", walked.text);
        for (asked, picture) in &walked.pictures {
            assert_eq!(picture.content(), whole.pictures[asked].content());
        }
    }
    assert_eq!(fake.calls("CreateDecoder"), 101, "one a batch, and one to prove the device");
    assert_eq!(fake.calls("CtxCreate"), 1);
    fake.assert_nothing_left();
}
