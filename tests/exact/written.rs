//! Streams that are written here bit by bit, as no encoder at hand would: every frame of each as a target.
//!
//! Owns the styles and the Matroska file that carries them. Never trusts a stream that the full decode complains of.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sha2::{Digest, Sha256};
use stillframe::engine::media::source::warm_up;

use crate::common::judge::{end_ms, judge_with, product_view, truth};
use crate::common::{clips, run};
use crate::every::{self, Effort, HEADINGS};
use crate::h264_syntax::SIDE;
use crate::h264_writer::{Style, Unit, Writer};

/// One element of Matroska: identifier and content.
fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let id = &id[id.iter().take_while(|byte| **byte == 0).count()..];
    let size = (content.len() as u64 | 1 << 56).to_be_bytes();
    [id, &size, content].concat()
}

fn number(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// The pictures at 25 a second, a cluster a key frame.
fn matroska(sets: &(Vec<u8>, Vec<u8>), units: &[Unit]) -> Vec<u8> {
    let (sps, pps) = sets;
    let sized = |unit: &[u8]| [&(unit.len() as u16).to_be_bytes()[..], unit].concat();
    let private = [&[1, 77, 0, 40, 0xff, 0xe1][..], &sized(sps), &[1], &sized(pps)].concat();
    let head = [
        number(0x4286, 1),
        number(0x42f7, 1),
        number(0x42f2, 4),
        number(0x42f3, 8),
        element(0x4282, b"matroska"),
        number(0x4287, 4),
        number(0x4285, 2),
    ];
    let duration = units.len() as f64 * 40.0;
    let info = [
        number(0x2a_d7b1, 1_000_000),
        element(0x4489, &duration.to_be_bytes()),
        element(0x4d80, b"tests"),
        element(0x5741, b"tests"),
    ];
    let picture = [number(0xb0, u64::from(SIDE)), number(0xba, u64::from(SIDE))].concat();
    let track = [
        number(0xd7, 1),
        number(0x73c5, 1),
        number(0x83, 1),
        element(0x86, b"V_MPEG4/ISO/AVC"),
        element(0x63a2, &private),
        number(0x23_e383, 40_000_000),
        element(0xe0, &picture),
    ];
    let mut segment = element(0x1549_a966, &info.concat());
    segment.extend(element(0x1654_ae6b, &element(0xae, &track.concat())));
    for group in units.chunk_by(|_, next| !next.key) {
        let first = group[0].shown * 40;
        let mut cluster = number(0xe7, first as u64);
        for unit in group {
            let at = i16::try_from(unit.shown * 40 - first).expect("a short cluster");
            let mut block = vec![0x81];
            block.extend(at.to_be_bytes());
            block.push(if unit.key { 0x80 } else { 0 });
            for nal in &unit.nals {
                block.extend((nal.len() as u32).to_be_bytes());
                block.extend(nal);
            }
            cluster.extend(element(0xa3, &block));
        }
        segment.extend(element(0x1f43_b675, &cluster));
    }
    [element(0x1a45_dfa3, &head.concat()), element(0x1853_8067, &segment)].concat()
}

/// The stream as Matroska without an index, and as MP4 with one.
fn files(style: Style) -> [PathBuf; 2] {
    let mut writer = Writer::new(style);
    let sets = writer.parameter_sets();
    let bytes = matroska(&sets, &writer.write(150));
    let tag: String = Sha256::digest(&bytes)[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::create_dir_all(clips::folder()).expect("a folder");
    let path = clips::folder().join(format!("{tag}-{}.mkv", style.name));
    std::fs::write(&path, bytes).expect("room");
    let text = path.to_str().expect("a path");
    let copy = clips::clip(&format!("{}.mp4", style.name), &["-i", text, "-c", "copy"]);
    [path, copy]
}

fn check_file(file: &Path, failures: &mut Vec<String>) {
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let mut decode = Command::new("ffmpeg");
    let told = run(decode.args(["-v", "error", "-i"]).arg(file).args(["-f", "null", "-"]), 0);
    assert!(told.stderr.is_empty(), "{name} is not sound: {}", String::from_utf8_lossy(&told.stderr));
    let begun = Instant::now();
    let media = product_view(file);
    let truth = truth(file, 0);
    assert!(truth.frames.len() >= 140, "{name}: {} frames", truth.frames.len());
    let effort = Effort { alone: truth.frames.len(), in_sets: truth.frames.len(), threads: 1 };
    let verdict = every::judge(file, &truth, end_ms(&truth, &media), effort);
    eprintln!("{}", verdict.row(&name, begun.elapsed().as_secs_f64()));
    if !verdict.is_clean() {
        failures.push(format!("{name}:\n{}", verdict.faults()));
    }
    failures.extend(judge_with(file, &truth, &media).into_iter().map(|wrong| format!("{name}: {wrong}")));
}

const PLAIN: Style = Style {
    name: "",
    poc_type: 0,
    frame_num_bits: 4,
    refs: 4,
    gop: 40,
    between: 5,
    b: true,
    slices: 1,
    long_term: false,
    modified: false,
    resets: false,
    gaps: false,
    fields: false,
    implicit_weights: false,
    direct: true,
};

#[test]
fn h264_that_nobody_encodes() {
    warm_up();
    let styles = [
        Style { name: "written_plain", ..PLAIN },
        Style { name: "written_slices", slices: 3, refs: 6, ..PLAIN },
        Style { name: "written_modified", modified: true, slices: 3, refs: 5, ..PLAIN },
        Style { name: "written_long_term", long_term: true, ..PLAIN },
        Style { name: "written_long_modified", long_term: true, modified: true, slices: 2, refs: 6, ..PLAIN },
        Style { name: "written_resets", resets: true, long_term: true, modified: true, gop: 70, ..PLAIN },
        Style { name: "written_poc1", poc_type: 1, modified: true, long_term: true, ..PLAIN },
        Style { name: "written_poc2", poc_type: 2, between: 0, long_term: true, modified: true, ..PLAIN },
        Style { name: "written_no_b", b: false, refs: 2, modified: true, ..PLAIN },
        Style {
            name: "written_many",
            refs: 16,
            frame_num_bits: 6,
            slices: 4,
            modified: true,
            long_term: true,
            gop: 60,
            ..PLAIN
        },
        Style { name: "written_gaps", gaps: true, b: false, between: 0, refs: 5, ..PLAIN },
        Style { name: "written_weights", implicit_weights: true, modified: true, long_term: true, ..PLAIN },
        // FFmpeg 5.1 takes direct blocks between fields and frames differently with every number of threads.
        Style { name: "written_fields", fields: true, slices: 2, direct: false, ..PLAIN },
        Style { name: "written_fields_no_b", fields: true, b: false, refs: 3, frame_num_bits: 5, ..PLAIN },
    ];
    eprintln!("{HEADINGS}");
    let mut failures = Vec::new();
    for style in styles {
        for file in files(style) {
            check_file(&file, &mut failures);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
