//! One RPC request, from bytes to a claim of identity, and the check of that claim. *Pure.*
//!
//! Owns telling the schemes apart, the common parameters and the order of checks up to the signature
//! (API contract, 1.2, 1.3, 1.6, 1.11). Never looks a key up and never remembers a nonce: `auth` does.

use std::time::Duration;

use http::HeaderMap;

use super::action::{Action, Named, named};
use super::error::{ApiError, Fixed};
use super::params::Params;
use super::response::Format;
use super::{signature, time};

/// The version of the API that is answered.
pub const VERSION: &str = "2017-03-21";

// Longest nonce and key id that are looked at: both become rows or look-ups.
const NONCE_BYTES_MAX: usize = 128;
const KEY_ID_BYTES_MAX: usize = 128;

/// What came in, as plain parts.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub method: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// A request that says who it is from, not yet believed.
#[derive(Clone, Debug)]
pub struct SignedRequest {
    pub action: Action,
    /// Query and form together.
    pub params: Params,
    pub key_id: String,
    pub nonce: String,
    pub token: Option<String>,
    timestamp: String,
    proof: Proof,
}

#[derive(Clone, Debug)]
enum Proof {
    V1 { string_to_sign: String, signature: String },
    V3 { canonical_request: String, signature: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    V1,
    V3,
    Unsigned,
}

impl Incoming<'_> {
    /// A header's text, if it is there once and is ASCII text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    fn is_form(&self) -> bool {
        let kind = self.header("content-type").unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// Query parameters, and query and form together.
    fn params(&self) -> Result<(Params, Params), ApiError> {
        let query = Params::parse(self.query)?;
        let mut all = query.clone();
        if self.is_form() {
            let text = std::str::from_utf8(self.body)
                .map_err(|_| ApiError::invalid_parameter("Body", "the form is not UTF-8"))?;
            all.add(text)?;
        }
        Ok((query, all))
    }

    fn scheme(&self, params: &Params) -> Scheme {
        let authorization = self.headers.get("authorization").map(|v| v.as_bytes());
        if authorization.is_some_and(|v| v.starts_with(b"ACS3-")) {
            Scheme::V3
        } else if ["Signature", "SignatureVersion"].iter().any(|name| params.values.contains_key(*name)) {
            Scheme::V1
        } else {
            Scheme::Unsigned
        }
    }
}

/// How the caller wants to be answered, whatever else is wrong with the request: `Format` when there is one, else
/// XML for a bare V1 request and JSON for all others (ambiguity 33).
pub fn format(incoming: &Incoming<'_>) -> Format {
    let Ok((_, params)) = incoming.params() else { return Format::Json };
    match (incoming.scheme(&params), params.get("Format")) {
        (Scheme::V3, _) => Format::Json,
        (_, Some(format)) if format.eq_ignore_ascii_case("xml") => Format::Xml,
        (Scheme::V1, None) => Format::Xml,
        _ => Format::Json,
    }
}

/// Reads a request up to the point where its key must be looked up.
///
/// # Errors
/// In the order of 1.11: method, scheme, version and action, common parameters.
pub fn read(incoming: &Incoming<'_>) -> Result<SignedRequest, ApiError> {
    if !matches!(incoming.method, "GET" | "POST") {
        return Err(ApiError::fixed(Fixed::MethodNotSupported, format!("method {}", incoming.method)));
    }
    let (query, params) = incoming.params()?;
    match incoming.scheme(&params) {
        Scheme::V1 => read_v1(incoming, params),
        Scheme::V3 => read_v3(incoming, &query, params),
        Scheme::Unsigned => Err(ApiError::missing_common("AccessKeyId")),
    }
}

fn read_v1(incoming: &Incoming<'_>, params: Params) -> Result<SignedRequest, ApiError> {
    let string_to_sign = signature::v1_string_to_sign(incoming.method, &params);
    let common = |name: &'static str| {
        params.get(name).map(str::to_owned).ok_or_else(|| ApiError::missing_common(name))
    };
    let action = action(params.get("Version"), params.get("Action"))?;
    if let Some(format) = params.get("Format")
        && !["json", "xml"].iter().any(|known| format.eq_ignore_ascii_case(known))
    {
        return Err(ApiError::invalid_parameter("Format", "neither JSON nor XML"));
    }
    let key_id = common("AccessKeyId")?;
    let signature = common("Signature")?;
    for (name, expected) in [("SignatureMethod", "HMAC-SHA1"), ("SignatureVersion", "1.0")] {
        if common(name)? != expected {
            return Err(ApiError::invalid_parameter(name, format!("not {expected}")));
        }
    }
    let nonce = common("SignatureNonce")?;
    let timestamp = common("Timestamp")?;
    let token = params.get("SecurityToken").map(str::to_owned);
    let proof = Proof::V1 { string_to_sign, signature };
    finish(SignedRequest { action, params, key_id, nonce, token, timestamp, proof })
}

