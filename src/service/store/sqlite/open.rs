//! Opening the file: mode, pragmas, schema, and refusing what this release must not touch.
//!
//! Owns the connection options and the migrations. Never writes to a file that it refuses.

use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::Sqlite;
use super::errors::store_error;
use super::window::Windows;
use super::writer::Writer;
use crate::service::store::StoreError;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Reading connections: reads are short, and more would only contend for the same page cache.
const READERS: u32 = 4;
/// The log is cut back to this after a checkpoint.
const WAL_BYTES: &str = "67108864";
/// Marks our files: "SFst".
const APPLICATION_ID: i64 = 0x5346_7374;

/// Every migration; the schema's version is their number.
const MIGRATIONS: [&str; 2] =
    [include_str!("../migrations/0001_init.sql"), include_str!("../migrations/0002_fallbacks.sql")];

impl Sqlite {
    /// Opens or creates the file.
    pub async fn open(path: &Path) -> Result<Sqlite, StoreError> {
        Sqlite::open_with(path, BUSY_TIMEOUT).await
    }

    pub(super) async fn open_with(path: &Path, busy_timeout: Duration) -> Result<Sqlite, StoreError> {
        if !create(path)? {
            refuse_foreign(path).await?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(busy_timeout)
            .foreign_keys(true)
            .pragma("journal_size_limit", WAL_BYTES)
            .disable_statement_logging();
        let mut writing = options.connect().await.map_err(|e| store_error("open the database", &e))?;
        check_pragmas(&mut writing).await?;
        migrate(&mut writing).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.clone().read_only(true).pragma("query_only", "ON"))
            .await
            .map_err(|e| store_error("open the database for reading", &e))?;
        let windows = Arc::new(Mutex::new(Windows::default()));
        Ok(Sqlite { writer: Writer::start(options, writing), readers, windows })
    }

    /// Finishes what waits and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Makes an empty file that only its owner reads: it will hold secrets. False when there is one already.
fn create(path: &Path) -> Result<bool, StoreError> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(StoreError::Unavailable {
            doing: "create the database",
            reason: format!("{}: {error}", path.display()),
        }),
    }
}

/// Looks at an existing file without changing a byte of it.
async fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut looking = options.connect().await.map_err(|e| store_error("open the database", &e))?;
    let looked = look(&mut looking).await;
    looking.close().await.ok();
    let (version, application, tables) = looked.map_err(|e| store_error("read the database", &e))?;
    let file = path.display();
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(StoreError::Unusable(format!("{file} is not a stillframe database")));
    }
    refuse_newer(&file.to_string(), version)
}

async fn look(connection: &mut SqliteConnection) -> Result<(i64, i64, i64), sqlx::Error> {
    let version = sqlx::query_scalar("/* look */ PRAGMA user_version").fetch_one(&mut *connection).await?;
    let application =
        sqlx::query_scalar("/* look */ PRAGMA application_id").fetch_one(&mut *connection).await?;
    let tables = sqlx::query_scalar("/* look */ SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await?;
    Ok((version, application, tables))
}

fn refuse_newer(file: &str, version: i64) -> Result<(), StoreError> {
    if version > MIGRATIONS.len() as i64 {
        return Err(StoreError::Unusable(format!(
            "{file} has schema {version}, made by a newer release; this one knows schemas up to {}",
            MIGRATIONS.len()
        )));
    }
    Ok(())
}

/// What is asked for is not always what is given: some file systems refuse WAL without an error.
async fn check_pragmas(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let read = |e: sqlx::Error| store_error("check the database's settings", &e);
    let journal: String = sqlx::query_scalar("/* check_pragmas */ PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(read)?;
    let synchronous: i64 = sqlx::query_scalar("/* check_pragmas */ PRAGMA synchronous")
        .fetch_one(&mut *connection)
        .await
        .map_err(read)?;
    let foreign_keys: i64 = sqlx::query_scalar("/* check_pragmas */ PRAGMA foreign_keys")
        .fetch_one(&mut *connection)
        .await
        .map_err(read)?;
    if journal != "wal" || synchronous != 2 || foreign_keys != 1 {
        return Err(StoreError::Unusable(format!(
            "the database must run with journal_mode=wal, synchronous=2 and foreign_keys=1, \
             but has {journal}, {synchronous} and {foreign_keys}; is it on a local file system?"
        )));
    }
    Ok(())
}

/// Brings the schema up to date in one transaction; two processes that open the file at once take turns.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let doing = "migrate the database";
    connection.execute("/* migrate */ BEGIN IMMEDIATE").await.map_err(|e| store_error(doing, &e))?;
    let migrated = apply(connection).await;
    let end = if migrated.is_ok() { "/* migrate */ COMMIT" } else { "/* migrate */ ROLLBACK" };
    let ended = connection.execute(end).await;
    migrated?;
    ended.map(|_| ()).map_err(|e| store_error(doing, &e))
}

async fn apply(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let failed = |e: sqlx::Error| store_error("migrate the database", &e);
    let version: i64 = sqlx::query_scalar("/* apply */ PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    refuse_newer("the database", version)?;
    let done = usize::try_from(version).unwrap_or(0);
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    for migration in MIGRATIONS.into_iter().skip(done) {
        connection.execute(migration).await.map_err(failed)?;
    }
    // Pragmas take no parameters. Both numbers are constants of this file, and both are part of the transaction.
    let mark = format!(
        "/* apply */ PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
        MIGRATIONS.len()
    );
    connection.execute(AssertSqlSafe(mark)).await.map_err(failed)?;
    Ok(())
}
