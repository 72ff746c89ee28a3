//! What only a frame with raw flags, side data or odd pointers can show.

#![allow(unsafe_code)]

use super::*;
use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

/// A frame whose sample at (x, y) of a plane is `f(plane, x, y)`, 8 bit.
fn frame(pixel: Pixel, width: u32, height: u32, f: impl Fn(usize, usize, usize) -> u8) -> Video {
    let mut frame = Video::new(pixel, width, height);
    for p in 0..frame.planes() {
        let (w, h) = (frame.plane_width(p) as usize, frame.plane_height(p) as usize);
        let stride = frame.stride(p);
        let data = frame.data_mut(p);
        for y in 0..h {
            for x in 0..w {
                data[y * stride + x] = f(p, x, y);
            }
        }
    }
    frame
}

fn interlace(frame: &mut Video, top_first: bool) {
    // SAFETY: the frame is alive and ours.
    unsafe {
        (*frame.as_mut_ptr()).interlaced_frame = 1;
        (*frame.as_mut_ptr()).top_field_first = i32::from(top_first);
    }
}

/// Full range BT.601, so that luma comes out as it went in.
fn plain(width: u32, height: u32) -> StreamLook {
    let mut look = StreamLook::untagged(width, height);
    (look.tags.range, look.tags.matrix, look.tags.chroma_location) = (2, 6, 2);
    look
}

fn make(frame: &Video, look: &StreamLook, size: (u32, u32)) -> Picture {
    PictureMaker::new().make(frame, look, size).expect("the frame becomes a picture")
}

fn luma(picture: &Picture, x: usize, y: usize) -> u8 {
    picture.y.data[y * picture.y.stride + x]
}

#[test]
fn a_combed_frame_gives_its_first_field_alone() {
    for top_first in [true, false] {
        let mut combed = frame(Pixel::YUV420P, 96, 64, |p, _, y| match (p, y % 2) {
            (0, 0) => 60,
            (0, _) => 200,
            (_, 0) => 110,
            (_, _) => 150,
        });
        interlace(&mut combed, top_first);
        let (want, chroma) = if top_first { (60, 110) } else { (200, 150) };
        for size in [(96, 64), (48, 32), (33, 20), (200, 130)] {
            let picture = make(&combed, &plain(96, 64), size);
            for y in 0..size.1 as usize {
                for x in 0..size.0 as usize {
                    assert_eq!(luma(&picture, x, y), want, "{size:?} {x},{y}");
                }
            }
            assert!(picture.cb.data.iter().chain(&picture.cr.data).all(|v| *v == chroma));
        }
    }
}

#[test]
fn both_fields_lie_where_the_frame_shows_them() {
    // A slope that stands still: whichever field is taken, the picture has the slope's own place. Interlaced
    // chroma of a field lies so that row j of the frame stands for luma row 2j + 0.5 of it.
    let slope = |p: usize, y: usize| if p == 0 { 40 + 2 * y as u8 } else { 41 + 4 * y as u8 };
    for top_first in [true, false] {
        let mut ramp = frame(Pixel::YUV420P, 64, 48, |p, _, y| slope(p, y));
        interlace(&mut ramp, top_first);
        let picture = make(&ramp, &plain(64, 48), (64, 48));
        for y in 8..40 {
            assert_eq!(luma(&picture, 20, y), slope(0, y), "top first {top_first}, row {y}");
        }
        for y in 4..20 {
            assert_eq!(
                picture.cb.data[y * picture.cb.stride + 9],
                slope(1, y),
                "top first {top_first}, row {y}"
            );
        }
    }
}

#[test]
fn interlaced_frames_too_low_for_fields_are_taken_whole() {
    for height in [1, 2, 3] {
        let mut low = frame(Pixel::YUV420P, 16, height, |p, _, _| if p == 0 { 77 } else { 128 });
        interlace(&mut low, false);
        assert_eq!(luma(&make(&low, &plain(16, height), (8, 8)), 3, 3), 77);
    }
}

#[test]
fn palette_pixels_lie_on_black() {
    let mut pal = Video::new(Pixel::PAL8, 64, 32);
    let stride = pal.stride(0);
    for (i, v) in pal.data_mut(0).iter_mut().enumerate() {
        *v = u8::from(i % stride >= 32);
    }
    // SAFETY: a palette frame has 256 words in its second plane.
    unsafe {
        let table = (*pal.as_mut_ptr()).data[1].cast::<u32>();
        table.write_unaligned(0x00ff_ffff);
        table.add(1).write_unaligned(0xff00_ff00);
    }
    let picture = make(&pal, &StreamLook::untagged(64, 32), (64, 32));
    // Transparent white shows black, opaque green green.
    assert_eq!((luma(&picture, 5, 5), luma(&picture, 60, 5)), (0, 150));
    assert_eq!(picture.cb.data[0], 128);
}

