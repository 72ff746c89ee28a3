//! Names on disk: keys taken apart, names of temp files. *Pure.*
//!
//! Owns what a key or a temp name may look like. Never touches a file.

use crate::model::ids::{JobId, VideoId};
use crate::model::naming::Class;
use crate::model::snapshot::ImageKind;

/// Longest id that may be part of a name, bytes.
const ID_BYTES_MAX: usize = 64;

/// A key taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub video: VideoId,
    pub class: Class,
    pub job: JobId,
    /// From 1.
    pub ordinal: u32,
}

/// An id that can be part of a file name: nothing that could climb, hide or mean something to a shell.
pub fn usable_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Takes a key apart; none when it is not exactly one of the shapes that `model::naming::object_key` makes.
pub fn parse(key: &str) -> Option<Key> {
    let mut parts = key.split('/');
    let (video, folder, class, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || folder != "snapshots" {
        return None;
    }
    let class = Class::ALL.into_iter().find(|c| c.folder() == class)?;
    let (job, digits) = name.strip_suffix(".jpg")?.rsplit_once('-')?;
    let ordinal: u32 = digits.parse().ok()?;
    let spelled = ordinal >= 1 && digits == format!("{ordinal:05}");
    (spelled && usable_id(video) && usable_id(job)).then(|| Key {
        video: video.into(),
        class,
        job: job.into(),
        ordinal,
    })
}

/// The folder of an image.
pub fn class_of(kind: ImageKind) -> Class {
    match kind {
        ImageKind::Picture { .. } => Class::Normal,
        ImageKind::Sheet { .. } => Class::Sprite,
    }
}

/// The name of an image's temp file.
pub fn temp_name(job: &JobId, kind: ImageKind) -> String {
    match kind {
        ImageKind::Picture { asked } => format!(".{job}-p{asked}.tmp"),
        ImageKind::Sheet { number } => format!(".{job}-s{number}.tmp"),
    }
}

/// The job of a temp name; none when it is not one of ours.
pub fn temp_job(name: &str) -> Option<JobId> {
    let (job, image) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('-')?;
    let digits = image.strip_prefix('p').or_else(|| image.strip_prefix('s'))?;
    let ours = usable_id(job) && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    ours.then(|| job.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::naming::object_key;

    #[test]
    fn only_the_two_shapes_are_keys() {
        assert!(parse("v1/snapshots/normal/j1-00001.jpg").is_some());
        assert!(parse("v1/snapshots/sprite/j-1-123456.jpg").is_some());
        for bad in [
            "",
            "/",
            "v/snapshots/normal",
            "/v/snapshots/normal/j-00001.jpg",
            "v/snapshots/normal/j-00001.jpg/",
            "v/snapshots/normal/../normal/j-00001.jpg",
            "../snapshots/normal/j-00001.jpg",
            "./snapshots/normal/j-00001.jpg",
            "v/snapshots/covers/j-00001.jpg",
            "v/snapshot/normal/j-00001.jpg",
            "v/snapshots/normal/j-1.jpg",
            "v/snapshots/normal/j-000001.jpg",
            "v/snapshots/normal/j-00000.jpg",
            "v/snapshots/normal/j-+0001.jpg",
            "v/snapshots/normal/j-00001.png",
            "v/snapshots/normal/-00001.jpg",
            "v/snapshots/normal/j-99999999999.jpg",
            "v/snapshots/normal/.j-p0.tmp",
            "v/snapshots/normal/j\0-00001.jpg",
            "v%2f/snapshots/normal/j-00001.jpg",
            "v\\..\\/snapshots/normal/j-00001.jpg",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_key_comes_apart_as_it_was_made(
            video in "[a-zA-Z0-9_-]{1,64}", job in "[a-zA-Z0-9_-]{1,64}", ordinal in 1u32.., sprite: bool,
        ) {
            let class = if sprite { Class::Sprite } else { Class::Normal };
            let (video, job) = (VideoId(video), JobId(job));
            let key = object_key(&video, class, &job, ordinal);
            prop_assert_eq!(parse(&key), Some(Key { video, class, job, ordinal }));
        }

        #[test]
        fn whatever_is_taken_for_a_key_spells_itself(text in "[a-z./%-]{0,6}/snapshots/normal/[a-z0-9.-]{0,12}.jpg") {
            if let Some(key) = parse(&text) {
                prop_assert_eq!(object_key(&key.video, key.class, &key.job, key.ordinal), text);
            }
        }

        #[test]
        fn a_temp_name_tells_its_job(job in "[a-zA-Z0-9_-]{1,64}", index: u32, sheet: bool) {
            let kind = if sheet { ImageKind::Sheet { number: index } } else { ImageKind::Picture { asked: index } };
            let job = JobId(job);
            let name = temp_name(&job, kind);
            prop_assert_eq!(temp_job(&name), Some(job));
            prop_assert_eq!(parse(&format!("v/snapshots/normal/{name}")), None);
        }
    }
}
