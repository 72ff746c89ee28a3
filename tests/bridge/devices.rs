//! Helpers of devices: they live on, and whatever happens to one costs no batch anything.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stillframe::model::delivery::Message;
use stillframe::model::device::{DeviceId, Refusal};
use stillframe::model::job::{Death, Ended, FailCode, Grant, VideoBatch};
use stillframe::worker::devices::{DeviceGauges, Devices, DevicesConfig, ReplacedBy};
use stillframe::worker::pool::{Delivery, Running};

use super::device_engines::{
    self, CRASHES, GOOD, HANGS, LEAK, NOT_TAKEN, REFUSE_COPY, REFUSE_STREAM, WANT, WRONG, cuda,
};
use super::engines::{self, LARGE, batch};
use super::{children_of, descriptors_of, hear_note, hear_out, notes, pool, process, video};

fn config(names: &[&str]) -> DevicesConfig {
    DevicesConfig::new(names.iter().map(|name| cuda(name)).collect(), super::config().budget)
}

/// One device with one helper.
fn one() -> Devices {
    Devices::new(DevicesConfig { helpers: 1, ..config(&["0"]) })
}

/// Gives a batch to a device that must have a place.
async fn try_on(
    devices: &Devices,
    id: &DeviceId,
    owner: &str,
    batch: VideoBatch,
) -> Result<Running, (Refusal, String)> {
    let seat = devices.seat(std::slice::from_ref(id)).expect("a place");
    assert_eq!(seat.device(), id);
    devices.run(seat, owner, batch, video(b"frames").1, Grant { threads: 4, bytes: 1 << 20 }).await
}

async fn on(devices: &Devices, owner: &str, engine: u8) -> Running {
    try_on(devices, &cuda("0"), owner, batch(engine)).await.expect("a helper")
}

/// How a batch ends on the device.
async fn ended(devices: &Devices, owner: &str, engine: u8) -> (u32, Ended) {
    let mut running = on(devices, owner, engine).await;
    let (_, ended, _) = hear_out(&mut running).await;
    (running.pid(), ended)
}

fn gauges(devices: &Devices) -> DeviceGauges {
    devices.gauges()[0].1
}

fn replaced(devices: &Devices, by: ReplacedBy) -> u64 {
    gauges(devices).replaced[by as usize]
}

fn refused(ended: &Ended, reason: Refusal, part: &str) {
    let Ended::Refused { reason: told, text } = ended else { panic!("{ended:?}, not {reason:?}") };
    assert_eq!(*told, reason, "{text}");
    assert!(text.contains(part), "{text}, not {part}");
}

fn threads_of(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).expect("/proc").count()
}

fn pid(raw: u32) -> Pid {
    i32::try_from(raw).ok().and_then(Pid::from_raw).expect("a process id")
}

pub async fn a_helper_lives_on() {
    let devices = one();
    assert_eq!(devices.known(&cuda("0")), None);
    let asked = batch(engines::WALK);
    let mut first = on(&devices, "a", engines::WALK).await;
    let (messages, walked, stats) = hear_out(&mut first).await;
    assert!(messages == engines::script(&asked), "the messages differ from what was said");
    assert_eq!(walked, Ended::Done);
    // The helper says 1 microsecond; the parent knows better, and the opening is in it.
    assert!(stats.cpu_us > 1, "{} us of CPU", stats.cpu_us);
    assert_eq!(stats, stillframe::model::job::Stats { cpu_us: stats.cpu_us, ..engines::last_stats() });
    assert!(first.peak_rss_bytes().is_some_and(|bytes| bytes > LARGE as u64));
    drop(first);

    let (helper, failed) = ended(&devices, "a", engines::FAIL).await;
    assert!(matches!(failed, Ended::Failed(failure) if failure.code == FailCode::NoVideo));
    assert_eq!(ended(&devices, "a", engines::WALK).await, (helper, Ended::Done));
    assert_eq!(children_of(std::process::id()), [helper]);
    let expected = DeviceGauges { busy: 0, idle: 1, batches: 3, replaced: [0; 5] };
    assert_eq!(gauges(&devices), expected);
    assert_eq!(devices.known(&cuda("0")), Some(Ok(device_engines::facts())));
    devices.shut_down().await;
    assert_eq!(gauges(&devices), DeviceGauges { idle: 0, ..expected });
    assert!(children_of(std::process::id()).is_empty());
}

