//! The worker's end of one batch socket.
//!
//! Owns what goes out on it and the stop that may come in. Never decides what is said.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::net::RecvFlags;

use super::protocol::{HEAD_BYTES, Head, Order, decode_order, encode_message, encode_stop};
use crate::model::delivery::{Deliver, Gone, Message};
use crate::model::job::{Grant, VideoBatch};
use crate::model::limits::NOTES_MAX;

/// The batch that is first of all on its socket.
///
/// # Errors
/// When nobody says one, or only a stop comes.
pub(super) fn read_batch(mut socket: &UnixStream) -> io::Result<(VideoBatch, Grant)> {
    let mut head = [0; HEAD_BYTES];
    socket.read_exact(&mut head)?;
    let head = Head::decode(head).map_err(io::Error::other)?;
    let mut payload = vec![0; head.len as usize];
    socket.read_exact(&mut payload)?;
    match decode_order(head.kind, &payload).map_err(io::Error::other)? {
        Order::Batch(batch, grant) => Ok((batch, grant)),
        Order::Stop => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// The child's end of the batch socket. A write that blocks is the whole back pressure: it holds the lock,
/// so every thread that has something to deliver waits behind it.
pub(super) struct Out {
    socket: UnixStream,
    writing: Mutex<()>,
    /// Bytes of a stop message that came so far.
    stop: Mutex<usize>,
    stop_asked: AtomicBool,
    gone: AtomicBool,
    notes: AtomicUsize,
}

impl Out {
    pub fn new(socket: UnixStream) -> Out {
        Out {
            socket,
            writing: Mutex::new(()),
            stop: Mutex::new(0),
            stop_asked: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            notes: AtomicUsize::new(0),
        }
    }

    /// Sends a frame and, for an image, its bytes: one unit on the wire.
    ///
    /// # Errors
    /// `Gone` when nobody reads any more.
    pub fn send(&self, frame: &[u8], bytes: &[u8]) -> Result<(), Gone> {
        let guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.gone.load(Ordering::Relaxed) {
            return Err(Gone);
        }
        let mut socket = &self.socket;
        let sent = socket.write_all(frame).and_then(|()| socket.write_all(bytes));
        drop(guard);
        sent.map_err(|_| self.lost())
    }

    fn lost(&self) -> Gone {
        self.gone.store(true, Ordering::Relaxed);
        // Threads that block in a write behind this one learn of it at once; a socket that is shut already
        // needs no shutting.
        self.socket.shutdown(Shutdown::Both).ok();
        Gone
    }

    // Takes what the daemon sent, without waiting. The only thing it can send is one stop message.
    fn look_for_stop(&self, seen: &mut usize) {
        let stop = encode_stop();
        while *seen < stop.len() {
            let mut bytes = [0u8; HEAD_BYTES];
            let left = &mut bytes[*seen..];
            match rustix::net::recv(&self.socket, left, RecvFlags::DONTWAIT) {
                Ok((n, _)) if n > 0 && bytes[*seen..*seen + n] == stop[*seen..*seen + n] => *seen += n,
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::INTR) => {}
                // The end of the file, an error, or a word that is not ours: nobody to work for.
                _ => {
                    self.lost();
                    break;
                }
            }
        }
        self.stop_asked.store(true, Ordering::Relaxed);
    }
}

impl Deliver for Out {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        let bytes: &[u8] = match &message {
            Message::Note { .. } if self.notes.fetch_add(1, Ordering::Relaxed) >= NOTES_MAX => {
                return Ok(());
            }
            Message::Image(image) => &image.bytes,
            _ => &[],
        };
        // A message beyond the limit cannot be said; the daemon would end this child for it anyway.
        let frame = encode_message(&message).map_err(|_| self.lost())?;
        self.send(&frame, bytes)
    }

    fn stop_asked(&self) -> bool {
        if self.stop_asked.load(Ordering::Relaxed) {
            return true;
        }
        // Another thread is looking right now: its answer will do next time.
        if let Ok(mut seen) = self.stop.try_lock() {
            self.look_for_stop(&mut seen);
        }
        self.stop_asked.load(Ordering::Relaxed)
    }
}
