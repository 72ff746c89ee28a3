//! Batches, zygotes and daemons that die.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use stillframe::model::delivery::Message;
use stillframe::model::job::{Death, Ended};
use stillframe::worker::pool::{Delivery, Launch, Pool, PoolConfig};

use super::engines::{self, batch};
use super::{HANGS, children_of, config, hear_note, hear_out, notes, pool, process, run};

fn died(cause: Death) -> Ended {
    Ended::Died { cause }
}

fn pid(raw: u32) -> Pid {
    i32::try_from(raw).ok().and_then(Pid::from_raw).expect("a process id")
}

fn pidfd(raw: u32) -> OwnedFd {
    pidfd_open(pid(raw), PidfdFlags::empty()).expect("a process")
}

/// Waits until a process has ended, whoever its parent is.
fn wait_for_end(pidfd: &OwnedFd) {
    let most = Timespec::try_from(HANGS).expect("a short time");
    let ended = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&most));
    assert_eq!(ended, Ok(1), "the process lives on");
}

fn launch(program: &str, args: &[&str]) -> Launch {
    Launch { program: program.into(), args: args.iter().map(Into::into).collect() }
}

async fn refusal(launch: Launch) -> std::io::Error {
    match Pool::start_as(config(), launch).await {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

pub async fn a_child_that_dies_is_a_crash_and_others_go_on() {
    let pool = pool().await;
    let mut other = run(&pool, batch(engines::UNTIL_STOPPED)).await;
    hear_note(&mut other, "ready").await;
    for (mode, how) in [
        (engines::DIE_KILL, "signal 9"),
        (engines::DIE_SEGV, "signal 11"),
        (engines::DIE_ABORT, "signal 6"),
        (engines::DIE_EXIT, "code 3"),
        (engines::DIE_PANIC, "code 101"),
    ] {
        let mut running = run(&pool, batch(mode)).await;
        let (messages, ended, stats) = hear_out(&mut running).await;
        assert_eq!(ended, died(Death::Crash), "{how}");
        // What it said before is there, and then how it went.
        let [Message::Planned(_), Message::RunBegins { .. }, Message::Note { warning: true, text }] =
            &messages[..]
        else {
            panic!("{messages:?}");
        };
        assert!(text.contains(how), "{text}, not {how}");
        assert_eq!(stats.packets_read, engines::begin_stats().packets_read);
        assert!(stats.cpu_us > 0);
        // The last word stays the last word.
        assert!(matches!(running.next().await, Delivery::Ended(again, _) if again == ended));
    }
    assert_eq!(pool.gauges().busy, 1);
    other.stop();
    assert_eq!(hear_out(&mut other).await.1, Ended::Stopped);
    assert_eq!(pool.gauges().zygote_restarts, 0);
    pool.shut_down().await;
}

pub async fn a_kill_is_no_crash() {
    let pool = pool().await;
    let mut running = run(&pool, batch(engines::SPIN)).await;
    let Delivery::Message(Message::Planned(_), _) = running.next().await else { panic!("no plan") };
    running.kill();
    let (messages, ended, stats) = hear_out(&mut running).await;
    assert_eq!((messages.len(), ended), (0, died(Death::Killed)));
    assert!(stats.cpu_us > 0);
    assert_eq!(process(running.pid()), None);
    pool.shut_down().await;
}

pub async fn a_dropped_batch_ends_its_child() {
    let pool = pool().await;
    let mut running = run(&pool, batch(engines::SLEEP)).await;
    let Delivery::Message(Message::Planned(_), _) = running.next().await else { panic!("no plan") };
    let child = pidfd(running.pid());
    drop(running);
    wait_for_end(&child);
    // Ends only when the zygote has reaped it.
    pool.shut_down().await;
}

pub async fn a_run_that_hangs_times_out() {
    let limits = PoolConfig { run_cpu: Duration::from_millis(200), ..config() };
    let pool = Pool::start(limits).await.expect("a zygote");
    let (messages, ended, stats) = hear_out(&mut run(&pool, batch(engines::SPIN)).await).await;
    assert_eq!(ended, died(Death::Timeout));
    assert!(notes(&messages)[0].starts_with("a run used more CPU than allowed"), "{messages:?}");
    assert!(stats.cpu_us >= 200_000, "{} us", stats.cpu_us);
    assert_eq!(stats.packets_read, engines::begin_stats().packets_read);
    pool.shut_down().await;
}

pub async fn opening_that_hangs_times_out() {
    let limits = PoolConfig { run_cpu: Duration::from_millis(200), ..config() };
    let pool = Pool::start(limits).await.expect("a zygote");
    let (_, ended, stats) = hear_out(&mut run(&pool, batch(engines::SPIN_OPENING)).await).await;
    assert_eq!(ended, died(Death::Timeout));
    assert!(stats.cpu_us >= 200_000, "{} us", stats.cpu_us);
    pool.shut_down().await;
}

pub async fn a_child_that_sleeps_times_out() {
    let limits = PoolConfig { no_progress: Duration::from_millis(200), ..config() };
    let pool = Pool::start(limits).await.expect("a zygote");
    let (messages, ended, _) = hear_out(&mut run(&pool, batch(engines::SLEEP)).await).await;
    assert_eq!(ended, died(Death::Timeout));
    assert!(notes(&messages)[0].starts_with("no progress for too long"), "{messages:?}");
    pool.shut_down().await;
}

pub async fn a_child_that_misspeaks_is_killed() {
    let pool = pool().await;
    for (mode, fault) in [
        (engines::MISSPEAK, "a point that is not in the plan"),
        (engines::NO_JPEG, "image is no JPEG"),
        (engines::PLAY_DEAD, "a child that says it died"),
    ] {
        let mut running = run(&pool, batch(mode)).await;
        let (messages, ended, _) = hear_out(&mut running).await;
        assert_eq!(ended, died(Death::Crash));
        assert!(notes(&messages)[0].contains(fault), "{messages:?}, not {fault}");
        assert_eq!(process(running.pid()), None);
    }
    pool.shut_down().await;
}

pub async fn a_zygote_that_dies_is_replaced() {
    let pool = pool().await;
    for restarts in 1..=3 {
        let first = pool.zygote_pid().expect("a zygote");
        let mut sleeping = run(&pool, batch(engines::SLEEP)).await;
        let mut spinning = run(&pool, batch(engines::SPIN)).await;
        let children = [pidfd(sleeping.pid()), pidfd(spinning.pid())];
        kill_process(pid(first), Signal::KILL).expect("a zygote to kill");
        for running in [&mut sleeping, &mut spinning] {
            assert_eq!(hear_out(running).await.1, died(Death::Zygote));
        }
        children.iter().for_each(wait_for_end);
        // The next batch waits for the new one.
        let (_, ended, _) = hear_out(&mut run(&pool, batch(engines::WALK)).await).await;
        assert_eq!(ended, Ended::Done);
        assert_eq!(pool.gauges().zygote_restarts, restarts);
        assert_ne!(pool.zygote_pid(), Some(first));
    }
    assert_eq!(children_of(std::process::id()).len(), 1);
    pool.shut_down().await;
}

pub async fn a_signal_to_the_whole_group_is_the_daemons_affair() {
    let pool = pool().await;
    let zygote = pool.zygote_pid().expect("a zygote");
    let mut running = run(&pool, batch(engines::UNTIL_STOPPED)).await;
    hear_note(&mut running, "ready").await;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        kill_process(pid(zygote), signal).expect("a zygote");
        kill_process(pid(running.pid()), signal).expect("a child");
    }
    running.stop();
    assert_eq!(hear_out(&mut running).await.1, Ended::Stopped);
    assert_eq!(hear_out(&mut run(&pool, batch(engines::WALK)).await).await.1, Ended::Done);
    assert_eq!((pool.zygote_pid(), pool.gauges().zygote_restarts), (Some(zygote), 0));
    pool.shut_down().await;
}

pub async fn another_build_is_refused() {
    let error = refusal(launch("/proc/self/exe", &["other-build"])).await;
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("another build"), "{error}");
    assert!(children_of(std::process::id()).is_empty());
}

