//! The end of a job: images, rows and event appear together, once, or not at all.

use std::fs;
use std::path::PathBuf;

use stillframe::model::ids::{AccountId, ClaimToken, Incarnation, VideoId};
use stillframe::model::job::{FailCode, Failure, Stage};
use stillframe::model::media::Backend;
use stillframe::model::snapshot::{Counts, ImageKind, PointStatus, Shown};
use stillframe::model::spec::{Points, SnapshotSpec};
use stillframe::service::clock::{Clock, ManualClock};
use stillframe::service::objects::{ObjectStore, TempObject};
use stillframe::service::publish::commit::{
    Decided, DecidedPoint, DecidedSheet, Finished, PublishError, finish,
};
use stillframe::service::store::Store;
use stillframe::service::store::rows::{CallbackSettings, JobState, NewJob, Video};

const NOW: i64 = 1_767_323_047_000;
const ACCOUNT: AccountId = AccountId(7);

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    objects: ObjectStore,
    clock: Clock,
}

impl Bench {
    async fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("stillframe.db")).await.expect("a store");
        store.start_incarnation(&Incarnation::from("i"), NOW).await.expect("started");
        store.register_video(video()).await.expect("registered");
        let settings = CallbackSettings {
            app_id: "app-1000000".to_owned(),
            callback_url: "http://account.test/".to_owned(),
            event_types: "SnapshotComplete".to_owned(),
            auth_switch: false,
            auth_key: None,
        };
        store.set_callback_settings(ACCOUNT, &settings).await.expect("set");
        let objects = ObjectStore::local(folder.path().join("objects")).expect("objects");
        Bench { folder, store, objects, clock: Clock::Manual(ManualClock::new(NOW)) }
    }

    /// A claimed job of three points: a picture, a failure, a picture; and one sheet.
    async fn decided(&self, id: &str) -> Decided {
        self.store.submit(new_job(id)).await.expect("submitted");
        let token = ClaimToken::from(id);
        let claim =
            self.store.claim(ACCOUNT, &VideoId::from("v"), &token, &Incarnation::from("i"), NOW).await;
        let claim = claim.expect("claimed").expect("a claim");
        let job = claim.jobs.into_iter().find(|job| job.id.0 == id).expect("the job");
        let mut points = Vec::new();
        for asked in 0..3 {
            let kind = ImageKind::Picture { asked };
            let temp =
                if asked == 1 { None } else { Some(self.put(&job.id.0, kind, &format!("p{asked}")).await) };
            points.push(DecidedPoint {
                asked,
                asked_ms: i64::from(asked) * 1_000,
                past_end: false,
                shown: temp.as_ref().map(|_| shown()),
                failure: (asked == 1)
                    .then(|| Failure::new(FailCode::Corrupt, Stage::Decode, "no frame came")),
                temp,
            });
        }
        let temp = self.put(id, ImageKind::Sheet { number: 0 }, "sheet").await;
        let sheets = vec![DecidedSheet { number: 0, width: 100, height: 50, temp }];
        Decided { token, job, video: claim.video, points, sheets, failure: None, fallbacks: Vec::new() }
    }

    async fn put(&self, job: &str, kind: ImageKind, text: &str) -> TempObject {
        let put = self.objects.put_temp(&"v".into(), &job.into(), kind, text.as_bytes().to_vec()).await;
        put.expect("written")
    }

    async fn finish(&self, decided: Decided) -> Result<Finished, PublishError> {
        let event = format!("event of {}", decided.job.id);
        finish(&self.store, &self.objects, &self.clock, "http://img.test", event, decided).await
    }

    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for class in ["normal", "sprite"] {
            let folder: PathBuf = self.folder.path().join("objects/v/snapshots").join(class);
            for entry in fs::read_dir(folder).into_iter().flatten() {
                found.push(entry.expect("an entry").file_name().into_string().expect("text"));
            }
        }
        found.sort();
        found
    }
}

fn shown() -> Shown {
    Shown {
        status: PointStatus::Ok,
        shown_ms: 0,
        pts: 0,
        width: 320,
        height: 180,
        key_frame: true,
        backend: Backend::Cpu,
        frame_md5: None,
    }
}

fn video() -> Video {
    Video::new("v".into(), ACCOUNT, "file:///media/v.mp4".to_owned(), "/media/v.mp4".to_owned(), 1, NOW)
}

fn new_job(id: &str) -> NewJob {
    let spec = SnapshotSpec::of(Points::List(vec![0, 1_000, 2_000]));
    let user_data = r#"{"MessageCallback":{"CallbackURL":"http://job.test/"},"Extend":{"order":"A-17"}}"#;
    NewJob {
        id: id.into(),
        account: ACCOUNT,
        video: "v".into(),
        spec,
        user_data: Some(user_data.to_owned()),
        request_id: String::new(),
        created_ms: NOW,
    }
}

