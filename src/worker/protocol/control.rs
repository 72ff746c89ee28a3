//! Messages between the daemon and the zygote, or a device helper: one datagram each. *Pure.*
//!
//! Owns their bytes. Never carries a descriptor: those ride beside the bytes (`worker/fds`).

use super::cursor::Reader;
use super::device::{read_class, read_facts, read_reason, write_class, write_facts, write_reason};
use super::{CONTROL_BYTES_MAX, HEAD_BYTES, Head, Kind, Malformed, framed};
use crate::model::device::{CodecClass, DeviceFacts, Refusal};

/// Longest build id, bytes.
const BUILD_BYTES_MAX: usize = 240;

/// One datagram on the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Zygote and helper: who it is; first of all.
    Greeting { build: String },
    /// Daemon: fork a child for the two descriptors beside this, the video and the batch socket.
    Fork { id: u64 },
    /// Zygote: the child lives; its pidfd is beside this.
    Forked { id: u64, pid: u32 },
    /// Zygote: no child came to be.
    ForkFailed { id: u64, errno: i32 },
    /// Zygote: the child is gone and reaped. Helper: the batch is over, and what it cost; a code other than 0 says
    /// that the helper ends.
    Exited { id: u64, exit: Exit },
    /// Helper: the device is open.
    Opened { facts: DeviceFacts },
    /// Helper: it is not, and why; the helper ends.
    Unopened { why: (Refusal, String) },
    /// Daemon: serve a batch with the two descriptors beside this, the video and the batch socket.
    Serve { id: u64 },
    /// Daemon: decode the built-in clip of a kind of stream.
    Prove { class: CodecClass },
    /// Helper: how that went.
    Proved { class: CodecClass, why_not: Option<(Refusal, String)> },
}

/// What wait told about a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    pub how: How,
    /// User and system time, microseconds.
    pub cpu_us: u64,
    /// Largest resident set, KiB.
    pub peak_rss_kib: u64,
}

/// The way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Code(i32),
    Signal(i32),
}

/// The datagram of a control message.
///
/// # Errors
/// A message beyond the limit.
pub fn encode_control(message: &Control) -> Result<Vec<u8>, Malformed> {
    match message {
        Control::Greeting { build } => framed(Kind::Greeting, |w| w.text(build, BUILD_BYTES_MAX)),
        Control::Fork { id } => framed(Kind::Fork, |w| w.u64(*id)),
        Control::Forked { id, pid } => framed(Kind::Forked, |w| {
            w.u64(*id);
            w.u32(*pid);
        }),
        Control::ForkFailed { id, errno } => framed(Kind::ForkFailed, |w| {
            w.u64(*id);
            w.i32(*errno);
        }),
        Control::Exited { id, exit } => framed(Kind::Exited, |w| {
            w.u64(*id);
            let (tag, number) = match exit.how {
                How::Code(code) => (0, code),
                How::Signal(signal) => (1, signal),
            };
            w.u8(tag);
            w.i32(number);
            w.u64(exit.cpu_us);
            w.u64(exit.peak_rss_kib);
        }),
        Control::Opened { facts } => framed(Kind::Opened, |w| write_facts(w, facts)),
        Control::Unopened { why } => framed(Kind::Unopened, |w| write_reason(w, why)),
        Control::Serve { id } => framed(Kind::Serve, |w| w.u64(*id)),
        Control::Prove { class } => framed(Kind::Prove, |w| write_class(w, *class)),
        Control::Proved { class, why_not } => framed(Kind::Proved, |w| {
            write_class(w, *class);
            w.option(why_not.as_ref(), write_reason);
        }),
    }
}

/// Reads one datagram.
///
/// # Errors
/// When the bytes are no control message.
pub fn decode_control(datagram: &[u8]) -> Result<Control, Malformed> {
    if datagram.len() > CONTROL_BYTES_MAX {
        let (got, most) = (datagram.len() as u64, CONTROL_BYTES_MAX as u64);
        return Err(Malformed::TooLong { what: "datagram", got, most });
    }
    let (head, payload) = datagram.split_first_chunk::<HEAD_BYTES>().ok_or(Malformed::Cut)?;
    let head = Head::decode(*head)?;
    if head.len as usize != payload.len() {
        return Err(Malformed::Cut);
    }
    let mut r = Reader::new(payload);
    let message = match head.kind {
        Kind::Greeting => Control::Greeting { build: r.text(BUILD_BYTES_MAX)? },
        Kind::Fork => Control::Fork { id: r.u64()? },
        Kind::Forked => Control::Forked { id: r.u64()?, pid: r.u32()? },
        Kind::ForkFailed => Control::ForkFailed { id: r.u64()?, errno: r.i32()? },
        Kind::Exited => {
            let id = r.u64()?;
            let how = match (r.u8()?, r.i32()?) {
                (0, code) => How::Code(code),
                (1, signal) => How::Signal(signal),
                _ => return Err(Malformed::Value("way out")),
            };
            Control::Exited { id, exit: Exit { how, cpu_us: r.u64()?, peak_rss_kib: r.u64()? } }
        }
        Kind::Opened => Control::Opened { facts: read_facts(&mut r)? },
        Kind::Unopened => Control::Unopened { why: read_reason(&mut r)? },
        Kind::Serve => Control::Serve { id: r.u64()? },
        Kind::Prove => Control::Prove { class: read_class(&mut r)? },
        Kind::Proved => Control::Proved { class: read_class(&mut r)?, why_not: r.option(read_reason)? },
        _ => return Err(Malformed::Direction),
    };
    r.end()?;
    Ok(message)
}
