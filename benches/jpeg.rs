//! CPU time of the JPEG encoder and of a sheet.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use stillframe::engine::encode::compose::Sheet;
use stillframe::engine::encode::jpeg::Jpeg;
use stillframe::engine::encode::sprite::SheetLayout;
use stillframe::engine::picture::{Picture, Plane};
use stillframe::model::spec::{AskedSize, SpriteSpec};

/// A picture with detail that does not compress to nothing.
fn picture(width: u32, height: u32) -> Picture {
    let plane = |w: u32, h: u32, step: f64| {
        let value = |i: u32| {
            let (x, y) = (f64::from(i % w), f64::from(i / w));
            (120.0
                + 60.0 * (x / step).sin() * (y / step).cos()
                + f64::from(i.wrapping_mul(2_654_435_761) >> 28)) as u8
        };
        Plane { data: (0..w * h).map(value).collect(), stride: w as usize }
    };
    Picture {
        width,
        height,
        y: plane(width, height, 9.0),
        cb: plane(width / 2, height / 2, 40.0),
        cr: plane(width / 2, height / 2, 50.0),
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("jpeg");
    for (width, height) in [(320, 180), (1920, 1080)] {
        let picture = picture(width, height);
        for quality in [85, 90] {
            let Ok(mut jpeg) = Jpeg::new() else { return };
            let name = format!("{width}x{height} q{quality}");
            group.bench_function(name, |b| b.iter(|| jpeg.encode(black_box(&picture), quality)));
        }
    }
    group.finish();
}

fn sheet(c: &mut Criterion) {
    let mut group = c.benchmark_group("sheet");
    for (name, side, padding) in [("10x10 of 160x90, even", 160, 2), ("10x10 of 161x90, odd", 161, 1)] {
        let cell = AskedSize { width: Some(side), height: Some(90) };
        let spec = SpriteSpec { cell, columns: 10, lines: 10, padding, margin: 4, color: [0; 3] };
        let Ok(layout) = SheetLayout::new(&spec, (320, 180)) else { return };
        let mut cell = picture(160, 90);
        if side % 2 == 1 {
            let plane = |w: usize, h: usize| Plane { data: vec![90; w * h], stride: w };
            cell =
                Picture { width: side, height: 90, y: plane(162, 90), cb: plane(81, 45), cr: plane(81, 45) };
        }
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut sheet = Sheet::new(&layout, spec.color);
                let painted = (0..layout.cells()).all(|k| sheet.paint(k, &cell).is_ok());
                (painted, sheet.into_picture())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode, sheet);
criterion_main!(benches);
