//! Faults: what servers must survive, caused for real where one process or a child process can.
//!
//! `cargo test --test faults` runs quick versions, in well under a minute; `SOCKETSERVER_FAULTS=long` raises the counts
//! (10,000 panics, 3,000 clients against 1,024 threads, …).
//!
//! What concerns a whole process (limits, signals, counts of threads and descriptors) happens to a child: this very binary, started
//! again to run the test [`child::child_server`] alone, which does nothing unless an environment variable gives it a role.
//!
//! Some tests use `strace` and `unshare`. The first must be installed; where the privilege for the second is missing, the
//! test says on standard error what was not checked, and checks what it can without.
#![cfg(target_os = "linux")]
// Clippy lets tests unwrap and panic, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod accept_errors;
mod binding;
mod child;
mod client;
mod harness;
mod parent;
mod peers;
mod reactor_leaks;
mod reactor_shortages;
mod reactor_slow;
mod reactor_stopping;
mod reactor_talk;
mod scripted;
mod shortages;
mod signals;
mod slow;
mod stopping;
mod talk;
mod unix_paths;
