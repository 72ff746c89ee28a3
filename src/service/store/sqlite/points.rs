//! A job's end and what is kept of it: points and sheets.
//!
//! Owns `points`, `sheets` and the transition that ends a job. Never numbers a picture: ordinals come in.

use std::collections::HashMap;

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use super::errors::{OpError, store_error, unreadable};
use super::format::{backend_of, fallbacks_text, hex, json_list, unhex};
use super::outbox::insert_delivery;
use super::writer::Statements;
use crate::model::ids::JobId;
use crate::model::snapshot::{PointStatus, Shown};
use crate::service::store::rows::{FinishedJob, PointRow, SheetRow};
use crate::service::store::{StoreError, failure_words};

impl Sqlite {
    pub async fn finish(&self, job: FinishedJob) -> Result<bool, StoreError> {
        let sheets = u32::try_from(job.sheets.len()).unwrap_or(u32::MAX);
        let points = points_json(&job.points);
        let sheet_rows = sheets_json(&job.sheets);
        self.writer
            .write("finish a job", Statements::Several, move |connection| {
                Box::pin(async move {
                    let Some(seq) = end_job(connection, &job, sheets).await? else { return Ok(false) };
                    insert_points(connection, seq, &points).await?;
                    insert_sheets(connection, seq, &sheet_rows).await?;
                    if let Some(event) = &job.event {
                        insert_delivery(connection, event).await?;
                    }
                    Ok(true)
                })
            })
            .await
    }

    pub async fn points(&self, id: &JobId) -> Result<Vec<PointRow>, StoreError> {
        let doing = "read a job's points";
        let rows = sqlx::query(
            "/* points */ SELECT * FROM points WHERE job = (SELECT seq FROM jobs WHERE id = ?) ORDER BY asked",
        )
        .bind(&id.0)
        .fetch_all(&self.readers)
        .await
        .map_err(|e| store_error(doing, &e))?;
        rows.iter().map(|row| point_of(id, row).map_err(|e| e.into_store(doing))).collect()
    }

    pub async fn statuses(
        &self,
        ids: &[JobId],
    ) -> Result<HashMap<JobId, Vec<(PointStatus, u32)>>, StoreError> {
        let doing = "count jobs' points";
        let rows: Vec<(String, String, u32)> = sqlx::query_as(
            "/* statuses */ SELECT jobs.id, points.status, count(*)
             FROM jobs JOIN points ON points.job = jobs.seq
             WHERE jobs.id IN (SELECT value FROM json_each(?)) GROUP BY 1, 2",
        )
        .bind(json_list(ids.iter().map(|id| &*id.0)))
        .fetch_all(&self.readers)
        .await
        .map_err(|e| store_error(doing, &e))?;
        let mut all: HashMap<JobId, Vec<(PointStatus, u32)>> = HashMap::new();
        for (id, word, count) in rows {
            let status = PointStatus::parse(&word)
                .ok_or_else(|| unreadable("points", &id, format!("status {word}")))?;
            all.entry(JobId(id)).or_default().push((status, count));
        }
        Ok(all)
    }

    pub async fn sheets(&self, id: &JobId) -> Result<Vec<SheetRow>, StoreError> {
        let rows = sqlx::query(
            "/* sheets */ SELECT * FROM sheets WHERE job = (SELECT seq FROM jobs WHERE id = ?) ORDER BY number",
        )
        .bind(&id.0)
        .fetch_all(&self.readers)
        .await
        .and_then(|rows| rows.iter().map(sheet_of).collect());
        rows.map_err(|e| store_error("read a job's sheets", &e))
    }
}

/// Ends a running job that the token still holds; none when it does not.
async fn end_job(
    connection: &mut SqliteConnection,
    job: &FinishedJob,
    sheets: u32,
) -> Result<Option<i64>, OpError> {
    let failure = job.failure.as_ref().map(failure_words);
    let seq = sqlx::query_scalar(
        "/* end_job */ UPDATE jobs
         SET state = CASE WHEN ?1 IS NULL THEN 'succeeded' ELSE 'failed' END,
             claim_token = NULL, incarnation = NULL, ended_ms = ?4,
             fail_code = ?1, fail_stage = ?2, fail_text = ?3, pictures = ?5, sheets = ?6, fallbacks = ?9
         WHERE id = ?7 AND claim_token = ?8 AND state = 'running' RETURNING seq",
    )
    .bind(failure.map(|(code, _, _)| code))
    .bind(failure.map(|(_, stage, _)| stage))
    .bind(failure.map(|(_, _, text)| text))
    .bind(job.ended_ms)
    .bind(job.pictures)
    .bind(sheets)
    .bind(&job.id.0)
    .bind(&job.token.0)
    .bind(fallbacks_text(&job.fallbacks))
    .fetch_optional(connection)
    .await?;
    Ok(seq)
}

