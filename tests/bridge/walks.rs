//! Batches that go well.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

use stillframe::model::delivery::Message;
use stillframe::model::job::{Ended, FailCode, Grant};
use stillframe::model::limits::NOTES_MAX;
use stillframe::model::snapshot::ImageKind;
use stillframe::worker::budget::Budget;
use stillframe::worker::pool::{Delivery, Pool, PoolConfig};

use super::engines::{self, LARGE, PRESS_IMAGES, THREAD_IMAGES, batch};
use super::{children_of, config, descriptors_of, hear_note, hear_out, notes, pool, process, run, video};

pub async fn messages_arrive_intact() {
    let pool = pool().await;
    let asked = batch(engines::WALK);
    let mut running = run(&pool, asked.clone()).await;
    let (messages, ended, stats) = hear_out(&mut running).await;
    assert!(messages == engines::script(&asked), "the messages differ from what was said");
    assert_eq!(ended, Ended::Done);
    // The child says 1 microsecond; the daemon knows better.
    assert!(stats.cpu_us > 1, "{} us of CPU", stats.cpu_us);
    assert_eq!(stats, stillframe::model::job::Stats { cpu_us: stats.cpu_us, ..engines::last_stats() });
    assert!(running.peak_rss_bytes().is_some_and(|bytes| bytes > LARGE as u64));
    pool.shut_down().await;
}

pub async fn a_failed_batch_says_so() {
    let pool = pool().await;
    let (messages, ended, _) = hear_out(&mut run(&pool, batch(engines::FAIL)).await).await;
    assert_eq!(messages, []);
    assert!(matches!(ended, Ended::Failed(failure) if failure.code == FailCode::NoVideo));
    pool.shut_down().await;
}

pub async fn threads_deliver_at_once() {
    let pool = pool().await;
    let (messages, ended, _) = hear_out(&mut run(&pool, batch(engines::THREADS)).await).await;
    assert_eq!(ended, Ended::Done);
    let mut each: BTreeMap<u32, u32> = BTreeMap::new();
    for message in &messages[1..] {
        let Message::Image(image) = message else { panic!("no image") };
        let ImageKind::Picture { asked } = image.kind else { panic!("no picture") };
        // Each thread's images come in its order, none mixed with another's bytes.
        let nth = each.entry(asked).or_default();
        assert!(*message == engines::image(asked, 100_000 + *nth as usize), "image {nth} of thread {asked}");
        *nth += 1;
    }
    assert_eq!(each, (0..4).map(|thread| (thread, THREAD_IMAGES)).collect());
    pool.shut_down().await;
}

pub async fn the_descriptor_is_the_videos() {
    let pool = pool().await;
    for text in ["the first video", "another one"] {
        let grant = Grant { threads: 1, bytes: 1 };
        let (_file, source) = video(text.as_bytes());
        let mut running = pool.run(batch(engines::READ), source, grant).await.expect("a child");
        let (messages, ..) = hear_out(&mut running).await;
        assert_eq!(messages, [engines::note(text)]);
    }
    pool.shut_down().await;
}

pub async fn a_child_holds_nothing_but_its_batch() {
    let pool = pool().await;
    // Another child lives meanwhile: none of its descriptors may be seen.
    let mut other = run(&pool, batch(engines::UNTIL_STOPPED)).await;
    hear_note(&mut other, "ready").await;

    let (file, source) = video(b"frames");
    let grant = Grant { threads: 1, bytes: 1 };
    let mut running = pool.run(batch(engines::TELL), source, grant).await.expect("a child");
    let (messages, ..) = hear_out(&mut running).await;
    let video = format!("fd 4 {}", file.path().display());
    // Ten steps behind the daemon, as far down as the scale goes.
    let own = rustix::process::getpriority_process(None).expect("a priority");
    let nice = format!("nice Ok({})", (own + 10).min(19));
    let expected = [
        "deathsig true",
        "env MALLOC_ARENA_MAX=2",
        "env TZ=UTC0",
        "fd 0 /dev/null",
        "fd 1 /dev/null",
        "fd 2 pipe:",
        "fd 3 socket:",
        &video,
        &nice,
        "oom 900",
    ];
    let told = notes(&messages);
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}, not {expected}");
    }
    other.stop();
    assert_eq!(hear_out(&mut other).await.1, Ended::Stopped);
    pool.shut_down().await;
}

