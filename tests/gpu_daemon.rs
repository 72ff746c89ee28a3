//! The daemon beside a device: it says at its start what it can use, decodes there, and loses nothing to any fault.
//!
//! Owns the daemon's side alone; the device is a double, which says nothing about a real one, and which fault looks like
//! what is another test's. Each picture is held against the same job on a daemon without devices.

mod common;

use std::path::{Path, PathBuf};

use common::clips;
use common::daemon::{Daemon, Setup};
use common::events::Events;
use common::fake::cuda::{self, FakeCuda};
use common::scrape::{self, Scrape};
use serde_json::{Value, json};

/// A few pictures with little to decode for each.
fn light() -> PathBuf {
    let source = "testsrc2=size=320x180:rate=25:duration=2";
    let coding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25"];
    clips::clip("gpu_daemon_light.mp4", &[&["-f", "lavfi", "-i", source][..], &coding].concat())
}

/// One long run of noise at a rate that no video has, so that it is a heavy job for the CPU.
fn heavy() -> PathBuf {
    let source = "nullsrc=size=640x360:rate=25:duration=1.4,geq=lum='random(1)*255':cb=128:cr=128";
    let coding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-qp", "4", "-g", "300"];
    clips::clip("gpu_daemon_heavy.mp4", &[&["-f", "lavfi", "-i", source][..], &coding].concat())
}

/// A double that decodes H.264 and knows these clips, the built-in one among them.
fn double(clips: &[&Path]) -> FakeCuda {
    let proof = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/media/proof/h264_8.mkv");
    let fake = cuda::knowing(clips);
    fake.knows(&proof);
    fake.control(&["caps.codec=h264"]);
    fake
}

