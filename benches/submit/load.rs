//! The load itself: arrivals at fixed times, or connections that never rest.
//!
//! Owns the clock of a run. With fixed arrivals a request's latency begins at the instant that it was meant for, so
//! that a daemon which holds everybody up cannot hide behind a driver that waits with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{Answer, Caller, Connection};

/// The parameters of the submission of this number.
pub type Parameters = Arc<dyn Fn(u64) -> Vec<(&'static str, String)> + Send + Sync>;

/// How requests follow each other.
#[derive(Clone, Copy)]
pub enum Pace {
    /// So many a second, evenly, whatever the answers do.
    Arrivals { per_second: f64, lasts: Duration },
    /// Each connection sends its next request after the last one's answer.
    Flood { lasts: Duration },
    /// As `Flood`, until so many were sent.
    Count(u64),
}

/// What is sent, by whom and how.
pub struct Load {
    pub caller: Caller,
    pub pace: Pace,
    /// Requests that may be under way at once.
    pub connections: usize,
    pub parameters: Parameters,
}

/// An accepted job and when its submission was meant to leave.
pub struct Accepted {
    pub job: String,
    pub meant: Instant,
}

/// What came of a load.
#[derive(Default)]
pub struct Outcome {
    pub offered: u64,
    pub accepted: Vec<Accepted>,
    pub throttled: u64,
    /// Code and how often.
    pub errors: BTreeMap<String, u64>,
    /// Of accepted submissions.
    pub latencies: Vec<Duration>,
    pub throttled_latencies: Vec<Duration>,
    pub took: Duration,
}

impl Load {
    /// Runs it to its end; every request that was begun is answered.
    pub async fn run(self) -> Outcome {
        let next = Arc::new(AtomicU64::new(0));
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            let mut connection = Connection::new(self.caller.clone());
            // A failure here shows again at the first request, and is counted there.
            connection.open().await.ok();
            connections.push(connection);
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for connection in connections {
            tasks.spawn(drive(connection, self.pace, Arc::clone(&self.parameters), Arc::clone(&next), start));
        }
        let mut all = Outcome::default();
        while let Some(outcome) = tasks.join_next().await {
            all.take(outcome.expect("a connection's task does not panic"));
        }
        all.took = start.elapsed();
        all
    }
}

async fn drive(
    mut connection: Connection,
    pace: Pace,
    parameters: Parameters,
    next: Arc<AtomicU64>,
    start: Instant,
) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let meant = match pace {
            Pace::Arrivals { per_second, lasts } => {
                let at = Duration::from_secs_f64(number as f64 / per_second);
                if at >= lasts {
                    return outcome;
                }
                Some(start + at)
            }
            Pace::Flood { lasts } if start.elapsed() >= lasts => return outcome,
            Pace::Count(most) if number >= most => return outcome,
            Pace::Flood { .. } | Pace::Count(_) => None,
        };
        let parameters = parameters(number);
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(k, v)| (*k, v.as_str())).collect();
        // Signed before its time comes: what is measured is the daemon.
        let request = connection.submission(&parameters);
        if let Some(meant) = meant {
            tokio::time::sleep_until(meant).await;
        }
        let meant = meant.unwrap_or_else(Instant::now);
        let answer = connection.submit(&request).await;
        outcome.count(meant, answer);
    }
}

impl Outcome {
    fn count(&mut self, meant: Instant, answer: Answer) {
        let latency = meant.elapsed();
        self.offered += 1;
        match answer {
            Answer::Accepted(job) => {
                self.accepted.push(Accepted { job, meant });
                self.latencies.push(latency);
            }
            Answer::Throttled => {
                self.throttled += 1;
                self.throttled_latencies.push(latency);
            }
            Answer::Failed(code) => *self.errors.entry(code).or_default() += 1,
        }
    }

    fn take(&mut self, other: Outcome) {
        self.offered += other.offered;
        self.accepted.extend(other.accepted);
        self.throttled += other.throttled;
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        self.latencies.extend(other.latencies);
        self.throttled_latencies.extend(other.throttled_latencies);
    }

    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// The value that `share` of all lie at or below (nearest rank); zero when there are none.
pub fn quantile(latencies: &[Duration], share: f64) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
