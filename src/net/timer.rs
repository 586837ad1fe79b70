//! Deadlines that cost nothing while they are kept.
//!
//! Arming and disarming a timer for each read is most of what a timeout costs. Deadlines of one
//! connection almost always move forward, so a [`Timer`] stays armed for the earliest one it has
//! seen, and only when it fires looks whether the deadline of that moment has passed.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// When patience ends.
#[derive(Clone, Copy, Debug)]
pub enum Deadline {
    /// This long after the wait began.
    After(Duration),
    /// At this time.
    At(Instant),
}

impl Deadline {
    /// The time that it means for a wait that begins now.
    pub fn instant(self) -> Instant {
        match self {
            Self::After(patience) => Instant::now() + patience,
            Self::At(instant) => instant,
        }
    }
}

/// One armed timer, used again for every wait of one direction of a connection.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// A timer that is not armed yet.
    pub const fn new() -> Self {
        Self { sleep: None }
    }

    /// Ready once `deadline` has passed; until then the task is woken when it does.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// What `work` gives, or `None` if `deadline` passes first. Work that is ready at once looks at no clock.
    pub async fn limit<F: Future>(&mut self, deadline: Deadline, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        let mut instant = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let instant = *instant.get_or_insert_with(|| deadline.instant());
            self.poll_passed(cx, instant).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_forward_is_kept() {
        let mut timer = Timer::new();
        let start = Instant::now();
        for seconds in [5, 1, 10, 2] {
            let waited = Instant::now();
            let result = timer
                .limit(
                    Deadline::After(Duration::from_secs(seconds)),
                    std::future::pending::<()>(),
                )
                .await;
            assert!(result.is_none());
            assert_eq!(waited.elapsed().as_secs(), seconds);
        }
        assert_eq!(start.elapsed().as_secs(), 18);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_in_time_gives_its_output() {
        let mut timer = Timer::new();
        for _ in 0..3 {
            let work = tokio::time::sleep(Duration::from_secs(1));
            assert!(
                timer
                    .limit(Deadline::After(Duration::from_secs(2)), work)
                    .await
                    .is_some()
            );
        }
    }
}
