//! Recipes of clips: AV1, VP9, VP8 and the older codecs.
//!
//! Owns names and encoder settings, by family. Never says what is right: a full decode does.

use crate::recipes::{
    Film::{Small, Whole},
    Recipe,
};

/// AV1 by SVT-AV1, whose deep hierarchies leave most frames unneeded.
pub const SVT_AV1: &[Recipe] = &[
    ("svt_preset8.mp4", Whole, "-c:v libsvtav1 -preset 8 -g 60"),
    ("svt_preset10.mkv", Whole, "-c:v libsvtav1 -preset 10 -g 60"),
    ("svt_preset12.webm", Whole, "-c:v libsvtav1 -preset 12 -g 100"),
    ("svt_preset6.mp4", Small, "-c:v libsvtav1 -preset 6 -g 45"),
    ("svt_grain.mp4", Whole, "-c:v libsvtav1 -preset 10 -g 60 -svtav1-params film-grain=20"),
    ("svt_10bit.mkv", Whole, "-c:v libsvtav1 -preset 10 -g 60 -pix_fmt yuv420p10le"),
    ("svt_forward_keys.mkv", Whole, "-c:v libsvtav1 -preset 10 -g 33 -svtav1-params irefresh-type=1"),
    (
        "svt_forward_keys.mp4",
        Whole,
        "-c:v libsvtav1 -preset 9 -g 49 -svtav1-params irefresh-type=1:hierarchical-levels=3",
    ),
    ("svt_levels5.mp4", Whole, "-c:v libsvtav1 -preset 10 -g 75 -svtav1-params hierarchical-levels=5"),
    ("svt_levels3.mkv", Whole, "-c:v libsvtav1 -preset 10 -g 75 -svtav1-params hierarchical-levels=3"),
    ("svt_low_delay.mkv", Whole, "-c:v libsvtav1 -preset 10 -g 60 -svtav1-params pred-struct=1"),
    (
        "svt_switch_frames.mkv",
        Whole,
        "-c:v libsvtav1 -preset 10 -g 100 -svtav1-params pred-struct=1:sframe-dist=20:sframe-mode=1",
    ),
    (
        "svt_switch_frames.mp4",
        Whole,
        "-c:v libsvtav1 -preset 10 -g 100 -svtav1-params pred-struct=1:sframe-dist=15:sframe-mode=2",
    ),
    ("svt_superres.mp4", Whole, "-c:v libsvtav1 -preset 10 -g 60 -svtav1-params superres-mode=2"),
    (
        "svt_superres_fixed.mkv",
        Whole,
        "-c:v libsvtav1 -preset 10 -g 60 -svtav1-params superres-mode=1:superres-denom=14",
    ),
    ("svt_overlays.mp4", Whole, "-c:v libsvtav1 -preset 10 -g 60 -svtav1-params enable-overlays=1"),
    ("svt_screen.mp4", Whole, "-c:v libsvtav1 -preset 10 -g 60 -svtav1-params scm=1"),
    ("svt_tiles.mkv", Whole, "-c:v libsvtav1 -preset 10 -g 60 -svtav1-params tile-columns=1:tile-rows=1"),
    ("svt_one_key.mp4", Whole, "-c:v libsvtav1 -preset 10 -g 1000"),
    ("svt_preset10.ivf", Small, "-c:v libsvtav1 -preset 10 -g 40"),
];

/// AV1 by libaom and rav1e.
pub const AOM: &[Recipe] = &[
    ("aom_good.mp4", Small, "-c:v libaom-av1 -cpu-used 8 -g 45"),
    ("aom_lag0.mkv", Small, "-c:v libaom-av1 -cpu-used 8 -usage realtime -lag-in-frames 0 -g 45"),
    (
        "aom_resilient.mkv",
        Small,
        "-c:v libaom-av1 -cpu-used 8 -usage realtime -lag-in-frames 0 -error-resilience default -g 45",
    ),
    ("aom_grain.mp4", Small, "-c:v libaom-av1 -cpu-used 8 -g 45 -aom-params film-grain-test=3"),
    ("aom_tiles.mkv", Whole, "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 60 -tiles 2x2"),
    ("aom_10bit.webm", Small, "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 45 -pix_fmt yuv420p10le"),
    ("aom_444.mkv", Small, "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 45 -pix_fmt yuv444p"),
    ("aom_few_references.mkv", Small, "-c:v libaom-av1 -cpu-used 8 -g 45 -enable-reduced-reference-set 1"),
    ("rav1e.mp4", Small, "-frames:v 45 -c:v librav1e -speed 10 -g 30"),
];

