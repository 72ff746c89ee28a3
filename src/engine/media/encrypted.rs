//! Video that nobody can see without a key: found by what the container says, refused by name.
//!
//! Owns that refusal. Never looks for a key and never decrypts.

#![allow(unsafe_code)]

use ffmpeg_next::codec::packet::side_data::Type as SideData;
use ffmpeg_next::{Packet, Stream};

use crate::model::job::{FailCode, Failure, Stage};

/// Sample entries of MP4 that stand for encrypted video: common encryption, and FairPlay.
const ENTRIES: [&[u8; 4]; 2] = [b"encv", b"drmi"];
/// Where FFmpeg puts the key's id of a Matroska track.
const MATROSKA_KEY: &str = "enc_key_id";

/// Refuses a stream that is encrypted from its beginning.
///
/// # Errors
/// `Unsupported` at stage `Probe`.
pub fn refuse_stream(stream: &Stream<'_>) -> Result<(), Failure> {
    // SAFETY: a stream has its parameters as long as it lives.
    let tag = unsafe { (*stream.parameters().as_ptr()).codec_tag };
    let by_entry = ENTRIES.iter().any(|entry| u32::from_le_bytes(**entry) == tag);
    if by_entry || stream.metadata().get(MATROSKA_KEY).is_some() {
        return Err(refusal(Stage::Probe));
    }
    Ok(())
}

/// Refuses a packet that FFmpeg has no key for.
///
/// # Errors
/// `Unsupported` at `stage`.
pub fn refuse_packet(packet: &Packet, stage: Stage) -> Result<(), Failure> {
    if packet.side_data().any(|side| side.kind() == SideData::EncryptionInfo) {
        return Err(refusal(stage));
    }
    Ok(())
}

fn refusal(stage: Stage) -> Failure {
    Failure::new(FailCode::Unsupported, stage, "the video stream is encrypted, and there is no key for it")
}
