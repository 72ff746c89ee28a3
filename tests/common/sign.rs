//! Signature V3 written a second time, from the API's description (contract 1.5), so that a slip in the daemon's
//! own signer and verifier cannot hide behind itself.
//!
//! Owns the bytes of a signed request. Never shares code with the daemon.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::daemon::Key;

/// A POST with everything in the query and an empty body, as the current SDKs send it, signed now.
pub fn v3(to: SocketAddr, key: &Key, action: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
    v3_on(to, key, action, parameters, "close")
}

/// The same with a `Connection` header of choice.
pub fn v3_on(
    to: SocketAddr,
    key: &Key,
    action: &str,
    parameters: &[(&str, &str)],
    connection: &str,
) -> Vec<u8> {
    let mut sorted = parameters.to_vec();
    sorted.sort_unstable();
    let query: Vec<String> = sorted.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
    let query = query.join("&");
    let date = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let body_hash = hex(&Sha256::digest(b""));
    let headers = [
        ("host", to.to_string()),
        ("x-acs-action", action.to_owned()),
        ("x-acs-content-sha256", body_hash.clone()),
        ("x-acs-date", date),
        ("x-acs-signature-nonce", nonce),
        ("x-acs-version", "2017-03-21".to_owned()),
    ];
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("POST\n/\n{query}\n{lines}\n{names}\n{body_hash}");
    let to_sign = format!("ACS3-HMAC-SHA256\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.secret.as_bytes()).unwrap();
    mac.update(to_sign.as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    let sent: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "POST /?{query} HTTP/1.1\r\n{sent}Authorization: ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},\
         Signature={signature}\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n",
        key.id
    )
    .into_bytes()
}

/// Percent-encoding of contract 1.4: only letters, digits and `-_.~` stay.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
