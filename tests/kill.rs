//! An acknowledged job is never lost: the daemon is killed at twenty moments while jobs are submitted, and each time
//! started again on the same data folder.
//!
//! A moment is a number of acknowledgements or of callbacks, drawn from a fixed seed, so that neither the clock nor the
//! speed of the machine picks it. What no test on one machine can show is a power cut: the page cache survives a kill.

mod common;
#[path = "kill/ending.rs"]
mod ending;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::daemon::{Daemon, Setup};
use common::receiver::{Callback, Receiver};
use common::{clips, http, processes, sign, until};

const KILLS: usize = 20;
const SUBMITTERS: usize = 4;
/// Submissions that a daemon gets at once; another comes with each callback.
const AT_ONCE: u64 = 14;
/// The promise: an acknowledged job ends so soon after a restart, as far as there is nothing else to do.
const SOON: Duration = Duration::from_secs(60);

/// What happens while a daemon lives.
enum Event {
    Acknowledged { job: String, sort: Sort },
    Callback(Callback),
}

/// What is asked of which video: jobs of one sort have the same pictures.
type Sort = (usize, usize);

/// When a daemon is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Ready,
    Acknowledged(u64),
    Callbacks(u64),
}

/// Numbers that are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn moment(&mut self) -> Moment {
        match self.below(8) {
            0 => Moment::Ready,
            1..=3 => Moment::Acknowledged(1 + self.below(AT_ONCE)),
            _ => Moment::Callbacks(1 + self.below(8)),
        }
    }
}

/// What a caller asks for, beside the video.
const ASKED: [&[(&str, &str)]; 3] = [
    &[("SpecifiedOffsetTimes", "[0,1480,2960]"), ("Width", "160")],
    &[("Count", "2"), ("Interval", "1"), ("SpecifiedOffsetTime", "500")],
    &[
        ("Count", "4"),
        ("Width", "96"),
        ("SpriteSnapshotConfig", r#"{"CellWidth":64,"Columns":2,"Lines":1,"KeepCellPic":"keep"}"#),
    ],
];

/// Everything that was heard, over all lives of the daemon.
#[derive(Default)]
struct Heard {
    acknowledged: BTreeMap<String, Sort>,
    /// The callbacks of each job, in the order they came.
    callbacks: BTreeMap<String, Vec<Callback>>,
}

impl Heard {
    fn take(&mut self, event: Event) {
        match event {
            Event::Acknowledged { job, sort } => {
                assert_eq!(self.acknowledged.insert(job, sort), None, "a JobId was given twice");
            }
            Event::Callback(callback) => {
                let job = callback.json()["JobId"].as_str().unwrap().to_owned();
                self.callbacks.entry(job).or_default().push(callback);
            }
        }
    }

    /// Acknowledged jobs whose end nobody has told.
    fn silent(&self) -> BTreeSet<&String> {
        self.acknowledged.keys().filter(|job| !self.callbacks.contains_key(*job)).collect()
    }
}

/// One life of the daemon: jobs come in until the moment, then it is killed.
struct Life<'a> {
    daemon: &'a Daemon,
    videos: &'a [String],
    serial: &'a Mutex<u64>,
    killed: AtomicBool,
}

