//! What is SQLite's alone: pragmas, file mode, foreign files, a full disk, a lock held elsewhere, query plans.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use super::Sqlite;
use super::queue::DUE_HEADS;
use super::writer::Statements;
use crate::service::store::StoreError;

/// Short: the tests that meet a lock wait it out.
const PATIENCE: Duration = Duration::from_millis(20);

async fn fresh() -> (Sqlite, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("stillframe.db");
    let store = Sqlite::open_with(&path, PATIENCE).await.expect("opens");
    (store, path, folder)
}

/// The answers of a pragma, and any other statement's first column, from the writing connection.
async fn ask(store: &Sqlite, sql: String) -> Result<i64, StoreError> {
    store
        .writer
        .write("ask", Statements::One, move |connection| {
            Box::pin(async move {
                let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?;
                Ok(row.try_get_unchecked::<i64, _>(0)?)
            })
        })
        .await
}

async fn beside(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.expect("connects")
}

#[tokio::test]
async fn commits_are_synced_and_keys_are_checked() {
    let (store, path, _folder) = fresh().await;
    // FULL: a commit returns after the log is synced.
    assert_eq!(ask(&store, "PRAGMA synchronous".to_owned()).await.expect("asks"), 2);
    assert_eq!(ask(&store, "PRAGMA foreign_keys".to_owned()).await.expect("asks"), 1);
    assert_eq!(ask(&store, "PRAGMA busy_timeout".to_owned()).await.expect("asks"), 20);
    let mut reading = store.readers.acquire().await.expect("a reader");
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *reading).await.expect("asks");
    assert_eq!(mode, "wal");
    let written = sqlx::query("UPDATE health SET checked_ms = 1").execute(&mut *reading).await;
    assert!(written.is_err(), "a reader writes nothing");
    drop(reading);
    store.check(1).await.expect("writes");
    for name in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{name}", path.display()));
        let mode = std::fs::metadata(&file).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    let (store, path, _folder) = fresh().await;
    store.close().await;
    let mut other = beside(&path).await;
    other.execute("PRAGMA user_version = 99").await.expect("sets");
    other.execute("PRAGMA journal_mode = DELETE").await.expect("sets");
    other.close().await.expect("closes");
    let before = std::fs::read(&path).expect("reads");
    let refused = Sqlite::open(&path).await;
    assert!(
        matches!(&refused, Err(StoreError::Unusable(text)) if text.contains("schema 99") && text.contains("newer")),
        "{refused:?}"
    );
    assert!(before == std::fs::read(&path).expect("reads"), "not a byte changed");
}

#[tokio::test]
async fn a_file_of_the_first_schema_is_brought_up_to_date_and_keeps_its_rows() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("stillframe.db");
    std::fs::write(&path, b"").expect("writes");
    let mut old = beside(&path).await;
    old.execute(include_str!("../migrations/0001_init.sql")).await.expect("creates");
    old.execute(
        "INSERT INTO videos (id, account, title, file_url, path, size, status, created_ms, modified_ms)
             VALUES ('v', 1, '', 'file:///a', '/a', 1, 'normal', 1, 1);
         INSERT INTO jobs (id, account, video, spec, request_id, state, attempts, due_ms, created_ms, pictures, sheets)
             VALUES ('j', 1, 'v', '{\"points\":{\"kind\":\"none\"},\"quality\":85}', 'r', 'queued', 0, 0, 1, 0, 0);
         PRAGMA application_id = 0x53467374; PRAGMA user_version = 1",
    )
    .await
    .expect("fills");
    old.close().await.expect("closes");
    let store = Sqlite::open(&path).await.expect("opens");
    let job = store.job(None, &"j".into()).await.expect("reads").expect("is there");
    assert_eq!((job.request_id.as_str(), job.fallbacks), ("r", Vec::new()));
    assert_eq!(
        ask(&store, "SELECT user_version FROM pragma_user_version".to_owned()).await.expect("asks"),
        2
    );
}

