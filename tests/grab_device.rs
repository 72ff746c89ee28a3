//! `stillframe grab` with a device: where it decodes, what it tells, and that no picture is ever lost to a device.
//!
//! Owns the flags, the JSON and the exit codes of that. The device is a double, which says nothing about a real one; that
//! every fault of a driver is seen and costs no picture is another test's.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use common::clips::clip;
use common::fake::cuda::{self, FakeCuda};

/// One run of 35 small pictures of noise at a rate that no video has, so that they are a heavy job for the CPU.
fn heavy() -> PathBuf {
    let source = "nullsrc=size=640x360:rate=25:duration=1.4,geq=lum='random(1)*255':cb=128:cr=128";
    let coding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-qp", "4", "-g", "300"];
    clip("grab_device_heavy.mp4", &[&["-f", "lavfi", "-i", source][..], &coding].concat())
}

/// The last picture of it, which needs all the others.
const LAST: [&str; 2] = ["--times-ms", "1370"];

/// A few pictures with little to decode for each.
fn light() -> PathBuf {
    let source = "testsrc2=size=320x180:rate=25:duration=2";
    clip(
        "grab_device_light.mp4",
        &["-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25"],
    )
}

/// A double that knows this clip, and the built-in one that is decoded before it.
fn double(file: &Path) -> FakeCuda {
    let proof = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/media/proof/h264_8.mkv");
    cuda::knowing(&[file, &proof])
}

fn grab(file: &Path, out: &Path, flags: &[&str]) -> Command {
    let mut command = common::stillframe();
    command.arg("grab").arg(file).args(["--out", out.to_str().unwrap(), "--json", "--frame-md5"]).args(flags);
    command
}

fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
}

