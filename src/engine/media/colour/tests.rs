use super::*;

fn yuv(width: u32, height: u32, depth: u32) -> Shape {
    Shape { family: Family::Yuv, full_by_name: false, image_codec: false, width, height, depth }
}

/// JFIF's Y, Cb, Cr and the R'G'B' of one pixel, rounded and clamped, through the whole arithmetic.
fn pixel(tags: Tags, shape: Shape, code: [u32; 3]) -> ([u8; 3], [u8; 3]) {
    let m = meaning(&tags, &shape).expect("a supported matrix");
    let rgb = to_rgb(&m, shape.family, shape.depth);
    let sample = code.map(|c| {
        if m.full {
            f64::from(c) * 65_535.0 / f64::from((1u32 << shape.depth) - 1)
        } else {
            f64::from(c << (16 - shape.depth))
        }
    });
    let run = |map: &Affine, scale: f64| {
        map.map(|k| {
            ((k[0] * sample[0] + k[1] * sample[1] + k[2] * sample[2] + k[3]) * scale)
                .clamp(0.0, 255.0)
                .round() as u8
        })
    };
    (run(&rgb, 255.0), run(&chain(&JFIF, &rgb), 1.0))
}

#[test]
fn vectors_of_plain_video() {
    let none = Tags::NONE;
    let bt709 = Tags { matrix: 1, ..none };
    type Row = (Tags, u32, [u32; 3], [u8; 3], [u8; 3]);
    let table: &[Row] = &[
        (bt709, 8, [16, 128, 128], [0, 0, 0], [0, 128, 128]),
        (bt709, 8, [235, 128, 128], [255, 255, 255], [255, 128, 128]),
        (bt709, 8, [126, 128, 128], [128, 128, 128], [128, 128, 128]),
        (bt709, 8, [63, 102, 240], [255, 1, 0], [77, 85, 255]),
        (bt709, 8, [173, 42, 26], [0, 255, 1], [150, 44, 21]),
        (bt709, 8, [32, 240, 118], [1, 0, 255], [29, 255, 108]),
        (bt709, 8, [100, 110, 160], [155, 85, 60], [103, 104, 165]),
        (Tags { range: 2, ..bt709 }, 8, [100, 110, 160], [150, 88, 67], [104, 107, 161]),
        (Tags { matrix: 6, ..none }, 8, [100, 110, 160], [149, 79, 61], [98, 108, 164]),
        (Tags { matrix: 7, ..none }, 8, [100, 110, 160], [155, 85, 60], [103, 104, 165]),
        (Tags { matrix: 9, ..none }, 10, [400, 440, 640], [152, 80, 59], [99, 105, 165]),
    ];
    for (tags, depth, code, rgb, jfif) in table {
        let (got_rgb, got_jfif) = pixel(*tags, yuv(320, 240, *depth), *code);
        for i in 0..3 {
            assert!(got_rgb[i].abs_diff(rgb[i]) <= 1, "{code:?}: {got_rgb:?} for {rgb:?}");
            assert!(got_jfif[i].abs_diff(jfif[i]) <= 1, "{code:?}: {got_jfif:?} for {jfif:?}");
        }
    }
}

#[test]
fn full_range_mid_is_neutral_at_every_depth() {
    for depth in [8, 10, 12, 16] {
        let mid = 1 << (depth - 1);
        let (rgb, jfif) =
            pixel(Tags { range: 2, matrix: 1, ..Tags::NONE }, yuv(64, 64, depth), [mid, mid, mid]);
        assert_eq!((rgb[0], rgb[1], rgb[2]), (rgb[0], rgb[0], rgb[0]));
        assert_eq!((jfif[1], jfif[2]), (128, 128));
    }
}

