//! Waiting for a stop signal.
//!
//! Owns the two questions that a waiting task asks. A signal is a `watch` that turns true once and stays so.
//! Never says what is to be stopped: there is one signal for claiming, one for working, one for ending at once.

use tokio::sync::watch;

/// Waits until the signal is true; a sender that is gone means stop, too.
pub async fn asked(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Has the signal been given?
pub fn is_asked(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
