//! The film that recipes encode.
//!
//! Owns its shots. Never encodes twice what is there.

use std::path::PathBuf;

use crate::common::clips;
use crate::recipes::{Film, Recipe};

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

/// The clip of a recipe.
pub fn clip((name, what, settings): &Recipe) -> PathBuf {
    let film = film();
    let film = film.to_str().expect("a path");
    let size: &[&str] = match what {
        Film::Whole => &[],
        Film::Small => &["-vf", "trim=start_frame=20:end_frame=110,setpts=PTS-STARTPTS,scale=176:100"],
    };
    let settings: Vec<&str> = settings.split_whitespace().collect();
    clips::clip(name, &[&["-i", film], size, &settings].concat())
}
