//! The portable build: what its FFmpeg is reduced to is what the code asks for.
//!
//! Owns that comparison. Never builds anything.

use std::process::Command;

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