#[tokio::test]
async fn files_of_others_are_refused_untouched() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let foreign = folder.path().join("foreign.db");
    let mut other = beside(&foreign).await;
    other.execute("CREATE TABLE theirs (x)").await.expect("creates");
    other.close().await.expect("closes");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are no rows, but they are long enough to look like a header ".repeat(20))
        .expect("writes");
    for path in [foreign, text] {
        let before = std::fs::read(&path).expect("reads");
        let refused = Sqlite::open(&path).await;
        assert!(matches!(refused, Err(StoreError::Unusable(_))), "{refused:?}");
        assert!(before == std::fs::read(&path).expect("reads"), "not a byte changed");
    }
    let nowhere = Sqlite::open(&folder.path().join("no/such/folder.db")).await;
    assert!(matches!(nowhere, Err(StoreError::Unavailable { .. })), "{nowhere:?}");
}

#[tokio::test]
async fn an_empty_file_and_an_open_in_two_places_at_once_become_one_schema() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("stillframe.db");
    std::fs::write(&path, b"").expect("writes");
    let (one, two) = tokio::join!(Sqlite::open(&path), Sqlite::open(&path));
    let (one, two) = (one.expect("opens"), two.expect("opens"));
    one.check(1).await.expect("writes");
    two.check(2).await.expect("writes");
    assert_eq!(ask(&one, "SELECT checked_ms FROM health".to_owned()).await.expect("asks"), 2);
}

#[tokio::test]
async fn a_full_disk_fails_the_commit_and_not_the_writer() {
    let (store, _path, _folder) = fresh().await;
    let pages = ask(&store, "PRAGMA page_count".to_owned()).await.expect("asks");
    ask(&store, format!("PRAGMA max_page_count = {}", pages + 1)).await.expect("limits");
    let fill = |size: usize| {
        let store = store.clone();
        async move {
            store
                .writer
                .write("fill", Statements::Several, move |connection| {
                    Box::pin(async move {
                        sqlx::query("INSERT INTO access_keys VALUES ('fill', zeroblob(0) || ?, 1, 1, 1)")
                            .bind("x".repeat(size))
                            .execute(connection)
                            .await?;
                        Ok(())
                    })
                })
                .await
        }
    };
    for _ in 0..3 {
        // Whoever shares the transaction is refused with it, by the name of what he was doing.
        let (full, neighbour) = tokio::join!(fill(100_000), store.check(7));
        assert!(matches!(full, Err(StoreError::Unavailable { doing: "fill", .. })), "{full:?}");
        if let Err(error) = neighbour {
            assert!(
                matches!(error, StoreError::Unavailable { doing: "write a health check", .. }),
                "{error:?}"
            );
        }
    }
    assert!(store.key("fill").await.expect("reads").is_none());
    store.check(8).await.expect("small writes still fit");
    ask(&store, "PRAGMA max_page_count = 1000000".to_owned()).await.expect("makes room");
    fill(100_000).await.expect("resumes");
    assert!(store.key("fill").await.expect("reads").is_some());
}

#[tokio::test]
async fn a_lock_held_elsewhere_is_waited_for_and_then_told() {
    let (store, path, _folder) = fresh().await;
    let mut other = beside(&path).await;
    other.execute("BEGIN IMMEDIATE").await.expect("locks");
    let busy = store.check(1).await;
    assert!(matches!(busy, Err(StoreError::Unavailable { .. })), "{busy:?}");
    assert!(store.keys().await.expect("readers do not wait").is_empty());
    other.execute("ROLLBACK").await.expect("unlocks");
    store.check(2).await.expect("writes again");
}

#[tokio::test]
async fn a_connection_left_in_a_bad_state_is_replaced() {
    let (store, _path, _folder) = fresh().await;
    // An operation that ends the transaction under the writer's feet: the commit fails, the writer goes on.
    let broken = store
        .writer
        .write("break", Statements::One, |connection| {
            Box::pin(async move {
                connection.execute("ROLLBACK").await?;
                Ok(())
            })
        })
        .await;
    assert!(matches!(broken, Err(StoreError::Unavailable { doing: "break", .. })), "{broken:?}");
    store.check(3).await.expect("writes again");
    assert_eq!(ask(&store, "PRAGMA synchronous".to_owned()).await.expect("asks"), 2);
}