pub async fn a_full_budget_blocks_the_child() {
    let budget = Budget::new(LARGE as u64 + 1024);
    let pool = Pool::start(PoolConfig { budget: budget.clone(), ..config() }).await.expect("a zygote");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let count = || {
        let mut byte = [0];
        file.as_file().read_at(&mut byte, 0).expect("a readable video");
        u32::from(byte[0])
    };
    let source = stillframe::model::job::Source::Fd(file.reopen().expect("opened").into());
    let grant = Grant { threads: 1, bytes: 1 };
    let mut running = pool.run(batch(engines::PRESS), source, grant).await.expect("a child");
    let Delivery::Message(Message::Planned(_), None) = running.next().await else { panic!("no plan") };

    for nth in 1..=PRESS_IMAGES {
        let Delivery::Message(Message::Image(image), Some(share)) = running.next().await else {
            panic!("no image {nth}");
        };
        assert_eq!(image.bytes.len(), LARGE);
        assert!(budget.held_bytes() >= LARGE as u64);
        if nth < PRESS_IMAGES {
            // The child goes on until it sleeps in the write of the next image; nothing of that gets
            // through while the share is held, however long that is.
            let pid = running.pid();
            let asleep = async {
                while count() < nth || process(pid).is_none_or(|(state, _)| state != 'S') {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                delivery = running.next() => panic!("{delivery:?} although the budget is full"),
                () = asleep => {}
            }
            assert_eq!(count(), nth);
        }
        drop(share);
    }
    assert_eq!(hear_out(&mut running).await.1, Ended::Done);
    assert_eq!(count(), PRESS_IMAGES);
    assert_eq!(budget.held_bytes(), 0);
    pool.shut_down().await;
}

pub async fn a_stop_is_seen() {
    let pool = pool().await;
    let mut running = run(&pool, batch(engines::UNTIL_STOPPED)).await;
    hear_note(&mut running, "ready").await;
    running.stop();
    let (messages, ended, stats) = hear_out(&mut running).await;
    assert_eq!((messages.len(), ended, stats.opens), (0, Ended::Stopped, 1));
    // A stop before the child has even read its batch, and two of them.
    let mut running = run(&pool, batch(engines::UNTIL_STOPPED)).await;
    running.stop();
    running.stop();
    assert_eq!(hear_out(&mut running).await.1, Ended::Stopped);
    pool.shut_down().await;
}

pub async fn notes_are_capped() {
    let pool = pool().await;
    let (messages, ended, _) = hear_out(&mut run(&pool, batch(engines::CHATTER)).await).await;
    assert_eq!((messages.len(), ended), (NOTES_MAX, Ended::Done));
    pool.shut_down().await;
}

pub async fn a_dropped_next_loses_nothing() {
    let pool = pool().await;
    let asked = batch(engines::WALK);
    let mut running = run(&pool, asked.clone()).await;
    let mut messages = Vec::new();
    let ended = loop {
        // Dropped at every point where it has to wait.
        let delivery = tokio::select! {
            biased;
            delivery = running.next() => delivery,
            () = tokio::task::yield_now() => continue,
        };
        match delivery {
            Delivery::Message(message, _) => messages.push(message),
            Delivery::Ended(ended, _) => break ended,
        }
    };
    assert_eq!(ended, Ended::Done);
    assert!(messages == engines::script(&asked), "a message was lost");
    pool.shut_down().await;
}

pub async fn many_batches_leave_nothing_behind() {
    let pool = pool().await;
    let zygote = pool.zygote_pid().expect("a zygote");
    hear_out(&mut run(&pool, batch(engines::WALK)).await).await;
    let own = std::process::id();
    let before = (descriptors_of(own), descriptors_of(zygote));
    let modes = [engines::FAIL, engines::DIE_ABORT, engines::READ, engines::DIE_EXIT, engines::CHATTER];
    for _ in 0..10 {
        let mut side_by_side = Vec::new();
        for mode in modes.into_iter().cycle().take(10) {
            side_by_side.push(run(&pool, batch(mode)).await);
        }
        // As a pipeline holds them: each in a task of its own.
        let tasks: Vec<_> = side_by_side
            .into_iter()
            .map(|mut running| tokio::spawn(async move { hear_out(&mut running).await }))
            .collect();
        for task in tasks {
            task.await.expect("a batch that ends");
        }
    }
    assert_eq!(pool.gauges().busy, 0);
    assert_eq!((descriptors_of(own), descriptors_of(zygote)), before);
    assert!(children_of(zygote).is_empty());
    assert_eq!(children_of(own), [zygote]);
    pool.shut_down().await;
    assert!(children_of(own).is_empty());
}
