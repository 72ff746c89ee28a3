//! JSON inside parameters, read with limits. *Pure.*
//!
//! Owns the depth limit and the leniency that several fields share: numbers may be strings.
//! Never knows which parameter it reads.

use serde_json::Value;

use crate::model::limits::JSON_DEPTH_MAX;

/// Parses JSON text no deeper than `JSON_DEPTH_MAX`.
///
/// # Errors
/// A lowercase fragment that says what is wrong, without the text itself.
pub fn parse(text: &str) -> Result<Value, String> {
    if depth(text) > JSON_DEPTH_MAX {
        return Err(format!("nested deeper than {JSON_DEPTH_MAX}"));
    }
    serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))
}

// Brackets outside of strings; for text that is no JSON any number will do.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0usize, 0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A whole number, written as one or as a string of one.
pub fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => whole_text(text),
        _ => None,
    }
}

/// A whole number in decimal digits with an optional minus; nothing around it.
pub fn whole_text(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// An object that may itself be JSON text.
pub fn object_or_text(value: &Value) -> Result<Value, String> {
    match value {
        Value::Object(_) => Ok(value.clone()),
        Value::String(text) => match parse(text)? {
            object @ Value::Object(_) => Ok(object),
            _ => Err("not an object".into()),
        },
        _ => Err("not an object".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&nested(JSON_DEPTH_MAX)).is_ok());
        assert!(parse(&nested(JSON_DEPTH_MAX + 1)).is_err());
        assert!(parse(&format!("[\"{}\\\"{}\"]", "[".repeat(99), "{".repeat(99))).is_ok());
    }

    #[test]
    fn whole_numbers_and_nothing_else() {
        for (text, expected) in [
            ("0", Some(0)),
            ("\"12\"", Some(12)),
            ("\"-3\"", Some(-3)),
            ("1.0", None),
            ("1e3", None),
            ("\"\"", None),
            ("\"+1\"", None),
            ("\" 1\"", None),
            ("\"1.5\"", None),
            ("9223372036854775808", None),
            ("null", None),
            ("true", None),
            ("[1]", None),
        ] {
            assert_eq!(whole(&parse(text).unwrap()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "[\\[\\]{}\",:\\\\0-9a-z ]{0,200}") {
            if let Ok(value) = parse(&text) {
                drop(object_or_text(&value));
            }
        }

        #[test]
        fn every_number_is_read_from_its_text(number in any::<i64>()) {
            prop_assert_eq!(whole_text(&number.to_string()), Some(number));
        }
    }
}
