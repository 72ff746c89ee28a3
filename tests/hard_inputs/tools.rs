//! What the rows share: one grab with its report and its pictures, and a source to make clips of.
//!
//! Owns the folder that a grab writes to. Never judges.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{clips, footage, judge, stillframe};

/// A clip of a moving test picture, 160x90 at 25 frames a second.
pub fn clip(name: &str, seconds: &str, arguments: &[&str]) -> PathBuf {
    let source = format!("testsrc2=s=160x90:r=25:d={seconds}");
    let source = ["-f", "lavfi", "-i", &source];
    clips::clip(name, &[&source[..], arguments].concat())
}

/// Real footage is held to the full decode, where it is there.
pub fn check_footage(names: &[&str]) {
    for file in names.iter().filter_map(|name| footage(name)) {
        judge::check(&file);
    }
}

/// What a grab gave.
pub struct Grabbed {
    pub report: Value,
    pub code: Option<i32>,
    pub complaint: String,
    folder: TempDir,
}

/// Runs `grab --json --frame-md5` with these arguments.
pub fn grab(file: &Path, arguments: &[&str]) -> Grabbed {
    let folder = tempfile::tempdir().unwrap();
    let mut command = stillframe();
    command.args(["grab", "--json", "--frame-md5", "--out"]).arg(folder.path()).args(arguments).arg(file);
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}\n{complaint}", file.display()));
    Grabbed { report, code: output.status.code(), complaint, folder }
}

/// `grab` at these instants.
pub fn grab_at(file: &Path, times: &[i64], arguments: &[&str]) -> Grabbed {
    let times = times.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    grab(file, &[&["--times-ms", &times], arguments].concat())
}

impl Grabbed {
    /// One entry a point.
    pub fn pictures(&self) -> &[Value] {
        self.report["pictures"].as_array().unwrap_or_else(|| panic!("{}", self.report))
    }

    /// The status of each point.
    pub fn statuses(&self) -> Vec<&str> {
        self.pictures().iter().map(|picture| picture["status"].as_str().unwrap()).collect()
    }

    /// One field of each point that has it.
    pub fn numbers(&self, field: &str) -> Vec<i64> {
        self.pictures().iter().filter_map(|picture| picture[field].as_i64()).collect()
    }

    /// The picture of a point, decoded.
    #[track_caller]
    pub fn image(&self, point: usize) -> Image {
        let name = self.pictures()[point]["file"].as_str();
        let name = name.unwrap_or_else(|| panic!("{}", self.pictures()[point]));
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap();
        let image = turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::RGB).unwrap();
        let rows = image.pixels.chunks_exact(image.pitch).take(image.height);
        let pixels = rows.flat_map(|row| row[..image.width * 3].as_chunks::<3>().0.to_vec()).collect();
        Image { width: image.width, height: image.height, pixels }
    }

    /// Every point has the frame that a full decode shows at its instant.
    #[track_caller]
    pub fn insist_exact(&self, truth: &judge::Truth) {
        for picture in self.pictures() {
            let Some(want) = truth.at(picture["asked_ms"].as_i64().unwrap()) else { continue };
            assert_eq!(picture["frame_md5"], want.md5.as_str(), "want pts {}: {picture}", want.pts);
        }
    }
}

/// A decoded JPEG.
pub struct Image {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 3]>,
}

impl Image {
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
        self.pixels[y * self.width + x]
    }

    /// Is the pixel near to this colour?
    #[track_caller]
    pub fn insist(&self, (x, y): (usize, usize), want: [u8; 3], tolerance: u8) {
        let got = self.at(x, y);
        let far = got.iter().zip(want).any(|(got, want)| got.abs_diff(want) > tolerance);
        assert!(!far, "{x},{y} of {}x{}: {got:?} is not {want:?}", self.width, self.height);
    }
}
