//! The engine on a device: its pictures are the CPU's, and each fault ends the walk with its reason.
//!
//! The device is a double of NVIDIA's driver under the real FFmpeg: what is shown is how the engine behaves, nothing of
//! a device. This program is its own child, since the double must be in place before a process starts.

#[path = "../common/mod.rs"]
mod common;
#[path = "../exact/film.rs"]
mod film;
#[path = "../exact/more_recipes.rs"]
#[allow(dead_code)]
mod more_recipes;
#[path = "../exact/recipes.rs"]
#[allow(dead_code)]
mod recipes;

mod child;
mod exact;
mod families;
mod faults;
mod vaapi;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), $module::$name),)*]
    };
}

const TESTS: &[(&str, fn())] = tests![
    exact::what_a_device_says_of_itself,
    exact::h264,
    exact::h264_that_is_entered_in_open_groups,
    exact::hevc,
    exact::vp9,
    exact::av1,
    exact::the_others,
    exact::footage,
    families::every_recipe_is_exact_or_refused,
    exact::what_does_not_fit_is_refused_before_it_is_decoded,
    exact::clean_runs_keep_their_decoder,
    faults::without_a_driver_there_is_no_device,
    faults::a_clip_that_comes_out_wrong_shuts_its_kind,
    faults::each_fault_ends_with_its_reason_and_the_cpu_does_the_rest,
    faults::the_other_codecs_fail_alike,
    faults::a_damaged_stream_is_not_the_devices_fault,
    faults::after_a_refusal_nothing_is_taken,
    faults::a_decoder_that_cannot_be_made_again_ends_the_walk,
    faults::a_hundred_batches_leave_nothing_behind,
    vaapi::pictures_of_vaapi_are_exact,
    vaapi::what_a_display_says_of_itself,
    vaapi::a_fault_of_vaapi_ends_with_its_reason,
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("device") => child::main(&args[1..]),
        Some("--list") => {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
            ExitCode::SUCCESS
        }
        _ => run_tests(&args),
    }
}

fn run_tests(args: &[String]) -> ExitCode {
    let asked: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let mut failed = Vec::new();
    let mut run = 0;
    for (name, test) in TESTS {
        if !asked.is_empty() && !asked.iter().any(|part| name.contains(*part)) {
            continue;
        }
        run += 1;
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {} passed; {} failed; {failed:?}", run - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
