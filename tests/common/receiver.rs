//! A receiver of callbacks.
//!
//! Owns a listener and a thread. Never answers anything but what the test told it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use super::PATIENCE;

/// One callback as it came.
#[derive(Clone, Debug)]
pub struct Callback {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Callback {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// Listens until the test program ends.
pub struct Receiver {
    pub address: SocketAddr,
    callbacks: mpsc::Receiver<Callback>,
}

impl Receiver {
    /// Answers the first requests with these statuses and all later ones with 200.
    pub fn start(statuses: &[u16]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, callbacks) = mpsc::channel();
        let statuses = statuses.to_vec();
        let mut statuses = statuses.into_iter();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(callback) = take(&stream, || statuses.next().unwrap_or(200)) else { continue };
                if sender.send(callback).is_err() {
                    return;
                }
            }
        });
        Receiver { address, callbacks }
    }

    /// The URL for `CallbackURL`.
    pub fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// The next callback.
    #[track_caller]
    pub fn next(&self) -> Callback {
        self.callbacks.recv_timeout(PATIENCE).expect("a callback")
    }

    /// The callbacks from now on, for who has to wait for other things as well.
    pub fn into_callbacks(self) -> mpsc::Receiver<Callback> {
        self.callbacks
    }

    /// A callback that has come already, if any.
    pub fn already(&self) -> Option<Callback> {
        self.callbacks.try_recv().ok()
    }
}

/// Reads one request and answers it; a status of 0 closes without an answer.
fn take(stream: &TcpStream, status: impl FnOnce() -> u16) -> Option<Callback> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let status = status();
    if status != 0 {
        let answer = format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        // The daemon may have given up by now: what it sent still counts.
        drop((&mut &*stream).write_all(answer.as_bytes()));
    }
    Some(Callback { path, headers, body })
}
