//! Real footage from `STILLFRAME_MEDIA`: frames as targets, a sample in everyday runs, every one on demand.
//!
//! Owns the list of what is left out, and why. Never copies footage.

use std::path::PathBuf;
use std::time::Instant;

use stillframe::engine::media::source::warm_up;

use crate::common::judge::{Truth, end_ms, judge_with, product_view, truth};
use crate::every::{self, Effort, HEADINGS};

/// Files of the footage that are not judged here, and why.
const LEFT_OUT: [(&str, &str); 2] = [
    ("vvc_180p.mp4", "FFmpeg 5.1 has no VVC decoder"),
    ("corrupt_decord.mp4", "damaged: what is concealed depends on what was decoded before"),
];

/// Clips up to this many frames have every frame asked for, longer ones a hundred, when all is asked for.
const EVERY_FRAME_OF: usize = 400;
const OF_LONGER: usize = 100;

/// `STILLFRAME_EXACT=full`: every frame, and a table.
fn is_full() -> bool {
    std::env::var("STILLFRAME_EXACT").is_ok_and(|value| value == "full")
}

fn effort(truth: &Truth) -> Effort {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let all = if truth.frames.len() <= EVERY_FRAME_OF { truth.frames.len() } else { OF_LONGER };
    if is_full() {
        Effort { alone: all, in_sets: all, threads }
    } else {
        Effort { alone: all.min(4), in_sets: all.min(24), threads }
    }
}

#[test]
fn real_footage() {
    let Some(folder) = std::env::var_os("STILLFRAME_MEDIA") else {
        eprintln!("not run: STILLFRAME_MEDIA is not set");
        return;
    };
    warm_up();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    eprintln!("{HEADINGS}");
    let mut failures = Vec::new();
    let mut judged = 0;
    for file in files {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        if let Some((_, why)) = LEFT_OUT.iter().find(|(left, _)| *left == name) {
            eprintln!("{name:<44} left out: {why}");
            continue;
        }
        if name.ends_with(".md") {
            continue;
        }
        judged += 1;
        let begun = Instant::now();
        let media = product_view(&file);
        let truth = truth(&file, media["stream"].as_u64().expect("a stream"));
        let verdict = every::judge(&file, &truth, end_ms(&truth, &media), effort(&truth));
        eprintln!("{}", verdict.row(&name, begun.elapsed().as_secs_f64()));
        if !verdict.is_clean() {
            failures.push(format!("{name}:\n{}", verdict.faults()));
        }
        failures
            .extend(judge_with(&file, &truth, &media).into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    assert!(judged > 0 && failures.is_empty(), "{judged} files judged\n{}", failures.join("\n"));
}
