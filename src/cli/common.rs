//! What commands share: settings, the store, and how problems are told.
//!
//! Owns how a command fails: one line on stderr and an exit code. Never prints data.

use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;

use super::{Global, exit, say};

use crate::service::settings::{Flags, Settings};
use crate::service::store::{Store, StoreError};

/// The global flags as settings know them.
pub fn flags(global: &Global) -> Flags {
    Flags { config: global.config.clone(), data: global.data.clone(), ..Flags::default() }
}

/// Settings, or the exit code after the problem was told.
pub fn settings(flags: &Flags) -> Result<Settings, u8> {
    Settings::of_process(flags).map_err(|error| {
        say::complain(error);
        exit::CONFIG
    })
}

/// Opens the database of an existing data folder: looking after what is not there is a mistake in `--data`.
pub async fn store(settings: &Settings) -> Result<Store, u8> {
    let path = settings.data.join("stillframe.db");
    if !path.exists() {
        say::complain(format_args!("there is no database in {}", settings.data.display()));
        return Err(exit::FAULT);
    }
    Store::open(&path).await.map_err(fault)
}

/// Opens the database, and makes it and its folder where they are not there yet.
pub async fn make_store(settings: &Settings) -> Result<Store, u8> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.data);
    if let Err(error) = made {
        say::complain(format_args!("failed to make {}: {error}", settings.data.display()));
        return Err(exit::FAULT);
    }
    Store::open(&settings.data.join("stillframe.db")).await.map_err(fault)
}

/// Tells what the store could not do.
pub fn fault(error: StoreError) -> u8 {
    say::complain(error);
    exit::FAULT
}

/// Runs an async command on this thread.
pub fn block_on(command: impl Future<Output = Result<u8, u8>>) -> u8 {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command).unwrap_or_else(|code| code),
        Err(error) => {
            say::complain(format_args!("failed to start: {error}"));
            exit::FAULT
        }
    }
}

/// Now, Unix ms.
pub fn now_ms() -> i64 {
    crate::service::clock::Clock::Real.now_ms()
}

/// An instant for people and JSON: `2017-03-21T10:00:00.123Z`.
pub fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

/// Prints one JSON value on a line.
pub fn print_json(value: &serde_json::Value) {
    say!("{value}");
}
