//! From due jobs to one batch a video, and from a walk's messages back to jobs.
//!
//! Owns fair shares, grouping, the remainder and when to try again. Never touches the store or a process.

pub mod fair;
pub mod group;
pub mod rest;
pub mod retry;
