//! What a device's decoders cost: to make one, to flush one, to go on, and how many there may be at once.
//!
//! Owns the measurements that only a real device can answer. Never compares pictures and never chooses a backend.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::time::Instant;

use ffmpeg_next::Packet;
use rustix::time::{ClockId, clock_gettime};

use super::caps::Library;
use super::hwaccel::{DeviceContext, DeviceDecoder, DeviceFrame, Got};
use super::probe::Medium;
use super::trouble::Trouble;
use crate::model::device::Refusal;
use crate::model::job::Failure;
use crate::model::media::{Backend, Start};

/// Packets of the stream's beginning that are decoded again and again.
const PACKETS_MAX: usize = 60;
/// Repeats of each measurement; the smallest counts.
const ROUNDS: usize = 5;
/// Decoders that are held at once at most.
const DECODERS_MAX: usize = 64;

/// Wall time, and CPU time of the whole process, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    pub wall_us: u64,
    pub cpu_us: u64,
}

/// What the stream's first pictures cost on the device.
#[derive(Clone, Debug)]
pub struct Costs {
    /// Pictures of one round.
    pub frames: u32,
    /// A new decoder, the pictures, and a drain.
    pub new_decoder: Took,
    /// A flush, the pictures, and a drain.
    pub after_flush: Took,
    /// The pictures alone, between others like them; none where the stream's first packet is no clean start.
    pub chained: Option<Took>,
    /// One frame copied into memory and brought into the CPU's layout.
    pub transfer: Took,
    /// Decoders that were there at once, and why there was not one more.
    pub decoders: usize,
    pub decoders_end: String,
    /// Bytes of the device that each of them took; none where the driver does not tell.
    pub decoder_bytes: Option<u64>,
}

/// Measures with the beginning of an open stream.
///
/// # Errors
/// What the device refuses; `NoFrame` where the stream has no pictures.
pub fn measure(device: &DeviceContext, medium: &mut Medium) -> Result<Costs, Trouble> {
    let unread = |failure: Failure| Trouble::new(Refusal::NoFrame, failure.to_string());
    let mut packets = Vec::new();
    let mut is_clean = false;
    while packets.len() < PACKETS_MAX
        && let Some((packet, head)) = medium.reader.next().map_err(unread)?
    {
        is_clean |= packets.is_empty() && head.header.start == Start::Clean;
        packets.push(packet);
    }
    let open = || DeviceDecoder::open(&medium.recipe, device);
    let mut frames = 0;
    let new_decoder = least(|| {
        let mut decoder = open()?;
        frames = pass(&mut decoder, &mut packets, true)?.0;
        Ok(())
    })?;
    if frames == 0 {
        return Err(Trouble::new(Refusal::NoFrame, "the stream's first packets give no picture"));
    }
    let mut decoder = open()?;
    pass(&mut decoder, &mut packets, true)?;
    let after_flush = least(|| {
        decoder.reset();
        pass(&mut decoder, &mut packets, true).map(drop)
    })?;
    let chained = match is_clean {
        true => {
            decoder.reset();
            pass(&mut decoder, &mut packets, false)?;
            Some(least(|| pass(&mut decoder, &mut packets, false).map(drop))?)
        }
        false => None,
    };
    let mut transfer = Took { wall_us: u64::MAX, cpu_us: u64::MAX };
    for _ in 0..ROUNDS {
        decoder.reset();
        if let (_, Some(frame)) = pass(&mut decoder, &mut packets, true)? {
            transfer = transfer.min(timed(|| decoder.bring(frame).map(drop))?);
        }
    }
    drop(decoder);
    let (decoders, decoders_end, decoder_bytes) = at_once(device, &open, &mut packets);
    Ok(Costs { frames, new_decoder, after_flush, chained, transfer, decoders, decoders_end, decoder_bytes })
}

impl Took {
    fn min(self, other: Took) -> Took {
        Took { wall_us: self.wall_us.min(other.wall_us), cpu_us: self.cpu_us.min(other.cpu_us) }
    }
}

/// Times one piece of work.
pub fn timed(work: impl FnOnce() -> Result<(), Trouble>) -> Result<Took, Trouble> {
    let cpu = || {
        let at = clock_gettime(ClockId::ProcessCPUTime);
        u64::try_from(at.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(at.tv_nsec).unwrap_or(0) / 1_000
    };
    let (began, before) = (Instant::now(), cpu());
    work()?;
    let wall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(Took { wall_us, cpu_us: cpu().saturating_sub(before) })
}

/// The least of some rounds.
fn least(mut work: impl FnMut() -> Result<(), Trouble>) -> Result<Took, Trouble> {
    let mut least = timed(&mut work)?;
    for _ in 1..ROUNDS {
        least = least.min(timed(&mut work)?);
    }
    Ok(least)
}

/// Decodes the packets; how many frames came, and the last of them.
fn pass(
    decoder: &mut DeviceDecoder,
    packets: &mut [Packet],
    drained: bool,
) -> Result<(u32, Option<DeviceFrame>), Trouble> {
    let mut taken = (0, None);
    for (packet, number) in packets.iter_mut().zip(0..) {
        decoder.send(packet, number, true)?;
        take(decoder, &mut taken)?;
    }
    if drained {
        decoder.drain()?;
        take(decoder, &mut taken)?;
    }
    Ok(taken)
}

fn take(decoder: &mut DeviceDecoder, taken: &mut (u32, Option<DeviceFrame>)) -> Result<(), Trouble> {
    while let Got::Frame(frame) = decoder.receive()? {
        *taken = (taken.0 + 1, Some(frame));
    }
    Ok(())
}

/// Makes decoders until the device has no more, and lets them all go.
fn at_once(
    device: &DeviceContext,
    open: &dyn Fn() -> Result<DeviceDecoder, Trouble>,
    packets: &mut [Packet],
) -> (usize, String, Option<u64>) {
    let before = free_bytes(device);
    let mut held = Vec::new();
    let mut end = format!("no more than {DECODERS_MAX} were tried");
    while held.len() < DECODERS_MAX {
        // The device's own decoder comes to be with the first picture.
        let made = open().and_then(|mut decoder| {
            decoder.send(&mut packets[0], 0, true)?;
            Ok(decoder)
        });
        match made {
            Ok(decoder) => held.push(decoder),
            Err(trouble) => {
                end = format!("{}: {}", trouble.reason.name(), trouble.text);
                break;
            }
        }
    }
    let each = match (before, free_bytes(device), held.len() as u64) {
        (Some(before), Some(after), 1..) => Some(before.saturating_sub(after) / held.len() as u64),
        _ => None,
    };
    (held.len(), end, each)
}

/// Bytes of the device's memory that nobody uses.
fn free_bytes(device: &DeviceContext) -> Option<u64> {
    type Push = unsafe extern "C" fn(*mut c_void) -> c_int;
    type Pop = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
    type Info = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;
    if device.backend() != Backend::Cuda {
        return None;
    }
    let driver = Library::open(c"libcuda.so.1").ok()?;
    // SAFETY: the types are those of the driver's header; the context is current between push and pop.
    unsafe {
        let push: Push = driver.function(c"cuCtxPushCurrent_v2").ok()?;
        let pop: Pop = driver.function(c"cuCtxPopCurrent_v2").ok()?;
        let info: Info = driver.function(c"cuMemGetInfo_v2").ok()?;
        if push(device.handle()) != 0 {
            return None;
        }
        let (mut free, mut total, mut popped) = (0, 0, std::ptr::null_mut());
        let told = info(&mut free, &mut total) == 0;
        pop(&mut popped);
        told.then_some(free as u64)
    }
}
