//! How long a peer has let requests wait of late (peak EWMA, as Finagle has it): a longer wait counts at once, shorter
//! ones by and by, and what nobody asks is forgotten, so that a peer that was slow once is tried again.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// In this time what was seen loses all but e⁻¹ of its weight.
const MEMORY: Duration = Duration::from_secs(10);
/// What a peer is expected to take of which nothing is known but that it is at its first requests; and what a
/// failure counts for at least, for to fail fast is not to be fast.
const UNKNOWN: Duration = Duration::from_secs(1);

/// What was seen of one peer's waits. Two threads that tell at once may lose one of the two, which is no harm.
#[derive(Debug)]
pub(super) struct Latency {
    began: Instant,
    /// Seconds, as the bits of an `f64`; 0: nothing is known.
    seconds: AtomicU64,
    /// When that was, in nanoseconds since `began`.
    at: AtomicU64,
}

impl Latency {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            seconds: AtomicU64::new(0),
            at: AtomicU64::new(0),
        }
    }

    /// A request waited this long for the head of its answer.
    pub(super) fn answered(&self, now: Instant, waited: Duration) {
        let waited = waited.as_secs_f64();
        let kept = self.kept(now);
        let before = self.seconds();
        let after = if waited >= before {
            waited
        } else {
            before * kept + waited * (1.0 - kept)
        };
        self.store(now, after);
    }

    /// A request waited this long in vain.
    pub(super) fn failed(&self, now: Instant, waited: Duration) {
        let known = self.seconds() * self.kept(now);
        self.store(now, waited.max(UNKNOWN).as_secs_f64().max(known));
    }

    /// How long one more request would wait, in seconds, beside `in_flight` others.
    pub(super) fn expected(&self, now: Instant, in_flight: u32) -> f64 {
        let seconds = self.seconds();
        if seconds == 0.0 {
            return UNKNOWN.as_secs_f64() * f64::from(in_flight);
        }
        seconds * self.kept(now) * (f64::from(in_flight) + 1.0)
    }

    /// What is left of what was seen.
    fn kept(&self, now: Instant) -> f64 {
        let at = self.began + Duration::from_nanos(self.at.load(Ordering::Relaxed));
        let age = now.saturating_duration_since(at);
        (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }

    fn seconds(&self) -> f64 {
        f64::from_bits(self.seconds.load(Ordering::Relaxed))
    }

    fn store(&self, now: Instant, seconds: f64) {
        let at = now.saturating_duration_since(self.began).as_nanos();
        self.at.store(at as u64, Ordering::Relaxed);
        self.seconds.store(seconds.to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn seen(waits: &[u32]) -> (Latency, Instant) {
        let start = Instant::now();
        let latency = Latency::new(start);
        for wait in waits {
            latency.answered(start, MILLI * *wait);
        }
        (latency, start)
    }

    #[test]
    fn a_longer_wait_counts_at_once_and_a_shorter_one_by_and_by() {
        let (latency, start) = seen(&[10, 50, 10]);
        assert!((latency.expected(start, 0) - 0.050).abs() < 1e-9);
        let later = start + MEMORY;
        latency.answered(later, MILLI * 10);
        let expected = 0.050 / std::f64::consts::E + 0.010 * (1.0 - 1.0 / std::f64::consts::E);
        assert!((latency.expected(later, 0) - expected).abs() < 1e-6);
    }

    #[test]
    fn requests_in_flight_wait_one_behind_the_other() {
        let (latency, start) = seen(&[10]);
        assert!((latency.expected(start, 3) - 0.040).abs() < 1e-9);
    }

    #[test]
    fn one_that_was_slow_and_is_not_asked_is_tried_again() {
        let (latency, start) = seen(&[5000]);
        assert!(latency.expected(start + MEMORY * 10, 0) < 0.001);
    }

    #[test]
    fn one_of_which_nothing_is_known_is_tried_once() {
        let (latency, start) = seen(&[]);
        assert!(latency.expected(start, 0) == 0.0);
        assert!(latency.expected(start, 1) >= 1.0);
    }

    #[test]
    fn to_fail_fast_is_not_to_be_fast() {
        let (latency, start) = seen(&[10]);
        latency.failed(start, MILLI);
        assert!(latency.expected(start, 0) >= 1.0);
    }
}
