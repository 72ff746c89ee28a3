//! The portable build: what its FFmpeg is reduced to is what the code asks for, and how it comes to the host's libva.
//!
//! Owns both checks. Never builds FFmpeg, never fetches anything.

use std::path::Path;
use std::process::{Command, Output};

use stillframe::engine::media::source::{CONTAINERS, DECODERS};

/// The names of one kind that the script would build, sorted.
fn built(kind: &str) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/portable");
    let output = Command::new(script).arg("--lists").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

/// A comma list with FFmpeg's names in the words of its configure, sorted.
fn wanted(list: &str, other_words: &[(&str, &str)]) -> Vec<String> {
    let word = |name: &str| {
        other_words.iter().find(|words| words.0 == name).map_or(name, |words| words.1).to_owned()
    };
    let mut names: Vec<String> = list.split(',').map(word).collect();
    names.sort();
    names
}

#[test]
fn it_holds_the_containers_and_decoders_of_the_lists() {
    // Three more are used by those of the list, and not offered.
    let demuxers = format!("{CONTAINERS},dv,mpegvideo,m4v");
    assert_eq!(built("demuxer"), wanted(&demuxers, &[("mpeg", "mpegps")]));
    assert_eq!(built("decoder"), wanted(DECODERS, &[("libvpx-vp9", "libvpx_vp9"), ("msmpeg4", "msmpeg4v3")]));
    // What no list of the code tells is there too.
    assert_eq!(built("bsf"), ["extract_extradata"]);
    for (kind, name) in
        [("parser", "h264"), ("parser", "aac"), ("hwaccel", "hevc_nvdec"), ("hwaccel", "av1_vaapi")]
    {
        assert!(built(kind).iter().any(|built| built == name), "{kind} {name}");
    }
}

/// In the place of FFmpeg: a call before there is a display, and the same one after.
const CALLER: &str = r#"
#include <stdio.h>
int vaCreateSurfaces(void *, unsigned, unsigned, unsigned, void *, unsigned, void *, unsigned);
const char *vaErrorStr(int);
void *vaGetDisplayDRM(int);
static int call(void) { return vaCreateSurfaces((void *)1, 2, 3, 4, (void *)5, 6, (void *)7, 8); }
int main(void)
{
    int before = call();
    void *display = vaGetDisplayDRM(9);
    printf("%d %p %d %s\n", before, display, call(), vaErrorStr(1));
    return 0;
}
"#;
/// In the place of the host's libva: its answer tells whether every argument arrived.
const LIBVA: &str = r#"
int vaCreateSurfaces(void *a, unsigned b, unsigned c, unsigned d, void *e, unsigned f, void *g, unsigned h)
{
    return (long)a == 1 && b == 2 && c == 3 && d == 4 && (long)e == 5 && f == 6 && (long)g == 7 && h == 8 ? 77 : 1;
}
const char *vaErrorStr(int status) { return status == 1 ? "its own words" : "?"; }
"#;
const LIBVA_DRM: &str = "void *vaGetDisplayDRM(int fd) { return fd == 9 ? (void *)0x123 : (void *)0; }";

fn told(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Compiles `text` in `folder`.
fn compile(folder: &Path, name: &str, text: &str, arguments: &[&str]) {
    let file = folder.join(format!("{name}.c"));
    std::fs::write(&file, text).unwrap();
    told(Command::new("cc").current_dir(folder).arg(&file).args(arguments).output().unwrap());
}

#[test]
fn libva_is_loaded_with_the_first_display() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("va_calls.h"), "F(vaCreateSurfaces)\nF(vaNoSuchCall)\n").unwrap();
    let shared = ["-shared", "-fPIC", "-o"];
    compile(folder, "libva", LIBVA, &[&shared[..], &["libva.so.2"]].concat());
    compile(folder, "libva-drm", LIBVA_DRM, &[&shared[..], &["libva-drm.so.2"]].concat());
    let shim = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/va.c");
    compile(folder, "caller", CALLER, &[shim, "-I.", "-o", "caller"]);
    let output = Command::new(folder.join("caller")).env("LD_LIBRARY_PATH", folder).output().unwrap();
    // 20: not implemented.
    assert_eq!(told(output), "20 0x123 77 its own words\n");
}
