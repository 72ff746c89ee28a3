//! The fence around bytes: published images, and how a video is opened.
//!
//! Owns paths, temp files, renames and syncs. Never knows a job's state.
//!
//! Object keys are `<VideoId>/snapshots/{normal|sprite}/<JobId>-<ordinal>.jpg` (`publish/naming`).
//! A temp object is `<VideoId>/snapshots/{normal|sprite}/.<JobId>-<p|s><index>.tmp` in the folder it will be published to.

use std::path::PathBuf;

use crate::model::ids::{JobId, VideoId};
use crate::model::job::{Failure, Source};
use crate::model::snapshot::ImageKind;

/// Byte storage, whatever keeps it.
#[derive(Clone, Debug)]
pub enum ObjectStore {}

/// A synced temp file of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TempObject {
    pub path: PathBuf,
    pub bytes: u64,
}

/// An object on its way out.
#[derive(Debug)]
pub struct Object {
    pub bytes: bytes::Bytes,
    pub modified_ms: i64,
}

/// A video opened for reading, and what tells that it is still the same file.
#[derive(Debug)]
pub struct OpenedVideo {
    pub source: Source,
    pub identity: FileIdentity,
}

/// What changes when a file is replaced or rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    pub device: u64,
    pub inode: u64,
    pub size: i64,
    pub modified_ns: i128,
}

/// Why bytes could not be kept or given.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing} {}: {source}", path.display())]
pub struct ObjectError {
    pub doing: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: std::io::Error,
}

#[allow(clippy::unused_async, unused_variables)]
impl ObjectStore {
    /// A local folder, created when missing.
    pub fn local(root: PathBuf) -> Result<ObjectStore, ObjectError> {
        unimplemented!()
    }
    /// Writes and syncs a temp file named by job and asked index (or sheet number).
    pub async fn put_temp(
        &self,
        video: &VideoId,
        job: &JobId,
        kind: ImageKind,
        bytes: Vec<u8>,
    ) -> Result<TempObject, ObjectError> {
        unimplemented!()
    }
    /// Removes this job's ordinals above `pictures` and `sheets` (a rerun may be shorter), renames every temp
    /// object to its key, syncs the folders. Idempotent: a temp that is gone while its key exists is done.
    pub async fn publish(
        &self,
        video: &VideoId,
        job: &JobId,
        moves: Vec<(TempObject, String)>,
    ) -> Result<(), ObjectError> {
        unimplemented!()
    }
    /// Drops temp files of one job.
    pub async fn discard(&self, video: &VideoId, job: &JobId) -> Result<(), ObjectError> {
        unimplemented!()
    }
    /// The bytes of a key; none when there is no such object. Refuses keys that leave the root.
    pub async fn read(&self, key: &str) -> Result<Option<Object>, ObjectError> {
        unimplemented!()
    }
    /// Every job that has temp files, to be checked against the store at start.
    pub async fn temps(&self) -> Result<Vec<(VideoId, JobId)>, ObjectError> {
        unimplemented!()
    }
    /// Free bytes of the file system.
    pub fn free_bytes(&self) -> Option<u64> {
        unimplemented!()
    }
}

/// Folders below which videos may be registered and opened.
#[derive(Clone, Debug)]
pub struct MediaRoots {
    pub roots: Vec<PathBuf>,
}

#[allow(unused_variables)]
impl MediaRoots {
    /// The path behind a `file:///` URL (percent-decoded), if it lies below a root and names a regular file.
    /// Codes: NotFound, NotAFile, Io. Opens nothing that could block.
    pub fn resolve(&self, file_url: &str) -> Result<PathBuf, Failure> {
        unimplemented!()
    }
    /// Opens beneath a root without following links out of it: openat2 with RESOLVE_BENEATH and
    /// RESOLVE_NO_MAGICLINKS, O_NONBLOCK, regular files only.
    /// Codes: NotFound, NotAFile, Empty, Io, each within milliseconds.
    pub fn open(&self, path: &std::path::Path) -> Result<OpenedVideo, Failure> {
        unimplemented!()
    }
    /// Does the path still name the same file?
    pub fn unchanged(&self, path: &std::path::Path, identity: FileIdentity) -> bool {
        unimplemented!()
    }
}
