//! The roads that a claim can take.

use stillframe::model::ids::JobId;
use stillframe::model::job::FailCode;
use stillframe::service::api::ProbeRequest;
use stillframe::service::probe;
use stillframe::service::store::rows::JobState;
use tokio::sync::{mpsc, oneshot, watch};

use crate::bench::{Bench, made};

fn published(job: &JobId, ordinals: &[u32]) -> Vec<String> {
    ordinals.iter().map(|ordinal| format!("{job}-{ordinal:05}.jpg")).collect()
}

pub async fn a_job_ends_with_its_pictures_and_their_rows() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "fail 2000").await;
    let job = bench.submit(&video, "j", &[1000, 2000, 3000]).await;
    bench.run(&video).await;
    let ended = bench.job(&job).await;
    assert_eq!((ended.state, ended.attempts, ended.pictures), (JobState::Succeeded, 0, 2));
    assert_eq!(bench.statuses(&job).await, ["ok", "failed", "ok"]);
    let rows = bench.store.points(&job).await.unwrap();
    let ordinals: Vec<Option<u32>> = rows.iter().map(|row| row.ordinal).collect();
    assert_eq!(ordinals, [Some(1), None, Some(2)], "without gaps");
    assert!(rows[1].reason.as_ref().unwrap().contains("this one does not decode"));
    assert_eq!(bench.files(&video), published(&job, &[1, 2]), "and no temp file is left");
    assert_eq!(bench.stored_video(&video).await.duration_ms, Some(60_000));
}

pub async fn each_job_commits_by_itself() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "hold 9000").await;
    let quick = bench.submit(&video, "quick", &[1000]).await;
    let slow = bench.submit(&video, "slow", &[2000, 9000]).await;
    let batch = bench.begin(&video).await;
    bench.wait_for_state(&quick, JobState::Succeeded).await;
    assert_eq!(bench.state(&slow).await.0, JobState::Running, "the batch goes on");
    bench.stop.send_replace(true);
    batch.await.unwrap();
    assert_eq!(bench.state(&slow).await, (JobState::Queued, 0), "a stop costs nothing");
}

pub async fn what_was_delivered_stays_over_a_stop() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "hold 2000").await;
    let job = bench.submit(&video, "j", &[1000, 2000]).await;
    let batch = bench.begin(&video).await;
    let first = bench.wait_for_temp(&video, &job, 0).await;
    bench.stop.send_replace(true);
    batch.await.unwrap();
    // The second walk holds at the same point again.
    let batch = bench.begin(&video).await;
    bench.wait_for_state(&job, JobState::Running).await;
    assert_eq!(bench.wait_for_temp(&video, &job, 0).await, first, "it was not made again");
    bench.stop.send_replace(true);
    batch.await.unwrap();
    assert_eq!(bench.state(&job).await, (JobState::Queued, 0));
    assert_eq!(bench.wait_for_temp(&video, &job, 0).await, first);
}

pub async fn a_crash_costs_only_the_job_whose_point_it_was() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "crash 5000").await;
    let guilty = bench.submit(&video, "guilty", &[1000, 5000]).await;
    let honest = bench.submit(&video, "honest", &[2000]).await;
    bench.run(&video).await;
    assert_eq!(bench.state(&guilty).await, (JobState::Queued, 1));
    assert_eq!(bench.state(&honest).await, (JobState::Queued, 0));
}

pub async fn the_last_attempt_ends_with_what_there_is() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "crash 5000").await;
    let guilty = bench.submit(&video, "guilty", &[1000, 5000, 6000]).await;
    bench.run(&video).await;
    let first = bench.wait_for_temp(&video, &guilty, 0).await;
    for attempts in [1, 2] {
        assert_eq!(bench.state(&guilty).await, (JobState::Queued, attempts));
        bench.later();
        bench.run(&video).await;
    }
    let ended = bench.job(&guilty).await;
    assert_eq!((ended.state, ended.pictures), (JobState::Succeeded, 1), "one picture is there");
    assert_eq!(bench.statuses(&guilty).await, ["ok", "failed", "failed"]);
    let rows = bench.store.points(&guilty).await.unwrap();
    assert!(rows[1].reason.as_ref().unwrap().contains("died: crash"), "{rows:?}");
    let picture = bench.snapshots(&video).join(&published(&guilty, &[1])[0]);
    assert_eq!(made(&std::fs::metadata(picture).unwrap()), first, "of the first attempt");
}

