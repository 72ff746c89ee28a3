//! Signatures of requests, both schemes. *Pure.*
//!
//! Owns the canonical texts, the HMACs and the comparison (API contract, 1.4 and 1.5). Never knows where a
//! secret comes from.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::params::{Params, encode};

/// The one algorithm of V3 that is answered.
pub const V3_ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// Why an `Authorization` header is no V3 signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the algorithm is not {V3_ALGORITHM}")]
    Algorithm,
    #[error("the authorization header has no {0}")]
    NoField(&'static str),
    #[error("header {0} must be signed")]
    NotSigned(String),
    #[error("signed header {0} is not there")]
    NotThere(String),
    #[error("header {0} is not text")]
    NotText(String),
}

/// What a V3 `Authorization` header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    pub key_id: String,
    /// Lower case, sorted.
    pub signed_headers: Vec<String>,
    /// Hex, as sent.
    pub signature: String,
}

/// The text that V1 signs; `params` are all of query and form.
pub fn v1_string_to_sign(method: &str, params: &Params) -> String {
    format!("{method}&%2F&{}", encode(&params.canonical("Signature")))
}

/// The V1 signature, base64.
pub fn v1_sign(secret: &str, string_to_sign: &str) -> String {
    STANDARD.encode(mac::<Hmac<Sha1>>(format!("{secret}&").as_bytes(), string_to_sign.as_bytes()))
}

/// Reads `ACS3-HMAC-SHA256 Credential=..,SignedHeaders=..,Signature=..`.
///
/// # Errors
/// Another algorithm, or a field that is missing.
pub fn v3_authorization(text: &str) -> Result<Authorization, SignatureError> {
    let (algorithm, fields) = text.split_once(' ').ok_or(SignatureError::Algorithm)?;
    if algorithm != V3_ALGORITHM {
        return Err(SignatureError::Algorithm);
    }
    let field = |name: &'static str| {
        let values = fields.split(',').filter_map(|f| f.trim().split_once('='));
        let value = values.filter(|(n, v)| *n == name && !v.is_empty()).map(|(_, v)| v).next();
        value.ok_or(SignatureError::NoField(name))
    };
    let mut signed_headers: Vec<String> =
        field("SignedHeaders")?.split(';').map(str::to_ascii_lowercase).filter(|h| !h.is_empty()).collect();
    signed_headers.sort();
    signed_headers.dedup();
    Ok(Authorization {
        key_id: field("Credential")?.to_owned(),
        signed_headers,
        signature: field("Signature")?.to_owned(),
    })
}

