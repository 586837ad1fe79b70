//! The client's side of an exchange.

use std::{cell::Cell, io, time::Duration};

use tokio::time::Instant;

use super::h1::Decoder;
use crate::net::{Buffer, BufferPool, Deadline, Stream, Timer};

/// How long a connection is read from after the last byte was written, so that the response is not
/// lost to a reset (nginx `lingering_time`, `lingering_timeout`).
const LINGER_TOTAL: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// The same silence when the process waits for the connection to end.
const LINGER_SILENCE_DRAINING: Duration = Duration::from_millis(500);

/// A client's connection while a request of its is served.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Stream,
    /// What was read and not yet used.
    pub(super) input: Buffer,
    /// For everything that is waited for while it is served: its bytes, room for ours, the peer.
    pub(super) timer: Timer,
}

/// Where a request's body comes from.
pub(super) struct ClientInput<'c> {
    pub(super) stream: &'c Stream,
    pub(super) input: &'c mut Buffer,
    pub(super) buffers: &'c BufferPool,
    /// Set when bytes have come.
    pub(super) has_come: &'c Cell<bool>,
    pub(super) timer: &'c Timer,
    /// For each read.
    pub(super) patience: Duration,
}

/// Where a response goes to.
pub(super) struct ClientOutput<'c> {
    pub(super) stream: &'c Stream,
    pub(super) timer: &'c Timer,
    /// For each write.
    pub(super) patience: Duration,
}

/// What becomes of the connection after a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum After {
    /// It may carry another request, and has been idle since then.
    KeepAlive(Instant),
    /// It is closed.
    Close,
    /// It is closed, but the client may still be sending and must not lose the response to that.
    Linger,
    /// It is broken off, so that the client cannot take half a response for a whole one.
    Reset,
}

impl Client {
    pub(super) fn new(stream: Stream, timer: Timer) -> Self {
        Self {
            stream,
            input: Buffer::default(),
            timer,
        }
    }

    /// Writes all of `bytes`.
    pub(super) async fn write_all(&mut self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        self.stream
            .write_all(bytes, &[], &self.timer, patience)
            .await
    }

    /// Uses up the rest of a request body that nobody wants, as far as it has arrived; says whether that was all of it.
    pub(super) fn discard_body(&mut self, body: &mut Decoder) -> bool {
        while !body.is_done() {
            match body.decode(self.input.data_mut()) {
                Ok(step) if step.consumed > 0 => self.input.consume(step.consumed),
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }

    /// Says good-bye and waits until the client has heard everything, or has had its time.
    pub(super) async fn linger(&mut self, is_draining: bool) {
        self.stream.shutdown();
        let end = Instant::now() + LINGER_TOTAL;
        let patience = if is_draining {
            LINGER_SILENCE_DRAINING
        } else {
            LINGER_SILENCE
        };
        let mut space = [0; 4096];
        loop {
            let silence = Instant::now() + patience;
            match self
                .stream
                .read(&mut space, &self.timer, Deadline::At(silence.min(end)))
                .await
            {
                Ok(n) if n > 0 => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}
