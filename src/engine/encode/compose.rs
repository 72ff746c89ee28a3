//! A sheet in the making: background, and cells painted into it to the pixel. *Pure.*
//!
//! Owns the sheet's planes. Never decides where a cell goes (`sprite`) or when a sheet is done.

use super::sprite::SheetLayout;
use crate::engine::picture::{Picture, Plane};
use crate::model::job::{FailCode, Failure, Stage};

/// An open sheet. Where anything is odd its chroma is kept whole, because a chroma sample then covers
/// pixels of two cells; it is halved once, at the end.
pub struct Sheet {
    layout: SheetLayout,
    luma: Plane,
    chroma: [Plane; 2],
    whole: bool,
}

impl Sheet {
    /// A sheet of background; `color` is R G B.
    pub fn new(layout: &SheetLayout, color: [u8; 3]) -> Sheet {
        let (w, h) = (layout.width as usize, layout.height as usize);
        let (even_w, even_h) = (w.next_multiple_of(2), h.next_multiple_of(2));
        let plane = |w: usize, h: usize, v: u8| Plane { data: vec![v; w * h], stride: w };
        let [y, cb, cr] = jfif(color);
        let whole = layout.odd();
        let (cw, ch) = if whole { (even_w, even_h) } else { (even_w / 2, even_h / 2) };
        Sheet {
            layout: *layout,
            luma: plane(even_w, even_h, y),
            chroma: [plane(cw, ch, cb), plane(cw, ch, cr)],
            whole,
        }
    }

    /// Paints a picture into a cell (from 0). Fails with `Internal` when it has not the cell's size or there
    /// is no such cell.
    pub fn paint(&mut self, cell: u32, picture: &Picture) -> Result<(), Failure> {
        let l = &self.layout;
        if (picture.width, picture.height) != (l.cell_width, l.cell_height) || cell >= l.cells() {
            let text = format!(
                "a picture of {}x{} does not go into cell {cell} of a sheet of {} cells of {}x{}",
                picture.width,
                picture.height,
                l.cells(),
                l.cell_width,
                l.cell_height
            );
            return Err(Failure::new(FailCode::Internal, Stage::Encode, text));
        }
        let (x, y) = l.position(cell);
        let (x, y) = (x as usize, y as usize);
        let (w, h) = (picture.width as usize, picture.height as usize);
        copy(&picture.y, &mut self.luma, (x, y), (w, h));
        for (from, to) in [&picture.cb, &picture.cr].into_iter().zip(&mut self.chroma) {
            if self.whole {
                spread(from, to, (x, y), (w, h));
            } else {
                copy(from, to, (x / 2, y / 2), (w / 2, h / 2));
            }
        }
        Ok(())
    }

    /// The finished sheet.
    pub fn into_picture(mut self) -> Picture {
        let (width, height) = (self.layout.width, self.layout.height);
        let (w, h) = (width as usize, height as usize);
        repeat_edges(&mut self.luma, (w, h));
        let [cb, cr] = self.chroma.map(|mut plane| {
            if self.whole {
                repeat_edges(&mut plane, (w, h));
                halve(&plane)
            } else {
                plane
            }
        });
        Picture { width, height, y: self.luma, cb, cr }
    }
}

