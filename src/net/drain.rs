//! Telling the connections of one worker that it is time to go, and waiting until they have gone.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
    time::Duration,
};

/// How long whoever has no future is waited for: until an answer that is under way has come, or until a connection that
/// was told to end has done so.
pub const LAST_CHANCE: Duration = Duration::from_secs(1);

/// One worker's connections, as far as ending them goes.
#[derive(Debug, Default)]
pub struct Drain {
    draining: Cell<bool>,
    spread: Cell<Option<Duration>>,
    connections: Cell<usize>,
    empty: RefCell<Option<Waker>>,
}

impl Drain {
    /// One connection more.
    pub fn enter(&self) {
        self.connections.set(self.connections.get() + 1);
    }

    /// One connection less.
    pub fn leave(&self) {
        self.connections.set(self.connections.get() - 1);
        if self.connections.get() == 0
            && let Some(waker) = self.empty.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Connections that live.
    pub fn connections(&self) -> usize {
        self.connections.get()
    }

    /// Whether connections are to end after the request that they are at.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Has every connection end, those that sleep as soon as they are woken; what has no end of its own within
    /// `spread`, or not at all.
    pub fn start(&self, spread: Option<Duration>) {
        self.draining.set(true);
        self.spread.set(spread);
    }

    /// Within which time what has no end of its own is to be closed, once it is.
    pub fn spread(&self) -> Option<Duration> {
        self.spread.get()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_connection_that_leaves_ends_the_wait() {
        let drain = Drain::default();
        drain.enter();
        drain.enter();
        let leaving = async {
            drain.leave();
            tokio::task::yield_now().await;
            assert_eq!(drain.connections(), 1);
            drain.leave();
        };
        tokio::join!(drain.emptied(), leaving);
        assert_eq!(drain.connections(), 0);
    }
}
