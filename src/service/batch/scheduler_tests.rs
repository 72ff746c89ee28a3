//! The claim loop over a real store and a clock set by hand; batches end when a test says so.

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::model::spec::{Points, SnapshotSpec};
use crate::service::clock::ManualClock;
use crate::service::settings::Flags;
use crate::service::store::rows::{JobState, NewJob, Video};

const START_MS: i64 = 1_000_000;

/// A batch as the test sees it: it runs until `end` is used or dropped.
struct Started {
    claim: Claim,
    orders: Orders,
    end: oneshot::Sender<()>,
}

struct Bench {
    store: Store,
    clock: ManualClock,
    submitted: Arc<Notify>,
    disk_full: Arc<AtomicBool>,
    turns: Arc<AtomicU64>,
    stop_claiming: watch::Sender<bool>,
    stop_working: watch::Sender<bool>,
    started: mpsc::UnboundedReceiver<Started>,
    scheduler: tokio::task::JoinHandle<()>,
    jobs: u32,
    _settings: watch::Sender<Arc<Settings>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(slots: u32) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("stillframe.db")).await.expect("a store");
        let clock = ManualClock::new(START_MS);
        let incarnation = Incarnation("now".into());
        store.start_incarnation(&incarnation, START_MS).await.expect("an incarnation");
        let mut settings = Settings::load(&Flags::default(), []).expect("defaults");
        settings.worker.slots = slots;
        let settings = watch::Sender::new(Arc::new(settings));
        let scheduler = Scheduler {
            store: store.clone(),
            settings: settings.subscribe(),
            clock: Clock::Manual(clock.clone()),
            incarnation,
            submitted: Arc::default(),
            disk_full: Arc::default(),
            turns: Arc::default(),
        };
        let (submitted, disk_full) = (Arc::clone(&scheduler.submitted), Arc::clone(&scheduler.disk_full));
        let turns = Arc::clone(&scheduler.turns);
        let (sender, started) = mpsc::unbounded_channel();
        let run = move |claim: Claim, orders: Orders| {
            let (end, ended) = oneshot::channel();
            let broken = claim.video.title == "broken";
            sender.send(Started { claim, orders, end }).expect("the test listens");
            async move {
                // A dropped end is an end, too.
                ended.await.ok();
                assert!(!broken, "a batch that breaks off");
            }
        };
        let (stop_claiming, stop_working) = (watch::Sender::new(false), watch::Sender::new(false));
        let scheduler = tokio::spawn(scheduler.run(run, stop_claiming.subscribe(), stop_working.subscribe()));
        Bench {
            store,
            clock,
            submitted,
            disk_full,
            turns,
            stop_claiming,
            stop_working,
            started,
            scheduler,
            jobs: 0,
            _settings: settings,
            _folder: folder,
        }
    }

    async fn video(&self, account: i64, name: &str) -> VideoId {
        let video = Video {
            title: name.to_owned(),
            ..Video::new(
                VideoId(format!("{account}-{name}")),
                AccountId(account),
                format!("file:///{account}/{name}"),
                format!("/{account}/{name}"),
                1,
                START_MS,
            )
        };
        self.store.register_video(video).await.expect("registered").0
    }

    async fn submit(&mut self, account: i64, video: &str) -> JobId {
        let video = self.video(account, video).await;
        self.jobs += 1;
        let id = JobId(format!("job{}", self.jobs));
        let spec = SnapshotSpec::of(Points::List(vec![0]));
        let job = NewJob {
            id: id.clone(),
            account: AccountId(account),
            video,
            spec,
            user_data: None,
            request_id: "request".into(),
            created_ms: START_MS,
        };
        self.store.submit(job).await.expect("submitted");
        id
    }

    /// Waits until the loop has looked for work since now.
    async fn turn(&self) {
        let seen = self.turns.load(Ordering::SeqCst);
        // One more for the turn that was under way.
        while self.turns.load(Ordering::SeqCst) < seen + 2 {
            self.submitted.notify_one();
            tokio::task::yield_now().await;
        }
    }

    /// A full disk keeps the loop from claiming, from a whole turn on until `go`.
    async fn hold(&self) {
        self.disk_full.store(true, Ordering::SeqCst);
        self.turn().await;
    }

    fn go(&self) {
        self.disk_full.store(false, Ordering::SeqCst);
    }

    async fn next(&mut self) -> Started {
        self.submitted.notify_one();
        self.started.recv().await.expect("the loop runs")
    }

    /// Every batch that has begun, after a whole turn.
    async fn begun(&mut self) -> Vec<Started> {
        self.turn().await;
        std::iter::from_fn(|| self.started.try_recv().ok()).collect()
    }

    async fn state(&self, job: &JobId) -> (JobState, u32) {
        let job = self.store.job(None, job).await.expect("a row").expect("the job is known");
        (job.state, job.attempts)
    }
}

fn accounts(started: &[Started]) -> Vec<i64> {
    started.iter().map(|batch| batch.claim.account.0).collect()
}

