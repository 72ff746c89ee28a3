//! Objects in a local folder.
//!
//! Owns the order of write, sync and rename that makes an image durable before anyone hears of it.
//! Never knows a job's state; every call runs on tokio's blocking threads.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{Object, ObjectError, TempObject, keys};
use crate::model::ids::{JobId, VideoId};
use crate::model::limits::IMAGE_BYTES_MAX;
use crate::model::naming::{Class, object_key};
use crate::model::snapshot::ImageKind;

/// Most folders that are remembered as synced; beyond it they are synced again.
const SYNCED_FOLDERS_MAX: usize = 10_000;

/// A folder that keeps objects.
#[derive(Clone, Debug)]
pub struct Local {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    root_fd: OwnedFd,
    /// Folders whose own entries, up to the root, this process has synced. A folder that merely exists may have
    /// been made by a process that died before its sync.
    synced: Mutex<HashSet<PathBuf>>,
}

type Result<T> = std::result::Result<T, ObjectError>;

impl Local {
    /// Creates the folder when missing and holds it open.
    ///
    /// # Errors
    /// When it cannot be created, synced or opened.
    pub fn new(root: PathBuf) -> Result<Local> {
        fs::create_dir_all(&root).map_err(failed("create folder", &root))?;
        let root = fs::canonicalize(&root).map_err(failed("find folder", &root))?;
        if let Some(parent) = root.parent() {
            sync_folder(parent)?;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root_fd = rustix::fs::open(&root, flags, Mode::empty())
            .map_err(io::Error::from)
            .map_err(failed("open folder", &root))?;
        Ok(Local { inner: Arc::new(Inner { root, root_fd, synced: Mutex::default() }) })
    }

    /// `ObjectStore::put_temp`.
    pub async fn put_temp(
        &self,
        video: &VideoId,
        job: &JobId,
        kind: ImageKind,
        bytes: Vec<u8>,
    ) -> Result<TempObject> {
        let (video, job) = (video.clone(), job.clone());
        self.blocking(move |inner| inner.put_temp(&video, &job, kind, &bytes)).await
    }

    /// `ObjectStore::publish`.
    pub async fn publish(
        &self,
        video: &VideoId,
        job: &JobId,
        moves: Vec<(TempObject, String)>,
    ) -> Result<()> {
        let (video, job) = (video.clone(), job.clone());
        self.blocking(move |inner| inner.publish(&video, &job, &moves)).await
    }

    /// `ObjectStore::discard`.
    pub async fn discard(&self, video: &VideoId, job: &JobId) -> Result<()> {
        let (video, job) = (video.clone(), job.clone());
        self.blocking(move |inner| inner.discard(&video, &job)).await
    }

    /// `ObjectStore::read`.
    pub async fn read(&self, key: &str) -> Result<Option<Object>> {
        if keys::parse(key).is_none() {
            return Ok(None);
        }
        let key = key.to_owned();
        self.blocking(move |inner| inner.read(&key)).await
    }

    /// `ObjectStore::temps`.
    pub async fn temps(&self) -> Result<Vec<(VideoId, JobId)>> {
        self.blocking(Inner::temps).await
    }

    /// `ObjectStore::free_bytes`.
    pub fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(&self.inner.root_fd).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(done) => done,
            Err(gone) => Err(failed("work in", &self.inner.root)(io::Error::other(gone))),
        }
    }
}

impl Inner {
    fn folder(&self, video: &VideoId, class: Class) -> PathBuf {
        self.root.join(&video.0).join("snapshots").join(class.folder())
    }

    fn check_ids(&self, video: &VideoId, job: &JobId) -> Result<()> {
        if keys::usable_id(&video.0) && keys::usable_id(&job.0) {
            return Ok(());
        }
        let reason = io::Error::new(ErrorKind::InvalidInput, "the ids cannot be part of a name");
        Err(failed("name an image in", &self.root)(reason))
    }

