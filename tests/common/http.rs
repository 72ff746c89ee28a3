//! One HTTP request over one connection, by hand: what is sent is exactly what the test says.
//!
//! Owns nothing but the socket. Never follows, retries or decodes anything but chunks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The `Code` of an API error.
    pub fn code(&self) -> String {
        self.json()["Code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends the bytes of a request and reads the answer to its end.
pub fn send(to: SocketAddr, request: &[u8]) -> Answer {
    try_send(to, request).unwrap_or_else(|error| panic!("{to}: {error}"))
}

/// As `send`, for a server that may be gone at any moment.
///
/// # Errors
/// When there is nobody, or no whole answer came.
pub fn try_send(to: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    // A server may close while we still write (413): what it said before counts.
    let ended = stream.read_to_end(&mut bytes);
    let answer = parse(&bytes).filter(|answer| {
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        length.is_none_or(|length: usize| answer.body.len() == length)
    });
    answer.ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes);
        io::Error::other(format!("no whole answer ({ended:?}): {text}"))
    })
}

/// GET of a path.
pub fn get(from: SocketAddr, path: &str) -> Answer {
    send(from, format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n").as_bytes())
}

/// GET of an `http://address/path` URL.
pub fn fetch(url: &str) -> Answer {
    let url = url::Url::parse(url).unwrap();
    let address = url.socket_addrs(|| None).unwrap()[0];
    get(address, &url[url::Position::BeforePath..])
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Some(Answer { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line_end]).ok()?.trim(), 16).ok()?;
        rest = &rest[line_end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
