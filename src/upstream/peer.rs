//! One server as lbd knows it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use super::{
    balance::Seat,
    health::{FailureLimit, Health},
    latency::Latency,
};
use crate::config::ServerSpec;

/// Tells peers apart for the life of the process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PeerId(u64);

/// One server of one pool. It outlives reloads; every worker shares it.
#[derive(Debug)]
pub struct Peer {
    id: PeerId,
    /// As the file says it; with the address behind it where the file says a name.
    label: Arc<str>,
    address: SocketAddr,
    pub(super) health: Health,
    pub(super) latency: Latency,
    in_flight: AtomicU32,
    /// Where `in_flight` is to be told, if anywhere. Looked at only if `is_seated`.
    seat: ArcSwapOption<Seat>,
    is_seated: AtomicBool,
}

impl Peer {
    pub(super) fn new(label: &str, address: SocketAddr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: PeerId(NEXT.fetch_add(1, Ordering::Relaxed)),
            label: label.into(),
            address,
            health: Health::default(),
            latency: Latency::new(Instant::now()),
            in_flight: AtomicU32::new(0),
            seat: ArcSwapOption::empty(),
            is_seated: AtomicBool::new(false),
        }
    }

    /// What tells it apart from every other peer.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// How logs call it.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it works on.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Has `seat` be told from now on how many requests are in flight.
    pub(super) fn take_seat(&self, seat: Option<Seat>) {
        self.is_seated.store(seat.is_some(), Ordering::Relaxed);
        self.seat.store(seat.map(Arc::new));
        self.tell_seat();
    }

    /// Counts one request more, of a method that tells itself; gives how many there were.
    pub(super) fn enter(&self) -> u32 {
        self.in_flight.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes back [`enter`](Self::enter).
    pub(super) fn turn_back(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// One request that was counted has ended.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.tell_seat();
    }

    fn tell_seat(&self) {
        if self.is_seated.load(Ordering::Relaxed)
            && let Some(seat) = &*self.seat.load()
        {
            seat.tell(|| self.in_flight());
        }
    }
}

/// A peer and what the file says of it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) peer: Arc<Peer>,
    /// The server's address as the file says it: what `host = "server"` sends.
    pub(super) authority: Arc<str>,
    pub(super) weight: u32,
    pub(super) limit: FailureLimit,
    pub(super) max_conns: u32,
    pub(super) down: bool,
}

impl Member {
    pub(super) fn new(peer: Arc<Peer>, spec: &ServerSpec) -> Self {
        Self {
            peer,
            authority: spec.address.to_string().into(),
            weight: spec.weight,
            limit: FailureLimit {
                max_fails: spec.max_fails,
                fail_timeout: spec.fail_timeout.max(Duration::from_millis(1)),
            },
            max_conns: spec.max_conns,
            down: spec.down,
        }
    }

    /// Whether it works on as many requests as it may.
    pub(super) fn is_full(&self) -> bool {
        self.max_conns > 0 && self.peer.in_flight() >= self.max_conns
    }
}