pub async fn a_batch_that_cannot_be_done_ends_at_once() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "corrupt 2000").await;
    let some = bench.submit(&video, "some", &[1000, 2000]).await;
    let none = bench.submit(&video, "none", &[3000]).await;
    bench.run(&video).await;
    let ended = bench.job(&some).await;
    assert_eq!((ended.state, ended.attempts), (JobState::Succeeded, 0), "what was delivered counts");
    assert_eq!(bench.statuses(&some).await, ["ok", "failed"]);
    let ended = bench.job(&none).await;
    assert_eq!((ended.state, ended.attempts), (JobState::Failed, 0));
    assert_eq!(ended.failure.unwrap().code, FailCode::Corrupt);
}

pub async fn a_walk_that_leaves_a_job_out_is_our_fault() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "quit 2000").await;
    let job = bench.submit(&video, "j", &[2000]).await;
    bench.run(&video).await;
    assert_eq!(bench.state(&job).await, (JobState::Queued, 1));
    bench.later();
    bench.run(&video).await;
    bench.later();
    bench.run(&video).await;
    let ended = bench.job(&job).await;
    assert_eq!((ended.state, ended.failure.unwrap().code), (JobState::Failed, FailCode::Internal));
}

pub async fn a_missing_file_ends_its_jobs() {
    let bench = Bench::new().await;
    let video = bench.register("gone.mp4").await;
    let job = bench.submit(&video, "j", &[1000, 2000]).await;
    bench.run(&video).await;
    let ended = bench.job(&job).await;
    assert_eq!((ended.state, ended.failure.unwrap().code), (JobState::Failed, FailCode::NotFound));
    assert_eq!(bench.statuses(&job).await, ["failed", "failed"], "every point has a row");
}

pub async fn a_replaced_file_ends_what_is_undecided() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "hold 9000").await;
    let job = bench.submit(&video, "j", &[1000, 9000]).await;
    let batch = bench.begin(&video).await;
    bench.wait_for_temp(&video, &job, 0).await;
    std::fs::write(bench.path("new"), "another film\n").unwrap();
    std::fs::rename(bench.path("new"), bench.path("a.mp4")).unwrap();
    bench.stop.send_replace(true);
    batch.await.unwrap();
    assert_eq!(bench.statuses(&job).await, ["ok", "failed"]);
    let rows = bench.store.points(&job).await.unwrap();
    assert!(rows[1].reason.as_ref().unwrap().contains("replaced"), "{rows:?}");
}

pub async fn between_two_claims_a_replaced_file_starts_anew() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "hold 9000").await;
    let job = bench.submit(&video, "j", &[1000, 9000]).await;
    let batch = bench.begin(&video).await;
    bench.wait_for_temp(&video, &job, 0).await;
    bench.stop.send_replace(true);
    batch.await.unwrap();
    assert_eq!(bench.state(&job).await, (JobState::Queued, 0));
    std::fs::write(bench.path("new"), "end 8000\n").unwrap();
    std::fs::rename(bench.path("new"), bench.path("a.mp4")).unwrap();
    bench.run(&video).await;
    assert_eq!(bench.statuses(&job).await, ["ok", "past_end"]);
    let picture = bench.snapshots(&video).join(&published(&job, &[1])[0]);
    let tint = 8000_i64.to_be_bytes()[6];
    assert_eq!(std::fs::read(picture).unwrap()[2], tint, "the picture is of the new file");
}

