//! Work: the batch that crosses the bridge, how it ends, what it cost. *Pure.*
//!
//! Owns the one unit of work (`VideoBatch`) and the vocabulary of failure.
//! Never knows how a batch is found, stored or run.

use std::os::fd::OwnedFd;

use super::coded::Unfit;
use super::device::{DeviceRow, Refusal};
use super::media::Backend;
use super::spec::SnapshotSpec;

/// All that one walk over one video is to deliver. What is missing after a walk is again a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoBatch {
    pub jobs: Vec<BatchJob>,
    /// Stream override; none is the rule of the default stream.
    pub stream: Option<u32>,
    /// Largest frame that is decoded, pixels.
    pub frame_pixels_max: u64,
    /// What the devices take that stand ready beside the CPU; a walk on the CPU may end as `DeviceWanted` when there
    /// are any. A walk on a device takes no notice of it.
    pub offer: Vec<DeviceRow>,
}

/// One job's share of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchJob {
    pub spec: SnapshotSpec,
    /// Asked indices whose own picture is already delivered.
    pub pictures_done: Vec<u32>,
    /// Sheets (from 0) that are already delivered.
    pub sheets_done: Vec<u32>,
    /// Asked indices that ended as failed and are not to be tried again.
    pub points_failed: Vec<u32>,
}

/// How a video is opened.
#[derive(Debug)]
pub enum Source {
    /// A regular file, read with positional reads only.
    Fd(OwnedFd),
}

/// What a batch may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Decoding threads, at least 1.
    pub threads: u32,
    /// Bytes of pictures and sheets in the making.
    pub bytes: u64,
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every point was decided.
    Done,
    /// Asked to stop; the runs in hand were finished.
    Stopped,
    /// A device gave up; the remainder is for the CPU.
    Refused { reason: Refusal, text: String },
    /// Of what is missing so much is to be decoded that one of the devices on offer pays.
    DeviceWanted,
    /// The whole batch cannot be done.
    Failed(Failure),
    /// As the parent sees it: the process is gone.
    Died { cause: Death },
}

/// Why a child is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    Crash,
    Timeout,
    OutOfMemory,
    /// The zygote is gone and took its children along; nobody pays.
    Zygote,
    /// Killed on our side (cancelled, shut down); nobody pays.
    Killed,
}

impl Death {
    /// The word in metric labels and reasons.
    pub fn name(self) -> &'static str {
        match self {
            Death::Crash => "crash",
            Death::Timeout => "timeout",
            Death::OutOfMemory => "oom",
            Death::Zygote => "zygote",
            Death::Killed => "killed",
        }
    }
}

/// Where something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Open,
    Probe,
    Plan,
    Decode,
    Convert,
    Encode,
    Publish,
}

impl Stage {
    /// Every stage, in the order of the road.
    pub const ALL: [Stage; 7] = [
        Stage::Open,
        Stage::Probe,
        Stage::Plan,
        Stage::Decode,
        Stage::Convert,
        Stage::Encode,
        Stage::Publish,
    ];

    /// The word in messages and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Open => "open",
            Stage::Probe => "probe",
            Stage::Plan => "plan",
            Stage::Decode => "decode",
            Stage::Convert => "convert",
            Stage::Encode => "encode",
            Stage::Publish => "publish",
        }
    }
}

/// Why a batch or a point cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailCode {
    /// The file is not there.
    NotFound,
    /// Not a regular file, or outside the media roots.
    NotAFile,
    /// No bytes.
    Empty,
    /// Not a container that we read.
    NotMedia,
    /// The container is cut: what describes it is missing.
    Incomplete,
    /// No video stream.
    NoVideo,
    /// No decoder for this codec, or a kind of it that we do not support.
    Unsupported,
    /// Beyond a limit.
    TooLarge,
    /// The bytes do not decode.
    Corrupt,
    /// Every point lies at or past the end.
    PastEnd,
    /// The video was replaced while it was read.
    Replaced,
    /// A read failed.
    Io,
    /// The process that decoded it died.
    Crashed,
    /// A deadline passed.
    Timeout,
    /// A bug on our side.
    Internal,
}

impl FailCode {
    /// Every code.
    pub const ALL: [FailCode; 15] = [
        FailCode::NotFound,
        FailCode::NotAFile,
        FailCode::Empty,
        FailCode::NotMedia,
        FailCode::Incomplete,
        FailCode::NoVideo,
        FailCode::Unsupported,
        FailCode::TooLarge,
        FailCode::Corrupt,
        FailCode::PastEnd,
        FailCode::Replaced,
        FailCode::Io,
        FailCode::Crashed,
        FailCode::Timeout,
        FailCode::Internal,
    ];