pub async fn a_helper_holds_nothing_but_its_batch() {
    let devices = one();
    // What an earlier batch had open is gone.
    assert_eq!(ended(&devices, "a", engines::READ).await.1, Ended::Done);
    let (file, source) = video(b"frames");
    let seat = devices.seat(&[cuda("0")]).expect("a place");
    let grant = Grant { threads: 1, bytes: 1 };
    let mut running = devices.run(seat, "a", batch(engines::TELL), source, grant).await.expect("a helper");
    let (messages, ..) = hear_out(&mut running).await;
    let video = file.path().display().to_string();
    let own = rustix::process::getpriority_process(None).expect("a priority");
    let nice = format!("nice Ok({})", (own + 10).min(19));
    let told = notes(&messages);
    let passed =
        |told: &&str| ["env LD_LIBRARY_PATH=", "env CUDA_"].iter().all(|start| !told.starts_with(start));
    let mut told: Vec<&str> = told.into_iter().filter(passed).collect();
    // The order of descriptors that are not 0, 1 and 2 is nobody's business.
    let place = told.iter().position(|told| told.ends_with(&video)).expect("the video is open");
    assert!(told.remove(place).starts_with("fd "), "{told:?}");
    let expected =
        ["deathsig true", "env MALLOC_ARENA_MAX=2", "env TZ=UTC0", "fd 0 socket:", "fd 1 /dev/null"];
    let then = ["fd 2 pipe:", "fd ", &nice, "oom 900"];
    assert_eq!(told.len(), expected.len() + then.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected.iter().chain(&then)) {
        assert!(told.starts_with(expected), "{told}, not {expected}");
    }
    devices.shut_down().await;
}

pub async fn a_hundred_batches_leave_nothing_behind() {
    let devices = one();
    let own = std::process::id();
    let (helper, _) = ended(&devices, "a", engines::WALK).await;
    let before = (descriptors_of(own), descriptors_of(helper), threads_of(helper));
    let modes = [engines::FAIL, engines::READ, engines::CHATTER, REFUSE_STREAM, engines::THREADS];
    for n in 2..=99 {
        assert_eq!(ended(&devices, "a", modes[n % modes.len()]).await.0, helper, "batch {n}");
    }
    assert_eq!((descriptors_of(own), descriptors_of(helper), threads_of(helper)), before);
    // The hundredth is its last: it is gone when the batch has ended, and so is whatever it left open.
    assert_eq!(ended(&devices, "a", LEAK).await, (helper, Ended::Done));
    assert_eq!((process(helper), replaced(&devices, ReplacedBy::Batches)), (None, 1));
    let (next, walked) = ended(&devices, "a", engines::WALK).await;
    assert_eq!((walked, descriptors_of(own)), (Ended::Done, before.0));
    assert_ne!(next, helper);
    assert_eq!(gauges(&devices).batches, 101);
    devices.shut_down().await;
}

pub async fn a_helper_keeps_to_one_owner() {
    let devices = one();
    let (first, _) = ended(&devices, "a", engines::READ).await;
    let (second, walked) = ended(&devices, "b", engines::READ).await;
    assert_ne!(first, second);
    assert_eq!((walked, process(first), replaced(&devices, ReplacedBy::Owner)), (Ended::Done, None, 1));
    devices.shut_down().await;

    // Where there is room for two, each keeps its own; a third owner takes the room of the one that idled longest.
    let devices = Devices::new(config(&["0"]));
    let mut helpers = Vec::new();
    for owner in ["a", "b", "a", "b", "c", "b", "a"] {
        helpers.push(ended(&devices, owner, engines::READ).await.0);
    }
    let [a, b, again_a, again_b, c, third_b, new_a] = helpers[..] else { panic!("{helpers:?}") };
    assert_eq!((a, b, b), (again_a, again_b, third_b));
    assert!(a != b && a != c && b != c && new_a != a && new_a != c, "{helpers:?}");
    assert_eq!(replaced(&devices, ReplacedBy::Owner), 2);
    assert_eq!(children_of(std::process::id()).len(), 2);
    devices.shut_down().await;
}