/// A colour as JFIF stores it.
fn jfif([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(f64::from);
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    // A cast clamps, and halves go up.
    [y, 128.0 + (b - y) / 1.772, 128.0 + (r - y) / 1.402].map(|v| (v + 0.5) as u8)
}

fn copy(from: &Plane, to: &mut Plane, (x, y): (usize, usize), (w, h): (usize, usize)) {
    for row in 0..h {
        let source = &from.data[row * from.stride..][..w];
        to.data[(y + row) * to.stride + x..][..w].copy_from_slice(source);
    }
}

/// Paints halved chroma at full size: every pixel gets the sample of its block.
fn spread(from: &Plane, to: &mut Plane, (x, y): (usize, usize), (w, h): (usize, usize)) {
    for row in 0..h {
        let source = &from.data[row / 2 * from.stride..][..w.div_ceil(2)];
        let target = &mut to.data[(y + row) * to.stride + x..][..w];
        for (pair, v) in target.chunks_mut(2).zip(source) {
            pair.fill(*v);
        }
    }
}

/// Fills the padding of a plane whose size was odd with its last column and row.
fn repeat_edges(plane: &mut Plane, (w, h): (usize, usize)) {
    let stride = plane.stride;
    if w % 2 == 1 {
        for row in plane.data.chunks_exact_mut(stride) {
            row[w] = row[w - 1];
        }
    }
    if h % 2 == 1 {
        plane.data.copy_within((h - 1) * stride..h * stride, h * stride);
    }
}

/// The mean of every 2x2 block, halves up.
fn halve(plane: &Plane) -> Plane {
    let stride = plane.stride / 2;
    let mut data = Vec::with_capacity(plane.data.len() / 4);
    for rows in plane.data.chunks_exact(2 * plane.stride) {
        let (above, below) = rows.split_at(plane.stride);
        data.extend(above.chunks_exact(2).zip(below.chunks_exact(2)).map(|(a, b)| {
            let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
            ((sum + 2) / 4) as u8
        }));
    }
    Plane { data, stride }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::{AskedSize, SpriteSpec};
    use proptest::prelude::*;

    fn layout(cell: (u32, u32), columns: u32, lines: u32, padding: u32, margin: u32) -> SheetLayout {
        let cell = AskedSize { width: Some(cell.0), height: Some(cell.1) };
        let spec = SpriteSpec { cell, columns, lines, padding, margin, color: [0; 3] };
        SheetLayout::new(&spec, (320, 180)).unwrap()
    }

    /// A picture whose every sample tells who it is.
    fn picture(k: u32, width: u32, height: u32) -> Picture {
        let (w, h) = (width as usize, height as usize);
        let plane = |w: usize, h: usize, seed: u32| Plane {
            data: (0..w * h).map(|i| ((i as u32 * 31 + seed * 57 + k * 11) % 256) as u8).collect(),
            stride: w,
        };
        Picture {
            width,
            height,
            y: plane(w.next_multiple_of(2), h.next_multiple_of(2), 1),
            cb: plane(w.div_ceil(2), h.div_ceil(2), 2),
            cr: plane(w.div_ceil(2), h.div_ceil(2), 3),
        }
    }

    /// The sheet by its definition: every pixel asks who owns it.
    fn expected(l: &SheetLayout, color: [u8; 3], pictures: &[Picture]) -> Picture {
        let ground = jfif(color);
        let pixel = |x: u32, y: u32| -> [u8; 3] {
            for (k, p) in pictures.iter().enumerate() {
                let (left, top) = l.position(k as u32);
                if x >= left && x < left + l.cell_width && y >= top && y < top + l.cell_height {
                    let (px, py) = ((x - left) as usize, (y - top) as usize);
                    let c = |plane: &Plane| plane.data[py / 2 * plane.stride + px / 2];
                    return [p.y.data[py * p.y.stride + px], c(&p.cb), c(&p.cr)];
                }
            }
            ground
        };
        let at = |x: usize, y: usize| pixel((x as u32).min(l.width - 1), (y as u32).min(l.height - 1));
        let (w, h) = (l.width.next_multiple_of(2) as usize, l.height.next_multiple_of(2) as usize);
        let luma = (0..w * h).map(|i| at(i % w, i / w)[0]).collect();
        let chroma = |p: usize| {
            (0..w * h / 4)
                .map(|i| {
                    let (x, y) = (2 * (i % (w / 2)), 2 * (i / (w / 2)));
                    let sum: u32 = [(0, 0), (1, 0), (0, 1), (1, 1)]
                        .iter()
                        .map(|(dx, dy)| u32::from(at(x + dx, y + dy)[p]))
                        .sum();
                    ((sum + 2) / 4) as u8
                })
                .collect()
        };
        Picture {
            width: l.width,
            height: l.height,
            y: Plane { data: luma, stride: w },
            cb: Plane { data: chroma(1), stride: w / 2 },
            cr: Plane { data: chroma(2), stride: w / 2 },
        }
    }

    #[test]
    fn fifty_pictures_fill_thirty_and_twenty_cells() {
        let l = layout((24, 14), 3, 10, 2, 4);
        let pictures: Vec<_> = (0..50).map(|k| picture(k, 24, 14)).collect();
        for (sheet, mine) in pictures.chunks(l.cells() as usize).enumerate() {
            assert_eq!(mine.len() as u32, l.filled(sheet as u32, 50));
            let mut open = Sheet::new(&l, [200, 30, 60]);
            for (cell, picture) in mine.iter().enumerate() {
                open.paint(cell as u32, picture).unwrap();
            }
            assert_eq!(open.into_picture(), expected(&l, [200, 30, 60], mine));
        }
    }

    #[test]
    fn a_wrong_picture_or_cell_is_refused() {
        let mut sheet = Sheet::new(&layout((24, 14), 2, 2, 0, 0), [0; 3]);
        assert!(sheet.paint(0, &picture(0, 24, 15)).is_err());
        assert!(sheet.paint(4, &picture(0, 24, 14)).is_err());
        assert!(sheet.paint(3, &picture(0, 24, 14)).is_ok());
    }

    #[test]
    fn colours_of_the_background() {
        assert_eq!(jfif([0, 0, 0]), [0, 128, 128]);
        assert_eq!(jfif([255, 255, 255]), [255, 128, 128]);
        assert_eq!(jfif([255, 0, 0]), [76, 85, 255]);
        assert_eq!(jfif([0, 0, 255]), [29, 255, 107]);
    }

    proptest! {
        #[test]
        fn every_sheet_is_right_to_the_pixel(
            w in 8u32..19, h in 8u32..19, columns in 1u32..4, lines in 1u32..4,
            padding in 0u32..4, margin in 0u32..4, missing in 0u32..4,
        ) {
            let l = layout((w, h), columns, lines, padding, margin);
            let n = l.cells().saturating_sub(missing).max(1);
            let pictures: Vec<_> = (0..n).map(|k| picture(k, w, h)).collect();
            let mut sheet = Sheet::new(&l, [10, 200, 90]);
            // Cells come in any order.
            for k in (0..n).rev() {
                sheet.paint(k, &pictures[k as usize]).unwrap();
            }
            prop_assert_eq!(sheet.into_picture(), expected(&l, [10, 200, 90], &pictures));
        }
    }
}
