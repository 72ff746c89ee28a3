//! The queue: finding work, claiming it, giving it back.
//!
//! Owns every statement on claims but the one that ends a job (`points`). Never runs a job.

use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use super::errors::{OpError, store_error};
use super::format::json_list;
use super::jobs::job_of;
use super::videos::video_of;
use super::writer::Statements;
use crate::model::ids::{AccountId, ClaimToken, Incarnation, JobId, VideoId};
use crate::model::limits::{ATTEMPTS_MAX, JOBS_PER_BATCH_MAX};
use crate::service::store::StoreError;
use crate::service::store::rows::{Claim, DueHead, Job};

/// Due videos are counted up to here: a grant is cores / (running + due videos), at least one thread, so a
/// larger count changes nothing on any machine, and each counted video costs a look-up.
const DUE_VIDEOS_MAX: i64 = 256;

/// Due is what `due_ms` says, and what it puts off by more than the longest wait (`RELEASE_AHEAD_MS_MAX`, here and in
/// `take_due` as a number): then the clock was set back, and nothing shall wait for it to catch up.
///
/// Accounts are found by hopping from one to the next in the index; in each the videos are looked at oldest first
/// until one is free and due. What is walked is videos, never jobs.
pub(super) const DUE_HEADS: &str = "/* due_heads */
    WITH RECURSIVE
    accounts (account) AS (
        SELECT min(account) FROM queue_heads
        UNION ALL
        SELECT (SELECT min(h.account) FROM queue_heads h WHERE h.account > a.account)
        FROM accounts a WHERE a.account IS NOT NULL
    ),
    busy (video) AS MATERIALIZED (SELECT value FROM json_each(?2)),
    heads (account, video) AS MATERIALIZED (
        SELECT a.account,
               (SELECT h.video FROM queue_heads h
                WHERE h.account = a.account AND h.video NOT IN (SELECT video FROM busy)
                  AND EXISTS (SELECT 1 FROM jobs j
                              WHERE j.state = 'queued' AND j.account = h.account
                                AND j.video = h.video AND (j.due_ms <= ?1 OR j.due_ms > ?1 + 60000))
                ORDER BY h.seq LIMIT 1)
        FROM accounts a WHERE a.account IS NOT NULL
    )
    SELECT heads.account, heads.video,
           (SELECT j.seq FROM jobs j
            WHERE j.state = 'queued' AND j.account = heads.account AND j.video = heads.video
              AND (j.due_ms <= ?1 OR j.due_ms > ?1 + 60000)
            ORDER BY j.seq LIMIT 1) AS seq,
           (SELECT count(*) FROM
               (SELECT 1 FROM queue_heads h
                WHERE h.video NOT IN (SELECT video FROM busy)
                  AND EXISTS (SELECT 1 FROM jobs j
                              WHERE j.state = 'queued' AND j.account = h.account
                                AND j.video = h.video AND (j.due_ms <= ?1 OR j.due_ms > ?1 + 60000))
                LIMIT ?3)) AS due_videos
    FROM heads WHERE heads.video IS NOT NULL";

