//! A job whose child dies each time: three attempts, the third alone, and what exists is delivered.
//!
//! Owns the killer that stands in for a file that ends whoever decodes it. Never lets time decide when it strikes: the
//! child is stopped first.

use rustix::process::Signal;
use serde_json::Value;
use stillframe::model::snapshot::PointStatus;
use stillframe::service::store::rows::{Job, JobState};

use super::common::daemon::{Daemon, Key, file_url, new_key_of};
use super::common::processes::{self, Process};
use super::common::receiver::Receiver;
use super::common::rows::Rows;
use super::common::{clips, until};
use super::{hold, patient};

/// One group is a minute, and takes a second to decode.
const GROUP: u32 = 1_500;
const GROUP_MS: u32 = 60_000;

/// Somebody else, on a slot of his own.
struct Neighbour {
    key: Key,
    video: String,
    receiver: Receiver,
    jobs: Vec<String>,
}

impl Neighbour {
    fn new(daemon: &Daemon) -> Neighbour {
        let key = new_key_of(&daemon.data(), 7);
        let receiver = Receiver::start(&[]);
        daemon.call_back(&key, &receiver.url());
        let metadata =
            serde_json::json!([{"FileURL": file_url(&daemon.put(&clips::short())), "Title": "clip"}]);
        let parameters =
            [("RegisterMetadatas", &*metadata.to_string()), ("TemplateGroupId", "VOD_NO_TRANSCODE")];
        let body = daemon.call_as(&key, "RegisterMedia", &parameters).json();
        let video = body["RegisteredMediaList"][0]["MediaId"].as_str().unwrap().to_owned();
        Neighbour { key, video, receiver, jobs: Vec::new() }
    }

    /// One job of his, from submission to callback.
    fn goes_on(&mut self, daemon: &Daemon) {
        let parameters = [("VideoId", &*self.video), ("SpecifiedOffsetTimes", "[0,1500]"), ("Width", "160")];
        let body = daemon.call_as(&self.key, "SubmitSnapshotJob", &parameters).json();
        let event = self.receiver.next().json();
        assert_eq!(event["JobId"], body["SnapshotJob"]["JobId"], "{event}");
        assert_eq!((&event["Status"], &event["Stillframe"]["delivered"]), (&"success".into(), &2.into()));
        self.jobs.push(event["JobId"].as_str().unwrap().to_owned());
    }
}

fn attempts(rows: &Rows, jobs: &[&str]) -> Vec<(JobState, u32)> {
    jobs.iter().map(|job| rows.job(job)).map(|Job { state, attempts, .. }| (state, attempts)).collect()
}

#[test]
fn the_third_attempt_runs_alone_and_delivers_what_exists() {
    let clip = clips::groups(3, GROUP);
    let receiver = Receiver::start(&[]);
    // One slot, so one thread: runs follow each other. The other account has the extra slot.
    let daemon = Daemon::start(patient(1));
    daemon.call_back(&daemon.key, &receiver.url());
    let mut neighbour = Neighbour::new(&daemon);
    let video = daemon.register(&clip);
    let rows = Rows::open(&daemon.data());
    let submit = |times: &str| daemon.submit(&video, &[("SpecifiedOffsetTimes", times), ("Width", "320")]);
    let heard = |job: &str| -> Value {
        let event = receiver.next().json();
        assert_eq!(event["JobId"], *job, "{event}");
        event
    };
    let stop = || -> Process {
        let child = processes::walking(daemon.pid(), &clip).expect("a child at work");
        child.signal(Signal::STOP);
        child
    };

    let (holding, _child) = hold(&daemon, &clip, &video, &[GROUP_MS - 30, 2 * GROUP_MS - 30]);
    // Early in the second run: its end tells that the run is under way.
    let early = submit("[61000]");
    let poison = submit("[2000,119960]");
    let beside = submit("[119900]");
    let innocent = submit("[179960]");
    let (mine, both) = ([&*poison, &*beside, &*innocent], [&*poison, &*beside]);
    super::common::run(
        super::common::stillframe().arg("--data").arg(daemon.data()).args(["jobs", "cancel", &holding]),
        0,
    );

    heard(&early);
    let child = stop();
    let early = submit("[61000]");
    neighbour.goes_on(&daemon);
    child.signal(Signal::KILL);

    heard(&early);
    assert_eq!(
        attempts(&rows, &mine),
        [(JobState::Running, 1), (JobState::Running, 1), (JobState::Running, 0)]
    );
    let child = stop();
    neighbour.goes_on(&daemon);
    child.signal(Signal::KILL);

    // Both wait a second; who has no part in it goes on.
    let event = heard(&innocent);
    assert_eq!((&event["Status"], &event["Stillframe"]["delivered"]), (&"success".into(), &1.into()));
    until("the third claim", || (rows.job(&poison).state == JobState::Running).then_some(()));
    let child = until("the third child", || processes::walking(daemon.pid(), &clip));
    child.signal(Signal::STOP);
    assert_eq!(attempts(&rows, &both), [(JobState::Running, 2), (JobState::Queued, 2)], "not alone");
    neighbour.goes_on(&daemon);
    child.signal(Signal::KILL);

    let event = heard(&poison);
    assert_eq!(event["Status"], "success");
    let told = &event["Stillframe"];
    assert_eq!((&told["asked"], &told["delivered"], &told["failed"]), (&2.into(), &1.into(), &1.into()));
    assert_eq!(
        (&told["pictures"][0]["status"], &told["pictures"][1]["status"]),
        (&"ok".into(), &"failed".into())
    );
    let points = rows.points(&rows.job(&poison).id);
    let told: Vec<_> = points.iter().map(|point| (point.status, point.ordinal)).collect();
    assert_eq!(told, [(PointStatus::Ok, Some(1)), (PointStatus::Failed, None)]);
    let reason = points[1].reason.as_deref().unwrap();
    assert!(reason.contains("the process that decoded it died: crash"), "{reason}");
    // Nobody kills the third child of the job beside it.
    let event = heard(&beside);
    assert_eq!((&event["Status"], &event["Stillframe"]["delivered"]), (&"success".into(), &1.into()));

    let ended = attempts(&rows, &mine);
    assert_eq!(ended, [(JobState::Succeeded, 2), (JobState::Succeeded, 2), (JobState::Succeeded, 0)]);
    let others: Vec<&str> = neighbour.jobs.iter().map(String::as_str).collect();
    assert_eq!(attempts(&rows, &others), [(JobState::Succeeded, 0); 3]);
    assert_eq!(daemon.count("stillframe_worker_restarts_total"), 3);
    assert!(
        receiver.already().is_none() && neighbour.receiver.already().is_none(),
        "a result appeared twice"
    );
}
