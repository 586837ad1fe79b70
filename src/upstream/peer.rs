//! One server as lbd knows it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{sync::Notify, time::Instant};

use super::{balance::Seat, duty::Orders, health::Health, latency::Latency};
use crate::telemetry::{ServerStats, Striped};

/// Tells peers apart for the life of the process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
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
    pub(super) stats: Striped<ServerStats>,
    /// The last failure, and when that was.
    last_error: Mutex<Option<(Box<str>, Instant)>>,
    /// What an operator has ordered.
    pub(super) orders: Orders,
    /// Has the next check begin now.
    pub(super) check_now: Notify,
    in_flight: AtomicU32,
    tunnels: AtomicU32,
    /// How often tunnels to it were to be closed.
    closings: AtomicU32,
    /// Where `in_flight` is to be told, if anywhere. Looked at only if `is_seated`.
    seat: ArcSwapOption<Seat>,
    is_seated: AtomicBool,
    /// Whether it was there for nobody, when that was looked at last.
    was_down: AtomicBool,
    began: Instant,
    /// When a client that is bound to it came last, in milliseconds since it began; 0: never.
    bound_at: AtomicU64,
}

impl Peer {
    pub(super) fn new(label: &str, address: SocketAddr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let began = Instant::now();
        Self {
            id: PeerId(NEXT.fetch_add(1, Ordering::Relaxed)),
            label: label.into(),
            address,
            health: Health::default(),
            latency: Latency::new(began),
            stats: Striped::default(),
            last_error: Mutex::default(),
            orders: Orders::default(),
            check_now: Notify::new(),
            in_flight: AtomicU32::new(0),
            tunnels: AtomicU32::new(0),
            closings: AtomicU32::new(0),
            seat: ArcSwapOption::empty(),
            is_seated: AtomicBool::new(false),
            was_down: AtomicBool::new(false),
            began,
            bound_at: AtomicU64::new(0),
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

    /// Requests that it works on, and tunnels to it.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Tunnels to it.
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// It has failed for `reason`.
    pub(super) fn note_error(&self, reason: &str, now: Instant) {
        // Replaced as a whole.
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some((reason.into(), now));
    }

    /// Why it failed last, and when.
    pub(super) fn last_error(&self) -> Option<(Box<str>, Instant)> {
        let last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    /// A client that is bound to it has come.
    pub(super) fn bound_came(&self, now: Instant) {
        let age = now.saturating_duration_since(self.began).as_millis() as u64;
        self.bound_at.store(age.max(1), Ordering::Relaxed);
    }

    /// How long ago a client that is bound to it came last.
    pub(super) fn bound_ago(&self, now: Instant) -> Option<Duration> {
        let at = self.bound_at.load(Ordering::Relaxed);
        let at = (at > 0).then(|| self.began + Duration::from_millis(at))?;
        Some(now.saturating_duration_since(at))
    }

    /// Has tunnels to it end that there are now.
    pub(super) fn close_tunnels(&self) {
        self.closings.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closings(&self) -> u32 {
        self.closings.load(Ordering::Relaxed)
    }

    /// Has `seat` be told from now on how many requests are in flight.
    pub(super) fn take_seat(&self, seat: Option<Seat>) {
        self.is_seated.store(seat.is_some(), Ordering::Relaxed);
        self.seat.store(seat.map(Arc::new));
        self.tell_seat();
    }

    /// Whether it was down until now; it `is_down` from now on, or is not.
    pub(super) fn was_down(&self, is_down: bool) -> bool {
        self.was_down.swap(is_down, Ordering::Relaxed)
    }

    /// Whether it was there for nobody, when that was looked at last.
    pub(super) fn is_down(&self) -> bool {
        self.was_down.load(Ordering::Relaxed)
    }

    /// Counts one request more, for a method that knows of it, unless there are as many as `most`; 0: no limit.
    pub(super) fn enter(&self, most: u32) -> bool {
        if most == 0 {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let more = |n: u32| (n < most).then_some(n + 1);
        let updated = self
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        updated.is_ok()
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

    /// A request has become a tunnel.
    pub(super) fn enter_tunnel(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.tunnels.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave_tunnel(&self) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
        self.leave();
    }

    /// Tells the method how many requests are in flight, if it goes by that.
    pub(super) fn tell_seat(&self) {
        if self.is_seated.load(Ordering::Relaxed)
            && let Some(seat) = &*self.seat.load()
        {
            seat.tell(|| self.in_flight());
        }
    }
}
