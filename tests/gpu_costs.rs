//! `stillframe bench --decoders-of` on the double of NVIDIA's driver.
//!
//! Owns the proof that each cost is measured and that the end of a device's room is told, not survived by luck.
//! Never says anything about a device.

mod common;

use std::path::Path;

use common::clips::clip;
use common::fake::cuda;
use serde_json::Value;

fn lines(output: &std::process::Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn decoders_are_counted_until_the_device_has_no_more() {
    let picture = "testsrc2=size=320x180:rate=25:duration=2";
    let coding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25"];
    let clip = clip("costs.mp4", &[&["-f", "lavfi", "-i", picture][..], &coding].concat());
    let fake = cuda::knowing(&[&clip]);
    fake.control(&["sessions=5"]);
    let mut bench = common::stillframe();
    bench.args(["bench", "--decoders-of", "cuda:0", "--json"]).arg(&clip);
    let told = lines(&common::run(fake.lend(&mut bench), 0));
    assert_eq!((told.len(), &told[0]["device"]), (2, &Value::from("cuda:0")), "{told:?}");
    let costs = &told[1];
    assert_eq!(
        (&costs["frames"], &costs["decoders_at_once"]),
        (&Value::from(50), &Value::from(5)),
        "{costs}"
    );
    assert!(costs["decoders_end"].as_str().is_some_and(|end| end.starts_with("out_of_memory")), "{costs}");
    for what in ["new_decoder", "after_flush", "chained", "transfer"] {
        assert!(costs[what]["wall_ms"].is_f64(), "{what} of {costs}");
    }
    fake.assert_nothing_left();
}

#[test]
fn a_device_that_does_not_open_is_a_fault_with_its_reason() {
    let fake = cuda::hollow_driver();
    let mut bench = common::stillframe();
    bench.args(["bench", "--decoders-of", "cuda:0", "none.mp4"]);
    let output = common::run(fake.lend(&mut bench), 1);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("cuda:0") && text.contains("no_device"), "{text}");
}

#[test]
fn jobs_are_measured_on_the_device_alone() {
    let picture = "testsrc2=size=320x180:rate=25:duration=2";
    let coding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25"];
    let clip = clip("costs.mp4", &[&["-f", "lavfi", "-i", picture][..], &coding].concat());
    let proof = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/media/proof/h264_8.mkv");
    let fake = cuda::knowing(&[&clip, &proof]);
    let mut bench = common::stillframe();
    bench.args(["bench", "--on", "cuda:0", "--json", "--rounds", "2", "--count", "4"]).arg(&clip);
    let told = lines(&common::run(fake.lend(&mut bench), 0));
    assert_eq!((&told[0]["pictures"], &told[0]["stats"]["backend"]), (&Value::from(4), &Value::from("cuda")));
    // One helper for both rounds.
    assert_eq!(fake.calls("CtxCreate"), 1);

    fake.control(&["DecodePicture@3+=999"]);
    let mut bench = common::stillframe();
    bench.args(["bench", "--on", "cuda:0"]).arg(&clip);
    let output = common::run(fake.lend(&mut bench), 1);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("cuda:0") && text.contains("lost"), "{text}");
}
