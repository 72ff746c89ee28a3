//! SetMessageCallback, GetMessageCallback, DeleteMessageCallback: the account's receiver (API contract, 3.11).
//!
//! Owns the checks of a receiver's URL and key. Never sends anything there.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, json};

use crate::service::store::rows::CallbackSettings;

use super::error::ApiError;
use super::params::Params;
use super::rpc::{Answer, Call, fields};
use super::user_data::check_callback_url;
use super::videos::DEFAULT_APP;

const AUTH_KEY_BYTES_MAX: usize = 32;
const APP_ID_BYTES_MAX: usize = 32;

const EVENT_TYPES: [&str; 16] = [
    "FileUploadComplete",
    "ImageUploadComplete",
    "StreamTranscodeComplete",
    "TranscodeComplete",
    "SnapshotComplete",
    "DynamicImageComplete",
    "AddLiveRecordVideoComplete",
    "LiveRecordVideoComposeStart",
    "UploadByURLComplete",
    "CreateAuditComplete",
    "AIComplete",
    "VideoAnalysisComplete",
    "AttachedMediaUploadComplete",
    "ProduceMediaComplete",
    "DeleteMediaComplete",
    "MediaBaseChangeComplete",
];

/// Replaces the account's settings.
pub async fn set(call: &Call<'_>) -> Answer {
    let settings = parse(call.params)?;
    if settings.auth_key.as_ref().is_some_and(|key| !is_mixed(key.expose_secret())) {
        let account = call.account.0;
        tracing::warn!(account, "the callback AuthKey does not mix upper case, lower case and digits");
    }
    call.context.store.set_callback_settings(call.account, &settings).await?;
    Ok(Map::new())
}

/// Shows the account's settings.
pub async fn get(call: &Call<'_>) -> Answer {
    let app_id = app_id(call.params)?;
    let settings = call.context.store.callback_settings(call.account).await?;
    let settings = settings.filter(|s| s.app_id == app_id);
    let settings = settings.ok_or_else(|| ApiError::no_such_resource("MessageCallback"))?;
    let mut shown = fields(json!({
        "AppId": settings.app_id,
        "CallbackType": "HTTP",
        "CallbackURL": settings.callback_url,
        "EventTypeList": settings.event_types,
        "AuthSwitch": if settings.auth_switch { "on" } else { "off" },
    }));
    if let Some(key) = &settings.auth_key {
        shown.insert("AuthKey".into(), key.expose_secret().into());
    }
    Ok(fields(json!({ "MessageCallback": shown })))
}

/// Forgets the account's settings; there is nothing to forget is success too.
pub async fn delete(call: &Call<'_>) -> Answer {
    let app_id = app_id(call.params)?;
    let settings = call.context.store.callback_settings(call.account).await?;
    if settings.is_some_and(|s| s.app_id == app_id) {
        call.context.store.delete_callback_settings(call.account).await?;
    }
    Ok(Map::new())
}

fn app_id(params: &Params) -> Result<String, ApiError> {
    let id = params.get("AppId").unwrap_or(DEFAULT_APP);
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !plain || id.len() > APP_ID_BYTES_MAX {
        return Err(ApiError::invalid_parameter("AppId", "no application id"));
    }
    Ok(id.to_owned())
}

fn parse(params: &Params) -> Result<CallbackSettings, ApiError> {
    let invalid = ApiError::invalid_parameter;
    match params.get("CallbackType") {
        None => {}
        Some(kind) if kind.eq_ignore_ascii_case("http") => {}
        Some(_) => return Err(invalid("CallbackType", "only HTTP is served")),
    }
    let callback_url = params.get("CallbackURL").ok_or_else(|| ApiError::missing_parameter("CallbackURL"))?;
    check_callback_url(callback_url).map_err(|e| ApiError::invalid_parameter("CallbackURL", e))?;
    let auth_switch = match params.get("AuthSwitch") {
        None => false,
        Some(switch) if switch.eq_ignore_ascii_case("off") => false,
        Some(switch) if switch.eq_ignore_ascii_case("on") => true,
        Some(_) => return Err(invalid("AuthSwitch", "neither on nor off")),
    };
    let auth_key = params.get("AuthKey");
    if auth_key.is_some_and(|key| key.len() > AUTH_KEY_BYTES_MAX) {
        return Err(invalid("AuthKey", "the key is too long"));
    }
    if auth_switch && auth_key.is_none() {
        return Err(ApiError::missing_parameter("AuthKey"));
    }
    Ok(CallbackSettings {
        app_id: app_id(params)?,
        callback_url: callback_url.to_owned(),
        event_types: event_types(params)?,
        auth_switch,
        auth_key: auth_key.map(SecretString::from),
    })
}

