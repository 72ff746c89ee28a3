//! The road from a decoded frame to JPEG planes, measured against a reference in f64.

#[path = "pictures/light.rs"]
mod light;
#[path = "pictures/reference.rs"]
mod reference;
#[path = "pictures/signals.rs"]
mod signals;

use ffmpeg_next::format::Pixel;
use reference::{BT601, BT709, BT2020, FCC, Grid, Matrix, Raw, S240M};
use stillframe::engine::encode::jpeg::Jpeg;
use stillframe::engine::geometry::Orientation;
use stillframe::engine::media::convert::PictureMaker;
use stillframe::engine::media::look::StreamLook;
use stillframe::engine::picture::Picture;

const LEFT: (f64, f64) = (0.0, 0.5);

fn make(frame: &ffmpeg_next::frame::Video, look: &StreamLook, size: (u32, u32)) -> Picture {
    PictureMaker::new().make(frame, look, size).expect("the frame becomes a picture")
}

fn look(raw: &Raw, matrix: i32, full: bool) -> StreamLook {
    let mut look = StreamLook::untagged(raw.width as u32, raw.height as u32);
    look.tags.matrix = matrix;
    look.tags.range = if full { 2 } else { 1 };
    look
}

/// Planes of a picture without padding.
fn planes(picture: &Picture) -> [Grid; 3] {
    let (w, h) = (picture.width as usize, picture.height as usize);
    let (hw, hh) = (w.div_ceil(2), h.div_ceil(2));
    [(&picture.y, w, h), (&picture.cb, hw, hh), (&picture.cr, hw, hh)]
        .map(|(p, w, h)| Grid::new(w, h, |x, y| f64::from(p.data[y * p.stride + x])))
}

/// Mean and largest difference.
fn errors(got: &Grid, want: &Grid) -> (f64, f64) {
    assert_eq!((got.width, got.height), (want.width, want.height));
    let all = got.data.iter().zip(&want.data).map(|(g, w)| (g - w.clamp(0.0, 255.0)).abs());
    let max = all.clone().fold(0.0, f64::max);
    (all.sum::<f64>() / got.data.len() as f64, max)
}

/// The tolerance for a picture within gamut: mean 0.30, never more than 1.
fn assert_close(picture: &Picture, want: &[Grid; 3], what: &str) {
    for (name, (got, want)) in ["Y", "Cb", "Cr"].iter().zip(planes(picture).iter().zip(want)) {
        let (mean, max) = errors(got, want);
        assert!(mean <= 0.30 && max <= 1.0, "{what}: {name} mean {mean:.3} max {max:.3}");
    }
}

#[test]
fn five_matrices_two_ranges_two_depths() {
    let matrices = [(1, BT709), (6, BT601), (9, BT2020), (7, S240M), (4, FCC), (8, Matrix::YCgCo)];
    for (pixel, depth) in [(Pixel::YUV420P, 8), (Pixel::YUV420P10LE, 10)] {
        for full in [false, true] {
            let raw = signals::mixed(322, 182, (2, 2), depth, full);
            let frame = signals::frame(&raw, pixel);
            for (number, matrix) in matrices {
                let size = (160, 90);
                let want = reference::jfif(&reference::render(&raw, size, matrix, full, LEFT));
                let picture = make(&frame, &look(&raw, number, full), (160, 90));
                assert_close(&picture, &want, &format!("{pixel:?} full {full} matrix {number}"));
            }
        }
    }
}

#[test]
fn no_ratio_leaves_a_column_out() {
    // The scaler picks other code for other ratios: every width from three times smaller to a bit larger.
    let raw = signals::mixed(322, 64, (2, 2), 8, false);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    let mut maker = PictureMaker::new();
    for width in (108..=340).step_by(4).chain([107, 161, 215, 301]) {
        let want = reference::jfif(&reference::render(&raw, (width, 32), BT709, false, LEFT));
        let picture = maker.make(&frame, &look(&raw, 1, false), (width as u32, 32)).unwrap();
        assert_close(&picture, &want, &format!("322 to {width}"));
    }
}

#[test]
fn every_planar_layout_and_depth() {
    let layouts = [
        (Pixel::YUV422P, (2, 1), 8),
        (Pixel::YUV444P, (1, 1), 8),
        (Pixel::YUV440P, (1, 2), 8),
        (Pixel::YUV411P, (4, 1), 8),
        (Pixel::YUV420P12LE, (2, 2), 12),
        (Pixel::YUV422P10LE, (2, 1), 10),
        (Pixel::YUV444P16LE, (1, 1), 16),
        (Pixel::YUV444P16BE, (1, 1), 16),
    ];
    for (pixel, sub, depth) in layouts {
        for full in [false, true] {
            let raw = signals::mixed(131, 75, sub, depth, full);
            let want = reference::jfif(&reference::render(&raw, (98, 57), BT709, full, LEFT));
            let picture = make(&signals::frame(&raw, pixel), &look(&raw, 1, full), (98, 57));
            assert_close(&picture, &want, &format!("{pixel:?} full {full}"));
        }
    }
}

