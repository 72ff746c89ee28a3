//! The one clock handle of the daemon: real, or set by hand in tests.
//!
//! Owns the question "what time is it". Never measures a duration: those are measured with `std::time::Instant` elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Wall clock in milliseconds since the epoch, and sleeping by it.
#[derive(Clone, Debug)]
pub enum Clock {
    Real,
    Manual(ManualClock),
}

/// A clock that moves only when told to.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now_ms: Arc<AtomicI64>,
    moved: Arc<watch::Sender<()>>,
}

impl ManualClock {
    /// A clock that stands at `now_ms`.
    pub fn new(now_ms: i64) -> ManualClock {
        ManualClock { now_ms: Arc::new(AtomicI64::new(now_ms)), moved: Arc::new(watch::Sender::new(())) }
    }

    /// Moves on and wakes every sleeper whose time has come.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.moved.send_replace(());
    }
}

impl Clock {
    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        match self {
            Clock::Real => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Clock::Manual(manual) => manual.now_ms.load(Ordering::SeqCst),
        }
    }

    /// Waits until this clock shows `at_ms`. Unlike `sleep` it misses nothing that passes before it begins.
    pub async fn sleep_until_ms(&self, at_ms: i64) {
        match self {
            Clock::Real => {
                let by_ms = u64::try_from(at_ms - self.now_ms()).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(by_ms)).await;
            }
            Clock::Manual(manual) => {
                let mut moved = manual.moved.subscribe();
                while self.now_ms() < at_ms && moved.changed().await.is_ok() {}
            }
        }
    }

    /// Waits for `by` of this clock's time.
    pub async fn sleep(&self, by: Duration) {
        match self {
            Clock::Real => tokio::time::sleep(by).await,
            Clock::Manual(manual) => {
                let mut moved = manual.moved.subscribe();
                let until = self.now_ms() + i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 2);
                while self.now_ms() < until && moved.changed().await.is_ok() {}
            }
        }
    }
}
