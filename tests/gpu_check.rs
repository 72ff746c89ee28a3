//! `scripts/gpu-check` on the double of NVIDIA's driver: it sees a wrong picture, and says what a host lacks.
//!
//! Owns the proof that the check can fail. Never says anything about a device.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::clips::clip;
use common::fake::cuda::{self, FakeCuda};

fn made() -> PathBuf {
    let picture = "testsrc2=size=320x180:rate=25:duration=2";
    let coding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25"];
    clip("costs.mp4", &[&["-f", "lavfi", "-i", picture][..], &coding].concat())
}

fn check(clip: &Path, fake: &FakeCuda, more: &[&str], code: i32) -> String {
    let mut check = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu-check"));
    check.arg(clip).args(["--program", env!("CARGO_BIN_EXE_stillframe"), "--seconds", "0"]).args(more);
    let Output { stdout, .. } = common::run(fake.lend(&mut check), code);
    String::from_utf8(stdout).expect("a report")
}

#[test]
fn pictures_of_the_device_are_held_against_the_cpus() {
    let proof = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/media/proof/h264_8.mkv");
    let clip = made();
    let fake = cuda::knowing(&[&clip, &proof]);
    let report = check(&clip, &fake, &["--points", "6"], 0);
    assert!(report.contains("costs.mp4 | cuda | 8 | 8 | 0 |"), "{report}");
    assert!(report.contains("What cuda:0 costs") && report.contains("0 wrong; 8 pictures"), "{report}");
    // The built-in clip's sixteen pictures of two planes are right, nothing is behind them.
    fake.control(&["Memcpy2DAsync@33+=wrong"]);
    let report = check(&clip, &fake, &["--points", "6"], 1);
    assert!(report.contains("frame_md5 is"), "{report}");
}

#[test]
fn what_a_host_lacks_is_said() {
    let clip = made();
    let report = check(&clip, &cuda::compute_only(), &["--backend", "cuda"], 2);
    assert!(report.contains("libnvcuvid.so.1 is missing") && report.contains("`video`"), "{report}");
}