#[test]
fn odd_sizes_shrunk_kept_and_grown() {
    for (w, h) in [(161, 121), (641, 361)] {
        let raw = signals::mixed(w, h, (2, 2), 8, false);
        let frame = signals::frame(&raw, Pixel::YUV420P);
        for size in [(w, h), (w / 2 + 1, h / 2), (w + 101, h + 48)] {
            let want = reference::jfif(&reference::render(&raw, size, BT601, false, LEFT));
            let picture = make(&frame, &look(&raw, 6, false), (size.0 as u32, size.1 as u32));
            assert_close(&picture, &want, &format!("{w}x{h} to {size:?}"));
            // The encoder reads luma padded to even.
            let (stride, last) = (picture.y.stride, size.1 - 1);
            let rows: Vec<&[u8]> = picture.y.data.chunks_exact(stride).collect();
            assert_eq!(rows.len(), size.1.next_multiple_of(2));
            assert_eq!(rows[rows.len() - 1], rows[last]);
            assert!(rows.iter().all(|r| r[stride - 1] == r[size.0 - 1]));
        }
    }
}

#[test]
fn the_smallest_frames_and_pictures() {
    for (w, h) in [(1, 1), (2, 2), (3, 1), (1, 5)] {
        let raw = signals::flat(w, h, [126.0, 110.0, 160.0]);
        let frame = signals::frame(&raw, Pixel::YUV420P);
        for size in [(1, 1), (8, 8), (33, 17)] {
            let picture = make(&frame, &look(&raw, 6, false), size);
            let size = (size.0 as usize, size.1 as usize);
            let want = reference::jfif(&reference::render(&raw, size, BT601, false, LEFT));
            for (got, want) in planes(&picture).iter().zip(&want) {
                assert!(errors(got, want).1 <= 0.55, "{w}x{h} to {size:?}");
            }
        }
    }
}

#[test]
fn chroma_sits_where_the_tag_says() {
    let raw = signals::mixed(160, 90, (2, 2), 8, false);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    let sitings = [
        (0, LEFT),
        (1, LEFT),
        (2, (0.5, 0.5)),
        (3, (0.0, 0.0)),
        (4, (0.5, 0.0)),
        (5, (0.0, 1.0)),
        (6, (0.5, 1.0)),
    ];
    for (tag, siting) in sitings {
        let mut look = look(&raw, 1, false);
        look.tags.chroma_location = tag;
        let want = reference::jfif(&reference::render(&raw, (160, 90), BT709, false, siting));
        assert_close(&make(&frame, &look, (160, 90)), &want, &format!("siting {tag}"));
    }
}

#[test]
fn the_eight_ways_to_turn() {
    let raw = signals::mixed(161, 121, (2, 2), 8, false);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    let rgb = reference::render(&raw, (97, 75), BT601, false, LEFT);
    for bits in 0..8 {
        let way = Orientation { transpose: bits & 1 != 0, mirror_x: bits & 2 != 0, mirror_y: bits & 4 != 0 };
        let mut look = look(&raw, 6, false);
        look.orientation = way;
        let size = way.turn((97, 75));
        let turned = rgb.clone().map(|g| reference::turned(&g, way.transpose, way.mirror_x, way.mirror_y));
        assert_close(&make(&frame, &look, size), &reference::jfif(&turned), &format!("{way:?}"));
    }
}

#[test]
fn a_large_picture_in_strips_is_the_same_picture() {
    // Above one strip; small in the frame, so that the reference stays quick.
    let raw = signals::mixed(150, 83, (2, 2), 8, false);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    let (w, h) = (2050, 1301);
    let rgb = reference::render(&raw, (w, h), BT601, false, LEFT);
    for way in [
        Orientation::default(),
        Orientation { transpose: true, mirror_x: true, mirror_y: false },
        Orientation { transpose: true, mirror_x: false, mirror_y: true },
        Orientation { transpose: false, mirror_x: true, mirror_y: true },
    ] {
        let mut look = look(&raw, 6, false);
        look.orientation = way;
        let turned = rgb.clone().map(|g| reference::turned(&g, way.transpose, way.mirror_x, way.mirror_y));
        let picture = make(&frame, &look, way.turn((w as u32, h as u32)));
        assert_close(&picture, &reference::jfif(&turned), &format!("{way:?}"));
    }
}

