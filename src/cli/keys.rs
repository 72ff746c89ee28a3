//! `stillframe keys`: access keys, made and switched in the store itself.
//!
//! Owns how a key is made and told. Never shows a secret a second time. Works with or without a running
//! daemon; a daemon reads keys at each request, so it knows a change at once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Global, common, exit, say};
use crate::model::ids::AccountId;
use crate::service::api::time;
use crate::service::clock::Clock;
use crate::service::store::rows::AccessKey;
use crate::service::store::{Store, StoreError};

/// The account of a first key.
pub(super) const DEFAULT_ACCOUNT: AccountId = AccountId(1_000_000_000_000_001);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key; its secret is shown this once
    New {
        /// Owner of the key: the only account there is, else 1000000000000001
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        account: Option<i64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys, without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a key from now on
    Disable {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Accept a key again
    Enable {
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    common::block_on(async {
        let settings = common::settings(&common::flags(global))?;
        let store = common::make_store(&settings).await?;
        carry_out(&store, args.what).await.map_err(common::fault)
    })
}

async fn carry_out(store: &Store, what: What) -> Result<u8, StoreError> {
    match what {
        What::New { account, json } => new_key(store, account.map(AccountId), json).await,
        What::List { json } => list(store, json).await,
        What::Disable { id } => switch(store, &id, false).await,
        What::Enable { id } => switch(store, &id, true).await,
    }
}

async fn new_key(store: &Store, account: Option<AccountId>, json: bool) -> Result<u8, StoreError> {
    let account = match account {
        Some(account) => account,
        None => only_account(&store.keys().await?).unwrap_or(DEFAULT_ACCOUNT),
    };
    let (id, secret) = (format!("SF{}", random(15)), random(30));
    let key = AccessKey {
        id: id.clone(),
        secret: SecretString::from(secret),
        account,
        enabled: true,
        created_ms: Clock::Real.now_ms(),
    };
    store.add_key(&key).await?;
    let secret = key.secret.expose_secret();
    if json {
        common::print_json(&json!({ "access_key_id": id, "access_key_secret": secret }));
    } else {
        say!("AccessKeyId      {id}\nAccessKeySecret  {secret}\nAccount          {account}");
        say::remark("The secret is not shown again.");
    }
    Ok(exit::DONE)
}

/// The owner of all these keys, if it is one.
pub(super) fn only_account(keys: &[AccessKey]) -> Option<AccountId> {
    let first = keys.first()?.account;
    keys.iter().all(|key| key.account == first).then_some(first)
}

// Letters and digits from `bytes` random bytes of the operating system; ids and secrets must survive every shell.
fn random(bytes: usize) -> String {
    let mut drawn = Vec::new();
    while drawn.len() < bytes {
        // Bytes 6 and 8 hold the version and variant and are left out.
        let uuid = uuid::Uuid::new_v4().into_bytes();
        drawn.extend_from_slice(&uuid[..6]);
        drawn.extend_from_slice(&uuid[9..]);
    }
    drawn.truncate(bytes);
    URL_SAFE_NO_PAD.encode(drawn).replace(['-', '_'], "x")
}

async fn list(store: &Store, json: bool) -> Result<u8, StoreError> {
    let keys = store.keys().await?;
    if json {
        let shown: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({ "access_key_id": key.id, "account": key.account.0, "enabled": key.enabled,
                    "created": time::print(key.created_ms) })
            })
            .collect();
        common::print_json(&shown.into());
        return Ok(exit::DONE);
    }
    say!("{:<24} {:<20} {:<9} CREATED", "ACCESS KEY ID", "ACCOUNT", "STATE");
    for key in keys {
        let state = if key.enabled { "enabled" } else { "disabled" };
        say!("{:<24} {:<20} {state:<9} {}", key.id, key.account.0, time::print(key.created_ms));
    }
    Ok(exit::DONE)
}

async fn switch(store: &Store, id: &str, enabled: bool) -> Result<u8, StoreError> {
    if store.set_key_enabled(id, enabled).await? {
        return Ok(exit::DONE);
    }
    say::complain(format_args!("there is no key {id}"));
    Ok(exit::FAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_texts_are_plain_and_differ() {
        let (a, b) = (random(30), random(30));
        assert_ne!(a, b);
        assert_eq!(a.len(), 40);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric()), "{a}");
    }

    #[test]
    fn a_new_key_joins_the_only_account() {
        let key = |account| AccessKey {
            id: "k".into(),
            secret: SecretString::from("s"),
            account: AccountId(account),
            enabled: true,
            created_ms: 0,
        };
        assert_eq!(only_account(&[]), None);
        assert_eq!(only_account(&[key(7), key(7)]), Some(AccountId(7)));
        assert_eq!(only_account(&[key(7), key(8)]), None);
    }
}
