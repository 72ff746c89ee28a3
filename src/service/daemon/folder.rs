//! The data folder: one daemon a folder, and a file that says where it listens.
//!
//! Owns `lock` and `run.json`, and the names of what else lies there. Never looks into the database.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A data folder that is ours while this value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("another daemon runs on {}", .0.display())]
    Taken(PathBuf),
    #[error("failed to {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl DataFolder {
    /// Makes the folder where it is missing (mode 0700), takes its lock and removes what a daemon before left behind.
    ///
    /// # Errors
    /// `Taken` while another process holds the lock, and whatever the disk says.
    pub fn take(path: &Path) -> Result<DataFolder, FolderError> {
        let failed = |doing| move |source| FolderError::Io { doing, path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make"))?;
        // std opens with CLOEXEC: the lock ends with this process, whatever becomes of its children.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(failed("open the lock of"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(FolderError::Taken(path.to_owned())),
            Err(error) => return Err(failed("lock")(error.into())),
        }
        let folder = DataFolder { path: path.to_owned(), _lock: lock };
        folder.remove_run_file().map_err(failed("remove the stale run.json of"))?;
        Ok(folder)
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path.join("stillframe.db")
    }

    /// Its write-ahead log.
    pub fn write_ahead_log(&self) -> PathBuf {
        self.path.join("stillframe.db-wal")
    }

    /// Published images.
    pub fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Says where this process listens, in one step.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn write_run_file(&self, api: SocketAddr, admin: SocketAddr) -> io::Result<()> {
        let run = serde_json::json!({
            "pid": std::process::id(), "api": api.to_string(), "admin": admin.to_string(),
        });
        let part = self.path.join(".run.json");
        std::fs::write(&part, format!("{run}\n"))?;
        std::fs::rename(&part, self.path.join("run.json"))
    }

    /// Removes it; one that is not there is no fault.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn remove_run_file(&self) -> io::Result<()> {
        match std::fs::remove_file(self.path.join("run.json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("data");
        let first = DataFolder::take(&path).expect("nobody has it");
        assert!(matches!(DataFolder::take(&path), Err(FolderError::Taken(_))));
        drop(first);
        DataFolder::take(&path).expect("free again");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn run_json_says_where_and_a_stale_one_goes() {
        let temp = tempfile::tempdir().expect("a folder");
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let folder = DataFolder::take(temp.path()).expect("nobody has it");
        folder.write_run_file(address(1), address(2)).expect("it is written");
        let text = std::fs::read_to_string(temp.path().join("run.json")).expect("it is there");
        let run: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(run["pid"], std::process::id());
        assert_eq!((run["api"].as_str(), run["admin"].as_str()), (Some("127.0.0.1:1"), Some("127.0.0.1:2")));
        drop(folder);
        DataFolder::take(temp.path()).expect("free again").remove_run_file().expect("nothing to remove");
        assert!(!temp.path().join("run.json").exists());
    }
}
