//! Where an event goes, and what it carries back: `UserData` and the account's settings. *Pure.*
//!
//! Owns the reading of `UserData` (API contract, 2.4). Never refuses a submission: that is the API's part; what
//! cannot be read here has no say.

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Map, Value};

use crate::service::store::rows::CallbackSettings;

/// The address of an event, if anybody is to hear of it. The account's settings are the gate: they must exist and
/// list the event. Of the addresses the job's counts first, then the video's, then the account's.
pub fn callback_url(
    settings: Option<&CallbackSettings>,
    job: Option<&str>,
    video: Option<&str>,
    event_type: &str,
) -> Option<String> {
    let settings = settings.filter(|settings| lists(&settings.event_types, event_type))?;
    let own = job.and_then(override_url).or_else(|| video.and_then(override_url));
    own.or_else(|| Some(settings.callback_url.clone()).filter(|url| !url.is_empty()))
}

/// The text of `Extend`: the job's, else the video's. An object comes as the very JSON text that was sent.
pub fn extend(job: Option<&str>, video: Option<&str>) -> Option<String> {
    job.and_then(extend_of).or_else(|| video.and_then(extend_of))
}

fn lists(event_types: &str, event_type: &str) -> bool {
    event_types.split(',').map(str::trim).any(|listed| listed == "ALL" || listed == event_type)
}

fn override_url(user_data: &str) -> Option<String> {
    let whole = object(serde_json::from_str(user_data).ok()?)?;
    let callback = object(whole.get("MessageCallback")?.clone())?;
    // A message queue is nothing that we could serve: the next address counts.
    let http = callback.get("CallbackType").is_none_or(|word| {
        word.as_str().is_some_and(|word| word.is_empty() || word.eq_ignore_ascii_case("http"))
    });
    let url = callback.get("CallbackURL")?.as_str()?;
    (http && !url.is_empty()).then(|| url.to_owned())
}

// Nested values are sometimes JSON text themselves.
fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        Value::String(text) => match serde_json::from_str(&text).ok()? {
            Value::Object(map) => Some(map),
            _ => None,
        },
        _ => None,
    }
}

fn extend_of(user_data: &str) -> Option<String> {
    let text = serde_json::from_str::<String>(user_data).ok();
    let raw = member(text.as_deref().unwrap_or(user_data), "Extend")?;
    match serde_json::from_str(raw).ok()? {
        Value::Null => None,
        Value::String(text) => Some(text),
        _ => Some(raw.to_owned()),
    }
}