impl Life<'_> {
    /// Submits one job for each ticket. Only a killed daemon may fail to answer.
    fn submit(&self, tickets: &Mutex<mpsc::Receiver<()>>, events: &mpsc::Sender<Event>) {
        loop {
            let ticket = tickets.lock().unwrap().recv();
            if ticket.is_err() {
                return;
            }
            let number = {
                let mut serial = self.serial.lock().unwrap();
                *serial += 1;
                usize::try_from(*serial).unwrap()
            };
            let sort = (number % self.videos.len(), number / self.videos.len() % ASKED.len());
            let video = [("VideoId", self.videos[sort.0].as_str())];
            let parameters = [&video, ASKED[sort.1]].concat();
            let request = sign::v3(self.daemon.api, &self.daemon.key, "SubmitSnapshotJob", &parameters);
            match http::try_send(self.daemon.api, &request) {
                Ok(answer) => {
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let job = answer.json()["SnapshotJob"]["JobId"].as_str().unwrap().to_owned();
                    events.send(Event::Acknowledged { job, sort }).unwrap();
                }
                Err(error) => assert!(self.killed.load(Ordering::SeqCst), "a living daemon: {error}"),
            }
        }
    }

    /// Lets callers in, waits for the moment and kills the daemon under them.
    fn run(&self, moment: Moment, events: (&mpsc::Sender<Event>, &mpsc::Receiver<Event>), heard: &mut Heard) {
        let (sender, events) = events;
        let (ticket, tickets) = mpsc::channel();
        let tickets = Mutex::new(tickets);
        (0..AT_ONCE).for_each(|_| ticket.send(()).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..SUBMITTERS {
                let sender = sender.clone();
                let tickets = &tickets;
                scope.spawn(move || self.submit(tickets, &sender));
            }
            let (mut acknowledged, mut callbacks) = (0, 0);
            while match moment {
                Moment::Ready => false,
                Moment::Acknowledged(count) => acknowledged < count,
                Moment::Callbacks(count) => callbacks < count,
            } {
                let event = events.recv_timeout(common::PATIENCE).expect("an answer or a callback");
                match event {
                    Event::Acknowledged { .. } => acknowledged += 1,
                    Event::Callback(_) => {
                        callbacks += 1;
                        ticket.send(()).unwrap();
                    }
                }
                heard.take(event);
            }
            self.killed.store(true, Ordering::SeqCst);
            self.daemon.signal(rustix::process::Signal::KILL);
            drop(ticket);
        });
    }
}

/// Waits until nothing is left of the daemons before. They were this process's children; what they leave behind is too.
fn no_orphan_is_left() {
    until("the end of a killed daemon's workers", || {
        let below = processes::below(std::process::id());
        (!below.iter().any(|process| process.is_worker())).then_some(())
    });
}

#[test]
fn no_acknowledged_job_is_lost_however_often_the_daemon_is_killed() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    // A receiver that has its own troubles: the same body must come again.
    let receiver = Receiver::start(&[200, 500, 200, 0, 200, 200, 503]);
    let url = receiver.url();
    let (sender, events) = mpsc::channel();
    let callbacks = (receiver.into_callbacks(), sender.clone());
    std::thread::spawn(move || callbacks.0.iter().try_for_each(|one| callbacks.1.send(Event::Callback(one))));

    let env = vec![("STILLFRAME_API_SUBMIT_PER_SECOND", "0".to_owned())];
    let setup = Setup { env, ..Setup::default() };
    let mut daemon = Daemon::start(setup.clone());
    daemon.call_back(&daemon.key, &url);
    let videos: Vec<String> =
        [clips::short(), clips::small()].iter().map(|clip| daemon.register(&daemon.put(clip))).collect();

    let mut dice = Dice(0x5eed_5711_1f2a_4e01);
    let mut heard = Heard::default();
    let serial = Mutex::new(0);
    for _ in 0..KILLS {
        let moment = dice.moment();
        let life = Life { daemon: &daemon, videos: &videos, serial: &serial, killed: AtomicBool::new(false) };
        life.run(moment, (&sender, &events), &mut heard);
        let (folder, key) = daemon.kill();
        no_orphan_is_left();
        // What the callers were still told, and what the receiver still got.
        events.try_iter().for_each(|event| heard.take(event));
        // Now and then the next one does not live to be ready: `store is open` is the first line, `ready` the second.
        let (folder, key) = match dice.below(4) {
            0 => Daemon::start_and_kill(folder, key, setup.clone(), dice.below(2) as usize),
            _ => (folder, key),
        };
        no_orphan_is_left();
        daemon = Daemon::start_in(folder, key, setup.clone());
    }
    let restarted = Instant::now();
    while !heard.silent().is_empty() {
        let left = SOON.saturating_sub(restarted.elapsed());
        let event = events.recv_timeout(left);
        heard.take(event.unwrap_or_else(|_| panic!("not soon enough: {:?}", heard.silent())));
    }
    let took = restarted.elapsed();
    ending::check(daemon, &events, heard, took);
}
