//! What one connection or session was, for the one line in the access log.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::forwarder::{Destination, Forwarder};
use crate::{
    config::StreamProtocol,
    net::Shared,
    telemetry::{AccessRecord, AttemptResult, Attempts, CLIENT_LEFT, HeldRecord},
    upstream::Peer,
};

/// Statuses as nginx's `stream` gives them, in HTTP's numbers.
pub(super) const RELAYED: u16 = 200;
/// What the client began with cannot be used.
pub(super) const REFUSED: u16 = 400;
/// The client left before a server was found.
const LEFT: u16 = CLIENT_LEFT;

/// What one connection or session has come to so far. If nothing takes it up, its line is written when it is dropped.
#[derive(Debug)]
pub(super) struct Journal<'j> {
    shared: &'j Shared,
    forwarder: &'j Forwarder,
    started: Instant,
    client: IpAddr,
    target: SocketAddr,
    status: u16,
    destination: Option<Arc<Destination>>,
    attempts: Attempts,
    is_taken_up: bool,
}

impl<'j> Journal<'j> {
    /// Of what begins now between `client` and the stream at `target`.
    pub(super) fn new(
        shared: &'j Shared,
        forwarder: &'j Forwarder,
        client: SocketAddr,
        target: SocketAddr,
    ) -> Self {
        let now = Instant::now();
        Self {
            shared,
            forwarder,
            started: now,
            client: client.ip().to_canonical(),
            target,
            status: LEFT,
            destination: None,
            attempts: Attempts::default(),
            is_taken_up: false,
        }
    }

    /// The client, as is known now.
    pub(super) fn is_from(&mut self, client: SocketAddr) {
        self.client = client.ip().to_canonical();
    }

    /// It is for `destination`.
    pub(super) fn is_for(&mut self, destination: &Arc<Destination>) {
        self.destination = Some(Arc::clone(destination));
    }

    /// It ends with `status`, unless more is noted.
    pub(super) fn ends_with(&mut self, status: u16) {
        self.status = status;
    }

    /// Since when there has been something to note.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// An attempt at `peer` begins.
    pub(super) fn begin_attempt(&mut self, peer: &Peer, now: Instant) {
        self.status = LEFT;
        self.attempts.begin(peer.label(), now);
    }

    /// The attempt is over, and has failed for `reason`; it may end with `status`.
    pub(super) fn attempt_failed(&mut self, reason: &'static str, status: u16, now: Instant) {
        self.status = status;
        self.attempts.end(Some(reason), now);
    }

    /// The connection for the attempt stands.
    pub(super) fn connected(&mut self, now: Instant) {
        self.attempts.connected(now);
    }

    /// The attempt gave a connection, or was a session that nothing went wrong with.
    pub(super) fn attempt_succeeded(&mut self) {
        self.status = RELAYED;
        self.attempts.gave(AttemptResult::Status(RELAYED));
    }

    /// The line so far, for something that ends later and writes it then; `None` without an access log.
    pub(super) fn take_up(mut self) -> Option<Box<HeldRecord>> {
        self.is_taken_up = true;
        self.count();
        let format = self.forwarder.access?;
        let target = self.target.to_string();
        let (record, attempt_started) = (self.record(&target), self.attempts.started());
        let held = HeldRecord::new(format, &record, self.started, attempt_started);
        Some(Box::new(held))
    }

    /// Counts what has become of it so far.
    fn count(&self) {
        let stats = &self.forwarder.gate.stats().own().requests;
        stats.codes.count(self.status);
        // A session of UDP has its server when the last attempt begins, and ends later.
        let found = match self.forwarder.protocol {
            StreamProtocol::Udp => self.attempts.started(),
            StreamProtocol::Tcp => None,
        };
        let found = found.unwrap_or_else(Instant::now);
        stats.duration.record(found.duration_since(self.started));
    }

    /// What there is to say so far.
    fn record<'r>(&'r self, target: &'r str) -> AccessRecord<'r> {
        let method: &[u8] = match self.forwarder.protocol {
            StreamProtocol::Tcp => b"TCP",
            StreamProtocol::Udp => b"UDP",
        };
        AccessRecord {
            client: self.client,
            method,
            target: target.as_bytes(),
            version: "",
            status: self.status,
            bytes: 0,
            received: Some(0),
            referer: None,
            user_agent: None,
            host: None,
            request_id: b"",
            trace: None,
            duration: Duration::ZERO,
            pool: self.destination.as_ref().map(|to| to.pool.name()),
            attempts: self.attempts.list(),
        }
    }
}

impl Drop for Journal<'_> {
    fn drop(&mut self) {
        if self.is_taken_up {
            return;
        }
        self.count();
        let Some(format) = self.forwarder.access else {
            return;
        };
        let now = Instant::now();
        self.attempts.end(None, now);
        let target = self.target.to_string();
        let record = AccessRecord {
            duration: now.duration_since(self.started),
            ..self.record(&target)
        };
        self.shared
            .access
            .write(format, &record, &self.shared.clock);
    }
}
