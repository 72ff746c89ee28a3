//! Recipes of clips whose frames refer to each other in every way that encoders at hand can be brought to.
//!
//! Owns names and encoder settings, by family. Never says what is right: a full decode does.
//!
//! VC-1 is missing: nothing at hand encodes it. Long-term references of H.264, its gaps and its resets come from
//! `h264_writer`, since no encoder at hand writes them. Missing too: unpaired fields, long-term references of HEVC, and
//! of AV1 short signalling of references and layers; FFmpeg's libaom takes no forward keys, switch frames or scaling,
//! SVT-AV1 does the first two and superres. Packed B pictures of MPEG-4 are in the footage only.

/// What is encoded: 150 frames of 320x180 with cuts and motion, or what slow encoders can bear.
#[derive(Clone, Copy)]
pub enum Film {
    Whole,
    /// 90 frames of 176x100.
    Small,
}

/// A clip: its name with the container's extension, what is encoded, and the settings, separated by spaces.
pub type Recipe = (&'static str, Film, &'static str);

use Film::{Small, Whole};

/// H.264: presets, from the fewest to the most references.
pub const X264_PRESETS: &[Recipe] = &[
    ("x264_ultrafast.mp4", Whole, "-c:v libx264 -preset ultrafast -g 60"),
    ("x264_superfast.mkv", Whole, "-c:v libx264 -preset superfast -g 60"),
    ("x264_veryfast.mp4", Whole, "-c:v libx264 -preset veryfast -g 100"),
    ("x264_faster.mov", Whole, "-c:v libx264 -preset faster -g 60"),
    ("x264_medium.ts", Whole, "-c:v libx264 -preset medium -g 60"),
    ("x264_slow.mkv", Whole, "-c:v libx264 -preset slow -g 60"),
    ("x264_slower.mp4", Small, "-c:v libx264 -preset slower -g 60"),
    ("x264_veryslow.mp4", Small, "-c:v libx264 -preset veryslow -g 60"),
    ("x264_zerolatency.flv", Whole, "-c:v libx264 -preset veryfast -tune zerolatency -g 60"),
    ("x264_medium.avi", Whole, "-c:v libx264 -preset medium -g 60"),
    ("x264_medium.264", Whole, "-c:v libx264 -preset veryfast -g 60"),
];

/// H.264: structures of references.
pub const X264_REFERENCES: &[Recipe] = &[
    (
        "x264_open_gop.mkv",
        Whole,
        "-c:v libx264 -preset fast -x264-params open-gop=1:keyint=40:bframes=5:b-pyramid=normal:b-adapt=0",
    ),
    (
        "x264_open_gop.mp4",
        Whole,
        "-c:v libx264 -preset fast -x264-params open-gop=1:keyint=30:bframes=3:b-pyramid=strict:scenecut=0",
    ),
    ("x264_refresh.ts", Whole, "-c:v libx264 -preset fast -x264-params intra-refresh=1:keyint=30:bframes=2"),
    ("x264_refs16.mkv", Whole, "-c:v libx264 -preset fast -x264-params ref=16:bframes=8:keyint=75"),
    (
        "x264_bluray.ts",
        Whole,
        "-c:v libx264 -preset fast -x264-params bluray-compat=1:slices=4:open-gop=1:keyint=24:bframes=3:aud=1",
    ),
    ("x264_bframes0.mp4", Whole, "-c:v libx264 -preset fast -x264-params bframes=0:ref=6:keyint=75"),
    (
        "x264_bframes3_flat.mkv",
        Whole,
        "-c:v libx264 -preset fast -x264-params bframes=3:b-pyramid=none:b-adapt=0:keyint=75",
    ),
    (
        "x264_bframes8_strict.mp4",
        Whole,
        "-c:v libx264 -preset fast -x264-params bframes=8:b-pyramid=strict:b-adapt=0:keyint=75",
    ),
    (
        "x264_bframes16.mkv",
        Whole,
        "-c:v libx264 -preset fast -x264-params bframes=16:b-pyramid=normal:b-adapt=0:keyint=75:ref=4",
    ),
    (
        "x264_one_reference.mp4",
        Whole,
        "-c:v libx264 -preset fast -x264-params ref=1:bframes=4:b-pyramid=normal:b-adapt=0:keyint=75",
    ),
    ("x264_infinite.mp4", Whole, "-c:v libx264 -preset veryfast -x264-params keyint=infinite:scenecut=0"),
    (
        "x264_no_scenecut.mkv",
        Whole,
        "-c:v libx264 -preset fast -x264-params scenecut=0:keyint=48:min-keyint=48",
    ),
    (
        "x264_temporal_direct.mkv",
        Whole,
        "-c:v libx264 -preset fast -x264-params direct=temporal:bframes=5:b-adapt=0:keyint=60",
    ),
    (
        "x264_weightp0.mp4",
        Whole,
        "-c:v libx264 -preset fast -x264-params weightp=0:weightb=0:ref=5:keyint=60",
    ),
    (
        "x264_weightp1.mp4",
        Whole,
        "-c:v libx264 -preset fast -x264-params weightp=1:weightb=1:ref=5:keyint=60",
    ),
    (
        "x264_weightp2.mp4",
        Whole,
        "-c:v libx264 -preset fast -x264-params weightp=2:weightb=1:ref=5:keyint=60",
    ),
    (
        "x264_forced_intra.mkv",
        Whole,
        "-c:v libx264 -preset fast -force_key_frames expr:gte(t,n_forced*0.52) -x264-params keyint=250:open-gop=1",
    ),
];

