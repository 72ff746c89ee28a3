//! Clips made with the ffmpeg command line, each once.
//!
//! Owns the folder of clips; a clip is named by its recipe, so a changed recipe is a new clip. Never ships footage.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use sha2::{Digest, Sha256};

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// The clip that `ffmpeg -i ... RECIPE NAME` makes; `name` gives the container by its extension.
pub fn clip(name: &str, recipe: &[&str]) -> PathBuf {
    let digest = Sha256::digest(recipe.join("\n").as_bytes());
    let tag: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    let path = folder.join(format!("{tag}-{name}"));
    if path.is_file() {
        return path;
    }
    std::fs::create_dir_all(&folder).unwrap();
    // Several test programs may want it at once: each makes its own, the last rename wins, all are equal.
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let part = folder.join(format!("{}-{serial}-{tag}-{name}", std::process::id()));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]).args(recipe).arg(&part);
    super::run(&mut ffmpeg, 0);
    std::fs::rename(&part, &path).unwrap();
    path
}

/// Four seconds of a moving test picture: H.264, 640x360, 25 frames a second, a key frame each second, with sound.
pub fn short() -> PathBuf {
    clip(
        "short.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=640x360:rate=25:duration=4",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:duration=4",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-g",
            "25",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
        ],
    )
}
