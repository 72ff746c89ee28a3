//! From due jobs to one batch a video, and from a walk's messages back to jobs.
//!
//! Owns fair shares, grouping, the remainder, when to try again and when a device may. Never touches the store or a process.

pub mod breaker;
pub mod fair;
pub mod group;
pub mod rest;
pub mod retry;
pub mod scheduler;
