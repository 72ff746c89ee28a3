//! The API listener: connections in, one answer a request out.
//!
//! Owns the limits of a connection and the promise that every answer is JSON or XML, whatever happens inside.
//! Never reads a parameter: `rpc` does. It knows the two kinds of paths: `/` is RPC, object keys are pictures.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming as HttpBody};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::model::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX, HEADERS_MAX};
use crate::service::telemetry::metrics;

use super::error::{ApiError, Fixed};
use super::limiter::Limiter;
use super::request::{self, Incoming};
use super::response::{self, Format};
use super::stall::Stall;
use super::{ApiContext, pictures, rpc};

/// Longest wait for a request's headers; an idle connection is closed after it too, so SDK pools need it long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(12);
/// Longest wait for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(12);
/// How much of a body that is too large is read and dropped before the answer, and for how long.
const DISCARD_BYTES_MAX: usize = 16 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for open requests once the daemon stops.
const DRAIN: Duration = Duration::from_secs(20);
/// Pause after a failed accept: out of descriptors passes by itself.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the API until told to stop; requests in flight are answered first.
pub async fn serve(listener: TcpListener, context: Arc<ApiContext>, mut stop: watch::Receiver<bool>) {
    let max_connections = context.settings.borrow().api.max_connections.max(1);
    // A u32 fits a usize wherever this runs.
    let permits = Arc::new(Semaphore::new((max_connections as usize).min(Semaphore::MAX_PERMITS)));
    let server = Arc::new(Server {
        context,
        limiter: Mutex::default(),
        open: AtomicU64::new(0),
        began: Instant::now(),
    });
    let mut connections = JoinSet::new();
    while !*stop.borrow() {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            // A sender that is gone cannot tell any more: that is a stop too.
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((permit, stream, peer)) => {
                let (server, stop) = (Arc::clone(&server), stop.clone());
                connections.spawn(async move {
                    server.connection(stream, peer, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(open = connections.len(), "connections were cut at the end");
    }
}

// A connection is accepted only when there is a place for it; others wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((permit, stream, peer))
}

struct Server {
    context: Arc<ApiContext>,
    limiter: Mutex<Limiter>,
    open: AtomicU64,
    /// The limiter's time counts from here, so that a wall clock set back blocks nobody.
    began: Instant,
}

/// One answer, and what the log and the metrics say of it.
struct Answered {
    response: Response<Full<Bytes>>,
    action: &'static str,
    error: Option<ApiError>,
}

impl Server {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, mut stop: watch::Receiver<bool>) {
        metrics::http_connections(self.open.fetch_add(1, Ordering::Relaxed) + 1);
        // Small answers must not wait for more; a socket without the option still works.
        drop(stream.set_nodelay(true));
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(self.request(request, peer).await) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(Stall::new(stream)), service);
        let mut connection = std::pin::pin!(connection);
        let mut stopping = *stop.borrow();
        if stopping {
            connection.as_mut().graceful_shutdown();
        }
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                _ = stop.changed(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
        metrics::http_connections(self.open.fetch_sub(1, Ordering::Relaxed) - 1);
    }

    async fn request(&self, request: Request<HttpBody>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let request_id = uuid::Uuid::new_v4().hyphenated().to_string().to_uppercase();
        let host = host_of(&request);
        let answered = match caught(self.answer(request, peer, &request_id, &host)).await {
            Ok(answered) => answered,
            Err(panic) => {
                let error = ApiError::fixed(Fixed::Internal, format!("a handler panicked: {panic}"));
                refused(error, "other", Format::Json, &request_id, &host)
            }
        };
        let Answered { mut response, action, error } = answered;
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("x-acs-request-id", value);
        }
        report(&request_id, action, error.as_ref(), began);
        response
    }

    async fn answer(
        &self,
        request: Request<HttpBody>,
        peer: SocketAddr,
        request_id: &str,
        host: &str,
    ) -> Answered {
        let refuse = |error, action| refused(error, action, Format::Json, request_id, host);
        // A poisoned lock holds counters only; they are as good as before.
        let admitted = self
            .limiter
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .admit(peer.ip(), i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX));
        if !admitted {
            return refuse(ApiError::fixed(Fixed::Throttling, "over the address's rate"), "other");
        }
        if request.uri().path() != "/" {
            return match self.picture(request.method(), request.uri().path()).await {
                Ok(response) => Answered { response, action: "picture", error: None },
                Err(error) => refuse(error, "picture"),
            };
        }
        let (head, body) = request.into_parts();
        // Whoever waits for "100 Continue" has sent nothing yet, and is answered before he does.
        let waits = head.headers.contains_key("expect");
        let body = match whole_body(body, waits).await {
            Ok(body) => body,
            Err(error) => {
                let mut answered = refuse(error, "other");
                // What is left of the body is not read, so no other request can follow it.
                let close = HeaderValue::from_static("close");
                answered.response.headers_mut().insert("connection", close);
                return answered;
            }
        };
        let incoming = Incoming {
            method: head.method.as_str(),
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
            body: &body,
        };
        let format = request::format(&incoming);
        let outcome = rpc::answer(&self.context, &incoming, request_id).await;
        let action = outcome.action.map_or("other", |a| a.name());
        match outcome.answer {
            Ok(fields) => {
                let text = response::success(format, action, request_id, fields);
                Answered { response: answer_of(StatusCode::OK, format, text), action, error: None }
            }
            Err(error) => refused(error, action, format, request_id, host),
        }
    }

    async fn picture(&self, method: &Method, path: &str) -> Result<Response<Full<Bytes>>, ApiError> {
        let Some(key) = pictures::key(path) else {
            return Err(ApiError::fixed(Fixed::ActionNotFound, "no such path"));
        };
        if method != Method::GET && method != Method::HEAD {
            return Err(ApiError::fixed(Fixed::MethodNotSupported, format!("method {method} on a picture")));
        }
        pictures::answer(&self.context, key).await
    }
}

