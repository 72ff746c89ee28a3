//! The bridge holds: whatever happens to a child or the zygote, every batch ends once and truly.
//!
//! Through real processes. The zygote is started from /proc/self/exe, so this program is its own worker: it has
//! its own main, forks only there, and runs its tests one after the other.

mod deaths;
mod device_engines;
mod devices;
mod engines;
mod walks;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::WaitOptions;
use stillframe::model::delivery::Message;
use stillframe::model::device::DeviceId;
use stillframe::model::job::{Ended, Grant, Source, Stats, VideoBatch};
use stillframe::worker::budget::Budget;
use stillframe::worker::pool::{Delivery, Pool, PoolConfig, Running};
use stillframe::worker::protocol::{Control, encode_control};
use stillframe::worker::{helper, zygote};

type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! tests {
    ($($module:ident: $($name:ident),* $(,)?);* $(;)?) => {
        &[$($((concat!(stringify!($module), "::", stringify!($name)), || Box::pin($module::$name())),)*)*]
    };
}

const TESTS: &[Test] = tests! {
    walks: messages_arrive_intact, a_failed_batch_says_so, threads_deliver_at_once, the_descriptor_is_the_videos,
        a_child_holds_nothing_but_its_batch, a_full_budget_blocks_the_child, a_stop_is_seen, notes_are_capped,
        a_dropped_next_loses_nothing, many_batches_leave_nothing_behind;
    deaths: a_child_that_dies_is_a_crash_and_others_go_on, a_kill_is_no_crash, a_dropped_batch_ends_its_child,
        a_run_that_hangs_times_out, opening_that_hangs_times_out, a_child_that_sleeps_times_out,
        a_child_that_misspeaks_is_killed, a_zygote_that_dies_is_replaced,
        a_signal_to_the_whole_group_is_the_daemons_affair, another_build_is_refused,
        a_zygote_that_does_not_greet_is_refused, shutting_down_waits_for_children,
        nothing_outlives_the_daemon;
    devices: a_helper_lives_on, a_helper_holds_nothing_but_its_batch, a_hundred_batches_leave_nothing_behind,
        a_helper_keeps_to_one_owner, an_idle_helper_ends,
        a_refusal_of_the_stream_leaves_the_helper_and_a_fault_does_not,
        a_helper_that_dies_is_a_refusal_and_others_go_on, a_helper_that_hangs_is_killed_at_the_deadline,
        a_stop_is_seen_by_a_helper, a_full_budget_blocks_a_helper, a_killed_or_dropped_batch_ends_its_helper_alone,
        a_device_that_does_not_open_says_why_and_is_not_tried_again, a_device_that_comes_back_is_used_again,
        what_is_no_helper_is_refused, classes_are_proved_between_batches, a_batch_gets_the_least_busy_device,
        a_helper_that_died_while_it_idled_costs_nobody_anything, shutting_down_waits_for_helpers,
        no_helper_outlives_its_parent;
};

/// Far beyond what any test takes: only a bridge that hangs gets there.
const HANGS: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("worker") => ExitCode::from(match args.get(2).and_then(|id| DeviceId::parse(id)) {
            None => zygote::main(engines::engine, || {}),
            Some(id) => helper::main(&id, device_engines::open, || {}),
        }),
        Some("other-build") => {
            greet_as("another build");
            ExitCode::SUCCESS
        }
        Some("daemon") => {
            runtime().block_on(deaths::daemon());
            ExitCode::SUCCESS
        }
        Some("parent") => {
            runtime().block_on(devices::parent());
            ExitCode::SUCCESS
        }
        Some("--list") => {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
            ExitCode::SUCCESS
        }
        _ => run_tests(&args),
    }
}

fn run_tests(args: &[String]) -> ExitCode {
    let asked: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen: Vec<&Test> = TESTS
        .iter()
        .filter(|(name, _)| asked.is_empty() || asked.iter().any(|part| name.contains(part.as_str())))
        .collect();
    println!("\nrunning {} tests", chosen.len());
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        let passed = catch_unwind(AssertUnwindSafe(|| {
            runtime()
                .block_on(async { tokio::time::timeout(HANGS, test()).await.expect("a test that ends") });
        }));
        println!("test {name} ... {}", if passed.is_ok() { "ok" } else { "FAILED" });
        if passed.is_err() {
            failed.push(name);
            // Its zygote ends with its runtime; the tests after it count this process's children.
            while rustix::process::wait(WaitOptions::empty()).is_ok() {}
        }
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let passed = chosen.len() - failed.len();
    println!("\ntest result: {word}. {passed} passed; {} failed; {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

// A zygote of another build, as far as its greeting.
fn greet_as(build: &str) {
    let greeting = encode_control(&Control::Greeting { build: build.to_owned() }).expect("a greeting");
    let flags = rustix::net::SendFlags::empty();
    rustix::net::send(std::io::stdin(), &greeting, flags).expect("a socket on descriptor 0");
    // Stays until the daemon hangs up.
    let end = rustix::net::recv(std::io::stdin(), &mut [0; 1], rustix::net::RecvFlags::empty());
    assert_eq!(end.map(|(n, _)| n), Ok(0));
}

/// Limits that no honest batch meets.
fn config() -> PoolConfig {
    PoolConfig {
        run_cpu: Duration::from_secs(30),
        no_progress: Duration::from_secs(60),
        budget: Budget::new(64 << 20),
    }
}

async fn pool() -> Pool {
    Pool::start(config()).await.expect("a zygote")
}

/// A video of these bytes.
fn video(bytes: &[u8]) -> (tempfile::NamedTempFile, Source) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    let fd = file.reopen().expect("opened").into();
    (file, Source::Fd(fd))
}

async fn run(pool: &Pool, batch: VideoBatch) -> Running {
    let grant = Grant { threads: 4, bytes: 1 << 20 };
    pool.run(batch, video(b"frames").1, grant).await.expect("a child")
}

/// Everything that the child says, to its end.
async fn hear_out(running: &mut Running) -> (Vec<Message>, Ended, Stats) {
    let mut messages = Vec::new();
    loop {
        match running.next().await {
            Delivery::Message(message, _share) => messages.push(message),
            Delivery::Ended(ended, stats) => return (messages, ended, stats),
        }
    }
}

/// Takes messages until one is this note.
async fn hear_note(running: &mut Running, wanted: &str) {
    loop {
        match running.next().await {
            Delivery::Message(Message::Note { text, .. }, _) if text == wanted => return,
            Delivery::Message(..) => {}
            Delivery::Ended(ended, _) => panic!("ended as {ended:?} before it said {wanted}"),
        }
    }
}

fn notes(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Note { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// State letter and parent of a process; none when there is no such process, not even a zombie.
fn process(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Every child of a process, zombies too.
fn children_of(pid: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&child| process(child).is_some_and(|(_, parent)| parent == pid))
        .collect()
}

fn descriptors_of(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("/proc").count()
}
