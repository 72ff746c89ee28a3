//! Media roots: the only folders below which a video is ever opened.
//!
//! Owns the way from a `file:///` URL to a descriptor. The kernel decides what lies beneath a root (openat2), so no
//! link and no race leads out of it. Never opens what is not a regular file, beyond looking at it (O_PATH).

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{FileIdentity, ObjectError, OpenedVideo};
use crate::model::job::{FailCode, Failure, Source, Stage};

/// Absolute links that are followed, one after the other, while they stay beneath a root.
const LINKS_MAX: usize = 8;
/// A rename elsewhere in the tree makes the kernel give up on `..` in a link; it asks to try again.
const RACES_MAX: usize = 16;

/// Folders below which videos may be registered and opened.
#[derive(Clone, Debug)]
pub struct MediaRoots {
    /// Absolute paths. `new` lists each root under its real name, and under the name that was given when it differs.
    pub roots: Vec<PathBuf>,
}

impl MediaRoots {
    /// Finds the real name of each root, once.
    ///
    /// # Errors
    /// A root that is not there or is no folder.
    pub fn new(given: &[PathBuf]) -> Result<MediaRoots, ObjectError> {
        let mut roots = Vec::new();
        for path in given {
            let error = |source| ObjectError { doing: "find media root", path: path.clone(), source };
            let real = std::fs::canonicalize(path).map_err(error)?;
            if !real.is_dir() {
                return Err(error(io::Error::from(io::ErrorKind::NotADirectory)));
            }
            let spelled = std::path::absolute(path).map_err(error)?;
            for root in [real, spelled] {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
        }
        Ok(MediaRoots { roots })
    }

    /// The path behind a `file:///` URL (percent-decoded once), if it lies below a root and names a regular file.
    /// Opens nothing that could block. An empty file passes: its jobs fail when it is opened.
    ///
    /// # Errors
    /// `NotFound`, `NotAFile` (also for whatever is not below a root, there or not) and `Io`.
    pub fn resolve(&self, file_url: &str) -> Result<PathBuf, Failure> {
        let refused = |code, why: &str| Failure::new(code, Stage::Open, format!("{file_url:.256}: {why}"));
        let text = file_url
            .strip_prefix("file://")
            .ok_or_else(|| refused(FailCode::NotAFile, "not a file:/// URL"))?;
        let text = text.strip_prefix("localhost").unwrap_or(text);
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        if bytes.contains(&0) {
            return Err(refused(FailCode::NotFound, "a name cannot hold NUL"));
        }
        let path = PathBuf::from(OsStr::from_bytes(&bytes));
        self.look(&path)?;
        Ok(path)
    }

    /// Opens beneath a root without following links out of it; regular files only.
    ///
    /// # Errors
    /// `NotFound`, `NotAFile`, `Empty`, `Replaced` (in this very moment), `Io`, each within milliseconds.
    pub fn open(&self, path: &Path) -> Result<OpenedVideo, Failure> {
        let (_, seen) = self.look(path)?;
        // O_NONBLOCK: should the name mean a FIFO by now, this open must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = self.open_beneath(path, flags)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failure(path, errno))?;
        let identity = identity_of(&stat);
        if !is_regular(&stat) || (identity.device, identity.inode) != (seen.device, seen.inode) {
            return Err(Failure::new(
                FailCode::Replaced,
                Stage::Open,
                told(path, "replaced while it was opened"),
            ));
        }
        if identity.size == 0 {
            return Err(Failure::new(FailCode::Empty, Stage::Open, told(path, "no bytes")));
        }
        Ok(OpenedVideo { source: Source::Fd(fd), identity })
    }

    /// Does the path still name the same file, untouched?
    pub fn unchanged(&self, path: &Path, identity: FileIdentity) -> bool {
        self.look(path).is_ok_and(|(_, now)| now == identity)
    }

    fn look(&self, path: &Path) -> Result<(OwnedFd, FileIdentity), Failure> {
        let fd = self.open_beneath(path, OFlags::PATH | OFlags::CLOEXEC)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failure(path, errno))?;
        if !is_regular(&stat) {
            return Err(Failure::new(FailCode::NotAFile, Stage::Open, told(path, "not a regular file")));
        }
        Ok((fd, identity_of(&stat)))
    }

    fn open_beneath(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Failure> {
        let mut asked = path.to_owned();
        for _ in 0..LINKS_MAX {
            let (root, rest) = self.split(&asked).ok_or_else(|| outside(path))?;
            let root = open_root(root).map_err(|errno| failure(path, errno))?;
            match openat2(&root, &rest, flags) {
                Ok(fd) => return Ok(fd),
                // The kernel takes every absolute link for one that leads out, also one that ends below a root.
                Err(Errno::XDEV) => asked = absolute_link(&root, &rest).ok_or_else(|| outside(path))?,
                Err(errno) => return Err(failure(path, errno)),
            }
        }
        Err(outside(path))
    }

    // By the letters alone, so that nothing is looked up outside. `..` is refused even where it would stay inside:
    // one file, one name.
    fn split<'a>(&'a self, path: &Path) -> Option<(&'a Path, PathBuf)> {
        let root = self
            .roots
            .iter()
            .filter(|root| path.starts_with(root))
            .max_by_key(|root| root.as_os_str().len())?;
        let rest = path.strip_prefix(root).ok()?;
        let plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
        (plain && rest.components().next().is_some()).then(|| (root.as_path(), rest.to_owned()))
    }
}

fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn openat2(root: &OwnedFd, rest: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RACES_MAX {
        match rustix::fs::openat2(root, rest, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

// Where the first absolute link on the way points to, with what follows it; every look stays beneath the root.
fn absolute_link(root: &OwnedFd, rest: &Path) -> Option<PathBuf> {
    let parts: Vec<Component> = rest.components().collect();
    for end in 1..=parts.len() {
        let front: PathBuf = parts[..end].iter().collect();
        let fd = openat2(root, &front, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            continue;
        }
        let target = rustix::fs::readlinkat(&fd, "", Vec::new()).ok()?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            return Some(parts[end..].iter().fold(target.to_owned(), |path, part| path.join(part)));
        }
    }
    None
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn identity_of(stat: &Stat) -> FileIdentity {
    // The widths of these fields differ between architectures.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    FileIdentity {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        size: stat.st_size as i64,
        modified_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
    }
}

fn outside(path: &Path) -> Failure {
    Failure::new(FailCode::NotAFile, Stage::Open, told(path, "not below a media root"))
}

fn failure(path: &Path, errno: Errno) -> Failure {
    let code = match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => FailCode::NotFound,
        Errno::LOOP | Errno::XDEV | Errno::NXIO | Errno::NODEV | Errno::ISDIR | Errno::INVAL => {
            FailCode::NotAFile
        }
        _ => FailCode::Io,
    };
    let why = match errno {
        Errno::NOSYS => "this kernel has no openat2; Linux 5.6 or newer is needed".to_owned(),
        other => io::Error::from(other).to_string(),
    };
    Failure::new(code, Stage::Open, told(path, &why))
}

// A name may be as long as a request; a log line may not.
fn told(path: &Path, why: &str) -> String {
    format!("{:.256}: {why}", path.display().to_string())
}
