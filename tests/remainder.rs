//! The rule of the remainder: what was delivered stays, what is missing is done again, and only who was at work pays.
//!
//! Twenty jobs of one batch, each in a group of pictures of its own, so that each is a run of its own. When ten
//! callbacks have come the child, or the whole daemon, is killed. What was decoded is what the metrics say.

mod common;
#[path = "remainder/poison.rs"]
mod poison;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use common::daemon::{Daemon, Setup};
use common::processes::{self, Process};
use common::receiver::{Callback, Receiver};
use common::rows::Rows;
use common::{clips, until};
use rustix::process::Signal;
use stillframe::model::ids::{JobId, VideoId};
use stillframe::model::naming::{Class, object_key};
use stillframe::model::snapshot::PointStatus;
use stillframe::service::store::rows::{Job, JobState};

const JOBS: u32 = 20;
/// Frames of a group, and so of a run: every job wants its group's last.
const RUN: u64 = 200;
const RUN_MS: u32 = 8_000;
/// Pictures of a job; one more point lies past the end.
const PICTURES: u32 = 3;

/// A daemon that was started with the twenty jobs in its queue.
struct Scene {
    daemon: Daemon,
    setup: Setup,
    receiver: Receiver,
    clip: PathBuf,
    video: VideoId,
    /// In the order of their groups.
    jobs: Vec<String>,
    /// The first callback of each job, as it came.
    events: BTreeMap<String, Callback>,
}

/// What must not change once a job is finished.
#[derive(Debug, PartialEq)]
struct Fixed {
    /// Inode, seconds and nanoseconds of the last change of each picture's bytes.
    pictures: Vec<(u64, i64, i64)>,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    event_id: String,
    body: Vec<u8>,
}

/// Settings under which a stopped child is waited for as long as the test takes.
fn patient(threads: u32) -> Setup {
    let env = vec![
        ("STILLFRAME_WORKER_SLOTS", threads.to_string()),
        ("STILLFRAME_WORKER_NO_PROGRESS_S", "3600".to_owned()),
        ("STILLFRAME_API_SUBMIT_PER_SECOND", "0".to_owned()),
    ];
    Setup { env, media_roots: vec![clips::folder()], ..Setup::default() }
}

/// Submits a job that keeps the video busy, and stops the child that walks for it. Until the job is cancelled
/// or the child is killed, no other job of the video begins.
fn hold(daemon: &Daemon, clip: &Path, video: &str, last_ms: &[u32]) -> (String, Process) {
    let job = daemon.submit(video, &[("SpecifiedOffsetTimes", &format!("{last_ms:?}")), ("Width", "320")]);
    let child = until("a child for the first job", || processes::walking(daemon.pid(), clip));
    child.signal(Signal::STOP);
    assert_eq!(Rows::open(&daemon.data()).job(&job).state, JobState::Running, "it was not caught in time");
    (job, child)
}

impl Scene {
    /// Everything is submitted to a daemon that cannot begin, which is then killed: the next one finds the jobs
    /// due all at once, and takes them as one batch.
    fn queued(threads: u32) -> Scene {
        let clip = clips::groups(JOBS, RUN as u32);
        let receiver = Receiver::start(&[]);
        let setup = patient(threads);
        let daemon = Daemon::start(setup.clone());
        daemon.call_back(&daemon.key, &receiver.url());
        let video = daemon.register(&clip);
        let ends: Vec<u32> = (1..=JOBS).map(|group| group * RUN_MS - 30).collect();
        let (holding, _child) = hold(&daemon, &clip, &video, &ends);
        let submit = |end: &u32| {
            let times = format!("[{},{},{end},900000]", end - 5_970, end - 2_970);
            daemon.submit(&video, &[("SpecifiedOffsetTimes", &times), ("Width", "320")])
        };
        let jobs: Vec<String> = ends.iter().map(submit).collect();
        let (folder, key) = daemon.kill();
        let data = folder.path().join("data");
        common::run(common::stillframe().arg("--data").arg(data).args(["jobs", "cancel", &holding]), 0);
        let daemon = Daemon::start_in(folder, key, setup.clone());
        Scene { daemon, setup, receiver, clip, video: VideoId(video), jobs, events: BTreeMap::new() }
    }

