//! A worker's idle connections to peers.
//!
//! Last in, first out: the connection that was used last is the one that the peer is least likely
//! to have given up, and those that are not needed age until the sweep. Each worker has its own, so
//! a request takes no lock and never leaves its processor.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use tokio::time::Instant;

use super::peer::{Peer, PeerId};
use crate::{config, net::Stream};

/// A connection to a peer.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// Requests that it carried before this one.
    requests: u32,
    /// Whether the last response had no body by its status or method alone: a peer that sent one all
    /// the same would have it read as the answer to the next request.
    pub had_implied_end: bool,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            requests: 0,
            had_implied_end: false,
        }
    }
}

/// Idle connections of one worker, by peer.
#[derive(Debug, Default)]
pub struct Keepalive {
    idle: RefCell<BTreeMap<PeerId, Stack>>,
}

/// Idle connections to one peer; the last one given is on top.
#[derive(Debug)]
struct Stack {
    peer: Weak<Peer>,
    idle: Vec<Idle>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until: Instant,
}

impl Keepalive {
    /// A connection to `peer` that is still open as far as the last turn of the reactor knows.
    pub fn take(&self, peer: &Peer) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&peer.id())?;
        while let Some(Idle { connection, .. }) = stack.idle.pop() {
            let is_quiet = if connection.had_implied_end {
                connection.stream.is_quiet_now()
            } else {
                connection.stream.is_quiet()
            };
            if is_quiet {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request to `peer`, within `limits`; otherwise closes it.
    pub fn give(&self, peer: &Arc<Peer>, mut connection: Connection, limits: &config::Keepalive) {
        connection.requests += 1;
        if connection.requests >= limits.requests {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let new = || Stack {
            peer: Arc::downgrade(peer),
            idle: Vec::new(),
        };
        let stack = idle.entry(peer.id()).or_insert_with(new);
        if stack.idle.len() < limits.idle {
            stack.idle.push(Idle {
                connection,
                until: Instant::now() + limits.timeout,
            });
        }
    }

    /// Closes what has been idle for too long, what its peer has closed, and what belongs to peers that are gone.
    pub fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, stack| {
            stack
                .idle
                .retain(|idle| idle.until > now && idle.connection.stream.is_quiet());
            !stack.idle.is_empty() && stack.peer.strong_count() > 0
        });
    }
}
