//! The one task that writes: takes what waits, puts it into one transaction, answers after the commit.
//!
//! Owns the writing connection and every transaction on it. Never knows what an operation does.
//!
//! ```text
//!   callers --> bounded channel --> [ op op op ... <= 256 ] --> BEGIN IMMEDIATE, each op, COMMIT --> replies
//!                                     |                                                       |
//!                                     an op that fails undoes itself only                     a commit that
//!                                     and the others go on                                    fails fails all
//! ```
//!
//! Transactions are plain statements, not sqlx's: after a failed commit only SQLite knows whether a
//! transaction is still open, and the connection is replaced when a rollback does not settle it.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::{mpsc, oneshot};

use super::errors::{OpError, is_busy, store_error};
use crate::service::store::StoreError;
use crate::service::telemetry::metrics;

/// Most operations of one commit.
const GROUP_MAX: usize = 256;
/// Operations that may wait; a caller beyond that waits itself.
const WAITING_MAX: usize = 1_024;

/// What an operation returns inside the transaction.
pub(super) type OpFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, OpError>> + Send + 'c>>;

/// Whether an operation needs a savepoint of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statements {
    /// At most one statement changes rows: SQLite undoes it by itself when it fails.
    One,
    /// All or nothing needs a savepoint.
    Several,
}

/// One operation on its way through a transaction.
trait Op: Send {
    /// Runs it. Returns the error that ended the transaction, if it was one.
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> RunFuture<'c>;
    /// Tells its caller, after the end of the transaction.
    fn reply(self: Box<Self>, outcome: Result<(), &StoreError>);
}

type RunFuture<'c> = Pin<Box<dyn Future<Output = Option<StoreError>> + Send + 'c>>;

/// The one kind of `Op`: a closure and the way back to its caller.
struct Pending<T, F> {
    doing: &'static str,
    statements: Statements,
    /// Taken when it runs.
    op: Option<F>,
    /// There once it ran.
    result: Option<Result<T, OpError>>,
    done: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Op for Pending<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> OpFuture<'c, T> + Send + 'static,
{
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> RunFuture<'c> {
        let op = self.op.take();
        Box::pin(async move {
            let result = run_op(connection, self.statements, op?).await;
            let fatal = match &result {
                Err(OpError::Sql(error)) if !spares(&result) => Some(store_error(self.doing, error)),
                _ => None,
            };
            self.result = Some(result);
            fatal
        })
    }

    fn reply(self: Box<Self>, outcome: Result<(), &StoreError>) {
        let doing = self.doing;
        let answer = match (outcome, self.result) {
            (Ok(()), Some(result)) => result.map_err(|error| error.into_store(doing)),
            (Ok(()), None) => Err(closed(doing)),
            (Err(error), _) => Err(renamed(error, doing)),
        };
        // A caller that does not wait any more has nobody to tell.
        self.done.send(answer).ok();
    }
}

enum Message {
    Op(Box<dyn Op>),
    Close { done: oneshot::Sender<()> },
}

/// The way to the writer task.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the task on an open connection; it ends with the last handle.
    pub(super) fn start(options: SqliteConnectOptions, connection: SqliteConnection) -> Writer {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(serve(options, connection, waiting));
        Writer { queue }
    }

    /// Runs `op` in the next transaction and returns once that is durable.
    ///
    /// A caller that goes away leaves its operation in the queue: it is still done.
    pub(super) async fn write<T, F>(
        &self,
        doing: &'static str,
        statements: Statements,
        op: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> OpFuture<'c, T> + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        let pending = Pending { doing, statements, op: Some(op), result: None, done };
        self.queue.send(Message::Op(Box::new(pending))).await.map_err(|_| closed(doing))?;
        answer.await.unwrap_or_else(|_| Err(closed(doing)))
    }

    /// Ends the task after what waits is done, with the file closed.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close { done }).await.is_ok() {
            // An error means that the task ended by itself: closed all the same.
            closed.await.unwrap_or(());
        }
    }
}

fn closed(doing: &'static str) -> StoreError {
    StoreError::Unavailable { doing, reason: "the store is closed".to_owned() }
}

fn spares<T>(result: &Result<T, OpError>) -> bool {
    result.as_ref().err().is_none_or(OpError::spares_the_transaction)
}

