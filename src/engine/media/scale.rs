//! Resampling of planes: which window of a plane spans the picture, and the graphs that do it.
//!
//! Owns windows (siting, fields, strips) and the cache of graphs. Never knows what a sample means.

#![allow(unsafe_code)]

use std::collections::HashMap;

use super::unpack::SourcePlane;
use super::zimg::{ALIGNMENT, Aligned, Graph, GraphKey};

/// Graphs kept; a walk over one video needs a few, a video that changes size every frame is bounded.
const GRAPHS_MAX: usize = 96;

/// The part of one axis of a plane that spans the whole picture, in samples of the plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    pub samples: u32,
    pub start: f64,
    pub extent: f64,
}

impl Axis {
    /// The axis of a plane: `samples` of it, subsampled by `sub` against `luma` samples, the first sited
    /// `offset` luma samples from the first luma sample.
    pub fn new(samples: u32, sub: u32, luma: u32, offset: f64) -> Axis {
        let s = f64::from(sub);
        let offset = if sub > 1 { offset } else { 0.0 };
        Axis { samples, start: 0.5 - (0.5 + offset) / s, extent: f64::from(luma) / s }
    }

    /// The vertical axis of one field: its rows lie a quarter of a field row off, luma and chroma alike.
    pub fn field(samples: u32, sub: u32, luma: u32, top: bool) -> Axis {
        let start = if top { 0.25 } else { -0.25 };
        Axis { samples, start, extent: f64::from(luma) / f64::from(sub) / 2.0 }
    }

    /// Samples `from..to` of an output of `whole` samples: the source samples it can touch, and its window
    /// in them. The first is a multiple of `step`.
    fn cut(&self, from: u32, to: u32, whole: u32, step: u32) -> Cut {
        if from == 0 && to == whole {
            return Cut { first: 0, count: self.samples, start: self.start, extent: self.extent };
        }
        let scale = self.extent / f64::from(whole);
        let start = self.start + f64::from(from) * scale;
        let extent = f64::from(to - from) * scale;
        // The kernel reaches two samples of the coarser grid to each side; two more for rounding.
        let reach = 2.0 * scale.max(1.0) + 2.0;
        let last = f64::from(self.samples);
        let low = (start - reach).floor().clamp(0.0, last - 1.0) as u32 / step * step;
        let high = (start + extent + reach).ceil().clamp(f64::from(low + 1), last) as u32;
        Cut { first: low, count: high - low, start: start - f64::from(low), extent }
    }
}

/// A cut of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cut {
    first: u32,
    count: u32,
    start: f64,
    extent: f64,
}

/// A plane with the window that spans the picture.
#[derive(Clone, Copy)]
pub struct Windowed<'a> {
    pub plane: SourcePlane<'a>,
    pub x: Axis,
    pub y: Axis,
}

/// A rectangle of the picture grid that is `width` x `height` in whole.
#[derive(Clone, Copy, Debug)]
pub struct Rect {
    pub x: (u32, u32),
    pub y: (u32, u32),
    pub width: u32,
    pub height: u32,
}

/// Keeps built graphs and their scratch; one a thread.
#[derive(Default)]
pub struct Scaler {
    graphs: HashMap<GraphKey, Graph>,
    tmp: Aligned,
}

impl Scaler {
    /// Resamples a rectangle of the picture out of a plane into `out`, as 16-bit samples of the same range.
    /// Returns the samples from row to row. The error is zimg's.
    pub fn scale(
        &mut self,
        source: &Windowed,
        full: bool,
        rect: &Rect,
        out: &mut Aligned,
    ) -> Result<usize, String> {
        let plane = &source.plane;
        let step = (ALIGNMENT / plane.bytes()) as u32;
        let x = source.x.cut(rect.x.0, rect.x.1, rect.width, step);
        let y = source.y.cut(rect.y.0, rect.y.1, rect.height, 1);
        let key = GraphKey {
            width: x.count,
            height: y.count,
            depth: plane.depth,
            full,
            x: (x.start.to_bits(), x.extent.to_bits()),
            y: (y.start.to_bits(), y.extent.to_bits()),
            out_width: rect.x.1 - rect.x.0,
            out_height: rect.y.1 - rect.y.0,
        };
        if !self.graphs.contains_key(&key) {
            if self.graphs.len() >= GRAPHS_MAX {
                self.graphs.clear();
            }
            self.graphs.insert(key, Graph::build(&key)?);
        }
        let graph = &self.graphs[&key];
        let stride = (key.out_width as usize).next_multiple_of(32);
        let to = out.words(stride * key.out_height as usize).as_mut_ptr();
        let tmp = self.tmp.bytes(graph.tmp_bytes()).as_mut_ptr();
        let rows = plane.stride * isize::try_from(y.first).unwrap_or(0);
        let from = plane.data.wrapping_offset(rows).wrapping_add(x.first as usize * plane.bytes());
        // SAFETY: the cut lies within the plane, whose rows and pointers are aligned (`unpack`), as is a
        // first sample that is a multiple of `step`; `out` and `tmp` are ours, large enough and aligned.
        unsafe { graph.run((from, plane.stride), (to, (stride * 2) as isize), tmp)? };
        Ok(stride)
    }

    /// Graphs held.
    #[cfg(test)]
    pub fn graphs(&self) -> usize {
        self.graphs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_siting() {
        assert_eq!(Axis::new(960, 2, 1920, 0.0), Axis { samples: 960, start: 0.25, extent: 960.0 });
        assert_eq!(Axis::new(540, 2, 1080, 0.5), Axis { samples: 540, start: 0.0, extent: 540.0 });
        assert_eq!(Axis::new(81, 2, 161, 0.0), Axis { samples: 81, start: 0.25, extent: 80.5 });
        assert_eq!(Axis::new(1920, 1, 1920, 0.5), Axis { samples: 1920, start: 0.0, extent: 1920.0 });
        assert_eq!(Axis::new(40, 4, 160, 0.0), Axis { samples: 40, start: 0.375, extent: 40.0 });
        assert_eq!(Axis::field(270, 2, 1080, false), Axis { samples: 270, start: -0.25, extent: 270.0 });
    }

    #[test]
    fn cuts_hold_all_that_the_kernel_reads() {
        let axis = Axis { samples: 4000, start: 0.25, extent: 4000.0 };
        let cut = axis.cut(100, 200, 1000, 64);
        assert_eq!(cut.first % 64, 0);
        // Output sample 100 begins at 400.25; the kernel reaches 8 samples.
        assert!(cut.first <= 392 && cut.first + cut.count >= 809);
        assert_eq!(f64::from(cut.first) + cut.start, 400.25);
        assert_eq!(cut.extent, 400.0);
        let end = axis.cut(900, 1000, 1000, 1);
        assert_eq!(end.first + end.count, 4000);
    }
}
