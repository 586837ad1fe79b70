//! Sessions that apps have made, and the server that each belongs to: at most so many, each until it was silent for
//! so long.

use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::config::StickyLearn;

/// What was learnt. Ids are not kept: a hash tells them apart, and gives nobody a session.
#[derive(Debug)]
pub(in super::super) struct Learned {
    sessions: Cache<u64, Bound>,
    hasher: RandomState,
    timeout: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    address: SocketAddr,
    /// When it was asked for last, about.
    used: Instant,
}

impl Learned {
    pub(super) fn new(learn: &StickyLearn) -> Self {
        Self {
            sessions: Cache::new(learn.size),
            hasher: RandomState::new(),
            timeout: learn.timeout,
        }
    }

    /// `session` belongs to `address` from now on.
    pub(super) fn bind(&self, session: &[u8], address: SocketAddr, now: Instant) {
        let bound = Bound { address, used: now };
        self.sessions.insert(self.hasher.hash_one(session), bound);
    }

    /// Where `session` belongs.
    pub(super) fn find(&self, session: &[u8], now: Instant) -> Option<SocketAddr> {
        let key = self.hasher.hash_one(session);
        let Bound { address, used } = self.sessions.get(&key)?;
        let age = now.saturating_duration_since(used);
        (age <= self.timeout).then_some(address)
    }

    /// A request of `session` has come.
    pub(super) fn renew(&self, session: &[u8], now: Instant) {
        let key = self.hasher.hash_one(session);
        let Some(Bound { address, used }) = self.sessions.get(&key) else {
            return;
        };
        let age = now.saturating_duration_since(used);
        if age > self.timeout {
            self.sessions.remove(&key);
        } else if age > self.timeout / 16 {
            // Now and then is enough, and spares most requests the write.
            self.sessions.insert(key, Bound { address, used: now });
        }
    }

    /// Sessions that belong to `address`.
    pub(super) fn count(&self, address: SocketAddr, now: Instant) -> usize {
        let is_there = |bound: &Bound| {
            bound.address == address && now.saturating_duration_since(bound.used) <= self.timeout
        };
        let bound = self.sessions.iter();
        bound.filter(|(_, bound)| is_there(bound)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(600);

    fn learned(size: usize) -> Learned {
        Learned::new(&StickyLearn {
            from: crate::config::LearnFrom::Cookie("PHPSESSID".to_owned()),
            timeout: TIMEOUT,
            size,
        })
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    #[test]
    fn a_session_belongs_where_it_was_bound_last() {
        let (learned, now) = (learned(100), Instant::now());
        learned.bind(b"a", address(1), now);
        learned.bind(b"a", address(2), now);
        assert_eq!(learned.find(b"a", now), Some(address(2)));
        assert_eq!(learned.find(b"b", now), None);
    }

    #[test]
    fn a_session_is_forgotten_when_it_was_silent_for_its_timeout() {
        let (learned, start) = (learned(100), Instant::now());
        learned.bind(b"a", address(1), start);
        let mut now = start;
        for _ in 0..5 {
            now += TIMEOUT * 3 / 4;
            assert_eq!(learned.find(b"a", now), Some(address(1)));
            learned.renew(b"a", now);
        }
        now += TIMEOUT + Duration::from_secs(1);
        assert_eq!(learned.find(b"a", now), None);
        learned.renew(b"a", now);
        assert_eq!(learned.sessions.len(), 0);
    }

    #[test]
    fn there_are_never_more_than_its_size() {
        let (learned, now) = (learned(100), Instant::now());
        for n in 0..10_000u32 {
            learned.bind(&n.to_le_bytes(), address(1), now);
        }
        let count = learned.count(address(1), now);
        assert!((50..=100).contains(&count), "{count}");
    }
}