    /// Waits until this many jobs have told their end. A callback that comes again must be the same.
    fn hear(&mut self, jobs: usize) {
        while self.events.len() < jobs {
            let callback = self.receiver.next();
            let job = callback.json()["JobId"].as_str().unwrap().to_owned();
            assert!(self.jobs.contains(&job), "a callback of another job: {}", callback.json());
            if let Some(first) = self.events.get(&job) {
                assert_eq!((&first.body, event_id(first)), (&callback.body, event_id(&callback)));
            }
            self.events.entry(job).or_insert(callback);
        }
    }

    /// The child that is at work when ten jobs have told their end, stopped.
    fn stop_in_the_middle(&mut self) -> Process {
        self.hear(JOBS as usize / 2);
        let child = processes::walking(self.daemon.pid(), &self.clip);
        let child =
            child.expect("a child at work at the tenth callback: jobs end one by one, not with their batch");
        child.signal(Signal::STOP);
        child
    }

    fn rows(&self) -> Rows {
        Rows::open(&self.daemon.data())
    }

    /// Path of a job's picture, in asked order from 0: under its name, or as a temp file while the job goes on.
    fn picture(&self, job: &str, asked: u32) -> Option<PathBuf> {
        let objects = self.daemon.data().join("objects");
        let name = objects.join(object_key(&self.video, Class::Normal, &JobId::from(job), asked + 1));
        let temp = name.with_file_name(format!(".{job}-p{asked}.tmp"));
        [temp, name].into_iter().find(|path| path.exists())
    }

    fn fixed(&self, rows: &Rows, job: &str) -> Fixed {
        let row = rows.job(job);
        let pictures = (0..PICTURES).map(|asked| facts(&self.picture(job, asked).unwrap()));
        let event = &self.events[job];
        Fixed {
            pictures: pictures.collect(),
            started_ms: row.started_ms,
            ended_ms: row.ended_ms,
            event_id: event_id(event),
            body: event.body.clone(),
        }
    }

    /// Every job that has told its end so far.
    fn finished(&self) -> BTreeMap<String, Fixed> {
        let rows = self.rows();
        self.events.keys().map(|job| (job.clone(), self.fixed(&rows, job))).collect()
    }

    /// Frames that this daemon's children decoded, once so many batches of it have ended.
    fn frames(&self, batches: u64) -> u64 {
        until("the end of the batch", || {
            (self.daemon.count("stillframe_frames_per_point_count") == batches).then_some(())
        });
        self.daemon.count("stillframe_decoded_frames_total")
    }

    /// The end of every story: all done, each once. Returns the jobs' rows, in the order of their groups.
    fn check_ended(&self, before: &BTreeMap<String, Fixed>) -> Vec<Job> {
        let rows = self.rows();
        for (job, fixed) in before {
            assert_eq!(
                &self.fixed(&rows, job),
                fixed,
                "job {job} was finished before and is not the same any more"
            );
        }
        let outbox = rows.deliveries();
        assert_eq!(outbox.len(), JOBS as usize, "{outbox:#?}");
        for row in &outbox {
            let event = &self.events[&row.job.as_ref().unwrap().0];
            assert_eq!((row.body.as_bytes(), &row.event_id), (&event.body[..], &event_id(event)));
        }
        let jobs: Vec<Job> = self.jobs.iter().map(|job| rows.job(job)).collect();
        for job in &jobs {
            assert_eq!((job.state, job.pictures), (JobState::Succeeded, PICTURES), "{job:?}");
            let statuses: Vec<PointStatus> = rows.points(&job.id).iter().map(|point| point.status).collect();
            assert_eq!(statuses, [PointStatus::Ok, PointStatus::Ok, PointStatus::Ok, PointStatus::PastEnd]);
            let told = &self.events[&job.id.0].json()["Stillframe"];
            assert_eq!((&told["asked"], &told["delivered"]), (&4.into(), &PICTURES.into()), "{told}");
        }
        let objects = self.daemon.data().join("objects");
        let folder = objects.join(&self.video.0).join("snapshots").join(Class::Normal.folder());
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), (JOBS * PICTURES) as usize);
        jobs
    }
}

fn event_id(event: &Callback) -> String {
    event.header("x-stillframe-event-id").unwrap().to_owned()
}

fn facts(file: &Path) -> (u64, i64, i64) {
    let facts = file.metadata().unwrap();
    (facts.ino(), facts.mtime(), facts.mtime_nsec())
}

