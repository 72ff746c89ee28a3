//! Exit codes, the same for every command.
//!
//! Owns the numbers, which scripts rely on. Never decides which one a command ends with.

/// All that was asked.
pub const DONE: u8 = 0;
/// None of it, or a fault.
pub const FAULT: u8 = 1;
/// Some pictures are missing.
pub const PARTIAL: u8 = 2;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;
