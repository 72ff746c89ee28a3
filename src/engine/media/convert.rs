//! From a decoded frame to a picture: the whole road, one plan of numbers for every pixel format.
//!
//! Owns the order of the steps (unpack, scale, turn, convert) and the strips that bound its memory.
//! Never encodes, never decides a size.

use ffmpeg_next::frame::{self, side_data::Type as FrameSide};

use super::colour::{self, Affine, Gamut, Meaning, Shape};
use super::formats::{self, Format};
use super::geometry::Orientation;
use super::look::{self, Light, StreamLook};
use super::pass::{self, Linear, Rows, Target, Turn};
use super::scale::{Axis, Rect, Scaler, Windowed};
use super::tonemap::{self, LightMap, MapKey};
use super::unpack::{self, Planes, Unpacker};
use super::zimg::Aligned;
use crate::engine::picture::{Picture, Plane};
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::media::Hdr;

/// Most pixels of a strip: a 1080p picture is made in one go, a larger one in pieces.
const STRIP_PIXELS: usize = 1920 * 1088;

/// Makes pictures; keeps buffers and graphs from one to the next. One a thread.
pub struct PictureMaker {
    unpacker: Unpacker,
    scaler: Scaler,
    scaled: [Aligned; 3],
    turned: [Aligned; 3],
    /// The map of light last used, and a line of scratch for it.
    light: Option<LightMap>,
    lines: Vec<[f32; 3]>,
    build: pass::Build,
}

impl Default for PictureMaker {
    fn default() -> PictureMaker {
        PictureMaker::new()
    }
}

impl PictureMaker {
    /// With empty buffers.
    pub fn new() -> PictureMaker {
        PictureMaker {
            unpacker: Unpacker::default(),
            scaler: Scaler::default(),
            scaled: Default::default(),
            turned: Default::default(),
            light: None,
            lines: Vec::new(),
            build: pass::best_build(),
        }
    }

    /// The picture of `frame` as shown, at `size` (after the turn), stretched to it.
    ///
    /// Fails with `Unsupported` for a pixel format or matrix that we do not read, with `Corrupt` for a frame
    /// that is not what it says, with `Internal` when the scaler refuses.
    pub fn make(
        &mut self,
        frame: &frame::Video,
        look: &StreamLook,
        size: (u32, u32),
    ) -> Result<Picture, Failure> {
        if look.dolby_only {
            return Err(unsupported(
                "Dolby Vision without a base layer to be shown (profile 5) is not supported",
            ));
        }
        if size.0 == 0 || size.1 == 0 || frame.width() == 0 || frame.height() == 0 {
            let text = format!(
                "a frame of {}x{} to a picture of {}x{}",
                frame.width(),
                frame.height(),
                size.0,
                size.1
            );
            return Err(Failure::new(FailCode::Internal, Stage::Convert, text));
        }
        let format = formats::describe(frame).map_err(unsupported)?;
        let shape = Shape {
            family: format.family,
            full_by_name: format.full_by_name,
            image_codec: look.image_codec,
            width: frame.width(),
            height: frame.height(),
            depth: format.depth,
        };
        let meaning = colour::meaning(&look::frame_tags(frame).or(look.tags), &shape).map_err(unsupported)?;
        let orientation = frame
            .side_data(FrameSide::DisplayMatrix)
            .and_then(|side| look::display_matrix(side.data()))
            .unwrap_or(look.orientation);
        let peak = tonemap::source_peak(&frame_light(frame, look.light));
        self.convert(frame, &format, &meaning, orientation, peak, size)
    }

    fn convert(
        &mut self,
        frame: &frame::Video,
        format: &Format,
        meaning: &Meaning,
        orientation: Orientation,
        peak: f64,
        (width, height): (u32, u32),
    ) -> Result<Picture, Failure> {
        let planes = self
            .unpacker
            .unpack(frame, format, meaning.full)
            .map_err(|text| Failure::new(FailCode::Corrupt, Stage::Convert, text))?;
        let windows = windows(&planes, meaning, frame);
        let to_rgb = colour::to_rgb(meaning, planes.family, planes.depth);
        let way = way(&mut self.light, meaning, &to_rgb, peak);
        let mut picture = blank(width, height);
        let rows = strip_rows(width, height);
        let mut strip = Strip {
            scaler: &mut self.scaler,
            scaled: &mut self.scaled,
            turned: &mut self.turned,
            orientation,
            size: (width, height),
            full: meaning.full,
        };
        for top in (0..height).step_by(rows as usize) {
            let bottom = (top + rows).min(height);
            let from = strip
                .make(&windows, top, bottom)
                .map_err(|text| Failure::new(FailCode::Internal, Stage::Convert, text))?;
            let to = target(&mut picture, top);
            let (w, h) = (width as usize, (bottom - top) as usize);
            match &way {
                Way::Linear(map) => pass::linear(self.build, from, to, w, h, map),
                Way::Light(map) => tonemap::mapped(self.build, from, to, w, h, &to_rgb, map, &mut self.lines),
            }
        }
        pad(&mut picture);
        Ok(picture)
    }
}

/// How samples become the picture's: in one linear step, or through light.
enum Way<'a> {
    Linear(Linear),
    Light(&'a LightMap),
}

/// Plain video passes its code values straight through; PQ, HLG and wide primaries go through light.
fn way<'a>(kept: &'a mut Option<LightMap>, meaning: &Meaning, to_rgb: &Affine, peak: f64) -> Way<'a> {
    if meaning.hdr == Hdr::None && meaning.gamut == Gamut::Bt709 {
        return Way::Linear(Linear::new(&colour::chain(&colour::JFIF, to_rgb)));
    }
    let peak = if meaning.hdr == Hdr::Pq { peak } else { tonemap::PEAK };
    let key = MapKey { hdr: meaning.hdr, gamut: meaning.gamut, peak };
    let map = match kept.take() {
        Some(map) if map.key() == key => map,
        _ => LightMap::new(key),
    };
    Way::Light(kept.insert(map))
}

