//! The double of NVIDIA's driver, for one test.
//!
//! Owns the folder that holds both libraries, the control file, the list of tables and the log. Never shared by two tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::log::{self, Entry};
use super::table;

pub struct FakeCuda {
    folder: TempDir,
}

/// A host with a device of the Hopper kind that decodes: no faults, no tables yet.
pub fn fake_cuda() -> FakeCuda {
    with(&["libcuda.so.1", "libnvcuvid.so.1"])
}

/// A host whose driver computes but brings no decoder library.
pub fn compute_only() -> FakeCuda {
    with(&["libcuda.so.1"])
}

/// A host whose driver lacks what FFmpeg needs.
pub fn hollow_driver() -> FakeCuda {
    let fake = with(&[]);
    super::hollow(fake.folder.path(), "libcuda.so.1", &[]);
    fake
}

/// A fake that knows the pictures of these clips.
pub fn knowing(clips: &[&Path]) -> FakeCuda {
    let fake = fake_cuda();
    clips.iter().for_each(|clip| fake.knows(clip));
    fake
}

fn with(libraries: &[&str]) -> FakeCuda {
    let built = libraries_folder();
    let folder = super::scratch();
    for name in libraries {
        std::fs::hard_link(built.join(name), folder.path().join(name)).unwrap();
    }
    FakeCuda { folder }
}

// The second library is empty: whoever looks for a symbol in it is led on to the first, so there is one state.
fn libraries_folder() -> PathBuf {
    super::built("cuda", |source, folder| {
        let mut rustc = super::rustc();
        rustc.args(["-C", "link-arg=-Wl,-soname,libcuda.so.1"]);
        // FFmpeg unloads it with the last context, and the counters must outlive that.
        rustc.args(["-C", "link-arg=-Wl,-z,nodelete"]);
        rustc.arg("-o").arg(folder.join("libcuda.so.1")).arg(source.join("lib.rs"));
        super::super::run(&mut rustc, 0);
        let place = format!("-L{}", folder.display());
        super::hollow(folder, "libnvcuvid.so.1", &[&place, "-Wl,--no-as-needed", "-l:libcuda.so.1"]);
    })
}

impl FakeCuda {
    /// For `LD_LIBRARY_PATH`.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets a command see this device.
    pub fn lend<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_LIBRARY_PATH", self.path())
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

    /// Fails if a process left a surface, a map, a context or a decoder behind where it destroyed a context or ended.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let leaks = log::leaks(&self.log());
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    }
}
