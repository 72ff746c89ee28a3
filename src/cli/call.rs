//! `stillframe call`: one V3-signed request to a running daemon.
//!
//! Owns the client's side of the signature and the connection. Never judges an answer: it prints it, and
//! the status decides the exit code.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Global, common, exit, say};
use crate::service::api::params::Params;
use crate::service::api::request::VERSION;
use crate::service::api::{signature, time};
use crate::service::clock::Clock;
use crate::service::settings::Settings;

/// Longest wait for the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Operation, for instance SubmitSnapshotJob
    #[arg(value_name = "ACTION")]
    action: String,
    /// Parameters
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// Address of the daemon's API; DATA/run.json tells it otherwise
    #[arg(long, value_name = "U")]
    endpoint: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not Key=Value".into()),
    }
}

/// Who signs.
struct Keys {
    id: String,
    secret: String,
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    match call(global, args) {
        Ok((body, success)) => {
            say!("{body}");
            if success { exit::DONE } else { exit::FAULT }
        }
        Err(error) => {
            say::complain(error);
            exit::FAULT
        }
    }
}

// The body, and whether it is a success.
fn call(global: &Global, args: Args) -> Result<(String, bool), String> {
    let environment = |name: &str| match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(format!("{name} is not set")),
    };
    let signer = Keys {
        id: environment("STILLFRAME_ACCESS_KEY_ID")?,
        secret: environment("STILLFRAME_ACCESS_KEY_SECRET")?,
    };
    let host = match &args.endpoint {
        Some(endpoint) => endpoint_host(endpoint)?,
        None => running_host(global)?,
    };
    let mut params = Params::default();
    for (name, value) in args.parameters {
        if params.values.insert(name.clone(), value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let request = signed(&signer, &host, &args.action, &params, &time::print(Clock::Real.now_ms()), &nonce)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("failed to start: {e}"))?;
    runtime.block_on(async {
        match tokio::time::timeout(TIMEOUT, exchange(&host, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("{host} did not answer within {} s", TIMEOUT.as_secs())),
        }
    })
}

// `host:port` of `host:port` or `http://host:port/`.
fn endpoint_host(endpoint: &str) -> Result<String, String> {
    let text = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    let url = url::Url::parse(&text).map_err(|e| format!("the endpoint is no address: {e}"))?;
    if url.scheme() != "http" {
        return Err("only http endpoints are called".into());
    }
    let host = url.host_str().ok_or("the endpoint has no host")?;
    Ok(format!("{host}:{}", url.port().unwrap_or(80)))
}

fn running_host(global: &Global) -> Result<String, String> {
    let settings = Settings::of_process(&common::flags(global)).map_err(|e| e.to_string())?;
    let path = settings.data.join("run.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|e| format!("no daemon runs there: failed to read {}: {e}", path.display()))?;
    let run: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| format!("failed to read {}: {e}", path.display()))?;
    let api = run["api"].as_str().ok_or_else(|| format!("{} names no API address", path.display()))?;
    endpoint_host(api)
}

fn signed(
    keys: &Keys,
    host: &str,
    action: &str,
    params: &Params,
    date: &str,
    nonce: &str,
) -> Result<Request<Empty<Bytes>>, String> {
    let body_hash = signature::sha256_hex(b"");
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", host),
        ("accept", "application/json"),
        ("x-acs-action", action),
        ("x-acs-version", VERSION),
        ("x-acs-date", date),
        ("x-acs-signature-nonce", nonce),
        ("x-acs-content-sha256", &body_hash),
    ] {
        let value = HeaderValue::from_str(value).map_err(|_| format!("{name} cannot hold {value:?}"))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    let mut names: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    let canonical = signature::v3_canonical_request("POST", params, &headers, &names, &body_hash)
        .map_err(|e| e.to_string())?;
    let signature = signature::v3_sign(&keys.secret, &signature::v3_string_to_sign(&canonical));
    let authorization = format!(
        "{} Credential={},SignedHeaders={},Signature={signature}",
        signature::V3_ALGORITHM,
        keys.id,
        names.join(";")
    );
    let authorization = HeaderValue::from_str(&authorization).map_err(|_| "the key id is not plain text")?;
    headers.insert("authorization", authorization);
    let mut request = Request::post(format!("/?{}", params.canonical("")))
        .body(Empty::new())
        .map_err(|e| format!("failed to build the request: {e}"))?;
    *request.headers_mut() = headers;
    Ok(request)
}

async fn exchange(host: &str, request: Request<Empty<Bytes>>) -> Result<(String, bool), String> {
    let stream = TcpStream::connect(host).await.map_err(|e| format!("failed to connect to {host}: {e}"))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| format!("failed to talk to {host}: {e}"))?;
    // The connection's own errors reach the request too.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|e| format!("failed to ask {host}: {e}"))?;
    let success = answer.status().is_success();
    let body = answer.into_body().collect().await.map_err(|e| format!("failed to read the answer: {e}"))?;
    connection.abort();
    Ok((String::from_utf8_lossy(&body.to_bytes()).into_owned(), success))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::api::request::{self, Incoming};

    #[test]
    fn endpoints_in_both_forms() {
        for (text, expected) in [
            ("127.0.0.1:41234", Some("127.0.0.1:41234")),
            ("http://127.0.0.1:41234", Some("127.0.0.1:41234")),
            ("http://media.example.test/", Some("media.example.test:80")),
            ("[::1]:7480", Some("[::1]:7480")),
            ("https://h", None),
            ("", None),
        ] {
            assert_eq!(endpoint_host(text).ok().as_deref(), expected, "{text}");
        }
        assert_eq!(pair("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert!(pair("A").is_err() && pair("=b").is_err());
    }

    #[test]
    fn what_is_signed_here_verifies_there() {
        let signer = Keys { id: "testid".into(), secret: "testsecret".into() };
        let params =
            Params::parse("VideoId=v&UserData=%7B%22Extend%22%3A%22a%20b*~%2B%E4%B8%AD%22%7D&E=").unwrap();
        let sent = signed(&signer, "h:1", "SubmitSnapshotJob", &params, "2026-01-02T03:04:05Z", "n").unwrap();
        let incoming = Incoming {
            method: sent.method().as_str(),
            query: sent.uri().query().unwrap(),
            headers: sent.headers(),
            body: b"",
        };
        let read = request::read(&incoming).unwrap();
        assert_eq!((read.key_id.as_str(), read.nonce.as_str()), ("testid", "n"));
        assert_eq!(read.params, params);
        assert_eq!(read.check_signature("testsecret"), Ok(()));
        assert!(read.check_signature("other").is_err());
        assert!(signed(&signer, "h:1", "A\nB", &params, "d", "n").is_err());
    }
}
