//! Requests that wait until a server has room for them (nginx Plus `queue`): a line in which nobody is overtaken, not
//! even by one that comes when room has just been made, and which is never longer than the file says.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering, fence},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    lease::Lease,
    peer_set::PickContext,
    pool::{NoLivePeer, Pool},
    succession::Succession,
};
use crate::{
    config,
    net::{Deadline, Timer},
};

/// The first in line looks again after this time at the latest.
const LOOK: Duration = Duration::from_secs(1);

/// The line of one pool, for all workers, and over reloads.
#[derive(Debug, Default)]
pub(super) struct Queue {
    line: Mutex<Line>,
    /// How long the line is, for those who only want to know whether there is one.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    waiters: VecDeque<(u64, Waker)>,
}

/// One who waits. Whoever goes, served or not, lets the next one look.
struct Turn<'q> {
    queue: &'q Queue,
    number: u64,
}

impl Queue {
    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// There may be room: the first in line looks.
    pub(super) fn room_has_come(&self) {
        // Either this sees who has just joined the line, or that one sees the room (see `join`).
        fence(Ordering::SeqCst);
        if self.waiting() > 0
            && let Some((_, waker)) = self.line().waiters.front()
        {
            waker.wake_by_ref();
        }
    }

    /// A place at the end of the line, unless it is as long as it may be.
    fn join(&self, most: usize) -> Option<Turn<'_>> {
        let mut line = self.line();
        if line.waiters.len() >= most {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.waiters.push_back((number, Waker::noop().clone()));
        self.waiting.store(line.waiters.len(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Some(Turn {
            queue: self,
            number,
        })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Each change is one push or one removal.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Ready with what `look` finds, once it is this one's turn and it finds something.
    fn poll<T>(&self, cx: &mut Context<'_>, look: impl FnOnce() -> Option<T>) -> Poll<T> {
        {
            let mut line = self.queue.line();
            let Some(place) = line.place(self.number) else {
                return Poll::Pending;
            };
            line.waiters[place].1.clone_from(cx.waker());
            if place > 0 {
                return Poll::Pending;
            }
        }
        // The waker stands before it is looked, so that no room goes unnoticed.
        look().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        if let Some(place) = line.place(self.number) {
            line.waiters.remove(place);
        }
        self.queue
            .waiting
            .store(line.waiters.len(), Ordering::Relaxed);
        if let Some((_, waker)) = line.waiters.front() {
            waker.wake_by_ref();
        }
    }
}

impl Line {
    fn place(&self, number: u64) -> Option<usize> {
        self.waiters
            .binary_search_by_key(&number, |(number, _)| *number)
            .ok()
    }
}

impl Pool {
    /// Chooses a peer for a request that has tried none. If all that are alive have no room, or others wait already, it
    /// waits in line, as far as the pool's `queue` allows.
    ///
    /// # Errors
    /// [`NoLivePeer`]; `is_busy` if there was no room in the line, or none at a peer in time.
    pub async fn pick_in_turn(
        &self,
        context: &PickContext<'_>,
        timer: &Timer,
    ) -> Result<Lease, NoLivePeer> {
        let Some(limits) = self.config().queue else {
            return self.pick(context);
        };
        let set = self.set.load_full();
        // Whom nobody waits for overtakes nobody.
        if self.waiting() == 0 || set.has_room_for_bound(context) {
            match self.pick(context) {
                Err(nobody) if nobody.is_busy => {}
                picked => return picked,
            }
        }
        // Boxed, so that those who need not wait do not carry the space that waiting takes.
        let succession = &set.common().succession;
        Box::pin(self.wait_in_line(succession, limits, context, timer)).await
    }

    async fn wait_in_line(
        &self,
        succession: &Succession,
        limits: config::Queue,
        context: &PickContext<'_>,
        timer: &Timer,
    ) -> Result<Lease, NoLivePeer> {
        let busy = || NoLivePeer {
            pool: self.name().to_owned(),
            retry_in: None,
            is_busy: true,
        };
        let turn = succession.queue.join(limits.size).ok_or_else(busy)?;
        let served = poll_fn(|cx| {
            let mut look_at = None;
            let look = || {
                let now = Instant::now();
                // Whoever has begun to wait before a reload looks at what there is since.
                let current = succession.current();
                let set = current.unwrap_or_else(|| self.set.load_full());
                if !Arc::ptr_eq(&set.common().transport, self.transport()) {
                    // It does not know how to speak to those, and is in the way of others.
                    return Some(Err(busy()));
                }
                look_at = Some(
                    set.retry_in(now)
                        .map_or(now + LOOK, |lasting| now + lasting),
                );
                match self.pick_from(set, &PickContext { now, ..*context }) {
                    Err(nobody) if nobody.is_busy => None,
                    // If nobody is alive any more, there is nothing to wait for.
                    picked => Some(picked),
                }
            };
            if let Poll::Ready(picked) = turn.poll(cx, look) {
                return Poll::Ready(picked);
            }
            // Time, too, brings servers back.
            if let Some(at) = look_at
                && timer.poll_passed(cx, at).is_ready()
            {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        });
        let deadline = Deadline::At(context.now + limits.timeout);
        let served = timer.limit(deadline, served).await;
        served.unwrap_or_else(|| Err(busy()))
    }

    /// Requests that wait for a server to have room.
    pub fn waiting(&self) -> usize {
        self.set.load().common().succession.queue.waiting()
    }

    /// There may be room: whoever waits first looks.
    pub(super) fn room_has_come(&self) {
        self.set.load().common().succession.queue.room_has_come();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, task::Wake};

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(turn: &Turn<'_>, bell: &Arc<Bell>, room: &Cell<u32>) -> bool {
        let waker = Waker::from(Arc::clone(bell));
        let look = || {
            let left = room.get().checked_sub(1)?;
            room.set(left);
            Some(())
        };
        turn.poll(&mut Context::from_waker(&waker), look).is_ready()
    }

    fn rings(bell: &Bell) -> usize {
        bell.0.swap(0, Ordering::Relaxed)
    }

    #[test]
    fn nobody_is_overtaken() {
        let (queue, bells, room) = (
            Queue::default(),
            [0; 3].map(|_| Arc::default()),
            Cell::new(0),
        );
        let mut turns: VecDeque<_> = (0..3).filter_map(|_| queue.join(3)).collect();
        for (turn, bell) in turns.iter().zip(&bells) {
            assert!(!poll(turn, bell, &room));
        }
        room.set(2);
        queue.room_has_come();
        assert_eq!(bells.each_ref().map(|bell| rings(bell)), [1, 0, 0]);
        assert!(!poll(&turns[1], &bells[1], &room));
        assert!(poll(&turns[0], &bells[0], &room));
        turns.pop_front();
        assert_eq!(bells.each_ref().map(|bell| rings(bell)), [0, 1, 0]);
        assert!(poll(&turns[0], &bells[1], &room));
        turns.pop_front();
        assert!(!poll(&turns[0], &bells[2], &room));
        assert_eq!(queue.waiting(), 1);
    }

    #[test]
    fn one_who_gives_up_lets_the_next_one_look() {
        let (queue, room) = (Queue::default(), Cell::new(0));
        let bells: [Arc<Bell>; 2] = [0; 2].map(|_| Arc::default());
        let (first, second) = (queue.join(2).unwrap(), queue.join(2).unwrap());
        assert!(!poll(&first, &bells[0], &room) && !poll(&second, &bells[1], &room));
        drop(first);
        assert_eq!(rings(&bells[1]), 1);
        room.set(1);
        assert!(poll(&second, &bells[1], &room));
    }

    #[test]
    fn the_line_is_never_longer_than_it_may_be() {
        let queue = Queue::default();
        let first = queue.join(1);
        assert!(first.is_some() && queue.join(1).is_none());
        drop(first);
        assert!(queue.join(1).is_some());
    }
}
