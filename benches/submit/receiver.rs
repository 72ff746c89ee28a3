//! A receiver of callbacks that notes when each job's first one came.
//!
//! Owns a listener. Always answers 200.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// When a callback came, by both clocks: one for the driver's latencies, one for the daemon's rows.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub at: Instant,
    pub unix_ms: i64,
}

/// Listens until the driver ends.
pub struct Receiver {
    pub address: SocketAddr,
    arrivals: Arc<Mutex<HashMap<String, Arrival>>>,
    count: watch::Receiver<usize>,
}

impl Receiver {
    /// A receiver that thinks for so long before each answer.
    pub async fn start(thinks: Duration) -> std::io::Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let arrivals: Arc<Mutex<HashMap<String, Arrival>>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let (noted, counted) = (Arc::clone(&arrivals), Arc::new(counted));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, counted) = (Arc::clone(&noted), Arc::clone(&counted));
                tokio::spawn(async move {
                    // A callback that breaks off comes again; that one counts then.
                    let Ok((mut stream, job)) = take(stream).await else { return };
                    {
                        let mut arrivals = noted.lock().unwrap_or_else(PoisonError::into_inner);
                        arrivals.entry(job).or_insert_with(now);
                        counted.send_replace(arrivals.len());
                    }
                    tokio::time::sleep(thinks).await;
                    // Whoever hung up meanwhile has his callback all the same.
                    stream.write_all(OK).await.ok();
                });
            }
        });
        Ok(Receiver { address, arrivals, count })
    }

    /// The URL for `CallbackURL`.
    pub fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// Waits until so many jobs were told of, or the time is over; gives what came.
    pub async fn wait(&self, jobs: usize, at_most: Duration) -> HashMap<String, Arrival> {
        let mut count = self.count.clone();
        // Too few is for the caller to see.
        tokio::time::timeout(at_most, count.wait_for(|count| *count >= jobs)).await.ok();
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn now() -> Arrival {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Arrival { at: Instant::now(), unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX) }
}

/// Reads one callback; the JobId that it tells of.
async fn take(mut stream: TcpStream) -> std::io::Result<(TcpStream, String)> {
    let bad = || std::io::Error::other("not a callback");
    let mut bytes = Vec::with_capacity(2 << 10);
    let (head_end, length) = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|text| text.trim().parse().ok()).ok_or_else(bad)?;
            break (at + 4, length);
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(bad());
        }
    };
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(bad());
        }
    }
    let body: serde_json::Value = serde_json::from_slice(&bytes[head_end..head_end + length])?;
    let job = body["JobId"].as_str().map(str::to_owned).ok_or_else(bad)?;
    Ok((stream, job))
}
