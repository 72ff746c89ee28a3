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

    /// Waits for a share of `bytes`. A value larger than the whole budget gets the whole of it,
    /// so that one large image passes alone instead of never.
    pub async fn take(&self, bytes: u64) -> Held {
        let units = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.whole);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await.expect("an open semaphore");
        Held { _permit: permit }
    }
}
