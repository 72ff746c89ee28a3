//! A load driver for the daemon: signed submissions at fixed times, over connections that stay open.
//!
//! Owns the list of loads and the table that they print. Never judges a number that depends on the machine: it
//! prints the target beside it, and the load average.
//!
//! ```text
//! cargo bench --bench submit -- [NAME...] [--seconds N]
//!     names: busy limit ceiling steady fairness callbacks burst; without one all of them
//! ```
//!
//! Under `cargo test` and with `--test` each load runs for a second and only what is right or wrong on any machine is
//! checked. `STILLFRAME_PROGRAM` names another daemon than the one that was built along.

#[path = "../../tests/common/mod.rs"]
mod common;

mod client;
mod load;
mod loads;
mod machine;
mod receiver;
mod scene;

use std::time::Duration;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub lasts: Duration,
    /// One short round: nothing is worth measuring.
    pub test: bool,
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let test = has("--test") || !has("--bench");
    let seconds = arguments.iter().position(|argument| argument == "--seconds");
    let seconds = seconds.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(60);
    let lasts = Duration::from_secs(if test { 1 } else { seconds });
    let scale = Scale { lasts, test };
    let named: Vec<&str> = loads::NAMES.into_iter().filter(|name| has(name)).collect();
    let chosen = if named.is_empty() { loads::NAMES.to_vec() } else { named };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("failed to start: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    println!("{}", scene::HEADER);
    let mut right = true;
    for name in chosen {
        let reports = runtime.block_on(loads::run(name, scale));
        for report in reports {
            println!("{report}");
            right &= report.faults.is_empty();
        }
    }
    if right { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