    fn put_temp(&self, video: &VideoId, job: &JobId, kind: ImageKind, bytes: &[u8]) -> Result<TempObject> {
        self.check_ids(video, job)?;
        let folder = self.folder(video, keys::class_of(kind));
        let path = folder.join(keys::temp_name(job, kind));
        let written = match write_synced(&path, bytes) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&folder).map_err(failed("create folder", &folder))?;
                write_synced(&path, bytes)
            }
            other => other,
        };
        if let Err(error) = written {
            // Half an image is worth nothing, and a full disk wants its bytes back; the first error is the one to tell.
            fs::remove_file(&path).ok();
            return Err(failed("write", &path)(error));
        }
        Ok(TempObject { path, bytes: bytes.len() as u64 })
    }

    fn publish(&self, video: &VideoId, job: &JobId, moves: &[(TempObject, String)]) -> Result<()> {
        self.check_ids(video, job)?;
        let mut last = [0; Class::ALL.len()];
        for (_, text) in moves {
            let key = keys::parse(text).filter(|key| key.video == *video && key.job == *job);
            let Some(key) = key else {
                let reason = io::Error::new(ErrorKind::InvalidInput, "not a key of this job");
                return Err(failed("publish", &self.root.join(text))(reason));
            };
            let last = &mut last[key.class as usize];
            *last = key.ordinal.max(*last);
        }
        let mut touched = [false; Class::ALL.len()];
        for class in Class::ALL {
            touched[class as usize] = self.remove_above(video, class, job, last[class as usize])?;
        }
        for (temp, key) in moves {
            self.rename(temp, key)?;
        }
        for class in Class::ALL {
            if touched[class as usize] || last[class as usize] > 0 {
                self.sync(&self.folder(video, class))?;
            }
        }
        Ok(())
    }

    fn rename(&self, temp: &TempObject, key: &str) -> Result<()> {
        let path = self.root.join(key);
        match fs::rename(&temp.path, &path) {
            Err(error) if error.kind() == ErrorKind::NotFound && path.exists() => Ok(()),
            other => other.map_err(failed("rename to", &path)),
        }
    }

    // A job's ordinals have no gaps on disk: they are renamed upwards and removed downwards. So the first one that
    // is missing ends them, and no folder of many jobs has to be listed.
    fn remove_above(&self, video: &VideoId, class: Class, job: &JobId, last: u32) -> Result<bool> {
        let path = |ordinal: u32| self.root.join(object_key(video, class, job, ordinal));
        let mut end = last.saturating_add(1);
        while path(end).exists() {
            end += 1;
        }
        for ordinal in (last + 1..end).rev() {
            fs::remove_file(path(ordinal)).map_err(failed("remove", &path(ordinal)))?;
        }
        Ok(end > last + 1)
    }

    fn sync(&self, folder: &Path) -> Result<()> {
        sync_folder(folder)?;
        if self.synced.lock().unwrap_or_else(PoisonError::into_inner).contains(folder) {
            return Ok(());
        }
        for above in folder.ancestors().skip(1) {
            sync_folder(above)?;
            if above == self.root {
                break;
            }
        }
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.len() >= SYNCED_FOLDERS_MAX {
            synced.clear();
        }
        synced.insert(folder.to_owned());
        Ok(())
    }

    fn discard(&self, video: &VideoId, job: &JobId) -> Result<()> {
        self.check_ids(video, job)?;
        for class in Class::ALL {
            let folder = self.folder(video, class);
            for name in names(&folder)? {
                if keys::temp_job(&name).as_ref() == Some(job) {
                    let path = folder.join(name);
                    gone_is_fine(fs::remove_file(&path)).map_err(failed("remove", &path))?;
                }
            }
        }
        Ok(())
    }

    fn read(&self, key: &str) -> Result<Option<Object>> {
        let path = self.root.join(key);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = rustix::fs::openat2(&self.root_fd, key, flags, Mode::empty(), resolve);
        let file = match opened.map_err(io::Error::from) {
            Ok(fd) => File::from(fd),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        read_whole(&file).map(Some).map_err(failed("read", &path))
    }

    fn temps(&self) -> Result<Vec<(VideoId, JobId)>> {
        let mut found = HashSet::new();
        for video in names(&self.root)?.into_iter().filter(|name| keys::usable_id(name)).map(VideoId) {
            for class in Class::ALL {
                let jobs = names(&self.folder(&video, class))?;
                found.extend(jobs.iter().filter_map(|n| keys::temp_job(n)).map(|job| (video.clone(), job)));
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort();
        Ok(found)
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ObjectError + use<> {
    let path = path.to_owned();
    move |source| ObjectError { doing, path, source }
}

fn gone_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o644);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync folder", path))
}

// Names that are not UTF-8 are none of ours. A folder that is missing, or a file in its place, has no names.
fn names(folder: &Path) -> Result<Vec<String>> {
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed("list", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in list {
        let entry = entry.map_err(failed("list", folder))?;
        found.extend(entry.file_name().into_string());
    }
    Ok(found)
}

fn read_whole(file: &File) -> io::Result<Object> {
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a regular file"));
    }
    let most = u64::from(IMAGE_BYTES_MAX);
    if facts.len() > most {
        return Err(io::Error::new(ErrorKind::InvalidData, "larger than any image"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(facts.len()).unwrap_or(0));
    file.take(most).read_to_end(&mut bytes)?;
    let since = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    Ok(Object { bytes: bytes.into(), modified_ms })
}
