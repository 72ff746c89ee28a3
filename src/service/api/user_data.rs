//! The `UserData` parameter, checked. *Pure.*
//!
//! Owns its shape and limits (API contract, 2.4; ambiguities 19 and 21). Never decides where a callback goes.

use serde_json::Value;

use crate::model::limits::{EXTEND_BYTES_MAX, USER_DATA_BYTES_MAX};

use super::json;

/// Longest callback URL, bytes (API contract, 3.11).
pub const CALLBACK_URL_BYTES_MAX: usize = 256;

/// Checks a `UserData` text.
///
/// # Errors
/// A lowercase fragment that says what is wrong.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > USER_DATA_BYTES_MAX {
        return Err(format!("longer than {USER_DATA_BYTES_MAX} bytes"));
    }
    let value = json::object_or_text(&json::parse(text)?)?;
    match &value["Extend"] {
        Value::Null => {}
        extend => check_extend(extend)?,
    }
    match &value["MessageCallback"] {
        Value::Null => Ok(()),
        Value::String(text) if text.is_empty() => Ok(()),
        callback => check_callback(&json::object_or_text(callback)?),
    }
}

fn check_extend(extend: &Value) -> Result<(), String> {
    let bytes = match extend {
        Value::String(text) => text.len(),
        Value::Object(_) => extend.to_string().len(),
        _ => return Err("Extend is neither text nor an object".into()),
    };
    if bytes > EXTEND_BYTES_MAX {
        return Err(format!("Extend is longer than {EXTEND_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn check_callback(callback: &Value) -> Result<(), String> {
    match &callback["CallbackType"] {
        Value::Null => {}
        Value::String(kind) if kind.is_empty() || kind.eq_ignore_ascii_case("http") => {}
        _ => return Err("only CallbackType http is served".into()),
    }
    match &callback["CallbackURL"] {
        Value::Null => Ok(()),
        Value::String(url) if url.is_empty() => Ok(()),
        Value::String(url) => check_callback_url(url),
        _ => Err("CallbackURL is not text".into()),
    }
}

/// Checks the address of a receiver: length, scheme, and that there is a host and no user name.
///
/// # Errors
/// A lowercase fragment that says what is wrong.
pub fn check_callback_url(text: &str) -> Result<(), String> {
    if text.len() > CALLBACK_URL_BYTES_MAX {
        return Err(format!("the URL is longer than {CALLBACK_URL_BYTES_MAX} bytes"));
    }
    let url = url::Url::parse(text).map_err(|e| format!("not a URL: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("neither http nor https".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL carries a user name".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_documentation_shows_is_accepted() {
        for good in [
            "{}",
            r#"{"Extend":"text"}"#,
            r#"{"Extend":{"order":"A-17"}}"#,
            r#"{"MessageCallback":{"CallbackURL":"https://hooks.example.test/vod"}}"#,
            r#"{"MessageCallback":{"CallbackType":"HTTP","CallbackURL":"http://h:1/x?y=1"}}"#,
            r#"{"MessageCallback":"{\"CallbackURL\":\"http://h/\"}","Extend":"{\"a\":1}"}"#,
            r#"{"MessageCallback":"","Extend":""}"#,
            r#"{"AccelerateConfig":{"Type":"oss","Domain":"oss-accelerate.example.test"}}"#,
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "x",
            "[]",
            "1",
            "null",
            r#"{"a":1"#,
            r#"{"Extend":1}"#,
            r#"{"Extend":["a"]}"#,
            r#"{"MessageCallback":[]}"#,
            r#"{"MessageCallback":"x"}"#,
            r#"{"MessageCallback":{"CallbackURL":"ftp://h/"}}"#,
            r#"{"MessageCallback":{"CallbackURL":"no url"}}"#,
            r#"{"MessageCallback":{"CallbackURL":"http://u:p@h/"}}"#,
            r#"{"MessageCallback":{"CallbackURL":7}}"#,
            r#"{"MessageCallback":{"CallbackType":"mns","CallbackURL":"http://h/"}}"#,
            r#"{"MessageCallback":{"CallbackType":1,"CallbackURL":"http://h/"}}"#,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_count_bytes() {
        let extend = |n: usize| format!(r#"{{"Extend":"{}"}}"#, "é".repeat(n / 2));
        assert!(check(&extend(EXTEND_BYTES_MAX)).is_ok());
        assert!(check(&extend(EXTEND_BYTES_MAX + 2)).is_err());
        let whole = |n: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(n - 8));
        assert!(check(&whole(USER_DATA_BYTES_MAX)).is_ok());
        assert!(check(&whole(USER_DATA_BYTES_MAX + 1)).is_err());
        let url = |n: usize| format!("http://h/{}", "x".repeat(n - 9));
        assert!(check_callback_url(&url(CALLBACK_URL_BYTES_MAX)).is_ok());
        assert!(check_callback_url(&url(CALLBACK_URL_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "[\\[\\]{}\",:a-zA-Z]{0,80}") {
            drop(check(&text));
        }
    }
}
