//! The spine holds: every job of a claim ends once, truly, and at the cost that it has to bear.
//!
//! With a real store, real files and real child processes, and an engine that does what a video's text says. The
//! zygote is started from /proc/self/exe, so this program is its own worker and has its own main.

mod bench;
mod device;
mod devices;
mod engine;
mod roads;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use stillframe::model::device::DeviceId;

type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! tests {
    ($($module:ident: $($name:ident),* $(,)?);* $(;)?) => {
        &[$($((concat!(stringify!($module), "::", stringify!($name)), || Box::pin($module::$name())),)*)*]
    };
}

const TESTS: &[Test] = tests! {
    roads: a_job_ends_with_its_pictures_and_their_rows,
    each_job_commits_by_itself,
    what_was_delivered_stays_over_a_stop,
    a_crash_costs_only_the_job_whose_point_it_was,
    the_last_attempt_ends_with_what_there_is,
    a_batch_that_cannot_be_done_ends_at_once,
    a_walk_that_leaves_a_job_out_is_our_fault,
    a_missing_file_ends_its_jobs,
    a_replaced_file_ends_what_is_undecided,
    between_two_claims_a_replaced_file_starts_anew,
    a_cancelled_job_ends_its_child_and_leaves_nothing,
    a_full_disk_costs_nobody,
    points_past_the_end_are_no_failure,
    nothing_but_points_past_the_end_is_a_failure,
    a_probe_writes_the_duration_down,
    what_is_remembered_of_a_cancelled_job_is_dropped;
    devices: a_device_does_what_it_is_wanted_for, what_a_device_leaves_undone_the_cpu_does_for_each_reason,
    a_helper_that_hangs_or_dies_costs_nobody_anything, what_the_device_says_of_the_file_the_cpu_looks_at_itself,
    damage_that_the_cpu_finds_too_is_no_strike, a_job_is_tried_on_a_device_once, a_stop_reaches_a_device,
    a_cancelled_job_ends_the_work_of_a_device, every_batch_goes_to_a_forced_device_first,
    a_thousand_jobs_beside_a_device_that_always_fails, a_device_that_comes_back_is_noticed_in_time,
    a_kind_that_comes_out_wrong_is_shut, a_busy_device_is_not_waited_for, without_a_device_all_is_as_ever;
};

/// Far beyond what any test takes: only a spine that hangs gets there.
const HANGS: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("worker") if args.get(1).is_some_and(|arg| arg == "--device") => {
            let id = args.get(2).and_then(|id| DeviceId::parse(id)).expect("a device");
            ExitCode::from(stillframe::worker::helper::main(&id, device::open, || {}))
        }
        Some("worker") => ExitCode::from(stillframe::worker::zygote::main(engine::engine, || {})),
        Some("--list") => {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
            ExitCode::SUCCESS
        }
        _ => run_tests(&args),
    }
}

fn run_tests(args: &[String]) -> ExitCode {
    tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_writer(std::io::stderr).init();
    let asked: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let mut failed = Vec::new();
    let chosen =
        TESTS.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|part| name.contains(*part)));
    let mut run = 0;
    for (name, test) in chosen {
        run += 1;
        let passed = catch_unwind(AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::time::timeout(HANGS, test()).await.expect("a test that ends");
            });
        }));
        println!("test {name} ... {}", if passed.is_ok() { "ok" } else { "FAILED" });
        if passed.is_err() {
            failed.push(name);
        }
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {} passed; {} failed; {failed:?}", run - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