/// A daemon that sees this device, with further settings.
fn daemon(fake: &FakeCuda, more: &[(&'static str, &str)]) -> (Daemon, Events) {
    let path = fake.path().to_str().unwrap();
    let fixed = [("LD_LIBRARY_PATH", path), ("STILLFRAME_DEVICES_CUDA", "0")];
    let env = fixed.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
    started(Setup { env, media_roots: vec![clips::folder()], ..Setup::default() })
}

fn started(setup: Setup) -> (Daemon, Events) {
    let daemon = Daemon::start(setup);
    let events = Events::of(&daemon);
    (daemon, events)
}

fn cpu() -> (Daemon, Events) {
    let env = vec![("STILLFRAME_DEVICES_BACKEND", "cpu".to_owned())];
    started(Setup { env, media_roots: vec![clips::folder()], ..Setup::default() })
}

/// The end of one job, and its pictures' bytes in order.
fn job((daemon, events): &mut (Daemon, Events), clip: &Path, times: &[u32]) -> (Value, Vec<Vec<u8>>) {
    let video = daemon.register(clip);
    let times = json!(times).to_string();
    let id = daemon.submit(&video, &[("SpecifiedOffsetTimes", &times), ("Width", "160")]);
    let told = events.end_of(&id)["Stillframe"].take();
    let detail = daemon.must("GetJobDetail", &[("JobId", &id), ("JobType", "snapshot")]);
    assert_eq!(detail["SnapshotJobDetail"]["Stillframe"], told, "told alike everywhere");
    let mut show = common::stillframe();
    let shown = common::json(show.arg("--data").arg(daemon.data()).args(["jobs", "show", "--json", &id]));
    assert_eq!((&shown["fallbacks"], &shown["attempts"]), (&told["fallbacks"], &json!(0)));
    let objects = daemon.data().join("objects");
    let read = |picture: &Value| std::fs::read(objects.join(picture["file"].as_str().unwrap())).unwrap();
    let pictures = told["pictures"].as_array().unwrap().iter().map(read).collect();
    (told, pictures)
}

fn backends(told: &Value) -> Vec<&str> {
    told["pictures"].as_array().unwrap().iter().map(|entry| entry["backend"].as_str().unwrap()).collect()
}

fn available(scrape: &Scrape) -> f64 {
    scrape.get("stillframe_gpu_available")
}

const TIMES: [u32; 6] = [0, 300, 700, 1_100, 1_500, 1_900];

#[test]
fn a_forced_device_makes_the_same_pictures_and_what_it_drops_the_cpu_makes() {
    let clip = light();
    let (_, wanted) = job(&mut cpu(), &clip, &TIMES);
    let fake = double(&[&clip]);
    let mut there = daemon(&fake, &[("STILLFRAME_DEVICES_BACKEND", "cuda")]);
    scrape::wait(&there.0, "stillframe_gpu_available", 1.0);
    scrape::log_lines(&there.0, "a device stands ready", 1);
    let before = fake.calls("StreamSynchronize");
    let (told, pictures) = job(&mut there, &clip, &TIMES);
    assert_eq!((backends(&told), told["fallbacks"].is_null()), (vec!["cuda"; 6], true));
    assert!(pictures == wanted, "the pictures differ");
    let scraped = Scrape::of(&there.0);
    assert_eq!(scraped.sum("stillframe_decoder_fallback_total"), 0.0);
    assert!(scraped.get("stillframe_decoded_frames_total{backend=\"cuda\"}") > 0.0);
    // The same helper goes on; its fourth picture of the next job is not copied.
    let taken = fake.calls("StreamSynchronize") - before;
    assert_eq!(taken, 6);
    fake.control(&["caps.codec=h264", &format!("StreamSynchronize@{}=1", before + taken + 4)]);
    let (told, pictures) = job(&mut there, &clip, &TIMES);
    assert!(pictures == wanted, "the pictures differ after the fall back");
    assert_eq!(told["fallbacks"], json!([{"from": "cuda", "reason": "copy", "points": 3}]));
    assert_eq!(backends(&told), ["cuda", "cuda", "cuda", "cpu", "cpu", "cpu"]);
    let scraped = Scrape::of(&there.0);
    assert_eq!(scraped.get("stillframe_decoder_fallback_total{from=\"cuda\",reason=\"copy\"}"), 1.0);
    assert_eq!(scraped.sum("stillframe_decoder_fallback_total"), 1.0);
    assert!(scraped.get("stillframe_decoded_frames_total{backend=\"cpu\"}") > 0.0);
    assert_eq!(fake.misses(), 0);
    fake.assert_nothing_left();
}

#[test]
fn auto_takes_a_device_where_it_pays_and_only_there() {
    let (small, large) = (light(), heavy());
    let (_, wanted) = job(&mut cpu(), &large, &[1_370]);
    let fake = double(&[&small, &large]);
    let mut there = daemon(&fake, &[]);
    scrape::wait(&there.0, "stillframe_gpu_available", 1.0);
    let (told, _) = job(&mut there, &small, &[0]);
    assert_eq!(backends(&told), ["cpu"]);
    let (told, pictures) = job(&mut there, &large, &[1_370]);
    assert_eq!((backends(&told), told["fallbacks"].is_null()), (vec!["cuda"], true));
    assert!(pictures == wanted, "the pictures differ");
}

#[test]
fn a_driver_that_hangs_or_crashes_costs_its_job_nothing() {
    let clip = light();
    let (_, wanted) = job(&mut cpu(), &clip, &TIMES);
    for (word, reason) in [("hang", "hang"), ("crash", "crash")] {
        let fake = double(&[&clip]);
        let forced = [("STILLFRAME_DEVICES_BACKEND", "cuda"), ("STILLFRAME_DEVICES_NO_PROGRESS_S", "1")];
        let mut there = daemon(&fake, &forced);
        scrape::wait(&there.0, "stillframe_gpu_available", 1.0);
        let proof = fake.calls("MapVideoFrame");
        fake.control(&["caps.codec=h264", &format!("MapVideoFrame@{}={word}", proof + 3)]);
        let began = std::time::Instant::now();
        let (told, pictures) = job(&mut there, &clip, &TIMES);
        println!("{word}: the job took {:?}, the deadline is 1 s", began.elapsed());
        assert!(pictures == wanted, "{word}: the pictures differ");
        let fallbacks = told["fallbacks"].as_array().unwrap();
        assert_eq!((fallbacks.len(), &fallbacks[0]["reason"]), (1, &json!(reason)), "{told}");
        let shown = there.0.metrics();
        assert!(shown.contains("stillframe_jobs_finished_total{result=\"success\",reason=\"none\"} 1"));
        assert_eq!(Scrape(shown).get("stillframe_jobs_quarantined_total"), 0.0);
        // The next job is done as well, wherever.
        assert!(job(&mut there, &clip, &TIMES).1 == wanted);
    }
}

/// One line that says so, a gauge at 0, and a job that is done on the CPU.
#[track_caller]
fn works_without_a_device(mut there: (Daemon, Events), line: &str, reason: &str) {
    let said = scrape::log_lines(&there.0, line, 1);
    assert!(said[0].contains(reason), "{said:?}");
    let (told, _) = job(&mut there, &light(), &[0, 500]);
    assert_eq!((backends(&told), told["fallbacks"].is_null()), (vec!["cpu"; 2], true));
    let scraped = Scrape::of(&there.0);
    assert_eq!((available(&scraped), scraped.sum("stillframe_decoder_fallback_total")), (0.0, 0.0));
    let warnings = there.0.log().lines().filter(|line| line.contains("device")).count();
    assert_eq!(warnings, 1, "{}", there.0.log());
}

#[test]
fn a_host_without_a_device_says_so_once() {
    let env = |name, value: &str| Setup {
        env: vec![(name, value.to_owned())],
        media_roots: vec![clips::folder()],
        ..Setup::default()
    };
    // What a host without a driver, and one whose node is none, look like.
    let unusable = "a device cannot be used, pictures are decoded on the CPU";
    works_without_a_device(started(env("STILLFRAME_DEVICES_CUDA", "0")), unusable, "cuda:0");
    works_without_a_device(
        started(env("STILLFRAME_DEVICES_VAAPI", "/dev/null")),
        unusable,
        "vaapi:/dev/null",
    );
}

#[test]
fn a_driver_that_only_computes_is_found_out_at_the_start() {
    let fake = cuda::compute_only();
    let unusable = "a device cannot be used, pictures are decoded on the CPU";
    works_without_a_device(daemon(&fake, &[]), unusable, "cuda:0");
}
