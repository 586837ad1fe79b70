//! A body that comes in frames of a stream: from a client or from a peer.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use h2::RecvStream;

use super::heads::fields_of;
use crate::http::message::Fields;

/// The receiving half of a stream. What is not taken from it holds the sender back.
#[derive(Debug)]
pub(in super::super) struct Incoming {
    stream: RecvStream,
    /// Received and not yet used.
    chunk: Bytes,
    is_ended: bool,
    trailers: Option<Fields>,
}

impl Incoming {
    pub(in super::super) fn new(stream: RecvStream) -> Self {
        Self {
            is_ended: stream.is_end_stream(),
            stream,
            chunk: Bytes::new(),
            trailers: None,
        }
    }

    /// Whatever comes is no part of the message.
    pub(in super::super) fn ignore(&mut self) {
        self.is_ended = true;
    }

    /// Throws away what still comes, until the sender has sent all that it is allowed to or gives up.
    pub(in super::super) async fn drain(&mut self) {
        self.chunk = Bytes::new();
        poll_fn(|cx| {
            while let Some(Ok(_)) = ready!(self.stream.poll_data(cx)) {}
            Poll::Ready(())
        })
        .await;
    }

    /// What was received and not yet used.
    pub(in super::super) fn data(&self) -> &[u8] {
        &self.chunk
    }

    /// Drops the first `n` bytes of it, and lets the sender send as many more.
    pub(in super::super) fn consume(&mut self, n: usize) {
        self.take(n);
        self.allow(n);
    }

    /// Drops the first `n` bytes of it, which still count against the sender.
    pub(in super::super) fn take(&mut self, n: usize) {
        self.chunk.advance(n);
    }

    /// Lets the sender send `n` bytes more, of those that were taken.
    pub(in super::super) fn allow(&mut self, n: usize) {
        // It fails only on a stream that is gone, where nobody is left to be told.
        let _ = self.stream.flow_control().release_capacity(n);
    }

    /// Whether all of the body has been used.
    pub(in super::super) fn is_done(&self) -> bool {
        self.is_ended && self.chunk.is_empty()
    }

    /// The trailer fields of a body that is done.
    pub(in super::super) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Polls for more, once all that came has been used; 0 is the end.
    pub(in super::super) fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, h2::Error>> {
        while !self.is_ended && self.chunk.is_empty() {
            match ready!(self.stream.poll_data(cx)) {
                Some(chunk) => self.chunk = chunk?,
                None => {
                    let trailers = ready!(self.stream.poll_trailers(cx))?;
                    self.trailers = trailers.map(|trailers| fields_of(&trailers));
                    self.is_ended = true;
                }
            }
        }
        Poll::Ready(Ok(self.chunk.len()))
    }
}