fn complaints(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is true about the pictures and sheets of a grab, all but where they were decoded, and the bytes of every file.
fn pictures(told: &Value, out: &Path) -> (Vec<Value>, Value, BTreeMap<OsString, Vec<u8>>) {
    let mut entries = told["pictures"].as_array().unwrap().clone();
    entries.iter_mut().for_each(|entry| drop(entry.as_object_mut().unwrap().remove("backend")));
    let files = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    let files = files.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
    (entries, told["sheets"].clone(), files)
}

fn backends(told: &Value) -> Vec<&str> {
    told["pictures"].as_array().unwrap().iter().map(|entry| entry["backend"].as_str().unwrap()).collect()
}

struct Grabbed {
    told: Value,
    complaints: String,
}

/// Grabs with the double and holds every picture against a grab on the CPU alone.
fn same_as_cpu(file: &Path, fake: &FakeCuda, flags: &[&str], more: &[&str]) -> Grabbed {
    let folder = tempfile::tempdir().unwrap();
    let (on_cpu, on_device) = (folder.path().join("cpu"), folder.path().join("device"));
    let cpu = common::run(&mut grab(file, &on_cpu, &[flags, &["--backend", "cpu"]].concat()), 0);
    let cpu = told(&cpu);
    assert_eq!(
        (cpu["stats"]["backend"].as_str(), &cpu["stats"]["fallbacks"]),
        (Some("cpu"), &serde_json::json!([]))
    );
    let mut command = grab(file, &on_device, &[flags, more].concat());
    let output = common::run(fake.lend(&mut command), 0);
    let grabbed = Grabbed { told: told(&output), complaints: complaints(&output) };
    assert!(pictures(&grabbed.told, &on_device) == pictures(&cpu, &on_cpu), "{}\n{cpu}", grabbed.told);
    assert_eq!(grabbed.told["stats"]["attempts"], 1);
    grabbed
}

fn fallback(grabbed: &Grabbed) -> (&str, &str, u64) {
    let fallbacks = grabbed.told["stats"]["fallbacks"].as_array().unwrap();
    let [fallback] = &fallbacks[..] else { panic!("{fallbacks:?}") };
    let text = |key: &str| fallback[key].as_str().unwrap();
    assert!(grabbed.complaints.contains(text("text")), "{} does not tell {fallback}", grabbed.complaints);
    (text("from"), text("reason"), fallback["points"].as_u64().unwrap())
}

#[test]
fn a_forced_device_makes_the_same_pictures() {
    let file = light();
    let fake = double(&file);
    let grabbed = same_as_cpu(&file, &fake, &["--count", "5"], &["--backend", "cuda"]);
    assert_eq!(grabbed.told["stats"]["backend"], "cuda");
    assert_eq!(grabbed.told["stats"]["fallbacks"], serde_json::json!([]));
    assert_eq!(backends(&grabbed.told), ["cuda"; 5]);
    assert!(grabbed.told["stats"]["frames_decoded"].as_u64().unwrap() > 0);
    assert_eq!(grabbed.complaints, "");
    assert_eq!(fake.misses(), 0);
    fake.assert_nothing_left();
}

#[test]
fn a_small_job_never_starts_a_device() {
    let file = light();
    let fake = double(&file);
    let folder = tempfile::tempdir().unwrap();
    let mut command = grab(&file, folder.path(), &["--times-ms", "0", "--width", "320"]);
    let output = common::run(fake.lend(&mut command).env("STILLFRAME_DEVICES_CUDA", "0"), 0);
    let told = told(&output);
    assert_eq!((told["stats"]["backend"].as_str(), told["stats"]["opens"].as_u64()), (Some("cpu"), Some(1)));
    assert!(fake.log().is_empty(), "{:?}", fake.log());
}

#[test]
fn a_stream_that_the_device_does_not_take_is_the_cpus() {
    let file = light();
    let fake = double(&file);
    fake.control(&["caps.codec=-h264"]);
    let grabbed = same_as_cpu(&file, &fake, &["--count", "4"], &["--backend", "cuda"]);
    assert_eq!(fallback(&grabbed), ("cuda", "unsupported", 4));
    assert_eq!(
        (grabbed.told["stats"]["backend"].as_str(), backends(&grabbed.told)),
        (Some("cpu"), vec!["cpu"; 4])
    );
}

#[test]
fn what_a_fault_leaves_undone_is_the_cpus() {
    let file = light();
    let fake = double(&file);
    // The proof clip goes through the same calls, so the picture that fails is counted from the helper's start.
    let clean = same_as_cpu(&file, &fake, &["--count", "6"], &["--backend", "cuda"]);
    assert_eq!(backends(&clean.told), ["cuda"; 6]);
    let transfers = fake.calls("StreamSynchronize");
    fake.clear_log();
    fake.control(&[&format!("StreamSynchronize@{}=1", transfers - 2)]);
    let grabbed = same_as_cpu(&file, &fake, &["--count", "6"], &["--backend", "cuda"]);
    let (from, reason, points) = fallback(&grabbed);
    assert_eq!((from, reason), ("cuda", "copy"));
    let on_device = backends(&grabbed.told).iter().filter(|backend| **backend == "cuda").count();
    assert_eq!(on_device as u64 + points, 6);
    assert!(on_device > 0 && points > 0, "{}", grabbed.told);
    assert_eq!(grabbed.told["stats"]["backend"], "cpu");
    // Both walks are in the sum.
    assert_eq!(grabbed.told["stats"]["opens"], 2);
}

#[test]
fn a_sheet_that_a_device_did_not_finish_is_whole() {
    let file = light();
    let fake = double(&file);
    let sprite = r#"{"Columns":2,"Lines":2,"CellWidth":"64","CellHeight":"36"}"#;
    let flags = ["--count", "7", "--sprite", sprite];
    let clean = same_as_cpu(&file, &fake, &flags, &["--backend", "cuda"]);
    assert_eq!(clean.told["sheets"].as_array().unwrap().len(), 2);
    let transfers = fake.calls("StreamSynchronize");
    for left in 0..7 {
        fake.control(&[&format!("StreamSynchronize@{}=1", transfers - left)]);
        let grabbed = same_as_cpu(&file, &fake, &flags, &["--backend", "cuda"]);
        assert_eq!((fallback(&grabbed).1, grabbed.told["delivered"].as_u64()), ("copy", Some(7)));
    }
}

#[test]
fn a_crash_of_the_driver_costs_nothing() {
    let file = light();
    let fake = double(&file);
    let clean = same_as_cpu(&file, &fake, &["--count", "6"], &["--backend", "cuda"]);
    assert_eq!(backends(&clean.told), ["cuda"; 6]);
    let pictures = fake.calls("DecodePicture");
    fake.control(&[&format!("DecodePicture@{pictures}=crash")]);
    let grabbed = same_as_cpu(&file, &fake, &["--count", "6"], &["--backend", "cuda"]);
    let (from, reason, points) = fallback(&grabbed);
    assert_eq!((from, reason), ("cuda", "crash"));
    assert!(points > 0);
    assert!(grabbed.complaints.contains("signal 11"), "{}", grabbed.complaints);
}

#[test]
fn a_driver_that_hangs_is_left_at_the_deadline() {
    let file = light();
    let fake = double(&file);
    fake.control(&["MapVideoFrame@3+=hang"]);
    let folder = tempfile::tempdir().unwrap();
    let mut command = grab(&file, folder.path(), &["--count", "3", "--backend", "cuda"]);
    let output = common::run(fake.lend(&mut command).env("STILLFRAME_DEVICES_NO_PROGRESS_S", "1"), 0);
    let grabbed = Grabbed { told: told(&output), complaints: complaints(&output) };
    assert_eq!(fallback(&grabbed), ("cuda", "hang", 3));
    assert_eq!(backends(&grabbed.told), ["cpu"; 3]);
}

#[test]
fn auto_takes_a_device_where_it_pays() {
    let file = heavy();
    let fake = double(&file);
    let folder = tempfile::tempdir().unwrap();
    let (on_cpu, on_device) = (folder.path().join("cpu"), folder.path().join("device"));
    // No device is configured and none is seen: nothing is started.
    let cpu = common::run(fake.lend(&mut grab(&file, &on_cpu, &LAST)), 0);
    let cpu = told(&cpu);
    assert_eq!(cpu["stats"]["backend"], "cpu");
    assert!(fake.log().is_empty());

    let mut command = grab(&file, &on_device, &LAST);
    let output = common::run(fake.lend(&mut command).env("STILLFRAME_DEVICES_CUDA", "0"), 0);
    let device = told(&output);
    assert_eq!((device["stats"]["backend"].as_str(), backends(&device)), (Some("cuda"), vec!["cuda"]));
    assert!(pictures(&device, &on_device) == pictures(&cpu, &on_cpu), "{device}\n{cpu}");
    // The CPU planned, the device decoded.
    assert_eq!(device["stats"]["opens"], 2);
    assert_eq!(device["stats"]["frames_decoded"], cpu["stats"]["frames_decoded"]);
    assert_eq!(complaints(&output), "");
    assert_eq!(fake.misses(), 0);
    fake.assert_nothing_left();

    // What the configuration or the flag forbids is not done.
    for (flags, variable) in [(&["--backend", "cpu"][..], "auto"), (&[], "cpu")] {
        fake.clear_log();
        let mut command = grab(&file, &on_cpu, &[&LAST[..], flags].concat());
        command.env("STILLFRAME_DEVICES_CUDA", "0").env("STILLFRAME_DEVICES_BACKEND", variable);
        let output = common::run(fake.lend(&mut command), 0);
        assert_eq!((told(&output)["stats"]["backend"].as_str(), fake.log().len()), (Some("cpu"), 0));
    }
}

#[test]
fn auto_goes_on_without_a_device_that_does_not_open() {
    let file = heavy();
    let folder = tempfile::tempdir().unwrap();
    for (fake, part) in [(cuda::compute_only(), "libnvcuvid"), (cuda::hollow_driver(), "cuda:0")] {
        let mut command = grab(&file, folder.path(), &LAST);
        let output = common::run(fake.lend(&mut command).env("STILLFRAME_DEVICES_CUDA", "0"), 0);
        let grabbed = Grabbed { told: told(&output), complaints: complaints(&output) };
        assert_eq!(fallback(&grabbed), ("cuda", "no_device", 1));
        assert_eq!((grabbed.complaints.lines().count(), grabbed.complaints.contains(part)), (1, true));
        assert_eq!(backends(&grabbed.told), ["cpu"]);
    }
}

/// A grab that must fail: its one line on stderr and its error object tell the same.
fn no_device(command: &mut Command, part: &str) {
    let output = common::run(command, 1);
    let (told, complaints) = (told(&output), complaints(&output));
    assert_eq!(
        (told["error"]["code"].as_str(), told["error"]["stage"].as_str()),
        (Some("no_device"), Some("open"))
    );
    let text = told["error"]["text"].as_str().unwrap();
    assert!(text.contains(part), "{text}, not {part}");
    assert_eq!(complaints, format!("stillframe: {text}\n"));
}

#[test]
fn a_forced_device_that_does_not_open_is_a_fault() {
    let file = light();
    let folder = tempfile::tempdir().unwrap();
    let forced = |backend| grab(&file, folder.path(), &["--count", "2", "--backend", backend]);
    // No driver at all, one without what is needed, one that brings no decoder, one without a device.
    let none = tempfile::tempdir().unwrap();
    no_device(forced("cuda").env("LD_LIBRARY_PATH", none.path()), "cuda:0");
    no_device(cuda::hollow_driver().lend(&mut forced("cuda")), "cuda:0");
    no_device(cuda::compute_only().lend(&mut forced("cuda")), "libnvcuvid");
    let fake = cuda::fake_cuda();
    fake.control(&["devices=0"]);
    no_device(fake.lend(&mut forced("cuda")), "cuda:0");
    // A render node that is not there, and what is none.
    no_device(forced("vaapi").env("STILLFRAME_DEVICES_VAAPI", "/dev/dri/renderD999"), "No such file");
    no_device(forced("vaapi").env("STILLFRAME_DEVICES_VAAPI", "/dev/null"), "vaapi:/dev/null");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_first_device_that_opens_is_taken() {
    let file = light();
    let fake = double(&file);
    fake.control(&["devices=2"]);
    let grabbed = same_as_cpu(&file, &fake, &["--count", "2"], &["--backend", "cuda", "--device", "1"]);
    assert_eq!(backends(&grabbed.told), ["cuda"; 2]);
    let devices: Vec<_> = fake.log().into_iter().filter(|entry| entry.name == "DeviceGet").collect();
    assert!(!devices.is_empty() && devices.iter().all(|entry| entry.detail.contains('1')), "{devices:?}");

    let folder = tempfile::tempdir().unwrap();
    let mut command = grab(&file, folder.path(), &["--count", "2", "--backend", "cuda"]);
    let output = common::run(fake.lend(&mut command).env("STILLFRAME_DEVICES_CUDA", "7,1"), 0);
    let grabbed = Grabbed { told: told(&output), complaints: complaints(&output) };
    assert_eq!(
        (grabbed.told["stats"]["backend"].as_str(), backends(&grabbed.told)),
        (Some("cuda"), vec!["cuda"; 2])
    );
    // Nothing was left to the CPU.
    assert_eq!(grabbed.told["stats"]["fallbacks"], serde_json::json!([]));
    assert!(grabbed.complaints.contains("cuda:7"), "{}", grabbed.complaints);
    assert_eq!(grabbed.complaints.lines().count(), 1);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let file = light();
    let folder = tempfile::tempdir().unwrap();
    for flags in [
        &["--backend", "cpu", "--device", "0"][..],
        &["--backend", "vaapi", "--device", "1"],
        &["--device", "first"],
        &["--device", ""],
        &["--backend", "cuda", "--sent"],
    ] {
        let output =
            common::run(&mut grab(&file, folder.path(), &[&["--count", "1"][..], flags].concat()), 64);
        assert_eq!(complaints(&output).lines().count(), 1);
    }
}

#[test]
fn without_permission_a_node_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let node = folder.path().join("renderD128");
    std::fs::write(&node, b"").unwrap();
    std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = grab(&light(), folder.path(), &["--count", "1", "--backend", "vaapi"]);
    command.env("STILLFRAME_DEVICES_VAAPI", &node);
    // Root may open it, so it must be somebody else, who can run the program where it lies.
    if std::fs::File::open(&node).is_ok() {
        let nobody = 65_534;
        command.uid(nobody).gid(nobody);
        let mut tried = common::stillframe();
        if !tried.arg("--version").uid(nobody).gid(nobody).output().is_ok_and(|tried| tried.status.success())
        {
            eprintln!("not run: another user cannot run the program");
            return;
        }
    }
    no_device(&mut command, "Permission denied");
}
