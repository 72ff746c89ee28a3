//! `stillframe worker`: hands the engine to the bridge.
//!
//! Owns nothing but the meeting of the two houses. Never sees a video: its children do.

#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command; returns its exit code.
pub fn run(_args: Args) -> u8 {
    crate::worker::zygote::main(crate::engine::run::run, crate::engine::media::source::warm_up)
}
