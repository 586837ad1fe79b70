//! What the binary promises an operator: words, exit codes, signals, files. One short test for each promise.
//!
//! Each test has a process, a directory, sockets and ports of its own, so that all of them can run at once. Only the demo
//! has fixed addresses; it is a single test.

#[path = "../harness/mod.rs"]
mod harness;
mod support;

// Before it serves.
mod checking;
mod pools;
mod starting;

// While it serves.
mod admin;
mod commands;
mod explain;
mod handshakes;
mod logs;
mod orders;
mod patience;
mod reloading;
mod servers;
mod state_file;
mod steering;
mod systemd;

// How it ends.
mod ending;

// All of it in one command.
mod demo;
