//! One attempt at a callback, against receivers of every kind.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use secrecy::SecretString;
use stillframe::service::publish::callback::{Callback, CallbackError, Client, signature};
use stillframe::service::settings::CallbackPolicy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

fn policy(timeout: Duration) -> CallbackPolicy {
    CallbackPolicy {
        allow_cidrs: vec!["127.0.0.0/8".parse().expect("a range")],
        allow_hosts: Vec::new(),
        concurrency: 1,
        timeout,
        fast_retry: Duration::from_secs(1),
        fast_attempts: 3,
        slow_retries: Vec::new(),
    }
}

/// Long enough for any answer that comes, on any machine.
fn patient() -> CallbackPolicy {
    policy(Duration::from_secs(60))
}

/// For receivers that never answer.
fn brief() -> CallbackPolicy {
    policy(Duration::from_millis(300))
}

fn callback(url: String) -> Callback {
    Callback {
        url,
        event_id: "event-1".to_owned(),
        body: r#"{"EventType":"SnapshotComplete","Extend":"é"}"#.to_owned(),
        auth_key: None,
        now_ms: 1_519_375_990_999,
    }
}

/// Takes one connection, reads the request to the end of its body, then acts.
async fn receiver<F>(act: impl FnOnce(TcpStream) -> F + Send + 'static) -> (String, JoinHandle<String>)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook?token=t", listener.local_addr().expect("bound"));
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let request = read_request(&mut stream).await;
        act(stream).await;
        request
    });
    (url, served)
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    loop {
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ").and_then(|n| n.parse::<usize>().ok()));
            if body.len() >= length.unwrap_or(0) {
                return whole;
            }
        }
        if stream.read_buf(&mut text).await.expect("a request") == 0 {
            return String::from_utf8_lossy(&text).into_owned();
        }
    }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.expect("answered");
    stream.flush().await.expect("answered");
}

async fn sent_to(text: &'static str, policy: &CallbackPolicy) -> (Result<(), CallbackError>, String) {
    let (url, served) = receiver(async move |mut stream| answer(&mut stream, text).await).await;
    let sent = Client::new().send(&callback(url), policy).await;
    (sent, served.await.expect("served"))
}

#[tokio::test]
async fn exactly_200_is_success() {
    for (status, expected) in [
        ("200 OK", Ok(())),
        ("201 Created", Err(CallbackError::Status(201))),
        ("204 No Content", Err(CallbackError::Status(204))),
        ("206 Partial Content", Err(CallbackError::Status(206))),
        ("304 Not Modified", Err(CallbackError::Status(304))),
        ("404 Not Found", Err(CallbackError::Status(404))),
        ("500 Internal Server Error", Err(CallbackError::Status(500))),
    ] {
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").leak();
        assert_eq!(sent_to(text, &patient()).await.0, expected, "{status}");
    }
}

#[tokio::test]
async fn the_request_is_the_contracts() {
    let (url, served) = receiver(async |mut stream| {
        answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let mut callback = callback(url.clone());
    callback.auth_key = Some(SecretString::from("test123"));
    assert_eq!(Client::new().send(&callback, &patient()).await, Ok(()));
    let request = served.await.expect("served");
    let (head, body) = request.split_once("\r\n\r\n").expect("a request");
    assert!(head.starts_with("POST /hook?token=t HTTP/1.1\r\n"), "{head}");
    let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("a host");
    let head = head.to_ascii_lowercase();
    for line in [
        format!("host: {host}"),
        "content-type: application/json;charset=utf-8".to_owned(),
        "x-stillframe-event-id: event-1".to_owned(),
        "x-vod-timestamp: 1519375990".to_owned(),
        format!("x-vod-signature: {}", signature(&url, 1_519_375_990, "test123")),
    ] {
        assert!(head.lines().any(|l| l == line), "{line} in {head}");
    }
    assert_eq!(body, callback.body);
}

#[tokio::test]
async fn without_a_key_there_is_no_signature() {
    let (sent, request) = sent_to("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", &patient()).await;
    assert_eq!(sent, Ok(()));
    assert!(!request.to_ascii_lowercase().contains("x-vod-"), "{request}");
}

#[tokio::test]
async fn redirects_are_failures_and_lead_nowhere() {
    let target = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    target.set_nonblocking(true).expect("set");
    let location = target.local_addr().expect("bound");
    for status in [301, 302, 307, 308] {
        let text =
            format!("HTTP/1.1 {status} Moved\r\nlocation: http://{location}/\r\ncontent-length: 0\r\n\r\n");
        let (sent, _) = sent_to(text.leak(), &patient()).await;
        assert_eq!(sent, Err(CallbackError::Status(status)));
    }
    assert!(target.accept().is_err(), "nobody came");
}

#[tokio::test]
async fn whoever_never_answers_costs_one_timeout() {
    for text in ["", "HTTP/1.1 200 OK\r\nx-slow: ", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let (url, served) = receiver(async move |mut stream| {
            // The sender may be gone before it comes to this.
            stream.write_all(text.as_bytes()).await.ok();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
        })
        .await;
        let sent = Client::new().send(&callback(url), &brief()).await;
        assert_eq!(sent, Err(CallbackError::Timeout(brief().timeout)), "{text}");
        served.await.expect("the connection was closed");
    }
}

#[tokio::test]
async fn a_silent_tls_handshake_costs_one_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("bound"));
    let sent = Client::with_roots(RootCertStore::empty()).send(&callback(url), &brief()).await;
    assert_eq!(sent, Err(CallbackError::Timeout(brief().timeout)));
}

