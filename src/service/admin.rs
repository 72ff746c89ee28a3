//! The admin listener: `/metrics`, `/healthz`, `/readyz`.
//!
//! Owns what "ready" means. Never touches the database: the daemon's rounds write down what they saw, so that
//! every answer comes at once, however the database fares.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::stop;
use super::telemetry::metrics::Scrape;

/// Scrapers and probes at once; more wait.
const CONNECTIONS_MAX: usize = 64;
/// A header must be there by then, and an idle connection ends.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A write that is under way for so long means that the database does not answer.
const STORE_SILENCE_MAX: Duration = Duration::from_secs(1);

/// What the daemon's rounds saw last.
#[derive(Debug, Default)]
pub struct Health {
    /// No new work is taken any more.
    pub draining: AtomicBool,
    /// Less free space than the watermark.
    pub disk_full: Arc<AtomicBool>,
    /// The zygote is gone and could not be started again.
    pub worker_gone: AtomicBool,
    store: std::sync::Mutex<StoreHealth>,
}

#[derive(Debug, Default)]
struct StoreHealth {
    /// A write is under way since then.
    asked: Option<Instant>,
    /// How the last one ended; none before the first.
    last: Option<Result<(), String>>,
}

impl Health {
    /// A write to the database begins now.
    pub fn store_asked(&self) {
        self.lock().asked = Some(Instant::now());
    }

    /// It ended.
    pub fn store_answered(&self, result: Result<(), String>) {
        *self.lock() = StoreHealth { asked: None, last: Some(result) };
    }

    /// Why this daemon should get no requests now; none when it is ready.
    pub fn unready(&self, now: Instant) -> Option<String> {
        if self.draining.load(Ordering::SeqCst) {
            return Some("draining".to_owned());
        }
        if self.worker_gone.load(Ordering::SeqCst) {
            return Some("no worker".to_owned());
        }
        if self.disk_full.load(Ordering::SeqCst) {
            return Some("disk below watermark".to_owned());
        }
        let store = self.lock();
        if store.asked.is_some_and(|asked| now.saturating_duration_since(asked) > STORE_SILENCE_MAX) {
            return Some("database does not answer".to_owned());
        }
        match &store.last {
            None => Some("starting".to_owned()),
            Some(Err(reason)) => Some(format!("database: {reason}")),
            Some(Ok(())) => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, StoreHealth> {
        // Each holder only stores a value: what a panicking one left behind is whole.
        self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the listener needs.
pub struct AdminContext {
    pub health: Arc<Health>,
    pub scrape: Scrape,
}

/// Answers until `stop` is true, then finishes the requests in hand.
pub async fn serve(listener: TcpListener, context: Arc<AdminContext>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            biased;
            () = stop::asked(&mut stop) => break,
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Some((stream, slot)) = stream else { continue };
        let (context, stop) = (Arc::clone(&context), stop.clone());
        connections.spawn(async move {
            connection(stream, context, stop).await;
            drop(slot);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "failed to accept an admin connection");
            // Out of descriptors: trying again at once would only burn the core.
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, context: Arc<AdminContext>, mut stop: watch::Receiver<bool>) {
    let service = service_fn(|request| {
        let answer = answer(&request, &context);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(100)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop::asked(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

fn answer(request: &Request<Incoming>, context: &AdminContext) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match context.health.unready(Instant::now()) {
            None => text(StatusCode::OK, "ready\n"),
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        "/metrics" => {
            let mut page = text(StatusCode::OK, context.scrape.render());
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            page.headers_mut().insert(CONTENT_TYPE, format);
            page
        }
        "/" => text(StatusCode::OK, "stillframe\n/metrics\n/healthz\n/readyz\n"),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Health {
        let health = Health::default();
        health.store_answered(Ok(()));
        health
    }

    #[test]
    fn a_daemon_is_ready_once_the_store_was_written_to() {
        assert_eq!(Health::default().unready(Instant::now()).as_deref(), Some("starting"));
        assert_eq!(ready().unready(Instant::now()), None);
    }

    #[test]
    fn each_fault_is_named() {
        let now = Instant::now();
        let health = ready();
        health.store_answered(Err("failed to write: disk I/O error".into()));
        assert_eq!(health.unready(now).as_deref(), Some("database: failed to write: disk I/O error"));
        health.disk_full.store(true, Ordering::SeqCst);
        assert_eq!(health.unready(now).as_deref(), Some("disk below watermark"));
        health.worker_gone.store(true, Ordering::SeqCst);
        assert_eq!(health.unready(now).as_deref(), Some("no worker"));
        health.draining.store(true, Ordering::SeqCst);
        assert_eq!(health.unready(now).as_deref(), Some("draining"));
    }

    #[test]
    fn a_write_that_hangs_is_a_fault_and_a_short_one_is_not() {
        let health = ready();
        health.store_asked();
        let now = Instant::now();
        assert_eq!(health.unready(now), None);
        assert_eq!(health.unready(now + STORE_SILENCE_MAX * 2).as_deref(), Some("database does not answer"));
        health.store_answered(Ok(()));
        assert_eq!(health.unready(now + STORE_SILENCE_MAX * 2), None);
    }
}
