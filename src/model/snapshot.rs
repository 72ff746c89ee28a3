//! Delivered images and what is true about them. *Pure.*
//!
//! Owns the result entry of a point and the finished image. Never knows a file name or URL.

use super::media::Backend;

/// One point of one job of a batch: `job` indexes `VideoBatch.jobs`, `asked` the job's asked order from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PointKey {
    pub job: u32,
    pub asked: u32,
}

/// How a point ended (`status` of `grab --json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointStatus {
    Ok,
    /// The instant lies before the first shown frame; that frame was taken.
    FirstFrame,
    /// The instant lies between the last frame's own end and the end of the medium.
    LastFrame,
    /// At or past the end: no picture.
    PastEnd,
    /// The decoder reported damage in this frame.
    Concealed,
    Failed,
}

impl PointStatus {
    /// The word in JSON and rows.
    pub fn name(self) -> &'static str {
        match self {
            PointStatus::Ok => "ok",
            PointStatus::FirstFrame => "first_frame",
            PointStatus::LastFrame => "last_frame",
            PointStatus::PastEnd => "past_end",
            PointStatus::Concealed => "concealed",
            PointStatus::Failed => "failed",
        }
    }

    /// The inverse of `name`.
    pub fn parse(text: &str) -> Option<PointStatus> {
        [
            PointStatus::Ok,
            PointStatus::FirstFrame,
            PointStatus::LastFrame,
            PointStatus::PastEnd,
            PointStatus::Concealed,
            PointStatus::Failed,
        ]
        .into_iter()
        .find(|s| s.name() == text)
    }

    /// True when there is a picture.
    pub fn has_picture(self) -> bool {
        !matches!(self, PointStatus::PastEnd | PointStatus::Failed)
    }
}

/// How the points of a job ended: asked = delivered + past_end + failed, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub asked: u32,
    pub delivered: u32,
    pub past_end: u32,
    pub failed: u32,
}

impl Counts {
    /// Counts statuses.
    pub fn of(statuses: impl Iterator<Item = PointStatus>) -> Counts {
        let mut counts = Counts::default();
        for status in statuses {
            counts.asked += 1;
            match status {
                PointStatus::PastEnd => counts.past_end += 1,
                PointStatus::Failed => counts.failed += 1,
                PointStatus::Ok
                | PointStatus::FirstFrame
                | PointStatus::LastFrame
                | PointStatus::Concealed => counts.delivered += 1,
            }
        }
        counts
    }

    /// So many points, all of them failed.
    pub fn lost(asked: u32) -> Counts {
        Counts { asked, failed: asked, ..Counts::default() }
    }
}

/// What is true about the picture of one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub status: PointStatus,
    /// Start of the shown frame on the player's clock, ms, rounded up.
    pub shown_ms: i64,
    /// In stream time base; the frame's number where the container has no pts.
    pub pts: i64,
    /// Size of the picture (of the cell, when only a cell is made), pixels.
    pub width: u32,
    pub height: u32,
    pub key_frame: bool,
    pub backend: Backend,
    /// MD5 of the decoded frame, when asked for.
    pub frame_md5: Option<[u8; 16]>,
}

/// Which image of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImageKind {
    /// The picture of one point.
    Picture { asked: u32 },
    /// A sprite sheet, numbered from 0.
    Sheet { number: u32 },
}

/// Finished JPEG bytes of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedImage {
    /// Index into `VideoBatch.jobs`.
    pub job: u32,
    pub kind: ImageKind,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    pub bytes: Vec<u8>,
}
