//! Jobs outside the queue: submitting, looking, cancelling, asking again.
//!
//! Owns the statements on `jobs` that need no claim. Never claims.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use super::errors::{OpError, store_error, unreadable};
use super::format::{failure_of, fallbacks_of, json_list, spec_of, spec_text};
use super::writer::Statements;
use crate::model::ids::{AccountId, JobId, VideoId};
use crate::service::store::StoreError;
use crate::service::store::rows::{Job, JobState, NewJob, SnapshotKind};

impl Sqlite {
    pub async fn submit(&self, job: NewJob) -> Result<(), StoreError> {
        let doing = "submit a job";
        let spec = job_spec(&job, doing)?;
        self.writer
            .write(doing, Statements::One, move |connection| Box::pin(insert_job(connection, job, spec)))
            .await
    }

    pub async fn job(&self, account: Option<AccountId>, id: &JobId) -> Result<Option<Job>, StoreError> {
        let doing = "read a job";
        let row = sqlx::query("/* job */ SELECT * FROM jobs WHERE id = ?1 AND (?2 IS NULL OR account = ?2)")
            .bind(&id.0)
            .bind(account.map(|account| account.0))
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| store_error(doing, &e))?;
        row.map(|row| job_of(&row).map_err(|e| e.into_store(doing))).transpose()
    }

    pub async fn jobs(&self, state: Option<JobState>, limit: u32) -> Result<Vec<Job>, StoreError> {
        let doing = "list jobs";
        // The states stand in the text, not in a parameter: only so are the partial indexes used.
        let query = match state {
            None => sqlx::query("/* jobs */ SELECT * FROM jobs ORDER BY seq DESC LIMIT ?"),
            Some(JobState::Queued) => {
                sqlx::query("/* jobs */ SELECT * FROM jobs WHERE state = 'queued' ORDER BY seq DESC LIMIT ?")
            }
            Some(JobState::Running) => {
                sqlx::query("/* jobs */ SELECT * FROM jobs WHERE state = 'running' ORDER BY seq DESC LIMIT ?")
            }
            Some(JobState::Succeeded) => sqlx::query(
                "/* jobs */ SELECT * FROM jobs WHERE state = 'succeeded' ORDER BY seq DESC LIMIT ?",
            ),
            Some(JobState::Failed) => {
                sqlx::query("/* jobs */ SELECT * FROM jobs WHERE state = 'failed' ORDER BY seq DESC LIMIT ?")
            }
            Some(JobState::Cancelled) => sqlx::query(
                "/* jobs */ SELECT * FROM jobs WHERE state = 'cancelled' ORDER BY seq DESC LIMIT ?",
            ),
        };
        let rows = query.bind(limit).fetch_all(&self.readers).await.map_err(|e| store_error(doing, &e))?;
        rows.iter().map(|row| job_of(row).map_err(|e| e.into_store(doing))).collect()
    }

    pub async fn latest_job(&self, video: &VideoId, kind: SnapshotKind) -> Result<Option<Job>, StoreError> {
        let doing = "read a video's latest job";
        let query = match kind {
            SnapshotKind::Normal => sqlx::query(
                "/* latest_job */ SELECT * FROM jobs WHERE video = ? AND state = 'succeeded' AND pictures > 0
                 ORDER BY seq DESC LIMIT 1",
            ),
            SnapshotKind::Sprite => sqlx::query(
                "/* latest_job */ SELECT * FROM jobs WHERE video = ? AND state = 'succeeded' AND sheets > 0
                 ORDER BY seq DESC LIMIT 1",
            ),
        };
        let row =
            query.bind(&video.0).fetch_optional(&self.readers).await.map_err(|e| store_error(doing, &e))?;
        row.map(|row| job_of(&row).map_err(|e| e.into_store(doing))).transpose()
    }

    pub async fn cancel(&self, id: &JobId, now_ms: i64) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer
            .write("cancel a job", Statements::One, move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "/* cancel */ UPDATE jobs
                         SET state = 'cancelled', claim_token = NULL, incarnation = NULL, ended_ms = ?
                         WHERE id = ? AND state IN ('queued', 'running')",
                    )
                    .bind(now_ms)
                    .bind(id.0)
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    // Due at once is 0 here, so the time of now is not needed; the contract keeps it for other backends.
    pub async fn requeue(&self, id: &JobId, _now_ms: i64) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer
            .write("queue a job again", Statements::Several, move |connection| {
                Box::pin(async move {
                    let seq: Option<i64> = sqlx::query_scalar(
                        "/* requeue */ UPDATE jobs
                         SET state = 'queued', attempts = 0, due_ms = 0, started_ms = NULL, ended_ms = NULL,
                             fail_code = NULL, fail_stage = NULL, fail_text = NULL, pictures = 0, sheets = 0,
                             fallbacks = NULL
                         WHERE id = ? AND state IN ('failed', 'cancelled') RETURNING seq",
                    )
                    .bind(id.0)
                    .fetch_optional(&mut *connection)
                    .await?;
                    let Some(seq) = seq else { return Ok(false) };
                    sqlx::query("/* requeue */ DELETE FROM points WHERE job = ?")
                        .bind(seq)
                        .execute(&mut *connection)
                        .await?;
                    sqlx::query("/* requeue */ DELETE FROM sheets WHERE job = ?")
                        .bind(seq)
                        .execute(&mut *connection)
                        .await?;
                    Ok(true)
                })
            })
            .await
    }

    pub async fn unfinished(&self, ids: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        let rows: Result<Vec<String>, _> = sqlx::query_scalar(
            "/* unfinished */ SELECT id FROM jobs
             WHERE id IN (SELECT value FROM json_each(?)) AND state IN ('queued', 'running')",
        )
        .bind(json_list(ids.iter().map(|id| id.0.as_str())))
        .fetch_all(&self.readers)
        .await;
        let rows = rows.map_err(|e| store_error("read unfinished jobs", &e))?;
        Ok(rows.into_iter().map(JobId).collect())
    }
}

