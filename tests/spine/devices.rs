//! The roads of a claim beside a device: whatever the device does, every picture comes and no job pays.

use std::time::Duration;

use stillframe::model::device::{DeviceCodec, Refusal};
use stillframe::model::ids::{JobId, VideoId};
use stillframe::model::job::{FailCode, Fallback};
use stillframe::model::media::Backend;
use stillframe::service::store::rows::JobState;

use crate::bench::Bench;

const SUCCESS: (JobState, u32) = (JobState::Succeeded, 0);

async fn ready(node: &str) -> Bench {
    let bench = Bench::beside(node, &[]).await;
    bench.ready().await;
    bench
}

async fn fallbacks(bench: &Bench, job: &JobId) -> Vec<Fallback> {
    bench.job(job).await.fallbacks
}

fn from_device(reason: Refusal, points: u32) -> Vec<Fallback> {
    vec![Fallback { from: Backend::Vaapi, reason, points }]
}

/// A job of three pictures of a new video, run to its end.
async fn one(bench: &Bench, name: &str, script: &str) -> JobId {
    let video = bench.video(name, script).await;
    let job = bench.submit(&video, name, &[1000, 2000, 3000]).await;
    bench.run(&video).await;
    job
}

pub async fn a_device_does_what_it_is_wanted_for() {
    let bench = ready("").await;
    let job = one(&bench, "large.mp4", "wants 0").await;
    assert_eq!(bench.state(&job).await, SUCCESS);
    assert_eq!(bench.backends(&job).await, ["vaapi"; 3]);
    assert_eq!(bench.walks("large.mp4"), (1, 1));
    assert_eq!(fallbacks(&bench, &job).await, []);
    let job = one(&bench, "small.mp4", "").await;
    assert_eq!(bench.backends(&job).await, ["cpu"; 3]);
    assert_eq!(bench.walks("small.mp4"), (1, 0), "nobody wanted it");
}

pub async fn what_a_device_leaves_undone_the_cpu_does_for_each_reason() {
    for reason in Refusal::ALL {
        let bench = ready("").await;
        let video = bench.video("a.mp4", &format!("wants 0\ngpu:{} 2000", reason.name())).await;
        let before = bench.submit(&video, "before", &[500]).await;
        let whole = bench.submit(&video, "whole", &[1000, 2000, 3000]).await;
        let after = bench.submit(&video, "after", &[4000]).await;
        bench.run(&video).await;
        for job in [&before, &whole, &after] {
            assert_eq!(bench.state(job).await, SUCCESS, "{}", reason.name());
        }
        // The jobs come one after the other, and the second point of the second is the trouble.
        assert_eq!(
            (bench.backends(&before).await, fallbacks(&bench, &before).await),
            (vec!["vaapi"], vec![])
        );
        assert_eq!(bench.backends(&whole).await, ["vaapi", "cpu", "cpu"], "{}", reason.name());
        assert_eq!(fallbacks(&bench, &whole).await, from_device(reason, 2));
        assert_eq!(fallbacks(&bench, &after).await, from_device(reason, 1));
        assert_eq!(bench.walks("a.mp4"), (2, 1), "{}", reason.name());
    }
}

pub async fn a_helper_that_hangs_or_dies_costs_nobody_anything() {
    let bench = Bench::beside("", &[("STILLFRAME_DEVICES_NO_PROGRESS_S", "0.3")]).await;
    bench.ready().await;
    for (word, reason) in [("crash", Refusal::Crash), ("hang", Refusal::Hang)] {
        let name = format!("{word}.mp4");
        let video = bench.video(&name, &format!("wants 0\ngpu:{word} 2000")).await;
        let job = bench.submit(&video, word, &[1000, 2000, 3000]).await;
        let other = bench.video(&format!("beside-{word}.mp4"), "").await;
        let beside = bench.submit(&other, &format!("beside-{word}"), &[1000]).await;
        let batch = bench.begin(&video).await;
        bench.run(&other).await;
        assert_eq!(bench.state(&beside).await, SUCCESS, "others go on meanwhile");
        batch.await.unwrap();
        assert_eq!(bench.state(&job).await, SUCCESS, "{word}");
        assert_eq!(bench.backends(&job).await, ["vaapi", "cpu", "cpu"], "{word}");
        assert_eq!(fallbacks(&bench, &job).await, from_device(reason, 2));
        if word == "crash" {
            let next = one(&bench, "next.mp4", "wants 0").await;
            assert_eq!(bench.backends(&next).await, ["vaapi"; 3], "the helper was replaced");
        }
    }
    assert!(bench.devices.offer().is_empty(), "one hang is enough");
    bench.clock.advance(Duration::from_secs(30));
    bench.ready().await;
    let next = one(&bench, "again.mp4", "wants 0").await;
    assert_eq!(bench.backends(&next).await, ["vaapi"; 3]);
}

