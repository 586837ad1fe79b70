//! A tier's method, and round robin behind it for what the method does not decide.

use std::{net::IpAddr, sync::Arc};

use super::{
    Candidates,
    consistent::Ring,
    ip_hash, key_hash,
    least_conn::{LeastConn, Seat},
    random::{self, By},
    ranges::Ranges,
    round_robin::RoundRobin,
};
use crate::config::Balance;

/// How the members of one tier take their turns. Shared by all workers.
#[derive(Debug)]
pub(in super::super) struct Balancer {
    weights: Vec<u32>,
    round_robin: RoundRobin,
    method: Method,
}

#[derive(Debug)]
enum Method {
    RoundRobin,
    IpHash(Ranges),
    KeyHash(Ranges),
    Consistent(Ring),
    LeastConn(Arc<LeastConn>),
    Random(Ranges, By),
}

/// What of a request the methods go by.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Keys<'a> {
    /// The client, seen through trusted proxies.
    pub(in super::super) client: IpAddr,
    /// What `hash_key` is for this request.
    pub(in super::super) hash: &'a [u8],
}

impl Balancer {
    /// The method `balance` for members that are called and weigh this, in the order of the file.
    pub(in super::super) fn new(balance: &Balance, members: &[(Arc<str>, u32)]) -> Self {
        let weights: Vec<_> = members.iter().map(|(_, weight)| *weight).collect();
        let ranges = || Ranges::new(weights.iter().copied());
        let method = match balance {
            Balance::RoundRobin => Method::RoundRobin,
            Balance::IpHash => Method::IpHash(ranges()),
            Balance::Hash {
                consistent: false, ..
            } => Method::KeyHash(ranges()),
            Balance::Hash {
                consistent: true, ..
            } => {
                let named = members.iter().map(|(name, weight)| (name, *weight));
                Method::Consistent(Ring::new(named))
            }
            Balance::LeastConn => Method::LeastConn(Arc::new(LeastConn::new(&weights))),
            Balance::Random => Method::Random(ranges(), By::Connections),
            Balance::Ewma => Method::Random(ranges(), By::Wait),
        };
        Self {
            round_robin: RoundRobin::new(weights.iter().copied()),
            method,
            weights,
        }
    }

    /// The index of the member that is chosen and claimed. `doubtful` are those that this request has tried.
    pub(in super::super) fn pick(
        &self,
        keys: Keys<'_>,
        doubtful: impl Iterator<Item = usize>,
        candidates: &mut impl Candidates,
    ) -> Option<usize> {
        let chosen = match &self.method {
            Method::RoundRobin => None,
            Method::IpHash(ranges) => ip_hash::pick(ranges, keys.client, candidates),
            Method::KeyHash(ranges) => key_hash::pick(ranges, keys.hash, candidates),
            Method::Consistent(ring) => ring.pick(keys.hash, candidates),
            Method::Random(ranges, by) => {
                random::pick(ranges, |index| self.weights[index], *by, candidates)
            }
            Method::LeastConn(least_conn) => return least_conn.pick(doubtful, candidates),
        };
        chosen.or_else(|| self.round_robin.pick(doubtful, candidates))
    }

    /// A copy on which choices can be tried out that change nothing.
    pub(in super::super) fn rehearsal(&self) -> Self {
        Self {
            weights: self.weights.clone(),
            round_robin: self.round_robin.rehearsal(),
            method: match &self.method {
                Method::RoundRobin => Method::RoundRobin,
                Method::IpHash(ranges) => Method::IpHash(ranges.clone()),
                Method::KeyHash(ranges) => Method::KeyHash(ranges.clone()),
                Method::Consistent(ring) => Method::Consistent(ring.rehearsal()),
                Method::LeastConn(least_conn) => {
                    Method::LeastConn(Arc::new(least_conn.rehearsal()))
                }
                Method::Random(ranges, by) => Method::Random(ranges.clone(), *by),
            },
        }
    }

    /// A failure of member `index`: it is chosen less for a while.
    pub(in super::super) fn failed(&self, index: usize, max_fails: u32) {
        if matches!(self.method, Method::RoundRobin) {
            self.round_robin.failed(index, max_fails);
        }
    }

    /// Where what member `index` works on is to be told; `None` if the method does not go by that.
    pub(in super::super) fn seat(&self, index: usize) -> Option<Seat> {
        match &self.method {
            Method::LeastConn(least_conn) => Some(Seat::new(least_conn, index)),
            _ => None,
        }
    }

    /// Whether the method looks at how long members let wait.
    pub(in super::super) fn goes_by_wait(&self) -> bool {
        matches!(self.method, Method::Random(_, By::Wait))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::Share, *};

    /// Members of which each may be used, or may not.
    pub(in super::super) struct Members<U> {
        usable: U,
        pub(in super::super) in_flight: fn(usize) -> u32,
        pub(in super::super) wait: fn(usize) -> f64,
    }

    impl<U: Fn(usize) -> bool> Members<U> {
        pub(in super::super) fn usable(usable: U) -> Self {
            Self {
                usable,
                in_flight: |_| 0,
                wait: |_| 0.0,
            }
        }
    }

    impl<U: Fn(usize) -> bool> Candidates for Members<U> {
        fn share(&self, index: usize) -> Share {
            if (self.usable)(index) {
                Share::FULL
            } else {
                Share::NONE
            }
        }

        fn claim(&mut self, index: usize) -> bool {
            (self.usable)(index)
        }

        fn in_flight(&self, index: usize) -> u32 {
            (self.in_flight)(index)
        }

        fn expected_wait(&self, index: usize) -> f64 {
            (self.wait)(index)
        }
    }

    #[test]
    fn what_a_method_does_not_decide_falls_to_round_robin() {
        let members: Vec<(Arc<str>, u32)> = vec![("a:1".into(), 1), ("b:1".into(), 1)];
        for consistent in [false, true] {
            let hash = Balance::Hash {
                key: crate::config::Template::default(),
                consistent,
            };
            let balancer = Balancer::new(&hash, &members);
            let keys = Keys {
                client: IpAddr::from([127, 0, 0, 1]),
                hash: b"",
            };
            let pick = |_| balancer.pick(keys, std::iter::empty(), &mut Members::usable(|_| true));
            assert_eq!([0; 3].map(pick), [Some(0), Some(1), Some(0)]);
        }
    }
}
