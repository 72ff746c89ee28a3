//! The bytes of every message between the daemon, the zygote and a child. *Pure.*
//!
//! Owns the frame and its limits. Never reads or writes a socket: whoever does asks `Head` first how much may
//! follow, so nothing is read or allocated on the word of the other side alone.
//!
//! ```text
//!   version u8 | kind u8 | length u32 LE | payload of that length       every message
//!   Image: the payload is a fixed header; the JPEG's bytes follow it    so that a share of the byte budget
//!                                                                       is taken before they are read
//! ```

mod batch;
mod control;
mod cursor;
mod device;
mod said;
#[cfg(test)]
mod tests;

pub use batch::{Order, decode_order, encode_batch, encode_stop};
pub use control::{Control, Exit, How, decode_control, encode_control};
pub use said::{ImageHeader, Said, decode_said, encode_ended, encode_message, is_jpeg};

use crate::model::limits::{MESSAGE_BYTES_MAX, NOTE_BYTES_MAX};

/// The version of everything in this folder; another one is refused.
pub const VERSION: u8 = 1;
/// Bytes in front of every payload.
pub const HEAD_BYTES: usize = 6;
/// One message on the control socket, head included.
pub const CONTROL_BYTES_MAX: usize = 4_096;
/// The reason in a failure or refusal, bytes.
pub const REASON_BYTES_MAX: usize = 2_048;
/// The name of a container or codec, bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why bytes are no message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("unknown protocol version {0}")]
    Version(u8),
    #[error("unknown message kind {0}")]
    Kind(u8),
    #[error("message of the other direction")]
    Direction,
    #[error("{what} of {got} bytes, at most {most} are allowed")]
    TooLong { what: &'static str, got: u64, most: u64 },
    #[error("message is cut")]
    Cut,
    #[error("message has bytes left over")]
    LeftOver,
    #[error("value out of range: {0}")]
    Value(&'static str),
    #[error("text is not UTF-8")]
    Text,
}

macro_rules! kinds {
    ($($name:ident = $byte:literal),* $(,)?) => {
        /// What a message is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($name = $byte),*
        }

        impl Kind {
            fn parse(byte: u8) -> Result<Kind, Malformed> {
                match byte {
                    $($byte => Ok(Kind::$name),)*
                    other => Err(Malformed::Kind(other)),
                }
            }
        }
    };
}

kinds! {
    Batch = 1,
    Stop = 2,
    Planned = 16,
    RunBegins = 17,
    RunEnds = 18,
    Shown = 19,
    Image = 20,
    PointFailed = 21,
    Note = 22,
    Ended = 23,
    Greeting = 32,
    Fork = 33,
    Forked = 34,
    ForkFailed = 35,
    Exited = 36,
    Serve = 40,
    Opened = 41,
    Unopened = 42,
    Prove = 43,
    Proved = 44,
}

impl Kind {
    /// Most payload bytes that a message of this kind may have.
    fn most(self) -> u32 {
        match self {
            Kind::Batch | Kind::Planned | Kind::RunBegins | Kind::RunEnds => MESSAGE_BYTES_MAX,
            Kind::Stop => 0,
            Kind::Shown => 128,
            Kind::Image => said::IMAGE_HEADER_BYTES,
            Kind::PointFailed | Kind::Ended => REASON_BYTES_MAX as u32 + 256,
            Kind::Note => NOTE_BYTES_MAX as u32 + 16,
            Kind::Greeting
            | Kind::Fork
            | Kind::Forked
            | Kind::ForkFailed
            | Kind::Exited
            | Kind::Serve
            | Kind::Opened
            | Kind::Unopened
            | Kind::Prove
            | Kind::Proved => (CONTROL_BYTES_MAX - HEAD_BYTES) as u32,
        }
    }
}

/// The front of a message: what follows and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    /// Payload bytes, already within the kind's limit.
    pub len: u32,
}

impl Head {
    /// Reads the front of a message.
    ///
    /// # Errors
    /// Another version, an unknown kind, or a length beyond the kind's limit.
    pub fn decode(bytes: [u8; HEAD_BYTES]) -> Result<Head, Malformed> {
        let [version, kind, a, b, c, d] = bytes;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let kind = Kind::parse(kind)?;
        let len = u32::from_le_bytes([a, b, c, d]);
        if len > kind.most() {
            return Err(Malformed::TooLong { what: "message", got: len.into(), most: kind.most().into() });
        }
        Ok(Head { kind, len })
    }
}

// The frame around a finished payload; the length is checked here as it is on the other side.
fn framed(kind: Kind, write: impl FnOnce(&mut cursor::Writer)) -> Result<Vec<u8>, Malformed> {
    let mut writer = cursor::Writer::default();
    writer.u8(VERSION);
    writer.u8(kind as u8);
    writer.u32(0);
    write(&mut writer);
    let mut bytes = writer.bytes;
    let len = bytes.len() - HEAD_BYTES;
    match u32::try_from(len) {
        Ok(short) if short <= kind.most() => {
            bytes[2..HEAD_BYTES].copy_from_slice(&short.to_le_bytes());
            Ok(bytes)
        }
        _ => Err(Malformed::TooLong { what: "message", got: len as u64, most: kind.most().into() }),
    }
}
