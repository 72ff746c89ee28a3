//! The contract of the store, run against a real one.
//!
//! Everything here speaks to `Store` alone, so that another backend runs the same file: only `fresh` knows which.

mod durability;
mod jobs;
mod keys;
mod outbox;
mod queue;
mod results;
mod videos;

use std::path::PathBuf;

use stillframe::model::ids::{AccountId, ClaimToken, Incarnation, JobId, VideoId};
use stillframe::model::spec::{AskedSize, Points, SnapshotSpec};
use stillframe::service::store::Store;
use stillframe::service::store::rows::{Claim, FinishedJob, NewJob, PointRow, SheetRow, Video};

const ALICE: AccountId = AccountId(1);
const BOB: AccountId = AccountId(2);
const NOW: i64 = 1_700_000_000_000;

/// An open store and the folder that it lives in.
struct Fresh {
    store: Store,
    folder: tempfile::TempDir,
}

impl Fresh {
    fn path(&self) -> PathBuf {
        self.folder.path().join("stillframe.db")
    }
}

async fn fresh() -> Fresh {
    let folder = tempfile::tempdir().expect("a temp folder");
    let store = Store::open(&folder.path().join("stillframe.db")).await.expect("opens");
    Fresh { store, folder }
}

/// A fresh store with an incarnation, a video `v` of Alice and a video `w` of Bob.
async fn ready() -> Fresh {
    let fresh = fresh().await;
    fresh.store.start_incarnation(&incarnation(), NOW).await.expect("starts");
    fresh.store.register_video(video(ALICE, "v")).await.expect("registers");
    fresh.store.register_video(video(BOB, "w")).await.expect("registers");
    fresh
}

fn incarnation() -> Incarnation {
    Incarnation::from("first")
}

fn job_id(text: &str) -> JobId {
    JobId::from(text)
}

fn video_id(text: &str) -> VideoId {
    VideoId::from(text)
}

fn video(account: AccountId, id: &str) -> Video {
    Video {
        reference_id: Some(format!("reference-{id}")),
        title: format!("title of {id}"),
        ..Video::new(
            video_id(id),
            account,
            format!("file:///media/{id}.mp4"),
            format!("/media/{id}.mp4"),
            1_000,
            NOW,
        )
    }
}

fn spec() -> SnapshotSpec {
    SnapshotSpec {
        size: AskedSize { width: Some(640), height: None },
        ..SnapshotSpec::of(Points::Even { offset_ms: 0, count: 10 })
    }
}

fn new_job(account: AccountId, video: &str, id: &str) -> NewJob {
    NewJob {
        id: job_id(id),
        account,
        video: video_id(video),
        spec: spec(),
        user_data: None,
        request_id: format!("request-{id}"),
        created_ms: NOW,
    }
}

fn finished(id: &str, token: &ClaimToken) -> FinishedJob {
    FinishedJob {
        id: job_id(id),
        token: token.clone(),
        ended_ms: NOW + 5,
        failure: None,
        points: Vec::new(),
        sheets: Vec::new(),
        pictures: 1,
        fallbacks: Vec::new(),
        event: None,
    }
}

fn sheet(number: u32) -> SheetRow {
    SheetRow { number, width: 1_600, height: 900, bytes: 123_456 }
}

fn plain_point(asked: u32) -> PointRow {
    PointRow {
        asked,
        asked_ms: i64::from(asked) * 1_000,
        status: stillframe::model::snapshot::PointStatus::PastEnd,
        reason: None,
        shown: None,
        ordinal: None,
        bytes: None,
    }
}

impl Fresh {
    async fn submit(&self, account: AccountId, video: &str, id: &str) {
        self.store.submit(new_job(account, video, id)).await.expect("submits");
    }

    /// Claims what is due of `video` under the token `token`.
    async fn claim(&self, account: AccountId, video: &str, token: &str) -> Option<Claim> {
        self.claim_at(account, video, token, NOW).await
    }

    async fn claim_at(&self, account: AccountId, video: &str, token: &str, now_ms: i64) -> Option<Claim> {
        let token = ClaimToken::from(token);
        let claim = self.store.claim(account, &video_id(video), &token, &incarnation(), now_ms).await;
        claim.expect("claims")
    }

    async fn state(&self, id: &str) -> &'static str {
        self.store.job(None, &job_id(id)).await.expect("reads").expect("is there").state.name()
    }
}

fn ids(claim: &Claim) -> Vec<&str> {
    claim.jobs.iter().map(|job| job.id.0.as_str()).collect()
}