#[tokio::test]
async fn an_operation_of_several_statements_undoes_itself_alone() {
    let (store, _path, _folder) = fresh().await;
    let half = store.writer.write("do half", Statements::Several, |connection| {
        Box::pin(async move {
            connection.execute("INSERT INTO access_keys VALUES ('half', 's', 1, 1, 1)").await?;
            connection.execute("INSERT INTO access_keys VALUES ('half', 's', 1, 1, 1)").await?;
            Ok(())
        })
    });
    let (half, neighbour) = tokio::join!(half, store.check(9));
    assert!(matches!(half, Err(StoreError::Taken { .. })), "{half:?}");
    neighbour.expect("is spared");
    assert!(store.key("half").await.expect("reads").is_none());
}

/// Impossible rows cannot be written, whoever writes them.
#[tokio::test]
async fn illegal_states_are_refused_by_the_table() {
    let (store, path, _folder) = fresh().await;
    let mut other = beside(&path).await;
    other
        .execute(
            "INSERT INTO videos (id, account, title, file_url, path, size, status, created_ms, modified_ms)
             VALUES ('v', 1, '', 'file:///v', '/v', 0, 'normal', 0, 0);
             INSERT INTO jobs (id, account, video, spec, request_id, state, attempts, due_ms, created_ms, pictures,
                 sheets) VALUES ('j', 1, 'v', '{}', '', 'queued', 0, 0, 0, 0, 0)",
        )
        .await
        .expect("legal rows");
    for illegal in [
        "UPDATE jobs SET state = 'waiting'",
        "UPDATE jobs SET state = 'running'",
        "UPDATE jobs SET claim_token = 't'",
        "UPDATE jobs SET state = 'running', claim_token = 't', incarnation = 'i'",
        "UPDATE jobs SET state = 'succeeded', started_ms = 1",
        "UPDATE jobs SET state = 'failed', started_ms = 1, ended_ms = 2",
        "UPDATE jobs SET state = 'cancelled', ended_ms = 2, pictures = 1",
        "UPDATE jobs SET fail_code = 'io', fail_stage = 'open', fail_text = 'x'",
        "UPDATE jobs SET ended_ms = 1",
        "UPDATE jobs SET attempts = -1",
        "UPDATE jobs SET spec = 'not json'",
        "UPDATE jobs SET video = 'no such video'",
        "UPDATE videos SET status = 'deleted'",
        "INSERT INTO points (job, asked, asked_ms, status) VALUES (1, 0, 0, 'fine')",
        "INSERT INTO points (job, asked, asked_ms, status) VALUES (99, 0, 0, 'ok')",
        "INSERT INTO points (job, asked, asked_ms, status, ordinal) VALUES (1, 0, 0, 'ok', 1)",
        "INSERT INTO points (job, asked, asked_ms, status, ordinal, bytes) VALUES (1, 0, 0, 'failed', 1, 1)",
        "INSERT INTO points (job, asked, asked_ms, status, pts) VALUES (1, 0, 0, 'ok', 1)",
        "INSERT INTO running_incarnation VALUES (2, 'i', 0, 0)",
    ] {
        let done = other.execute(illegal).await;
        let text = done.expect_err(illegal).to_string();
        assert!(text.contains("constraint failed"), "{illegal}: {text}");
    }
    drop(store);
}

#[tokio::test]
async fn looking_for_work_walks_no_jobs() {
    let (store, _path, _folder) = fresh().await;
    let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {DUE_HEADS}")))
        .bind(0)
        .bind("[]")
        .bind(1)
        .fetch_all(&store.readers)
        .await
        .expect("explains");
    let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    let of_jobs: Vec<_> =
        steps.iter().filter(|step| step.starts_with("SEARCH j") || step.contains("SCAN j")).collect();
    assert_eq!(of_jobs.iter().filter(|step| !step.contains("json_each")).count(), 3, "{steps:#?}");
    for step in of_jobs.into_iter().filter(|step| !step.contains("json_each")) {
        assert!(step.contains("jobs_queued (account=? AND video=?)"), "{step}");
    }
    let sorted = steps.iter().any(|step| step.contains("TEMP B-TREE"));
    assert!(!sorted, "{steps:#?}");
}