pub async fn an_idle_helper_ends() {
    let devices = Devices::new(DevicesConfig { idle: Duration::from_millis(20), ..config(&["0"]) });
    let (helper, _) = ended(&devices, "a", engines::READ).await;
    while gauges(&devices).idle > 0 || replaced(&devices, ReplacedBy::Idle) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(process(helper), None);
    assert_eq!(ended(&devices, "a", engines::READ).await.1, Ended::Done);
    devices.shut_down().await;
}

pub async fn a_refusal_of_the_stream_leaves_the_helper_and_a_fault_does_not() {
    let devices = one();
    let (helper, stream) = ended(&devices, "a", REFUSE_STREAM).await;
    refused(&stream, Refusal::Unsupported, "4:4:4");
    let mut running = on(&devices, "a", REFUSE_COPY).await;
    let (messages, fault, stats) = hear_out(&mut running).await;
    assert_eq!(running.pid(), helper);
    refused(&fault, Refusal::Copy, "a copy failed");
    // What was delivered before stays.
    assert!(messages == engines::script(&batch(REFUSE_COPY))[..5], "a message was lost");
    assert_eq!(stats.frames_decoded, engines::last_stats().frames_decoded);
    assert_eq!((process(helper), replaced(&devices, ReplacedBy::Fault)), (None, 1));
    let (next, walked) = ended(&devices, "a", engines::WALK).await;
    assert_eq!(walked, Ended::Done);
    assert_ne!(next, helper);
    devices.shut_down().await;
}

pub async fn a_helper_that_dies_is_a_refusal_and_others_go_on() {
    let pool = pool().await;
    let devices = Devices::new(config(&["0"]));
    let mut child = super::run(&pool, batch(engines::UNTIL_STOPPED)).await;
    let mut other = on(&devices, "a", engines::UNTIL_STOPPED).await;
    hear_note(&mut child, "ready").await;
    hear_note(&mut other, "ready").await;
    let mut died = 0;
    for (mode, how) in [
        (engines::DIE_KILL, "signal 9"),
        (engines::DIE_SEGV, "signal 11"),
        (engines::DIE_ABORT, "signal 6"),
        (engines::DIE_EXIT, "code 3"),
        (engines::DIE_PANIC, "code 101"),
    ] {
        let mut running = on(&devices, "a", mode).await;
        let (messages, ended, stats) = hear_out(&mut running).await;
        refused(&ended, Refusal::Crash, how);
        let [Message::Planned(_), Message::RunBegins { .. }] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(stats.packets_read, engines::begin_stats().packets_read);
        died += 1;
        assert_eq!((process(running.pid()), replaced(&devices, ReplacedBy::Died)), (None, died));
        // The last word stays the last word.
        assert!(matches!(running.next().await, Delivery::Ended(again, _) if again == ended));
    }
    for (engine, fault) in [
        (engines::MISSPEAK, "a point that is not in the plan"),
        (engines::NO_JPEG, "image is no JPEG"),
        (engines::PLAY_DEAD, "a child that says it died"),
        (WANT, "although none was offered"),
    ] {
        let (helper, ended) = ended(&devices, "a", engine).await;
        refused(&ended, Refusal::Crash, fault);
        assert_eq!(process(helper), None);
    }
    assert_eq!(ended(&devices, "a", engines::WALK).await.1, Ended::Done);
    for running in [&mut child, &mut other] {
        running.stop();
        assert_eq!(hear_out(running).await.1, Ended::Stopped);
    }
    assert_eq!(pool.gauges().zygote_restarts, 0);
    devices.shut_down().await;
    pool.shut_down().await;
}