/// H.264: fields, slices, tools and formats.
pub const X264_TOOLS: &[Recipe] = &[
    (
        "x264_tff.mp4",
        Whole,
        "-c:v libx264 -preset fast -flags +ilme+ildct -x264-params tff=1:keyint=50:bframes=3",
    ),
    (
        "x264_bff.ts",
        Whole,
        "-c:v libx264 -preset fast -flags +ilme+ildct -x264-params bff=1:keyint=50:bframes=3",
    ),
    (
        "x264_tff_open.mkv",
        Whole,
        "-c:v libx264 -preset fast -flags +ilme+ildct -x264-params tff=1:keyint=40:open-gop=1:bframes=4:direct=temporal",
    ),
    ("x264_fake_interlaced.ts", Whole, "-c:v libx264 -preset fast -x264-params fake-interlaced=1:keyint=50"),
    ("x264_slices4.ts", Whole, "-c:v libx264 -preset fast -x264-params slices=4:keyint=50:aud=1"),
    ("x264_small_slices.mkv", Whole, "-c:v libx264 -preset fast -x264-params slice-max-size=600:keyint=50"),
    ("x264_cavlc.mp4", Whole, "-c:v libx264 -preset fast -x264-params cabac=0:keyint=50"),
    ("x264_10bit.mkv", Whole, "-c:v libx264 -preset fast -pix_fmt yuv420p10le -g 50"),
    ("x264_422.mkv", Whole, "-c:v libx264 -preset fast -pix_fmt yuv422p -g 50"),
    ("x264_444.mp4", Whole, "-c:v libx264 -preset fast -pix_fmt yuv444p -g 50"),
    ("x264_lossless.mkv", Whole, "-c:v libx264 -preset veryfast -qp 0 -g 50"),
    ("x264_aud.mkv", Whole, "-c:v libx264 -preset fast -x264-params aud=1:repeat-headers=1:keyint=40"),
    (
        "x264_hrd.ts",
        Whole,
        "-c:v libx264 -preset fast -b:v 500k -maxrate 500k -bufsize 500k -nal-hrd cbr -g 50",
    ),
    (
        "x264_constrained_intra.mp4",
        Whole,
        "-c:v libx264 -preset fast -x264-params constrained-intra=1:keyint=50:bframes=3",
    ),
    ("x264_stitchable.mp4", Whole, "-c:v libx264 -preset fast -x264-params stitchable=1:keyint=50"),
];