fn read_v3(incoming: &Incoming<'_>, query: &Params, params: Params) -> Result<SignedRequest, ApiError> {
    let incomplete = |why: String| ApiError::fixed(Fixed::IncompleteSignature, why);
    // A header that is there twice says two things at once; its name is then as good as missing.
    let header = |name: &str| incoming.header(name).filter(|v| !v.is_empty());
    let action = action(header("x-acs-version"), header("x-acs-action"))?;
    let text = header("authorization").ok_or_else(|| incomplete("two authorization headers".into()))?;
    let authorization = signature::v3_authorization(text).map_err(|e| incomplete(e.to_string()))?;
    let nonce = header("x-acs-signature-nonce").ok_or_else(|| ApiError::missing_common("SignatureNonce"))?;
    let timestamp = header("x-acs-date").ok_or_else(|| ApiError::missing_common("Timestamp"))?;
    if header("x-acs-content-sha256").is_none() {
        return Err(incomplete("x-acs-content-sha256 is missing".into()));
    }
    // The hash is of the body that came: a header that says otherwise breaks the signature.
    let canonical_request = signature::v3_canonical_request(
        incoming.method,
        query,
        incoming.headers,
        &authorization.signed_headers,
        &signature::sha256_hex(incoming.body),
    )
    .map_err(|e| incomplete(e.to_string()))?;
    finish(SignedRequest {
        action,
        params,
        key_id: authorization.key_id,
        nonce: nonce.to_owned(),
        token: header("x-acs-security-token").map(str::to_owned),
        timestamp: timestamp.to_owned(),
        proof: Proof::V3 { canonical_request, signature: authorization.signature },
    })
}

fn action(version: Option<&str>, action: Option<&str>) -> Result<Action, ApiError> {
    match version {
        None => return Err(ApiError::missing_common("Version")),
        Some(VERSION) => {}
        Some(_) => return Err(ApiError::fixed(Fixed::InvalidVersion, format!("not {VERSION}"))),
    }
    let name = action.ok_or_else(|| ApiError::missing_common("Action"))?;
    match named(name) {
        Named::Implemented(action) => Ok(action),
        Named::Documented => {
            Err(ApiError::fixed(Fixed::OperationNotSupported, format!("{name} is not served")))
        }
        Named::Unknown => {
            let short: String = name.chars().take(64).collect();
            Err(ApiError::fixed(Fixed::ActionNotFound, format!("no action {short:?}")))
        }
    }
}

fn finish(request: SignedRequest) -> Result<SignedRequest, ApiError> {
    if request.nonce.len() > NONCE_BYTES_MAX {
        return Err(ApiError::invalid_parameter("SignatureNonce", "the nonce is too long"));
    }
    if request.key_id.len() > KEY_ID_BYTES_MAX {
        return Err(ApiError::fixed(Fixed::KeyNotFound, "the key id is too long"));
    }
    if request.is_temporary() && request.token.is_none() {
        return Err(ApiError::missing_common("SecurityToken"));
    }
    Ok(request)
}

impl SignedRequest {
    /// Keys of the security token service carry a token.
    pub fn is_temporary(&self) -> bool {
        self.key_id.starts_with("STS.")
    }

    /// Is the request's clock within `window` of `now_ms`, either way?
    ///
    /// # Errors
    /// `InvalidTimeStamp.Format`, `InvalidTimeStamp.Expired`.
    pub fn check_clock(&self, now_ms: i64, window: Duration) -> Result<(), ApiError> {
        let sent_ms = time::parse(&self.timestamp)
            .ok_or_else(|| ApiError::fixed(Fixed::TimestampFormat, "the time is malformed"))?;
        let off_ms = now_ms.abs_diff(sent_ms);
        if u128::from(off_ms) > window.as_millis() {
            return Err(ApiError::fixed(Fixed::TimestampExpired, format!("the clock is {off_ms} ms off")));
        }
        Ok(())
    }

    /// Was it signed with this secret?
    ///
    /// # Errors
    /// `SignatureDoesNotMatch`, with the text that had to be signed.
    pub fn check_signature(&self, secret: &str) -> Result<(), ApiError> {
        match &self.proof {
            Proof::V1 { string_to_sign, signature } => {
                let expected = signature::v1_sign(secret, string_to_sign);
                match signature::same(&expected, signature) {
                    true => Ok(()),
                    false => Err(ApiError::mismatch_v1(string_to_sign)),
                }
            }
            Proof::V3 { canonical_request, signature } => {
                let string_to_sign = signature::v3_string_to_sign(canonical_request);
                let expected = signature::v3_sign(secret, &string_to_sign);
                match signature::same(&expected, signature) {
                    true => Ok(()),
                    false => Err(ApiError::mismatch_v3(&string_to_sign, canonical_request)),
                }
            }
        }
    }

    /// Checks the session token that came with a request whose signature is right. No tokens are issued yet, so
    /// none is good: a permanent key has none, and a temporary key cannot be known.
    ///
    /// # Errors
    /// `InvalidSecurityToken.*` (API contract, 1.7).
    pub fn check_token(&self) -> Result<(), ApiError> {
        match &self.token {
            None => Ok(()),
            Some(_) if self.is_temporary() => {
                Err(ApiError::fixed(Fixed::TokenMalformed, "no token of this form was issued"))
            }
            Some(_) => Err(ApiError::fixed(Fixed::TokenMismatch, "a permanent key has no token")),
        }
    }
}