pub async fn a_helper_that_hangs_is_killed_at_the_deadline() {
    let short = Duration::from_millis(200);
    let devices = Devices::new(DevicesConfig { no_progress: short, ..config(&["0"]) });
    let (helper, hung) = ended(&devices, "a", engines::SLEEP).await;
    refused(&hung, Refusal::Hang, "no progress for too long");
    assert_eq!((process(helper), replaced(&devices, ReplacedBy::Died)), (None, 1));
    devices.shut_down().await;

    let devices = Devices::new(DevicesConfig { run_cpu: short, ..config(&["0"]) });
    let mut running = on(&devices, "a", engines::SPIN).await;
    let (_, hung, stats) = hear_out(&mut running).await;
    refused(&hung, Refusal::Hang, "more CPU than allowed");
    assert!(stats.cpu_us >= 200_000, "{} us", stats.cpu_us);
    assert_eq!(stats.packets_read, engines::begin_stats().packets_read);
    // A helper's CPU is counted from where its batch began.
    for _ in 0..4 {
        assert_eq!(ended(&devices, "a", engines::WALK).await.1, Ended::Done);
    }
    devices.shut_down().await;
}

pub async fn a_stop_is_seen_by_a_helper() {
    let devices = one();
    let mut running = on(&devices, "a", engines::UNTIL_STOPPED).await;
    hear_note(&mut running, "ready").await;
    running.stop();
    let helper = running.pid();
    assert_eq!(hear_out(&mut running).await.1, Ended::Stopped);
    // A stop before it has even read its batch, and two of them.
    let mut running = on(&devices, "a", engines::UNTIL_STOPPED).await;
    running.stop();
    running.stop();
    assert_eq!((running.pid(), hear_out(&mut running).await.1), (helper, Ended::Stopped));
    devices.shut_down().await;
}

pub async fn a_full_budget_blocks_a_helper() {
    let devices = one();
    let mut running = on(&devices, "a", engines::PRESS).await;
    let mut images = 0;
    // A share is held all the time: the helper's next image waits for it, and no deadline counts that.
    let last = loop {
        match running.next().await {
            Delivery::Message(Message::Image(image), Some(_share)) => {
                assert_eq!(image.bytes.len(), LARGE);
                images += 1;
            }
            Delivery::Message(..) => {}
            Delivery::Ended(ended, _) => break ended,
        }
    };
    assert_eq!((images, last), (engines::PRESS_IMAGES, Ended::Done));
    devices.shut_down().await;
}

pub async fn a_killed_or_dropped_batch_ends_its_helper_alone() {
    let devices = one();
    let mut running = on(&devices, "a", engines::SLEEP).await;
    let Delivery::Message(Message::Planned(_), _) = running.next().await else { panic!("no plan") };
    running.kill();
    assert_eq!(hear_out(&mut running).await.1, Ended::Died { cause: Death::Killed });
    assert_eq!(process(running.pid()), None);

    let mut dropped = on(&devices, "a", engines::SLEEP).await;
    let Delivery::Message(Message::Planned(_), _) = dropped.next().await else { panic!("no plan") };
    let helper = dropped.pid();
    drop(dropped);
    drop(devices.wait_for_seat(&cuda("0")).await.expect("the device"));
    assert_eq!((process(helper), replaced(&devices, ReplacedBy::Died)), (None, 2));

    // One that has ended is another's by now: neither a kill nor a drop may touch it.
    let mut over = on(&devices, "a", engines::READ).await;
    assert_eq!(hear_out(&mut over).await.1, Ended::Done);
    let mut next = on(&devices, "a", engines::UNTIL_STOPPED).await;
    hear_note(&mut next, "ready").await;
    assert_eq!(over.pid(), next.pid());
    over.kill();
    drop(over);
    next.stop();
    assert_eq!(hear_out(&mut next).await.1, Ended::Stopped);
    devices.shut_down().await;
}

