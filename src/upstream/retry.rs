//! Whether another peer may be tried (nginx `proxy_next_upstream`).
//!
//! The rule protects what a request may do twice: POST, PATCH and LOCK are never sent to a second
//! peer once a byte of them went to the first, unless the operator says so. A connection that could
//! not be made sent nothing, and a peer of HTTP/2 may say that it has not looked at a stream: both may
//! be followed by another try for every method.

use std::time::Duration;

use http::{Method, StatusCode};

use super::failure::{Failure, FailureKind};
use crate::config::Retry;

/// What one request brings to the question.
#[derive(Clone, Copy, Debug)]
pub struct TrySoFar {
    /// Peers tried, this one included.
    pub tries: usize,
    /// Since the first of them.
    pub elapsed: Duration,
    /// Whether all of the body is still at hand.
    pub replayable: bool,
}

/// When another peer is tried: a pool's `retry`, with what a route says differently.
#[derive(Clone, Debug, Default)]
pub struct RetryPolicy {
    retry: Retry,
}

impl RetryPolicy {
    /// The policy that `retry` describes.
    pub fn new(retry: Retry) -> Self {
        Self { retry }
    }

    /// What the file says.
    pub fn config(&self) -> &Retry {
        &self.retry
    }

    /// Whether `failure` of a request with `method` may be followed by another try.
    pub fn allows(&self, failure: &Failure, method: &Method, so_far: TrySoFar) -> bool {
        let listed = match failure.kind {
            FailureKind::Error | FailureKind::Lost | FailureKind::Refused => self.retry.on.error,
            FailureKind::Timeout => self.retry.on.timeout,
            FailureKind::InvalidHeader => self.retry.on.invalid_header,
            FailureKind::Local => false,
        };
        // What was refused unseen may have been sent in part, and that part forgotten.
        listed
            && so_far.replayable
            && (!failure.sent || self.may_send_again(method, true))
            && self.has_budget(so_far)
    }

    /// Whether answers with `status` are to be thrown away for another peer's.
    pub fn lists(&self, status: StatusCode) -> bool {
        self.retry.on.statuses.contains(&status.as_u16())
    }

    /// How long a server that answered so, where another did not, is passed over on the same route.
    pub fn memory(&self) -> Duration {
        self.retry.memory
    }

    /// Whether answers with `status` say something of what was asked for, rather than of the server: those that nginx
    /// never counts as failures; and 503, which apps that are being published answer, if the route remembers.
    pub fn is_about_route(&self, status: StatusCode) -> bool {
        match status.as_u16() {
            403 | 404 | 429 => true,
            503 => !self.retry.memory.is_zero(),
            _ => false,
        }
    }

    /// Whether gRPC answers that say "unavailable" are to be thrown away for another peer's.
    pub fn lists_grpc_unavailable(&self) -> bool {
        self.retry.on.grpc_unavailable
    }

    /// Whether such an answer may be. Every gRPC call is a POST, so whoever lists it means calls that were sent.
    pub fn turns_away_unavailable(&self, so_far: TrySoFar) -> bool {
        so_far.replayable && self.has_budget(so_far)
    }

    /// Whether an answer with a listed status may be thrown away.
    pub fn turns_away(&self, method: &Method, so_far: TrySoFar) -> bool {
        self.may_send_again(method, so_far.replayable) && self.has_budget(so_far)
    }

    /// Whether a request with `method` may be sent again after a byte of it was sent.
    pub fn may_send_again(&self, method: &Method, replayable: bool) -> bool {
        replayable && (self.retry.non_idempotent || !is_non_idempotent(method))
    }

    fn has_budget(&self, so_far: TrySoFar) -> bool {
        let Retry { tries, timeout, .. } = self.retry;
        (tries == 0 || so_far.tries < tries as usize)
            && (timeout.is_zero() || so_far.elapsed < timeout)
    }
}

/// The methods that nginx does not send twice.
fn is_non_idempotent(method: &Method) -> bool {
    *method == Method::POST || *method == Method::PATCH || method.as_str() == "LOCK"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RetryOn;

    const FIRST: TrySoFar = TrySoFar {
        tries: 1,
        elapsed: Duration::ZERO,
        replayable: true,
    };
    const REFUSED: Failure = Failure {
        kind: FailureKind::Error,
        sent: false,
        reason: "connection refused",
    };
    const DIED: Failure = Failure {
        kind: FailureKind::Error,
        sent: true,
        reason: "closed before answering",
    };

    fn policy(change: impl FnOnce(&mut Retry)) -> RetryPolicy {
        let mut retry = Retry::default();
        change(&mut retry);
        RetryPolicy::new(retry)
    }

    #[test]
    fn what_was_not_sent_may_be_tried_elsewhere_whatever_the_method() {
        for method in [Method::GET, Method::POST, Method::PATCH] {
            assert!(policy(|_| {}).allows(&REFUSED, &method, FIRST), "{method}");
        }
    }

    #[test]
    fn what_is_no_longer_whole_is_not_tried_elsewhere() {
        let forgotten = TrySoFar {
            replayable: false,
            ..FIRST
        };
        for failure in [&REFUSED, &DIED] {
            assert!(!policy(|_| {}).allows(failure, &Method::GET, forgotten));
        }
    }

    #[test]
    fn what_was_sent_is_sent_again_only_if_it_does_no_harm() {
        let lock = Method::from_bytes(b"LOCK").unwrap();
        for (method, again) in [
            (Method::GET, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
            (lock, false),
        ] {
            assert_eq!(
                policy(|_| {}).allows(&DIED, &method, FIRST),
                again,
                "{method}"
            );
            assert!(
                policy(|r| r.non_idempotent = true).allows(&DIED, &method, FIRST),
                "{method}"
            );
        }
        assert!(!policy(|_| {}).allows(
            &DIED,
            &Method::PUT,
            TrySoFar {
                replayable: false,
                ..FIRST
            }
        ));
    }

    #[test]
    fn tries_and_time_are_bounds() {
        let after = |tries, seconds| TrySoFar {
            tries,
            elapsed: Duration::from_secs(seconds),
            ..FIRST
        };
        let two = policy(|r| r.tries = 2);
        assert!(two.allows(&DIED, &Method::GET, after(1, 0)));
        assert!(!two.allows(&DIED, &Method::GET, after(2, 0)));
        let brief = policy(|r| r.timeout = Duration::from_secs(3));
        assert!(brief.allows(&DIED, &Method::GET, after(5, 2)));
        assert!(!brief.allows(&DIED, &Method::GET, after(1, 3)));
    }

    #[test]
    fn only_what_is_listed_is_retried() {
        let off = policy(|r| r.on = RetryOn::default());
        assert!(!off.allows(&REFUSED, &Method::GET, FIRST));
        assert!(!policy(|_| {}).lists(StatusCode::BAD_GATEWAY));
        let listed = policy(|r| r.on.statuses = vec![502, 404]);
        assert!(listed.lists(StatusCode::BAD_GATEWAY));
        assert!(listed.turns_away(&Method::GET, FIRST));
        assert!(!listed.turns_away(&Method::POST, FIRST));
    }
}
