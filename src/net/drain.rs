//! Telling the connections of one worker that it is time to go, and waiting until they have gone.
//!
//! A connection that waits for its next request leaves its waker here and nothing else: a flag and
//! a wake-up are enough, and an idle connection stays as small as it is.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use slab::Slab;

/// One worker's connections, as far as ending them goes.
#[derive(Debug, Default)]
pub struct Drain {
    draining: Cell<bool>,
    sleepers: RefCell<Slab<Waker>>,
    connections: Cell<usize>,
    empty: RefCell<Option<Waker>>,
}

/// Counts one connection while it lives.
#[derive(Debug)]
pub struct ConnectionGuard<'d> {
    drain: &'d Drain,
}

/// Wakes the task that holds it when the worker's connections are to look around.
#[derive(Debug)]
pub struct Sleeper<'d> {
    drain: &'d Drain,
    key: Option<usize>,
}

impl Drain {
    /// Counts a connection until the guard is dropped.
    pub fn connection(&self) -> ConnectionGuard<'_> {
        self.connections.set(self.connections.get() + 1);
        ConnectionGuard { drain: self }
    }

    /// Connections that live.
    pub fn connections(&self) -> usize {
        self.connections.get()
    }

    /// Whether connections are to end after the request that they are at.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Asks every connection to end, idle ones at once.
    pub fn start(&self) {
        self.draining.set(true);
        self.wake_sleepers();
    }

    /// Wakes every sleeping connection, so that it looks whether its listener is still there.
    pub fn wake_sleepers(&self) {
        for (_, waker) in &*self.sleepers.borrow() {
            waker.wake_by_ref();
        }
    }

    /// A place to sleep.
    pub fn sleeper(&self) -> Sleeper<'_> {
        Sleeper {
            drain: self,
            key: None,
        }
    }

    /// Ends when no connection lives.
    pub async fn emptied(&self) {
        poll_fn(|cx| {
            if self.connections.get() == 0 {
                return Poll::Ready(());
            }
            *self.empty.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Sleeper<'_> {
    /// Has the current task woken by [`Drain::start`] and [`Drain::wake_sleepers`].
    pub fn register(&mut self, cx: &Context<'_>) {
        let mut sleepers = self.drain.sleepers.borrow_mut();
        match self.key.and_then(|key| sleepers.get_mut(key)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.key = Some(sleepers.insert(cx.waker().clone())),
        }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.drain.sleepers.borrow_mut().try_remove(key);
        }
    }
}

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        self.drain.connections.set(self.drain.connections.get() - 1);
        if self.drain.connections.get() == 0
            && let Some(waker) = self.drain.empty.borrow_mut().take()
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn sleepers_are_woken_and_the_last_connection_ends_the_wait() {
        let drain = Rc::new(Drain::default());
        let local = tokio::task::LocalSet::new();
        let connection = {
            let drain = Rc::clone(&drain);
            async move {
                let _guard = drain.connection();
                let mut sleeper = drain.sleeper();
                poll_fn(|cx| {
                    sleeper.register(cx);
                    if drain.is_draining() {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            }
        };
        local.spawn_local(connection);
        local
            .run_until(async {
                tokio::task::yield_now().await;
                assert_eq!(drain.connections(), 1);
                drain.start();
                drain.emptied().await;
                assert_eq!(drain.connections(), 0);
            })
            .await;
    }
}
