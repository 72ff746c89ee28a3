//! What the container says about how a stream is to be shown.
//!
//! Owns the reading of aspect ratio, display matrix, colour tags and light levels from FFmpeg's structures,
//! a stream's and a frame's. Never decides which of the two wins (`convert`).

#![allow(unsafe_code)]

use ffmpeg_next::codec::packet::side_data::{SideData, Type as PacketSide};
use ffmpeg_next::{ffi, format};

use super::colour::Tags;
use super::geometry::{self, Orientation};
use crate::model::media::Hdr;

/// The stream's own word on how it is shown; plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamLook {
    pub tags: Tags,
    /// Sample aspect ratio, 1:1 when there is none that can be believed.
    pub sar: (u32, u32),
    pub orientation: Orientation,
    /// True when there is a display matrix that is no quarter turn: it is ignored.
    pub matrix_ignored: bool,
    /// Pixels as coded, after the coded crop, before aspect ratio and turn.
    pub coded_width: u32,
    pub coded_height: u32,
    /// A still-picture codec: its untagged grey is full range.
    pub image_codec: bool,
    pub light: Light,
    /// A Dolby Vision stream whose base layer is no picture to be shown (profile 5): not supported.
    pub dolby_only: bool,
}

/// Light levels in cd/m2, 0 when nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Light {
    pub max_cll: f64,
    pub mastering_max: f64,
}

impl StreamLook {
    /// A stream of square pixels about which nothing is said.
    pub fn untagged(coded_width: u32, coded_height: u32) -> StreamLook {
        StreamLook {
            tags: Tags::NONE,
            sar: (1, 1),
            orientation: Orientation::default(),
            matrix_ignored: false,
            coded_width,
            coded_height,
            image_codec: false,
            light: Light::default(),
            dolby_only: false,
        }
    }

    /// Reads the look of a stream of an open input.
    pub fn of_stream(input: &format::context::Input, stream: &format::stream::Stream) -> StreamLook {
        // SAFETY: both are alive for the call; the function only reads, and takes no frame.
        let sar = unsafe {
            ffi::av_guess_sample_aspect_ratio(
                input.as_ptr().cast_mut(),
                stream.as_ptr().cast_mut(),
                std::ptr::null_mut(),
            )
        };
        // SAFETY: a stream has its codec parameters for as long as it lives. Enumerations are read as
        // plain numbers, because a newer library may hold values that the bindings do not know.
        let (tags, codec, width, height) = unsafe {
            let par = (*stream.as_ptr()).codecpar;
            let tags = Tags {
                range: number(&raw const (*par).color_range),
                matrix: number(&raw const (*par).color_space),
                transfer: number(&raw const (*par).color_trc),
                primaries: number(&raw const (*par).color_primaries),
                chroma_location: number(&raw const (*par).chroma_location),
            };
            (tags, number(&raw const (*par).codec_id), (*par).width, (*par).height)
        };
        let mut look = StreamLook::untagged(width.max(0).unsigned_abs(), height.max(0).unsigned_abs());
        look.tags = tags;
        look.sar = geometry::sane_sar(i64::from(sar.num), i64::from(sar.den));
        look.image_codec = IMAGE_CODECS.iter().any(|c| *c as i32 == codec);
        if tags.chroma_location == 0 && CENTRED_CODECS.iter().any(|c| *c as i32 == codec) {
            look.tags.chroma_location = 2;
        }
        for side in side_data(stream) {
            look.add_side_data(side.kind(), side.data());
        }
        look
    }

    fn add_side_data(&mut self, kind: PacketSide, data: &[u8]) {
        match kind {
            PacketSide::DisplayMatrix => match display_matrix(data) {
                Some(orientation) => self.orientation = orientation,
                None => self.matrix_ignored = true,
            },
            PacketSide::MasteringDisplayMetadata => self.light.mastering_max = mastering_max(data),
            PacketSide::ContentLightLevel => self.light.max_cll = max_cll(data),
            // Bytes: version (2), profile, level, three flags, compatibility of the base layer.
            PacketSide::DOVI_CONF => self.dolby_only = data.get(7) == Some(&0),
            _ => {}
        }
    }

    /// The clockwise turn as shown, degrees: 0, 90, 180 or 270.
    pub fn rotation(&self) -> u32 {
        self.orientation.degrees()
    }

    /// The size as shown of a frame of `width` x `height` coded pixels (aspect ratio, then turn).
    pub fn display_size(&self, width: u32, height: u32) -> (u32, u32) {
        self.orientation.turn(geometry::square_pixels((width, height), self.sar))
    }

    /// The transfer that the container tells of; a frame may know better.
    pub fn hdr(&self) -> Hdr {
        self.tags.hdr()
    }
}

/// What the container says beside the stream.
#[cfg(not(coded_side_data))]
fn side_data<'a>(stream: &'a format::stream::Stream<'_>) -> impl Iterator<Item = SideData<'a>> {
    stream.side_data()
}

/// What the container says beside the stream. The stream's own list is filled from this one only when FFmpeg looks
/// into the packets, if it is there at all.
#[cfg(coded_side_data)]
fn side_data<'a>(stream: &'a format::stream::Stream<'_>) -> impl Iterator<Item = SideData<'a>> {
    // SAFETY: a stream has its parameters for as long as it lives, and they have as many entries as they say.
    let parameters = unsafe { &*(*stream.as_ptr()).codecpar };
    let entries = usize::try_from(parameters.nb_coded_side_data).unwrap_or(0);
    // SAFETY: as above; each entry is only read.
    (0..entries).map(|n| unsafe { SideData::wrap(parameters.coded_side_data.add(n)) })
}