fn host_of(request: &Request<HttpBody>) -> String {
    let header = request.headers().get("host").and_then(|h| h.to_str().ok());
    header.or(request.uri().host()).unwrap_or_default().to_owned()
}

async fn whole_body(mut body: HttpBody, waits: bool) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::fixed(Fixed::BodyTooLarge, format!("the body is above {BODY_BYTES_MAX} bytes"));
    if waits && body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(&mut body, BODY_BYTES_MAX).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            // A socket that is closed with bytes unread may take the answer along.
            drop(tokio::time::timeout(DISCARD_TIMEOUT, discard(body)).await);
            Err(too_large())
        }
        Ok(Err(error)) => Err(ApiError::invalid_parameter("Body", format!("the body was cut: {error}"))),
        Err(_) => Err(ApiError::fixed(Fixed::BodyTooSlow, "the body did not come in time")),
    }
}

async fn discard(mut body: HttpBody) {
    let mut left = DISCARD_BYTES_MAX;
    while left > 0 {
        let Some(Ok(frame)) = body.frame().await else { return };
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
    }
}

fn answer_of(status: StatusCode, format: Format, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(format.content_type());
    response.headers_mut().insert("content-type", kind);
    response
}

fn refused(error: ApiError, action: &'static str, format: Format, request_id: &str, host: &str) -> Answered {
    let text = response::failure(format, &error, request_id, host);
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer_of(status, format, text);
    if let Some(wait_ms) = error.retry_after_ms {
        response.headers_mut().insert("x-acs-retry-after", HeaderValue::from(wait_ms));
    }
    Answered { response, action, error: Some(error) }
}

fn report(request_id: &str, action: &'static str, error: Option<&ApiError>, began: Instant) {
    let code = error.map_or("ok", |e| e.code.as_ref());
    metrics::http_request(action, code, began.elapsed().as_secs_f64());
    let Some(error) = error else { return };
    if error.is_auth_failure() {
        metrics::auth_failure(code);
    }
    if code.starts_with("Throttling") {
        metrics::throttled();
    }
    if error.status >= 500 {
        tracing::error!(request_id, action, code, reason = %error.internal, "a request failed");
    } else {
        tracing::info!(request_id, action, code, reason = %error.internal, "a request was refused");
    }
}

// A panic inside is an answer too, and the connection lives on.
async fn caught<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(move |cx| {
        // After a panic the future is never polled again, so what it left half done is not seen.
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic_text(panic.as_ref()))),
        }
    })
    .await
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let panicked = caught(async {
            tokio::task::yield_now().await;
            panic!("bang {}", 1)
        });
        assert_eq!(panicked.await, Err::<(), _>("bang 1".into()));
    }
}