/// The text whose hash V3 signs. `body_hash` is of the body that came, whatever the header says of it.
///
/// # Errors
/// A header that must be signed and is not, or is signed and not there.
pub fn v3_canonical_request(
    method: &str,
    query: &Params,
    headers: &HeaderMap,
    signed_headers: &[String],
    body_hash: &str,
) -> Result<String, SignatureError> {
    let must = |name: &str| name == "host" || name == "content-type" || name.starts_with("x-acs-");
    let signed = |name: &str| signed_headers.iter().any(|h| h == name);
    if !signed("host") {
        return Err(SignatureError::NotSigned("host".into()));
    }
    if let Some(name) = headers.keys().map(|n| n.as_str()).find(|n| must(n) && !signed(n)) {
        return Err(SignatureError::NotSigned(name.to_owned()));
    }
    let mut lines = String::new();
    for name in signed_headers {
        let mut values = Vec::new();
        for value in headers.get_all(name) {
            let text = std::str::from_utf8(value.as_bytes());
            values.push(text.map_err(|_| SignatureError::NotText(name.clone()))?.trim());
        }
        if values.is_empty() {
            return Err(SignatureError::NotThere(name.clone()));
        }
        values.sort_unstable();
        lines.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let (query, names) = (query.canonical(""), signed_headers.join(";"));
    Ok(format!("{method}\n/\n{query}\n{lines}\n{names}\n{body_hash}"))
}

/// The text that V3 signs.
pub fn v3_string_to_sign(canonical_request: &str) -> String {
    format!("{V3_ALGORITHM}\n{}", sha256_hex(canonical_request.as_bytes()))
}

/// The V3 signature, hex.
pub fn v3_sign(secret: &str, string_to_sign: &str) -> String {
    hex(&mac::<Hmac<Sha256>>(secret.as_bytes(), string_to_sign.as_bytes()))
}

/// Lower-case hex of the SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Compares without telling by time where two texts differ.
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    // An HMAC takes a key of any length: the one error of this call cannot be.
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes any key");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params { values: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
    }

    const BUSINESS: &[(&str, &str)] = &[
        ("VideoId", "0123456789abcdef0123456789abcdef"),
        ("Count", "3"),
        ("Interval", "0"),
        ("SpecifiedOffsetTimes", "[0,1500]"),
        ("UserData", r#"{"Extend":{"k":"a b*~+/é"}}"#),
    ];

    fn v1_vector() -> Params {
        let mut all = params(&[
            ("Action", "SubmitSnapshotJob"),
            ("Format", "json"),
            ("Version", "2017-03-21"),
            ("Timestamp", "2026-01-02T03:04:05Z"),
            ("SignatureNonce", "0123456789abcdef0123456789abcdef"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("AccessKeyId", "testid"),
        ]);
        all.values.extend(params(BUSINESS).values);
        all
    }

    #[test]
    fn the_v1_vectors() {
        let mut all = v1_vector();
        let text = v1_string_to_sign("POST", &all);
        assert!(text.starts_with("POST&%2F&AccessKeyId%3Dtestid%26Action%3DSubmitSnapshotJob%26Count%3D3"));
        assert!(text.contains("%2522a%2520b%252A~%252B%252F%25C3%25A9%2522%257D%257D%26Version"));
        assert_eq!(v1_sign("testsecret", &text), "mccp+JLGdYv7HON0h/tS95Jz5c8=");
        all.values.insert("SecurityToken".into(), "STS/TOKEN+=".into());
        all.values.insert("Signature".into(), "left out".into());
        let text = v1_string_to_sign("POST", &all);
        assert_eq!(v1_sign("testsecret", &text), "xor/xMI33NWgSJ8aMPU+d4cs03w=");

        let documented = params(&[
            ("Action", "GetVideoPlayAuth"),
            ("Format", "JSON"),
            ("Version", "2017-03-21"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", "8f8a035d-6496-4268-afd4-67c22837e38d"),
            ("Timestamp", "2017-10-10T12:02:54Z"),
            ("AccessKeyId", "testAccessKeyId"),
            ("VideoId", "5aed81b74ba84920be578cdfe004af4b"),
        ]);
        let text = v1_string_to_sign("GET", &documented);
        assert_eq!(v1_sign("testAccessKeySecret", &text), "Ibgh7y8Vp47LBuAsf5Xhi1SvDss=");
    }

    fn v3_vector(sts: bool) -> (HeaderMap, Vec<String>) {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &'static str| {
            headers.insert(name, value.parse().unwrap());
        };
        add("accept", "application/json");
        add("host", "127.0.0.1:18080");
        add("user-agent", "vector/1.0");
        add("x-acs-action", "SubmitSnapshotJob");
        add("x-acs-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        add("x-acs-credentials-provider", if sts { "static_sts" } else { "static_ak" });
        add("x-acs-date", "2026-01-02T03:04:05Z");
        add("x-acs-signature-nonce", "0123456789abcdef0123456789abcdef");
        add("x-acs-version", "2017-03-21");
        if sts {
            add("x-acs-accesskey-id", "testid");
            add("x-acs-security-token", "STS/TOKEN+=");
        }
        let mut signed: Vec<String> = headers.keys().map(ToString::to_string).collect();
        signed.sort();
        headers.insert("accept-encoding", "identity".parse().unwrap());
        (headers, signed)
    }

    #[test]
    fn the_v3_vectors() {
        for (sts, hash, signature) in [
            (
                false,
                "c66401c12789c82732b66113b4c9ca9123937abc501b844db9ad0b5664e198e9",
                "d36cb73761f54a761e3839da612750ce28374a7393df166413b4c62a14014bef",
            ),
            (
                true,
                "f47af1b1392ec6c568eac5b0cf1bd61a974e35dd3acc21ef9505849dd5bd5fbd",
                "51205b346ea129b8ff017e99c3d8f7f702cb65ac7b405aa06dd21533068577e6",
            ),
        ] {
            let (headers, signed) = v3_vector(sts);
            let canonical =
                v3_canonical_request("POST", &params(BUSINESS), &headers, &signed, &sha256_hex(b"")).unwrap();
            let text = v3_string_to_sign(&canonical);
            assert_eq!(text, format!("ACS3-HMAC-SHA256\n{hash}"), "{canonical}");
            assert_eq!(v3_sign("testsecret", &text), signature);
        }
    }

    #[test]
    fn an_authorization_is_read_whole_or_refused() {
        let read =
            v3_authorization("ACS3-HMAC-SHA256 Credential=id,SignedHeaders=x-acs-date;HOST,Signature=ab");
        let expected = Authorization {
            key_id: "id".into(),
            signed_headers: vec!["host".into(), "x-acs-date".into()],
            signature: "ab".into(),
        };
        assert_eq!(read.as_ref(), Ok(&expected));
        let spaced =
            v3_authorization("ACS3-HMAC-SHA256 Credential=id, SignedHeaders=host;x-acs-date, Signature=ab");
        assert_eq!(spaced, read);
        for bad in [
            "",
            "ACS3-HMAC-SHA256",
            "ACS3-HMAC-SM3 Credential=id,SignedHeaders=host,Signature=ab",
            "ACS3-RSA-SHA256 Credential=id,SignedHeaders=host,Signature=ab",
            "ACS3-HMAC-SHA256 SignedHeaders=host,Signature=ab",
            "ACS3-HMAC-SHA256 Credential=,SignedHeaders=host,Signature=ab",
            "ACS3-HMAC-SHA256 Credential=id,Signature=ab",
            "ACS3-HMAC-SHA256 Credential=id,SignedHeaders=host",
            "ACS3-HMAC-SHA256 credential=id,SignedHeaders=host,Signature=ab",
        ] {
            assert!(v3_authorization(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_must_be_signed_is_demanded() {
        let (headers, signed) = v3_vector(true);
        let without = |left_out: &str| {
            let signed: Vec<String> = signed.iter().filter(|h| *h != left_out).cloned().collect();
            v3_canonical_request("POST", &Params::default(), &headers, &signed, "")
        };
        for free in ["accept", "user-agent"] {
            assert!(without(free).is_ok(), "{free}");
        }
        for name in signed.iter().filter(|h| *h == "host" || h.starts_with("x-acs-")) {
            assert_eq!(without(name), Err(SignatureError::NotSigned(name.clone())));
        }
        let mut typed = headers.clone();
        typed.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        let unsigned = v3_canonical_request("POST", &Params::default(), &typed, &signed, "");
        assert_eq!(unsigned, Err(SignatureError::NotSigned("content-type".into())));
        let mut more = signed.clone();
        more.push("x-gone".into());
        let gone = v3_canonical_request("POST", &Params::default(), &headers, &more, "");
        assert_eq!(gone, Err(SignatureError::NotThere("x-gone".into())));
    }

    #[test]
    fn repeated_headers_are_sorted_and_joined() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "h".parse().unwrap());
        headers.append("x-more", " b ".parse().unwrap());
        headers.append("x-more", "a".parse().unwrap());
        let signed = ["host".to_owned(), "x-more".to_owned()];
        let text = v3_canonical_request("GET", &Params::default(), &headers, &signed, "e").unwrap();
        assert_eq!(text, "GET\n/\n\nhost:h\nx-more:a,b\n\nhost;x-more\ne");
    }

    proptest! {
        #[test]
        fn one_other_byte_gives_another_signature(at in 0usize..32, bit in 0u32..7) {
            let all = v1_vector();
            let mut other = all.clone();
            let nonce = other.values.get_mut("SignatureNonce").unwrap();
            let mut bytes = nonce.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            *nonce = String::from_utf8(bytes).unwrap();
            let (a, b) = (v1_string_to_sign("POST", &all), v1_string_to_sign("POST", &other));
            prop_assert!(!same(&v1_sign("s", &a), &v1_sign("s", &b)));
            prop_assert!(!same(&v3_sign("s", &a), &v3_sign("s", &b)));
        }

        #[test]
        fn comparison_agrees_with_equality(a in "[ab]{0,3}", b in "[ab]{0,3}") {
            prop_assert_eq!(same(&a, &b), a == b);
        }

        #[test]
        fn any_authorization_gives_an_answer(text in ".*") {
            drop(v3_authorization(&format!("{V3_ALGORITHM} {text}")));
        }
    }
}