pub async fn a_cancelled_job_ends_its_child_and_leaves_nothing() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "hold 9000").await;
    let job = bench.submit(&video, "j", &[1000, 9000]).await;
    let batch = bench.begin(&video).await;
    bench.wait_for_temp(&video, &job, 0).await;
    assert!(bench.store.cancel(&job, 1_000_001).await.unwrap());
    // Nobody asks it to stop: the batch ends because nobody is left that it works for.
    batch.await.unwrap();
    assert_eq!(bench.state(&job).await.0, JobState::Cancelled);
    assert_eq!(bench.files(&video), Vec::<String>::new());
    assert_eq!(bench.pipeline.pool.gauges().busy, 0);
}

pub async fn a_full_disk_costs_nobody() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "").await;
    let job = bench.submit(&video, "j", &[1000]).await;
    // Root may write anywhere; nobody can make a folder where a file is.
    let in_the_way = bench.snapshots(&video);
    std::fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    std::fs::write(&in_the_way, "").unwrap();
    for _ in 0..4 {
        bench.run(&video).await;
        assert_eq!(bench.state(&job).await, (JobState::Queued, 0));
        bench.later();
    }
    std::fs::remove_file(&in_the_way).unwrap();
    bench.run(&video).await;
    assert_eq!(bench.state(&job).await, (JobState::Succeeded, 0));
}

pub async fn points_past_the_end_are_no_failure() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "end 1500").await;
    let job = bench.submit(&video, "j", &[1000, 2000]).await;
    bench.run(&video).await;
    assert_eq!(bench.state(&job).await, (JobState::Succeeded, 0));
    assert_eq!(bench.statuses(&job).await, ["ok", "past_end"]);
}

pub async fn nothing_but_points_past_the_end_is_a_failure() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "end 500").await;
    let job = bench.submit(&video, "j", &[1000, 2000]).await;
    bench.run(&video).await;
    let ended = bench.job(&job).await;
    assert_eq!((ended.state, ended.failure.unwrap().code), (JobState::Failed, FailCode::PastEnd));
    assert_eq!(bench.statuses(&job).await, ["past_end", "past_end"]);
}

pub async fn a_probe_writes_the_duration_down() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "end 4321").await;
    let stored = bench.stored_video(&video).await;
    assert_eq!(stored.duration_ms, None);
    let (requests, receiver) = mpsc::channel(1);
    let stop = watch::Sender::new(false);
    let served = tokio::spawn(probe::serve(bench.pipeline.clone(), receiver, stop.subscribe()));
    let (done, told) = oneshot::channel();
    requests.send(ProbeRequest { video: stored, done: Some(done) }).await.unwrap();
    told.await.unwrap();
    let stored = bench.stored_video(&video).await;
    assert_eq!((stored.duration_ms, stored.size), (Some(4321), 9));
    // A file that is gone is answered as well.
    let gone = bench.register("gone.mp4").await;
    let (done, told) = oneshot::channel();
    let video = bench.stored_video(&gone).await;
    requests.send(ProbeRequest { video, done: Some(done) }).await.unwrap();
    told.await.unwrap();
    stop.send_replace(true);
    served.await.unwrap();
}

pub async fn what_is_remembered_of_a_cancelled_job_is_dropped() {
    let bench = Bench::new().await;
    let video = bench.video("a.mp4", "hold 9000").await;
    let job = bench.submit(&video, "j", &[1000, 9000]).await;
    let batch = bench.begin(&video).await;
    bench.wait_for_temp(&video, &job, 0).await;
    bench.stop.send_replace(true);
    batch.await.unwrap();
    bench.pipeline.forget_ended().await;
    assert_eq!(bench.files(&video).len(), 1, "a queued job keeps what it has");
    assert!(bench.store.cancel(&job, 1_000_001).await.unwrap());
    bench.pipeline.forget_ended().await;
    assert_eq!(bench.files(&video), Vec::<String>::new());
}
