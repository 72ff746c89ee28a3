//! The double of NVIDIA's driver, for one test.
//!
//! Owns the folder that holds both libraries, the control file, the list of tables and the log. Never shared by two tests.

use std::path::{Path, PathBuf};

use super::Fake;

pub type FakeCuda = Fake;

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
    super::hollow(fake.path(), "libcuda.so.1", &[]);
    fake
}

/// A fake that knows the pictures of these clips.
pub fn knowing(clips: &[&Path]) -> FakeCuda {
    let fake = fake_cuda();
    clips.iter().for_each(|clip| fake.knows(clip));
    fake
}

fn with(libraries: &[&str]) -> FakeCuda {
    Fake::of(&libraries_folder(), libraries)
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
