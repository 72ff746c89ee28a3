//! One attempt at one callback.
//!
//! Owns the HTTP client: resolve, judge each address, connect to a judged one, POST, read the status. Exactly 200
//! is success; redirects and proxies do not exist. Never decides about another attempt, never logs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use rustls::pki_types::{DnsName, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use super::guard;
use crate::service::settings::CallbackPolicy;

/// Bytes of an answer's body that are read before the connection is closed.
const ANSWER_BYTES_MAX: usize = 8 << 10;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 100;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Callback {
    /// As configured, byte for byte: the signature covers this text.
    pub url: String,
    pub event_id: String,
    pub body: String,
    /// Set when the account's AuthSwitch is on.
    pub auth_key: Option<SecretString>,
    /// Unix time of this attempt, ms.
    pub now_ms: i64,
}

/// Why an attempt failed. No text holds more of the URL than its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// The URL itself will never do; another attempt makes no sense.
    #[error("{0}")]
    BadUrl(&'static str),
    /// No address behind the name that callbacks may go to.
    #[error("no permitted address for {host}")]
    Refused { host: String },
    #[error("failed to resolve {host}")]
    Resolve { host: String },
    #[error("failed to connect to {host}: {reason}")]
    Connect { host: String, reason: String },
    #[error("no TLS with {host}: {reason}")]
    Tls { host: String, reason: String },
    /// Connected, but no HTTP answer came of it.
    #[error("no answer from {host}: {reason}")]
    Answer { host: String, reason: String },
    #[error("answered with status {0}")]
    Status(u16),
    #[error("no answer in {} ms", .0.as_millis())]
    Timeout(Duration),
}

impl CallbackError {
    /// The word in the metric's label.
    pub fn outcome(&self) -> &'static str {
        match self {
            CallbackError::BadUrl(_) | CallbackError::Refused { .. } => "refused",
            CallbackError::Resolve { .. } | CallbackError::Connect { .. } | CallbackError::Answer { .. } => {
                "connect"
            }
            CallbackError::Tls { .. } => "tls",
            CallbackError::Status(_) => "status",
            CallbackError::Timeout(_) => "timeout",
        }
    }

    /// True when no later attempt can pass.
    pub fn is_final(&self) -> bool {
        matches!(self, CallbackError::BadUrl(_))
    }
}

/// Sends callbacks; holds nothing but the trusted roots, which are read when the first TLS connection wants them.
#[derive(Clone, Debug, Default)]
pub struct Client {
    tls: Arc<OnceCell<Result<Arc<ClientConfig>, String>>>,
}

impl Client {
    /// A client that trusts the system's certificates.
    pub fn new() -> Client {
        Client::default()
    }

    /// A client that trusts exactly these roots.
    pub fn with_roots(roots: RootCertStore) -> Client {
        Client { tls: Arc::new(OnceCell::new_with(Some(tls_config(roots)))) }
    }

    /// Sends once. Everything, from the first lookup to the last byte that is read, shares `policy.timeout`.
    ///
    /// # Errors
    /// See `CallbackError`; anything but a status of exactly 200 is one.
    pub async fn send(&self, callback: &Callback, policy: &CallbackPolicy) -> Result<(), CallbackError> {
        let url = checked_url(&callback.url)?;
        let deadline = Instant::now() + policy.timeout;
        let late = |_| CallbackError::Timeout(policy.timeout);
        let (status, body, _connection) =
            timeout_at(deadline, self.exchange(&url, callback, policy)).await.map_err(late)??;
        // The status decides; reading on only lets a well-behaved receiver finish its answer.
        timeout_at(deadline, drain(body)).await.ok();
        if status == StatusCode::OK { Ok(()) } else { Err(CallbackError::Status(status.as_u16())) }
    }

    async fn exchange(
        &self,
        url: &Url,
        callback: &Callback,
        policy: &CallbackPolicy,
    ) -> Result<(StatusCode, Incoming, AbortOnDrop), CallbackError> {
        let host = url.host_str().unwrap_or_default();
        let addresses = permitted_addresses(url, policy).await?;
        let failed = |reason: std::io::Error| CallbackError::Connect {
            host: host.to_owned(),
            reason: reason.to_string(),
        };
        let stream = TcpStream::connect(&addresses[..]).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let request = request(url, callback)?;
        if url.scheme() == "http" {
            return post(stream, host, request).await;
        }
        let refused = |reason: String| CallbackError::Tls { host: host.to_owned(), reason };
        let config = self.tls.get_or_init(native_config).await.clone().map_err(refused)?;
        let name =
            server_name(url).ok_or_else(|| refused("not a name that a certificate can hold".to_owned()))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        post(connected.map_err(|error| refused(error.to_string()))?, host, request).await
    }
}

