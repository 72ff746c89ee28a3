//! The clips of every recipe on the double: exact, or refused for the reason that is written here.
//!
//! Owns the list of what is not for a device. Never lets a recipe be neither.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::child::{on_cpu, on_device};
use crate::common::fake::cuda;
use crate::exact::{H264, instants, proof};
use crate::more_recipes::{AOM, OLDER, SVT_AV1, VPX};
use crate::recipes::{Recipe, X264_PRESETS, X264_REFERENCES, X264_TOOLS, X265};
use crate::{common, film};

/// Recipes that end refused: no device takes the codec, the profile, the chroma or the size, or the walk must go
/// another way.
const REFUSED: &[(&str, &str)] = &[
    ("x264_medium.avi", "linear"),
    ("x264_medium.264", "linear"),
    ("x264_refresh.ts", "recovery"),
    ("x264_10bit.mkv", "profile"),
    ("x264_422.mkv", "profile"),
    ("x264_444.mp4", "profile"),
    ("x264_lossless.mkv", "profile"),
    ("x265_422.mkv", "chroma"),
    ("x265_444.mkv", "chroma"),
    ("x265_raw.hevc", "linear"),
    ("vp9_444.webm", "profile"),
    ("vp9.ivf", "small"),
    ("aom_444.mkv", "profile"),
    ("mpeg2_422.mov", "chroma"),
    ("mpeg4_b.avi", "linear"),
    ("mpeg4_qpel.avi", "linear"),
    ("msmpeg4.avi", "codec"),
    ("mjpeg.avi", "profile"),
    ("mjpeg.mov", "profile"),
    ("prores.mov", "codec"),
    ("prores_4444.mov", "codec"),
    ("dnxhr.mov", "codec"),
    ("theora.mkv", "codec"),
    ("theora.ogv", "codec"),
    ("wmv2.wmv", "codec"),
    ("h263.3gp", "codec"),
    ("sorenson.flv", "codec"),
    ("h263_plus.mov", "codec"),
];

/// What the double cannot show: pictures whose references are not those that are shown (film grain), and pictures of
/// several sizes.
const BEYOND_THE_DOUBLE: [&str; 6] = [
    "svt_grain.mp4",
    "aom_grain.mp4",
    "svt_superres.mp4",
    "svt_superres_fixed.mkv",
    "svt_switch_frames.mkv",
    "svt_switch_frames.mp4",
];

/// The size of small recipes lies below what these decode.
const TOO_SMALL: [&str; 4] = ["-c:v libx265", "-c:v libvpx-vp9", "av1", "rav1e"];

fn refusal((name, film, settings): &Recipe) -> Option<&'static str> {
    let small = matches!(film, crate::recipes::Film::Small);
    let too_small = small && TOO_SMALL.iter().any(|codec| settings.contains(codec));
    let listed = REFUSED.iter().find(|(refused, _)| refused == name).map(|(_, word)| *word);
    listed.or(too_small.then_some("small"))
}

fn judge(recipe: &Recipe) {
    let clip = film::clip(recipe);
    let times = instants(&clip, 24);
    let fake = cuda::fake_cuda();
    proofs().iter().for_each(|proof| fake.knows(proof));
    let wanted = refusal(recipe);
    if wanted.is_none() {
        fake.knows(&clip);
    }
    // Entered in an open group, HEVC has other reference lists than in the whole clip.
    let strict = if is_clean(&clip, &times) { "strict=1" } else { "strict=0" };
    fake.control(&["caps.codec=+av1,+av1-10,+hevc-12,+vp9-12", strict]);
    let walked = on_device(&fake, &[(&clip, &times)]).expect("a device").remove(0);
    fake.assert_nothing_left();
    let name = format!("{}: {} {}", recipe.0, walked.ended, walked.text);
    match wanted {
        Some(word) => {
            assert!(matches!(walked.ended.as_str(), "unsupported" | "linear"), "{name}");
            assert!(format!("{} {}", walked.ended, walked.text).contains(word), "{name}, not {word}");
            assert_eq!(walked.pictures.len(), 0, "{name}");
        }
        None => {
            assert_eq!(walked.ended, "done", "{name}");
            let cpu = on_cpu(&clip, &times, &[]);
            let content = |walked: &crate::child::Walked| {
                let pictures = walked.pictures.iter();
                let all = pictures
                    .map(|(asked, p)| (*asked, p.status.clone(), p.pts, p.md5.clone(), p.jpeg.clone()));
                all.collect::<Vec<_>>()
            };
            assert_eq!(content(&walked), content(&cpu), "{name}");
        }
    }
}

fn proofs() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(proof(H264).parent().unwrap()).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "mkv")).collect()
}

fn is_clean(clip: &Path, times: &[i64]) -> bool {
    let times: Vec<String> = times.iter().map(i64::to_string).collect();
    let mut plan = common::stillframe();
    let plan = common::json(plan.args(["plan", "--json", "--times-ms", &times.join(",")]).arg(clip));
    plan["runs"].as_array().expect("runs").iter().all(|run| run["start"] == "clean start")
}

pub fn every_recipe_is_exact_or_refused() {
    let families = [X264_PRESETS, X264_REFERENCES, X264_TOOLS, X265, SVT_AV1, AOM, VPX, OLDER];
    let all = families.into_iter().flatten();
    let recipes: Vec<&Recipe> = all.filter(|recipe| !BEYOND_THE_DOUBLE.contains(&recipe.0)).collect();
    assert!(recipes.iter().filter(|recipe| refusal(recipe).is_none()).count() >= 75, "too few for a device");
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(recipe) = recipes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if std::panic::catch_unwind(|| judge(recipe)).is_err() {
                        wrong.lock().unwrap().push(recipe.0);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
