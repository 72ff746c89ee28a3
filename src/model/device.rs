//! Devices that decode: their names, what they can do, why they decline. *Pure.*
//!
//! Owns the vocabulary of hardware decoding that both houses share. Never talks to a device and never chooses one.

use super::media::Backend;

/// One device of this host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    pub backend: Backend,
    /// A CUDA ordinal (`0`), or a render node (`/dev/dri/renderD128`).
    pub name: String,
}

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.backend.name(), self.name)
    }
}

impl DeviceId {
    /// The inverse of `Display`: `cuda:0`, `vaapi:/dev/dri/renderD128`.
    pub fn parse(text: &str) -> Option<DeviceId> {
        let (backend, name) = text.split_once(':')?;
        let backend = [Backend::Cuda, Backend::Vaapi].into_iter().find(|b| b.name() == backend)?;
        (!name.is_empty()).then(|| DeviceId { backend, name: name.to_owned() })
    }
}

/// A kind of stream that devices tell apart; the chroma is 4:2:0 everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodecClass {
    pub codec: DeviceCodec,
    /// Bits a sample: 8, 10 or 12.
    pub depth: u8,
}

impl std::fmt::Display for CodecClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} bit", self.codec.name(), self.depth)
    }
}

/// Codecs that a device may decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceCodec {
    H264,
    Hevc,
    Vp8,
    Vp9,
    Av1,
    Mpeg1,
    Mpeg2,
    Mpeg4,
    Vc1,
    Mjpeg,
}

impl DeviceCodec {
    /// Every codec.
    pub const ALL: [DeviceCodec; 10] = [
        DeviceCodec::H264,
        DeviceCodec::Hevc,
        DeviceCodec::Vp8,
        DeviceCodec::Vp9,
        DeviceCodec::Av1,
        DeviceCodec::Mpeg1,
        DeviceCodec::Mpeg2,
        DeviceCodec::Mpeg4,
        DeviceCodec::Vc1,
        DeviceCodec::Mjpeg,
    ];

    /// FFmpeg's name of the codec, as in `MediaFacts.codec`.
    pub fn name(self) -> &'static str {
        match self {
            DeviceCodec::H264 => "h264",
            DeviceCodec::Hevc => "hevc",
            DeviceCodec::Vp8 => "vp8",
            DeviceCodec::Vp9 => "vp9",
            DeviceCodec::Av1 => "av1",
            DeviceCodec::Mpeg1 => "mpeg1video",
            DeviceCodec::Mpeg2 => "mpeg2video",
            DeviceCodec::Mpeg4 => "mpeg4",
            DeviceCodec::Vc1 => "vc1",
            DeviceCodec::Mjpeg => "mjpeg",
        }
    }

    /// The inverse of `name`.
    pub fn parse(text: &str) -> Option<DeviceCodec> {
        DeviceCodec::ALL.into_iter().find(|codec| codec.name() == text)
    }
}

/// What a device says of one kind of stream that it decodes: its limits, in luma samples and macroblocks of 256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    pub class: CodecClass,
    pub width_min: u32,
    pub height_min: u32,
    pub width_max: u32,
    pub height_max: u32,
    pub macroblocks_max: u32,
    /// `None` until the built-in clip was decoded; false when it came out otherwise than it should.
    pub proven: Option<bool>,
}

/// A device that could be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    /// The driver's name of it: `NVIDIA H100 80GB HBM3`.
    pub model: String,
    /// One entry a kind of stream that it decodes.
    pub rows: Vec<DeviceRow>,
}

/// How a stream is coded, as far as a device must know before it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coding {
    /// FFmpeg's codec name.
    pub codec: String,
    /// FFmpeg's number of the profile; -99 when unknown.
    pub profile: i32,
    /// Bits a sample; 0 when unknown.
    pub depth: u8,
    /// Log2 of how much smaller chroma is, across and down: (1, 1) is 4:2:0. None without chroma or when unknown.
    pub chroma: Option<(u8, u8)>,
    /// Coded size after the coded crop, luma samples.
    pub width: u32,
    pub height: u32,
}

/// Why a device did not make a picture; the CPU then does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It cannot be opened: no driver, no permission, no such device.
    NoDevice,
    /// It does not take this kind of stream or this size.
    Unsupported,
    /// Its built-in clip of this kind came out wrong.
    Unproven,
    /// The library went over to software by itself.
    Software,
    /// No memory or no session was left for a decoder.
    OutOfMemory,
    /// The decoder refused a packet.
    Send,
    /// The decoder failed while it gave frames.
    Receive,
    /// A frame could not be brought into memory.
    Transfer,
    /// The copy into memory failed without an error code.
    Copy,
    /// A target never came out.
    NoFrame,
    /// The stream is damaged: the CPU's word counts.
    Damage,
    /// The stream must be walked from its first packet.
    Linear,
    /// The device's code says that nothing on it works any more.
    Lost,
    /// Its process crashed.
    Crash,
    /// Its process hung.
    Hang,
    /// It stands aside after too many faults.
    Breaker,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 16] = [
        Refusal::NoDevice,
        Refusal::Unsupported,
        Refusal::Unproven,
        Refusal::Software,
        Refusal::OutOfMemory,
        Refusal::Send,
        Refusal::Receive,
        Refusal::Transfer,
        Refusal::Copy,
        Refusal::NoFrame,
        Refusal::Damage,
        Refusal::Linear,
        Refusal::Lost,
        Refusal::Crash,
        Refusal::Hang,
        Refusal::Breaker,
    ];

    /// The word in JSON and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::NoDevice => "no_device",
            Refusal::Unsupported => "unsupported",
            Refusal::Unproven => "unproven",
            Refusal::Software => "software",
            Refusal::OutOfMemory => "out_of_memory",
            Refusal::Send => "send",
            Refusal::Receive => "receive",
            Refusal::Transfer => "transfer",
            Refusal::Copy => "copy",
            Refusal::NoFrame => "no_frame",
            Refusal::Damage => "damage",
            Refusal::Linear => "linear",
            Refusal::Lost => "lost",
            Refusal::Crash => "crash",
            Refusal::Hang => "hang",
            Refusal::Breaker => "breaker",
        }
    }

    /// The inverse of `name`.
    pub fn parse(text: &str) -> Option<Refusal> {
        Refusal::ALL.into_iter().find(|refusal| refusal.name() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::parse(refusal.name()), Some(refusal));
        }
        for codec in DeviceCodec::ALL {
            assert_eq!(DeviceCodec::parse(codec.name()), Some(codec));
        }
        for text in ["cuda:0", "vaapi:/dev/dri/renderD128"] {
            assert_eq!(DeviceId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
        }
        for text in ["cpu:0", "cuda:", "cuda", ""] {
            assert_eq!(DeviceId::parse(text), None, "{text}");
        }
    }
}
