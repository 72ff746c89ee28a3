//! What a daemon tells of itself: numbers out of a scrape, lines out of its log.
//!
//! Owns the reading of both. Never sleeps: a wait looks again until it is so, with a limit.

use std::time::Instant;

use super::PATIENCE;
use super::daemon::Daemon;

/// One scrape, taken apart.
#[derive(Clone, Debug)]
pub struct Scrape(pub String);

impl Scrape {
    pub fn of(daemon: &Daemon) -> Scrape {
        Scrape(daemon.metrics())
    }

    /// The value of one series, written as in the scrape: `name` or `name{label="value"}`; 0 when there is none.
    pub fn get(&self, series: &str) -> f64 {
        let of_series = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok();
        self.0.lines().find_map(of_series).unwrap_or(0.0)
    }

    /// The sum of a metric over all its labels.
    pub fn sum(&self, name: &str) -> f64 {
        let of_metric = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let value: f64 = rest.rsplit_once(' ')?.1.parse().ok()?;
            (rest.starts_with('{') || rest.starts_with(' ')).then_some(value)
        };
        self.0.lines().filter_map(of_metric).sum()
    }
}

/// Scrapes until `series` is at least `least`; counting may lag behind what was told, never run ahead of it.
#[track_caller]
pub fn wait(daemon: &Daemon, series: &str, least: f64) -> Scrape {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let scrape = Scrape::of(daemon);
        if scrape.get(series) >= least {
            return scrape;
        }
        assert!(Instant::now() < deadline, "{series} is {} and not {least}", scrape.get(series));
        std::thread::yield_now();
    }
}

/// The lines of the log that hold `text`, once there are at least `least` of them.
#[track_caller]
pub fn log_lines(daemon: &Daemon, text: &str, least: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = daemon.log();
        let lines: Vec<String> = log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
        if lines.len() >= least {
            return lines;
        }
        assert!(Instant::now() < deadline, "{text} is {} times in\n{log}", lines.len());
        std::thread::yield_now();
    }
}
