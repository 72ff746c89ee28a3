//! RegisterMedia and GetVideoInfo: what the daemon knows of a video.
//!
//! Owns how videos are named in requests and shown in answers (API contract, 3.4, 3.8, 6). Never opens one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::model::ids::VideoId;
use crate::service::store::rows::{Video, VideoRef, VideoStatus};

use super::error::{ApiError, Fixed};
use super::metadata::{self, Metadata};
use super::rpc::{Answer, Call, fields, new_id};
use super::{ProbeRequest, time, user_data};

/// Longest wait for a duration that is not known yet.
const PROBE_WAIT: Duration = Duration::from_secs(3);
/// The template group that stands for no transcoding.
const NO_TRANSCODE: &str = "VOD_NO_TRANSCODE";
/// The application that everything belongs to unless another is named.
pub const DEFAULT_APP: &str = "app-1000000";

/// The video that the request names by `VideoId` or `ReferenceId`.
///
/// # Errors
/// `MissingParameter` of `VideoId` when neither is there.
pub fn reference(call: &Call<'_>) -> Result<VideoRef, ApiError> {
    if let Some(id) = call.params.get("VideoId") {
        return Ok(VideoRef::Id(VideoId::from(id)));
    }
    match call.params.get("ReferenceId") {
        Some(reference) => Ok(VideoRef::Reference(reference.to_owned())),
        None => Err(ApiError::missing_parameter("VideoId")),
    }
}

/// The video of this account.
///
/// # Errors
/// `InvalidVideo.NotFound`, also for another account's video.
pub async fn find(call: &Call<'_>, reference: &VideoRef) -> Result<Video, ApiError> {
    let video = call.context.store.video(call.account, reference).await?;
    video.ok_or_else(|| ApiError::fixed(Fixed::VideoNotFound, "no such video of this account"))
}

/// May snapshots be taken and listed in this state?
///
/// # Errors
/// `Forbidden.IllegalStatus`.
pub fn check_status(video: &Video) -> Result<(), ApiError> {
    match video.status {
        VideoStatus::UploadSucc | VideoStatus::Normal | VideoStatus::Blocked => Ok(()),
        VideoStatus::Uploading => {
            Err(ApiError::illegal_status(status_word(video.status), audit_word(video.status)))
        }
    }
}

fn status_word(status: VideoStatus) -> &'static str {
    match status {
        VideoStatus::Uploading => "Uploading",
        VideoStatus::UploadSucc => "UploadSucc",
        VideoStatus::Normal => "Normal",
        VideoStatus::Blocked => "Blocked",
    }
}

fn audit_word(status: VideoStatus) -> &'static str {
    match status {
        VideoStatus::Uploading | VideoStatus::UploadSucc => "Init",
        VideoStatus::Normal => "Normal",
        VideoStatus::Blocked => "Blocked",
    }
}

/// Tells about one video. An unknown duration is asked for and waited for, a little.
pub async fn get_video_info(call: &Call<'_>) -> Answer {
    let reference = reference(call)?;
    let mut video = find(call, &reference).await?;
    if video.duration_ms.is_none() && video.status != VideoStatus::Uploading {
        let (done, told) = oneshot::channel();
        let request = ProbeRequest { video: video.clone(), done: Some(done) };
        if call.context.probes.try_send(request).is_ok() {
            // Too late or given up: the row says what is known then.
            drop(tokio::time::timeout(PROBE_WAIT, told).await);
            video = find(call, &reference).await?;
        }
    }
    Ok(fields(json!({ "Video": video_json(&video) })))
}

