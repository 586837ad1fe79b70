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
//!
//! Time comes in as an argument; nothing here reads a clock.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// When failures take a peer out. nginx `max_fails`, `fail_timeout`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FailureLimit {
    pub(super) max_fails: u32,
    pub(super) fail_timeout: Duration,
}

/// What the outcomes of requests say about one peer.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Whether `record` says anything but "no failure": while it is false, a request looks no further.
    suspect: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    failures: VecDeque<Instant>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Standing {
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

/// Whether a request may be sent to a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    /// Like any other.
    Admitted,
    /// As the one that probes it.
    Probe,
    /// Not before this time.
    Refused { until: Option<Instant> },
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// The peer has just been taken out for this long, after this many failures.
    WentOut { lasting: Duration, failures: usize },
    /// A probe failed.
    StaysOut { lasting: Duration },
    /// A probe succeeded after the peer had been out for this long.
    CameBack { after: Duration },
}

impl Health {
    /// Whether a request may be sent at `now`; changes nothing.
    pub(super) fn admission(&self, now: Instant) -> Admission {
        if !self.suspect.load(Ordering::Relaxed) {
            return Admission::Admitted;
        }
        match self.record().standing {
            Standing::In => Admission::Admitted,
            Standing::Out { until, .. } if now >= until => Admission::Probe,
            Standing::Out { until, .. } => Admission::Refused { until: Some(until) },
            Standing::Probing { .. } => Admission::Refused { until: None },
        }
    }

    /// Makes the caller the one that probes, if it is time and nobody else does.
    pub(super) fn claim_probe(&self, now: Instant) -> bool {
        let mut record = self.record();
        match record.standing {
            Standing::Out { since, until } if now >= until => {
                record.standing = Standing::Probing { since };
                true
            }
            _ => false,
        }
    }

    /// A full response head came.
    pub(super) fn succeeded(&self, now: Instant, was_probe: bool) -> Option<Change> {
        if !was_probe {
            return None;
        }
        let mut record = self.record();
        let Standing::Probing { since } = record.standing else {
            return None;
        };
        *record = Record::default();
        self.suspect.store(false, Ordering::Relaxed);
        Some(Change::CameBack {
            after: now.duration_since(since),
        })
    }

    /// The request failed.
    pub(super) fn failed(
        &self,
        now: Instant,
        was_probe: bool,
        limit: FailureLimit,
    ) -> Option<Change> {
        if limit.max_fails == 0 && !was_probe {
            return None;
        }
        let lasting = limit.fail_timeout;
        let mut record = self.record();
        self.suspect.store(true, Ordering::Relaxed);
        match record.standing {
            Standing::Probing { since } if was_probe => {
                record.standing = Standing::Out {
                    since,
                    until: now + lasting,
                };
                Some(Change::StaysOut { lasting })
            }
            Standing::In => record.count(now, limit),
            // A request that was sent before the peer went out says nothing new.
            _ => None,
        }
    }

    /// The request that probed ended without saying anything; the next one probes.
    pub(super) fn probe_abandoned(&self, now: Instant) {
        let mut record = self.record();
        if let Standing::Probing { since } = record.standing {
            record.standing = Standing::Out { since, until: now };
        }
    }

