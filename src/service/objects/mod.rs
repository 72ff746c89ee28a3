//! The fence around bytes: published images, and how a video is opened.
//!
//! Owns paths, temp files, renames and syncs. Never knows a job's state.
//!
//! Object keys are `<VideoId>/snapshots/{normal|sprite}/<JobId>-<ordinal>.jpg` (`model/naming`).
//! A temp object is `<VideoId>/snapshots/{normal|sprite}/.<JobId>-<p|s><index>.tmp` in the folder it will be published to.

mod keys;
pub mod local;
mod roots;

use std::path::PathBuf;

pub use roots::MediaRoots;

use crate::model::ids::{JobId, VideoId};
use crate::model::job::Source;
use crate::model::snapshot::ImageKind;

/// Byte storage, whatever keeps it.
#[derive(Clone, Debug)]
pub enum ObjectStore {
    Local(local::Local),
}

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

impl ObjectStore {
    /// A local folder, created when missing.
    ///
    /// # Errors
    /// When it cannot be created, synced or opened.
    pub fn local(root: PathBuf) -> Result<ObjectStore, ObjectError> {
        Ok(ObjectStore::Local(local::Local::new(root)?))
    }

    /// Writes and syncs a temp file named by job and asked index (or sheet number). A temp of the same name is
    /// replaced; a failed write leaves none.
    ///
    /// # Errors
    /// Ids that cannot be part of a key, and whatever the disk says.
    pub async fn put_temp(
        &self,
        video: &VideoId,
        job: &JobId,
        kind: ImageKind,
        bytes: Vec<u8>,
    ) -> Result<TempObject, ObjectError> {
        match self {
            ObjectStore::Local(local) => local.put_temp(video, job, kind, bytes).await,
        }
    }

    /// Removes this job's ordinals above those in `moves` (a rerun may be shorter), renames every temp object to
    /// its key, syncs the folders. Idempotent: a temp that is gone while its key exists is done.
    ///
    /// # Errors
    /// A key of another job, and whatever the disk says; what was renamed by then stays and may be published again.
    pub async fn publish(
        &self,
        video: &VideoId,
        job: &JobId,
        moves: Vec<(TempObject, String)>,
    ) -> Result<(), ObjectError> {
        match self {
            ObjectStore::Local(local) => local.publish(video, job, moves).await,
        }
    }

    /// Drops temp files of one job.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub async fn discard(&self, video: &VideoId, job: &JobId) -> Result<(), ObjectError> {
        match self {
            ObjectStore::Local(local) => local.discard(video, job).await,
        }
    }

    /// Takes everything of one job back: its published images and its temp files.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub async fn withdraw(&self, video: &VideoId, job: &JobId) -> Result<(), ObjectError> {
        self.publish(video, job, Vec::new()).await?;
        self.discard(video, job).await
    }

    /// The bytes of a key; none when there is no such object. A text that is no key of ours names no object.
    ///
    /// # Errors
    /// A link or a special file in the place of an object, one beyond `IMAGE_BYTES_MAX`, and whatever the disk says.
    pub async fn read(&self, key: &str) -> Result<Option<Object>, ObjectError> {
        match self {
            ObjectStore::Local(local) => local.read(key).await,
        }
    }

    /// Every job that has temp files. Reads every folder: for the start of a daemon.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub async fn temps(&self) -> Result<Vec<(VideoId, JobId)>, ObjectError> {
        match self {
            ObjectStore::Local(local) => local.temps().await,
        }
    }

    /// Free bytes of the file system, as an ordinary user may use them; none when it does not tell.
    pub fn free_bytes(&self) -> Option<u64> {
        match self {
            ObjectStore::Local(local) => local.free_bytes(),
        }
    }
}
