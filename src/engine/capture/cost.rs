//! The constants of the cost model: what a picture costs on the CPU, what a device's road costs. *Pure.*
//!
//! Owns the numbers and where they come from. Never decides anything.
//!
//! The CPU's are measured: 2026-11-25, AMD EPYC (family 26, two virtual cores), FFmpeg 5.1.9, one thread; the
//! stage `decode` of `stillframe bench --count 10` over pictures and payload sent, a low and a high bitrate of 1080p
//! each (H.264 also 4K). With two constants a codec the model met the H.264 clips, 1.3 to 2.7 ms a million samples,
//! within a seventh, except key frames alone, which cost up to a fifth more. On another CPU they are off by a factor that
//! is the same for all, which the rule's margins are for.
//!
//! The device's are **to be measured on a device**. Each is meant to be on the high side of what is known of such
//! devices, so that an error keeps work on the CPU.

use crate::model::device::{CodecClass, DeviceCodec};

/// CPU time of decoding on one thread, microseconds a million luma samples and a million bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuCost {
    pub mpixel_us: u64,
    pub mbyte_us: u64,
}

/// What decoding costs on the CPU.
pub fn on_cpu(class: CodecClass) -> CpuCost {
    use DeviceCodec::*;
    let (mpixel_us, mbyte_us) = match (class.codec, class.depth) {
        (H264, _) => (1_050, 95_000),
        (Hevc, 0..=8) => (1_500, 140_000),
        (Hevc, _) => (2_500, 100_000),
        (Vp8, _) => (400, 54_000),
        (Vp9, 0..=8) => (950, 85_000),
        (Vp9, _) => (1_500, 75_000),
        // dav1d 1.0.
        (Av1, 0..=8) => (1_550, 95_000),
        (Av1, _) => (1_400, 95_000),
        (Mpeg1, _) => (500, 8_500),
        (Mpeg2, _) => (400, 16_000),
        (Mpeg4, _) => (600, 5_000),
        // One bitrate only.
        (Mjpeg, _) => (500, 17_000),
        // Nothing here makes a clip of it: taken to be as cheap as the cheapest.
        (Vc1, _) => (400, 5_000),
    };
    CpuCost { mpixel_us, mbyte_us }
}

/// Start of the helper, of the driver in it, of a context and the first decoder. To be measured. The driver maps its
/// memory in the kernel, on the host's CPU. A helper lives on, so most batches pay none of it; the model lets each pay,
/// since the walk cannot know, and a batch that is right to go even so is never wrong to go.
pub const START_CPU_US: u64 = 400_000;
pub const START_WALL_US: u64 = 600_000;

/// Another decoder of the device, after a flush in H.264. To be measured. It allots surfaces on the device; taken to be
/// as dear as 25 pictures of 1080p on the CPU, so that H.264 that must be flushed before each short run stays here.
pub const DECODER_CPU_US: u64 = 50_000;
pub const DECODER_WALL_US: u64 = 100_000;

/// The host's CPU time of one picture: FFmpeg reads the headers and hands the slices to the driver. To be measured.
/// Taken to be a twentieth of what an H.264 picture of 1080p costs on the CPU, for any size: small pictures stay here.
pub const PICTURE_CPU_US: u64 = 200;

/// A million luma samples through the device's decoder. To be measured. 1080p at 700 pictures a second, as if the
/// device were a small one or others used it too.
pub const DECODE_WALL_MPIXEL_US: u64 = 700;

/// A million luma samples with their chroma from the device into memory. To be measured. 1.5 MB at 1.5 GB/s, a tenth of
/// what the bus gives, all of it with a CPU waiting in the driver.
pub const TRANSFER_CPU_MPIXEL_US: u64 = 1_000;
pub const TRANSFER_WALL_MPIXEL_US: u64 = 1_000;