#[test]
fn strips_of_a_shrunk_frame_meet_without_a_seam() {
    let raw = signals::mixed(2600, 1400, (2, 2), 8, false);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    let (w, h) = (2000, 1300);
    let mut look = look(&raw, 1, false);
    let want = reference::jfif(&reference::render(&raw, (w, h), BT709, false, LEFT));
    assert_close(&make(&frame, &look, (w as u32, h as u32)), &want, "upright");
    look.orientation = Orientation { transpose: true, mirror_x: true, mirror_y: false };
    let upright = reference::render(&raw, (w, h), BT709, false, LEFT);
    let want = reference::jfif(&upright.map(|g| reference::turned(&g, true, true, false)));
    assert_close(&make(&frame, &look, (h as u32, w as u32)), &want, "turned");
}

#[test]
fn semi_planar_frames_give_the_same_bits() {
    for (w, h) in [(322, 182), (161, 121)] {
        let size = (w as u32 / 2, h as u32 / 2);
        let raw = signals::mixed(w, h, (2, 2), 8, false);
        let planar = make(&signals::frame(&raw, Pixel::YUV420P), &look(&raw, 1, false), size);
        assert_eq!(make(&signals::nv(&raw, Pixel::NV12, false), &look(&raw, 1, false), size), planar);
        assert_eq!(make(&signals::nv(&raw, Pixel::NV21, true), &look(&raw, 1, false), size), planar);
        let raw = signals::mixed(w, h, (2, 2), 10, false);
        let planar = make(&signals::frame(&raw, Pixel::YUV420P10LE), &look(&raw, 9, false), size);
        assert_eq!(make(&signals::nv(&raw, Pixel::P010LE, false), &look(&raw, 9, false), size), planar);
    }
}

#[test]
fn packed_frames_give_the_same_bits() {
    let raw = signals::mixed(98, 54, (2, 1), 8, false);
    let planar = make(&signals::frame(&raw, Pixel::YUV422P), &look(&raw, 6, false), (60, 40));
    let code = |p: usize, x: usize, y: usize| raw.planes[p][y * raw.size(p).0 + x] as u8;
    let yuyv =
        signals::packed(98, 54, Pixel::YUYV422, 2, |x, y| vec![code(0, x, y), code(1 + x % 2, x / 2, y)]);
    assert_eq!(make(&yuyv, &look(&raw, 6, false), (60, 40)), planar);

    // Three orders of R, G, B, one planar: one picture.
    let colour = |x: usize, y: usize| [(x * 2) as u8, (y * 4) as u8, ((x + y) % 200) as u8];
    let untagged = StreamLook::untagged(98, 54);
    let [rgb, bgra, bgr0] = [
        signals::packed(98, 54, Pixel::RGB24, 3, |x, y| colour(x, y).to_vec()),
        signals::packed(98, 54, Pixel::BGRA, 4, |x, y| {
            let [r, g, b] = colour(x, y);
            vec![b, g, r, 255]
        }),
        signals::packed(98, 54, Pixel::BGRZ, 4, |x, y| {
            let [r, g, b] = colour(x, y);
            vec![b, g, r, 7]
        }),
    ]
    .map(|f| make(&f, &untagged, (49, 30)));
    let gbr = Raw {
        width: 98,
        height: 54,
        sub: (1, 1),
        depth: 8,
        planes: [1, 2, 0].map(|c| Grid::new(98, 54, |x, y| f64::from(colour(x, y)[c])).data),
    };
    let planar = make(&signals::frame(&gbr, Pixel::GBRP), &untagged, (49, 30));
    assert_eq!(rgb, planar);
    assert_eq!(bgra, planar);
    assert_eq!(bgr0, planar);
}

#[test]
fn a_zone_plate_does_not_alias() {
    let raw = signals::zone_plate(1920, 1080);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    let want = reference::jfif(&reference::render(&raw, (640, 360), BT709, true, LEFT));
    let picture = make(&frame, &look(&raw, 1, true), (640, 360));
    let (mean, max) = errors(&planes(&picture)[0], &want[0]);
    assert!(max <= 1.0 && mean <= 0.30, "mean {mean:.3} max {max:.3}");
}

#[test]
fn a_checkerboard_of_single_pixels_turns_flat_grey() {
    let raw = signals::checkerboard(480, 288);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    for parts in [2, 6] {
        let picture = make(&frame, &look(&raw, 1, true), (480 / parts, 288 / parts));
        // Away from the edge, where the mirrored neighbour is not the board's.
        let luma = &planes(&picture)[0];
        for y in 2..luma.height - 2 {
            for x in 2..luma.width - 2 {
                assert!((luma.at(x, y) - 127.5).abs() <= 1.5, "1/{parts} at {x},{y}: {}", luma.at(x, y));
            }
        }
    }
}

