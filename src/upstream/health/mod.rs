//! Whether a peer may be used: what the outcomes of requests say ([`marks`]), what checks say ([`verdict`]), and how
//! warm it is.
//!
//! A peer that is checked comes back by a check, however it went out: no user's request is spent on finding out.
//! Time comes in as an argument; nothing here reads a clock.

mod marks;
mod verdict;

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

pub(super) use self::{
    marks::FailureLimit,
    verdict::{Judged, Patience},
};
use self::{
    marks::{Marks, Standing},
    verdict::Verdict,
};

/// What is known of one peer's health.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Whether `record` says anything but "nothing wrong": while it is false, a request looks no further.
    suspect: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    marks: Marks,
    verdict: Verdict,
    /// Whether it is used although it is out, for too many others are.
    is_spared: bool,
    /// Since when it is back.
    back_since: Option<Instant>,
    /// How often it has gone out, and how long it was out before it came back.
    outs: u64,
    was_out: Duration,
}

/// A record that is being changed: what the change means for how long the peer is out is noted behind it.
struct Amending<'h> {
    record: MutexGuard<'h, Record>,
    before: Option<Instant>,
    now: Instant,
}

impl Deref for Amending<'_> {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl DerefMut for Amending<'_> {
    fn deref_mut(&mut self) -> &mut Record {
        &mut self.record
    }
}

impl Drop for Amending<'_> {
    fn drop(&mut self) {
        let after = self.record.out_since();
        if after == self.before {
            return;
        }
        if let Some(since) = self.before {
            let until = after.unwrap_or(self.now);
            self.record.was_out += until.saturating_duration_since(since);
        }
        if after.is_some() && self.before.is_none() {
            self.record.outs += 1;
        }
    }
}

/// Whether a request may be sent to a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Admission {
    /// Like any other, for that part of its weight.
    Admitted { warmth: f64 },
    /// As the one that probes it.
    Probe,
    /// Not before this time, by what requests have said.
    Refused { until: Option<Instant> },
    /// Not before a check is good.
    Unchecked,
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// The peer has just been taken out for this long, or until a check is good, after this many failures.
    WentOut {
        lasting: Option<Duration>,
        failures: usize,
    },
    /// A probe failed.
    StaysOut { lasting: Duration },
    /// A probe succeeded after the peer had been out for this long.
    CameBack { after: Duration },
}

/// What is to be told of a peer that may not be used, or not fully.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Good,
    /// It was not checked yet.
    Checking,
    Out {
        since: Instant,
        /// When a request may probe it; `None`: a check will.
        until: Option<Instant>,
        reason: Arc<str>,
        is_spared: bool,
    },
    /// It is given only a part of its weight.
    WarmingUp {
        warmth: f64,
    },
}

impl Record {
    /// Since when it is out.
    fn out_since(&self) -> Option<Instant> {
        match (&self.verdict, self.marks.standing) {
            (Verdict::Bad { since, .. }, _) => Some(*since),
            (_, Standing::Out { since, .. } | Standing::Probing { since }) => Some(since),
            (_, Standing::In) => None,
        }
    }

    /// From 0 to 1, by how much of `warm_up` it has been back.
    fn warmth(&self, now: Instant, warm_up: Duration) -> f64 {
        let Some(since) = self.back_since.filter(|_| !warm_up.is_zero()) else {
            return 1.0;
        };
        let age = now.saturating_duration_since(since);
        (age.as_secs_f64() / warm_up.as_secs_f64()).min(1.0)
    }
}