    /// Forgets everything: how a reload says "that server is mended".
    pub(super) fn clear(&self) {
        *self.record() = Record::default();
        self.suspect.store(false, Ordering::Relaxed);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Every change is one assignment, so a record left by a panicking thread is whole.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn count(&mut self, now: Instant, limit: FailureLimit) -> Option<Change> {
        while self
            .failures
            .front()
            .is_some_and(|at| now.duration_since(*at) > limit.fail_timeout)
        {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let failures = self.failures.len();
        if failures < limit.max_fails as usize {
            return None;
        }
        self.failures.clear();
        self.standing = Standing::Out {
            since: now,
            until: now + limit.fail_timeout,
        };
        Some(Change::WentOut {
            lasting: limit.fail_timeout,
            failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMIT: FailureLimit = FailureLimit {
        max_fails: 3,
        fail_timeout: Duration::from_secs(8),
    };

    fn take_out(health: &Health, now: Instant) {
        for _ in 0..LIMIT.max_fails {
            health.failed(now, false, LIMIT);
        }
        assert!(matches!(
            health.admission(now),
            Admission::Refused { until: Some(_) }
        ));
    }

    #[test]
    fn failures_that_age_out_of_the_window_do_not_add_up() {
        let (health, start) = (Health::default(), Instant::now());
        // nginx takes this peer out after the third (nginx issue 599).
        for i in 0..20 {
            assert_eq!(
                health.failed(start + SECOND * 5 * i, false, LIMIT),
                None,
                "failure {i}"
            );
        }
    }

    #[test]
    fn max_fails_within_the_window_take_it_out_for_fail_timeout() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(health.failed(start, false, LIMIT), None);
        assert_eq!(health.failed(start + SECOND, false, LIMIT), None);
        let change = health.failed(start + SECOND * 2, false, LIMIT);
        assert_eq!(
            change,
            Some(Change::WentOut {
                lasting: LIMIT.fail_timeout,
                failures: 3
            })
        );
        let until = start + SECOND * 10;
        assert_eq!(
            health.admission(until - SECOND),
            Admission::Refused { until: Some(until) }
        );
        assert_eq!(health.admission(until), Admission::Probe);
    }

    #[test]
    fn exactly_one_request_probes() {
        let (health, start) = (Health::default(), Instant::now());
        take_out(&health, start);
        let later = start + LIMIT.fail_timeout;
        assert!(health.claim_probe(later));
        assert!(!health.claim_probe(later));
        assert_eq!(health.admission(later), Admission::Refused { until: None });
    }

    #[test]
    fn a_probe_that_succeeds_brings_it_back_and_one_that_fails_costs_another_timeout() {
        let (health, start) = (Health::default(), Instant::now());
        take_out(&health, start);
        let later = start + LIMIT.fail_timeout;
        assert!(health.claim_probe(later));
        assert_eq!(
            health.failed(later, true, LIMIT),
            Some(Change::StaysOut {
                lasting: LIMIT.fail_timeout
            })
        );
        let again = later + LIMIT.fail_timeout;
        assert_eq!(
            health.admission(again - SECOND),
            Admission::Refused { until: Some(again) }
        );
        assert!(health.claim_probe(again));
        assert_eq!(
            health.succeeded(again, true),
            Some(Change::CameBack {
                after: LIMIT.fail_timeout * 2
            })
        );
        assert_eq!(health.admission(again), Admission::Admitted);
    }

    #[test]
    fn an_abandoned_probe_decides_nothing_and_the_next_request_probes() {
        let (health, start) = (Health::default(), Instant::now());
        take_out(&health, start);
        let later = start + LIMIT.fail_timeout;
        assert!(health.claim_probe(later));
        health.probe_abandoned(later);
        assert_eq!(health.admission(later), Admission::Probe);
    }

    #[test]
    fn a_late_success_of_an_ordinary_request_does_not_bring_it_back() {
        let (health, start) = (Health::default(), Instant::now());
        take_out(&health, start);
        assert_eq!(health.succeeded(start, false), None);
        assert!(matches!(health.admission(start), Admission::Refused { .. }));
    }

    #[test]
    fn max_fails_zero_never_takes_it_out() {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(
                health.failed(
                    now,
                    false,
                    FailureLimit {
                        max_fails: 0,
                        ..LIMIT
                    }
                ),
                None
            );
        }
        assert_eq!(health.admission(now), Admission::Admitted);
    }

    #[test]
    fn clearing_admits_at_once() {
        let (health, now) = (Health::default(), Instant::now());
        take_out(&health, now);
        health.clear();
        assert_eq!(health.admission(now), Admission::Admitted);
    }
}
