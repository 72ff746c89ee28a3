//! Rows P1 to P11: upright, in shape and in the right colours.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::boxes;
use crate::common::{clips, footage, json, judge, stillframe};
use crate::tools::{Grabbed, Image, check_footage, clip, grab_at};

const RED: [u8; 3] = [255, 0, 0];
const LIME: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255; 3];

/// A still clip of a lavfi source.
pub fn still(name: &str, source: &str, coding: &[&str]) -> PathBuf {
    clips::clip(name, &[&["-f", "lavfi", "-i", source, "-frames:v", "3"], coding].concat())
}

/// The first picture, at the size as shown.
#[track_caller]
pub fn first(file: &Path) -> (Grabbed, Image) {
    let got = grab_at(file, &[0], &["--quality", "95"]);
    assert_eq!(got.statuses(), ["ok"], "{}: {}", file.display(), got.complaint);
    let image = got.image(0);
    (got, image)
}

/// Colours of the corners: left and right at the top, left and right at the bottom.
#[track_caller]
fn corners(image: &Image, want: [[u8; 3]; 4]) {
    let (right, bottom) = (image.width - 12, image.height - 12);
    for (place, want) in [(12, 12), (right, 12), (12, bottom), (right, bottom)].into_iter().zip(want) {
        image.insist(place, want, 16);
    }
}

#[test]
fn p1_rotated_and_mirrored() {
    let part = |x: u32, y: u32, color: &str| format!("drawbox=x={x}:y={y}:w=80:h=48:color={color}:t=fill");
    let parts = [part(80, 0, "lime"), part(0, 48, "blue"), part(80, 48, "white")].join(",");
    let file = still("p1.mp4", &format!("color=red:s=160x96:r=25,{parts}"), &["-c:v", "libx264", "-qp", "4"]);
    corners(&first(&file).1, [RED, LIME, BLUE, WHITE]);
    let bytes = std::fs::read(&file).unwrap();
    let header = boxes::path(&bytes, &["moov", "trak", "tkhd"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The 2x2 part of the matrix, how it is told, and what stands in the corners then.
    #[rustfmt::skip]
    let ways = [
        ([0, 1, -1, 0], 90, (96, 160), [BLUE, RED, WHITE, LIME]),
        ([-1, 0, 0, -1], 180, (160, 96), [WHITE, BLUE, LIME, RED]),
        ([0, -1, 1, 0], 270, (96, 160), [LIME, WHITE, RED, BLUE]),
        ([-1, 0, 0, 1], 0, (160, 96), [LIME, RED, WHITE, BLUE]),
    ];
    for (index, (matrix, degrees, size, want)) in ways.into_iter().enumerate() {
        let mut turned = bytes.clone();
        for (place, value) in [0, 4, 12, 16].into_iter().zip(matrix) {
            let at = header.body + 40 + place;
            turned[at..at + 4].copy_from_slice(&(i32::from(value as i16) << 16).to_be_bytes());
        }
        let file = folder.path().join(format!("{index}.mp4"));
        std::fs::write(&file, turned).unwrap();
        let (got, image) = first(&file);
        assert_eq!(image.size(), size, "{matrix:?}");
        if degrees > 0 {
            assert_eq!(got.report["media"]["rotation"], degrees, "{matrix:?}");
        }
        corners(&image, want);
        // The frame itself is the same, whatever way it is shown.
        got.insist_exact(&judge::truth(&file, 0));
    }
    for (name, size) in
        [("phone_h264_360p_rot90_gps.mov", (320, 568)), ("phone_hevc10_hlg_editlist_rot90.mp4", (1080, 1920))]
    {
        let Some(file) = footage(name) else { continue };
        let told = json(stillframe().args(["probe", "--json"]).arg(&file));
        let media = &told["media"];
        assert_eq!(
            (media["display_width"].as_u64(), media["display_height"].as_u64()),
            (Some(size.0), Some(size.1))
        );
    }
}

#[test]
fn p3_anamorphic() {
    let file = still("p3.mpg", "testsrc2=s=180x144:r=25", &["-vf", "setsar=64/45", "-c:v", "mpeg2video"]);
    assert_eq!(first(&file).1.size(), (256, 144));
    // Only the container knows.
    let plain = still("p3.mp4", "testsrc2=s=180x144:r=25", &["-c:v", "libx264"]);
    let told = clips::clip("p3c.mp4", &["-i", plain.to_str().unwrap(), "-c", "copy", "-aspect", "16:9"]);
    assert_eq!(first(&plain).1.size(), (180, 144));
    assert_eq!(first(&told).1.size(), (256, 144));
    let tall = still("p3t.mkv", "testsrc2=s=180x144:r=25", &["-vf", "setsar=1/2", "-c:v", "libx264"]);
    assert_eq!(first(&tall).1.size(), (180, 288));
    for (name, size) in [("bbb_h264_bpyramid_3b_sar.mp4", (1138, 640)), ("h264_edts.mp4", (854, 480))] {
        let Some(file) = footage(name) else { continue };
        assert_eq!(first(&file).1.size(), size, "{name}");
    }
}

#[test]
fn p5_red_is_red_tagged_and_untagged() {
    let untagged = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown";
    let hd = format!("scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,{untagged}");
    let sd = format!("scale=out_color_matrix=bt601:out_range=tv,format=yuv420p,{untagged}");
    let tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"];
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "4"];
    let red = |size: &str| format!("color=red:s={size}:r=25");
    let files = [
        still("p5_hd.mp4", &red("1280x720"), &[&["-vf", &hd], &x264[..]].concat()),
        still("p5_hd_tagged.mp4", &red("1280x720"), &[&["-vf", &hd], &x264[..], &tags].concat()),
        still("p5_sd.mp4", &red("320x180"), &[&["-vf", &sd], &x264[..]].concat()),
        still("p5_sd_tagged.mp4", &red("320x180"), &[&["-vf", &hd], &x264[..], &tags].concat()),
    ];
    for file in files {
        let image = first(&file).1;
        let middle = image.at(image.width / 2, image.height / 2);
        assert!(middle[0] >= 250 && middle[1] <= 5 && middle[2] <= 5, "{}: {middle:?}", file.display());
    }
}

#[test]
fn p6_full_range() {
    let source = "color=black:s=160x96:r=25,drawbox=x=80:w=80:h=96:color=white:t=fill";
    let range = ["-vf", "scale=out_range=pc", "-pix_fmt", "yuvj420p", "-c:v", "libx264", "-qp", "1"];
    let image = first(&still("p6.mp4", source, &range)).1;
    assert_eq!((image.at(20, 48), image.at(140, 48)), ([0; 3], [255; 3]));
    let limited = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "1"];
    let image = first(&still("p6l.mp4", source, &limited)).1;
    assert_eq!((image.at(20, 48), image.at(140, 48)), ([0; 3], [255; 3]));
    check_footage(&["hevc_1080p30_10s.mp4"]);
}