// Empty or absent turns every event off.
fn event_types(params: &Params) -> Result<String, ApiError> {
    let text = params.get("EventTypeList").unwrap_or_default().trim();
    if text.is_empty() || text == "ALL" {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    match names.iter().find(|name| !EVENT_TYPES.contains(name)) {
        Some(_) => Err(ApiError::invalid_parameter("EventTypeList", "no such event")),
        None => Ok(names.join(",")),
    }
}

fn is_mixed(key: &str) -> bool {
    let has = |wanted: fn(&char) -> bool| key.chars().any(|c| wanted(&c));
    has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) && has(char::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<CallbackSettings, ApiError> {
        parse(&Params::parse(query).unwrap())
    }

    #[test]
    fn settings_are_read_with_their_defaults() {
        let plain = read("CallbackType=HTTP&CallbackURL=http://h/x?y=1").unwrap();
        assert_eq!((plain.app_id.as_str(), plain.event_types.as_str()), ("app-1000000", ""));
        assert_eq!((plain.callback_url.as_str(), plain.auth_switch), ("http://h/x?y=1", false));
        let full = read(
            "CallbackURL=https://h/&EventTypeList=SnapshotComplete, FileUploadComplete&AuthSwitch=on&AuthKey=Test123",
        )
        .unwrap();
        assert_eq!(full.event_types, "SnapshotComplete,FileUploadComplete");
        assert_eq!(full.auth_key.unwrap().expose_secret(), "Test123");
        assert_eq!(read("CallbackURL=http://h/&EventTypeList=ALL").unwrap().event_types, "ALL");
    }

    #[test]
    fn bad_settings_are_refused_by_name() {
        let long_key = format!("CallbackURL=http://h/&AuthKey={}", "k".repeat(33));
        let long_url = format!("CallbackURL=http://h/{}", "x".repeat(256));
        for (query, code, name) in [
            ("CallbackType=HTTP", "MissingParameter", "CallbackURL"),
            ("CallbackType=MNS&MnsQueueName=q", "InvalidParameter", "CallbackType"),
            ("CallbackType=x&CallbackURL=http://h/", "InvalidParameter", "CallbackType"),
            ("CallbackURL=ftp://h/", "InvalidParameter", "CallbackURL"),
            ("CallbackURL=h", "InvalidParameter", "CallbackURL"),
            ("CallbackURL=http://u:p@h/", "InvalidParameter", "CallbackURL"),
            (&long_url, "InvalidParameter", "CallbackURL"),
            ("CallbackURL=http://h/&AuthSwitch=yes", "InvalidParameter", "AuthSwitch"),
            ("CallbackURL=http://h/&AuthSwitch=on", "MissingParameter", "AuthKey"),
            (&long_key, "InvalidParameter", "AuthKey"),
            ("CallbackURL=http://h/&EventTypeList=Snapshot", "InvalidParameter", "EventTypeList"),
            ("CallbackURL=http://h/&EventTypeList=SnapshotComplete,", "InvalidParameter", "EventTypeList"),
            ("CallbackURL=http://h/&AppId=a b", "InvalidParameter", "AppId"),
        ] {
            let error = read(query).expect_err(query);
            assert_eq!(error.code, code, "{query}");
            assert!(error.message.contains(&format!("\"{name}\"")), "{query}: {}", error.message);
        }
    }
}
