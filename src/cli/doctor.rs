//! `stillframe doctor`.

use super::Global;

#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command; returns its exit code.
pub fn run(_global: &Global, _args: Args) -> u8 {
    unimplemented!()
}