/// HEVC.
pub const X265: &[Recipe] = &[
    ("x265_ultrafast.mp4", Whole, "-c:v libx265 -preset ultrafast -x265-params keyint=60"),
    ("x265_superfast.mkv", Whole, "-c:v libx265 -preset superfast -x265-params keyint=60"),
    ("x265_medium.ts", Small, "-c:v libx265 -preset medium -x265-params keyint=40"),
    ("x265_slow.mp4", Small, "-c:v libx265 -preset slow -x265-params keyint=60"),
    (
        "x265_open_gop.mkv",
        Whole,
        "-c:v libx265 -preset ultrafast -x265-params open-gop=1:keyint=30:bframes=5:b-adapt=0:rc-lookahead=20",
    ),
    ("x265_open_gop.ts", Whole, "-c:v libx265 -preset ultrafast -x265-params open-gop=1:keyint=25:bframes=3"),
    (
        "x265_closed_gop.mp4",
        Whole,
        "-c:v libx265 -preset ultrafast -x265-params open-gop=0:keyint=30:bframes=4",
    ),
    (
        "x265_radl.mp4",
        Whole,
        "-c:v libx265 -preset ultrafast -x265-params open-gop=0:radl=3:keyint=30:bframes=4:b-adapt=0",
    ),
    (
        "x265_bframes8.mp4",
        Whole,
        "-c:v libx265 -preset superfast -x265-params bframes=8:b-adapt=0:keyint=60:rc-lookahead=20",
    ),
    (
        "x265_bframes16.mkv",
        Whole,
        "-c:v libx265 -preset ultrafast -x265-params bframes=16:b-adapt=0:keyint=75:rc-lookahead=30",
    ),
    (
        "x265_flat_b.mkv",
        Whole,
        "-c:v libx265 -preset ultrafast -x265-params rc-lookahead=20:bframes=5:b-adapt=0:b-pyramid=0:keyint=60",
    ),
    (
        "x265_temporal_layers.mp4",
        Whole,
        "-c:v libx265 -preset ultrafast -x265-params temporal-layers=1:bframes=4:b-adapt=0:keyint=60",
    ),
    (
        "x265_temporal_layers.ts",
        Whole,
        "-c:v libx265 -preset superfast -x265-params rc-lookahead=20:temporal-layers=1:bframes=7:keyint=40:open-gop=1",
    ),
    ("x265_lossless.mkv", Small, "-c:v libx265 -preset ultrafast -x265-params lossless=1:keyint=40"),
    ("x265_bframes0.mp4", Whole, "-c:v libx265 -preset ultrafast -x265-params bframes=0:ref=4:keyint=60"),
    ("x265_ref5.mkv", Whole, "-c:v libx265 -preset superfast -x265-params ref=5:bframes=4:keyint=60"),
    (
        "x265_limit_refs.mp4",
        Whole,
        "-c:v libx265 -preset superfast -x265-params ref=6:limit-refs=0:bframes=6:b-adapt=0:keyint=60",
    ),
    (
        "x265_weighted.mp4",
        Whole,
        "-c:v libx265 -preset superfast -x265-params weightp=1:weightb=1:ref=4:keyint=60",
    ),
    ("x265_10bit.mp4", Small, "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params keyint=40"),
    ("x265_12bit.mkv", Small, "-c:v libx265 -preset ultrafast -pix_fmt yuv420p12le -x265-params keyint=40"),
    ("x265_422.mkv", Small, "-c:v libx265 -preset ultrafast -pix_fmt yuv422p -x265-params keyint=40"),
    ("x265_444.mkv", Small, "-c:v libx265 -preset ultrafast -pix_fmt yuv444p -x265-params keyint=40"),
    ("x265_slices.ts", Whole, "-c:v libx265 -preset ultrafast -x265-params slices=2:keyint=50:aud=1"),
    (
        "x265_refresh.ts",
        Whole,
        "-c:v libx265 -preset ultrafast -x265-params intra-refresh=1:keyint=30:bframes=2",
    ),
    ("x265_infinite.mp4", Whole, "-c:v libx265 -preset ultrafast -x265-params keyint=-1:scenecut=0"),
    (
        "x265_zerolatency.mkv",
        Whole,
        "-c:v libx265 -preset ultrafast -tune zerolatency -x265-params keyint=60",
    ),
    (
        "x265_repeated.mkv",
        Whole,
        "-c:v libx265 -preset ultrafast -x265-params repeat-headers=1:aud=1:hrd=1:keyint=30:vbv-maxrate=800:vbv-bufsize=800",
    ),
    ("x265_raw.hevc", Small, "-c:v libx265 -preset ultrafast -x265-params keyint=40:bframes=4"),
];
