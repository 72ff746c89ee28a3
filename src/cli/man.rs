//! `stillframe man`.

#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command; returns its exit code.
pub fn run(_command: clap::Command, _args: Args) -> u8 {
    unimplemented!()
}
