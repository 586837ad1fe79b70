//! A stream that carries another protocol (RFC 8441 section 5): DATA frames are its bytes, END_STREAM is the end of a
//! direction, and a reset is what a reset is.

use std::{
    cell::{Cell, RefCell},
    io,
    task::{Context, Poll, ready},
};

use super::{Incoming, Outgoing};
use crate::net::{Side, Timer};

/// The client's side of a tunnel.
#[derive(Debug)]
pub(in super::super) struct StreamSide {
    input: RefCell<Incoming>,
    output: RefCell<Outgoing>,
    is_shut: Cell<bool>,
}

impl StreamSide {
    /// Both halves of a stream whose head has been answered.
    pub(in super::super) fn new(input: Incoming, output: Outgoing) -> Self {
        Self {
            input: RefCell::new(input),
            output: RefCell::new(output),
            is_shut: Cell::new(false),
        }
    }
}

impl Side for StreamSide {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.input.borrow_mut().poll_more(cx).map(drop)
    }

    fn poll_read(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut input = self.input.borrow_mut();
        ready!(input.poll_more(cx)).map_err(|_| io::ErrorKind::ConnectionReset)?;
        let n = input.data().len().min(space.len());
        space[..n].copy_from_slice(&input.data()[..n]);
        input.take(n);
        Poll::Ready(Ok(n))
    }

    fn delivered(&self, n: usize) {
        self.input.borrow_mut().allow(n);
    }

    fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.output.borrow_mut().poll_reset(cx)
    }

    fn failure(&self) -> Option<io::ErrorKind> {
        None
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        timer: &Timer,
    ) -> Poll<io::Result<usize>> {
        if self.is_shut.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let sent = self.output.borrow_mut().poll_send(cx, bytes, false, timer);
        sent.map_err(|_| io::ErrorKind::ConnectionReset.into())
    }

    fn shutdown(&self, _: bool) {
        self.is_shut.set(true);
        // A reset would overtake what is still on its way. It fails only on a stream that is gone.
        let _ = self.output.borrow_mut().finish(None);
    }

    fn reset(&self) {
        self.output.borrow_mut().reset(h2::Reason::CANCEL);
    }
}
