//! A response on its way to the client.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::Instant;

use super::{
    headers::allowed_trailers,
    message::{Fields, Framing},
    peer::ResponseBody,
    response::Outbound,
    upload::UploadError,
};
use crate::{
    config::HeaderEdits,
    net::{BufferPool, Timer},
    upstream::FailureKind,
};

/// A response body on its way.
pub(super) struct Relay<'r> {
    pub(super) peer: ResponseBody<'r>,
    pub(super) buffers: &'r BufferPool,
    pub(super) timer: &'r Timer,
    /// For each read from the peer.
    pub(super) patience: Duration,
    /// What the route does to fields.
    pub(super) edits: &'r HeaderEdits,
    /// Where it goes, behind its head.
    pub(super) client: Outbound<'r>,
    /// Bytes of payload sent so far.
    pub(super) bytes: &'r mut u64,
    /// What ends a body that the peer breaks off, if there is such a thing.
    pub(super) last_words: Option<Fields>,
}

/// Why a response did not arrive as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RelayError {
    /// The peer broke off, was too slow, or sent what is no body.
    Peer,
    /// The client left, or takes nothing.
    Client,
    /// The client's request cannot go on.
    Upload,
    /// The peer's doing, and nothing has been sent yet.
    Unsent,
}

impl Relay<'_> {
    /// Sends the head, then the body until its end.
    pub(super) async fn run(mut self) -> Result<(), RelayError> {
        let result = self.run_to_the_end().await;
        if result == Err(RelayError::Peer)
            && let Some(words) = self.last_words.take()
        {
            // It is the client's last chance to hear of it; that it broke off stays true.
            let _ = self.client.finish(Some(&words)).await;
        }
        result
    }

    async fn run_to_the_end(&mut self) -> Result<(), RelayError> {
        let mut is_started = false;
        loop {
            let (produced, consumed) = self.peer.decode().map_err(|_| {
                if is_started {
                    RelayError::Peer
                } else {
                    RelayError::Unsent
                }
            })?;
            let sent = self.client.payload(&self.peer.data()[..produced]).await;
            sent.map_err(|_| RelayError::Client)?;
            is_started = true;
            self.peer.consume(consumed);
            *self.bytes += produced as u64;
            if self.peer.is_done() {
                break;
            }
            // Framing alone is not worth a system call, and the head goes out before the wait.
            self.client.flush().await.map_err(|_| RelayError::Client)?;
            self.receive().await?;
        }
        let trailers = self
            .peer
            .take_trailers()
            .map(|trailers| allowed_trailers(&trailers, self.edits, true));
        let finished = self.client.finish(trailers.as_ref()).await;
        finished.map_err(|_| RelayError::Client)
    }

    /// Waits for more from the peer, and watches whether the client is still there.
    async fn receive(&mut self) -> Result<(), RelayError> {
        let mut deadline = None;
        let size = self.client.output().sink.read_size();
        poll_fn(|cx| {
            if let Poll::Ready(read) = self.peer.poll_more(cx, self.buffers, size) {
                return Poll::Ready(read.map_err(|_| RelayError::Peer));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.patience);
            if self.timer.poll_passed(cx, deadline).is_ready() {
                return Poll::Ready(Err(RelayError::Peer));
            }
            let sink = self.client.output().sink;
            sink.poll_gone(cx).map(|()| Err(RelayError::Client))
        })
        .await
    }
}

/// How a body framed by `from` is sent to a client, who may be too old for chunks.
pub(super) fn framing_for_client(from: Framing, is_http_10: bool) -> Framing {
    match from {
        Framing::Chunked | Framing::UntilClose if is_http_10 => Framing::UntilClose,
        Framing::Chunked | Framing::UntilClose => Framing::Chunked,
        framing => framing,
    }
}

/// Relays a response while the rest of the request is still being sent. What becomes of that decides nothing on a
/// connection of its own; on a stream, where both sides may talk for long, it must not go silent.
pub(super) async fn while_sending(
    relay: impl Future<Output = Result<(), RelayError>>,
    rest: impl Future<Output = Result<(), UploadError>>,
    is_stream: bool,
) -> Result<(), RelayError> {
    let (mut relay, mut rest) = (pin!(relay), pin!(rest));
    let mut is_sending = true;
    poll_fn(|cx| {
        if is_sending && let Poll::Ready(sent) = rest.as_mut().poll(cx) {
            is_sending = false;
            match sent {
                Err(UploadError::Client(_)) if is_stream => {
                    // An answer that is there as a whole is worth more.
                    return match relay.as_mut().poll(cx) {
                        Poll::Pending => Poll::Ready(Err(RelayError::Upload)),
                        relayed => relayed,
                    };
                }
                Err(UploadError::Peer(failure))
                    if is_stream && failure.kind == FailureKind::Timeout =>
                {
                    return Poll::Ready(Err(RelayError::Peer));
                }
                Ok(()) | Err(_) => {}
            }
        }
        relay.as_mut().poll(cx)
    })
    .await
}