    /// The word in rows, logs, JSON and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            FailCode::NotFound => "not_found",
            FailCode::NotAFile => "not_a_file",
            FailCode::Empty => "empty",
            FailCode::NotMedia => "not_media",
            FailCode::Incomplete => "incomplete",
            FailCode::NoVideo => "no_video",
            FailCode::Unsupported => "unsupported",
            FailCode::TooLarge => "too_large",
            FailCode::Corrupt => "corrupt",
            FailCode::PastEnd => "past_end",
            FailCode::Replaced => "replaced",
            FailCode::Io => "io",
            FailCode::Crashed => "crashed",
            FailCode::Timeout => "timeout",
            FailCode::Internal => "internal",
        }
    }

    /// The inverse of `name`.
    pub fn parse(text: &str) -> Option<FailCode> {
        FailCode::ALL.into_iter().find(|c| c.name() == text)
    }

    /// True when another attempt may end differently; all else fails at once.
    pub fn may_pass_later(self) -> bool {
        matches!(self, FailCode::Io | FailCode::Crashed | FailCode::Timeout | FailCode::Internal)
    }
}

/// A code with the stage and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: FailCode,
    pub stage: Stage,
    /// A lowercase fragment that names the input and the reason.
    pub text: String,
}

impl Failure {
    /// A failure at `stage`.
    pub fn new(code: FailCode, stage: Stage, text: impl Into<String>) -> Failure {
        Failure { code, stage, text: text.into() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.code.name(), self.stage.name(), self.text)
    }
}

impl std::error::Error for Failure {}

/// A device gave up on a batch, and the CPU took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Where it was decoded until then.
    pub from: Backend,
    pub reason: Refusal,
    /// Points that were still missing.
    pub points: u32,
}

/// What a walk cost; the `stats` object of `grab --json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub opens: u64,
    pub seeks: u64,
    pub seek_runs: u64,
    pub packets_read: u64,
    /// Packets given to a decoder.
    pub packets_decoded: u64,
    /// Packets of a run that were left out.
    pub packets_skipped: u64,
    /// Coded pictures that a decoder was given, hidden ones included.
    pub frames_decoded: u64,
    /// Runs whose reference closure could not be told, by reason (`Unfit`).
    pub unfit_runs: [u64; Unfit::ALL.len()],
    /// User and system time of the process that walked, microseconds.
    pub cpu_us: u64,
    pub wall_us: u64,
    pub stages_us: StagesUs,
}

/// CPU microseconds a stage, over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StagesUs {
    pub open: u64,
    pub plan: u64,
    pub decode: u64,
    pub convert: u64,
    pub encode: u64,
}

impl StagesUs {
    /// Each with its stage.
    pub fn each(&self) -> [(Stage, u64); 5] {
        [
            (Stage::Open, self.open),
            (Stage::Plan, self.plan),
            (Stage::Decode, self.decode),
            (Stage::Convert, self.convert),
            (Stage::Encode, self.encode),
        ]
    }
}

impl Stats {
    /// The sum, field by field; wall times add up too, since remainders follow each other.
    pub fn plus(self, other: Stats) -> Stats {
        Stats {
            opens: self.opens + other.opens,
            seeks: self.seeks + other.seeks,
            seek_runs: self.seek_runs + other.seek_runs,
            packets_read: self.packets_read + other.packets_read,
            packets_decoded: self.packets_decoded + other.packets_decoded,
            packets_skipped: self.packets_skipped + other.packets_skipped,
            frames_decoded: self.frames_decoded + other.frames_decoded,
            unfit_runs: std::array::from_fn(|i| self.unfit_runs[i] + other.unfit_runs[i]),
            cpu_us: self.cpu_us + other.cpu_us,
            wall_us: self.wall_us + other.wall_us,
            stages_us: StagesUs {
                open: self.stages_us.open + other.stages_us.open,
                plan: self.stages_us.plan + other.stages_us.plan,
                decode: self.stages_us.decode + other.stages_us.decode,
                convert: self.stages_us.convert + other.stages_us.convert,
                encode: self.stages_us.encode + other.stages_us.encode,
            },
        }
    }
}
