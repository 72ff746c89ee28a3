//! A signed request over a connection that stays open.
//!
//! Owns one socket. Never retries: what went wrong is an answer too.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::daemon::Key;
use crate::common::sign;

/// Whom the requests go to, and who signs them.
#[derive(Clone)]
pub struct Caller {
    pub api: SocketAddr,
    pub key: Key,
}

/// How one submission was answered.
pub enum Answer {
    /// Durable under this JobId.
    Accepted(String),
    Throttled,
    /// A code of the API, or what happened to the connection.
    Failed(String),
}

/// One connection; opened at the first request and again after it broke.
pub struct Connection {
    caller: Caller,
    stream: Option<TcpStream>,
}

impl Connection {
    pub fn new(caller: Caller) -> Connection {
        Connection { caller, stream: None }
    }

    /// The bytes of a signed submission.
    pub fn submission(&self, parameters: &[(&str, &str)]) -> Vec<u8> {
        sign::v3_on(self.caller.api, &self.caller.key, "SubmitSnapshotJob", parameters, "keep-alive")
    }

    /// Connects ahead of the first request.
    pub async fn open(&mut self) -> std::io::Result<&mut TcpStream> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.caller.api).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        Ok(self.stream.insert(stream))
    }

    /// Sends a request and reads its answer.
    pub async fn submit(&mut self, request: &[u8]) -> Answer {
        match self.exchange(request).await {
            Ok((200, body)) => match body["SnapshotJob"]["JobId"].as_str() {
                Some(job) => Answer::Accepted(job.to_owned()),
                None => Answer::Failed(format!("no JobId in {body}")),
            },
            Ok((status, body)) => match body["Code"].as_str() {
                Some("Throttling.User") => Answer::Throttled,
                code => Answer::Failed(format!("{status} {}", code.unwrap_or("without a code"))),
            },
            Err(error) => {
                self.stream = None;
                Answer::Failed(format!("connection: {error}"))
            }
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<(u16, serde_json::Value)> {
        let cut = || std::io::Error::other("the answer is no HTTP");
        let stream = self.open().await?;
        stream.write_all(request).await?;
        let mut bytes = Vec::with_capacity(2 << 10);
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|text| text.trim().parse().ok()).ok_or_else(cut)?;
        while bytes.len() < head_end + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = serde_json::from_slice(&bytes[head_end..head_end + length])?;
        Ok((status, body))
    }
}
