//! The right to send one request to one peer.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    failure::{Failure, FailureClass, FailureKind},
    health::Change,
    member::Member,
    peer::Peer,
    peer_set::{Binding, Chosen, PeerSet},
    succession::Succession,
};
use crate::telemetry::{EventKind, Seldom, ServerStats, Severity, time_of_day_in};

/// Counts as one request in flight while it lives. Its end says what the peer is like: [`succeeded`]
/// and [`failed`] do; dropped without either (a client that left) it says nothing.
///
/// [`succeeded`]: Self::succeeded
/// [`failed`]: Self::failed
#[derive(Debug)]
pub struct Lease {
    set: Arc<PeerSet>,
    chosen: Chosen,
    since: Instant,
    /// How often the peer's tunnels had been closed when this began.
    closings: u32,
}

impl Lease {
    /// The request must have been counted where `chosen` says.
    pub(super) fn new(set: Arc<PeerSet>, chosen: Chosen, now: Instant) -> Self {
        Self {
            closings: set.member(chosen.place).peer.closings(),
            set,
            chosen,
            since: now,
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
        let (peer, common) = (Arc::clone(self.peer()), self.set.common());
        peer.enter_tunnel();
        InFlight {
            closings: self.closings,
            line: common.has_queue.then(|| Arc::clone(&common.succession)),
            peer,
        }
    }

    /// Whether what lasts is to end, for its peer is out.
    pub fn is_closed(&self) -> bool {
        self.peer().closings() != self.closings
    }

    /// Whether the client stays with this peer.
    pub fn binding(&self) -> Binding {
        self.chosen.binding
    }

    /// The value of the `Set-Cookie` that binds the client, which came by https or not, to this peer; `None` if it has
    /// nothing to be told.
    pub fn cookie(&self, is_https: bool) -> Option<Vec<u8>> {
        let sticky = &self.set.common().sticky;
        let is_news = match self.chosen.binding {
            Binding::New => true,
            Binding::Kept => sticky.renews(),
            Binding::Lent => false,
        };
        let tag = self.member().tag.as_deref().filter(|_| is_news)?;
        sticky.cookie(tag, is_https)
    }

    /// What clients may be told of the peer, if that is configured.
    pub fn exposed(&self) -> Option<&str> {
        self.member().exposed.as_deref()
    }

    fn member(&self) -> &Member {
        self.set.member(self.chosen.place)
    }

    /// The peer has answered with `status`, whatever becomes of that.
    pub fn answered(&self, status: u16, now: Instant) {
        let stats = self.peer().stats.own();
        stats.codes.count(status);
        stats.answered.record(now.duration_since(self.since));
    }

    /// A connection has been made for it.
    pub(super) fn connected(&self) {
        self.peer().stats.own().opened.add(1);
    }

    /// So many bytes of bodies have gone to the peer, and have come from it.
    pub fn moved(&self, sent: u64, received: u64) {
        let stats = self.peer().stats.own();
        stats.sent.add(sent);
        stats.received.add(received);
    }

    /// The peer gave a full response head.
    pub fn succeeded(&mut self, now: Instant) {
        self.set.common().light.goes_on();
        if self.set.goes_by_wait() {
            let waited = now.duration_since(self.since);
            self.peer().latency.answered(now, waited);
        }
        let probed = std::mem::take(&mut self.chosen.is_probe);
        if let Some(Change::CameBack { after }) = self.peer().health.succeeded(now, probed) {
            self.set.reconsider_current();
            self.set.common().succession.queue.room_has_come();
            self.tell(
                Severity::Info,
                EventKind::ServerBack,
                &format!("is back after {:.1} s", after.as_secs_f64()),
            );
        }
    }

    /// The peer failed.
    pub fn failed(&mut self, now: Instant, failure: &Failure) {
        self.note(failure.kind.class(), failure.reason, now);
        if failure.kind == FailureKind::Local {
            complain_of_shortage(failure.reason);
        } else {
            self.judge(now, failure.reason);
        }
    }

    /// The peer has answered with something that is a failure; `reason` says with what.
    pub fn failed_because(&mut self, now: Instant, reason: &str) {
        self.note(FailureClass::Status, reason, now);
        self.judge(now, reason);
    }

    fn note(&self, class: FailureClass, reason: &str, now: Instant) {
        let peer = self.peer();
        peer.stats.own().failures[class as usize].add(1);
        peer.note_error(reason, now);
    }

    fn tell(&self, severity: Severity, kind: EventKind, what: &str) {
        let (pool, server) = (self.set.pool(), self.peer().label());
        self.set.common().events.tell(
            severity,
            kind,
            (Some(pool), Some(server)),
            format!("pool {pool}: server {server} {what}"),
        );
    }

    fn judge(&mut self, now: Instant, reason: &str) {
        self.weigh(now, reason);
        // If it is checked, a check finds out more than the next request would. Not before it is known what has to be
        // found out: a check that is faster would find nothing wrong.
        self.peer().check_now.notify_one();
    }

    fn weigh(&mut self, now: Instant, reason: &str) {
        if self.set.goes_by_wait() {
            let waited = now.duration_since(self.since);
            self.peer().latency.failed(now, waited);
        }
        let probed = std::mem::take(&mut self.chosen.is_probe);
        if self.set.is_only_one(self.chosen.place) && !probed {
            return;
        }
        let limit = self.member().limit;
        self.set.note_failure(self.chosen.place, limit.max_fails);
        match self.peer().health.failed(now, probed, limit, reason) {
            Some(Change::WentOut { lasting, failures }) => {
                self.set.reconsider_current();
                let until =
                    lasting.map_or_else(|| "a check finds it well".to_owned(), time_of_day_in);
                let what = format!(
                    "is out until {until}: {failures} failed within {:?}, the last: {reason}",
                    limit.fail_timeout,
                );
                self.tell(Severity::Warning, EventKind::ServerOut, &what);
            }
            Some(Change::StaysOut { lasting }) => {
                let (pool, server) = (self.set.pool(), self.peer().label());
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
pub struct InFlight {
    peer: Arc<Peer>,
    /// Who waits for its room.
    line: Option<Arc<Succession>>,
    /// How often the peer's tunnels had been closed when this one began.
    closings: u32,
}

impl InFlight {
    /// What this worker has counted of the peer.
    pub(super) fn stats(&self) -> &ServerStats {
        self.peer.stats.own()
    }

    /// Whether the tunnel is to end, for its peer is.
    pub(super) fn is_closed(&self) -> bool {
        self.peer.closings() != self.closings
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.peer.leave_tunnel();
        if let Some(line) = &self.line {
            line.queue.room_has_come();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.chosen.is_probe {
            self.peer().health.probe_abandoned(Instant::now());
        }
        self.peer().leave();
        let common = self.set.common();
        if common.has_queue {
            common.succession.queue.room_has_come();
        }
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
