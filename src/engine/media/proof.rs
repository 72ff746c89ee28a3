//! The built-in clips: a device is used for a kind of stream only after it decoded one of these to the bit.
//!
//! Owns the clips and what they show (made by `scripts/proof-clips`). Never decides what follows from a failure.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;

use super::decoder::Recipe;
use super::fingerprint::frame_md5;
use super::hwaccel::{DeviceContext, DeviceDecoder, Got};
use super::probe;
use super::trouble::Trouble;
use crate::model::device::{CodecClass, DeviceCodec, Refusal};
use crate::model::job::{Failure, Source};
use crate::model::limits::FRAME_PIXELS_MAX;

macro_rules! clips {
    ($($codec:ident $depth:literal $file:literal,)*) => {
        &[$((
            CodecClass { codec: DeviceCodec::$codec, depth: $depth },
            $file,
            include_bytes!(concat!("proof/", $file, ".mkv")),
        ),)*]
    };
}

/// A kind of stream, the name of its clip, the clip: Matroska, 16 frames of 256x144, at least two key frames.
const CLIPS: &[(CodecClass, &str, &[u8])] = clips![
    H264 8 "h264_8",
    Hevc 8 "hevc_8",
    Hevc 10 "hevc_10",
    Hevc 12 "hevc_12",
    Vp8 8 "vp8_8",
    Vp9 8 "vp9_8",
    Vp9 10 "vp9_10",
    Vp9 12 "vp9_12",
    Av1 8 "av1_8",
    Av1 10 "av1_10",
    Mpeg1 8 "mpeg1video_8",
    Mpeg2 8 "mpeg2video_8",
    Mpeg4 8 "mpeg4_8",
    Mjpeg 8 "mjpeg_8",
];

/// A line a clip: its name, then the MD5 of each frame in the order shown.
const FRAMES: &str = include_str!("proof/frames.md5");

/// The kinds of streams that can be proved.
pub fn classes() -> impl Iterator<Item = CodecClass> {
    CLIPS.iter().map(|(class, ..)| *class)
}

/// Decodes the clip of `class` on the device.
///
/// # Errors
/// `Unproven` when it does not show what it should, `Unsupported` without a clip, and what the device refuses.
pub fn prove(device: &DeviceContext, class: CodecClass) -> Result<(), Trouble> {
    let Some((_, name, _)) = CLIPS.iter().find(|(known, ..)| *known == class) else {
        return Err(Trouble::new(Refusal::Unsupported, format!("there is no built-in clip of {class}")));
    };
    let shown = show(class, &|recipe| DeviceDecoder::open(recipe, device)).map_err(|trouble| {
        match trouble.reason {
            // The clip is whole.
            Refusal::Damage => Trouble { reason: Refusal::Unproven, ..trouble },
            _ => trouble,
        }
    })?;
    let wanted: Vec<&str> = expected(name);
    if shown == wanted {
        return Ok(());
    }
    let same = shown.iter().zip(&wanted).filter(|(shown, wanted)| shown == wanted).count();
    let text = format!("of {} frames of the built-in clip of {class} {same} are right", wanted.len());
    Err(Trouble::new(Refusal::Unproven, text))
}

fn expected(name: &str) -> Vec<&'static str> {
    let line = FRAMES.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or("").split(' ').collect()
}

/// The clip of `class` as a file.
pub fn clip(class: CodecClass) -> Option<Source> {
    let (.., bytes) = CLIPS.iter().find(|(known, ..)| *known == class)?;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("proof", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(bytes).ok()?;
    Some(Source::Fd(OwnedFd::from(file)))
}

type Open<'a> = &'a dyn Fn(&Recipe) -> Result<DeviceDecoder, Trouble>;

/// The MD5 of every frame of the clip, in hexadecimal, in the order in which they come out.
fn show(class: CodecClass, open: Open<'_>) -> Result<Vec<String>, Trouble> {
    let unread = |failure: Failure| {
        let text = format!("the built-in clip of {class} cannot be read: {failure}");
        Trouble::new(Refusal::NoDevice, text)
    };
    let source =
        clip(class).ok_or_else(|| Trouble::new(Refusal::NoDevice, "no memory for the built-in clip"))?;
    let mut medium = probe::open(source, None, FRAME_PIXELS_MAX).map_err(unread)?;
    let mut decoder = open(&medium.recipe)?;
    let mut shown = Vec::new();
    for number in 0.. {
        let Some((mut packet, _)) = medium.reader.next().map_err(unread)? else { break };
        decoder.send(&mut packet, number, false)?;
        take(&mut decoder, &mut shown)?;
    }
    decoder.drain()?;
    take(&mut decoder, &mut shown)?;
    Ok(shown)
}

fn take(decoder: &mut DeviceDecoder, shown: &mut Vec<String>) -> Result<(), Trouble> {
    while let Got::Frame(frame) = decoder.receive()? {
        let frame = decoder.bring(frame)?;
        shown.push(frame_md5(&frame).iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            write!(text, "{byte:02x}").ok();
            text
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_software_decoders_show_what_is_written_down() {
        for (class, name, _) in CLIPS {
            let shown = show(*class, &|recipe| Ok(DeviceDecoder::software(recipe))).expect(name);
            assert_eq!(
                (shown.len(), shown),
                (16, expected(name).into_iter().map(str::to_owned).collect()),
                "{name}"
            );
        }
    }
}
