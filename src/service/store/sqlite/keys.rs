//! Access keys, and letting authenticated requests in.
//!
//! Owns `access_keys` and `nonces`. Never checks a signature.

use std::sync::{Mutex, PoisonError};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use secrecy::{ExposeSecret, SecretString};

use super::Sqlite;
use super::errors::{OpError, store_error};
use super::jobs::{insert_job, job_spec};
use super::window::Windows;
use super::writer::Statements;
use crate::model::ids::AccountId;
use crate::service::store::StoreError;
use crate::service::store::rows::{AccessKey, Admission, Admitted, NewJob};

/// Expired nonces that one transaction forgets, so that no submission waits behind a long one.
const PRUNE_STEP: u64 = 5_000;

impl Sqlite {
    pub async fn add_key(&self, key: &AccessKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.writer
            .write("add an access key", Statements::One, move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "/* add_key */ INSERT INTO access_keys (id, secret, account, enabled, created_ms)
                         VALUES (?, ?, ?, ?, ?)",
                    )
                    .bind(&key.id)
                    .bind(key.secret.expose_secret())
                    .bind(key.account.0)
                    .bind(key.enabled)
                    .bind(key.created_ms)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    pub async fn key(&self, id: &str) -> Result<Option<AccessKey>, StoreError> {
        let row = sqlx::query(
            "/* key */ SELECT id, secret, account, enabled, created_ms FROM access_keys WHERE id = ?",
        )
        .bind(id)
        .fetch_optional(&self.readers)
        .await
        .and_then(|row| row.map(|row| access_key(&row)).transpose());
        row.map_err(|e| store_error("read an access key", &e))
    }

    pub async fn keys(&self) -> Result<Vec<AccessKey>, StoreError> {
        let rows = sqlx::query(
            "/* keys */ SELECT id, secret, account, enabled, created_ms FROM access_keys
             ORDER BY created_ms, id",
        )
        .fetch_all(&self.readers)
        .await
        .and_then(|rows| rows.iter().map(access_key).collect());
        rows.map_err(|e| store_error("read the access keys", &e))
    }

    pub async fn set_key_enabled(&self, id: &str, enabled: bool) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.writer
            .write("change an access key", Statements::One, move |connection| {
                Box::pin(async move {
                    let done =
                        sqlx::query("/* set_key_enabled */ UPDATE access_keys SET enabled = ? WHERE id = ?")
                            .bind(enabled)
                            .bind(id)
                            .execute(connection)
                            .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    pub async fn admit(&self, admission: Admission) -> Result<Admitted, StoreError> {
        let windows = self.windows.clone();
        self.writer
            .write("record a nonce", Statements::One, move |connection| {
                Box::pin(async move { admit(connection, &windows, admission).await })
            })
            .await
    }

    pub async fn admit_with_job(&self, admission: Admission, job: NewJob) -> Result<Admitted, StoreError> {
        let doing = "submit a job";
        let spec = job_spec(&job, doing)?;
        let windows = self.windows.clone();
        self.writer
            .write(doing, Statements::Several, move |connection| {
                Box::pin(async move {
                    let admitted = admit(connection, &windows, admission).await?;
                    if admitted == Admitted::Yes {
                        insert_job(connection, job, spec).await?;
                    }
                    Ok(admitted)
                })
            })
            .await
    }

    pub async fn prune(&self, now_ms: i64) -> Result<(), StoreError> {
        self.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).forget_idle(now_ms);
        loop {
            let gone = self
                .writer
                .write("forget expired nonces", Statements::One, move |connection| {
                    Box::pin(async move {
                        let done = sqlx::query(
                            "/* prune */ DELETE FROM nonces WHERE (key_id, nonce) IN
                             (SELECT key_id, nonce FROM nonces WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?)",
                        )
                        .bind(now_ms)
                        .bind(PRUNE_STEP as i64)
                        .execute(connection)
                        .await?;
                        Ok(done.rows_affected())
                    })
                })
                .await?;
            if gone < PRUNE_STEP {
                return Ok(());
            }
        }
    }
}

async fn admit(
    connection: &mut SqliteConnection,
    windows: &Mutex<Windows>,
    admission: Admission,
) -> Result<Admitted, OpError> {
    // A nonce that expired but was not pruned yet is as good as forgotten.
    let done = sqlx::query(
        "/* admit */ INSERT INTO nonces (key_id, nonce, expires_ms) VALUES (?, ?, ?)
         ON CONFLICT (key_id, nonce) DO UPDATE SET expires_ms = excluded.expires_ms
         WHERE nonces.expires_ms <= ?",
    )
    .bind(admission.key_id)
    .bind(admission.nonce)
    .bind(admission.nonce_expires_ms)
    .bind(admission.now_ms)
    .execute(connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(Admitted::NonceUsed);
    }
    let Some((action, limit)) = admission.limit else { return Ok(Admitted::Yes) };
    // Only a request whose nonce is new takes a place: a replay costs its victim nothing.
    let mut windows = windows.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(match windows.take(admission.account, action, limit, admission.now_ms) {
        Ok(()) => Admitted::Yes,
        Err(retry_after_ms) => Admitted::Throttled { retry_after_ms },
    })
}

fn access_key(row: &SqliteRow) -> Result<AccessKey, sqlx::Error> {
    Ok(AccessKey {
        id: row.try_get("id")?,
        secret: SecretString::from(row.try_get::<String, _>("secret")?),
        account: AccountId(row.try_get("account")?),
        enabled: row.try_get("enabled")?,
        created_ms: row.try_get("created_ms")?,
    })
}
