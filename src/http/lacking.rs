//! Servers that lately did not have what a route is for, where another had: while an app is published on one server
//! after the other, requests for it go where it is, and the servers keep their other work.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::upstream::PeerId;

/// What one route remembers of servers.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// Whether there is anything to look at.
    is_any: AtomicBool,
    until: Mutex<Vec<(PeerId, Instant)>>,
}

impl Lacking {
    /// Who is passed over at `now`.
    pub(super) fn at(&self, now: Instant) -> Vec<PeerId> {
        if !self.is_any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut until = self.until();
        until.retain(|(_, until)| *until > now);
        self.is_any.store(!until.is_empty(), Ordering::Relaxed);
        until.iter().map(|(peer, _)| *peer).collect()
    }

    /// `peers` are passed over for as long as `lasting`.
    pub(super) fn note(&self, peers: &[PeerId], now: Instant, lasting: Duration) {
        if peers.is_empty() || lasting.is_zero() {
            return;
        }
        let mut until = self.until();
        until.retain(|(peer, _)| !peers.contains(peer));
        until.extend(peers.iter().map(|peer| (*peer, now + lasting)));
        self.is_any.store(true, Ordering::Relaxed);
    }

    fn until(&self) -> MutexGuard<'_, Vec<(PeerId, Instant)>> {
        // Whatever a panicking thread left, each entry is whole.
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
