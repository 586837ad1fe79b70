//! A body that goes out in frames of a stream: to a client or to a peer.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

use super::heads::map_of;
use crate::http::message::Fields;

/// As much as may wait for the connection to take it: more would only be memory.
pub(in super::super) const MOST_WAITING: usize = 32 << 10;

/// The sending half of a stream, from behind the head.
#[derive(Debug)]
pub(in super::super) struct Outgoing {
    stream: SendStream<Bytes>,
}

impl Outgoing {
    pub(in super::super) fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream }
    }

    /// Polls for some of `bytes` to be taken; `ends` says that nothing follows them.
    pub(in super::super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        ends: bool,
    ) -> Poll<Result<usize, h2::Error>> {
        self.stream.reserve_capacity(bytes.len().min(MOST_WAITING));
        ready!(self.poll_capacity(cx))?;
        let n = self.stream.capacity().min(bytes.len());
        let part = Bytes::copy_from_slice(&bytes[..n]);
        self.stream.send_data(part, ends && n == bytes.len())?;
        Poll::Ready(Ok(n))
    }

    /// Polls for the other side to take anything at all.
    pub(in super::super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), h2::Error>> {
        if self.stream.capacity() == 0 {
            self.stream.reserve_capacity(1);
        }
        self.poll_capacity(cx)
    }

    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(room) => drop(room?),
                // Closed, and the reason has been taken already.
                None => return Poll::Ready(Err(h2::Reason::STREAM_CLOSED.into())),
            }
        }
        Poll::Ready(Ok(()))
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
