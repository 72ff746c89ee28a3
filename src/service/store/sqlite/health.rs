//! Numbers for gauges, and the write that proves that writing works.
//!
//! Owns `health` and the reading of `counters`, which triggers keep. Never counts rows.

use sqlx::Row;

use super::Sqlite;
use super::errors::store_error;
use super::writer::Statements;
use crate::service::store::StoreError;
use crate::service::store::rows::Counts;

impl Sqlite {
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let row = sqlx::query(
            "/* counts */ SELECT
                 (SELECT value FROM counters WHERE name = 'jobs.queued') AS queued,
                 (SELECT value FROM counters WHERE name = 'jobs.running') AS running,
                 (SELECT value FROM counters WHERE name = 'outbox.pending') AS callbacks_pending,
                 (SELECT value FROM counters WHERE name = 'outbox.dead') AS callbacks_dead,
                 (SELECT value FROM counters WHERE name = 'nonces') AS nonces,
                 (SELECT created_ms FROM jobs WHERE seq = (SELECT min(seq) FROM queue_heads))
                     AS oldest_queued_ms,
                 (SELECT min(created_ms) FROM outbox WHERE state = 'pending') AS oldest_pending_callback_ms",
        )
        .fetch_one(&self.readers)
        .await;
        let counts = row.and_then(|row| {
            let count = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
            Ok(Counts {
                queued: count("queued")?,
                running: count("running")?,
                oldest_queued_ms: row.try_get("oldest_queued_ms")?,
                callbacks_pending: count("callbacks_pending")?,
                callbacks_dead: count("callbacks_dead")?,
                oldest_pending_callback_ms: row.try_get("oldest_pending_callback_ms")?,
                nonces: count("nonces")?,
            })
        });
        counts.map_err(|e| store_error("count", &e))
    }

    pub async fn check(&self, now_ms: i64) -> Result<(), StoreError> {
        self.writer
            .write("write a health check", Statements::One, move |connection| {
                Box::pin(async move {
                    sqlx::query("/* check */ UPDATE health SET checked_ms = ?")
                        .bind(now_ms)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}
