//! What the connections of one worker share. One thread, so nothing is locked.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use tokio::time::Instant;

use super::{
    buffer::BufferPool,
    drain::{Drain, LAST_CHANCE},
    timer::Timers,
};
use crate::telemetry::{AccessWriter, Clock, Counter, HeldRecord};

/// The parts of a worker that it lends to each of its connections, whatever they speak.
#[derive(Debug)]
pub struct Shared {
    /// Spare buffers.
    pub buffers: BufferPool,
    /// Deadlines.
    pub timers: Rc<Timers>,
    /// The time of day.
    pub clock: Clock,
    /// Where access lines go.
    pub access: AccessWriter,
    /// When it is time to go.
    pub drain: Drain,
    /// HTTP/2 connections of all workers that were cut off because their frames only cost.
    pub h2_floods: Arc<Counter>,
}

impl Shared {
    /// Writes the line of something that ends now, when `bytes` have gone to the client and `received` have come from it.
    pub fn write_held(&self, held: &mut HeldRecord, bytes: u64, received: u64) {
        let format = held.format;
        let record = held.end(bytes, received, Instant::now());
        self.access.write(format, &record, &self.clock);
    }

    /// What `work` gives; `None` if it is not wanted any more, or the worker drains, and it takes longer than a moment.
    pub async fn while_wanted<T>(
        &self,
        is_wanted: impl Fn() -> bool,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let timer = self.timers.timer();
        let mut work = pin!(work);
        let mut until = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if !self.drain.is_draining() && is_wanted() {
                return Poll::Pending;
            }
            let until = *until.get_or_insert_with(|| Instant::now() + LAST_CHANCE);
            timer.poll_passed(cx, until).map(|()| None)
        })
        .await
    }

    /// A worker's, with nothing in it yet.
    pub fn new(access: AccessWriter, h2_floods: Arc<Counter>) -> Rc<Self> {
        Rc::new(Self {
            buffers: BufferPool::default(),
            timers: Timers::new(),
            clock: Clock::new(),
            access,
            drain: Drain::default(),
            h2_floods,
        })
    }
}
