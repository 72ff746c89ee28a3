//! The geometry of sprite sheets: sizes, how many, where each cell goes. *Pure.*
//!
//! Owns the arithmetic of API contract 2.3. Never knows pixels.

use crate::engine::geometry::output_size;
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::limits::{GRID_MAX, JPEG_SIDE_MAX, SHEET_PIXELS_MAX};
use crate::model::spec::SpriteSpec;

/// A sheet, resolved to pixels. All sheets of a job have the same size; the last may be part-filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SheetLayout {
    pub width: u32,
    pub height: u32,
    pub cell_width: u32,
    pub cell_height: u32,
    pub columns: u32,
    pub lines: u32,
    pub padding: u32,
    pub margin: u32,
}

impl SheetLayout {
    /// Resolves a wish against the size of the job's pictures: no cell side given is the picture's size, one
    /// given takes the other from its shape. Fails with `TooLarge` above 65535 a side or 64 megapixels, or
    /// when the grid is empty or beyond 10000.
    pub fn new(spec: &SpriteSpec, picture: (u32, u32)) -> Result<SheetLayout, Failure> {
        let (cell_width, cell_height) = output_size(picture, spec.cell);
        let side = |cells: u32, cell: u32| {
            let (cells, cell) = (u64::from(cells), u64::from(cell));
            2 * u64::from(spec.margin) + cells * cell + cells.saturating_sub(1) * u64::from(spec.padding)
        };
        let grid = |n: u32| (1..=GRID_MAX).contains(&n);
        let (width, height) = (side(spec.columns, cell_width), side(spec.lines, cell_height));
        let most = u64::from(JPEG_SIDE_MAX);
        // The sides are checked first: their product could not be told apart from a small one otherwise.
        let fits = width <= most && height <= most && width * height <= SHEET_PIXELS_MAX;
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(width), Ok(height)) if fits && grid(spec.columns) && grid(spec.lines) => Ok(SheetLayout {
                width,
                height,
                cell_width,
                cell_height,
                columns: spec.columns,
                lines: spec.lines,
                padding: spec.padding,
                margin: spec.margin,
            }),
            _ => {
                let text = format!(
                    "a sheet of {} x {} cells of {cell_width}x{cell_height} would be {width}x{height} pixels",
                    spec.columns, spec.lines
                );
                Err(Failure::new(FailCode::TooLarge, Stage::Plan, text))
            }
        }
    }

    /// Cells of a full sheet.
    pub fn cells(&self) -> u32 {
        self.columns * self.lines
    }

    /// Sheets that `pictures` fill.
    pub fn sheets(&self, pictures: u32) -> u32 {
        pictures.div_ceil(self.cells())
    }

    /// The sheet (from 0) and the cell on it of the picture with ordinal `picture` (from 0).
    pub fn place(&self, picture: u32) -> (u32, u32) {
        (picture / self.cells(), picture % self.cells())
    }

    /// Cells in use on a sheet (from 0) of a job of `pictures`.
    pub fn filled(&self, sheet: u32, pictures: u32) -> u32 {
        pictures.saturating_sub(sheet.saturating_mul(self.cells())).min(self.cells())
    }

    /// Left and top pixel of a cell: left to right, then top to bottom.
    pub fn position(&self, cell: u32) -> (u32, u32) {
        let at = |n: u32, side: u32| self.margin + n * (side + self.padding);
        (at(cell % self.columns, self.cell_width), at(cell / self.columns, self.cell_height))
    }

    /// True when a cell, the grid or the sheet has an odd side: chroma of 2x2 pixels then straddles cells.
    pub fn odd(&self) -> bool {
        // With one column there is no step from cell to cell, and likewise with one line.
        let x = self.margin | self.cell_width | if self.columns > 1 { self.padding } else { 0 };
        let y = self.margin | self.cell_height | if self.lines > 1 { self.padding } else { 0 };
        (x | y) % 2 == 1
    }

    /// Bytes an open sheet holds, for the budget of pictures in the making.
    pub fn bytes(&self) -> u64 {
        let pixels = u64::from(self.width.next_multiple_of(2)) * u64::from(self.height.next_multiple_of(2));
        // Whole chroma planes, and at the end the halved ones beside them.
        if self.odd() { pixels * 7 / 2 } else { pixels * 3 / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::AskedSize;
    use proptest::prelude::*;

    fn spec(
        cell: (Option<u32>, Option<u32>),
        columns: u32,
        lines: u32,
        padding: u32,
        margin: u32,
    ) -> SpriteSpec {
        let cell = AskedSize { width: cell.0, height: cell.1 };
        SpriteSpec { cell, columns, lines, padding, margin, color: [0; 3] }
    }

    #[test]
    fn fifty_pictures_on_three_by_ten() {
        let layout = SheetLayout::new(&spec((Some(120), Some(68)), 3, 10, 4, 6), (320, 180)).unwrap();
        assert_eq!((layout.width, layout.height), (2 * 6 + 3 * 120 + 2 * 4, 2 * 6 + 10 * 68 + 9 * 4));
        assert_eq!((layout.sheets(50), layout.filled(0, 50), layout.filled(1, 50)), (2, 30, 20));
        assert_eq!((layout.filled(2, 50), layout.sheets(60), layout.sheets(0)), (0, 2, 0));
        assert_eq!((layout.place(29), layout.place(30)), ((0, 29), (1, 0)));
        assert_eq!(layout.position(0), (6, 6));
        assert_eq!(layout.position(4), (6 + 124, 6 + 72));
        assert_eq!(layout.position(29), (6 + 2 * 124, 6 + 9 * 72));
    }

    #[test]
    fn cells_take_missing_sides_from_the_picture() {
        let cell = |w, h| {
            let l = SheetLayout::new(&spec((w, h), 2, 2, 0, 0), (641, 361)).unwrap();
            (l.cell_width, l.cell_height)
        };
        assert_eq!(cell(None, None), (641, 361));
        assert_eq!(cell(Some(160), None), (160, 90));
        assert_eq!(cell(None, Some(91)), (162, 91));
        assert_eq!(cell(Some(33), Some(99)), (33, 99));
    }

    #[test]
    fn a_sheet_beyond_the_limits_is_refused() {
        let new = |s: SpriteSpec| SheetLayout::new(&s, (320, 180)).map_err(|f| f.code);
        let big = Err(FailCode::TooLarge);
        assert_eq!(new(spec((None, None), 205, 1, 0, 0)), big);
        assert_eq!(new(spec((None, None), 50, 50, 0, 0)), big);
        assert_eq!(new(spec((None, None), 10_000, 10_000, u32::MAX, u32::MAX)), big);
        assert_eq!(new(spec((None, None), 0, 5, 0, 0)), big);
        assert!(new(spec((None, None), 25, 25, 0, 0)).is_ok());
        assert!(new(spec((Some(8), Some(8)), 1000, 1000, 0, 0)).is_ok());
    }

    #[test]
    fn odd_is_told_where_it_matters() {
        let odd = |s: SpriteSpec| SheetLayout::new(&s, (320, 180)).unwrap().odd();
        assert!(!odd(spec((None, None), 3, 3, 2, 4)));
        assert!(odd(spec((None, None), 3, 3, 1, 4)));
        assert!(!odd(spec((None, None), 1, 1, 1, 4)));
        assert!(odd(spec((None, None), 1, 1, 0, 3)));
        assert!(odd(spec((Some(321), Some(180)), 1, 1, 0, 0)));
    }

    proptest! {
        #[test]
        fn cells_lie_inside_and_never_overlap(
            w in 8u32..90, h in 8u32..90, columns in 1u32..8, lines in 1u32..8, padding in 0u32..9, margin in 0u32..9,
        ) {
            let l = SheetLayout::new(&spec((Some(w), Some(h)), columns, lines, padding, margin), (320, 180)).unwrap();
            let spots: Vec<_> = (0..l.cells()).map(|k| l.position(k)).collect();
            for (i, (x, y)) in spots.iter().enumerate() {
                prop_assert!(*x >= margin && x + w + margin <= l.width && *y >= margin && y + h + margin <= l.height);
                for (x2, y2) in &spots[..i] {
                    prop_assert!(x.abs_diff(*x2) >= w + padding || y.abs_diff(*y2) >= h + padding);
                }
            }
            prop_assert_eq!(spots[spots.len() - 1], (l.width - margin - w, l.height - margin - h));
        }
    }
}
