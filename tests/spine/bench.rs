//! A pipeline with everything real but the decoder and the clock.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stillframe::model::device::DeviceRow;
use stillframe::model::ids::{AccountId, ClaimToken, Incarnation, JobId, VideoId};
use stillframe::model::spec::{Points, SnapshotSpec};
use stillframe::service::batch::scheduler::Orders;
use stillframe::service::clock::{Clock, ManualClock};
use stillframe::service::devices::Devices;
use stillframe::service::objects::{MediaRoots, ObjectStore};
use stillframe::service::pipeline::{Partials, Pipeline};
use stillframe::service::settings::{Flags, Settings};
use stillframe::service::store::Store;
use stillframe::service::store::rows::{Job, JobState, NewJob, Video, VideoRef};
use stillframe::worker::budget::Budget;
use stillframe::worker::pool::{Pool, PoolConfig};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const ACCOUNT: AccountId = AccountId(1);
const START_MS: i64 = 1_000_000;

/// When which file was written.
pub type Made = (u64, i64, i64);

pub fn made(file: &std::fs::Metadata) -> Made {
    (file.ino(), file.mtime(), file.mtime_nsec())
}

pub struct Bench {
    pub pipeline: Arc<Pipeline>,
    pub store: Store,
    pub clock: ManualClock,
    pub stop: watch::Sender<bool>,
    pub devices: Arc<Devices>,
    /// Dropped with the rest: that ends what keeps the devices.
    _keeping: watch::Sender<bool>,
    node: PathBuf,
    folder: tempfile::TempDir,
    _settings: watch::Sender<Arc<Settings>>,
}

impl Bench {
    /// Without devices.
    pub async fn new() -> Bench {
        Bench::with("", &[("STILLFRAME_DEVICES_BACKEND", "cpu")]).await
    }

    /// With one device whose node says this, and further settings.
    pub async fn beside(node: &str, more: &[(&str, &str)]) -> Bench {
        Bench::with(node, more).await
    }

