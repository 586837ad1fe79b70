//! Whether the client still waits, while lbd waits for a peer.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    client::{Client, ResponseSink},
    conversation::{Heard, TryError},
};
use crate::{net::Timer, upstream::Failure};

/// How long a peer takes before it is looked whether the client still waits. Most are faster, and
/// looking costs more than it could save in so short a time.
const PROMPT: Duration = Duration::from_millis(100);

/// Looks whether the client still waits. One that only closed its own direction counts as gone, as it
/// does for nginx, unless the peer is faster than anybody looks.
pub(super) struct Watch<'t> {
    client: ResponseSink<'t>,
    timer: &'t Timer,
    from: Instant,
    is_open: bool,
}

impl<'t> Watch<'t> {
    /// Over the client of a try that begins now.
    pub(super) fn new(client: ResponseSink<'t>, timer: &'t Timer, now: Instant) -> Self {
        Self {
            client,
            timer,
            from: now + PROMPT,
            is_open: false,
        }
    }

    /// Ready when the client has left.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_open {
            if let ResponseSink::Http1(_) = self.client {
                ready!(self.timer.poll_passed(cx, self.from));
            }
            self.is_open = true;
        }
        self.client.poll_gone(cx)
    }
}

/// What connecting gives, unless the client leaves first.
pub(super) async fn unless_gone<T>(
    client: &Client<'_>,
    now: Instant,
    connecting: impl Future<Output = Result<T, Failure>>,
) -> Result<T, TryError> {
    let mut connecting = pin!(connecting);
    let mut watch = Watch::new(client.sink(), client.timer(), now);
    poll_fn(|cx| {
        if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(|failure| TryError::Peer {
                failure,
                heard: Heard::Nothing,
            }));
        }
        watch.poll_gone(cx).map(|()| Err(TryError::Gone))
    })
    .await
}