#[tokio::test]
async fn an_endless_body_is_not_read_and_does_not_matter() {
    let (url, served) = receiver(async |mut stream| {
        answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n").await;
        // Ends only when the sender hangs up.
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(Client::new().send(&callback(url), &patient()).await, Ok(()));
    served.await.expect("the connection was closed");
}

#[tokio::test]
async fn a_slow_body_does_not_undo_the_status() {
    for (status, expected) in [(200, Ok(())), (500, Err(CallbackError::Status(500)))] {
        let (url, served) = receiver(async move |mut stream| {
            answer(&mut stream, &format!("HTTP/1.1 {status} X\r\ncontent-length: 100\r\n\r\nx")).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
        })
        .await;
        // Spent to the end; long enough for the head to arrive on a busy machine.
        let policy = policy(Duration::from_secs(4));
        assert_eq!(Client::new().send(&callback(url), &policy).await, expected);
        served.await.expect("the connection was closed");
    }
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    let long = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "y".repeat(64 << 10)).leak();
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(500)).leak();
    for text in ["220 smtp.example.test ESMTP\r\n", "HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "", long, many] {
        let (url, served) = receiver(async move |mut stream| {
            // The sender may hang up before it has all of it.
            stream.write_all(text.as_bytes()).await.ok();
        })
        .await;
        let sent = Client::new().send(&callback(url), &patient()).await;
        assert!(matches!(sent, Err(CallbackError::Answer { .. })), "{sent:?} for {text:.40}");
        served.await.expect("served");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    let error = Client::new().send(&callback(url), &patient()).await.expect_err("closed");
    assert!(matches!(error, CallbackError::Connect { .. }), "{error:?}");
    let nameless = callback("http://no-such-name.invalid/?token=canary".to_owned());
    let error = Client::new().send(&nameless, &patient()).await.expect_err("no such name");
    assert_eq!(error.outcome(), "connect");
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn a_private_address_gets_no_packet() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("bound").port();
    let mut closed = patient();
    closed.allow_cidrs.clear();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.0.0.1.", "[::ffff:127.0.0.1]", "0"] {
        let sent = Client::new().send(&callback(format!("http://{host}:{port}/")), &closed).await;
        assert!(matches!(sent, Err(CallbackError::Refused { .. })), "{sent:?} for {host}");
    }
    let user = callback(format!("http://good.example.test@127.0.0.1:{port}/"));
    assert!(matches!(Client::new().send(&user, &patient()).await, Err(CallbackError::BadUrl(_))));
    assert!(listener.accept().is_err(), "nobody came");
}

#[tokio::test]
async fn an_allowed_host_may_be_private() {
    let (url, served) = receiver(async |mut stream| {
        answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let mut named = patient();
    named.allow_cidrs.clear();
    named.allow_hosts = vec!["localhost".to_owned()];
    let url = url.replace("127.0.0.1", "LOCALHOST");
    assert_eq!(Client::new().send(&callback(url), &named).await, Ok(()));
    served.await.expect("served");
}

async fn over_tls(certified_for: &str) -> Result<(), CallbackError> {
    let certified =
        rcgen::generate_simple_self_signed(vec![certified_for.to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            read_request(&mut stream).await;
            answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let sent =
        Client::with_roots(roots).send(&callback(format!("https://localhost:{port}/")), &patient()).await;
    served.await.expect("served");
    sent
}

#[tokio::test]
async fn tls_holds_for_the_name_of_the_url() {
    assert_eq!(over_tls("localhost").await, Ok(()));
    let error = over_tls("other.test").await.expect_err("another name");
    assert!(matches!(error, CallbackError::Tls { .. }), "{error:?}");
    assert_eq!(error.outcome(), "tls");
}