#[tokio::test]
async fn images_rows_and_event_appear_together() {
    let bench = Bench::new().await;
    let finished = bench.finish(bench.decided("j").await).await.expect("finished");
    assert!(finished.held && finished.event && finished.failure.is_none());
    assert_eq!((finished.pictures, finished.tally.sheets), (2, 1));
    let counts = Counts { asked: 3, delivered: 2, past_end: 0, failed: 1 };
    assert_eq!(finished.tally.points, counts);
    assert_eq!(bench.files(), ["j-00001.jpg", "j-00001.jpg", "j-00002.jpg"]);
    let picture = bench.objects.read("v/snapshots/normal/j-00002.jpg").await.expect("read").expect("there");
    assert_eq!(&picture.bytes[..], b"p2");

    let job = bench.store.job(Some(ACCOUNT), &"j".into()).await.expect("read").expect("a job");
    assert_eq!((job.state, job.pictures, job.sheets, job.ended_ms), (JobState::Succeeded, 2, 1, Some(NOW)));
    let points = bench.store.points(&"j".into()).await.expect("read");
    let ordinals: Vec<_> = points.iter().map(|point| (point.status, point.ordinal)).collect();
    assert_eq!(
        ordinals,
        [(PointStatus::Ok, Some(1)), (PointStatus::Failed, None), (PointStatus::Ok, Some(2))]
    );
    assert_eq!(points[1].reason.as_deref(), Some("corrupt (decode): no frame came"));

    let event = bench.store.delivery("event of j").await.expect("read").expect("an event");
    assert_eq!((event.url.as_str(), event.event_type.as_str()), ("http://job.test/", "SnapshotComplete"));
    let body: serde_json::Value = serde_json::from_str(&event.body).expect("JSON");
    assert_eq!(body["EventTime"], "2026-01-02T03:04:07Z");
    assert_eq!(body["Extend"], r#"{"order":"A-17"}"#);
    assert_eq!(body["SnapshotCount"], 2);
    assert_eq!(
        body["SnapshotInfos"][1]["SnapshotRegular"],
        "http://img.test/v/snapshots/sprite/j-{SnapshotCount}.jpg"
    );
}

#[tokio::test]
async fn a_job_without_images_fails_and_says_so() {
    let bench = Bench::new().await;
    let mut decided = bench.decided("j").await;
    decided.sheets.clear();
    for point in &mut decided.points {
        (point.temp, point.shown) = (None, None);
    }
    bench.objects.discard(&"v".into(), &"j".into()).await.expect("discarded");
    decided.failure = Some(Failure::new(FailCode::NoVideo, Stage::Probe, "no video stream"));
    let finished = bench.finish(decided).await.expect("finished");
    assert_eq!(
        (finished.held, finished.pictures, finished.tally.sheets, finished.tally.points.failed),
        (true, 0, 0, 3)
    );
    let job = bench.store.job(None, &"j".into()).await.expect("read").expect("a job");
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.failure.map(|f| f.code), Some(FailCode::NoVideo));
    let event = bench.store.delivery("event of j").await.expect("read").expect("an event");
    assert!(event.body.contains(r#""ErrorCode":"InvalidParameter.ResourceContentBad""#), "{}", event.body);
    assert_eq!(bench.files(), [""; 0]);
}

#[tokio::test]
async fn a_cancelled_job_leaves_no_file_and_no_event() {
    let bench = Bench::new().await;
    let decided = bench.decided("j").await;
    assert!(bench.store.cancel(&"j".into(), NOW).await.expect("cancelled"));
    let finished = bench.finish(decided).await.expect("no fault");
    assert!(!finished.held && !finished.event);
    assert_eq!(bench.files(), [""; 0]);
    assert!(bench.store.delivery("event of j").await.expect("read").is_none());
    let job = bench.store.job(None, &"j".into()).await.expect("read").expect("a job");
    assert_eq!(job.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_claim_that_is_void_commits_nothing_and_spares_the_files_of_the_next() {
    let bench = Bench::new().await;
    let mut late = bench.decided("j").await;
    let good = late.clone();
    late.token = ClaimToken::from("void");
    let finished = bench.finish(late).await.expect("no fault");
    assert!(!finished.held);
    assert!(bench.store.delivery("event of j").await.expect("read").is_none());
    // The claim that holds uses the same names: its images are all there, under one name or the other.
    let finished = bench.finish(good.clone()).await.expect("finished");
    assert!(finished.held);
    assert_eq!(bench.files(), ["j-00001.jpg", "j-00001.jpg", "j-00002.jpg"]);
    // Once it is over, a late commit finds nothing to do and takes nothing away.
    let again = bench.finish(good).await.expect("no fault");
    assert!(!again.held);
    assert_eq!(bench.files(), ["j-00001.jpg", "j-00001.jpg", "j-00002.jpg"]);
}

#[tokio::test]
async fn a_commit_that_was_cut_off_can_be_made_again() {
    let bench = Bench::new().await;
    let decided = bench.decided("j").await;
    // As after a crash between the last rename and the commit.
    let key = |class: &str, n: u32| format!("v/snapshots/{class}/j-{n:05}.jpg");
    let temps = decided.points.iter().filter_map(|point| point.temp.clone());
    let mut moves: Vec<_> = temps.zip([key("normal", 1), key("normal", 2)]).collect();
    moves.push((decided.sheets[0].temp.clone(), key("sprite", 1)));
    bench.objects.publish(&"v".into(), &"j".into(), moves).await.expect("published");
    assert!(bench.finish(decided).await.expect("finished").held);
    assert_eq!(bench.files(), ["j-00001.jpg", "j-00001.jpg", "j-00002.jpg"]);
}

#[tokio::test]
async fn without_settings_there_is_no_event() {
    let bench = Bench::new().await;
    assert!(bench.store.delete_callback_settings(ACCOUNT).await.expect("deleted"));
    let finished = bench.finish(bench.decided("j").await).await.expect("finished");
    assert!(finished.held && !finished.event);
    assert!(bench.store.delivery("event of j").await.expect("read").is_none());
}
