//! Every metric of the daemon: name, unit, help and label values in one place.
//!
//! Call sites call a function named for what happened.

/// One answered API request.
pub fn http_request(_action: &str, _code: &str, _seconds: f64) {}
/// Open connections on the API listener.
pub fn http_connections(_open: u64) {}
/// A request whose caller is not who he says: `reason` is the API code.
pub fn auth_failure(_reason: &str) {}
/// A request over the rate limit.
pub fn throttled() {}
/// One accepted submission.
pub fn job_submitted() {}
/// One group commit: seconds and rows.
pub fn db_commit(_seconds: f64, _rows: usize) {}
/// The database was busy.
pub fn db_busy() {}
/// One try at a callback: `outcome` is `ok`, `status`, `timeout`, `refused`, `connect`, `tls`.
pub fn callback_attempt(_outcome: &str, _seconds: f64) {}
/// A callback came to its end: `delivered` or `dead`.
pub fn callback_ended(_result: &str) {}
