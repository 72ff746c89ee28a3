//! `stillframe completions`: a completion script for a shell.
//!
//! Owns nothing but the choice of shell. Never knows a command's flags: they come from the parser itself.

use clap_complete::Shell;

use super::{exit, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script to stdout; returns the exit code.
pub fn run(mut command: clap::Command, args: Args) -> u8 {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    say::bytes(&script);
    exit::DONE
}