/// The jobs of the second claim: all that were not finished in the first.
fn claimed_again(jobs: &[Job]) -> Vec<&Job> {
    let first = jobs.iter().filter_map(|job| job.started_ms).min();
    jobs.iter().filter(|job| job.started_ms != first).collect()
}

#[test]
fn a_quiet_batch_decodes_each_run_once() {
    let mut scene = Scene::queued(1);
    scene.hear(JOBS as usize);
    let jobs = scene.check_ended(&BTreeMap::new());
    assert_eq!(claimed_again(&jobs).len(), 0, "not one batch: {jobs:#?}");
    assert!(jobs.iter().all(|job| job.attempts == 0));
    assert_eq!(scene.frames(1), u64::from(JOBS) * RUN);
}

/// Kills the child in the middle; the most runs in hand then are `hand_max`.
fn killed_child(threads: u32, hand_max: usize) {
    let mut scene = Scene::queued(threads);
    let child = scene.stop_in_the_middle();
    // On, to where a job has some of its pictures. With two threads the first may still be on its way to its file.
    let finished = scene.finished();
    child.signal(Signal::CONT);
    let (half_done, kept) = until("a job with two pictures", || {
        let mut open = scene.jobs.iter().filter(|job| !finished.contains_key(*job));
        let job = open.find(|job| scene.picture(job, 1).is_some())?;
        let first = scene.picture(job, 0)?;
        let is_whole = std::fs::read(&first).is_ok_and(|bytes| bytes.ends_with(&[0xFF, 0xD9]));
        is_whole.then(|| (job.clone(), facts(&first)))
    });
    child.signal(Signal::KILL);
    scene.hear(JOBS as usize);

    let jobs = scene.check_ended(&finished);
    assert_eq!(facts(&scene.picture(&half_done, 0).unwrap()), kept, "a delivered picture was made again");
    // Runs begin in the order of time, so the jobs in hand are the first of those that were not finished.
    let again = claimed_again(&jobs);
    let charged: Vec<&Job> = jobs.iter().filter(|job| job.attempts > 0).collect();
    let hand = charged.len();
    assert!((1..=hand_max).contains(&hand), "{hand} of {} jobs paid", again.len());
    let ids = |jobs: &[&Job]| jobs.iter().map(|job| job.id.0.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&charged), ids(&again[..hand]));
    assert!(charged.iter().all(|job| job.attempts == 1));
    let (quiet, frames) = (u64::from(JOBS) * RUN, scene.frames(2));
    assert!(frames <= quiet + hand as u64 * RUN, "{frames} frames, {hand} runs in hand");
    eprintln!(
        "child killed: {} of {JOBS} jobs went on, {hand} paid, {frames} frames, quiet {quiet}",
        again.len()
    );
}

#[test]
fn a_dead_child_costs_only_the_job_in_hand() {
    killed_child(1, 1);
}

#[test]
fn a_dead_child_with_two_threads_costs_only_the_jobs_in_hand() {
    // A run whose last picture is being made on one thread may go beside one that each thread decodes.
    killed_child(2, 4);
}

#[test]
fn a_dead_daemon_costs_no_job_anything() {
    let mut scene = Scene::queued(1);
    scene.stop_in_the_middle();
    let finished = scene.finished();
    let first_life = scene.daemon.count("stillframe_decoded_frames_total");
    let Scene { daemon, setup, receiver, clip, video, jobs, events } = scene;
    let (folder, key) = daemon.kill();
    let daemon = Daemon::start_in(folder, key, setup.clone());
    let mut scene = Scene { daemon, setup, receiver, clip, video, jobs, events };
    scene.hear(JOBS as usize);

    let jobs = scene.check_ended(&finished);
    assert!(jobs.iter().all(|job| job.attempts == 0), "{jobs:#?}");
    let again = claimed_again(&jobs);
    assert!((1..=JOBS as usize / 2).contains(&again.len()), "{} jobs were left", again.len());
    let (quiet, second_life) = (u64::from(JOBS) * RUN, scene.frames(1));
    assert_eq!(second_life, again.len() as u64 * RUN, "a finished job was decoded again");
    assert!(first_life > 0 && first_life + second_life <= quiet + RUN, "{first_life} and {second_life}");
    eprintln!(
        "daemon killed: {} of {JOBS} jobs went on, {first_life} + {second_life} frames, quiet {quiet}",
        again.len()
    );
}
