//! Waiting for a fact, with a deadline. No test sleeps a fixed time in the hope that something has happened by then.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Far beyond what any step needs, so that only a hang meets it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(8);

const PAUSE: Duration = Duration::from_millis(5);

/// Returns as soon as `condition` holds; fails the test with `what` at the deadline.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_async(what, async || condition()).await;
}

/// As [`until`], for a condition that has to ask somebody.
pub(crate) async fn until_async(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(
            Instant::now() < deadline,
            "waited {DEADLINE:?} in vain until {what}"
        );
        sleep(PAUSE).await;
    }
}

/// What `future` gives; fails the test with `what` at the deadline.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {DEADLINE:?}"),
    }
}
