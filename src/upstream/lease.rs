//! The right to send one request to one peer.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    failure::{Failure, FailureKind},
    health::Change,
    peer::{Member, Peer},
    peer_set::{PeerSet, Place},
};
use crate::telemetry::{Seldom, time_of_day_in};

/// Counts as one request in flight while it lives. Its end says what the peer is like: [`succeeded`]
/// and [`failed`] do; dropped without either (a client that left) it says nothing.
///
/// [`succeeded`]: Self::succeeded
/// [`failed`]: Self::failed
#[derive(Debug)]
pub struct Lease {
    set: Arc<PeerSet>,
    place: Place,
    since: Instant,
    /// Whether this request is the one that probes a peer that is out.
    probes: bool,
}

impl Lease {
    /// The member at `place` must have been counted as in flight by the caller.
    pub(super) fn new(set: Arc<PeerSet>, place: Place, probes: bool, now: Instant) -> Self {
        Self {
            set,
            place,
            since: now,
            probes,
        }
    }

    /// The peer.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.member().peer
    }

    /// The peer's address as the file says it.
    pub fn authority(&self) -> &Arc<str> {
        &self.member().authority
    }

    /// The lease's place at the peer, without the rest of it.
    pub fn stay(self) -> InFlight {
        self.peer().enter();
        InFlight(Arc::clone(self.peer()))
    }

    fn member(&self) -> &Member {
        self.set.member(self.place)
    }

    /// The peer gave a full response head.
    pub fn succeeded(&mut self, now: Instant) {
        self.set.light().goes_on();
        if self.set.goes_by_wait() {
            let waited = now.duration_since(self.since);
            self.peer().latency.answered(now, waited);
        }
        let probed = std::mem::take(&mut self.probes);
        if let Some(Change::CameBack { after }) = self.peer().health.succeeded(now, probed) {
            tracing::info!(
                "pool {}: server {} is back after {:.1} s",
                self.set.pool(),
                self.peer().label(),
                after.as_secs_f64()
            );
        }
    }

    /// The peer failed.
    pub fn failed(&mut self, now: Instant, failure: &Failure) {
        if failure.kind == FailureKind::Local {
            complain_of_shortage(failure.reason);
        } else {
            self.failed_because(now, failure.reason);
        }
    }

    /// The peer failed; `reason` is for the log.
    pub fn failed_because(&mut self, now: Instant, reason: &str) {
        if self.set.goes_by_wait() {
            let waited = now.duration_since(self.since);
            self.peer().latency.failed(now, waited);
        }
        let probed = std::mem::take(&mut self.probes);
        if self.set.is_only_usable() && !probed {
            return;
        }
        let limit = self.member().limit;
        self.set.note_failure(self.place, limit.max_fails);
        let (pool, server) = (self.set.pool(), self.peer().label());
        match self.peer().health.failed(now, probed, limit) {
            Some(Change::WentOut { lasting, failures }) => tracing::warn!(
                "pool {pool}: server {server} is out until {}: {failures} failed within {:?}, the last: {reason}",
                time_of_day_in(lasting),
                limit.fail_timeout,
            ),
            Some(Change::StaysOut { lasting }) => {
                tracing::info!(
                    "pool {pool}: server {server} stays out until {}: {reason}",
                    time_of_day_in(lasting)
                );
            }
            Some(Change::CameBack { .. }) | None => {}
        }
    }
}

/// Counts at a peer like a request in flight, for as long as it lives, and holds nothing else of the pool: a tunnel may
/// outlive many configurations.
#[derive(Debug)]
pub struct InFlight(Arc<Peer>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.probes {
            self.peer().health.probe_abandoned(Instant::now());
        }
        self.peer().leave();
    }
}

/// Says so at most once in ten seconds, for every request meets the same shortage.
fn complain_of_shortage(reason: &str) {
    static COMPLAINTS: Seldom = Seldom::new(Duration::from_secs(10));
    if COMPLAINTS.due().is_some() {
        tracing::error!(
            "cannot connect to servers: {reason}; requests are answered 503, streams closed"
        );
    }
}