pub async fn a_zygote_that_does_not_greet_is_refused() {
    assert_eq!(refusal(launch("/bin/true", &[])).await.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(refusal(launch("/nowhere/stillframe", &[])).await.kind(), ErrorKind::NotFound);
    assert!(children_of(std::process::id()).is_empty());
}

pub async fn shutting_down_waits_for_children() {
    let pool = pool().await;
    let zygote = pidfd(pool.zygote_pid().expect("a zygote"));
    let mut running = run(&pool, batch(engines::UNTIL_STOPPED)).await;
    hear_note(&mut running, "ready").await;
    let shut_down = tokio::spawn(pool.shut_down());
    tokio::task::yield_now().await;
    running.stop();
    assert_eq!(hear_out(&mut running).await.1, Ended::Stopped);
    shut_down.await.expect("a clean end");
    wait_for_end(&zygote);
    assert!(children_of(std::process::id()).is_empty());
}

/// A daemon of its own: says the ids of its zygote and child, then waits to be killed.
pub async fn daemon() {
    let pool = pool().await;
    let mut running = run(&pool, batch(engines::SLEEP)).await;
    let Delivery::Message(Message::Planned(_), _) = running.next().await else { panic!("no plan") };
    println!("{} {}", pool.zygote_pid().expect("a zygote"), running.pid());
    std::io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
}

pub async fn nothing_outlives_the_daemon() {
    let ids = ends_with_its_parent("daemon");
    assert_eq!(ids.len(), 2);
}

/// Kills this program in a role in which it tells the ids of its descendants, each the parent of the next, and sees
/// them end.
pub fn ends_with_its_parent(role: &str) -> Vec<u32> {
    let mut daemon = Command::new("/proc/self/exe")
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a daemon");
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().expect("an id")).collect();
    let parents = std::iter::once(daemon.id()).chain(ids.iter().copied());
    for (&child, parent) in ids.iter().zip(parents) {
        assert_eq!(process(child).map(|(_, parent)| parent), Some(parent));
    }
    let pidfds: Vec<OwnedFd> = ids.iter().map(|&id| pidfd(id)).collect();
    daemon.kill().expect("a daemon to kill");
    daemon.wait().expect("its end");
    for pidfd in &pidfds {
        wait_for_end(pidfd);
    }
    ids
}
