//! lbd between programs that others wrote: curl in front of it, nginx and Python behind it, and nginx in its place.
//!
//! Where a program is absent its tests say so and pass; with `LBD_INTEROP=required` they fail.

#[path = "../harness/mod.rs"]
mod harness;
mod support;

// curl → lbd → nginx.
mod downloads;
mod uploads;

// An HTTP/1.0 server.
mod python;

// nginx as the proxy, asked the same.
mod oracle;

// nginx dies.
mod outage;
