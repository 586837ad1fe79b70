//! A line that every request could write, and that the log needs once.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Lets one through now and then, and counts the others.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    passed_over: u64,
}

impl Seldom {
    /// Once in `every` at most.
    pub const fn new(every: Duration) -> Self {
        Self {
            every,
            state: Mutex::new(State {
                last: None,
                passed_over: 0,
            }),
        }
    }

    /// Whether it is time for a line; gives how many were passed over since the last.
    pub fn due(&self) -> Option<u64> {
        let now = Instant::now();
        // Two numbers, whole after any panic.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .last
            .is_some_and(|last| now.duration_since(last) < self.every)
        {
            state.passed_over += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_due_and_those_behind_it_are_counted() {
        let seldom = Seldom::new(Duration::from_secs(3600));
        assert_eq!(seldom.due(), Some(0));
        assert_eq!(seldom.due(), None);
        assert_eq!(seldom.due(), None);
        assert_eq!(seldom.state.lock().unwrap().passed_over, 2);
        assert_eq!(Seldom::new(Duration::ZERO).due(), Some(0));
    }
}
