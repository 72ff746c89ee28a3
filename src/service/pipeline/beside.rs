//! What a batch and a probe both need beside the road: opening, writing facts down, clearing up.
//!
//! Owns no decision about a job. Never waits for a worker.

use std::path::Path;

use super::{Pipeline, ending};
use crate::model::delivery::Planned;
use crate::model::ids::{JobId, VideoId};
use crate::model::job::Failure;
use crate::service::objects::OpenedVideo;
use crate::service::store::rows::Video;

impl Pipeline {
    /// Opens a video. The file system may hang, so this is not for the async threads.
    pub async fn open(&self, video: &Video) -> Result<OpenedVideo, Failure> {
        let (roots, path) = (self.roots.clone(), video.path.clone());
        let opened = tokio::task::spawn_blocking(move || roots.open(Path::new(&path))).await;
        opened.unwrap_or_else(|error| Err(ending::broken(&format!("opening broke off: {error}"))))
    }

    /// Writes down what a walk found out about a video. Not worth a fault: the next walk tells it again.
    pub async fn note_facts(&self, video: &Video, planned: &Planned, size: i64) {
        let duration_ms = planned.media.duration_ms.or(video.duration_ms);
        if (duration_ms, size) == (video.duration_ms, video.size) {
            return;
        }
        let now_ms = self.clock.now_ms();
        if let Err(error) = self.store.set_video_facts(&video.id, duration_ms, size, now_ms).await {
            tracing::warn!(%error, video_id = %video.id, "a video's facts are not written down");
        }
    }

    /// Drops what is remembered of jobs that will not come back; for now and then.
    pub async fn forget_ended(&self) {
        let kept = self.partials.jobs();
        let ids: Vec<JobId> = kept.iter().map(|(_, job)| job.clone()).collect();
        let Ok(waiting) = self.store.unfinished(&ids).await else { return };
        for (video, job) in kept.iter().filter(|(_, job)| !waiting.contains(job)) {
            // One that is gone by now was claimed in between.
            if self.partials.forget(job) {
                self.discard(video, job).await;
            }
        }
    }

    pub(super) async fn discard(&self, video: &VideoId, job: &JobId) {
        if let Err(error) = self.objects.discard(video, job).await {
            tracing::warn!(%error, job_id = %job, "temp files are left until the next start");
        }
    }
}
