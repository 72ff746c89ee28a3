//! Bytes in flight, as shares that travel with the values and free themselves on drop.
//!
//! Owns the daemon's byte budget. Never counts items.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A pool of bytes, in units of one KiB.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    whole: u32,
}

/// A share of a budget; freed on drop.
#[derive(Debug)]
pub struct Held {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `bytes` bytes (at least one unit).
    pub fn new(bytes: u64) -> Budget {
        let whole = u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX >> 3);
        let whole = whole.min(u32::MAX >> 3);
        Budget { units: Arc::new(Semaphore::new(whole as usize)), whole }
    }

    /// Bytes that are held now, in whole units.
    pub fn held_bytes(&self) -> u64 {
        u64::from(self.whole).saturating_sub(self.units.available_permits() as u64) * 1024
    }

    /// Waits for a share of `bytes`. A value larger than the whole budget gets the whole of it,
    /// so that one large image passes alone instead of never.
    pub async fn take(&self, bytes: u64) -> Held {
        let units = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.whole);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await.expect("an open semaphore");
        Held { _permit: permit }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_share_is_free_again_when_it_is_dropped() {
        let budget = Budget::new(10 << 10);
        let Poll::Ready(first) = poll(pin!(budget.take(9 << 10))) else {
            panic!("no share of an empty budget")
        };
        assert_eq!(budget.held_bytes(), 9 << 10);
        let mut second = pin!(budget.take(2 << 10));
        assert!(poll(second.as_mut()).is_pending());
        drop(first);
        assert!(poll(second.as_mut()).is_ready());
        assert_eq!(budget.held_bytes(), 0);
    }

    #[test]
    fn more_than_the_whole_passes_alone() {
        let budget = Budget::new(10 << 10);
        let Poll::Ready(small) = poll(pin!(budget.take(0))) else { panic!("no share of an empty budget") };
        let mut large = pin!(budget.take(1 << 40));
        assert!(poll(large.as_mut()).is_pending());
        drop(small);
        assert!(poll(large.as_mut()).is_ready());
    }
}