#[tokio::test]
async fn jobs_of_one_video_go_together_and_a_video_has_one_batch_at_a_time() {
    let mut bench = Bench::new(4).await;
    bench.hold().await;
    let (first, second) = (bench.submit(1, "a").await, bench.submit(1, "a").await);
    bench.go();
    let batch = bench.next().await;
    let ids: Vec<&JobId> = batch.claim.jobs.iter().map(|job| &job.id).collect();
    assert_eq!(ids, [&first, &second]);
    let third = bench.submit(1, "a").await;
    assert_eq!(bench.begun().await.len(), 0, "slots are free, but the video is busy");
    batch.end.send(()).expect("it runs");
    let next = bench.next().await;
    assert_eq!(next.claim.jobs[0].id, third);
}

#[tokio::test]
async fn slots_bound_the_batches_and_the_extra_one_is_for_the_idle() {
    let mut bench = Bench::new(2).await;
    bench.hold().await;
    for video in ["a", "b", "c", "d"] {
        bench.submit(1, video).await;
    }
    bench.go();
    let of_one = bench.begun().await;
    assert_eq!(accounts(&of_one), [1, 1], "two slots, and the extra one is not for this account");
    bench.submit(2, "e").await;
    bench.submit(2, "f").await;
    assert_eq!(accounts(&bench.begun().await), [2], "the extra slot");
    assert_eq!(of_one[0].orders.threads, 1);
}

#[tokio::test]
async fn a_small_account_is_served_before_the_next_of_a_large_one() {
    let mut bench = Bench::new(1).await;
    for video in ["a", "b", "c"] {
        bench.submit(1, video).await;
    }
    let first = bench.next().await;
    bench.submit(2, "d").await;
    let second = bench.next().await;
    assert_eq!((first.claim.account.0, second.claim.account.0), (1, 2));
    bench.submit(2, "e").await;
    drop(first);
    drop(second);
    // Both wait with nothing running: who was served longest ago comes first.
    let (third, fourth) = (bench.next().await, bench.next().await);
    assert_eq!((third.claim.account.0, fourth.claim.account.0), (1, 2));
}

#[tokio::test]
async fn a_batch_gives_way_after_its_slice_when_somebody_waits_without_a_slot() {
    let mut bench = Bench::new(1).await;
    bench.submit(1, "a").await;
    let first = bench.next().await;
    bench.clock.advance(Duration::from_secs(1));
    bench.submit(2, "b").await;
    let second = bench.next().await;
    bench.clock.advance(Duration::from_secs(10));
    bench.turn().await;
    assert!(!*first.orders.stop.borrow(), "nobody waits");
    bench.submit(1, "c").await;
    bench.turn().await;
    assert!(!*first.orders.stop.borrow(), "who waits has a batch running");
    bench.submit(3, "d").await;
    bench.turn().await;
    assert!(*first.orders.stop.borrow(), "it has run longest");
    assert!(!*second.orders.stop.borrow(), "one account waits, one batch gives way");
    drop(first);
    assert_eq!(bench.next().await.claim.account.0, 3);
}

#[tokio::test]
async fn a_slice_is_not_cut_short() {
    let mut bench = Bench::new(1).await;
    bench.submit(1, "a").await;
    bench.submit(2, "b").await;
    bench.submit(3, "c").await;
    let begun = bench.begun().await;
    assert_eq!(begun.len(), 2);
    bench.clock.advance(Duration::from_millis(4_999));
    bench.turn().await;
    assert!(begun.iter().all(|batch| !*batch.orders.stop.borrow()));
    bench.clock.advance(Duration::from_millis(1));
    bench.turn().await;
    assert_eq!(begun.iter().filter(|batch| *batch.orders.stop.borrow()).count(), 1);
}

#[tokio::test]
async fn stopping_claims_nothing_more_and_waits_for_what_runs() {
    let mut bench = Bench::new(2).await;
    bench.submit(1, "a").await;
    let batch = bench.next().await;
    bench.stop_claiming.send_replace(true);
    bench.submit(1, "b").await;
    let mut stop = batch.orders.stop.clone();
    assert!(!*stop.borrow(), "claiming stops, working does not");
    bench.stop_working.send_replace(true);
    stop.wait_for(|stop| *stop).await.expect("the loop runs");
    batch.end.send(()).expect("it runs");
    bench.scheduler.await.expect("it returns");
    assert!(bench.started.try_recv().is_err(), "the second video was left alone");
}

#[tokio::test]
async fn a_full_disk_lets_nothing_begin() {
    let mut bench = Bench::new(2).await;
    bench.hold().await;
    let job = bench.submit(1, "a").await;
    assert_eq!(bench.begun().await.len(), 0);
    assert_eq!(bench.state(&job).await, (JobState::Queued, 0));
    bench.go();
    assert_eq!(bench.next().await.claim.jobs[0].id, job);
}

#[tokio::test]
async fn a_batch_that_breaks_off_costs_its_jobs_an_attempt() {
    let mut bench = Bench::new(1).await;
    let job = bench.submit(1, "broken").await;
    let batch = bench.next().await;
    batch.end.send(()).expect("it runs");
    while bench.state(&job).await.0 == JobState::Running {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.state(&job).await, (JobState::Queued, 1));
    assert_eq!(bench.begun().await.len(), 0, "not at once");
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.next().await.claim.jobs[0].attempts, 1);
}
