//! CPU time of the road from a decoded frame to JPEG planes.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use stillframe::engine::geometry::Orientation;
use stillframe::engine::media::convert::PictureMaker;
use stillframe::engine::media::look::StreamLook;

/// A frame of slopes and noise.
fn frame(pixel: Pixel, width: u32, height: u32) -> Video {
    let mut frame = Video::new(pixel, width, height);
    let wide = matches!(pixel, Pixel::YUV420P10LE);
    for plane in 0..frame.planes() {
        for (i, v) in frame.data_mut(plane).iter_mut().enumerate() {
            // The upper byte of a 10-bit sample holds two bits.
            *v = if wide && i % 2 == 1 { (i / 7 % 4) as u8 } else { (i * 31 % 199) as u8 + (i % 7) as u8 };
        }
    }
    frame
}

fn roads(c: &mut Criterion) {
    let full_hd = frame(Pixel::YUV420P, 1920, 1080);
    let ten_bit = frame(Pixel::YUV420P10LE, 1920, 1080);
    let ultra_hd = frame(Pixel::YUV420P, 3840, 2160);
    let plain = StreamLook::untagged(1920, 1080);
    let mut turned = plain.clone();
    turned.orientation = Orientation { transpose: true, mirror_x: true, mirror_y: false };
    let mut pq = plain.clone();
    (pq.tags.transfer, pq.tags.primaries, pq.tags.matrix) = (16, 9, 9);
    let mut hlg = pq.clone();
    hlg.tags.transfer = 18;
    let roads = [
        ("1080p to 320x180", &full_hd, &plain, (320, 180)),
        ("1080p to 640x360", &full_hd, &plain, (640, 360)),
        ("1080p to 1280x720", &full_hd, &plain, (1280, 720)),
        ("1080p same size", &full_hd, &plain, (1920, 1080)),
        ("1080p turned same size", &full_hd, &turned, (1080, 1920)),
        ("4K to 320x180", &ultra_hd, &plain, (320, 180)),
        ("4K same size", &ultra_hd, &plain, (3840, 2160)),
        ("10-bit 1080p to 320x180", &ten_bit, &plain, (320, 180)),
        ("10-bit 1080p same size", &ten_bit, &plain, (1920, 1080)),
        ("PQ 1080p to 320x180", &ten_bit, &pq, (320, 180)),
        ("PQ 1080p same size", &ten_bit, &pq, (1920, 1080)),
        ("HLG 1080p to 320x180", &ten_bit, &hlg, (320, 180)),
    ];
    let mut group = c.benchmark_group("convert");
    for (name, frame, look, size) in roads {
        let mut maker = PictureMaker::new();
        group.bench_function(name, |b| b.iter(|| maker.make(black_box(frame), look, size)));
    }
    group.finish();
}

criterion_group!(benches, roads);
criterion_main!(benches);
