//! `stillframe worker --device ID`: the process that keeps a device open and serves one batch at a time.
//!
//! Owns the device and the order of batches on it. Never forks, since a device does not survive that; never
//! decodes in software, and never goes on with a device after a fault on it.
//!
//! ```text
//!   Greeting, Opened | Unopened      then, until the control socket ends:
//!   Serve + video, batch socket  ->  what a child says, on the batch socket; Exited when nothing is left of it
//!   Prove                        ->  Proved
//! ```

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::out::{Out, read_batch};
use super::protocol::{Control, Exit, How, encode_ended};
use super::zygote::take_place;
use super::{DeviceEngine, OpenDevice, build_id, fds, reap};
use crate::model::device::{DeviceId, Refusal};
use crate::model::job::{Ended, Source};

/// What a helper says of its way out when it will not serve another batch.
const GOES: i32 = 1;

/// Serves the control socket on descriptor 0 until it ends; returns the exit code.
///
/// `warm_up` runs once before the device is opened.
pub fn main(device: &DeviceId, open: DeviceEngine, warm_up: fn()) -> u8 {
    let control = take_place();
    match stand_back(control.as_fd()).and_then(|()| {
        warm_up();
        serve(control.as_fd(), device, open)
    }) {
        Ok(()) => 0,
        Err(error) => {
            // The parent may be gone, and with it whoever reads this.
            writeln!(io::stderr(), "failed to serve {device}: {error}").ok();
            1
        }
    }
}

/// True when the device may go on after a refusal: the stream was not for it, or not for any.
pub(super) fn leaves_it_whole(reason: Refusal) -> bool {
    matches!(reason, Refusal::Unsupported | Refusal::Linear)
}

// Dies with its parent even where it hangs in a driver, and is the first to go when memory runs out.
fn stand_back(control: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above; its end of the socket died with it.
    let mut polled = [PollFd::from_borrowed_fd(control, PollFlags::empty())];
    rustix::io::retry_on_intr(|| poll(&mut polled, Some(&Timespec::default())))?;
    if polled[0].revents().contains(PollFlags::HUP) {
        return Err(io::ErrorKind::NotConnected.into());
    }
    // Raising one's own score is allowed to everybody, but /proc may not be there.
    std::fs::write("/proc/self/oom_score_adj", "900").ok();
    Ok(())
}

fn serve(control: BorrowedFd<'_>, id: &DeviceId, open: DeviceEngine) -> io::Result<()> {
    fds::send(control, &Control::Greeting { build: build_id().to_owned() }, &[])?;
    let mut device = match open(id) {
        Ok(device) => device,
        Err(why) => return fds::send(control, &Control::Unopened { why }, &[]),
    };
    fds::send(control, &Control::Opened { facts: device.facts() }, &[])?;
    // CPU that earlier batches and proofs were told; the first batch carries the opening.
    let mut told_us = 0;
    while let Some((message, beside)) = fds::receive(control)? {
        match (message, <[OwnedFd; 2]>::try_from(beside)) {
            (Control::Serve { id }, Ok([video, batch])) => {
                let stays = one_batch(device.as_mut(), video, batch);
                let (cpu_us, peak_rss_kib) = reap::own();
                let how = How::Code(if stays { 0 } else { GOES });
                let exit = Exit { how, cpu_us: cpu_us.saturating_sub(told_us), peak_rss_kib };
                told_us = cpu_us;
                fds::send(control, &Control::Exited { id, exit }, &[])?;
                if !stays {
                    break;
                }
            }
            (Control::Prove { class }, Err(beside)) if beside.is_empty() => {
                let why_not = device.prove(class).err();
                let stays = why_not.as_ref().is_none_or(|(reason, _)| leaves_it_whole(*reason));
                told_us = reap::own().0;
                fds::send(control, &Control::Proved { class, why_not }, &[])?;
                if !stays {
                    break;
                }
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "unexpected message")),
        }
    }
    // Closing it may take the driver long after a fault: whoever waits for this process has a deadline.
    drop(device);
    Ok(())
}

// Serves one batch; false when the helper must not serve another. Nothing of the batch is left afterwards.
fn one_batch(device: &mut dyn OpenDevice, video: OwnedFd, batch: OwnedFd) -> bool {
    let socket = UnixStream::from(batch);
    // Nobody is there to work for: the parent broke off and ends this process.
    let Ok((batch, grant)) = read_batch(&socket) else { return false };
    let out = Out::new(socket);
    let (ended, stats) = device.run(&batch, Source::Fd(video), grant, &out);
    let told = encode_ended(&ended, &stats).is_ok_and(|frame| out.send(&frame, &[]).is_ok());
    told && match ended {
        Ended::Done | Ended::Stopped | Ended::Failed(_) => true,
        Ended::Refused { reason, .. } => leaves_it_whole(reason),
        Ended::DeviceWanted | Ended::Died { .. } => false,
    }
}
