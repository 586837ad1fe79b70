//! A body that goes out in frames of a stream: to a client or to a peer.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::SendStream;
use tokio::time::Instant;

use super::heads::map_of;
use crate::{http::message::Fields, net::Timer};

/// As much as may wait for the connection to take it: more would only be memory.
pub(in super::super) const MOST_WAITING: usize = 32 << 10;
/// Room for less than this, and than half of what there was at most, is waited for a little longer. Whoever fills every gap sends ever smaller frames, for each
/// makes a gap of its own size (the silly window syndrome, RFC 1122 section 4.2.3.4).
const WORTHWHILE: usize = 8 << 10;
const LITTLE: Duration = Duration::from_millis(10);

/// The sending half of a stream, from behind the head.
#[derive(Debug)]
pub(in super::super) struct Outgoing {
    stream: SendStream<Bytes>,
    /// How long a gap is not filled.
    held_until: Option<Instant>,
    /// The most room that there ever was.
    most_room: usize,
}

impl Outgoing {
    pub(in super::super) fn new(stream: SendStream<Bytes>) -> Self {
        Self {
            stream,
            held_until: None,
            most_room: 0,
        }
    }

    /// Polls for some of `bytes` to be taken; `ends` says that nothing follows them.
    pub(in super::super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        ends: bool,
        timer: &Timer,
    ) -> Poll<Result<usize, h2::Error>> {
        self.stream.reserve_capacity(bytes.len().min(MOST_WAITING));
        loop {
            let room = self.stream.capacity();
            self.most_room = self.most_room.max(room);
            let worthwhile = WORTHWHILE.min(self.most_room / 2).max(1);
            if room >= bytes.len().min(worthwhile) {
                break;
            }
            match self.stream.poll_capacity(cx) {
                Poll::Ready(room) => {
                    room.unwrap_or_else(closed)?;
                }
                Poll::Pending if self.stream.capacity() == 0 => return Poll::Pending,
                Poll::Pending => {
                    let until = self
                        .held_until
                        .get_or_insert_with(|| Instant::now() + LITTLE);
                    ready!(timer.poll_passed(cx, *until));
                    break;
                }
            }
        }
        self.held_until = None;
        let n = self.stream.capacity().min(bytes.len());
        let part = Bytes::copy_from_slice(&bytes[..n]);
        self.stream.send_data(part, ends && n == bytes.len())?;
        Poll::Ready(Ok(n))
    }

    /// Ends the stream, with trailer fields if there are any.
    pub(in super::super) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), h2::Error> {
        match trailers.map(map_of) {
            Some(trailers) if !trailers.is_empty() => self.stream.send_trailers(trailers),
            _ => self.stream.send_data(Bytes::new(), true),
        }
    }

    /// Polls for the other side to give the stream up.
    pub(in super::super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(drop)
    }

    /// Breaks the stream off.
    pub(in super::super) fn reset(&mut self, reason: h2::Reason) {
        self.stream.send_reset(reason);
    }
}

/// The stream has ended, and its reason has been taken already.
fn closed<T>() -> Result<T, h2::Error> {
    Err(h2::Reason::STREAM_CLOSED.into())
}