pub async fn what_the_device_says_of_the_file_the_cpu_looks_at_itself() {
    let bench = ready("").await;
    for (word, told) in [("fail", vec![]), ("quit", from_device(Refusal::NoFrame, 2))] {
        let name = format!("{word}.mp4");
        let job = one(&bench, &name, &format!("wants 0\ngpu:{word} 2000")).await;
        assert_eq!(bench.state(&job).await, SUCCESS, "{word}");
        assert_eq!(bench.backends(&job).await, ["vaapi", "cpu", "cpu"], "{word}");
        assert_eq!(fallbacks(&bench, &job).await, told);
    }
    // Where the CPU agrees, its word is what the job ends with.
    let job = one(&bench, "both.mp4", "wants 0\ngpu:fail 2000\ncorrupt 2000").await;
    assert_eq!(bench.statuses(&job).await, ["ok", "failed", "failed"]);
    assert_eq!(bench.state(&job).await, SUCCESS);
}

pub async fn damage_that_the_cpu_finds_too_is_no_strike() {
    let bench = ready("").await;
    for n in 0..6 {
        let job = one(&bench, &format!("{n}.mp4"), "wants 0\ngpu:send 2000\nfail 2000").await;
        assert_eq!(bench.statuses(&job).await, ["ok", "failed", "ok"]);
        assert!(!bench.devices.offer().is_empty(), "it was the stream's fault");
    }
    for n in 0..3 {
        assert!(!bench.devices.offer().is_empty(), "before strike {n}");
        one(&bench, &format!("clean-{n}.mp4"), "wants 0\ngpu:send 2000").await;
    }
    assert!(bench.devices.offer().is_empty(), "three streams that the CPU has no trouble with");
    let job = one(&bench, "after.mp4", "wants 0").await;
    assert_eq!(bench.walks("after.mp4"), (1, 0), "on the CPU, in one go");
    assert_eq!((bench.state(&job).await, fallbacks(&bench, &job).await), (SUCCESS, vec![]));
}

pub async fn a_job_is_tried_on_a_device_once() {
    let bench = ready("").await;
    let video = bench.video("a.mp4", "wants 0\ngpu:copy 2000\nhold 3000").await;
    let job = bench.submit(&video, "j", &[1000, 2000, 3000]).await;
    for claim in 1..=3 {
        let batch = bench.begin(&video).await;
        bench.wait_for_temp(&video, &job, 1).await;
        while bench.walks("a.mp4").0 < claim + 1 {
            tokio::task::yield_now().await;
        }
        bench.stop.send_replace(true);
        batch.await.unwrap();
        assert_eq!(bench.state(&job).await, (JobState::Queued, 0), "claim {claim}");
    }
    assert_eq!(bench.walks("a.mp4").1, 1, "one try of the device in three claims");
    assert!(!bench.devices.offer().is_empty());
}

pub async fn a_stop_reaches_a_device() {
    let bench = ready("").await;
    let video = bench.video("a.mp4", "wants 0\ngpu:hold 2000").await;
    let job = bench.submit(&video, "j", &[1000, 2000]).await;
    for claim in 1..=2 {
        let batch = bench.begin(&video).await;
        let first = bench.wait_for_temp(&video, &job, 0).await;
        while bench.walks("a.mp4").1 < claim {
            tokio::task::yield_now().await;
        }
        bench.stop.send_replace(true);
        batch.await.unwrap();
        assert_eq!(bench.state(&job).await, (JobState::Queued, 0), "claim {claim}");
        assert_eq!(bench.wait_for_temp(&video, &job, 0).await, first, "it was not made again");
    }
}

pub async fn a_cancelled_job_ends_the_work_of_a_device() {
    let bench = ready("").await;
    let video = bench.video("a.mp4", "wants 0\ngpu:hold 9000").await;
    let job = bench.submit(&video, "j", &[1000, 9000]).await;
    let batch = bench.begin(&video).await;
    bench.wait_for_temp(&video, &job, 0).await;
    assert!(bench.store.cancel(&job, 1_000_001).await.unwrap());
    batch.await.unwrap();
    assert_eq!(bench.state(&job).await.0, JobState::Cancelled);
    assert_eq!(bench.files(&video), Vec::<String>::new());
    assert_eq!(bench.walks("a.mp4"), (1, 1), "the CPU has nothing to take over");
    bench.ready().await;
}

pub async fn every_batch_goes_to_a_forced_device_first() {
    let bench = Bench::beside("", &[("STILLFRAME_DEVICES_BACKEND", "vaapi")]).await;
    bench.ready().await;
    let job = one(&bench, "small.mp4", "").await;
    assert_eq!(bench.backends(&job).await, ["vaapi"; 3]);
    assert_eq!(bench.walks("small.mp4"), (0, 1));
    let job = one(&bench, "crashes.mp4", "gpu:crash 1000").await;
    assert_eq!(fallbacks(&bench, &job).await, from_device(Refusal::Crash, 3));
    assert_eq!((bench.state(&job).await, bench.walks("crashes.mp4")), (SUCCESS, (1, 1)));
    // Two at once: the second waits for its turn.
    let (one, two) = (bench.video("1.mp4", "gpu:hold 9000").await, bench.video("2.mp4", "").await);
    let holds = bench.submit(&one, "holds", &[1000, 9000]).await;
    let waits = bench.submit(&two, "waits", &[1000]).await;
    let first = bench.begin(&one).await;
    bench.wait_for_temp(&one, &holds, 0).await;
    let second = bench.begin(&two).await;
    assert!(bench.store.cancel(&holds, 1_000_001).await.unwrap());
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(bench.backends(&waits).await, ["vaapi"]);
    // Without a device that stands ready the CPU does it all the same, and says so.
    let dead = Bench::beside("dead", &[("STILLFRAME_DEVICES_BACKEND", "vaapi")]).await;
    let job = self::one(&dead, "a.mp4", "").await;
    assert_eq!((dead.state(&job).await, dead.walks("a.mp4")), (SUCCESS, (1, 0)));
    assert_eq!(fallbacks(&dead, &job).await, from_device(Refusal::Breaker, 3));
}