pub async fn a_device_that_does_not_open_says_why_and_is_not_tried_again() {
    for (name, reason, part) in [
        ("none", Refusal::NoDevice, "cuda:none: open: no driver"),
        ("crashes", Refusal::Crash, "cuda:crashes: helper died of signal 6 while it opened the device"),
        ("hangs", Refusal::Hang, "cuda:hangs: does not open within 0.3 s"),
    ] {
        let id = cuda(name);
        let long = config(&[name]);
        let open_wait = if name == "hangs" { Duration::from_millis(300) } else { long.open_wait };
        let devices = Devices::new(DevicesConfig { open_wait, ..long });
        let first =
            try_on(&devices, &id, "a", batch(engines::WALK)).await.map(|_| ()).expect_err("no device");
        assert_eq!((first.0, first.1.contains(part)), (reason, true), "{first:?}");
        assert!(children_of(std::process::id()).is_empty(), "{name}");
        let ended = |devices: &Devices| -> u64 {
            devices.gauges().iter().flat_map(|(_, gauges)| gauges.replaced).sum()
        };
        let before = ended(&devices);
        for _ in 0..10 {
            let again = try_on(&devices, &id, "a", batch(engines::WALK)).await.map(|_| ());
            assert_eq!(again, Err(first.clone()));
        }
        assert_eq!(devices.known(&id), Some(Err(first.clone())));
        assert_eq!(devices.facts(&id).await, Err(first.clone()));
        assert_eq!(ended(&devices), before, "a process was started for a device that is known not to open");
        assert_eq!(devices.open_again(&id).await.map_err(|why| why.0), Err(reason));
        assert_eq!(ended(&devices), before + 1);
        assert_eq!(devices.facts(&cuda("7")).await.map_err(|why| why.0), Err(Refusal::NoDevice));
        devices.shut_down().await;
    }
}

pub async fn a_device_that_comes_back_is_used_again() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let id = cuda(file.path().to_str().expect("a path"));
    let devices = Devices::new(config(&[&id.name]));
    assert_eq!(devices.facts(&id).await.map_err(|why| why.0), Err(Refusal::NoDevice));
    drop(file);
    assert!(try_on(&devices, &id, "a", batch(engines::WALK)).await.is_err());
    assert_eq!(devices.prove(&id, GOOD).await, Ok(()));
    let mut running = try_on(&devices, &id, "a", batch(engines::WALK)).await.expect("a helper");
    assert_eq!(hear_out(&mut running).await.1, Ended::Done);
    devices.shut_down().await;
}

pub async fn what_is_no_helper_is_refused() {
    let launch = |program: &str, args: &[&str]| stillframe::worker::pool::Launch {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
    };
    for (launch, part) in [
        (launch("/proc/self/exe", &["other-build"]), "another build"),
        (launch("/bin/true", &[]), "without a greeting"),
        (launch("/nowhere/stillframe", &[]), "cannot start a helper"),
    ] {
        let devices = Devices::new(DevicesConfig { launch, ..config(&["0"]) });
        let why = devices.facts(&cuda("0")).await.expect_err("no helper");
        assert_eq!((why.0, why.1.contains(part)), (Refusal::NoDevice, true), "{why:?}");
        assert_eq!(devices.known(&cuda("0")), Some(Err(why)));
        assert!(devices.seat(&[cuda("0")]).is_some());
        devices.shut_down().await;
    }
    assert!(children_of(std::process::id()).is_empty());
}

