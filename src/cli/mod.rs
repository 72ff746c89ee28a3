//! The command line: one file a command.
//!
//! Owns names, flags and exit codes, which are a promise to users and their scripts. The only place that sees
//! both houses. Never holds logic of its own beyond arguments in, text or JSON out.

#[macro_use]
mod say;

mod album;
mod bench;
mod call;
mod callbacks;
mod common;
mod completions;
mod device;
mod doctor;
mod exit;
mod grab;
mod import;
mod jobs;
mod keys;
mod man;
mod plan;
mod points;
mod probe;
mod report;
mod roads;
mod serve;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Exact still pictures out of video.
#[derive(Debug, Parser)]
#[command(name = "stillframe", version = env!("STILLFRAME_BUILD"), max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "F")]
    pub config: Option<PathBuf>,
    /// Data folder: $STATE_DIRECTORY, else ./stillframe-data
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Serve(serve::Args),
    /// Take pictures out of one file
    Grab(grab::Args),
    /// Print the seek runs of a grab, without decoding
    Plan(plan::Args),
    /// Print what is known about a file
    Probe(probe::Args),
    /// Register files with the daemon's store; prints a VideoId each
    Import(import::Args),
    /// Send a signed request to a running daemon
    Call(call::Args),
    /// Manage access keys
    Keys(keys::Args),
    /// Look after jobs
    Jobs(jobs::Args),
    /// Look after callbacks
    Callbacks(callbacks::Args),
    /// Check this host and say what works
    Doctor(doctor::Args),
    /// Measure what a job costs
    Bench(bench::Args),
    /// Print a completion script
    Completions(completions::Args),
    /// Print the manual page
    Man(man::Args),
    /// The decode helper; started by the daemon
    #[command(hide = true)]
    Worker(worker::Args),
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, all else is a usage error.
            let code = if error.use_stderr() { exit::USAGE } else { exit::DONE };
            // Nothing is left to be told when the terminal is gone.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let global = cli.global;
    let code = match cli.command {
        Command::Serve(args) => serve::run(&global, args),
        Command::Grab(args) => grab::run(&global, args),
        Command::Plan(args) => plan::run(&global, args),
        Command::Probe(args) => probe::run(&global, args),
        Command::Import(args) => import::run(&global, args),
        Command::Call(args) => call::run(&global, args),
        Command::Keys(args) => keys::run(&global, args),
        Command::Jobs(args) => jobs::run(&global, args),
        Command::Callbacks(args) => callbacks::run(&global, args),
        Command::Doctor(args) => doctor::run(&global, args),
        Command::Bench(args) => bench::run(&global, args),
        Command::Completions(args) => completions::run(Cli::command(), args),
        Command::Man(args) => man::run(Cli::command(), args),
        Command::Worker(args) => worker::run(args),
    };
    ExitCode::from(say::code(code))
}