// All points of a job go in as one statement: a job may have a thousand, and each statement is a round trip to
// the connection's thread while the other writers wait.
async fn insert_points(connection: &mut SqliteConnection, seq: i64, points: &str) -> Result<(), OpError> {
    sqlx::query(
        "/* insert_points */ INSERT INTO points (job, asked, asked_ms, status, reason, shown_status, shown_ms,
             pts, width, height, key_frame, backend, frame_md5, ordinal, bytes)
         SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13
         FROM json_each(?2)",
    )
    .bind(seq)
    .bind(points)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_sheets(connection: &mut SqliteConnection, seq: i64, sheets: &str) -> Result<(), OpError> {
    sqlx::query(
        "/* insert_sheets */ INSERT INTO sheets (job, number, width, height, bytes)
         SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?2)",
    )
    .bind(seq)
    .bind(sheets)
    .execute(connection)
    .await?;
    Ok(())
}

/// The rows in the column order of `insert_points`.
fn points_json(points: &[PointRow]) -> String {
    let row = |point: &PointRow| {
        let shown = point.shown.as_ref();
        json!([
            point.asked,
            point.asked_ms,
            point.status.name(),
            point.reason,
            shown.map(|s| s.status.name()),
            shown.map(|s| s.shown_ms),
            shown.map(|s| s.pts),
            shown.map(|s| s.width),
            shown.map(|s| s.height),
            shown.map(|s| u8::from(s.key_frame)),
            shown.map(|s| s.backend.name()),
            shown.and_then(|s| s.frame_md5).map(hex),
            point.ordinal,
            point.bytes,
        ])
    };
    points.iter().map(row).collect::<serde_json::Value>().to_string()
}

/// The rows in the column order of `insert_sheets`.
fn sheets_json(sheets: &[SheetRow]) -> String {
    let row = |sheet: &SheetRow| json!([sheet.number, sheet.width, sheet.height, sheet.bytes]);
    sheets.iter().map(row).collect::<serde_json::Value>().to_string()
}

fn point_of(job: &JobId, row: &SqliteRow) -> Result<PointRow, OpError> {
    let status = |word: &str| {
        PointStatus::parse(word).ok_or_else(|| unreadable("points", &job.0, format!("status {word}")))
    };
    let shown = match row.try_get::<Option<String>, _>("shown_status")? {
        Some(word) => Some(shown_of(job, row, status(&word)?)?),
        None => None,
    };
    Ok(PointRow {
        asked: row.try_get("asked")?,
        asked_ms: row.try_get("asked_ms")?,
        status: status(row.try_get("status")?)?,
        reason: row.try_get("reason")?,
        shown,
        ordinal: row.try_get("ordinal")?,
        bytes: row.try_get::<Option<i64>, _>("bytes")?.map(i64::unsigned_abs),
    })
}

fn shown_of(job: &JobId, row: &SqliteRow, status: PointStatus) -> Result<Shown, OpError> {
    let backend: String = row.try_get("backend")?;
    let frame_md5: Option<String> = row.try_get("frame_md5")?;
    Ok(Shown {
        status,
        shown_ms: row.try_get("shown_ms")?,
        pts: row.try_get("pts")?,
        width: row.try_get("width")?,
        height: row.try_get("height")?,
        key_frame: row.try_get("key_frame")?,
        backend: backend_of(&backend)
            .ok_or_else(|| unreadable("points", &job.0, format!("backend {backend}")))?,
        frame_md5: frame_md5
            .map(|text| unhex(&text).ok_or_else(|| unreadable("points", &job.0, "frame_md5")))
            .transpose()?,
    })
}

fn sheet_of(row: &SqliteRow) -> Result<SheetRow, sqlx::Error> {
    Ok(SheetRow {
        number: row.try_get("number")?,
        width: row.try_get("width")?,
        height: row.try_get("height")?,
        bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
    })
}
