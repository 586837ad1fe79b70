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

use super::{
    peer::{Peer, PeerId},
    transport::Transport,
};
use crate::{config, net::Stream};

/// A connection to a peer.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// Requests that it carried before this one.
    requests: u32,
    /// How it was made, and for which server as the file calls it.
    transport: Arc<Transport>,
    authority: Arc<str>,
    /// Whether the last response had no body by its status or method alone: a peer that sent one all
    /// the same would have it read as the answer to the next request.
    pub had_implied_end: bool,
}

impl Connection {
    pub(super) fn new(stream: Stream, transport: Arc<Transport>, authority: Arc<str>) -> Self {
        Self {
            stream,
            authority,
            transport,
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
    /// A connection to `peer`, made by `transport` for `authority`, that is still open as far as the last turn of the reactor knows.
    pub fn take(&self, peer: &Peer, transport: &Transport, authority: &str) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&peer.id())?;
        while let Some(Idle { connection, .. }) = stack.idle.pop() {
            let is_quiet = if connection.had_implied_end {
                connection.stream.is_quiet_now()
            } else {
                connection.stream.is_quiet()
            };
            let is_fit = transport.made(&connection.transport, &connection.authority, authority);
            if is_quiet && is_fit {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request to `peer`, within `limits`; otherwise closes it.
    pub fn give(
        &self,
        peer: &Arc<Peer>,
        mut connection: Connection,
        limits: &config::Keepalive,
        now: Instant,
    ) {
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
                until: now + limits.timeout,
            });
        }
    }

    /// Closes what has been idle for too long, what its peer has closed, and what belongs to peers that are gone.
    pub fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, stack| {
            stack
                .idle
                .retain(|idle| idle.until > now && idle.connection.stream.is_quiet());
            if let Some(peer) = stack.peer.upgrade() {
                peer.stats.own().idle.set(stack.idle.len() as u64);
            }
            !stack.idle.is_empty() && stack.peer.strong_count() > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LIMITS: config::Keepalive = config::Keepalive {
        idle: 2,
        timeout: Duration::from_secs(60),
        requests: 100,
    };

    /// A connection to a server, and the server's end of it.
    async fn connection(listener: &TcpListener) -> (Connection, TcpStream) {
        let stream = Stream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        (
            Connection::new(stream, transport(), "p".into()),
            listener.accept().await.unwrap().0,
        )
    }

    fn transport() -> Arc<Transport> {
        static TRANSPORT: std::sync::OnceLock<Arc<Transport>> = std::sync::OnceLock::new();
        Arc::clone(TRANSPORT.get_or_init(|| Arc::new(Transport::plain())))
    }

    fn count(keepalive: &Keepalive) -> usize {
        keepalive
            .idle
            .borrow()
            .values()
            .map(|stack| stack.idle.len())
            .sum()
    }

    #[tokio::test]
    async fn the_sweep_closes_what_its_peer_has_closed_or_nobody_names() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Arc::new(Peer::new("p", listener.local_addr().unwrap()));
        let keepalive = Keepalive::default();
        let (kept, _open) = connection(&listener).await;
        let (closed, end) = connection(&listener).await;
        drop(end);
        poll_fn(|cx| closed.stream.poll_readable(cx)).await;
        keepalive.give(&peer, kept, &LIMITS, Instant::now());
        keepalive.give(&peer, closed, &LIMITS, Instant::now());
        assert_eq!(count(&keepalive), 2);
        keepalive.sweep(Instant::now());
        assert_eq!(count(&keepalive), 1);
        drop(peer);
        keepalive.sweep(Instant::now());
        assert_eq!(count(&keepalive), 0);
    }

    #[tokio::test]
    async fn the_last_one_given_is_taken_first_and_no_more_are_kept_than_may_be() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Arc::new(Peer::new("p", listener.local_addr().unwrap()));
        let keepalive = Keepalive::default();
        let mut ends = Vec::new();
        for requests in 0..3 {
            let (mut connection, end) = connection(&listener).await;
            connection.requests = requests;
            keepalive.give(&peer, connection, &LIMITS, Instant::now());
            ends.push(end);
        }
        assert_eq!(count(&keepalive), 2);
        assert_eq!(
            keepalive.take(&peer, &transport(), "p").unwrap().requests,
            2
        );
        assert_eq!(
            keepalive.take(&peer, &transport(), "p").unwrap().requests,
            1
        );
        assert!(keepalive.take(&peer, &transport(), "p").is_none());
    }
}