pub async fn classes_are_proved_between_batches() {
    // Long enough for any opening, since the clip that hangs waits as long.
    let devices = Devices::new(DevicesConfig { open_wait: Duration::from_secs(5), ..config(&["0"]) });
    let id = cuda("0");
    let (helper, _) = ended(&devices, "a", engines::READ).await;
    assert_eq!(devices.prove(&id, GOOD).await, Ok(()));
    let not_taken = devices.prove(&id, NOT_TAKEN).await.expect_err("not taken");
    assert_eq!(not_taken, (Refusal::Unsupported, "cuda:0: av1 is not taken".to_owned()));
    assert_eq!(ended(&devices, "a", engines::READ).await.0, helper);
    for (class, reason, part) in [
        (WRONG, Refusal::Unproven, "frame 3 differs"),
        (CRASHES, Refusal::Crash, "helper died of signal 6 while it decoded the built-in clip of vp8 8 bit"),
        (HANGS, Refusal::Hang, "no picture of vp9 8 bit within 5 s"),
    ] {
        let why = devices.prove(&id, class).await.expect_err("a fault");
        assert_eq!((why.0, why.1.contains(part)), (reason, true), "{why:?}");
        assert!(children_of(std::process::id()).is_empty(), "{class}");
    }
    // What was proved stays known, whatever helper it was proved in.
    assert_eq!(ended(&devices, "a", engines::READ).await.1, Ended::Done);
    let Some(Ok(facts)) = devices.known(&id) else { panic!("nothing is known") };
    let proven: Vec<_> = facts.rows.iter().map(|row| (row.class, row.proven)).collect();
    assert_eq!(proven, [(GOOD, Some(true)), (WRONG, Some(false)), (CRASHES, None)]);
    // Proofs are no batches.
    assert_eq!(gauges(&devices).batches, 3);
    devices.shut_down().await;
}

pub async fn a_batch_gets_the_least_busy_device() {
    let devices = Devices::new(config(&["0", "1"]));
    let both = [cuda("0"), cuda("1")];
    let mut seats = Vec::new();
    while let Some(seat) = devices.seat(&both) {
        seats.push(seat);
    }
    let names: Vec<&str> = seats.iter().map(|seat| seat.device().name.as_str()).collect();
    assert_eq!(names, ["0", "1", "0", "1"]);
    seats.remove(3);
    assert!(devices.seat(&both[..1]).is_none());
    assert_eq!(devices.seat(&both).map(|seat| seat.device().clone()), Some(cuda("1")));
    assert!(devices.seat(&[]).is_none());
    drop(seats);
    devices.shut_down().await;
    assert!(devices.seat(&both).is_none());
}

pub async fn a_helper_that_died_while_it_idled_costs_nobody_anything() {
    let devices = one();
    let (helper, _) = ended(&devices, "a", engines::READ).await;
    kill_process(pid(helper), Signal::KILL).expect("a helper to kill");
    let mut running = on(&devices, "a", engines::WALK).await;
    let (_, walked, _) = hear_out(&mut running).await;
    // Whether its end was seen before the batch was sent is chance; the batch goes well or says whose fault it was.
    match walked {
        Ended::Done => assert_ne!(running.pid(), helper),
        other => refused(&other, Refusal::Crash, "signal 9"),
    }
    assert_eq!(ended(&devices, "a", engines::WALK).await.1, Ended::Done);
    devices.shut_down().await;
}

pub async fn shutting_down_waits_for_helpers() {
    let devices = std::sync::Arc::new(Devices::new(config(&["0"])));
    let mut running = on(&devices, "a", engines::UNTIL_STOPPED).await;
    hear_note(&mut running, "ready").await;
    let waiting = std::sync::Arc::clone(&devices);
    let shut_down = tokio::spawn(async move { waiting.shut_down().await });
    tokio::task::yield_now().await;
    running.stop();
    assert_eq!(hear_out(&mut running).await.1, Ended::Stopped);
    shut_down.await.expect("a clean end");
    assert!(children_of(std::process::id()).is_empty());
}

/// A parent of its own with a helper that hangs: says the helper's id, then waits to be killed.
pub async fn parent() {
    let devices = one();
    let mut running = on(&devices, "a", engines::SLEEP).await;
    let Delivery::Message(Message::Planned(_), _) = running.next().await else { panic!("no plan") };
    println!("{}", running.pid());
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new()).expect("a pipe");
}

pub async fn no_helper_outlives_its_parent() {
    super::deaths::ends_with_its_parent("parent");
}
