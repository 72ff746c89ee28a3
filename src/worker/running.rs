//! One batch in one child or helper, as the daemon sees it.
//!
//! Owns the near end of the batch socket and the child's deadlines. Never trusts a byte: the frame is checked
//! by `protocol`, the order by `grammar`, and whoever breaks either is killed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until};

use super::budget::{Budget, Held};
use super::cpu;
use super::end::{End, Settled, Verdict};
use super::grammar::{Grammar, Misspoken};
use super::link::{Forked, Hold};
use super::meter::Meter;
use super::oom::OomKills;
use super::pool::{Delivery, PoolConfig};
use super::protocol::{HEAD_BYTES, Head, ImageHeader, Said, decode_said, encode_stop};
use crate::model::delivery::Message;
use crate::model::job::{Stats, VideoBatch};

/// Most that one read takes off the socket.
const CHUNK_BYTES: usize = 256 << 10;
/// How long the end of a killed child is waited for: a process that hangs in the kernel may never go.
const GONE_WAIT: Duration = Duration::from_secs(10);

/// One batch in one child, or in the helper of a device, which lives on after it. Dropping it before its end kills the
/// process.
pub struct Running {
    pid: u32,
    hold: Hold,
    /// CPU that the process had used before.
    cpu_before: Duration,
    stream: UnixStream,
    /// What is still to be written: the batch, then perhaps a stop.
    outbox: Mutex<Vec<u8>>,
    killed: AtomicBool,
    budget: Budget,
    oom: Arc<OomKills>,

    part: Part,
    /// Bytes of the part in hand, and how many make it whole.
    inbox: Vec<u8>,
    want: usize,

    grammar: Grammar,
    meter: Meter,
    check_every: Duration,
    check_at: Instant,

    /// The last stats that the child sent.
    stats: Stats,
    end: End,
}

/// Which part of a message is being read.
enum Part {
    Head,
    Body(Head),
    /// The share of the byte budget is not taken yet; the child waits, and its bytes stay in the socket.
    Share(ImageHeader),
    Image(ImageHeader, Held),
}

impl Running {
    pub(super) async fn begin(
        forked: Forked,
        ours: OwnedFd,
        order: Vec<u8>,
        batch: &VideoBatch,
        config: &PoolConfig,
        oom: Arc<OomKills>,
    ) -> io::Result<Running> {
        let Forked { pid, hold, exit } = forked;
        let stream = std::os::unix::net::UnixStream::from(ours);
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let check_every = (config.run_cpu.min(config.no_progress) / 4)
            .clamp(Duration::from_millis(10), Duration::from_secs(1));
        let lasting = hold.is_lasting();
        let cpu_before = if lasting { cpu::of(pid) } else { None };
        let running = Running {
            pid,
            hold,
            cpu_before: cpu_before.unwrap_or_default(),
            stream,
            outbox: Mutex::new(order),
            killed: AtomicBool::new(false),
            budget: config.budget.clone(),
            oom,
            part: Part::Head,
            inbox: Vec::new(),
            want: HEAD_BYTES,
            grammar: if lasting { Grammar::on_device(batch) } else { Grammar::new(batch) },
            meter: Meter::new(config.run_cpu, config.no_progress),
            check_every,
            check_at: Instant::now() + check_every,
            stats: Stats::default(),
            end: End::new(exit, lasting),
        };
        // The child can start before anybody asks what it says.
        running.stream.writable().await?;
        running.flush();
        Ok(running)
    }

    /// The child's process id, while it lives.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Largest resident set of the child, bytes; known once it ended.
    pub fn peak_rss_bytes(&self) -> Option<u64> {
        self.end.exit().map(|exit| exit.peak_rss_kib.saturating_mul(1024))
    }

