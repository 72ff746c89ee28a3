//! Account-wide callback settings.
//!
//! Owns `callback_settings`. Never calls anybody.

use secrecy::{ExposeSecret, SecretString};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Sqlite;
use super::errors::store_error;
use super::writer::Statements;
use crate::model::ids::AccountId;
use crate::service::store::StoreError;
use crate::service::store::rows::CallbackSettings;

impl Sqlite {
    pub async fn callback_settings(
        &self,
        account: AccountId,
    ) -> Result<Option<CallbackSettings>, StoreError> {
        let row = sqlx::query("/* callback_settings */ SELECT * FROM callback_settings WHERE account = ?")
            .bind(account.0)
            .fetch_optional(&self.readers)
            .await
            .and_then(|row| row.map(|row| settings_of(&row)).transpose());
        row.map_err(|e| store_error("read callback settings", &e))
    }

    pub async fn set_callback_settings(
        &self,
        account: AccountId,
        settings: &CallbackSettings,
    ) -> Result<(), StoreError> {
        let settings = settings.clone();
        self.writer
            .write("change callback settings", Statements::One, move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "/* set_callback_settings */ INSERT INTO callback_settings
                             (account, app_id, callback_url, event_types, auth_switch, auth_key)
                         VALUES (?, ?, ?, ?, ?, ?)
                         ON CONFLICT (account) DO UPDATE
                         SET app_id = excluded.app_id, callback_url = excluded.callback_url,
                             event_types = excluded.event_types, auth_switch = excluded.auth_switch,
                             auth_key = excluded.auth_key",
                    )
                    .bind(account.0)
                    .bind(settings.app_id)
                    .bind(settings.callback_url)
                    .bind(settings.event_types)
                    .bind(settings.auth_switch)
                    .bind(settings.auth_key.as_ref().map(|key| key.expose_secret()))
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    pub async fn delete_callback_settings(&self, account: AccountId) -> Result<bool, StoreError> {
        self.writer
            .write("delete callback settings", Statements::One, move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "/* delete_callback_settings */ DELETE FROM callback_settings WHERE account = ?",
                    )
                    .bind(account.0)
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }
}

fn settings_of(row: &SqliteRow) -> Result<CallbackSettings, sqlx::Error> {
    Ok(CallbackSettings {
        app_id: row.try_get("app_id")?,
        callback_url: row.try_get("callback_url")?,
        event_types: row.try_get("event_types")?,
        auth_switch: row.try_get("auth_switch")?,
        auth_key: row.try_get::<Option<String>, _>("auth_key")?.map(SecretString::from),
    })
}