/// HEVC of ten bits with one grey of luma code 502, and its transfer.
fn grey(name: &str, transfer: &str) -> PathBuf {
    let source = "color=black:s=64x64:r=25,format=yuv420p10le,geq=lum=502:cb=512:cr=512";
    let x265 = format!(
        "colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range=limited:hdr10=1:max-cll=1000,400:qp=4:log-level=error"
    );
    still(name, source, &["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", &x265])
}

#[track_caller]
fn hdr(file: &Path, name: &str) {
    assert_eq!(grab_at(file, &[0], &["--width", "64"]).report["media"]["hdr"], name, "{}", file.display());
    judge::check(file);
}

#[test]
fn p7_pq_is_tone_mapped() {
    let file = grey("p7.mp4", "smpte2084");
    first(&file).1.insist((32, 32), [180; 3], 3);
    hdr(&file, "pq");
    check_footage(&["phone_hevc10_hdr10_vfr.mp4"]);
    if let Some(file) = footage("av1_hdr10_1080p60_mdcv.mp4") {
        hdr(&file, "pq");
    }
}

#[test]
fn p8_hlg_is_tone_mapped() {
    let file = grey("p8.mp4", "arib-std-b67");
    first(&file).1.insist((32, 32), [137; 3], 3);
    hdr(&file, "hlg");
    if let Some(file) = footage("phone_hevc10_hlg_editlist_rot90.mp4") {
        hdr(&file, "hlg");
    }
}

/// A `dvcC` box: profile, level 1, with a base layer and an RPU, and what the base layer can be shown as.
fn dolby_vision(profile: u16, compatibility: u8) -> Vec<u8> {
    let mut config = vec![0, 0, 0, 32];
    config.extend(b"dvcC\x01\x00");
    config.extend((profile << 9 | 1 << 3 | 0b101).to_be_bytes());
    config.push(compatibility << 4);
    config.resize(32, 0);
    config
}

