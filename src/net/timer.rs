//! Deadlines that cost nothing while they are kept.
//!
//! Arming and disarming a timer for each wait is most of what a timeout costs. So a connection has
//! one [`Timer`] for everything that its task waits for. It stays armed for the earliest deadline
//! that it was asked about, and most waits that follow find it armed early enough; only when it
//! fires is it looked which deadline is the next.
//!
//! The timers of a worker hang in one coarse wheel, [`Timers`]: 32 bytes for each, and no clock is
//! read to see that nothing is due. A deadline is noticed about 10 ms late at most and never early.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::wheel::{Key, TICK, Tick, Wheel};

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

/// One worker's timers. They fire while [`run`](Self::run) is polled.
pub struct Timers {
    start: Instant,
    wheel: RefCell<Wheel>,
    /// Wakes `run`, which sleeps until `wakes_at`.
    driver: RefCell<Waker>,
    wakes_at: Cell<Tick>,
}

/// One connection's timer: for any number of waits of one task, and freed with it.
#[derive(Debug)]
pub struct Timer {
    timers: Rc<Timers>,
    key: Cell<Option<Key>>,
    /// The deadline that it was last armed for.
    armed_for: Cell<Instant>,
}

impl Timers {
    /// No timers yet.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            start: Instant::now(),
            wheel: RefCell::default(),
            driver: RefCell::new(Waker::noop().clone()),
            wakes_at: Cell::new(Tick::MAX),
        })
    }

    /// A timer that is not armed yet.
    pub fn timer(self: &Rc<Self>) -> Timer {
        Timer {
            timers: Rc::clone(self),
            key: Cell::new(None),
            armed_for: Cell::new(self.start),
        }
    }

    /// Fires what is due; never ends.
    pub async fn run(&self) {
        let mut sleep = pin!(sleep_until(self.start));
        poll_fn(|cx| {
            self.driver.borrow_mut().clone_from(cx.waker());
            loop {
                let mut wheel = self.wheel.borrow_mut();
                wheel.advance(ticks(self.start.elapsed()));
                self.wakes_at.set(wheel.next().unwrap_or(Tick::MAX));
                let Some(next) = wheel.next() else {
                    return Poll::Pending;
                };
                sleep.as_mut().reset(self.start + span(next));
                drop(wheel);
                ready!(sleep.as_mut().poll(cx));
            }
        })
        .await
    }

    /// Wakes every task that has a timer which was ever armed, so that it looks around.
    pub fn wake_all(&self) {
        self.wheel.borrow().wake_all();
    }

    /// The first tick that is not before `deadline`.
    fn tick_at(&self, deadline: Instant) -> Tick {
        let until = deadline.saturating_duration_since(self.start);
        ticks(until + TICK - Duration::from_nanos(1))
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").finish_non_exhaustive()
    }
}

/// Whole ticks in `duration`.
fn ticks(duration: Duration) -> Tick {
    const A_SECOND: Tick = Duration::from_secs(1).as_nanos() as Tick / TICK.as_nanos() as Tick;
    duration.as_secs().saturating_mul(A_SECOND)
        + Tick::from(duration.subsec_nanos()) / TICK.as_nanos() as Tick
}

fn span(ticks: Tick) -> Duration {
    Duration::from_millis(ticks * TICK.as_millis() as Tick)
}

impl Timer {
    /// Ready once `deadline` has passed; until then the task is woken when it does.
    pub fn poll_passed(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut wheel = self.timers.wheel.borrow_mut();
        let is_armed = self.key.get().is_some_and(|key| {
            wheel.refresh(key, cx.waker());
            wheel.is_armed(key)
        });
        if is_armed && self.armed_for.get() <= deadline {
            return Poll::Pending;
        }
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        let tick = self.timers.tick_at(deadline);
        self.armed_for.set(deadline);
        let key = match self.key.get() {
            Some(key) => key,
            None => {
                let key = wheel.insert(cx.waker().clone());
                self.key.set(Some(key));
                key
            }
        };
        wheel.arm(key, tick);
        if tick < self.timers.wakes_at.get() {
            self.timers.wakes_at.set(tick);
            self.timers.driver.borrow().wake_by_ref();
        }
        Poll::Pending
    }

    /// What `work` gives, or `None` if `deadline` passes first. Work that is ready at once looks at no clock.
    pub async fn limit<F: Future>(&self, deadline: Deadline, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        let mut instant = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let instant = *instant.get_or_insert_with(|| deadline.instant());
            self.poll_passed(cx, instant).map(|()| None)
        })
        .await
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            let waker = self.timers.wheel.borrow_mut().remove(key);
            // Dropped outside the borrow: nobody knows what the last reference to a task sets off.
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `work` gives while the timers run.
    async fn with<T>(timers: &Timers, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            output = work => output,
            () = timers.run() => unreachable!("timers run for ever"),
        }
    }

    async fn never(timer: &Timer, patience: Duration) {
        let waited = Instant::now();
        let result = timer
            .limit(Deadline::After(patience), std::future::pending::<()>())
            .await;
        assert!(result.is_none());
        let late = waited.elapsed().checked_sub(patience);
        assert!(
            late.is_some_and(|late| late <= TICK),
            "{patience:?}: {late:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_kept_whether_it_is_later_or_earlier_than_the_one_before() {
        let timers = Timers::new();
        let timer = timers.timer();
        with(&timers, async {
            for millis in [5000, 1000, 10_000, 2000, 1, 0, 100_000, 33] {
                never(&timer, Duration::from_millis(millis)).await;
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_in_time_gives_its_output() {
        let timers = Timers::new();
        let timer = timers.timer();
        with(&timers, async {
            for _ in 0..3 {
                let work = tokio::time::sleep(Duration::from_secs(1));
                let deadline = Deadline::After(Duration::from_secs(2));
                assert!(timer.limit(deadline, work).await.is_some());
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn two_waits_of_one_task_share_a_timer_and_the_earlier_ends_first() {
        let timers = Timers::new();
        let timer = timers.timer();
        with(&timers, async {
            tokio::select! {
                biased;
                () = never(&timer, Duration::from_secs(60)) => panic!("the later ended first"),
                () = never(&timer, Duration::from_secs(2)) => {}
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn timers_of_many_tasks_fire_each_in_its_time() {
        let timers = Timers::new();
        let local = tokio::task::LocalSet::new();
        local
            .run_until(with(&timers, async {
                let spawn = |millis| {
                    let timer = timers.timer();
                    tokio::task::spawn_local(async move {
                        never(&timer, Duration::from_millis(millis)).await;
                    })
                };
                let tasks: Vec<_> = (1..200).map(|n| spawn(n * n * 7 % 90_000)).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            }))
            .await;
        assert_eq!(timers.wheel.borrow().len(), 0);
    }
}
