//! Waiting for a fact, with a deadline. No test sleeps a fixed time in the hope that something has happened by then.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tokio::time::Instant;

/// Far beyond what any step needs, so that only a hang meets it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

const PAUSE: Duration = Duration::from_millis(5);

/// What `ask` gives once it gives something; fails the test with `what` at the deadline.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {DEADLINE:?} in vain until {what}"
        );
        thread::sleep(PAUSE);
    }
}

/// Sets its flag when dropped: threads that go on until then end with the test, however that ends.
#[derive(Debug)]
pub(crate) struct SetOnDrop<'f>(pub(crate) &'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
