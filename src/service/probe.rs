//! Probes beside the queue: what is a video's duration?
//!
//! Owns the requests of the API for facts. A probe is a batch without points. Never fails anybody: who asked looks
//! at the row afterwards, and the first walk of a job finds the same facts out.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::api::ProbeRequest;
use super::pipeline::Pipeline;
use super::stop;
use super::store::rows::Video;
use crate::model::delivery::Message;
use crate::model::job::{BatchJob, Ended, Grant, VideoBatch};
use crate::model::spec::{Points, SnapshotSpec};
use crate::worker::pool::Delivery;

/// Probes at once; more wait in the channel.
const AT_ONCE: usize = 2;
/// A probe makes no pictures: one thread, and hardly any bytes.
const GRANT: Grant = Grant { threads: 1, bytes: 1 << 20 };

/// Serves probes until `stop`, then drops those under way: their children are killed.
pub async fn serve(
    pipeline: Arc<Pipeline>,
    mut requests: mpsc::Receiver<ProbeRequest>,
    mut stop: watch::Receiver<bool>,
) {
    let mut probes = JoinSet::new();
    loop {
        tokio::select! {
            () = stop::asked(&mut stop) => return,
            Some(ended) = probes.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a probe broke off");
                }
            }
            request = requests.recv(), if probes.len() < AT_ONCE => {
                let Some(request) = request else { return };
                let pipeline = Arc::clone(&pipeline);
                probes.spawn(async move {
                    probe(&pipeline, &request.video).await;
                    if let Some(done) = request.done {
                        // Who asked may have gone.
                        done.send(()).ok();
                    }
                });
            }
        }
    }
}

async fn probe(pipeline: &Pipeline, video: &Video) {
    let opened = match pipeline.open(video).await {
        Ok(opened) => opened,
        Err(failure) => return tracing::info!(video_id = %video.id, %failure, "a probe found nothing"),
    };
    let frame_pixels_max = pipeline.settings.borrow().capture.frame_pixels_max;
    let batch =
        VideoBatch { jobs: vec![nothing_to_take()], stream: None, frame_pixels_max, offer: Vec::new() };
    let mut child = match pipeline.pool.run(batch, opened.source, GRANT).await {
        Ok(child) => child,
        Err(error) => return tracing::error!(%error, video_id = %video.id, "no child for a probe"),
    };
    loop {
        match child.next().await {
            Delivery::Message(Message::Planned(planned), _) => {
                pipeline.note_facts(video, &planned, opened.identity.size).await;
            }
            Delivery::Message(Message::Note { text, .. }, _) => {
                tracing::debug!(video_id = %video.id, text, "a probe says");
            }
            Delivery::Message(..) => {}
            Delivery::Ended(Ended::Done, _) => return,
            Delivery::Ended(ended, _) => {
                return tracing::info!(video_id = %video.id, ?ended, "a probe found nothing");
            }
        }
    }
}

fn nothing_to_take() -> BatchJob {
    let spec = SnapshotSpec { keep_pictures: false, ..SnapshotSpec::of(Points::None) };
    BatchJob { spec, pictures_done: Vec::new(), sheets_done: Vec::new(), points_failed: Vec::new() }
}
