//! How many requests of a pool may be tried again: when many fail, trying each of them twice is what finishes off the
//! servers that are left.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::telemetry::Seldom;

/// Requests are counted over one to two of these.
const WINDOW: Duration = Duration::from_secs(5);
/// So many may always be tried again in a window: a part of few requests is none.
const ALWAYS: u64 = 5;

/// What of a pool's requests may be tried again.
#[derive(Debug)]
pub(super) struct Budget {
    percent: u64,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    began: Instant,
    now: Window,
    before: Window,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    requests: u64,
    retries: u64,
}

impl Budget {
    /// Of a hundred requests, `percent`.
    pub(super) fn new(percent: u32, now: Instant) -> Self {
        Self {
            percent: percent.into(),
            counts: Mutex::new(Counts {
                began: now,
                now: Window::default(),
                before: Window::default(),
            }),
        }
    }

    /// A request has come.
    pub(super) fn note_request(&self, now: Instant) {
        self.counts(now).now.requests += 1;
    }

    /// Whether a request may be tried again, which is counted.
    pub(super) fn spend(&self, now: Instant, pool: &str) -> bool {
        let mut counts = self.counts(now);
        let requests = counts.now.requests + counts.before.requests;
        let retries = counts.now.retries + counts.before.retries;
        let may = retries < (requests * self.percent / 100).max(ALWAYS);
        if may {
            counts.now.retries += 1;
        } else {
            complain(pool, self.percent);
        }
        may
    }

    fn counts(&self, now: Instant) -> MutexGuard<'_, Counts> {
        // Numbers that a panicking thread left half counted are forgotten soon.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(counts.began);
        if age >= WINDOW {
            counts.before = if age < WINDOW * 2 {
                counts.now
            } else {
                Window::default()
            };
            counts.now = Window::default();
            counts.began = now;
        }
        counts
    }
}

fn complain(pool: &str, percent: u64) {
    static COMPLAINTS: Seldom = Seldom::new(Duration::from_secs(10));
    if COMPLAINTS.due().is_some() {
        tracing::warn!(
            "pool {pool}: more than {percent}% of its requests would have to be tried again; failures reach clients"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(requests: u32) -> (Budget, Instant) {
        let now = Instant::now();
        let budget = Budget::new(20, now);
        (0..requests).for_each(|_| budget.note_request(now));
        (budget, now)
    }

    fn spent(budget: &Budget, now: Instant) -> usize {
        (0..1000).filter(|_| budget.spend(now, "p")).count()
    }

    #[test]
    fn a_part_of_the_requests_may_be_tried_again() {
        let (budget, now) = after(100);
        assert_eq!(spent(&budget, now), 20);
    }

    #[test]
    fn of_few_requests_some_may_always() {
        let (budget, now) = after(1);
        assert_eq!(spent(&budget, now), 5);
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let (budget, now) = after(100);
        spent(&budget, now);
        assert_eq!(spent(&budget, now + WINDOW), 0);
        assert_eq!(spent(&budget, now + WINDOW * 4), 5);
    }
}