#[test]
fn red_is_red_untagged_and_tagged() {
    // Full red of BT.709, limited.
    let raw = signals::flat(1280, 720, [63.0, 102.0, 240.0]);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    let mut tagged = StreamLook::untagged(1280, 720);
    tagged.tags.matrix = 1;
    for look in [StreamLook::untagged(1280, 720), tagged] {
        let jpeg = Jpeg::new().unwrap().encode(&make(&frame, &look, (320, 180)), 90).unwrap();
        let image = turbojpeg::decompress(&jpeg, turbojpeg::PixelFormat::RGB).unwrap();
        for pixel in image.pixels.chunks_exact(3) {
            assert!(pixel[0] >= 250 && pixel[1] <= 5 && pixel[2] <= 5, "{pixel:?}");
        }
    }
}

#[test]
fn a_jpeg_decodes_to_nearly_the_picture() {
    let raw = signals::mixed(641, 361, (2, 2), 8, false);
    let picture = make(&signals::frame(&raw, Pixel::YUV420P), &look(&raw, 1, false), (321, 181));
    let bytes = Jpeg::new().unwrap().encode(&picture, 90).unwrap();
    let back = turbojpeg::decompress_to_yuv(&bytes).unwrap();
    assert_eq!((back.width, back.height, back.subsamp), (321, 181, turbojpeg::Subsamp::Sub2x2));
    // Rows are padded to `align`; luma comes first, padded to even.
    let stride = back.y_width().next_multiple_of(back.align);
    let luma = Grid::new(321, 181, |x, y| f64::from(back.pixels[y * stride + x]));
    let (mean, _) = errors(&luma, &planes(&picture)[0]);
    assert!(mean <= 1.5, "mean {mean:.3}");
}

#[test]
fn transparent_pixels_lie_on_black() {
    // Left half transparent, right half opaque; red everywhere.
    let rgba = signals::packed(64, 32, Pixel::RGBA, 4, |x, _| vec![250, 0, 0, if x < 32 { 0 } else { 255 }]);
    let untagged = StreamLook::untagged(64, 32);
    let over = signals::packed(64, 32, Pixel::RGB24, 3, |x, _| vec![if x < 32 { 0 } else { 250 }, 0, 0]);
    assert_eq!(make(&rgba, &untagged, (40, 20)), make(&over, &untagged, (40, 20)));

    // Half alpha, planes of luma and chroma: half way to black in the source's own range.
    let mut raw = signals::flat(64, 32, [200.0, 90.0, 180.0]);
    let frame = signals::with_alpha(&raw, Pixel::YUVA420P, |_, _| 102);
    raw.planes = [(200.0 - 16.0) * 0.4 + 16.0, (90.0 - 128.0) * 0.4 + 128.0, (180.0 - 128.0) * 0.4 + 128.0]
        .map(|v: f64| v.round())
        .iter()
        .zip(&raw.planes)
        .map(|(v, plane)| vec![*v; plane.len()])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let want = make(&signals::frame(&raw, Pixel::YUV420P), &look(&raw, 6, false), (40, 20));
    assert_eq!(make(&frame, &look(&raw, 6, false), (40, 20)), want);
}

#[test]
fn bits_greys_and_narrow_samples() {
    let untagged = StreamLook::untagged(64, 32);
    let grey = |v: f64| Raw {
        sub: (1, 1),
        planes: [vec![v; 64 * 32], vec![], vec![]],
        ..signals::flat(64, 32, [0.0; 3])
    };
    let image = StreamLook { image_codec: true, ..untagged.clone() };
    let video = make(&signals::luma(&grey(126.0), Pixel::GRAY8), &untagged, (32, 16));
    let still = make(&signals::luma(&grey(126.0), Pixel::GRAY8), &image, (32, 16));
    assert!(video.y.data.iter().all(|v| *v == 128) && still.y.data.iter().all(|v| *v == 126));
    assert!(video.cb.data.iter().chain(&video.cr.data).all(|v| *v == 128));

    for (pixel, left) in [(Pixel::MonoWhite, 0), (Pixel::MonoBlack, 255)] {
        let bits = signals::packed(8, 32, pixel, 1, |x, _| vec![if x < 4 { 0xff } else { 0 }]);
        let picture = make(&bits, &untagged, (64, 32));
        assert_eq!((picture.y.data[0], picture.y.data[63]), (left, 255 - left));
    }
    let five = signals::packed(64, 32, Pixel::RGB565LE, 2, |_, _| 0xf81f_u16.to_le_bytes().to_vec());
    let twin = signals::packed(64, 32, Pixel::RGB565BE, 2, |_, _| 0xf81f_u16.to_be_bytes().to_vec());
    let over = signals::packed(64, 32, Pixel::RGB24, 3, |_, _| vec![255, 0, 255]);
    assert_eq!(make(&five, &untagged, (32, 16)), make(&over, &untagged, (32, 16)));
    assert_eq!(make(&twin, &untagged, (32, 16)), make(&over, &untagged, (32, 16)));
}

