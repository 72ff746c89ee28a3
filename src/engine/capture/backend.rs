//! CPU or device: which of the two decodes what is planned, and why. *Pure.*
//!
//! Owns the limits of what a device may be asked, the cost model and its constants. Never opens a device and never
//! knows which one it will be: an offer is a list of rows.
//!
//! The rule: a device is chosen when it spares the host **at least half of the CPU time** that decoding here would
//! take, and needs **at most three quarters of the wall time**; both with the start of the helper counted to each
//! batch, though it lives on, so that a small job never pays for a start. The margins stand for what a model does not
//! know: how fast this CPU is, who else uses the device. While a walk may still come to it, its runs wait; they do not
//! once even four times what is to be expected of it would not do.

use super::closure::Sent;
use super::cost::{self, CpuCost};
use super::rule;
use super::steps::SeekRun;
use crate::model::device::{CodecClass, Coding, DeviceCodec, DeviceRow};
use crate::model::limits::POOL_PAYLOAD_BYTES_MAX;
use crate::model::media::Start;

/// How much more than those so far the wants that are left may cost before the waiting was wrong.
const HOPE: u64 = 4;

/// Where to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Cpu(Why),
    Device,
    /// What is planned so far is not worth a device; more of it may be.
    Undecided,
}

/// Why the CPU decodes, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// None stands ready.
    NoDevice,
    /// The stream must be walked from its first packet.
    Linear,
    /// No device decodes this codec.
    Codec,
    /// Nothing tells how many bits a sample has, or the profile is none that devices know.
    Profile,
    /// No device decodes this codec at this depth.
    Depth,
    /// Chroma is not 4:2:0, or is not told.
    Chroma,
    /// An odd side: the last line of chroma would not be copied.
    OddSize,
    TooSmall,
    TooLarge,
    TooManyMacroblocks,
    /// The device's built-in clip of this kind came out wrong.
    Unproven,
    /// The device would not spare the host half of its CPU time.
    TooLittleWork,
    /// The device would spare CPU time, but not be ready sooner than the decoding threads.
    NotFaster,
}

impl Why {
    /// Every reason.
    pub const ALL: [Why; 13] = [
        Why::NoDevice,
        Why::Linear,
        Why::Codec,
        Why::Profile,
        Why::Depth,
        Why::Chroma,
        Why::OddSize,
        Why::TooSmall,
        Why::TooLarge,
        Why::TooManyMacroblocks,
        Why::Unproven,
        Why::TooLittleWork,
        Why::NotFaster,
    ];

    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Why::NoDevice => "no_device",
            Why::Linear => "linear",
            Why::Codec => "unsupported_codec",
            Why::Profile => "unsupported_profile",
            Why::Depth => "unsupported_depth",
            Why::Chroma => "unsupported_chroma",
            Why::OddSize => "odd_size",
            Why::TooSmall => "too_small",
            Why::TooLarge => "too_large",
            Why::TooManyMacroblocks => "too_many_macroblocks",
            Why::Unproven => "unproven",
            Why::TooLittleWork => "too_little_work",
            Why::NotFaster => "not_faster",
        }
    }
}

/// The row that takes a stream coded like this.
///
/// # Errors
/// Why none does; of several devices, the reason of the one that comes nearest.
pub fn admit<'o>(coding: &Coding, offer: &'o [DeviceRow]) -> Result<&'o DeviceRow, Why> {
    if offer.is_empty() {
        return Err(Why::NoDevice);
    }
    let codec =
        DeviceCodec::parse(&coding.codec).filter(|codec| offer.iter().any(|r| r.class.codec == *codec));
    let codec = codec.ok_or(Why::Codec)?;
    if !is_profile_known(codec, coding.profile) || coding.depth == 0 {
        return Err(Why::Profile);
    }
    let class = CodecClass { codec, depth: coding.depth };
    let rows: Vec<&DeviceRow> = offer.iter().filter(|row| row.class == class).collect();
    if rows.is_empty() {
        return Err(Why::Depth);
    }
    if coding.chroma != Some((1, 1)) {
        return Err(Why::Chroma);
    }
    if coding.width % 2 + coding.height % 2 > 0 {
        return Err(Why::OddSize);
    }
    let mut nearest = Why::TooSmall;
    for row in rows {
        match fits(coding, row) {
            None => return Ok(row),
            Some(why) => nearest = nearest.max(why),
        }
    }
    Err(nearest)
}

/// Why the row's limits do not take this stream; none when they do.
fn fits(coding: &Coding, row: &DeviceRow) -> Option<Why> {
    let Coding { width, height, .. } = *coding;
    let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
    if width == 0 || height == 0 || width < row.width_min || height < row.height_min {
        Some(Why::TooSmall)
    } else if width > row.width_max || height > row.height_max {
        Some(Why::TooLarge)
    } else if macroblocks > u64::from(row.macroblocks_max) {
        Some(Why::TooManyMacroblocks)
    } else {
        (row.proven == Some(false)).then_some(Why::Unproven)
    }
}