// Each caller hears what he was doing, not what broke the transaction was doing.
fn renamed(error: &StoreError, doing: &'static str) -> StoreError {
    match error {
        StoreError::Unavailable { reason, .. } => StoreError::Unavailable { doing, reason: reason.clone() },
        StoreError::Taken { what } => StoreError::Unavailable { doing, reason: format!("{what} is taken") },
        StoreError::Unusable(text) => StoreError::Unusable(text.clone()),
    }
}

async fn run_op<T, F>(connection: &mut SqliteConnection, statements: Statements, op: F) -> Result<T, OpError>
where
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> OpFuture<'c, T> + Send + 'static,
{
    if statements == Statements::One {
        return op(connection).await;
    }
    connection.execute("/* op */ SAVEPOINT op").await?;
    let result = op(connection).await;
    match &result {
        Ok(_) => {
            connection.execute("/* op */ RELEASE op").await?;
        }
        Err(error) if error.spares_the_transaction() => {
            connection.execute("/* op */ ROLLBACK TO op").await?;
            connection.execute("/* op */ RELEASE op").await?;
        }
        // The whole transaction is rolled back by `commit_group`.
        Err(_) => {}
    }
    result
}

async fn serve(
    options: SqliteConnectOptions,
    connection: SqliteConnection,
    mut waiting: mpsc::Receiver<Message>,
) {
    let mut connection = Some(connection);
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut closing = Vec::new();
    while closing.is_empty() && waiting.recv_many(&mut group, GROUP_MAX).await > 0 {
        let mut ops = Vec::with_capacity(group.len());
        for message in group.drain(..) {
            match message {
                Message::Op(op) => ops.push(op),
                Message::Close { done } => closing.push(done),
            }
        }
        if !ops.is_empty() {
            connection = commit_group(&options, connection, ops).await;
        }
    }
    // What was sent after the close finds its queue dropped and hears that the store is closed.
    drop(waiting);
    if let Some(connection) = connection {
        // Nothing is lost by a close that fails: every answer was given after its commit.
        connection.close().await.ok();
    }
    for done in closing {
        done.send(()).ok();
    }
}

/// One transaction. Returns the connection, or none when it must be opened anew.
async fn commit_group(
    options: &SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    ops: Vec<Box<dyn Op>>,
) -> Option<SqliteConnection> {
    let began = Instant::now();
    let rows = ops.len();
    let mut connection = match connection {
        Some(connection) => connection,
        None => match options.connect().await {
            Ok(connection) => connection,
            Err(error) => {
                refuse_all(ops, &store_error("open the database", &error));
                return None;
            }
        },
    };
    if let Err(error) = connection.execute("/* commit_group */ BEGIN IMMEDIATE").await {
        if is_busy(&error) {
            metrics::db_busy();
        }
        refuse_all(ops, &store_error("begin a transaction", &error));
        return settled(connection).await;
    }
    let mut ops = ops;
    let mut fatal = None;
    for op in &mut ops {
        fatal = op.run(&mut connection).await;
        if fatal.is_some() {
            break;
        }
    }
    let committed = match fatal {
        Some(error) => Err(error),
        None => match connection.execute("/* commit_group */ COMMIT").await {
            Ok(_) => Ok(()),
            Err(error) => {
                if is_busy(&error) {
                    metrics::db_busy();
                }
                Err(store_error("commit", &error))
            }
        },
    };
    // The replies leave here, after the commit and never before it.
    for op in ops {
        op.reply(committed.as_ref().copied());
    }
    match committed {
        Ok(()) => {
            metrics::db_commit(began.elapsed().as_secs_f64(), rows);
            Some(connection)
        }
        Err(_) => settled(connection).await,
    }
}

fn refuse_all(ops: Vec<Box<dyn Op>>, error: &StoreError) {
    for op in ops {
        op.reply(Err(error));
    }
}

// After a failure SQLite may or may not have rolled back by itself; a connection that can begin and roll back
// an empty transaction is sound, any other is dropped, which rolls back too.
async fn settled(mut connection: SqliteConnection) -> Option<SqliteConnection> {
    // Fails when nothing is open, which is as good.
    connection.execute("/* settled */ ROLLBACK").await.ok();
    let sound = connection.execute("/* settled */ BEGIN").await.is_ok()
        && connection.execute("/* settled */ ROLLBACK").await.is_ok();
    sound.then_some(connection)
}