/// Codecs of still pictures.
const IMAGE_CODECS: [ffi::AVCodecID; 20] = {
    use ffi::AVCodecID::*;
    [
        AV_CODEC_ID_PNG,
        AV_CODEC_ID_APNG,
        AV_CODEC_ID_QTRLE,
        AV_CODEC_ID_GIF,
        AV_CODEC_ID_BMP,
        AV_CODEC_ID_TIFF,
        AV_CODEC_ID_TARGA,
        AV_CODEC_ID_PPM,
        AV_CODEC_ID_PGM,
        AV_CODEC_ID_PAM,
        AV_CODEC_ID_PCX,
        AV_CODEC_ID_SGI,
        AV_CODEC_ID_SUNRAST,
        AV_CODEC_ID_DPX,
        AV_CODEC_ID_WEBP,
        AV_CODEC_ID_JPEG2000,
        AV_CODEC_ID_JPEGLS,
        AV_CODEC_ID_LJPEG,
        AV_CODEC_ID_MJPEG,
        AV_CODEC_ID_XWD,
    ]
};

/// Codecs whose chroma sits in the centre of its block when nothing is said.
const CENTRED_CODECS: [ffi::AVCodecID; 3] = [
    ffi::AVCodecID::AV_CODEC_ID_MJPEG,
    ffi::AVCodecID::AV_CODEC_ID_MPEG1VIDEO,
    ffi::AVCodecID::AV_CODEC_ID_LJPEG,
];

/// Reads a C enumeration as its number.
///
/// # Safety
/// `place` points to a live 32-bit enumeration.
unsafe fn number<T>(place: *const T) -> i32 {
    const { assert!(size_of::<T>() == 4) }
    // SAFETY: the caller vouches for the place, the assertion for the size.
    unsafe { place.cast::<i32>().read() }
}

/// What a frame says of its own colours.
pub(super) fn frame_tags(frame: &ffmpeg_next::frame::Video) -> Tags {
    // SAFETY: the frame is alive; as in `of_stream`, enumerations are read as numbers.
    unsafe {
        let frame = frame.as_ptr();
        Tags {
            range: number(&raw const (*frame).color_range),
            matrix: number(&raw const (*frame).colorspace),
            transfer: number(&raw const (*frame).color_trc),
            primaries: number(&raw const (*frame).color_primaries),
            chroma_location: number(&raw const (*frame).chroma_location),
        }
    }
}

/// Side data of a display matrix: nine native 32-bit numbers.
pub(super) fn display_matrix(data: &[u8]) -> Option<Orientation> {
    let mut m = [0; 9];
    for (i, slot) in m.iter_mut().enumerate() {
        *slot = int(data, i * 4)?;
    }
    Orientation::of_matrix(&m)
}

/// `AVMasteringDisplayMetadata`: the maximum lies behind eight rationals and the minimum, two flags follow.
pub(super) fn mastering_max(data: &[u8]) -> f64 {
    let told = int(data, 84).is_some_and(|has| has != 0);
    match (told, int(data, 72), int(data, 76)) {
        (true, Some(num), Some(den)) if num > 0 && den > 0 => f64::from(num) / f64::from(den),
        _ => 0.0,
    }
}

/// `AVContentLightMetadata`: MaxCLL comes first.
pub(super) fn max_cll(data: &[u8]) -> f64 {
    int(data, 0).map_or(0.0, |v| f64::from(v.max(0)))
}

fn int(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(values: &[i32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_ne_bytes()).collect()
    }

    #[test]
    fn side_data_is_read_with_bounds() {
        let one = 1 << 16;
        assert_eq!(
            display_matrix(&ints(&[0, one, 0, -one, 0, 0, 0, 0, 1 << 30])).map(Orientation::degrees),
            Some(90)
        );
        assert_eq!(display_matrix(&[0; 35]), None);
        let mut mastering = [0; 22];
        (mastering[18], mastering[19], mastering[21]) = (4_000 * 10_000, 10_000, 1);
        assert_eq!(mastering_max(&ints(&mastering)), 4_000.0);
        mastering[21] = 0;
        assert_eq!(mastering_max(&ints(&mastering)), 0.0);
        assert_eq!(max_cll(&ints(&[1_200, 300])), 1_200.0);
        assert_eq!(max_cll(&[1]), 0.0);
    }

    #[test]
    fn display_size_is_ratio_then_turn() {
        let mut look = StreamLook::untagged(720, 576);
        look.sar = (64, 45);
        assert_eq!(look.display_size(720, 576), (1024, 576));
        let one = 1 << 16;
        look.add_side_data(PacketSide::DisplayMatrix, &ints(&[0, -one, 0, one, 0, 0, 0, 0, 1 << 30]));
        assert_eq!((look.rotation(), look.display_size(720, 576)), (270, (576, 1024)));
    }

    #[test]
    fn dolby_vision_without_a_base_layer_is_told() {
        let mut look = StreamLook::untagged(64, 64);
        look.add_side_data(PacketSide::DOVI_CONF, &[1, 0, 8, 4, 1, 0, 1, 4]);
        assert!(!look.dolby_only);
        look.add_side_data(PacketSide::DOVI_CONF, &[1, 0, 5, 4, 1, 0, 1, 0]);
        assert!(look.dolby_only);
    }
}