/// Is it a profile (FFmpeg's number) that devices know? Where a codec has one kind of picture only, or the depth and
/// the chroma say all, none need be told.
fn is_profile_known(codec: DeviceCodec, profile: i32) -> bool {
    match codec {
        // Baseline, constrained baseline, main, high.
        DeviceCodec::H264 => matches!(profile, 66 | 578 | 77 | 100),
        // Main, main 10, still picture; range extensions for 12 bits.
        DeviceCodec::Hevc => (1..=4).contains(&profile),
        // Those with 4:2:0.
        DeviceCodec::Vp9 => matches!(profile, 0 | 2),
        DeviceCodec::Av1 => profile == 0,
        // Simple, advanced simple.
        DeviceCodec::Mpeg4 => matches!(profile, 0 | 15),
        // Simple, main, advanced.
        DeviceCodec::Vc1 => matches!(profile, 0 | 1 | 3),
        // Baseline.
        DeviceCodec::Mjpeg => profile == 0xc0,
        DeviceCodec::Vp8 | DeviceCodec::Mpeg1 | DeviceCodec::Mpeg2 => true,
    }
}

/// What is to be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub runs: u64,
    /// Runs in front of which a decoder must be flushed: they begin at no IDR or key frame.
    pub flushes: u64,
    /// Frames that are brought into memory.
    pub targets: u64,
    /// Coded pictures that the CPU decodes (the reference closure), and their payload.
    pub cpu_pictures: u64,
    pub cpu_bytes: u64,
    /// Coded pictures that a device decodes: it is given what the codec's own rule asks for.
    pub device_pictures: u64,
}

impl Work {
    /// Of one run.
    pub fn of_run(run: &SeekRun) -> Work {
        let targets: Vec<usize> = run.targets.iter().map(|t| (t.seq - run.first) as usize).collect();
        let by_rule = rule::may_be_needed(&run.heads, &targets);
        let mut work = Work {
            runs: 1,
            flushes: u64::from(run.start != Start::Clean),
            targets: targets.len() as u64,
            ..Work::default()
        };
        for ((head, sent), needed) in run.heads.iter().zip(&run.sent).zip(by_rule) {
            work.cpu_pictures += sent.pictures(head) as u64;
            work.cpu_bytes += bytes(sent, head.size);
            work.device_pictures += if needed { head.pictures() as u64 } else { 0 };
        }
        // What the closure sends, a device is given in any case.
        work.device_pictures = work.device_pictures.max(work.cpu_pictures);
        work
    }

    /// Both.
    pub fn plus(self, other: Work) -> Work {
        Work {
            runs: self.runs + other.runs,
            flushes: self.flushes + other.flushes,
            targets: self.targets + other.targets,
            cpu_pictures: self.cpu_pictures + other.cpu_pictures,
            cpu_bytes: self.cpu_bytes + other.cpu_bytes,
            device_pictures: self.device_pictures + other.device_pictures,
        }
    }

    /// `k` times as much of the same.
    pub fn times(self, k: u64) -> Work {
        Work {
            runs: self.runs.saturating_mul(k),
            flushes: self.flushes.saturating_mul(k),
            targets: self.targets.saturating_mul(k),
            cpu_pictures: self.cpu_pictures.saturating_mul(k),
            cpu_bytes: self.cpu_bytes.saturating_mul(k),
            device_pictures: self.device_pictures.saturating_mul(k),
        }
    }
}

fn bytes(sent: &Sent, size: u32) -> u64 {
    match sent {
        Sent::No => 0,
        Sent::Whole => u64::from(size),
        Sent::Parts { bytes, .. } => bytes.iter().map(|(from, to)| u64::from(to.saturating_sub(*from))).sum(),
    }
}

/// Collects the runs of a walk until it can be told where they are decoded.
#[derive(Clone, Debug)]
pub struct Scales {
    class: CodecClass,
    pixels: u64,
    /// Runs that the CPU decodes at a time.
    lanes: u32,
    /// Instants that are asked for, and those that the runs so far serve.
    wants: u64,
    served: u64,
    work: Work,
    /// Payload of the runs that wait.
    held: usize,
}

impl Scales {
    /// For `wants` instants of a stream coded like this, of which the CPU would decode `lanes` runs at a time.
    ///
    /// # Errors
    /// Why no device on offer takes it.
    pub fn new(coding: &Coding, offer: &[DeviceRow], lanes: u32, wants: usize) -> Result<Scales, Why> {
        let row = admit(coding, offer)?;
        let wants = wants as u64;
        let (class, pixels) = (row.class, pixels(coding));
        Ok(Scales { class, pixels, lanes, wants, served: 0, work: Work::default(), held: 0 })
    }

    /// One more run. When the runs that wait would hold too much, what is there decides; and where what is there does
    /// not promise enough, none wait longer: decoding may begin.
    pub fn add(&mut self, run: &SeekRun) -> Verdict {
        let payload: usize = run.heads.iter().map(|head| head.size as usize).sum();
        let served: usize = run.targets.iter().map(|target| target.wants.len()).sum();
        self.add_work(Work::of_run(run), served as u64, payload)
    }

