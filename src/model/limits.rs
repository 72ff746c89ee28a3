//! Every limit of the program, by name. *Pure.*
//!
//! Owns the numbers: checked at the edge, asserted inside. Never reads a setting: what can be set has its default here.

/// Most explicit instants of one job (API contract, 2.1).
pub const SPECIFIED_TIMES_MAX: usize = 30;
/// Most pictures of one job, whatever the parameters say (default of the setting).
pub const COUNT_MAX: u32 = 1_000;
/// Most pictures of one `grab`: a caller on the command line owns the machine.
pub const GRAB_COUNT_MAX: u32 = 100_000;
/// Smallest and largest side that can be asked for, pixels (API contract, 2.1).
pub const SIDE_MIN: u32 = 8;
pub const SIDE_MAX: u32 = 4_096;
/// Largest sprite sheet: pixels, and a JPEG's own limit per side.
pub const SHEET_PIXELS_MAX: u64 = 64_000_000;
pub const JPEG_SIDE_MAX: u32 = 65_535;
/// Columns and lines of a sheet (API contract, 2.3).
pub const GRID_MAX: u32 = 10_000;

/// UserData and its Extend, bytes (API contract, ambiguity 19).
pub const USER_DATA_BYTES_MAX: usize = 1_024;
pub const EXTEND_BYTES_MAX: usize = 512;

/// Request limits of the API listener.
pub const BODY_BYTES_MAX: usize = 1 << 20;
pub const HEADER_BYTES_MAX: usize = 64 << 10;
pub const HEADERS_MAX: usize = 100;
pub const JSON_DEPTH_MAX: usize = 32;

/// Most jobs one claim takes for a video.
pub const JOBS_PER_BATCH_MAX: usize = 64;
/// Attempts of a job; the last one runs alone.
pub const ATTEMPTS_MAX: u32 = 3;

/// Packet heads that one seek run may hold before the walk becomes linear.
pub const RUN_HEADS_MAX: usize = 500_000;
/// Payload that the reader keeps for the open run before it reads the run twice.
pub const RUN_PAYLOAD_BYTES_MAX: usize = 64 << 20;
/// Payload of the runs that wait for a decoder: what the reader is ahead.
pub const POOL_PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Pixels of one decoded frame (8192 x 4320 fits).
pub const FRAME_PIXELS_MAX: u64 = 36_000_000;
/// One encoded image on the bridge.
pub const IMAGE_BYTES_MAX: u32 = 128 << 20;
/// Notes of one batch, and bytes of one note.
pub const NOTES_MAX: usize = 64;
pub const NOTE_BYTES_MAX: usize = 512;
/// Any other message on the bridge.
pub const MESSAGE_BYTES_MAX: u32 = 16 << 20;