/// Light levels: the frame's where it has them, else the stream's.
fn frame_light(frame: &frame::Video, stream: Light) -> Light {
    let read = |kind, f: fn(&[u8]) -> f64| frame.side_data(kind).map_or(0.0, |side| f(side.data()));
    let or = |own: f64, other: f64| if own > 0.0 { own } else { other };
    Light {
        max_cll: or(read(FrameSide::ContentLightLevel, look::max_cll), stream.max_cll),
        mastering_max: or(
            read(FrameSide::MasteringDisplayMetadata, look::mastering_max),
            stream.mastering_max,
        ),
    }
}

/// What it takes to make the 16-bit rows of a strip.
struct Strip<'a> {
    scaler: &'a mut Scaler,
    scaled: &'a mut [Aligned; 3],
    turned: &'a mut [Aligned; 3],
    orientation: Orientation,
    size: (u32, u32),
    full: bool,
}

impl Strip<'_> {
    /// Rows `top..bottom` of the picture as shown. The error is the scaler's.
    fn make(&mut self, windows: &[Windowed], top: u32, bottom: u32) -> Result<Rows<'_, u16>, String> {
        let (width, height) = self.size;
        let way = self.orientation;
        // The same rows before the mirror; under a transpose they are columns of the frame's own grid.
        let along = if way.mirror_y { (height - bottom, height - top) } else { (top, bottom) };
        let rect = if way.transpose {
            Rect { x: along, y: (0, width), width: height, height: width }
        } else {
            Rect { x: (0, width), y: along, width, height }
        };
        let (w, h) = (width as usize, (bottom - top) as usize);
        let mut stride = 0;
        for (source, out) in windows.iter().zip(self.scaled.iter_mut()) {
            stride = self.scaler.scale(source, self.full, &rect, out)?;
        }
        let mut buffers = &*self.scaled;
        if way != Orientation::default() {
            let turned_stride = w.next_multiple_of(32);
            let turn = Turn {
                transpose: way.transpose,
                mirror_x: way.mirror_x,
                mirror_y: way.mirror_y,
                width: w,
                height: h,
            };
            for (from, to) in self.scaled.iter().zip(self.turned.iter_mut()).take(windows.len()) {
                let to = to.words(turned_stride * h);
                pass::turn(from.read_words(usize::MAX), stride, to, turned_stride, &turn);
            }
            (buffers, stride) = (&*self.turned, turned_stride);
        }
        // Grey has one plane: it stands in for the others, whose weights are zero.
        let plane = |i: usize| buffers[if i < windows.len() { i } else { 0 }].read_words(stride * h);
        Ok(Rows { planes: [plane(0), plane(1), plane(2)], stride })
    }
}

/// The window of every plane. An interlaced frame gives its first field in time alone: no combs, no
/// neighbours.
fn windows<'a>(planes: &Planes<'a>, meaning: &Meaning, frame: &frame::Video) -> Vec<Windowed<'a>> {
    let (width, height) = (frame.width(), frame.height());
    // A field needs a row in every plane.
    let interlaced = frame.is_interlaced() && planes.planes.iter().all(|p| p.height >= 2);
    let top = frame.is_top_first();
    let window = |plane: &unpack::SourcePlane<'a>| {
        let x = Axis::new(plane.width, plane.sub.0, width, meaning.siting.0);
        if interlaced {
            let plane = plane.field(top);
            return Windowed { plane, x, y: Axis::field(plane.height, plane.sub.1, height, top) };
        }
        Windowed { plane: *plane, x, y: Axis::new(plane.height, plane.sub.1, height, meaning.siting.1) }
    };
    planes.planes.iter().map(window).collect()
}

/// Rows of a strip: even, and all strips about as high as each other.
fn strip_rows(width: u32, height: u32) -> u32 {
    let strips = (width as usize * height as usize).div_ceil(STRIP_PIXELS) as u32;
    height.div_ceil(strips).next_multiple_of(2)
}

/// A picture without pixels yet; planes padded to even as the encoder wants them.
fn blank(width: u32, height: u32) -> Picture {
    let (w, h) = (width as usize, height as usize);
    let plane = |w: usize, h: usize| Plane { data: vec![0; w * h], stride: w };
    let chroma = || plane(w.div_ceil(2), h.div_ceil(2));
    Picture {
        width,
        height,
        y: plane(w.next_multiple_of(2), h.next_multiple_of(2)),
        cb: chroma(),
        cr: chroma(),
    }
}

/// The planes of a picture from an even row on.
fn target(picture: &mut Picture, top: u32) -> Target<'_> {
    let top = top as usize;
    let strides = [picture.y.stride, picture.cb.stride, picture.cr.stride];
    Target {
        planes: [
            &mut picture.y.data[top * strides[0]..],
            &mut picture.cb.data[top / 2 * strides[1]..],
            &mut picture.cr.data[top / 2 * strides[2]..],
        ],
        strides,
    }
}

/// Repeats the last column and row of luma where the size is odd.
fn pad(picture: &mut Picture) {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let Plane { data, stride } = &mut picture.y;
    if width % 2 == 1 {
        for row in data.chunks_exact_mut(*stride).take(height) {
            row[width] = row[width - 1];
        }
    }
    if height % 2 == 1 {
        data.copy_within((height - 1) * *stride..height * *stride, height * *stride);
    }
}

fn unsupported(text: impl Into<String>) -> Failure {
    Failure::new(FailCode::Unsupported, Stage::Convert, text)
}

#[cfg(test)]
mod tests;