fn video_json(video: &Video) -> Value {
    let mut shown = fields(json!({
        "VideoId": video.id.0,
        "Title": video.title,
        "Status": status_word(video.status),
        "AuditStatus": audit_word(video.status),
        "Size": video.size,
        "CreationTime": time::print(video.created_ms),
        "ModificationTime": time::print(video.modified_ms),
        "AppId": DEFAULT_APP,
        "DownloadSwitch": "on",
        "StorageClass": "Standard",
        "Snapshots": { "Snapshot": [] },
    }));
    for (name, value) in [
        ("ReferenceId", &video.reference_id),
        ("Description", &video.description),
        ("Tags", &video.tags),
        ("CoverURL", &video.cover_url),
        ("TemplateGroupId", &video.template_group_id),
        ("UserData", &video.user_data),
    ] {
        if let Some(value) = value {
            shown.insert(name.into(), value.clone().into());
        }
    }
    if let Some(cate_id) = video.cate_id {
        shown.insert("CateId".into(), cate_id.into());
    }
    if let Some(ms) = video.duration_ms {
        // Seconds with decimals; an f64 holds every ms of a century exactly enough.
        #[allow(clippy::cast_precision_loss)]
        shown.insert("Duration".into(), (ms as f64 / 1000.0).into());
    }
    Value::Object(shown)
}

/// Registers files below the media roots. A URL that names none of them is listed as failed.
pub async fn register_media(call: &Call<'_>) -> Answer {
    let text = call.mandatory("RegisterMetadatas")?;
    let metadatas = metadata::parse(text).map_err(|e| ApiError::invalid_parameter("RegisterMetadatas", e))?;
    if let Some(text) = call.params.get("UserData") {
        user_data::check(text).map_err(|e| ApiError::invalid_parameter("UserData", e))?;
    }
    let (mut registered, mut failed) = (Vec::new(), Vec::new());
    for metadata in metadatas {
        let url = metadata.file_url.clone();
        match resolve(call, url.clone()).await? {
            Ok((path, size)) => {
                let (id, new) = register(call, metadata, path, size).await?;
                registered.push(json!({ "MediaId": id.0, "FileURL": url, "NewRegister": new }));
            }
            Err(reason) => {
                tracing::info!(request_id = call.request_id, reason, "a file was not registered");
                failed.push(url);
            }
        }
    }
    Ok(fields(json!({ "RegisteredMediaList": registered, "FailedFileURLs": failed })))
}

// The path and size of the file, or why it cannot be registered.
async fn resolve(call: &Call<'_>, url: String) -> Result<Result<(String, i64), String>, ApiError> {
    let roots = call.context.roots.clone();
    let looked_up = tokio::task::spawn_blocking(move || {
        let path = roots.resolve(&url).map_err(|failure| failure.to_string())?;
        // Rows are text.
        let path = path.into_os_string().into_string().map_err(|_| format!("{url:.256}: not UTF-8"))?;
        let size = std::fs::metadata(&path).map_err(|e| format!("failed to stat: {e}"))?.len();
        Ok((path, i64::try_from(size).unwrap_or(i64::MAX)))
    });
    looked_up.await.map_err(|e| ApiError::fixed(Fixed::Internal, format!("failed to look a file up: {e}")))
}

async fn register(
    call: &Call<'_>,
    metadata: Metadata,
    path: String,
    size: i64,
) -> Result<(VideoId, bool), ApiError> {
    // One spelling a file: the URL is made from the path, so that two spellings give one video.
    let canonical = url::Url::from_file_path(&path)
        .map_err(|()| ApiError::fixed(Fixed::Internal, "a resolved path is not absolute"))?;
    let template_group_id = call.params.get("TemplateGroupId").map(str::to_owned);
    let stays_raw = template_group_id.as_deref().is_some_and(|id| id != NO_TRANSCODE);
    let now_ms = call.context.clock.now_ms();
    let mut video = Video {
        title: metadata.title,
        description: metadata.description,
        tags: metadata.tags,
        cate_id: metadata.cate_id,
        cover_url: metadata.cover_url,
        template_group_id,
        status: if stays_raw { VideoStatus::UploadSucc } else { VideoStatus::Normal },
        user_data: call.params.get("UserData").map(str::to_owned),
        ..Video::new(VideoId(new_id()), call.account, canonical.into(), path, size, now_ms)
    };
    let (id, new) = call.context.store.register_video(video.clone()).await?;
    video.id = id.clone();
    // Only a courtesy: GetVideoInfo asks again when the answer is needed.
    if call.context.probes.try_send(ProbeRequest { video, done: None }).is_err() {
        tracing::debug!(video = %id, "no room to ask for a probe");
    }
    Ok((id, new))
}