    async fn with(says: &str, more: &[(&str, &str)]) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("node");
        std::fs::write(&node, says).unwrap();
        let named = [("STILLFRAME_DEVICES_VAAPI", node.to_str().unwrap())];
        let media = folder.path().canonicalize().unwrap().join("media");
        std::fs::create_dir(&media).unwrap();
        let store = Store::open(&folder.path().join("stillframe.db")).await.unwrap();
        store.start_incarnation(&Incarnation("now".into()), START_MS).await.unwrap();
        let clock = ManualClock::new(START_MS);
        let variables =
            named.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::load(&Flags::default(), variables).unwrap();
        let pool = PoolConfig {
            run_cpu: settings.worker.run_cpu,
            no_progress: settings.worker.no_progress,
            budget: Budget::new(settings.worker.image_bytes),
        };
        let run_cpu = settings.worker.run_cpu;
        let devices =
            Devices::new(&settings.devices, run_cpu, pool.budget.clone(), Clock::Manual(clock.clone()));
        let devices = Arc::new(devices);
        let keeping = watch::Sender::new(false);
        tokio::spawn(Arc::clone(&devices).keep(keeping.subscribe()));
        let settings = watch::Sender::new(Arc::new(settings));
        let pipeline = Pipeline {
            store: store.clone(),
            objects: ObjectStore::local(folder.path().join("objects")).unwrap(),
            roots: MediaRoots { roots: vec![media] },
            pool: Arc::new(Pool::start(pool).await.unwrap()),
            devices: Arc::clone(&devices),
            settings: settings.subscribe(),
            clock: Clock::Manual(clock.clone()),
            base_url: "http://test".into(),
            wake: Arc::default(),
            partials: Partials::default(),
        };
        let pipeline = Arc::new(pipeline);
        let stop = watch::Sender::new(false);
        Bench { pipeline, store, clock, stop, devices, _keeping: keeping, node, folder, _settings: settings }
    }

    /// Waits until the device stands ready.
    pub async fn ready(&self) {
        self.look_for(|offer| !offer.is_empty()).await;
    }

    /// Waits until what is on offer is as wanted.
    pub async fn look_for(&self, wanted: impl Fn(&[DeviceRow]) -> bool) {
        while !wanted(&self.devices.offer()) {
            tokio::task::yield_now().await;
        }
    }

    /// From now on the device fares so.
    pub fn node_says(&self, text: &str) {
        std::fs::write(&self.node, text).unwrap();
    }

    /// Walks of a video on the CPU, and on the device.
    pub fn walks(&self, name: &str) -> (u64, u64) {
        let dots = |by| std::fs::metadata(self.path(&format!("{name}.{by}"))).map_or(0, |file| file.len());
        (dots("cpu"), dots("gpu"))
    }

    /// Where the pictures of a job were decoded, in asked order.
    pub async fn backends(&self, job: &JobId) -> Vec<&'static str> {
        let rows = self.store.points(job).await.unwrap();
        rows.iter().map(|row| row.shown.as_ref().map_or("none", |shown| shown.backend.name())).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.pipeline.roots.roots[0].join(name)
    }

    /// Registers a video whose text is the script of its walk.
    pub async fn video(&self, name: &str, script: &str) -> VideoId {
        std::fs::write(self.path(name), format!("{script}\n")).unwrap();
        self.register(name).await
    }

    pub async fn register(&self, name: &str) -> VideoId {
        let path = self.path(name).to_str().unwrap().to_owned();
        let video = Video {
            title: name.to_owned(),
            ..Video::new(
                VideoId(format!("{:0>32}", name.replace('.', ""))),
                ACCOUNT,
                format!("file://{path}"),
                path,
                0,
                START_MS,
            )
        };
        self.store.register_video(video).await.unwrap().0
    }

    pub async fn stored_video(&self, video: &VideoId) -> Video {
        self.store.video(ACCOUNT, &VideoRef::Id(video.clone())).await.unwrap().unwrap()
    }

    pub async fn submit(&self, video: &VideoId, name: &str, instants_ms: &[i64]) -> JobId {
        // A job's name is part of file names.
        let name = name.replace(['.', '-'], "");
        let id = JobId(format!("{name:0>32}"));
        let spec = SnapshotSpec::of(Points::List(instants_ms.to_vec()));
        let job = NewJob {
            id: id.clone(),
            account: ACCOUNT,
            video: video.clone(),
            spec,
            user_data: None,
            request_id: "request".into(),
            created_ms: START_MS,
        };
        self.store.submit(job).await.unwrap();
        id
    }

    /// Claims what is due of a video and runs it in the background.
    pub async fn begin(&self, video: &VideoId) -> JoinHandle<()> {
        let token = ClaimToken(uuid::Uuid::new_v4().simple().to_string());
        let now_ms = self.now_ms();
        let incarnation = Incarnation("now".into());
        let claim = self.store.claim(ACCOUNT, video, &token, &incarnation, now_ms).await.unwrap();
        let claim = claim.expect("something is due");
        self.stop.send_replace(false);
        let orders = Orders { threads: 1, stop: self.stop.subscribe() };
        let pipeline = Arc::clone(&self.pipeline);
        tokio::spawn(async move { pipeline.run(claim, orders).await })
    }

    /// Claims what is due of a video and runs it to its end.
    pub async fn run(&self, video: &VideoId) {
        self.begin(video).await.await.unwrap();
    }

    /// After every pause that a job may have to make.
    pub fn later(&self) {
        self.clock.advance(Duration::from_secs(60));
    }

    pub fn now_ms(&self) -> i64 {
        Clock::Manual(self.clock.clone()).now_ms()
    }

    pub async fn job(&self, job: &JobId) -> Job {
        self.store.job(None, job).await.unwrap().unwrap()
    }

    pub async fn state(&self, job: &JobId) -> (JobState, u32) {
        let job = self.job(job).await;
        (job.state, job.attempts)
    }

    pub async fn wait_for_state(&self, job: &JobId, state: JobState) {
        while self.job(job).await.state != state {
            tokio::task::yield_now().await;
        }
    }

    /// Status words of a job's points, in asked order.
    pub async fn statuses(&self, job: &JobId) -> Vec<&'static str> {
        self.store.points(job).await.unwrap().iter().map(|point| point.status.name()).collect()
    }

    /// Waits for a temp file of a job; tells it from a later one of the same name.
    pub async fn wait_for_temp(&self, video: &VideoId, job: &JobId, asked: u32) -> Made {
        let path = self.snapshots(video).join(format!(".{job}-p{asked}.tmp"));
        loop {
            match std::fs::metadata(&path) {
                Ok(file) if file.len() > 0 => return made(&file),
                _ => tokio::task::yield_now().await,
            }
        }
    }

    pub fn snapshots(&self, video: &VideoId) -> PathBuf {
        self.folder.path().join("objects").join(&video.0).join("snapshots").join("normal")
    }

    /// Names of a video's files, temp files among them.
    pub fn files(&self, video: &VideoId) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.snapshots(video)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
