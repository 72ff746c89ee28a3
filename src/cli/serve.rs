//! `stillframe serve`: the daemon.
//!
//! Owns the runtime and the way a start or an end is told. Never builds a part: `service/daemon` does.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Global, common, exit, say};
use crate::service::daemon;
use crate::service::settings::Flags;
use crate::service::telemetry::logging;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder below which videos may be registered; repeatable
    #[arg(long = "media-root", value_name = "DIR")]
    media_roots: Vec<PathBuf>,
    /// Address of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address of metrics and health
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    let flags = Flags {
        media_roots: args.media_roots,
        listen: args.listen,
        admin: args.admin,
        ..common::flags(global)
    };
    let settings = match common::settings(&flags) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let log = match logging::start(&settings.log) {
        Ok(log) => log,
        Err(error) => {
            say::complain(error);
            return exit::CONFIG;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::complain(format_args!("failed to start: {error}"));
            return exit::FAULT;
        }
    };
    let ended = runtime.block_on(daemon::run(flags, settings, log));
    // A file system that hangs may hold a blocking thread for ever.
    runtime.shutdown_background();
    match ended {
        Ok(()) => exit::DONE,
        Err(error) => {
            say::complain(error);
            exit::FAULT
        }
    }
}