    /// The next thing that the child says. `Ended` comes exactly once and last; before it, a child that died
    /// of itself or was ended for a fault gets a `Note` that tells how. A helper's death is a refusal that tells how.
    ///
    /// Cancel safe: a future that is dropped loses no byte. (It loses its place in the line for the byte
    /// budget.) Deadlines are enforced only while this is awaited, and time between two calls does not count
    /// against the child.
    pub async fn next(&mut self) -> Delivery {
        loop {
            if let Some((ended, stats)) = &self.end.last {
                return Delivery::Ended(ended.clone(), *stats);
            }
            if self.end.silent || self.end.said.is_some() || self.killed.load(Ordering::Relaxed) {
                self.see_it_gone().await;
                if let Some(note) = self.conclude() {
                    return Delivery::Message(note, None);
                }
                continue;
            }
            match self.step().await {
                Ok(Some((message, held))) => return Delivery::Message(message, held),
                Ok(None) => {}
                Err(fault) => {
                    // First of all: this future may be dropped while it waits.
                    self.end.verdict = Some(Verdict::Misspoke(fault));
                    self.end.silent = true;
                    self.hold.condemn().await;
                }
            }
        }
    }

    /// Asks the child to stop after the runs in hand.
    pub fn stop(&self) {
        self.outbox().extend_from_slice(&encode_stop());
        self.flush();
    }