impl Health {
    /// Whether a request may be sent at `now`, to a peer that is warm `warm_up` after it came back.
    pub(super) fn admission(&self, now: Instant, warm_up: Duration) -> Admission {
        if !self.suspect.load(Ordering::Relaxed) {
            return Admission::Admitted { warmth: 1.0 };
        }
        let record = self.record();
        match (&record.verdict, record.marks.standing) {
            (Verdict::Pending, _) => return Admission::Unchecked,
            (Verdict::Bad { .. }, _) if !record.is_spared => return Admission::Unchecked,
            (_, Standing::Out { until, .. }) if now >= until => return Admission::Probe,
            (_, Standing::Out { until, .. }) if !record.is_spared => {
                return Admission::Refused { until: Some(until) };
            }
            (_, Standing::Probing { .. }) if !record.is_spared => {
                return Admission::Refused { until: None };
            }
            _ => {}
        }
        let warmth = record.warmth(now, warm_up);
        if warmth == 1.0 && record.out_since().is_none() {
            self.suspect.store(false, Ordering::Relaxed);
        }
        Admission::Admitted { warmth }
    }

    /// Makes the caller the one that probes, if it is time and nobody else does.
    pub(super) fn claim_probe(&self, now: Instant) -> bool {
        let marks = &mut self.record().marks;
        match marks.standing {
            Standing::Out { since, until } if now >= until => {
                marks.standing = Standing::Probing { since };
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
        let mut record = self.amend(now);
        let Standing::Probing { since } = record.marks.standing else {
            return None;
        };
        record.marks = Marks::default();
        record.back_since = Some(now);
        Some(Change::CameBack {
            after: now.duration_since(since),
        })
    }

    /// The request failed for `reason`.
    pub(super) fn failed(
        &self,
        now: Instant,
        was_probe: bool,
        limit: FailureLimit,
        reason: &str,
    ) -> Option<Change> {
        if limit.max_fails == 0 && !was_probe {
            return None;
        }
        let lasting = limit.fail_timeout;
        let record = &mut *self.amend(now);
        self.suspect.store(true, Ordering::Relaxed);
        match (&record.verdict, record.marks.standing) {
            (_, Standing::Probing { since }) if was_probe => {
                record.marks.reason = Some(reason.into());
                record.marks.standing = Standing::Out {
                    since,
                    until: now + lasting,
                };
                Some(Change::StaysOut { lasting })
            }
            (Verdict::None, Standing::In) => {
                let failures = record.marks.count(now, limit, reason)?;
                let lasting = Some(lasting);
                Some(Change::WentOut { lasting, failures })
            }
            (Verdict::Good { .. }, Standing::In) => {
                let failures = record.marks.count(now, limit, reason)?;
                record.marks = Marks::default();
                record.verdict = Verdict::Bad {
                    since: now,
                    streak: 0,
                    reason: reason.into(),
                    by_requests: Some(now + lasting),
                };
                Some(Change::WentOut {
                    lasting: None,
                    failures,
                })
            }
            // A request that was sent before the peer went out says nothing new.
            _ => None,
        }
    }

    /// The request that probed ended without saying anything; the next one probes.
    pub(super) fn probe_abandoned(&self, now: Instant) {
        let marks = &mut self.record().marks;
        if let Standing::Probing { since } = marks.standing {
            marks.standing = Standing::Out { since, until: now };
        }
    }

    /// A check ended; a bad one says why. If `forgives`, it decides alone of a peer that requests took out.
    pub(super) fn checked(
        &self,
        now: Instant,
        result: Result<(), &str>,
        patience: Patience,
        forgives: bool,
    ) -> Option<Judged> {
        let record = &mut *self.amend(now);
        if forgives {
            record.verdict.forgive(patience);
        }
        let judged = record.verdict.hear(now, result, patience)?;
        self.suspect.store(true, Ordering::Relaxed);
        record.marks = Marks::default();
        match judged {
            Judged::CameBack { .. } => record.back_since = Some(now),
            Judged::WentOut { .. } | Judged::Began => {}
        }
        Some(judged)
    }

    /// Whether nothing is known of it yet, and it gets nothing until a check has found out.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.record().verdict, Verdict::Pending)
    }

    /// Whether requests took it out, and a check has not spoken since.
    pub(super) fn is_out_by_requests(&self) -> bool {
        self.record().verdict.is_by_requests()
    }

    /// Whether it is used although it is out.
    pub(super) fn is_spared(&self) -> bool {
        self.record().is_spared
    }

    /// Whether the next check should not wait for long: the last one has said something new.
    pub(super) fn is_doubtful(&self) -> bool {
        self.record().verdict.is_doubtful()
    }

    /// A configuration begins, under which the peer is checked, with that patience, or is not, and which may be the first
    /// for it. What requests said is forgotten, or the next check decides about it: that is how a reload says "that
    /// server is mended". Says whether that check should come at once.
    pub(super) fn begin(&self, now: Instant, checked: Option<Patience>, is_new: bool) -> bool {
        let record = &mut *self.amend(now);
        record.marks = Marks::default();
        self.suspect.store(true, Ordering::Relaxed);
        let Some(patience) = checked else {
            record.verdict = Verdict::None;
            return false;
        };
        if let Verdict::None = record.verdict {
            record.verdict = match is_new {
                true => Verdict::Pending,
                false => Verdict::Good { streak: 0 },
            };
        }
        let is_forgiven = record.verdict.is_by_requests();
        record.verdict.forgive(patience);
        is_forgiven
    }

    /// An operator says that the peer is mended: what requests said is forgotten; if it `was_down`, what checks said
    /// before, too.
    pub(super) fn forgive(&self, now: Instant, was_down: bool) {
        let record = &mut *self.amend(now);
        record.marks = Marks::default();
        let is_by_requests = record.verdict.is_by_requests();
        let is_checked = !matches!(record.verdict, Verdict::None);
        if is_checked && (was_down || is_by_requests) {
            record.verdict = Verdict::Pending;
        }
        self.suspect.store(true, Ordering::Relaxed);
    }

    /// The peer is new where others have been, or is used again: it warms up from now on.
    pub(super) fn warm_up(&self, now: Instant) {
        self.record().back_since = Some(now);
        self.suspect.store(true, Ordering::Relaxed);
    }

    /// Since when it is out by what it did.
    pub(super) fn out_since(&self) -> Option<Instant> {
        self.record().out_since()
    }

    /// How often it has gone out, and how long it has been out, now included.
    pub(super) fn outs(&self, now: Instant) -> (u64, Duration) {
        let record = self.record();
        let since = record.out_since();
        let going_on = since.map(|since| now.saturating_duration_since(since));
        (record.outs, record.was_out + going_on.unwrap_or_default())
    }

    /// Has it be used although it is out, or not.
    pub(super) fn spare(&self, is_spared: bool) {
        self.record().is_spared = is_spared;
    }

    /// What is to be told of it.
    pub(super) fn condition(&self, now: Instant, warm_up: Duration) -> Condition {
        let record = self.record();
        let is_spared = record.is_spared;
        match (&record.verdict, record.marks.standing) {
            (Verdict::Pending, _) => Condition::Checking,
            (Verdict::Bad { since, reason, .. }, _) => Condition::Out {
                since: *since,
                until: None,
                reason: Arc::clone(reason),
                is_spared,
            },
            (_, Standing::Out { since, .. } | Standing::Probing { since }) => Condition::Out {
                since,
                until: match record.marks.standing {
                    Standing::Out { until, .. } => Some(until),
                    Standing::Probing { .. } | Standing::In => None,
                },
                reason: record.marks.reason.clone().unwrap_or_default(),
                is_spared,
            },
            (_, Standing::In) => match record.warmth(now, warm_up) {
                1.0 => Condition::Good,
                warmth => Condition::WarmingUp { warmth },
            },
        }
    }

    fn amend(&self, now: Instant) -> Amending<'_> {
        let record = self.record();
        Amending {
            before: record.out_since(),
            record,
            now,
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Every change is one assignment, so a record left by a panicking thread is whole.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
