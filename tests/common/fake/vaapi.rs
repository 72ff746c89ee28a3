//! The double of libva's DRM display and of a driver behind it, for one test.
//!
//! Owns the folder that holds the library under both its names. Never needs a node below /dev/dri: see `NODE`.

use std::path::{Path, PathBuf};

use super::Fake;

pub type FakeVaapi = Fake;

/// A node to open the display with: any file that can be opened for reading and writing.
pub const NODE: &str = "/dev/null";

/// A host with a display that decodes: no faults, no tables yet. All but MPEG-4 show what the tables say.
pub fn fake_vaapi() -> FakeVaapi {
    Fake::of(&libraries_folder(), &["libva-drm.so.2", "double_drv_video.so"])
}

/// A fake that knows the pictures of these clips.
pub fn knowing(clips: &[&Path]) -> FakeVaapi {
    let fake = fake_vaapi();
    clips.iter().for_each(|clip| fake.knows(clip));
    fake
}

// One file by two names: the loader sees that it is the same, so there is one state.
fn libraries_folder() -> PathBuf {
    super::built("vaapi", |source, folder| {
        let display = folder.join("libva-drm.so.2");
        let mut rustc = super::rustc();
        rustc.args(["-C", "link-arg=-Wl,-soname,libva-drm.so.2", "-C", "link-arg=-Wl,-z,nodelete"]);
        super::super::run(rustc.arg("-o").arg(&display).arg(source.join("lib.rs")), 0);
        std::fs::hard_link(display, folder.join("double_drv_video.so")).unwrap();
    })
}