#[test]
fn untagged_matrices_follow_the_order_of_the_rule() {
    let of = |transfer, primaries, w, h| {
        meaning(&Tags { transfer, primaries, ..Tags::NONE }, &yuv(w, h, 8)).map(|m| m.matrix)
    };
    assert_eq!(of(16, 1, 64, 64), Ok(BT2020));
    assert_eq!(of(2, 9, 64, 64), Ok(BT2020));
    assert_eq!(of(2, 1, 64, 64), Ok(BT709));
    assert_eq!(of(2, 6, 1920, 1080), Ok(BT601));
    assert_eq!(of(2, 2, 1279, 719), Ok(BT601));
    assert_eq!(of(2, 2, 1280, 64), Ok(BT709));
    assert_eq!(of(2, 2, 64, 720), Ok(BT709));
    // RGB as the matrix of luma and chroma planes, and reserved values, are as good as none.
    for matrix in [0, 2, 3, 99] {
        let m = meaning(&Tags { matrix, ..Tags::NONE }, &yuv(64, 64, 8)).map(|m| m.matrix);
        assert_eq!(m, Ok(BT601));
    }
    assert!(meaning(&Tags { matrix: 14, ..Tags::NONE }, &yuv(64, 64, 8)).is_err());
    assert!(meaning(&Tags { matrix: 11, ..Tags::NONE }, &yuv(64, 64, 8)).is_err());
}

#[test]
fn derived_matrices_come_from_primaries() {
    for (primaries, kr, kb) in [(1, 0.2126, 0.0722), (9, 0.2627, 0.0593), (6, 0.2124, 0.0866)] {
        let m = meaning(&Tags { matrix: 12, primaries, ..Tags::NONE }, &yuv(64, 64, 8)).map(|m| m.matrix);
        let Ok(Matrix::Luma { kr: r, kb: b }) = m else { panic!("{m:?}") };
        assert!((r - kr).abs() < 1e-3 && (b - kb).abs() < 1e-3, "{primaries}: {r} {b}");
    }
}

#[test]
fn ranges_when_nothing_is_said() {
    let of = |tags: Tags, shape: Shape| meaning(&tags, &shape).map(|m| m.full);
    let base = yuv(64, 64, 8);
    assert_eq!(of(Tags::NONE, base), Ok(false));
    assert_eq!(of(Tags::NONE, Shape { full_by_name: true, ..base }), Ok(true));
    assert_eq!(of(Tags { range: 1, ..Tags::NONE }, Shape { full_by_name: true, ..base }), Ok(true));
    assert_eq!(of(Tags::NONE, Shape { family: Family::Rgb, ..base }), Ok(true));
    assert_eq!(of(Tags { range: 1, ..Tags::NONE }, Shape { family: Family::Rgb, ..base }), Ok(false));
    assert_eq!(of(Tags::NONE, Shape { family: Family::Grey, ..base }), Ok(false));
    assert_eq!(of(Tags::NONE, Shape { family: Family::Grey, image_codec: true, ..base }), Ok(true));
}

#[test]
fn the_frame_wins_over_the_container() {
    let stream = Tags { range: 1, matrix: 1, transfer: 1, primaries: 1, chroma_location: 1 };
    let frame = Tags { transfer: 16, primaries: 9, ..Tags::NONE };
    let both = frame.or(stream);
    assert_eq!(both, Tags { range: 1, matrix: 1, transfer: 16, primaries: 9, chroma_location: 1 });
    assert_eq!(both.hdr(), Hdr::Pq);
}

#[test]
fn the_matrix_to_bt709_is_the_published_one() {
    let published = [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ];
    for (got, want) in to_bt709(Gamut::Bt2020).iter().flatten().zip(published.iter().flatten()) {
        assert!((got - want).abs() < 1e-6);
    }
}

#[test]
fn ycgco_and_limited_rgb() {
    let (rgb, _) = pixel(Tags { matrix: 8, range: 2, ..Tags::NONE }, yuv(64, 64, 8), [100, 138, 118]);
    assert_eq!(rgb, [80, 110, 100]);
    let shape = Shape { family: Family::Rgb, ..yuv(64, 64, 8) };
    let (rgb, _) = pixel(Tags { range: 1, ..Tags::NONE }, shape, [235, 16, 126]);
    assert_eq!(rgb, [255, 0, 128]);
}
