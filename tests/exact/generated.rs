//! Generated clips: every frame of every recipe as a target.
//!
//! Owns the tests, one a family of encoders. Never encodes twice what is there.

use std::time::Instant;

use stillframe::engine::media::source::warm_up;

use crate::common::judge::{end_ms, judge_with, product_view, truth};
use crate::every::{self, Effort, HEADINGS};
use crate::film::clip;
use crate::more_recipes::{AOM, OLDER, SVT_AV1, VPX};
use crate::recipes::{Recipe, X264_PRESETS, X264_REFERENCES, X264_TOOLS, X265};

fn check(family: &[Recipe]) {
    warm_up();
    let mut failures = Vec::new();
    eprintln!("{HEADINGS}");
    for recipe in family {
        let name = recipe.0;
        let file = clip(recipe);
        let begun = Instant::now();
        let media = product_view(&file);
        let truth = truth(&file, media["stream"].as_u64().expect("a stream"));
        // The families run beside each other.
        let effort = Effort { alone: 8, in_sets: truth.frames.len(), threads: 1 };
        let verdict = every::judge(&file, &truth, end_ms(&truth, &media), effort);
        eprintln!("{}", verdict.row(name, begun.elapsed().as_secs_f64()));
        if !verdict.is_clean() || verdict.unreachable > 0 {
            failures.push(format!("{name}: {} unreachable\n{}", verdict.unreachable, verdict.faults()));
        }
        failures
            .extend(judge_with(&file, &truth, &media).into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn x264_presets() {
    check(X264_PRESETS);
}

#[test]
fn x264_references() {
    check(X264_REFERENCES);
}

#[test]
fn x264_tools() {
    check(X264_TOOLS);
}

#[test]
fn x265() {
    check(X265);
}

#[test]
fn svt_av1() {
    check(SVT_AV1);
}

#[test]
fn aom() {
    check(AOM);
}

#[test]
fn vpx() {
    check(VPX);
}

#[test]
fn older_codecs() {
    check(OLDER);
}
