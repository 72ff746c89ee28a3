//! Generated clips: every frame of every recipe as a target.
//!
//! Owns the film that is encoded, and the tests, one a family of encoders. Never encodes twice what is there.

use std::path::PathBuf;
use std::time::Instant;

use stillframe::engine::media::source::warm_up;

use crate::common::clips;
use crate::common::judge::{end_ms, judge_with, product_view, truth};
use crate::every::{self, Effort, HEADINGS};
use crate::more_recipes::{AOM, OLDER, SVT_AV1, VPX};
use crate::recipes::{Film, Recipe, X264_PRESETS, X264_REFERENCES, X264_TOOLS, X265};

/// Four shots of different nature, cut and faded, on a camera that pans and zooms: encoders find something to gain
/// from every reference.
fn film() -> PathBuf {
    let graph = "testsrc2=s=320x180:r=25:d=2,noise=alls=5:allf=t,format=yuv420p,split[a][b];\
        [b]reverse,hflip,trim=end_frame=30,setpts=PTS-STARTPTS,fade=out:10:20[c];\
        mandelbrot=s=320x180:r=25:start_scale=1:end_scale=0.02:end_pts=60,trim=end_frame=40,format=yuv420p,\
        scroll=h=0.02:v=0.01,fade=in:0:15[d];\
        life=s=320x180:mold=10:r=25:ratio=0.12:death_color=#C83232:life_color=#00ff00:seed=7,trim=end_frame=30,\
        format=yuv420p[e];\
        [a][d][c][e]concat=n=4,zoompan=z='1+0.3*abs(sin(on/20))':x='iw*0.1*(1+sin(on/9))':d=1:s=320x180:fps=25";
    clips::clip("film.mkv", &["-filter_complex", graph, "-c:v", "ffv1"])
}

fn clip((name, what, settings): &Recipe) -> PathBuf {
    let film = film();
    let film = film.to_str().expect("a path");
    let size: &[&str] = match what {
        Film::Whole => &[],
        Film::Small => &["-vf", "trim=start_frame=20:end_frame=110,setpts=PTS-STARTPTS,scale=176:100"],
    };
    let settings: Vec<&str> = settings.split_whitespace().collect();
    clips::clip(name, &[&["-i", film], size, &settings].concat())
}

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
