//! Folders with a test double of a GPU driver in them, for `LD_LIBRARY_PATH`.
//!
//! Owns the building of the double, once for each version of its source, and the files by which a test steers it and
//! reads what it did. Never in a program that is shipped; what it shows is how the caller behaves, nothing of a device.

pub mod cuda;
pub mod log;
pub mod table;
pub mod vaapi;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use log::Entry;

/// A folder for one test: the libraries, the control file, the list of tables and the log. Never shared by two tests.
pub struct Fake {
    folder: TempDir,
}

impl Fake {
    fn of(built: &Path, libraries: &[&str]) -> Self {
        let folder = scratch();
        for name in libraries {
            std::fs::hard_link(built.join(name), folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// For `LD_LIBRARY_PATH`.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets a command see this device.
    pub fn lend<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let mut places = vec![self.path().to_path_buf()];
        places.extend(std::env::var_os("LD_LIBRARY_PATH").iter().flat_map(std::env::split_paths));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(places).unwrap())
    }

    /// Replaces the control file; holds from the next call of any process on. The grammar is at the head of
    /// `tests/fakes/common/control.rs`.
    pub fn control(&self, lines: &[&str]) {
        self.put("control", &lines.join("\n"));
    }

    /// Adds the pictures of a clip, which are decoded here if they have not been yet.
    pub fn knows(&self, clip: &Path) {
        self.lists(&table::of(clip));
    }

    /// Adds a table.
    pub fn lists(&self, table: &Path) {
        let list = std::fs::read_to_string(self.path().join("tables")).unwrap_or_default();
        self.put("tables", &format!("{list}{}\n", table.display()));
    }

    // In one step: a process that reads it meanwhile finds the old or the new one whole.
    fn put(&self, name: &str, text: &str) {
        let part = self.path().join(format!("{name}.part"));
        std::fs::write(&part, text).unwrap();
        std::fs::rename(part, self.path().join(name)).unwrap();
    }

    pub fn log(&self) -> Vec<Entry> {
        log::read(&self.path().join("log"))
    }

    /// Forgets what was logged.
    pub fn clear_log(&self) {
        std::fs::write(self.path().join("log"), "").unwrap();
    }

    /// How often a call was made (`DecodePicture`, `CreateDecoder`...), whatever it returned.
    pub fn calls(&self, name: &str) -> usize {
        log::calls(&self.log(), name)
    }

    /// Pictures that no table knew: each was shown as a checkerboard.
    pub fn misses(&self) -> usize {
        self.log().iter().filter(|entry| entry.name == "miss").count()
    }

    /// Fails if a process had left a surface, a map, a context or a decoder behind when it last destroyed a context or ended.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let leaks = log::leaks(&self.log());
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    }
}

/// Where all that is built or made for the doubles lies: below the target folder, so that a second run finds it.
fn store() -> PathBuf {
    let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fakes");
    std::fs::create_dir_all(&store).unwrap();
    store
}

/// A new folder on the same file system as what is built.
fn scratch() -> TempDir {
    tempfile::tempdir_in(store()).unwrap()
}

/// The folder of what `make` builds from `tests/fakes/NAME`; `make` is handed the source and an empty folder.
fn built(name: &str, make: impl FnOnce(&Path, &Path)) -> PathBuf {
    // One build at a time in one process; several processes may build at once, the first one's stays.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes");
    let folder = store().join(format!("{name}-{}", digest(&source)));
    if !folder.is_dir() {
        let part = scratch();
        make(&source.join(name), part.path());
        let part = part.keep();
        if std::fs::rename(&part, &folder).is_err() {
            assert!(folder.is_dir(), "{} cannot be put in place", folder.display());
            std::fs::remove_dir_all(&part).unwrap();
        }
    }
    folder
}

/// Of all files below a folder.
fn digest(folder: &Path) -> String {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(file.to_string_lossy().as_bytes());
        hasher.update(std::fs::read(&file).unwrap());
    }
    hex(&hasher.finalize()[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The compiler beside the cargo that built this test.
fn rustc() -> Command {
    let beside = Path::new(env!("CARGO")).with_file_name("rustc");
    let mut command = match std::env::var_os("RUSTC") {
        Some(rustc) => Command::new(rustc),
        None if beside.is_file() => Command::new(beside),
        None => Command::new("rustc"),
    };
    // A library that is loaded into any process brings its own runtime and never unwinds into its caller.
    command.args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-C", "opt-level=2"]);
    command
}

/// A library of that name without anything in it; `arguments` go to the linker.
fn hollow(folder: &Path, soname: &str, arguments: &[&str]) {
    let source = folder.join("hollow.c");
    std::fs::write(&source, "extern int hollow;\n").unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(folder.join(soname)).arg(&source);
    cc.arg(format!("-Wl,-soname,{soname}")).args(arguments);
    super::run(&mut cc, 0);
    std::fs::remove_file(source).unwrap();
}