// The text of one member, untouched: a parsed value would lose the order of keys and the digits of long numbers.
// Of two members of one name the last counts, as it does in `Value`.
fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    serde_json::from_str::<IgnoredAny>(json).ok()?;
    let mut rest = json.trim_start().strip_prefix('{')?;
    let mut found = None;
    while rest.trim_start().starts_with('"') {
        let mut keys = Deserializer::from_str(rest).into_iter::<String>();
        let key = keys.next()?.ok()?;
        rest = rest[keys.byte_offset()..].trim_start().strip_prefix(':')?.trim_start();
        let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let end = values.byte_offset();
        if key == name {
            found = Some(rest[..end].trim());
        }
        rest = rest[end..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(event_types: &str) -> CallbackSettings {
        CallbackSettings {
            app_id: "app-1000000".to_owned(),
            callback_url: "http://account.test/".to_owned(),
            event_types: event_types.to_owned(),
            auth_switch: false,
            auth_key: None,
        }
    }

    fn chosen(job: Option<&str>, video: Option<&str>) -> Option<String> {
        callback_url(Some(&settings("ALL")), job, video, "SnapshotComplete")
    }

    #[test]
    fn the_accounts_settings_are_the_gate() {
        let job = Some(r#"{"MessageCallback":{"CallbackURL":"http://job.test/"}}"#);
        let open =
            |types: &str| callback_url(Some(&settings(types)), job, None, "SnapshotComplete").is_some();
        for types in ["ALL", "SnapshotComplete", "FileUploadComplete, SnapshotComplete", "AIComplete,ALL"] {
            assert!(open(types), "{types}");
        }
        for types in ["", "FileUploadComplete", "SnapshotCompleted", "Snapshot"] {
            assert!(!open(types), "{types}");
        }
        assert_eq!(callback_url(None, job, None, "SnapshotComplete"), None);
    }

    #[test]
    fn the_jobs_address_counts_first_then_the_videos_then_the_accounts() {
        let job = r#"{"MessageCallback":{"CallbackURL":"http://job.test/"}}"#;
        let video =
            r#"{"MessageCallback":"{\"CallbackType\":\"HTTP\",\"CallbackURL\":\"http://video.test/\"}"}"#;
        assert_eq!(chosen(Some(job), Some(video)).as_deref(), Some("http://job.test/"));
        assert_eq!(chosen(Some("{}"), Some(video)).as_deref(), Some("http://video.test/"));
        for none in ["", "{", "[]", r#"{"MessageCallback":7}"#, r#"{"MessageCallback":{"CallbackURL":""}}"#] {
            assert_eq!(chosen(Some(none), Some(none)).as_deref(), Some("http://account.test/"), "{none}");
        }
        let queue = r#"{"MessageCallback":{"CallbackType":"mns","CallbackURL":"http://queue.test/"}}"#;
        assert_eq!(chosen(Some(queue), None).as_deref(), Some("http://account.test/"));
    }

    #[test]
    fn extend_comes_back_as_it_was_sent() {
        for (user_data, expected) in [
            (r#"{"Extend":{"order":"A-17"}}"#, Some(r#"{"order":"A-17"}"#)),
            (
                r#" { "Extend" : { "z" : 1.0, "a":12345678901234567890123 } , "x":2}"#,
                Some(r#"{ "z" : 1.0, "a":12345678901234567890123 }"#),
            ),
            (r#"{"MessageCallback":{"Extend":"no"},"Extend":"plain \u00e9"}"#, Some("plain é")),
            (r#"{"Extend":"{\"k\":1}"}"#, Some(r#"{"k":1}"#)),
            (r#""{\"Extend\":{\"k\":1}}""#, Some(r#"{"k":1}"#)),
            (r#"{"Extend":17}"#, Some("17")),
            (r#"{"Extend":true,"a":[1,{"Extend":2}]}"#, Some("true")),
            (r#"{"Extend":null}"#, None),
            (r#"{"a":1}"#, None),
            (r#"["Extend"]"#, None),
            (r#"{"Extend":"cut"#, None),
            ("", None),
        ] {
            assert_eq!(extend(Some(user_data), None).as_deref(), expected, "{user_data}");
        }
        let video = Some(r#"{"Extend":"video"}"#);
        assert_eq!(extend(Some(r#"{"Extend":"job"}"#), video).as_deref(), Some("job"));
        assert_eq!(extend(Some("{}"), video).as_deref(), Some("video"));
        assert_eq!(extend(None, video).as_deref(), Some("video"));
    }

    proptest! {
        #[test]
        fn a_member_is_what_a_parser_finds(keys in prop::collection::vec("[a-cE\"\\\\]{1,2}|Extend", 0..5), n: u32) {
            let members: Vec<String> = keys.iter().enumerate()
                .map(|(i, key)| format!("{} : [{n}, {{\"Extend\":\"{i}\"}}]", Value::from(key.as_str())))
                .collect();
            let json = format!("{{{}}}", members.join(" ,"));
            let parsed: Value = serde_json::from_str(&json).expect("made as JSON");
            let raw = member(&json, "Extend");
            prop_assert_eq!(raw.map(|raw| serde_json::from_str::<Value>(raw).expect("a value")), parsed.get("Extend").cloned());
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".{0,80}") {
            let url = chosen(Some(&text), None);
            prop_assert_eq!(url.as_deref(), Some("http://account.test/"));
            prop_assert_eq!(extend(Some(&text), None), None);
        }
    }
}
