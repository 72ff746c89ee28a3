//! Datagrams with descriptors beside them, on the control socket.
//!
//! Owns sending and receiving of one control message. Never blocks by itself: that is the socket's mode.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::protocol::{CONTROL_BYTES_MAX, Control, Malformed, decode_control, encode_control};

/// Descriptors beside one datagram: a request has two.
const FDS_MAX: usize = 2;

/// Sends one message with its descriptors.
///
/// # Errors
/// The socket's; `WouldBlock` on a socket that does not block.
pub fn send(socket: BorrowedFd<'_>, message: &Control, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let datagram = encode_control(message).map_err(invalid)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
    }
    let iov = [IoSlice::new(&datagram)];
    rustix::io::retry_on_intr(|| sendmsg(socket, &iov, &mut beside, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives one message with its descriptors, close-on-exec; none at the end of file.
///
/// # Errors
/// The socket's, or `InvalidData` when the datagram is none of ours.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Control, Vec<OwnedFd>)>> {
    let mut datagram = [0u8; CONTROL_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut datagram)], &mut beside, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut fds = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "control message is too large"));
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let message = decode_control(&datagram[..got.bytes]).map_err(invalid)?;
    Ok(Some((message, fds)))
}

fn invalid(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
