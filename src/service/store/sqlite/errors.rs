//! What SQLite's errors mean to the fence.
//!
//! Owns the one mapping from result codes to `StoreError`. Never retries.

use sqlx::error::DatabaseError;

use crate::service::store::StoreError;

// Primary result codes (sqlite.org/rescode.html).
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const CONSTRAINT: i32 = 19;
const NOTADB: i32 = 26;

/// Why an operation inside a transaction did not succeed.
#[derive(Debug)]
pub(super) enum OpError {
    Sql(sqlx::Error),
    /// The operation itself says no; the transaction is sound.
    Store(StoreError),
}

impl From<sqlx::Error> for OpError {
    fn from(error: sqlx::Error) -> OpError {
        OpError::Sql(error)
    }
}

impl From<StoreError> for OpError {
    fn from(error: StoreError) -> OpError {
        OpError::Store(error)
    }
}

impl OpError {
    /// True when only this operation failed and the transaction around it goes on. Any other error may have
    /// rolled the whole transaction back (full, input/output, out of memory), so nobody in it was served.
    pub(super) fn spares_the_transaction(&self) -> bool {
        match self {
            OpError::Store(_) => true,
            OpError::Sql(sqlx::Error::Database(error)) => primary(error.as_ref()) == CONSTRAINT,
            OpError::Sql(error) => matches!(
                error,
                sqlx::Error::RowNotFound
                    | sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::Decode(_)
                    | sqlx::Error::Encode(_)
                    | sqlx::Error::ColumnNotFound(_)
            ),
        }
    }

    pub(super) fn into_store(self, doing: &'static str) -> StoreError {
        match self {
            OpError::Store(error) => error,
            OpError::Sql(error) => store_error(doing, &error),
        }
    }
}

/// True when another connection holds the lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| matches!(primary(e), BUSY | LOCKED))
}

/// The error of one statement, as the fence tells it.
pub(super) fn store_error(doing: &'static str, error: &sqlx::Error) -> StoreError {
    if let Some(database) = error.as_database_error() {
        if database.is_unique_violation() {
            return StoreError::Taken { what: taken(database.message()).to_owned() };
        }
        if matches!(primary(database), CORRUPT | NOTADB) {
            return StoreError::Unusable(format!("failed to {doing}: {}", database.message()));
        }
    }
    StoreError::Unavailable { doing, reason: error.to_string() }
}

/// A row that this release cannot read.
pub(super) fn unreadable(table: &str, id: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Unusable(format!("row {id} of {table} is not readable: {why}"))
}

// SQLite names the columns: "UNIQUE constraint failed: videos.account, videos.reference_id".
fn taken(message: &str) -> &'static str {
    const NAMES: [(&str, &str); 6] = [
        ("access_keys.id", "access key id"),
        ("videos.reference_id", "reference id"),
        ("videos.file_url", "file url"),
        ("videos.id", "video id"),
        ("jobs.id", "job id"),
        ("outbox.event_id", "event id"),
    ];
    NAMES.iter().find(|(column, _)| message.contains(column)).map_or("name", |(_, name)| name)
}

fn primary(error: &dyn DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0) & 0xff
}
