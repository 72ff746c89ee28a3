//! The store on one SQLite file: one writer task with group commit, readers apart.
//!
//! Owns the file, its schema and every statement, one file a table group. Never decides what a row means:
//! the contract is `service/store`.

mod callbacks;
mod errors;
mod format;
mod health;
mod jobs;
mod keys;
mod open;
mod outbox;
mod points;
mod queue;
mod videos;
mod window;
mod writer;

use std::sync::{Arc, Mutex};

use sqlx::SqlitePool;

use window::Windows;
use writer::Writer;

/// One open file. Clones share the writer and the readers.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: Writer,
    /// Read-only connections; each statement is its own short snapshot, so none holds up a checkpoint.
    readers: SqlitePool,
    /// Rate windows. One daemon serves a data folder, so its memory sees every request; they start empty
    /// with it, when the second that they cover is over anyway.
    windows: Arc<Mutex<Windows>>,
}

#[cfg(test)]
mod tests;