/// The text of a new job's spec.
pub(super) fn job_spec(job: &NewJob, doing: &'static str) -> Result<String, StoreError> {
    spec_text(&job.spec).map_err(|e| StoreError::Unavailable { doing, reason: e.to_string() })
}

/// Queues a job, due at once.
pub(super) async fn insert_job(
    connection: &mut SqliteConnection,
    job: NewJob,
    spec: String,
) -> Result<(), OpError> {
    sqlx::query(
        "/* submit */ INSERT INTO jobs (id, account, video, spec, user_data, request_id, state,
             attempts, due_ms, created_ms, pictures, sheets)
         VALUES (?, ?, ?, ?, ?, ?, 'queued', 0, 0, ?, 0, 0)",
    )
    .bind(job.id.0)
    .bind(job.account.0)
    .bind(job.video.0)
    .bind(spec)
    .bind(job.user_data)
    .bind(job.request_id)
    .bind(job.created_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// A row of `jobs`, all columns.
pub(super) fn job_of(row: &SqliteRow) -> Result<Job, OpError> {
    let id: String = row.try_get("id")?;
    let state: String = row.try_get("state")?;
    let state = JobState::ALL
        .into_iter()
        .find(|s| s.name() == state)
        .ok_or_else(|| unreadable("jobs", &id, format!("state {state}")))?;
    let spec = spec_of(row.try_get("spec")?).map_err(|e| unreadable("jobs", &id, format!("spec: {e}")))?;
    let failure = match row.try_get::<Option<String>, _>("fail_code")? {
        Some(code) => Some(failure_of(&code, row.try_get("fail_stage")?, row.try_get("fail_text")?)),
        None => None,
    };
    Ok(Job {
        id: JobId(id),
        account: AccountId(row.try_get("account")?),
        video: VideoId(row.try_get("video")?),
        spec,
        user_data: row.try_get("user_data")?,
        request_id: row.try_get("request_id")?,
        state,
        attempts: row.try_get("attempts")?,
        created_ms: row.try_get("created_ms")?,
        started_ms: row.try_get("started_ms")?,
        ended_ms: row.try_get("ended_ms")?,
        failure,
        pictures: row.try_get("pictures")?,
        sheets: row.try_get("sheets")?,
        fallbacks: fallbacks_of(row.try_get("fallbacks")?),
    })
}