    /// As `add`, for work that serves so many wants, whose packets have `payload` bytes.
    pub fn add_work(&mut self, work: Work, served: u64, payload: usize) -> Verdict {
        self.work = self.work.plus(work);
        self.served += served;
        self.held = self.held.saturating_add(payload);
        match self.estimate().against {
            None => Verdict::Device,
            Some(why) if self.held > POOL_PAYLOAD_BYTES_MAX => Verdict::Cpu(why),
            Some(_) => self.hopeless().map_or(Verdict::Undecided, Verdict::Cpu),
        }
    }

    /// What would speak against a device even if the wants that are left cost several times what those so far did.
    fn hopeless(&self) -> Option<Why> {
        let share = self.wants.div_ceil(self.served.max(1)).max(1);
        self.estimate_of(self.work.times(share.saturating_mul(HOPE))).against
    }

    /// Nothing more comes.
    pub fn last(&self) -> Verdict {
        self.estimate().against.map_or(Verdict::Device, Verdict::Cpu)
    }

    /// What the runs so far would cost.
    pub fn estimate(&self) -> Estimate {
        self.estimate_of(self.work)
    }

    fn estimate_of(&self, work: Work) -> Estimate {
        Estimate::of(self.class, self.pixels, self.lanes, work)
    }
}

/// Where a whole plan would be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Never undecided.
    pub verdict: Verdict,
    /// What all of its runs cost; none for a codec that no device has, and for a walk that is not planned to its end.
    pub estimate: Option<Estimate>,
}

impl Choice {
    /// What a walk for `wants` instants would come to that finds these runs, and whether it then turned `linear`.
    pub fn of_plan(
        coding: &Coding,
        offer: &[DeviceRow],
        (lanes, wants): (u32, usize),
        runs: &[SeekRun],
        linear: bool,
    ) -> Choice {
        let verdict = Scales::new(coding, offer, lanes, wants).map_or_else(Verdict::Cpu, |mut scales| {
            let on_the_way = runs.iter().map(|run| scales.add(run)).find(|v| *v != Verdict::Undecided);
            on_the_way.unwrap_or_else(|| if linear { Verdict::Cpu(Why::Linear) } else { scales.last() })
        });
        let codec = DeviceCodec::parse(&coding.codec).filter(|_| !linear);
        let estimate = codec.map(|codec| {
            let class = CodecClass { codec, depth: coding.depth };
            let work = runs.iter().map(Work::of_run).fold(Work::default(), Work::plus);
            Estimate::of(class, pixels(coding), lanes, work)
        });
        Choice { verdict, estimate }
    }
}

fn pixels(coding: &Coding) -> u64 {
    u64::from(coding.width) * u64::from(coding.height)
}

/// What decoding costs on the CPU and on a device, microseconds. Reading, planning, scaling and encoding are the same
/// for both and not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub cpu_us: u64,
    pub cpu_wall_us: u64,
    /// Host CPU time that the device's road costs.
    pub device_cpu_us: u64,
    pub device_wall_us: u64,
    /// What speaks against a device; nothing when it is a clear gain.
    pub against: Option<Why>,
}

impl Estimate {
    /// Of `work` on pictures of `pixels` luma samples, where the CPU decodes `lanes` runs at a time.
    pub fn of(class: CodecClass, pixels: u64, lanes: u32, work: Work) -> Estimate {
        // In millionths of a microsecond: what is more on one side must never be lost to rounding.
        let CpuCost { mpixel_us, mbyte_us } = cost::on_cpu(class);
        let plain = |count: u64, us: u64| u128::from(count) * u128::from(us) * 1_000_000;
        let area = |pictures: u64, mpixel_us: u64| u128::from(pictures) * u128::from(pixels * mpixel_us);
        let cpu = area(work.cpu_pictures, mpixel_us) + u128::from(work.cpu_bytes) * u128::from(mbyte_us);
        // FFmpeg makes a new H.264 decoder on the device after each flush; the others keep theirs.
        let decoders = if class.codec == DeviceCodec::H264 { work.flushes } else { 0 };
        let submitted = plain(work.device_pictures, cost::PICTURE_CPU_US);
        let device_cpu = plain(1, cost::START_CPU_US)
            + plain(decoders, cost::DECODER_CPU_US)
            + submitted
            + area(work.targets, cost::TRANSFER_CPU_MPIXEL_US);
        let device_wall = plain(1, cost::START_WALL_US)
            + plain(decoders, cost::DECODER_WALL_US)
            + submitted.max(area(work.device_pictures, cost::DECODE_WALL_MPIXEL_US))
            + area(work.targets, cost::TRANSFER_WALL_MPIXEL_US);
        let lanes = u128::from(lanes.max(1));
        let against = if device_cpu * 2 > cpu {
            Some(Why::TooLittleWork)
        } else if device_wall * 4 * lanes > cpu * 3 {
            Some(Why::NotFaster)
        } else {
            None
        };
        let us = |millionths: u128| u64::try_from(millionths / 1_000_000).unwrap_or(u64::MAX);
        Estimate {
            cpu_us: us(cpu),
            cpu_wall_us: us(cpu / lanes),
            device_cpu_us: us(device_cpu),
            device_wall_us: us(device_wall),
            against,
        }
    }
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