pub async fn a_thousand_jobs_beside_a_device_that_always_fails() {
    let bench = ready("copy").await;
    let (mut on_cpu, mut on_device) = (0, 0);
    for n in 0..1_000 {
        let name = format!("{n}.mp4");
        let video = bench.video(&name, "wants 0").await;
        let job = bench.submit(&video, &name, &[1000]).await;
        bench.run(&video).await;
        assert_eq!((bench.state(&job).await, bench.backends(&job).await), (SUCCESS, vec!["cpu"]));
        let walks = bench.walks(&name);
        (on_cpu, on_device) = (on_cpu + walks.0, on_device + walks.1);
        bench.clock.advance(Duration::from_secs(1));
    }
    assert!((3..=12).contains(&on_device), "{on_device} tries of the device");
    assert!(on_cpu <= 1_050, "{on_cpu} walks on the CPU");
    println!("1,000 jobs: {on_device} tries of the device, {on_cpu} walks on the CPU");
}

pub async fn a_device_that_comes_back_is_noticed_in_time() {
    let bench = Bench::beside("dead", &[]).await;
    // The first wait, and what it grows to: within the longest it is asked again, whenever it comes back.
    for wait_s in [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
        while bench.devices.proof_due_ms() != Some(bench.now_ms() + wait_s * 1_000) {
            tokio::task::yield_now().await;
        }
        assert!(bench.devices.offer().is_empty());
        bench.clock.advance(Duration::from_secs(wait_s.unsigned_abs()));
    }
    while bench.devices.proof_due_ms() != Some(bench.now_ms() + 3_600_000) {
        tokio::task::yield_now().await;
    }
    bench.node_says("");
    bench.clock.advance(Duration::from_secs(3_600));
    bench.ready().await;
    let job = one(&bench, "a.mp4", "wants 0").await;
    assert_eq!(bench.backends(&job).await, ["vaapi"; 3]);
}

pub async fn a_kind_that_comes_out_wrong_is_shut() {
    let bench = Bench::beside("wrong", &[]).await;
    let others = |codec| codec != DeviceCodec::H264;
    bench.look_for(|offer| offer.len() == 1 && others(offer[0].class.codec)).await;
    let job = one(&bench, "a.mp4", "wants 0").await;
    assert_eq!((bench.backends(&job).await, bench.walks("a.mp4")), (vec!["cpu"; 3], (2, 0)));
    assert_eq!(fallbacks(&bench, &job).await, [], "it was not asked");
    // A batch that finds it out shuts the kind too.
    let bench = ready("").await;
    let job = one(&bench, "a.mp4", "wants 0\ngpu:unproven 1000").await;
    assert_eq!(fallbacks(&bench, &job).await, from_device(Refusal::Unproven, 3));
    bench.look_for(|offer| offer.len() == 1 && others(offer[0].class.codec)).await;
}

pub async fn a_busy_device_is_not_waited_for() {
    let bench = ready("").await;
    let busy = bench.video("busy.mp4", "wants 0\ngpu:hold 9000").await;
    let holds = bench.submit(&busy, "holds", &[1000, 9000]).await;
    let batch = bench.begin(&busy).await;
    bench.wait_for_temp(&busy, &holds, 0).await;
    let job = one(&bench, "a.mp4", "wants 0").await;
    assert_eq!((bench.backends(&job).await, bench.walks("a.mp4")), (vec!["cpu"; 3], (1, 0)));
    assert_eq!(fallbacks(&bench, &job).await, []);
    assert!(bench.store.cancel(&holds, 1_000_001).await.unwrap());
    batch.await.unwrap();
}

pub async fn without_a_device_all_is_as_ever() {
    let bench = Bench::beside("dead", &[]).await;
    let job = one(&bench, "a.mp4", "wants 0").await;
    assert_eq!((bench.state(&job).await, bench.backends(&job).await), (SUCCESS, vec!["cpu"; 3]));
    assert_eq!((bench.walks("a.mp4"), fallbacks(&bench, &job).await), ((1, 0), vec![]));
    let gone = bench.register("gone.mp4").await;
    let job = lost(&bench, &gone).await;
    assert_eq!(bench.job(&job).await.failure.unwrap().code, FailCode::NotFound);
}

async fn lost(bench: &Bench, video: &VideoId) -> JobId {
    let job = bench.submit(video, "lost", &[1000]).await;
    bench.run(video).await;
    job
}
