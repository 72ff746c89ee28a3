//! Object keys of pictures and sheets. *Pure.*
//!
//! Owns the one rule that the key of an image follows (API contract, 5.1), for whoever writes, lists or serves it.
//! Never knows a folder or a base URL.

use super::ids::{JobId, VideoId};

/// Stands for the ordinal in formats that callers get; they substitute it and nothing else.
pub const PLACEHOLDER: &str = "{SnapshotCount}";

/// Folder of an image below its video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The picture of one point.
    Normal,
    /// A sprite sheet.
    Sprite,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 2] = [Class::Normal, Class::Sprite];

    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Class::Normal => "normal",
            Class::Sprite => "sprite",
        }
    }
}

/// The key of one image; ordinals begin at 1, have five digits and get longer past 99999.
pub fn object_key(video: &VideoId, class: Class, job: &JobId, ordinal: u32) -> String {
    format!("{video}/snapshots/{}/{job}-{ordinal:05}.jpg", class.folder())
}

/// The key with the placeholder where the ordinal stands.
pub fn object_format(video: &VideoId, class: Class, job: &JobId) -> String {
    format!("{video}/snapshots/{}/{job}-{PLACEHOLDER}.jpg", class.folder())
}

/// Is this text a key that `object_key` makes? Anything else is refused before a path is built from it.
pub fn is_object_key(key: &str) -> bool {
    let mut parts = key.split('/');
    let (Some(video), Some("snapshots"), Some(folder), Some(file), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Some((job, ordinal)) = file.strip_suffix(".jpg").and_then(|stem| stem.rsplit_once('-')) else {
        return false;
    };
    let written = ordinal.parse::<u32>().is_ok_and(|n| n > 0 && format!("{n:05}") == ordinal);
    written && is_word(video) && is_word(job) && Class::ALL.iter().any(|c| c.folder() == folder)
}

// Ids are 32 hex digits when we made them; no dot or slash can name another folder.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_have_five_digits_and_grow() {
        let (video, job) = (VideoId::from("v"), JobId::from("j"));
        assert_eq!(object_key(&video, Class::Normal, &job, 1), "v/snapshots/normal/j-00001.jpg");
        assert_eq!(object_key(&video, Class::Sprite, &job, 100_000), "v/snapshots/sprite/j-100000.jpg");
        assert_eq!(object_format(&video, Class::Normal, &job), "v/snapshots/normal/j-{SnapshotCount}.jpg");
    }

    #[test]
    fn other_texts_are_no_keys() {
        for bad in [
            "",
            "/",
            "v",
            "v/snapshots/normal",
            "v/snapshots/normal/",
            "v/snapshots/normal/j.jpg",
            "v/snapshots/normal/j-1.jpg",
            "v/snapshots/normal/j-00000.jpg",
            "v/snapshots/normal/j-+0001.jpg",
            "v/snapshots/normal/j-000001.jpg",
            "v/snapshots/normal/j-00001.jpeg",
            "v/snapshots/normal/j-00001.jpg/",
            "v/snapshots/webvtt/j-00001.jpg",
            "v/snapshots/normal/.j-p0.tmp",
            "../snapshots/normal/j-00001.jpg",
            "v/snapshots/normal/../j-00001.jpg",
            "v/../snapshots/normal/j-00001.jpg",
            "/v/snapshots/normal/j-00001.jpg",
            "v//snapshots/normal/j-00001.jpg",
            "%2e%2e/snapshots/normal/j-00001.jpg",
            "v/snapshots/normal/j%2f-00001.jpg",
            "v/snapshots/normal/.-00001.jpg",
            "v\0/snapshots/normal/j-00001.jpg",
        ] {
            assert!(!is_object_key(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_key_is_known_again(video in "[0-9a-f]{32}", job in "[0-9a-f]{32}", ordinal in 1u32..) {
            for class in Class::ALL {
                let key = object_key(&VideoId(video.clone()), class, &JobId(job.clone()), ordinal);
                prop_assert!(is_object_key(&key));
                let format = object_format(&VideoId(video.clone()), class, &JobId(job.clone()));
                prop_assert_eq!(format.replace(PLACEHOLDER, &format!("{ordinal:05}")), key);
            }
        }
    }
}
