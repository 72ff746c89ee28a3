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
    let folder = folder();
    let path = folder.join(format!("{tag}-{name}"));
    if path.is_file() {
        return path;
    }
    std::fs::create_dir_all(&folder).unwrap();
    // Several tests may want it at once: each makes its own and the first one stays, because an encoder with threads
    // does not make the same bytes every time.
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let part = folder.join(format!("{}-{serial}-{tag}-{name}", std::process::id()));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]).args(recipe).arg(&part);
    super::run(&mut ffmpeg, 0);
    if let Err(error) = std::fs::hard_link(&part, &path) {
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{}: {error}", path.display());
    }
    std::fs::remove_file(&part).unwrap();
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

/// `count` closed groups of `frames` pictures each, all with the same pictures: 1080p H.264, 25 frames a second, one
/// key frame a group. A group is small, but each of its pictures takes all before it in the group to decode.
pub fn groups(count: u32, frames: u32) -> PathBuf {
    let (frames, loops) = (frames.to_string(), (count - 1).to_string());
    let size = ["-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25", "-frames:v", &frames];
    let coding = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "40", "-pix_fmt", "yuv420p"];
    let groups = ["-g", &frames, "-keyint_min", &frames, "-sc_threshold", "0"];
    let one = clip("group.mp4", &[&size[..], &coding, &groups].concat());
    clip("groups.mp4", &["-stream_loop", &loops, "-i", one.to_str().unwrap(), "-c", "copy"])
}

/// The folder that all clips lie in, as a media root: large ones are not copied.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips")
}

/// Six seconds without sound: MPEG-4 part 2 in Matroska, 320x180, with B-frames.
pub fn small() -> PathBuf {
    let source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=6"];
    clip("small.mkv", &[&source[..], &["-c:v", "mpeg4", "-bf", "2", "-g", "50", "-q:v", "4"]].concat())
}
