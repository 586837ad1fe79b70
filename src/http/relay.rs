//! A response on its way to the client.

use std::{future::poll_fn, io, pin::pin, task::Poll, time::Duration};

use tokio::time::Instant;

use super::{
    client::ClientOutput,
    h1::{Decoder, Framing, write_chunk_start, write_last_chunk},
    headers::allowed_trailers,
    upload::UploadError,
};
use crate::{
    config::HeaderEdits,
    net::{Buffer, BufferPool, BufferSize, Stream, Timer},
};

/// Payload up to this size is copied behind its framing and sent with it; more is sent from where it lies.
const COPIED: usize = 8 << 10;

/// A response body on its way.
pub(super) struct Relay<'r> {
    pub(super) peer: &'r Stream,
    /// What was read from the peer and not yet used.
    pub(super) input: &'r mut Buffer,
    pub(super) buffers: &'r BufferPool,
    pub(super) timer: &'r Timer,
    /// For each read from the peer.
    pub(super) patience: Duration,
    pub(super) decoder: Decoder,
    /// How the client is sent it.
    pub(super) framing: Framing,
    /// What the route does to fields.
    pub(super) edits: &'r HeaderEdits,
    pub(super) client: ClientOutput<'r>,
    /// Bytes of payload sent so far.
    pub(super) bytes: &'r mut u64,
}

/// Why a response did not arrive as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RelayError {
    /// The peer broke off, was too slow, or sent what is no body.
    Peer,
    /// The client left, or takes nothing.
    Client,
    /// The peer's doing, and nothing has been sent yet.
    Unsent,
}

impl Relay<'_> {
    /// Sends `head`, then the body until its end.
    pub(super) async fn run(mut self, head: &mut Vec<u8>) -> Result<(), RelayError> {
        let is_chunked = self.framing == Framing::Chunked;
        let mut is_first = true;
        let mut is_started = false;
        loop {
            let step = self.decoder.decode(self.input.data_mut()).map_err(|_| {
                if is_started {
                    RelayError::Peer
                } else {
                    RelayError::Unsent
                }
            })?;
            if is_chunked && step.produced > 0 {
                write_chunk_start(head, step.produced, is_first);
                is_first = false;
            }
            self.send(head, step.produced)
                .await
                .map_err(|_| RelayError::Client)?;
            is_started = true;
            self.input.consume(step.consumed);
            *self.bytes += step.produced as u64;
            if self.decoder.is_done() {
                break;
            }
            // Framing alone is not worth a system call, and the head goes out before the wait.
            self.flush(head).await.map_err(|_| RelayError::Client)?;
            self.receive().await?;
        }
        if is_chunked {
            let trailers = self
                .decoder
                .take_trailers()
                .map(|trailers| allowed_trailers(&trailers, self.edits));
            write_last_chunk(head, trailers.as_ref(), is_first);
        }
        self.flush(head).await.map_err(|_| RelayError::Client)
    }

    /// Sends `framing` and the first `len` bytes of the input; a little may stay in `framing`.
    async fn send(&mut self, framing: &mut Vec<u8>, len: usize) -> io::Result<()> {
        let payload = &self.input.data()[..len];
        if len <= COPIED {
            framing.extend_from_slice(payload);
            return Ok(());
        }
        let client = &mut self.client;
        client
            .stream
            .write_all(framing, payload, client.timer, client.patience)
            .await?;
        framing.clear();
        Ok(())
    }

    async fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let client = &mut self.client;
        client
            .stream
            .write_all(out, &[], client.timer, client.patience)
            .await?;
        out.clear();
        Ok(())
    }

    /// Waits for more from the peer, and watches whether the client is still there.
    async fn receive(&mut self) -> Result<(), RelayError> {
        let mut deadline = None;
        let n = poll_fn(|cx| {
            if let Poll::Ready(read) =
                self.buffers
                    .poll_fill(cx, self.peer, self.input, BufferSize::Long)
            {
                return Poll::Ready(read.map_err(|_| RelayError::Peer));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.patience);
            if self.timer.poll_passed(cx, deadline).is_ready() {
                return Poll::Ready(Err(RelayError::Peer));
            }
            self.client
                .stream
                .poll_closed(cx)
                .map(|()| Err(RelayError::Client))
        })
        .await?;
        if n == 0 {
            return self.decoder.end().map_err(|_| RelayError::Peer);
        }
        Ok(())
    }
}

/// How a body framed by `from` is sent to a client of the given version.
pub(super) fn framing_for_client(from: Framing, is_http_11: bool) -> Framing {
    match from {
        Framing::Chunked | Framing::UntilClose if is_http_11 => Framing::Chunked,
        Framing::Chunked | Framing::UntilClose => Framing::UntilClose,
        framing => framing,
    }
}

/// Relays a response while the rest of the request is still being sent. What becomes of that decides nothing any more.
pub(super) async fn while_sending(
    relay: impl Future<Output = Result<(), RelayError>>,
    rest: impl Future<Output = Result<(), UploadError>>,
) -> Result<(), RelayError> {
    let (mut relay, mut rest) = (pin!(relay), pin!(rest));
    let mut is_sending = true;
    poll_fn(|cx| {
        if is_sending && rest.as_mut().poll(cx).is_ready() {
            is_sending = false;
        }
        relay.as_mut().poll(cx)
    })
    .await
}