    /// Kills the child or helper; `Ended(Died { cause: Killed })` follows.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        self.hold.kill();
    }

    // One step along a message; a message when it is whole, and what is wrong when it is none.
    async fn step(&mut self) -> Result<Option<(Message, Option<Held>)>, String> {
        if let Part::Share(header) = self.part {
            let held = self.budget.take(header.bytes.into()).await;
            self.inbox = Vec::with_capacity(header.bytes as usize);
            self.expect(Part::Image(header, held), header.bytes as usize);
            return Ok(None);
        }
        if !self.fill().await {
            self.end.silent = true;
            return Ok(None);
        }
        let bytes = std::mem::take(&mut self.inbox);
        match std::mem::replace(&mut self.part, Part::Head) {
            Part::Head => {
                let head = bytes.first_chunk::<HEAD_BYTES>().ok_or("head is cut")?;
                let head = Head::decode(*head).map_err(|e| e.to_string())?;
                self.expect(Part::Body(head), head.len as usize);
                Ok(None)
            }
            Part::Body(head) => {
                self.expect(Part::Head, HEAD_BYTES);
                match decode_said(head.kind, &bytes).map_err(|e| e.to_string())? {
                    Said::Message(message) => self.heard(message).map(|message| Some((message, None))),
                    Said::Image(header) => {
                        self.grammar.image_header(&header).map_err(|e| e.to_string())?;
                        self.part = Part::Share(header);
                        Ok(None)
                    }
                    Said::Ended(ended, stats) => {
                        self.grammar.ended(&ended).map_err(|e| e.to_string())?;
                        self.end.said = Some((ended, stats));
                        // It has nothing left to do; whoever stays all the same is made to go.
                        if !self.hold.is_lasting() {
                            self.hold.kill();
                        }
                        Ok(None)
                    }
                }
            }
            Part::Image(header, held) => {
                self.expect(Part::Head, HEAD_BYTES);
                let image = header.with_bytes(bytes).map_err(|e| e.to_string())?;
                Ok(Some((Message::Image(image), Some(held))))
            }
            Part::Share(_) => Err("image without a share".to_owned()),
        }
    }

    fn expect(&mut self, part: Part, want: usize) {
        self.part = part;
        self.want = want;
    }

    fn heard(&mut self, message: Message) -> Result<Message, String> {
        self.grammar.message(&message).map_err(|e| e.to_string())?;
        match &message {
            Message::RunBegins { points, stats } => {
                self.stats = *stats;
                self.read_cpu();
                self.meter.run_begins(points.clone());
                if self.meter.points_under_way() > self.grammar.points() {
                    return Err(Misspoken::UnderWay.to_string());
                }
            }
            Message::RunEnds { points } => {
                self.read_cpu();
                self.meter.run_ends(points);
            }
            _ => {}
        }
        Ok(message)
    }

    fn read_cpu(&mut self) {
        if let Some(cpu) = cpu::of(self.pid) {
            self.meter.cpu_is(cpu.saturating_sub(self.cpu_before));
        }
    }

    // Reads until the part in hand is whole: false at the end of the file.
    async fn fill(&mut self) -> bool {
        loop {
            self.flush();
            while self.inbox.len() < self.want {
                match self.read_some() {
                    Ok(0) => return false,
                    Ok(_) => self.meter.sign_of_life(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // A reset is how the end of a child looks that left bytes unread.
                    Err(_) => return false,
                }
            }
            if self.inbox.len() >= self.want {
                return true;
            }
            // The process is gone and the socket is empty: whoever still holds its far end is nobody.
            if self.end.exit().is_some() || self.end.give_up_at.is_some_and(|at| at <= Instant::now()) {
                return false;
            }
            self.wait().await;
        }
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let old = self.inbox.len();
        let more = (self.want - old).min(CHUNK_BYTES);
        self.inbox.resize(old + more, 0);
        let room = &mut self.inbox[old..];
        let stream = &self.stream;
        let mut receive = || {
            let got =
                rustix::io::retry_on_intr(|| rustix::net::recv(stream, &mut *room, RecvFlags::DONTWAIT));
            got.map(|(n, _)| n).map_err(io::Error::from)
        };
        // Once the process is gone nothing may wake us any more, so the socket itself is asked.
        let got = match self.end.exit() {
            Some(_) => receive(),
            None => stream.try_io(Interest::READABLE, receive),
        };
        self.inbox.truncate(old + got.as_ref().copied().unwrap_or(0));
        got
    }

    // Waits for the child's bytes, its end, or the next look at the clock, whichever comes first.
    async fn wait(&mut self) {
        let interest = match self.outbox().is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        let waiting = Waiting { meter: &mut self.meter, since: Instant::now() };
        let look = tokio::select! {
            // An error shows again in the read.
            _ready = self.stream.ready(interest) => false,
            () = self.end.heard() => false,
            () = sleep_until(self.check_at) => true,
        };
        drop(waiting);
        let lasting = self.hold.is_lasting();
        if self.end.zygote_is_gone() && (lasting || self.end.give_up_at.is_none()) {
            // The zygote is gone. Its children go with it, unless one found a way not to. Of a helper it is known that
            // it could not even be killed.
            self.hold.kill();
            self.end.give_up_at = Some(Instant::now() + if lasting { Duration::ZERO } else { GONE_WAIT });
        }
        if look {
            self.check_at = Instant::now() + self.check_every;
            self.look_at_the_clock();
        }
    }

    fn look_at_the_clock(&mut self) {
        self.read_cpu();
        if self.end.verdict.is_none()
            && let Some(over) = self.meter.over()
        {
            // What is whole in the socket is still delivered.
            self.hold.kill();
            self.end.verdict = Some(Verdict::Timeout(over));
            self.end.give_up_at = Some(Instant::now() + GONE_WAIT);
        }
    }

    async fn see_it_gone(&mut self) {
        self.end.wait(Instant::now() + GONE_WAIT).await;
        // A child that closed its socket and stays, or whose zygote hangs.
        if self.end.exit().is_none() {
            self.hold.kill();
        }
    }

    // Settles how it ended; a note for people where that was a fault.
    fn conclude(&mut self) -> Option<Message> {
        let seen_us = u64::try_from(self.meter.cpu().as_micros()).unwrap_or(u64::MAX);
        let stats = Stats { cpu_us: self.stats.cpu_us.max(seen_us), ..self.stats };
        let killed = self.killed.load(Ordering::Relaxed);
        let Settled { ended, stats, fault } = self.end.settle(killed, stats, || self.oom.explains_a_death());
        self.end.last = Some((ended, stats));
        fault.map(|text| Message::Note { warning: true, text })
    }

    // Writes what the socket takes now.
    fn flush(&self) {
        let mut outbox = self.outbox();
        while !outbox.is_empty() {
            match self.stream.try_write(&outbox) {
                Ok(n) => drop(outbox.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads any more; the end of the file says so too.
                Err(_) => outbox.clear(),
            }
        }
    }

    fn outbox(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.end.exit().is_none() {
            self.hold.kill();
        }
    }
}

/// Reports the time of one wait, also when the wait is cancelled.
struct Waiting<'a> {
    meter: &'a mut Meter,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.meter.waited(self.since.elapsed());
    }
}