/// The host that an attempt would go to, in lower case; empty for a URL that is none.
pub fn host_of(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// VOD's signature: MD5 of `CallbackURL|timestamp|AuthKey` in lower-case hex (API contract, 4.3). It says nothing
/// about the body.
pub fn signature(url: &str, unix_s: i64, auth_key: &str) -> String {
    let digest = Md5::digest(format!("{url}|{unix_s}|{auth_key}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn checked_url(text: &str) -> Result<Url, CallbackError> {
    let url = Url::parse(text).map_err(|_| CallbackError::BadUrl("not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(CallbackError::BadUrl("neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(CallbackError::BadUrl("a URL with user information"));
    }
    Ok(url)
}

async fn permitted_addresses(url: &Url, policy: &CallbackPolicy) -> Result<Vec<SocketAddr>, CallbackError> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let found: Vec<IpAddr> = match url.host() {
        Some(Host::Ipv4(v4)) => vec![v4.into()],
        Some(Host::Ipv6(v6)) => vec![v6.into()],
        Some(Host::Domain(name)) => {
            let failed = |_| CallbackError::Resolve { host: host.to_owned() };
            tokio::net::lookup_host((name, port)).await.map_err(failed)?.map(|found| found.ip()).collect()
        }
        None => Vec::new(),
    };
    // What is judged is what is connected: the name is never resolved a second time.
    let permitted: Vec<SocketAddr> = found
        .into_iter()
        .map(|address| address.to_canonical())
        .filter(|address| guard::permitted(*address, host, policy))
        .take(ADDRESSES_MAX)
        .map(|address| SocketAddr::new(address, port))
        .collect();
    if permitted.is_empty() {
        return Err(CallbackError::Refused { host: host.to_owned() });
    }
    Ok(permitted)
}

fn request(url: &Url, callback: &Callback) -> Result<Request<Full<Bytes>>, CallbackError> {
    let mut builder = Request::post(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(header::CONTENT_TYPE, "application/json;charset=utf-8")
        .header(header::USER_AGENT, concat!("stillframe/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .header("X-Stillframe-Event-Id", &callback.event_id);
    if let Some(key) = &callback.auth_key {
        let unix_s = callback.now_ms.div_euclid(1000);
        let signature = signature(&callback.url, unix_s, key.expose_secret());
        builder = builder.header("X-VOD-TIMESTAMP", unix_s).header("X-VOD-SIGNATURE", signature);
    }
    let body = Full::new(Bytes::from(callback.body.clone()));
    builder.body(body).map_err(|_| CallbackError::BadUrl("not a URL that HTTP can carry"))
}

async fn post<S>(
    stream: S,
    host: &str,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Incoming, AbortOnDrop), CallbackError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed =
        |reason: hyper::Error| CallbackError::Answer { host: host.to_owned(), reason: reason.to_string() };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = AbortOnDrop(tokio::spawn(async move {
        // Its error comes out of `send_request` or the body as well.
        connection.await.ok();
    }));
    let answer = sender.send_request(request).await.map_err(failed)?;
    Ok((answer.status(), answer.into_body(), connection))
}

async fn drain(mut body: Incoming) {
    let mut left = ANSWER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let got = frame.data_ref().map_or(0, Bytes::len);
        if got >= left {
            return;
        }
        left -= got;
    }
}

// The connection lives in a task of its own and would outlive an attempt that is given up.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Ipv4(v4) => Some(ServerName::from(IpAddr::from(v4))),
        Host::Ipv6(v6) => Some(ServerName::from(IpAddr::from(v6))),
        Host::Domain(name) => {
            let name = DnsName::try_from(name.trim_end_matches('.').to_owned()).ok()?;
            Some(ServerName::DnsName(name))
        }
    }
}

// Reading the system's certificates takes a while: once, and not on a thread that others need.
async fn native_config() -> Result<Arc<ClientConfig>, String> {
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        tls_config(roots)
    };
    tokio::task::spawn_blocking(load).await.map_err(|gone| gone.to_string())?
}

fn tls_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_contracts() {
        let url = "https://www.example.com/your/callback";
        assert_eq!(signature(url, 1_519_375_990, "test123"), "c72b60894140fa98920f1279219b7ed4");
        assert_eq!(signature(url, 1_519_375_990, "Test123"), "c587b80d2d0ede300e8967937da7219b");
    }

    #[test]
    fn urls_that_will_never_do() {
        for bad in [
            "",
            "hooks.example.test",
            "ftp://hooks.example.test/",
            "file:///etc/passwd",
            "http://",
            "http://good@bad.example.test/",
            "http://:secret@bad.example.test/",
            "http://a:b@127.0.0.1/",
        ] {
            let error = checked_url(bad).expect_err(bad);
            assert!(error.is_final() && error.outcome() == "refused", "{bad}");
        }
        assert!(checked_url("https://hooks.example.test:8443/a?token=1").is_ok());
    }

    #[test]
    fn the_request_names_host_and_path_as_the_url_does() {
        let callback = Callback {
            url: "http://hooks.example.test:8080/a%20b?token=1#part".to_owned(),
            event_id: "e1".to_owned(),
            body: "{}".to_owned(),
            auth_key: None,
            now_ms: 0,
        };
        let request = request(&checked_url(&callback.url).expect("a URL"), &callback).expect("a request");
        assert_eq!(request.uri(), "/a%20b?token=1");
        assert_eq!(request.headers()["host"], "hooks.example.test:8080");
        assert!(!request.headers().contains_key("x-vod-signature"));
    }
}
