//! Registered videos.
//!
//! Owns `videos`. Never looks at the file behind one.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Sqlite;
use super::errors::{OpError, store_error, unreadable};
use super::writer::Statements;
use crate::model::ids::{AccountId, VideoId};
use crate::service::store::StoreError;
use crate::service::store::rows::{Video, VideoRef, VideoStatus};

impl Sqlite {
    pub async fn register_video(&self, video: Video) -> Result<(VideoId, bool), StoreError> {
        self.writer
            .write("register a video", Statements::One, move |connection| {
                Box::pin(async move {
                    let known: Option<String> = sqlx::query_scalar(
                        "/* register_video */ SELECT id FROM videos WHERE account = ? AND file_url = ?",
                    )
                    .bind(video.account.0)
                    .bind(&video.file_url)
                    .fetch_optional(&mut *connection)
                    .await?;
                    if let Some(id) = known {
                        return Ok((VideoId(id), false));
                    }
                    insert_video(connection, &video).await?;
                    Ok((video.id, true))
                })
            })
            .await
    }

    pub async fn video(&self, account: AccountId, video: &VideoRef) -> Result<Option<Video>, StoreError> {
        let query = match video {
            VideoRef::Id(id) => sqlx::query("/* video */ SELECT * FROM videos WHERE account = ? AND id = ?")
                .bind(account.0)
                .bind(&id.0),
            VideoRef::Reference(reference) => {
                sqlx::query("/* video */ SELECT * FROM videos WHERE account = ? AND reference_id = ?")
                    .bind(account.0)
                    .bind(reference)
            }
        };
        let doing = "read a video";
        let row = query.fetch_optional(&self.readers).await.map_err(|e| store_error(doing, &e))?;
        row.map(|row| video_of(&row).map_err(|e| e.into_store(doing))).transpose()
    }

    pub async fn set_video_facts(
        &self,
        id: &VideoId,
        duration_ms: Option<i64>,
        size: i64,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let id = id.clone();
        self.writer
            .write("record a video's facts", Statements::One, move |connection| {
                Box::pin(async move {
                    // An unknown duration does not wipe a known one: the walk may have ended too early to tell.
                    sqlx::query(
                        "/* set_video_facts */ UPDATE videos
                         SET duration_ms = coalesce(?1, duration_ms), size = ?2, modified_ms = ?3
                         WHERE id = ?4 AND (size <> ?2 OR duration_ms IS NOT coalesce(?1, duration_ms))",
                    )
                    .bind(duration_ms)
                    .bind(size)
                    .bind(now_ms)
                    .bind(&id.0)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}

async fn insert_video(connection: &mut sqlx::SqliteConnection, video: &Video) -> Result<(), OpError> {
    sqlx::query(
        "/* insert_video */ INSERT INTO videos (id, account, reference_id, title, description, tags, cate_id,
             cover_url, template_group_id, file_url, path, size, duration_ms, status, user_data, created_ms,
             modified_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&video.id.0)
    .bind(video.account.0)
    .bind(&video.reference_id)
    .bind(&video.title)
    .bind(&video.description)
    .bind(&video.tags)
    .bind(video.cate_id)
    .bind(&video.cover_url)
    .bind(&video.template_group_id)
    .bind(&video.file_url)
    .bind(&video.path)
    .bind(video.size)
    .bind(video.duration_ms)
    .bind(status_word(video.status))
    .bind(&video.user_data)
    .bind(video.created_ms)
    .bind(video.modified_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// A row of `videos`, all columns.
pub(super) fn video_of(row: &SqliteRow) -> Result<Video, OpError> {
    let id: String = row.try_get("id")?;
    let status: String = row.try_get("status")?;
    let status = status_of(&status).ok_or_else(|| unreadable("videos", &id, format!("status {status}")))?;
    Ok(Video {
        id: VideoId(id),
        account: AccountId(row.try_get("account")?),
        reference_id: row.try_get("reference_id")?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        tags: row.try_get("tags")?,
        cate_id: row.try_get("cate_id")?,
        cover_url: row.try_get("cover_url")?,
        template_group_id: row.try_get("template_group_id")?,
        file_url: row.try_get("file_url")?,
        path: row.try_get("path")?,
        size: row.try_get("size")?,
        duration_ms: row.try_get("duration_ms")?,
        status,
        user_data: row.try_get("user_data")?,
        created_ms: row.try_get("created_ms")?,
        modified_ms: row.try_get("modified_ms")?,
    })
}

fn status_word(status: VideoStatus) -> &'static str {
    match status {
        VideoStatus::Uploading => "uploading",
        VideoStatus::UploadSucc => "upload_succ",
        VideoStatus::Normal => "normal",
        VideoStatus::Blocked => "blocked",
    }
}

fn status_of(word: &str) -> Option<VideoStatus> {
    [VideoStatus::Uploading, VideoStatus::UploadSucc, VideoStatus::Normal, VideoStatus::Blocked]
        .into_iter()
        .find(|&status| status_word(status) == word)
}
