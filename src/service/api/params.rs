//! Parameters of a request: query and form text in, decoded names and values out. *Pure.*
//!
//! Owns both directions of percent-encoding: the lenient one of the wire (`+` is a space) and the strict one of
//! signatures (API contract, 1.1 and 1.4). Never knows what a parameter means.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Decoded parameters, sorted by name in byte order as signatures want them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    pub values: BTreeMap<String, String>,
}

/// Why a text holds no parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    #[error("{0:?} is not percent-encoded UTF-8")]
    Encoding(String),
    #[error("parameter {0:?} occurs twice")]
    Twice(String),
}

impl Params {
    /// The value for business logic: an empty one is an absent one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Adds the pairs of `text`, the query or a form body.
    ///
    /// # Errors
    /// A malformed escape, text that is not UTF-8, a name that is already there.
    pub fn add(&mut self, text: &str) -> Result<(), ParamError> {
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if self.values.contains_key(&name) {
                return Err(ParamError::Twice(name));
            }
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// The parameters of `text` alone.
    ///
    /// # Errors
    /// As `add`.
    pub fn parse(text: &str) -> Result<Params, ParamError> {
        let mut params = Params::default();
        params.add(text)?;
        Ok(params)
    }

    /// `name=value` pairs by the strict rule, joined by `&`, without the name `leave_out`.
    pub fn canonical(&self, leave_out: &str) -> String {
        let mut text = String::new();
        for (name, value) in self.values.iter().filter(|(name, _)| *name != leave_out) {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(&encode(name));
            text.push('=');
            text.push_str(&encode(value));
        }
        text
    }
}

/// Strict encoding: `A-Z a-z 0-9 - _ . ~` stay, every other byte of the UTF-8 text becomes `%XX`.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// Decodes one name or value of the wire; `+` is a space.
///
/// # Errors
/// `%` without two hex digits, or bytes that are not UTF-8.
pub fn decode(text: &str) -> Result<String, ParamError> {
    let failed = || ParamError::Encoding(text.chars().take(64).collect());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or_else(failed)?;
                let low = rest.next().and_then(hex_digit).ok_or_else(failed)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| failed())
}

fn hex_digit(byte: u8) -> Option<u8> {
    // A base-16 digit is below 16, so it fits.
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(params: &Params) -> Vec<(&str, &str)> {
        params.values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
    }

    #[test]
    fn the_wire_is_read_leniently_where_clients_differ() {
        let check = |text, expected: &[(&str, &str)]| {
            assert_eq!(pairs(&Params::parse(text).unwrap()), expected, "{text}");
        };
        check("", &[]);
        check("a=1", &[("a", "1")]);
        check("b=2&a=1", &[("a", "1"), ("b", "2")]);
        check("a", &[("a", "")]);
        check("a=", &[("a", "")]);
        check("&a=1&&b=2&", &[("a", "1"), ("b", "2")]);
        check("a=x=y", &[("a", "x=y")]);
        check("a=b+c%20d*%2A~%7e", &[("a", "b c d**~~")]);
        check("a=%E4%B8%AD%e6%96%87", &[("a", "中文")]);
        check("a=%2B%2F%3D%26", &[("a", "+/=&")]);
    }

    #[test]
    fn names_are_case_sensitive_and_unique_over_query_and_body() {
        assert_eq!(Params::parse("a=1&A=2").unwrap().values.len(), 2);
        assert_eq!(Params::parse("a=1&a=1"), Err(ParamError::Twice("a".into())));
        assert_eq!(Params::parse("a=1&%61=2"), Err(ParamError::Twice("a".into())));
        let mut params = Params::parse("a=1").unwrap();
        assert_eq!(params.add("b=2&a=3"), Err(ParamError::Twice("a".into())));
    }

    #[test]
    fn malformed_escapes_are_refused() {
        for bad in
            ["a=%", "a=%2", "a=%2g", "a=%g2", "%=1", "a=%%41", "a=%+1", "a=%ff", "a=%C3", "a=%ed%a0%80"]
        {
            assert!(matches!(Params::parse(bad), Err(ParamError::Encoding(_))), "{bad}");
        }
    }

    #[test]
    fn empty_is_absent_for_business_and_present_for_signing() {
        let params = Params::parse("SignatureType=&A=1&Signature=x").unwrap();
        assert_eq!(params.get("SignatureType"), None);
        assert_eq!(params.get("A"), Some("1"));
        assert_eq!(params.canonical("Signature"), "A=1&SignatureType=");
    }

    #[test]
    fn strict_encoding_of_the_awkward_characters() {
        assert_eq!(encode("a b*~+/é"), "a%20b%2A~%2B%2F%C3%A9");
        assert_eq!(encode("AZaz09-_.~"), "AZaz09-_.~");
    }

    proptest! {
        #[test]
        fn what_is_encoded_strictly_is_decoded_to_the_same(text in ".*") {
            prop_assert_eq!(decode(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn canonical_text_parses_to_the_same_parameters(
            values in prop::collection::btree_map(".{1,8}", ".{0,8}", 0..8)
        ) {
            let params = Params { values };
            prop_assert_eq!(Params::parse(&params.canonical("")).unwrap(), params);
        }

        #[test]
        fn any_text_gives_an_answer(text in ".*") {
            drop(Params::parse(&text));
        }
    }
}
