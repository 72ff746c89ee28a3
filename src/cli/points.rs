//! The points of `grab`, `plan` and `bench`: the same flags, one batch of one job.
//!
//! Owns the flags that say what to capture, and how a file is opened. Never reads one.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{exit, say};
use crate::model::job::{BatchJob, FailCode, Failure, Source, Stage, VideoBatch};
use crate::model::limits::{FRAME_PIXELS_MAX, GRAB_COUNT_MAX, SHEET_PIXELS_MAX, SIDE_MAX, SIDE_MIN};
use crate::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};
use crate::service::api::sprite;

/// Which instants, which frame, which stream.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct PointArgs {
    /// Instants in milliseconds on the player's clock
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', conflicts_with = "count", required_unless_present = "count", value_parser = clap::value_parser!(i64).range(0..))]
    pub times_ms: Vec<i64>,
    /// So many pictures, spread evenly unless an interval is given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(GRAB_COUNT_MAX)))]
    pub count: Option<u32>,
    /// Seconds between pictures
    #[arg(long, value_name = "S", requires = "count", value_parser = seconds)]
    pub interval_s: Option<f64>,
    /// First picture's instant in milliseconds
    #[arg(long, value_name = "T", requires = "count", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub offset_ms: i64,
    /// The frame displayed at the instant, or the nearest key frame at or before it
    #[arg(long, value_enum, default_value_t = FrameTypeArg::Normal)]
    pub frame_type: FrameTypeArg,
    /// Index of the video stream; default: the first one flagged default that is no cover picture
    #[arg(long, value_name = "N")]
    pub stream: Option<u32>,
    /// A frame at most so far away may serve, if it is cheaper; the exact frame always may
    #[arg(long, value_name = "T", default_value_t = 0)]
    pub tolerance_ms: u32,
}

/// How the pictures come out.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct PictureArgs {
    /// Width in pixels after rotation; one side alone keeps the shape
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u32).range(i64::from(SIDE_MIN)..=i64::from(SIDE_MAX)))]
    pub width: Option<u32>,
    /// Height in pixels after rotation
    #[arg(long, value_name = "H", value_parser = clap::value_parser!(u32).range(i64::from(SIDE_MIN)..=i64::from(SIDE_MAX)))]
    pub height: Option<u32>,
    /// JPEG quality
    #[arg(long, value_name = "Q", default_value_t = 85, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,
    /// Sprite sheets too: {"Columns":10,"Lines":10,"CellWidth":160,...}, the API's SpriteSnapshotConfig
    #[arg(long, value_name = "JSON")]
    pub sprite: Option<String>,
    /// Print the MD5 of each decoded frame
    #[arg(long)]
    pub frame_md5: bool,
}

/// `--frame-type`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum FrameTypeArg {
    Normal,
    Intra,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s.is_finite() && (0.001..=1e9).contains(&s) => Ok(s),
        _ => Err("not a number of seconds of at least 0.001".to_owned()),
    }
}

impl PointArgs {
    /// The instants.
    pub fn points(&self) -> Points {
        match (self.count, self.interval_s) {
            (None, _) => Points::List(self.times_ms.clone()),
            (Some(count), None) => Points::Even { offset_ms: self.offset_ms, count },
            (Some(count), Some(interval_s)) => {
                let interval_ms = (interval_s * 1000.0).round() as i64;
                Points::Every { offset_ms: self.offset_ms, count, interval_ms }
            }
        }
    }

    /// How many instants at most.
    pub fn most(&self) -> u32 {
        self.count.unwrap_or(u32::try_from(self.times_ms.len()).unwrap_or(u32::MAX))
    }

    /// One job with these points.
    ///
    /// # Errors
    /// A text for the user when the sprite configuration is wrong.
    pub fn batch(&self, pictures: Option<&PictureArgs>) -> Result<VideoBatch, String> {
        let size =
            pictures.map_or_else(AskedSize::default, |p| AskedSize { width: p.width, height: p.height });
        let (sprite, keep_pictures) = match pictures.and_then(|p| p.sprite.as_deref()) {
            Some(text) => {
                let (sprite, keep) = sprite::parse(text, size, SHEET_PIXELS_MAX)
                    .map_err(|reason| format!("--sprite: {reason}"))?;
                (Some(sprite), keep)
            }
            None => (None, true),
        };
        let spec = SnapshotSpec {
            points: self.points(),
            size,
            quality: pictures.map_or(85, |p| p.quality),
            frame_type: match self.frame_type {
                FrameTypeArg::Normal => FrameType::Normal,
                FrameTypeArg::Intra => FrameType::Intra,
            },
            tolerance_ms: self.tolerance_ms,
            sprite,
            keep_pictures,
            frame_md5: pictures.is_some_and(|p| p.frame_md5),
        };
        Ok(batch(spec, self.stream))
    }
}

/// A batch of one job, nothing of it done.
pub fn batch(spec: SnapshotSpec, stream: Option<u32>) -> VideoBatch {
    let job = BatchJob { spec, pictures_done: vec![], sheets_done: vec![], points_failed: vec![] };
    VideoBatch { jobs: vec![job], stream, frame_pixels_max: FRAME_PIXELS_MAX, offer: Vec::new() }
}

/// Tells why a file gave nothing; returns the exit code.
pub fn fault(file: &Path, failure: &Failure) -> u8 {
    say::complain(format_args!("{}: {}: {}", file.display(), failure.stage.name(), failure.text));
    exit::FAULT
}

/// Opens a file of the caller's: no list of roots holds here, but only regular files are read.
///
/// # Errors
/// `NotFound`, `NotAFile`, `Io`, all at stage `Open` and without waiting for anything.
pub fn open(path: &Path) -> Result<Source, Failure> {
    let fail = |code, text: String| Failure::new(code, Stage::Open, text);
    // Opening a FIFO would wait for its writer.
    let file: File =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path).map_err(
            |e| match e.kind() {
                std::io::ErrorKind::NotFound => fail(FailCode::NotFound, "no such file".to_owned()),
                // A socket, or a device that is not there: neither can be opened at all.
                _ if matches!(e.raw_os_error(), Some(libc::ENXIO | libc::ENODEV)) => {
                    fail(FailCode::NotAFile, "not a regular file".to_owned())
                }
                _ => fail(FailCode::Io, format!("cannot open the file: {e}")),
            },
        )?;
    let kind = file.metadata().map_err(|e| fail(FailCode::Io, e.to_string()))?;
    if !kind.is_file() {
        return Err(fail(FailCode::NotAFile, "not a regular file".to_owned()));
    }
    Ok(Source::Fd(OwnedFd::from(file)))
}