impl Sqlite {
    pub async fn start_incarnation(&self, incarnation: &Incarnation, now_ms: i64) -> Result<u64, StoreError> {
        let incarnation = incarnation.clone();
        self.writer
            .write("start an incarnation", Statements::Several, move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "/* start_incarnation */ INSERT INTO running_incarnation
                             (only_row, incarnation, started_ms, beat_ms)
                         VALUES (1, ?1, ?2, ?2)
                         ON CONFLICT (only_row) DO UPDATE
                         SET incarnation = excluded.incarnation, started_ms = excluded.started_ms,
                             beat_ms = excluded.beat_ms",
                    )
                    .bind(&incarnation.0)
                    .bind(now_ms)
                    .execute(&mut *connection)
                    .await?;
                    let back = sqlx::query(
                        "/* start_incarnation */ UPDATE jobs
                         SET state = 'queued', claim_token = NULL, incarnation = NULL, due_ms = 0
                         WHERE state = 'running' AND incarnation <> ?",
                    )
                    .bind(&incarnation.0)
                    .execute(&mut *connection)
                    .await?;
                    Ok(back.rows_affected())
                })
            })
            .await
    }

    pub async fn beat(&self, incarnation: &Incarnation, now_ms: i64) -> Result<(), StoreError> {
        let incarnation = incarnation.clone();
        self.writer
            .write("record a heartbeat", Statements::One, move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "/* beat */ UPDATE running_incarnation SET beat_ms = ? WHERE incarnation = ?",
                    )
                    .bind(now_ms)
                    .bind(incarnation.0)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    pub async fn due_heads(&self, now_ms: i64, busy: &[VideoId]) -> Result<Vec<DueHead>, StoreError> {
        let rows = sqlx::query(DUE_HEADS)
            .bind(now_ms)
            .bind(json_list(busy.iter().map(|video| video.0.as_str())))
            .bind(DUE_VIDEOS_MAX)
            .fetch_all(&self.readers)
            .await;
        let heads = rows.and_then(|rows| {
            rows.iter()
                .map(|row| {
                    Ok(DueHead {
                        account: AccountId(row.try_get("account")?),
                        video: VideoId(row.try_get("video")?),
                        seq: row.try_get("seq")?,
                        due_videos: row.try_get::<i64, _>("due_videos")?.unsigned_abs(),
                    })
                })
                .collect()
        });
        heads.map_err(|e| store_error("look for due work", &e))
    }

    pub async fn claim(
        &self,
        account: AccountId,
        video: &VideoId,
        token: &ClaimToken,
        incarnation: &Incarnation,
        now_ms: i64,
    ) -> Result<Option<Claim>, StoreError> {
        let (video, token, incarnation) = (video.clone(), token.clone(), incarnation.clone());
        self.writer
            .write("claim a video's jobs", Statements::Several, move |connection| {
                Box::pin(async move {
                    let due = Due { account, video: &video, now_ms };
                    let jobs = take_due(connection, &due, &token, &incarnation).await?;
                    if jobs.is_empty() {
                        return Ok(None);
                    }
                    let row = sqlx::query("/* claim */ SELECT * FROM videos WHERE id = ?")
                        .bind(&video.0)
                        .fetch_one(&mut *connection)
                        .await?;
                    Ok(Some(Claim { token, account, video: video_of(&row)?, jobs }))
                })
            })
            .await
    }

    pub async fn release(
        &self,
        token: &ClaimToken,
        jobs: &[JobId],
        charge: bool,
        due_ms: i64,
    ) -> Result<Vec<(JobId, u32)>, StoreError> {
        let token = token.clone();
        let jobs = json_list(jobs.iter().map(|id| id.0.as_str()));
        self.writer
            .write("release jobs", Statements::One, move |connection| {
                Box::pin(async move {
                    let rows = sqlx::query(
                        "/* release */ UPDATE jobs
                         SET state = 'queued', claim_token = NULL, incarnation = NULL,
                             attempts = attempts + ?1, due_ms = ?2
                         WHERE state = 'running' AND claim_token = ?3
                           AND id IN (SELECT value FROM json_each(?4))
                         RETURNING id, attempts",
                    )
                    .bind(i64::from(charge))
                    .bind(due_ms)
                    .bind(token.0)
                    .bind(jobs)
                    .fetch_all(connection)
                    .await?;
                    rows.iter().map(|row| Ok((JobId(row.try_get("id")?), row.try_get("attempts")?))).collect()
                })
            })
            .await
    }

    pub async fn cancelled(&self, token: &ClaimToken, jobs: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        // A cancelled job that was already asked for again is lost to this claim just the same.
        let rows: Result<Vec<String>, _> = sqlx::query_scalar(
            "/* cancelled */ SELECT id FROM jobs
             WHERE id IN (SELECT value FROM json_each(?1))
               AND (state IN ('cancelled', 'queued') OR (state = 'running' AND claim_token <> ?2))",
        )
        .bind(json_list(jobs.iter().map(|id| id.0.as_str())))
        .bind(&token.0)
        .fetch_all(&self.readers)
        .await;
        let rows = rows.map_err(|e| store_error("look for cancelled jobs", &e))?;
        Ok(rows.into_iter().map(JobId).collect())
    }
}

/// Which jobs may be claimed.
struct Due<'a> {
    account: AccountId,
    video: &'a VideoId,
    now_ms: i64,
}

/// Turns due jobs into running ones: the oldest alone if it is on its last attempt, else it and all that are not.
async fn take_due(
    connection: &mut SqliteConnection,
    due: &Due<'_>,
    token: &ClaimToken,
    incarnation: &Incarnation,
) -> Result<Vec<Job>, OpError> {
    let last_attempt = i64::from(ATTEMPTS_MAX) - 1;
    let oldest: Option<i64> = sqlx::query_scalar(
        "/* take_due */ SELECT attempts FROM jobs
         WHERE state = 'queued' AND account = ?1 AND video = ?2 AND (due_ms <= ?3 OR due_ms > ?3 + 60000)
           AND EXISTS (SELECT 1 FROM running_incarnation WHERE incarnation = ?4)
         ORDER BY seq LIMIT 1",
    )
    .bind(due.account.0)
    .bind(&due.video.0)
    .bind(due.now_ms)
    .bind(&incarnation.0)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(oldest) = oldest else { return Ok(Vec::new()) };
    let (attempts_max, jobs_max) = match oldest >= last_attempt {
        true => (i64::MAX, 1),
        false => (last_attempt - 1, JOBS_PER_BATCH_MAX as i64),
    };
    let rows = sqlx::query(
        "/* take_due */ UPDATE jobs
         SET state = 'running', claim_token = ?1, incarnation = ?2, started_ms = ?3
         WHERE state = 'queued' AND seq IN
             (SELECT seq FROM jobs
              WHERE state = 'queued' AND account = ?4 AND video = ?5 AND (due_ms <= ?3 OR due_ms > ?3 + 60000)
                AND attempts <= ?6
              ORDER BY seq LIMIT ?7)
         RETURNING *",
    )
    .bind(&token.0)
    .bind(&incarnation.0)
    .bind(due.now_ms)
    .bind(due.account.0)
    .bind(&due.video.0)
    .bind(attempts_max)
    .bind(jobs_max)
    .fetch_all(&mut *connection)
    .await?;
    // RETURNING promises no order.
    let mut jobs = rows
        .iter()
        .map(|row| Ok((row.try_get::<i64, _>("seq")?, job_of(row)?)))
        .collect::<Result<Vec<_>, OpError>>()?;
    jobs.sort_by_key(|&(seq, _)| seq);
    Ok(jobs.into_iter().map(|(_, job)| job).collect())
}
