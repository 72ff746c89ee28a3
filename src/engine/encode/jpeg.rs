//! JPEG bytes out of a picture: baseline, 4:2:0, the planes as they are.
//!
//! Owns the encoder and its scratch. Never converts colour and never scales.

use turbojpeg::{Compressor, Subsamp, YuvPlanesImage};

use crate::engine::picture::{Picture, Plane};
use crate::model::job::{FailCode, Failure, Stage};
use crate::model::limits::JPEG_SIDE_MAX;

/// An encoder; keeps its scratch from one picture to the next. One a thread.
pub struct Jpeg {
    compressor: Compressor,
    scratch: Vec<u8>,
}

impl Jpeg {
    /// Fails with `Internal` when libjpeg-turbo gives no handle (out of memory).
    pub fn new() -> Result<Jpeg, Failure> {
        Ok(Jpeg { compressor: Compressor::new().map_err(refused)?, scratch: Vec::new() })
    }

    /// Encodes at `quality` (1 to 100). Fails with `TooLarge` above 65535 a side, with `Internal` when the
    /// planes are shorter than they say or the encoder refuses.
    pub fn encode(&mut self, picture: &Picture, quality: u8) -> Result<Vec<u8>, Failure> {
        check(picture)?;
        let (width, height) = (picture.width as usize, picture.height as usize);
        let planes = YuvPlanesImage {
            y_plane: &picture.y.data[..],
            u_plane: &picture.cb.data[..],
            v_plane: &picture.cr.data[..],
            width,
            height,
            y_stride: picture.y.stride,
            u_stride: picture.cb.stride,
            v_stride: picture.cr.stride,
            subsamp: Subsamp::Sub2x2,
        };
        self.compressor.set_quality(i32::from(quality.clamp(1, 100))).map_err(refused)?;
        let worst = turbojpeg::compressed_buf_len(width, height, Subsamp::Sub2x2).map_err(refused)?;
        if self.scratch.len() < worst {
            self.scratch.resize(worst, 0);
        }
        let n = self.compressor.compress_yuv_planes_to_slice(&planes, &mut self.scratch).map_err(refused)?;
        Ok(self.scratch[..n].to_vec())
    }
}

/// The wrapper panics on short planes: they are refused before.
fn check(picture: &Picture) -> Result<(), Failure> {
    let (width, height) = (picture.width, picture.height);
    if width > JPEG_SIDE_MAX || height > JPEG_SIDE_MAX {
        let text = format!("a picture of {width}x{height} is beyond what a JPEG can hold");
        return Err(Failure::new(FailCode::TooLarge, Stage::Encode, text));
    }
    let (w, h) = (width as usize, height as usize);
    let holds = |plane: &Plane, w: usize, h: usize| plane.stride >= w && plane.data.len() >= plane.stride * h;
    let whole = w > 0
        && h > 0
        && holds(&picture.y, w.next_multiple_of(2), h.next_multiple_of(2))
        && holds(&picture.cb, w.div_ceil(2), h.div_ceil(2))
        && holds(&picture.cr, w.div_ceil(2), h.div_ceil(2));
    if whole {
        return Ok(());
    }
    let text = format!("the planes of a picture of {width}x{height} are shorter than they say");
    Err(Failure::new(FailCode::Internal, Stage::Encode, text))
}

fn refused(e: turbojpeg::Error) -> Failure {
    Failure::new(FailCode::Internal, Stage::Encode, format!("jpeg encoder: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(width: u32, height: u32) -> Picture {
        let (w, h) = (width as usize, height as usize);
        let plane = |w: usize, h: usize, v: u8| Plane { data: vec![v; w * h], stride: w };
        Picture {
            width,
            height,
            y: plane(w.next_multiple_of(2), h.next_multiple_of(2), 90),
            cb: plane(w.div_ceil(2), h.div_ceil(2), 140),
            cr: plane(w.div_ceil(2), h.div_ceil(2), 120),
        }
    }

    #[test]
    fn planes_come_back_and_the_header_is_plain() {
        let mut jpeg = Jpeg::new().unwrap();
        for (w, h) in [(320, 180), (161, 121), (1, 1)] {
            let bytes = jpeg.encode(&flat(w, h), 90).unwrap();
            let header = turbojpeg::read_header(&bytes).unwrap();
            assert_eq!((header.width, header.height), (w as usize, h as usize));
            assert_eq!(header.subsamp, Subsamp::Sub2x2);
            assert!(!header.is_progressive);
            // JFIF 1.1, density 1:1 without a unit, nothing else before the tables.
            assert_eq!(&bytes[..20], b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
            let planes = turbojpeg::decompress_to_yuv(&bytes).unwrap();
            assert!(planes.pixels[0].abs_diff(90) <= 1);
        }
    }

    #[test]
    fn quality_decides_the_size_and_old_scratch_does_not_leak() {
        let mut jpeg = Jpeg::new().unwrap();
        let mut busy = flat(320, 180);
        for (i, v) in busy.y.data.iter_mut().enumerate() {
            *v = (i * 37 % 251) as u8;
        }
        let fine = jpeg.encode(&busy, 95).unwrap();
        let coarse = jpeg.encode(&busy, 30).unwrap();
        assert!(coarse.len() < fine.len() / 2);
        assert_eq!(Jpeg::new().unwrap().encode(&busy, 30).unwrap(), coarse);
    }

    #[test]
    fn short_planes_and_huge_sides_are_refused() {
        let mut jpeg = Jpeg::new().unwrap();
        let mut short = flat(161, 121);
        short.y.data.truncate(161 * 121);
        assert_eq!(jpeg.encode(&short, 90).map_err(|f| f.code), Err(FailCode::Internal));
        let mut wide = flat(16, 16);
        wide.width = 65_536;
        assert_eq!(jpeg.encode(&wide, 90).map_err(|f| f.code), Err(FailCode::TooLarge));
    }
}
