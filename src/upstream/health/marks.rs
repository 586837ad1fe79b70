//! Passive health: what the outcomes of requests say about a peer.
//!
//! `max_fails` failures within a sliding window of `fail_timeout` take a peer out for
//! `fail_timeout`; then exactly one request probes it. A full response head brings it back, a
//! failure costs another `fail_timeout`, and a client that leaves during the probe decides nothing:
//! the next request probes.
//!
//! nginx documents this window but counts otherwise: a success only clears the count when
//! `fail_timeout` has passed since the last failure, so that single errors, each long after the one
//! before, add up (nginx issue 599). Here a failure simply ages out of the window.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

/// When failures take a peer out. nginx `max_fails`, `fail_timeout`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) struct FailureLimit {
    pub(in super::super) max_fails: u32,
    pub(in super::super) fail_timeout: Duration,
}

/// What failed of late, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Marks {
    failures: VecDeque<Instant>,
    pub(super) standing: Standing,
    /// Why the last of them failed.
    pub(super) reason: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Standing {
    #[default]
    In,
    Out {
        since: Instant,
        until: Instant,
    },
    /// One request is on its way to find out.
    Probing {
        since: Instant,
    },
}

impl Marks {
    /// Counts a failure; gives how many there were, if they are too many.
    pub(super) fn count(
        &mut self,
        now: Instant,
        limit: FailureLimit,
        reason: &str,
    ) -> Option<usize> {
        let is_old = |at: &Instant| now.duration_since(*at) > limit.fail_timeout;
        while self.failures.front().is_some_and(is_old) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        self.reason = Some(reason.into());
        let failures = self.failures.len();
        if failures < limit.max_fails as usize {
            return None;
        }
        self.failures.clear();
        self.standing = Standing::Out {
            since: now,
            until: now + limit.fail_timeout,
        };
        Some(failures)
    }
}
