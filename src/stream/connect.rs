//! The only loop: pick a peer, connect, judge; and again only if the failure and the budget allow.

use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use super::{
    forwarder::Destination,
    journal::{Journal, RELAYED},
    keys::Keys,
};
use crate::{
    net::{Stream, Timer},
    upstream::{Failure, Lease, PeerId, TrySoFar, connect_through},
};

/// A connection on its way to a peer.
pub(super) struct Connecting<'c> {
    pub(super) destination: &'c Destination,
    pub(super) keys: Keys,
    pub(super) timer: &'c Timer,
    /// For each peer.
    pub(super) patience: Duration,
    /// What each is sent first.
    pub(super) preface: &'c [u8],
}

impl Connecting<'_> {
    /// A connection to the first peer that takes one; `None` if none does, which `journal` and the log then say.
    pub(super) async fn run(&self, journal: &mut Journal<'_>) -> Option<(Stream, Lease)> {
        let mut tried: Vec<PeerId> = Vec::new();
        // Not since the client came: how long it took to say what it wants is nothing that a server has to answer for.
        let pool = &self.destination.pool;
        let came = Instant::now();
        pool.note_request(came);
        let mut picked = self.keys.pick_in_turn(pool, came, self.timer).await;
        if let Err(nobody) = &picked {
            journal.ends_with(if nobody.is_busy { 503 } else { 502 });
        }
        let started = Instant::now();
        let mut now = started;
        while let Ok(mut lease) = picked {
            journal.begin_attempt(lease.peer(), now);
            let transport = self.destination.pool.transport();
            let connecting =
                connect_through(transport, &lease, self.timer, self.patience, self.preface);
            let connected = connecting.await;
            now = Instant::now();
            match connected {
                Ok(stream) => {
                    lease.answered(RELAYED, now);
                    lease.succeeded(now);
                    self.keys.bind(pool, &lease, now);
                    journal.connected(now);
                    journal.attempt_succeeded();
                    return Some((stream, lease));
                }
                Err(failure) => {
                    lease.failed(now, &failure);
                    journal.attempt_failed(failure.reason, failure.status().as_u16(), now);
                    tried.push(lease.peer().id());
                    if !self.may_go_on(&failure, &tried, now.duration_since(started)) {
                        return None;
                    }
                }
            }
            picked = self.keys.pick(pool, &tried, now);
            if picked.is_ok() && !pool.allows_retry(now) {
                return None;
            }
        }
        None
    }

    /// Nothing of what the client says has been sent to anybody, so that every try is like the first. Whether the pool's
    /// budget has room for another is asked once there is somebody to try.
    fn may_go_on(&self, failure: &Failure, tried: &[PeerId], elapsed: Duration) -> bool {
        let so_far = TrySoFar {
            tries: tried.len(),
            elapsed,
            replayable: true,
        };
        let retry = &self.destination.retry;
        retry.allows(failure, &Method::GET, so_far)
    }
}