/// VP9 and VP8.
pub const VPX: &[Recipe] = &[
    (
        "vp9_alt_ref.webm",
        Small,
        "-c:v libvpx-vp9 -deadline good -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 16 -frame-parallel 0 -g 45",
    ),
    (
        "vp9_parallel.webm",
        Small,
        "-c:v libvpx-vp9 -deadline good -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 16 -frame-parallel 1 -g 45",
    ),
    (
        "vp9_layered_alt_ref.mkv",
        Small,
        "-c:v libvpx-vp9 -deadline good -cpu-used 5 -auto-alt-ref 4 -lag-in-frames 25 -g 60",
    ),
    (
        "vp9_resilient.mp4",
        Whole,
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -lag-in-frames 0 -error-resilient default -g 60",
    ),
    (
        "vp9_temporal_layers.webm",
        Whole,
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -error-resilient default -b:v 400k -g 60 -ts-parameters \
         ts_number_layers=3:ts_target_bitrate=100,200,400:ts_rate_decimator=4,2,1:ts_layering_mode=3",
    ),
    ("vp9_realtime.mp4", Whole, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 60"),
    ("vp9_10bit.mkv", Small, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p10le -g 45"),
    ("vp9_444.webm", Small, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv444p -g 45"),
    ("vp9.ivf", Small, "-c:v libvpx-vp9 -deadline good -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 16 -g 45"),
    (
        "vp8_alt_ref.webm",
        Whole,
        "-c:v libvpx -deadline good -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 16 -g 60 -b:v 400k",
    ),
    (
        "vp8_resilient.mkv",
        Whole,
        "-c:v libvpx -deadline realtime -cpu-used 8 -error-resilient default -lag-in-frames 0 -g 60 -b:v 400k",
    ),
    (
        "vp8_temporal_layers.webm",
        Whole,
        "-c:v libvpx -deadline realtime -cpu-used 8 -error-resilient default -b:v 400k -g 60 -ts-parameters \
         ts_number_layers=3:ts_target_bitrate=100,200,400:ts_rate_decimator=4,2,1:ts_periodicity=4:ts_layer_id=0,2,1,2:\
         ts_layering_mode=3",
    ),
];

/// What came before, and what cutters use.
pub const OLDER: &[Recipe] = &[
    ("mpeg2_b.ts", Whole, "-c:v mpeg2video -bf 2 -g 15 -q:v 4"),
    ("mpeg2_interlaced.ts", Whole, "-c:v mpeg2video -bf 2 -g 12 -q:v 4 -flags +ilme+ildct -alternate_scan 1"),
    (
        "mpeg2_closed_gop.mpg",
        Whole,
        "-c:v mpeg2video -bf 2 -g 15 -q:v 4 -flags +cgop -sc_threshold 1000000000",
    ),
    ("mpeg2_open_gop.mkv", Whole, "-c:v mpeg2video -bf 3 -g 18 -q:v 4 -b_strategy 0"),
    ("mpeg2_422.mov", Whole, "-c:v mpeg2video -pix_fmt yuv422p -bf 2 -g 12 -q:v 4"),
    ("mpeg2_b.mxf", Whole, "-c:v mpeg2video -bf 2 -g 15 -q:v 4"),
    ("mpeg1_b.mpg", Whole, "-c:v mpeg1video -bf 2 -g 15 -q:v 4"),
    ("mpeg4_b.mp4", Whole, "-c:v mpeg4 -bf 2 -g 50 -q:v 4"),
    ("mpeg4_b.mkv", Whole, "-c:v mpeg4 -bf 3 -g 50 -q:v 4 -flags +mv4+aic"),
    ("mpeg4_b.avi", Whole, "-c:v mpeg4 -bf 2 -g 50 -q:v 4 -vtag DX50"),
    ("mpeg4_qpel.mkv", Whole, "-c:v mpeg4 -bf 2 -g 50 -q:v 4 -flags +qpel"),
    ("mpeg4_qpel.avi", Whole, "-c:v libxvid -bf 2 -g 50 -q:v 4 -flags +qpel"),
    ("msmpeg4.avi", Whole, "-c:v msmpeg4 -g 50 -q:v 4"),
    ("mjpeg.avi", Whole, "-c:v mjpeg -q:v 4 -pix_fmt yuvj422p"),
    ("mjpeg.mov", Whole, "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p"),
    ("prores.mov", Whole, "-c:v prores_ks -profile:v 2 -pix_fmt yuv422p10le"),
    ("prores_4444.mov", Small, "-c:v prores_ks -profile:v 4 -pix_fmt yuva444p10le"),
    ("dnxhr.mov", Whole, "-c:v dnxhd -profile:v dnxhr_sq -pix_fmt yuv422p"),
    ("theora.mkv", Whole, "-c:v libtheora -q:v 6 -g 50"),
    ("theora.ogv", Whole, "-c:v libtheora -q:v 6 -g 50"),
    ("wmv2.wmv", Whole, "-c:v wmv2 -g 50 -q:v 4"),
    ("h263.3gp", Whole, "-s 352x288 -c:v h263 -g 50 -q:v 4"),
    ("h263_plus.mov", Whole, "-c:v h263p -g 50 -q:v 4"),
    ("sorenson.flv", Whole, "-c:v flv -g 50 -q:v 4"),
    ("dv.avi", Whole, "-s 720x576 -r 25 -c:v dvvideo -pix_fmt yuv420p"),
];