#[test]
fn p9_dolby_vision_5_is_refused_by_name() {
    let plain = grey("p9.mp4", "arib-std-b67");
    let folder = tempfile::tempdir().unwrap();
    let with = |name: &str, config: &[u8]| {
        let mut bytes = std::fs::read(&plain).unwrap();
        let entry = ["moov", "trak", "mdia", "minf", "stbl", "stsd", "hev1"];
        boxes::append(&mut bytes, &entry, config);
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let five = grab_at(&with("5.mp4", &dolby_vision(5, 0)), &[0, 40], &[]);
    assert_eq!((five.code, five.statuses()), (Some(1), vec!["failed"; 2]), "{}", five.report);
    for picture in five.pictures() {
        let reason = picture["reason"].as_str().unwrap();
        assert!(reason.contains("Dolby Vision") && reason.contains("not supported"), "{reason}");
        assert_eq!(picture.get("file"), None::<&Value>);
    }
    // Profile 8.4: the base layer is HLG and is shown as that.
    let eight = with("8.mp4", &dolby_vision(8, 4));
    first(&eight).1.insist((32, 32), [137; 3], 3);
    check_footage(&["phone_hevc10_dolbyvision84_rot90.mov"]);
}

#[test]
fn p10_ten_and_twelve_bits_and_more_chroma() {
    let red = "color=red:s=128x96:r=25";
    #[rustfmt::skip]
    let codings: [(&str, &[&str]); 5] = [
        ("p10.mp4", &["-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-qp", "4"]),
        ("p10_422.mp4", &["-c:v", "libx264", "-pix_fmt", "yuv422p10le", "-qp", "4"]),
        ("p10.mov", &["-c:v", "prores_ks", "-profile:v", "3"]),
        ("p10_444.mp4", &["-c:v", "libx265", "-pix_fmt", "yuv444p12le", "-x265-params", "log-level=error:qp=4"]),
        ("p10_rgb.mkv", &["-c:v", "libx264rgb", "-qp", "4"]),
    ];
    for (name, coding) in codings {
        let image = first(&still(name, red, coding)).1;
        image.insist((64, 48), RED, 4);
        image.insist((127, 95), RED, 4);
        judge::check(&clip(name, "2", coding));
    }
}

/// Bars that move sideways between the fields: a combed picture has other rows than its neighbours.
const BARS: &str =
    "color=black:s=720x576:r=50:d=1,format=yuv420p,geq=lum='16+219*lt(mod(X+8*N\\,64)\\,32)':cb=128:cr=128";

/// All rows are one.
#[track_caller]
pub fn insist_no_combs(image: &Image, what: &str) {
    let middle = image.height / 2;
    for y in [3, middle - 1, middle, middle + 1, image.height - 4] {
        for x in 0..image.width {
            let (here, there) = (image.at(x, y)[1], image.at(x, middle + 10)[1]);
            assert!(here.abs_diff(there) <= 48, "{what}: {x},{y} is {here}, another row {there}");
        }
    }
    // And there are bars.
    let row: Vec<u8> = (0..image.width).map(|x| image.at(x, middle)[1]).collect();
    assert!(row.iter().any(|v| *v < 40) && row.iter().any(|v| *v > 215), "{what}");
}

/// A clip of the bars, woven in an order of fields.
pub fn woven(name: &str, order: &str, coding: &[&str]) -> PathBuf {
    let source = format!("{BARS},interlace=scan={order}:lowpass=0");
    clips::clip(name, &[&["-f", "lavfi", "-i", &source], coding].concat())
}

#[test]
fn p11_interlaced() {
    let mpeg2 = ["-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-q:v", "2", "-g", "12", "-bf", "2"];
    let x264 = ["-c:v", "libx264", "-preset", "veryfast", "-flags", "+ilme+ildct", "-x264-params", "tff=1"];
    for (name, order, coding) in
        [("p11.ts", "tff", &mpeg2[..]), ("p11b.ts", "bff", &mpeg2), ("p11.mp4", "tff", &x264)]
    {
        let file = woven(name, order, coding);
        judge::check(&file);
        let got = grab_at(&file, &[480], &["--quality", "95"]);
        let image = got.image(0);
        assert_eq!(image.size(), (720, 576), "{name}");
        insist_no_combs(&image, name);
        insist_no_combs(&grab_at(&file, &[480], &["--width", "360"]).image(0), name);
    }
    check_footage(&["camera_h264_1080i_mts_a7m3.mts"]);
}