#[test]
fn a_frames_own_matrix_wins_over_the_streams() {
    let mut turned = frame(Pixel::GRAY8, 64, 32, |_, x, _| if x < 32 { 10 } else { 200 });
    let one = 1 << 16;
    let quarter: [i32; 9] = [0, one, 0, -one, 0, 0, 0, 0, 1 << 30];
    // SAFETY: the side data is ours and as long as asked for.
    unsafe {
        let kind = ffi::AVFrameSideDataType::AV_FRAME_DATA_DISPLAYMATRIX;
        let side = ffi::av_frame_new_side_data(turned.as_mut_ptr(), kind, 36);
        assert!(!side.is_null());
        (*side).data.cast::<[i32; 9]>().write_unaligned(quarter);
    }
    let picture = make(&turned, &plain(64, 32), (32, 64));
    assert_eq!((luma(&picture, 16, 4), luma(&picture, 16, 60)), (10, 200));
}

#[test]
fn cropped_and_upside_down_frames_are_read_where_they_lie() {
    let pixels = |_: usize, x: usize, y: usize| (x * 3 + y * 5) as u8;
    let mut cropped = frame(Pixel::GRAY8, 64, 32, pixels);
    let stride = cropped.stride(0) as i32;
    // SAFETY: the rectangle lies within the frame; the buffer stays the frame's.
    unsafe {
        let raw = cropped.as_mut_ptr();
        (*raw).data[0] = (*raw).data[0].add(7 + 2 * stride as usize);
        ((*raw).width, (*raw).height) = (50, 28);
    }
    let whole = frame(Pixel::GRAY8, 50, 28, |p, x, y| pixels(p, x + 7, y + 2));
    assert_eq!(make(&cropped, &plain(50, 28), (30, 20)), make(&whole, &plain(50, 28), (30, 20)));

    let mut flipped = frame(Pixel::GRAY8, 64, 32, pixels);
    // SAFETY: row 31 exists, and the rows run down to row 0.
    unsafe {
        let raw = flipped.as_mut_ptr();
        (*raw).data[0] = (*raw).data[0].add(31 * stride as usize);
        (*raw).linesize[0] = -stride;
    }
    let whole = frame(Pixel::GRAY8, 64, 32, |p, x, y| pixels(p, x, 31 - y));
    assert_eq!(make(&flipped, &plain(64, 32), (30, 20)), make(&whole, &plain(64, 32), (30, 20)));
}

#[test]
fn the_sources_peak_comes_from_the_frame_first() {
    let mut bright = frame(Pixel::GRAY8, 16, 16, |_, _, _| 0);
    let stream = Light { max_cll: 500.0, mastering_max: 4000.0 };
    assert_eq!(frame_light(&bright, stream), stream);
    // SAFETY: as above.
    unsafe {
        let kind = ffi::AVFrameSideDataType::AV_FRAME_DATA_CONTENT_LIGHT_LEVEL;
        let side = ffi::av_frame_new_side_data(bright.as_mut_ptr(), kind, 8);
        assert!(!side.is_null());
        (*side).data.cast::<[u32; 2]>().write_unaligned([1_200, 300]);
    }
    assert_eq!(frame_light(&bright, stream), Light { max_cll: 1200.0, mastering_max: 4000.0 });
}

#[test]
fn graphs_and_tables_are_built_once() {
    let mut maker = PictureMaker::new();
    let ramp = frame(Pixel::YUV420P, 64, 48, |_, x, _| x as u8);
    let mut look = plain(64, 48);
    look.tags.transfer = 16;
    for _ in 0..3 {
        assert!(maker.make(&ramp, &look, (32, 24)).is_ok());
    }
    // One for luma, one for both chroma planes.
    assert_eq!(maker.scaler.graphs(), 2);
    assert_eq!(maker.light.as_ref().map(LightMap::key).map(|k| k.peak), Some(1000.0));
}

#[test]
fn strips_are_even_and_about_as_high() {
    assert_eq!(strip_rows(1920, 1080), 1080);
    assert_eq!(strip_rows(1, 1), 2);
    assert_eq!(strip_rows(3840, 2160), 540);
    for (w, h) in [(4096, 4096), (4096, 2303), (2001, 1301)] {
        let rows = strip_rows(w, h);
        assert!(rows.is_multiple_of(2) && (rows as usize - 2) * w as usize <= STRIP_PIXELS);
    }
}
