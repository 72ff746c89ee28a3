//! Events on their way out.
//!
//! Owns `outbox`. Never renders a body or decides when to try again: both come in.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use super::errors::{OpError, store_error, unreadable};
use super::writer::Statements;
use crate::model::ids::{AccountId, JobId};
use crate::service::store::StoreError;
use crate::service::store::rows::{DeliveryRow, DeliveryState, NewDelivery};

impl Sqlite {
    pub async fn due_deliveries(&self, now_ms: i64, limit: u32) -> Result<Vec<DeliveryRow>, StoreError> {
        let doing = "look for due callbacks";
        let rows = sqlx::query(
            "/* due_deliveries */ SELECT * FROM outbox WHERE state = 'pending' AND next_ms <= ?
             ORDER BY next_ms, seq LIMIT ?",
        )
        .bind(now_ms)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(|e| store_error(doing, &e))?;
        rows.iter().map(|row| delivery_of(row).map_err(|e| e.into_store(doing))).collect()
    }

    pub async fn next_delivery_ms(&self) -> Result<Option<i64>, StoreError> {
        sqlx::query_scalar("/* next_delivery_ms */ SELECT min(next_ms) FROM outbox WHERE state = 'pending'")
            .fetch_one(&self.readers)
            .await
            .map_err(|e| store_error("look for the next callback", &e))
    }

    pub async fn delivery_done(&self, event_id: &str, now_ms: i64) -> Result<(), StoreError> {
        let event_id = event_id.to_owned();
        self.writer
            .write("record a delivered callback", Statements::One, move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "/* delivery_done */ UPDATE outbox
                         SET state = 'delivered', attempts = attempts + 1, ended_ms = ?, last_error = NULL
                         WHERE event_id = ? AND state = 'pending'",
                    )
                    .bind(now_ms)
                    .bind(event_id)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    pub async fn delivery_failed(
        &self,
        event_id: &str,
        error: &str,
        next_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        let (event_id, error) = (event_id.to_owned(), error.to_owned());
        self.writer
            .write("record a failed callback", Statements::One, move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "/* delivery_failed */ UPDATE outbox
                         SET state = CASE WHEN ?1 IS NULL THEN 'dead' ELSE 'pending' END,
                             attempts = attempts + 1, next_ms = coalesce(?1, next_ms), last_error = ?2
                         WHERE event_id = ?3 AND state = 'pending'",
                    )
                    .bind(next_ms)
                    .bind(error)
                    .bind(event_id)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    pub async fn postpone_deliveries(&self, rows: &[(String, i64)]) -> Result<(), StoreError> {
        let rows = rows.to_vec();
        self.writer
            .write("put callbacks off", Statements::Several, move |connection| {
                Box::pin(async move {
                    for (event_id, next_ms) in rows {
                        sqlx::query(
                            "/* postpone_deliveries */ UPDATE outbox SET next_ms = ?1
                             WHERE event_id = ?2 AND state = 'pending' AND next_ms < ?1",
                        )
                        .bind(next_ms)
                        .bind(event_id)
                        .execute(&mut *connection)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    pub async fn deliveries(
        &self,
        state: Option<DeliveryState>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let doing = "list callbacks";
        // The states stand in the text, not in a parameter: only so are the partial indexes used.
        let query = match state {
            None => sqlx::query("/* deliveries */ SELECT * FROM outbox ORDER BY seq DESC LIMIT ?"),
            Some(DeliveryState::Pending) => sqlx::query(
                "/* deliveries */ SELECT * FROM outbox WHERE state = 'pending' ORDER BY seq DESC LIMIT ?",
            ),
            Some(DeliveryState::Delivered) => sqlx::query(
                "/* deliveries */ SELECT * FROM outbox WHERE state = 'delivered' ORDER BY seq DESC LIMIT ?",
            ),
            Some(DeliveryState::Dead) => sqlx::query(
                "/* deliveries */ SELECT * FROM outbox WHERE state = 'dead' ORDER BY seq DESC LIMIT ?",
            ),
        };
        let rows = query.bind(limit).fetch_all(&self.readers).await.map_err(|e| store_error(doing, &e))?;
        rows.iter().map(|row| delivery_of(row).map_err(|e| e.into_store(doing))).collect()
    }

    pub async fn delivery(&self, event_id: &str) -> Result<Option<DeliveryRow>, StoreError> {
        let doing = "read a callback";
        let row = sqlx::query("/* delivery */ SELECT * FROM outbox WHERE event_id = ?")
            .bind(event_id)
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| store_error(doing, &e))?;
        row.map(|row| delivery_of(&row).map_err(|e| e.into_store(doing))).transpose()
    }

    // Due at once is 0 here, so the time of now is not needed; the contract keeps it for other backends.
    pub async fn redeliver(&self, event_id: &str, _now_ms: i64) -> Result<bool, StoreError> {
        let event_id = event_id.to_owned();
        self.writer
            .write("send a callback again", Statements::One, move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "/* redeliver */ UPDATE outbox
                         SET state = 'pending', attempts = 0, next_ms = 0, ended_ms = NULL, last_error = NULL
                         WHERE event_id = ?",
                    )
                    .bind(event_id)
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }
}

/// Puts an event into the outbox, due at once, inside the transaction of the change that it tells.
pub(super) async fn insert_delivery(
    connection: &mut SqliteConnection,
    event: &NewDelivery,
) -> Result<(), OpError> {
    // Due at once is 0 and not the time of now: a clock set back afterwards would make the event wait for it.
    // A job that was queued again ends again. Should its event have the same id, the new body replaces the old:
    // refusing would hold up the job's end for good.
    sqlx::query(
        "/* insert_delivery */ INSERT INTO outbox
             (event_id, account, job, event_type, url, body, created_ms, state, attempts, next_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', 0, 0)
         ON CONFLICT (event_id) DO UPDATE
         SET event_type = excluded.event_type, url = excluded.url, body = excluded.body,
             created_ms = excluded.created_ms, state = 'pending', attempts = 0, next_ms = 0,
             ended_ms = NULL, last_error = NULL",
    )
    .bind(&event.event_id)
    .bind(event.account.0)
    .bind(event.job.as_ref().map(|job| job.0.as_str()))
    .bind(&event.event_type)
    .bind(&event.url)
    .bind(&event.body)
    .bind(event.created_ms)
    .execute(connection)
    .await?;
    Ok(())
}

fn delivery_of(row: &SqliteRow) -> Result<DeliveryRow, OpError> {
    let event_id: String = row.try_get("event_id")?;
    let created_ms: i64 = row.try_get("created_ms")?;
    let state: String = row.try_get("state")?;
    let state = match state.as_str() {
        "pending" => DeliveryState::Pending,
        "delivered" => DeliveryState::Delivered,
        "dead" => DeliveryState::Dead,
        _ => return Err(unreadable("outbox", &event_id, format!("state {state}")).into()),
    };
    Ok(DeliveryRow {
        event_id,
        account: AccountId(row.try_get("account")?),
        job: row.try_get::<Option<String>, _>("job")?.map(JobId),
        event_type: row.try_get("event_type")?,
        url: row.try_get("url")?,
        body: row.try_get("body")?,
        created_ms,
        state,
        attempts: row.try_get("attempts")?,
        // What is due at once was so from the beginning.
        next_ms: row.try_get::<i64, _>("next_ms")?.max(created_ms),
        last_error: row.try_get("last_error")?,
    })
}