#[test]
fn limited_rgb_and_what_is_not_read() {
    let gbr = signals::flat(64, 32, [16.0, 126.0, 235.0]);
    let gbr = Raw { sub: (1, 1), planes: [16.0, 126.0, 235.0].map(|v| vec![v; 64 * 32]), ..gbr };
    let mut look = StreamLook::untagged(64, 32);
    look.tags.range = 1;
    let limited = make(&signals::frame(&gbr, Pixel::GBRP), &look, (32, 16));
    let full = signals::packed(64, 32, Pixel::RGB24, 3, |_, _| vec![255, 0, 128]);
    let full = make(&full, &StreamLook::untagged(64, 32), (32, 16));
    for (a, b) in planes(&limited).iter().zip(&planes(&full)) {
        assert!(errors(a, b).1 <= 1.0);
    }

    let raw = signals::flat(64, 32, [126.0, 128.0, 128.0]);
    let frame = signals::frame(&raw, Pixel::YUV420P);
    let mut maker = PictureMaker::new();
    let mut ictcp = StreamLook::untagged(64, 32);
    ictcp.tags.matrix = 14;
    let failure = maker.make(&frame, &ictcp, (32, 16)).unwrap_err();
    assert_eq!(failure.code, stillframe::model::job::FailCode::Unsupported);
    assert!(failure.text.contains("ICtCp"));
    let mut dolby = StreamLook::untagged(64, 32);
    dolby.dolby_only = true;
    assert!(maker.make(&frame, &dolby, (32, 16)).is_err());
    let float = ffmpeg_next::frame::Video::new(Pixel::GRAYF32LE, 64, 32);
    assert!(maker.make(&float, &StreamLook::untagged(64, 32), (32, 16)).is_err());
    assert!(
        maker.make(&ffmpeg_next::frame::Video::empty(), &StreamLook::untagged(64, 32), (32, 16)).is_err()
    );
    // What failed left nothing behind.
    assert!(maker.make(&frame, &StreamLook::untagged(64, 32), (32, 16)).is_ok());
}

#[test]
fn light_beyond_the_screen_is_mapped() {
    // In the screen's gamut: outside it a component is the small difference of large ones, and a sixteenth of
    // a code value more or less in the planes shows.
    let raw = signals::muted(signals::mixed(322, 182, (2, 2), 10, false));
    let frame = signals::frame(&raw, Pixel::YUV420P10LE);
    let rgb = reference::render(&raw, (161, 91), BT2020, false, LEFT);
    for (transfer, max_cll, peak) in [(16, 0.0, Some(1000.0)), (16, 4000.0, Some(4000.0)), (18, 0.0, None)] {
        let mut look = look(&raw, 9, false);
        (look.tags.transfer, look.light.max_cll) = (transfer, max_cll);
        let picture = make(&frame, &look, (161, 91));
        let want = reference::jfif(&light::tone_mapped(&rgb, peak));
        for (got, want) in planes(&picture).iter().zip(&want) {
            let (mean, max) = errors(got, want);
            assert!(
                mean <= 0.35 && max <= 2.0,
                "transfer {transfer} peak {peak:?}: mean {mean:.3} max {max:.3}"
            );
        }
    }
}

#[test]
fn one_maker_takes_whatever_comes() {
    let mut maker = PictureMaker::new();
    let raws =
        [(322, 182, 8, Pixel::YUV420P), (161, 121, 10, Pixel::YUV420P10LE), (64, 36, 8, Pixel::YUV420P)];
    for _ in 0..2 {
        for (w, h, depth, pixel) in raws {
            let raw = signals::mixed(w, h, (2, 2), depth, false);
            let frame = signals::frame(&raw, pixel);
            for size in [(64, 36), (320, 180), (33, 77)] {
                let got = maker.make(&frame, &look(&raw, 1, false), size).unwrap();
                assert_eq!(got, make(&frame, &look(&raw, 1, false), size));
            }
        }
    }
}
