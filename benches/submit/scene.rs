//! A daemon with videos, watched while a load runs on it; and the line that comes of it.
//!
//! Owns the set-up that all loads share. Never sends a load.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Caller;
use crate::common::clips;
use crate::common::daemon::{Daemon, Key, Setup, new_key_of};
use crate::load::{Load, Outcome, Parameters, quantile};
use crate::machine::{self, Cpu};
use crate::receiver::Receiver;

/// Above the lines of the reports.
pub const HEADER: &str = "load       offered accepted/s  accepted throttled errors |  p50 ms  p99 ms p99.9 ms   max ms | \
                          daemon CPU workers CPU | load avg";

/// A daemon and the accounts on it.
pub struct Scene {
    pub daemon: Daemon,
}

impl Scene {
    /// A daemon as shipped but for its rate limit.
    pub fn new(submit_per_second: u32) -> Scene {
        let limit = ("STILLFRAME_API_SUBMIT_PER_SECOND", submit_per_second.to_string());
        Scene { daemon: Daemon::start(Setup { env: vec![limit], ..Setup::default() }) }
    }

    /// Another account on it, with a key.
    pub fn account(&self, number: u32) -> Key {
        new_key_of(&self.daemon.data(), number)
    }

    pub fn caller(&self, key: &Key) -> Caller {
        Caller { api: self.daemon.api, key: key.clone() }
    }

    /// Sends an account's callbacks there.
    pub fn callbacks(&self, key: &Key, to: &Receiver) {
        let parameters =
            [("CallbackType", "HTTP"), ("CallbackURL", &*to.url()), ("EventTypeList", "SnapshotComplete")];
        self.daemon.must_as(key, "SetMessageCallback", &parameters);
    }

    /// Registers so many videos that are one clip under several names.
    pub fn videos(&self, key: &Key, clip: &Clip, count: usize) -> Arc<[String]> {
        let clip = clip.path();
        let one = |number: usize| {
            // Registrations have a limit of their own, 100 a second.
            std::thread::sleep(Duration::from_millis(11));
            let path = self.daemon.media().join(format!("{number}-{}-{}", key.id, clip.1));
            // A link where it can be: hundreds of copies are nothing that a load is about.
            if std::fs::hard_link(&clip.0, &path).is_err() {
                std::fs::copy(&clip.0, &path).expect("the media folder takes a copy");
            }
            self.daemon.register_as(key, &path)
        };
        (0..count).map(one).collect()
    }

    /// Runs a load and looks at the machine meanwhile.
    pub async fn watch(&self, name: &'static str, load: Load) -> Report {
        let before = Cpu::of(self.daemon.pid());
        let outcome = load.run().await;
        let after = Cpu::of(self.daemon.pid());
        let took = outcome.took.as_secs_f64();
        let share = |before: Duration, after: Duration| (after.saturating_sub(before)).as_secs_f64() / took;
        Report {
            name,
            daemon_cpu: share(before.daemon, after.daemon),
            workers_cpu: share(before.workers, after.workers),
            load_average: machine::load_average(),
            outcome,
            remarks: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// One of the daemon's own numbers.
    pub fn metric(&self, line: &str) -> f64 {
        let text = self.daemon.metrics();
        let value = text.lines().find_map(|l| l.strip_prefix(line));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }
}

/// A clip to take pictures of.
pub enum Clip {
    /// Four seconds of 640x360: a few milliseconds of work.
    Light,
    /// Forty seconds of 1280x720 with a key frame each ten seconds: seconds of work.
    Heavy,
}

impl Clip {
    fn path(&self) -> (PathBuf, &'static str) {
        let heavy = "-f lavfi -i testsrc2=size=1280x720:rate=25:duration=40 -c:v libx264 -preset veryfast -g 250 \
                     -pix_fmt yuv420p";
        match self {
            Clip::Light => (clips::short(), "light.mp4"),
            Clip::Heavy => {
                let recipe: Vec<&str> = heavy.split_whitespace().collect();
                (clips::clip("heavy.mp4", &recipe), "heavy.mp4")
            }
        }
    }
}

/// Small pictures of one instant each, all over the videos.
pub fn one_picture(videos: &Arc<[String]>) -> Parameters {
    let videos = Arc::clone(videos);
    Arc::new(move |number| {
        let video = videos[number as usize % videos.len()].clone();
        let offset = number * 370 % 4_000;
        vec![
            ("VideoId", video),
            ("SpecifiedOffsetTime", offset.to_string()),
            ("Count", "1".to_owned()),
            ("Width", "320".to_owned()),
        ]
    })
}

/// What a load came to.
pub struct Report {
    pub name: &'static str,
    pub outcome: Outcome,
    /// Cores, on average.
    pub daemon_cpu: f64,
    pub workers_cpu: f64,
    pub load_average: f64,
    /// Targets and what else there is to say.
    pub remarks: Vec<String>,
    /// What is wrong on any machine.
    pub faults: Vec<String>,
}

impl Report {
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Errors are wrong at any speed.
    pub fn insist(&mut self, right: bool, text: &str) {
        if !right {
            self.faults.push(text.to_owned());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outcome, latencies) = (&self.outcome, &self.outcome.latencies);
        let accepted = outcome.accepted.len();
        write!(
            f,
            "{:10} {:7} {:10.1} {:9} {:9} {:6} | {:7.1} {:7.1} {:8.1} {:8.1} | {:10.2} {:11.2} | {:8.2}",
            self.name,
            outcome.offered,
            accepted as f64 / outcome.took.as_secs_f64(),
            accepted,
            outcome.throttled,
            outcome.errors(),
            ms(quantile(latencies, 0.5)),
            ms(quantile(latencies, 0.99)),
            ms(quantile(latencies, 0.999)),
            ms(quantile(latencies, 1.0)),
            self.daemon_cpu,
            self.workers_cpu,
            self.load_average,
        )?;
        for (code, count) in &outcome.errors {
            write!(f, "\n           {count} times {code}")?;
        }
        for remark in &self.remarks {
            write!(f, "\n           {remark}")?;
        }
        for fault in &self.faults {
            write!(f, "\n           WRONG: {fault}")?;
        }
        Ok(())
    }
}

/// Milliseconds, with their fraction.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
