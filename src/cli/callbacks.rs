//! `stillframe callbacks`: list, show, redeliver. Works with or without a daemon.
//!
//! Owns how outbox rows are shown. Never sends one: a redelivered row is the daemon's.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Global, common, exit, say};
use crate::service::store::Store;
use crate::service::store::rows::{DeliveryRow, DeliveryState};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print callbacks
    List {
        /// Only those that were given up
        #[arg(long)]
        dead: bool,
        /// Print at most this many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one callback with its body
    Show {
        #[arg(value_name = "ID")]
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send a callback again, now, with all its attempts
    Redeliver {
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    common::block_on(async {
        let store = common::store(&common::settings(&common::flags(global))?).await?;
        match args.command {
            Command::List { dead, limit, json } => list(&store, dead, limit, json).await,
            Command::Show { id, json } => {
                let Some(row) = store.delivery(&id).await.map_err(common::fault)? else {
                    return Err(unknown(&id));
                };
                if json {
                    common::print_json(&row_json(&row, true));
                } else {
                    print_row(&row);
                }
                Ok(exit::DONE)
            }
            Command::Redeliver { id } => {
                match store.redeliver(&id, common::now_ms()).await.map_err(common::fault)? {
                    true => Ok(exit::DONE),
                    false => Err(unknown(&id)),
                }
            }
        }
    })
}

fn unknown(id: &str) -> u8 {
    say::complain(format_args!("there is no callback {id}"));
    exit::FAULT
}

async fn list(store: &Store, dead: bool, limit: u32, json: bool) -> Result<u8, u8> {
    let state = dead.then_some(DeliveryState::Dead);
    let rows = store.deliveries(state, limit).await.map_err(common::fault)?;
    if json {
        common::print_json(&rows.iter().map(|row| row_json(row, false)).collect());
        return Ok(exit::DONE);
    }
    say!("{:36}  {:9}  {:8}  {:24}  {:24}  LAST ERROR", "CALLBACK", "STATE", "ATTEMPTS", "CREATED", "NEXT");
    for row in &rows {
        say!(
            "{:36}  {:9}  {:<8}  {:24}  {:24}  {}",
            row.event_id,
            state_word(row.state),
            row.attempts,
            common::instant(row.created_ms),
            next(row).unwrap_or_else(|| "-".to_owned()),
            row.last_error.as_deref().unwrap_or(""),
        );
    }
    Ok(exit::DONE)
}

fn print_row(row: &DeliveryRow) {
    say!("callback    {}", row.event_id);
    say!("event       {}", row.event_type);
    say!("account     {}", row.account);
    if let Some(job) = &row.job {
        say!("job         {job}");
    }
    say!("url         {}", row.url);
    say!("state       {}", state_word(row.state));
    say!("attempts    {}", row.attempts);
    say!("created     {}", common::instant(row.created_ms));
    if let Some(next) = next(row) {
        say!("next        {next}");
    }
    if let Some(error) = &row.last_error {
        say!("last error  {error}");
    }
    say!("\n{}", row.body);
}

/// Only a row that waits has a next attempt.
fn next(row: &DeliveryRow) -> Option<String> {
    (row.state == DeliveryState::Pending).then(|| common::instant(row.next_ms))
}

fn state_word(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Dead => "dead",
    }
}

fn row_json(row: &DeliveryRow, body: bool) -> Value {
    let mut value = json!({
        "event_id": row.event_id,
        "event_type": row.event_type,
        "account": row.account.0,
        "job_id": row.job.as_ref().map(|job| &job.0),
        "url": row.url,
        "state": state_word(row.state),
        "attempts": row.attempts,
        "created": common::instant(row.created_ms),
        "next": next(row),
        "last_error": row.last_error,
    });
    if body {
        value["body"] = json!(row.body);
    }
    value
}
