//! Names of published images. *Pure.*
//!
//! Owns the layout of object keys (API contract, 5.1). Never knows a folder or a host.

use super::ids::{JobId, VideoId};

/// Which of a job's two series of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Single pictures.
    Normal,
    /// Sprite sheets.
    Sprite,
}

impl Class {
    /// Both, in the order of the event's entries.
    pub const ALL: [Class; 2] = [Class::Normal, Class::Sprite];

    /// The word in keys.
    pub fn name(self) -> &'static str {
        match self {
            Class::Normal => "normal",
            Class::Sprite => "sprite",
        }
    }
}

/// The key of one image: `ordinal` counts from 1 and has at least five digits.
pub fn object_key(video: &VideoId, class: Class, job: &JobId, ordinal: u32) -> String {
    format!("{video}/snapshots/{}/{job}-{ordinal:05}.jpg", class.name())
}

/// The key with the API's placeholder in place of the ordinal.
pub fn object_format(video: &VideoId, class: Class, job: &JobId) -> String {
    format!("{video}/snapshots/{}/{job}-{{SnapshotCount}}.jpg", class.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_stands_for_five_digits_or_more() {
        let (video, job) = (VideoId::from("v"), JobId::from("j"));
        let format = object_format(&video, Class::Sprite, &job);
        assert_eq!(format, "v/snapshots/sprite/j-{SnapshotCount}.jpg");
        for (ordinal, digits) in [(1, "00001"), (99_999, "99999"), (100_000, "100000")] {
            let key = object_key(&video, Class::Sprite, &job, ordinal);
            assert_eq!(key, format.replace("{SnapshotCount}", digits));
        }
    }
}
