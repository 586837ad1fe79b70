//! What is counted, and of whom: of a listener, of a route, of a server. Each is one worker's share.

use super::{histogram::Histogram, stripes::Tally};

/// nginx's code for a client that left before it was answered.
pub const CLIENT_LEFT: u16 = 499;

/// Answers by the class of their status, and clients that left before there was one.
#[derive(Debug, Default)]
pub struct Codes([Tally; Self::COUNT]);

impl Codes {
    const COUNT: usize = 6;
    /// What each is called: classes, and nginx's 499, which is in no class.
    pub const NAMES: [&str; Self::COUNT] = ["1xx", "2xx", "3xx", "4xx", "5xx", "499"];

    /// Counts one with `status`.
    pub fn count(&self, status: u16) {
        let index = match status {
            CLIENT_LEFT => Self::COUNT - 1,
            status => usize::from(status / 100).clamp(1, 5) - 1,
        };
        self.0[index].add(1);
    }

    /// How many there are of each of the [`NAMES`](Self::NAMES).
    pub fn get(&self) -> [u64; Self::COUNT] {
        std::array::from_fn(|index| self.0[index].get())
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.get().iter().sum()
    }
}

/// What clients have asked for, and what they got.
#[derive(Debug, Default)]
pub struct RequestStats {
    /// Answers.
    pub codes: Codes,
    /// From the first byte of a request to the last of its answer.
    pub duration: Histogram,
    /// Bytes of bodies and tunnels to clients.
    pub sent: Tally,
    /// The same from them.
    pub received: Tally,
}

/// A listener's, or a stream's.
#[derive(Debug, Default)]
pub struct ListenerStats {
    /// Its requests, or its connections if it is a stream's.
    pub requests: RequestStats,
    /// Connections that it was given.
    pub accepted: Tally,
    /// Of these, those that were too many.
    pub refused: Tally,
    /// How often a connection began to be busy, and ceased to.
    pub woken: Tally,
    /// See `woken`.
    pub slept: Tally,
    /// How many tunnels began, and ended.
    pub tunnels_begun: Tally,
    /// See `tunnels_begun`.
    pub tunnels_ended: Tally,
    /// Of these tunnels, those inside connections that others share.
    pub inner_begun: Tally,
    /// See `inner_begun`.
    pub inner_ended: Tally,
    /// TLS handshakes that failed.
    pub tls_failures: Tally,
    /// Connections without the PROXY header that they must begin with.
    pub proxy_header_failures: Tally,
}

/// A server's.
#[derive(Debug, Default)]
pub struct ServerStats {
    /// Answers of its own.
    pub codes: Codes,
    /// Tries without one, in the order of [`FAILURES`].
    pub failures: [Tally; FAILURES.len()],
    /// From the choice of the server to the head of its answer.
    pub answered: Histogram,
    /// Bytes of bodies and tunnels to it.
    pub sent: Tally,
    /// The same from it.
    pub received: Tally,
    /// Connections that were made to it.
    pub opened: Tally,
    /// Connections to it that are idle, as of the worker's last look.
    pub idle: Tally,
}

/// What kinds of failures are told apart.
pub const FAILURES: [&str; 5] = ["error", "timeout", "invalid_header", "status", "other"];

/// A pool's.
#[derive(Debug, Default)]
pub struct PoolStats {
    /// Requests, and connections of streams, that were for it.
    pub requests: Tally,
    /// Tries beyond the first of each.
    pub retries: Tally,
    /// Requests that found nobody alive.
    pub dark: Tally,
}
