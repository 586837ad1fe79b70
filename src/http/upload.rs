//! A request on its way to a peer: its head, then its body as it arrives from the client.
//!
//! Bodies up to 64 KB are kept, so that another peer can be sent the same; a longer one streams
//! through, and a request of which a part has been forgotten is never sent a second time.
//!
//! [`Upload::run`] may be dropped at any await and called again: all that it knows is in `self`.

use std::{future::poll_fn, time::Duration};

use http::{StatusCode, Version};

use super::{
    client::{BodySource, ClientInput},
    error::HttpError,
    h1::{BodyError, Decoder, write_chunk_start, write_last_chunk},
    headers::allowed_trailers,
    message::{Fields, Framing},
    peer::RequestSink,
};
use crate::{
    config::HeaderEdits,
    net::{Deadline, Timer},
    upstream::Failure,
};

/// How much of a body is kept for another peer.
const REPLAY: usize = 64 << 10;

/// One request's bytes, for as many tries as it takes.
#[derive(Debug)]
pub(super) struct Upload<'r> {
    decoder: Decoder,
    /// Whether its length is not known before its end.
    is_unmeasured: bool,
    /// Bytes of body that the route allows, and that have come.
    limit: u64,
    received: u64,
    /// The payload, from its start if `is_replayable`, else what is not sent yet.
    kept: Vec<u8>,
    is_replayable: bool,
    /// What the route does to fields, and what stands behind the last chunk.
    edits: &'r HeaderEdits,
    underscores: bool,
    trailers: Option<Fields>,
    current: Try,
}

/// How far the current try has come. What is to be sent is the frame, then the rest of `kept`.
#[derive(Debug, Default)]
struct Try {
    /// Whether it is on a stream, which frames the body by itself and has an end of its own.
    is_stream: bool,
    is_ended: bool,
    /// The head, or what frames the chunk to come.
    frame: Vec<u8>,
    frame_sent: usize,
    kept_sent: usize,
    has_chunk: bool,
    is_framed: bool,
    sent_any: bool,
}

/// Why an upload stopped.
#[derive(Debug)]
pub(super) enum UploadError {
    /// The client's body is wrong, too long or too slow.
    Client(HttpError),
    /// The client left.
    Gone,
    /// The peer takes no more.
    Peer(Failure),
}

impl<'r> Upload<'r> {
    /// A request of the given version with a body framed by `framing`, of `limit` bytes at most.
    pub(super) fn new(
        version: Version,
        framing: Framing,
        limit: u64,
        edits: &'r HeaderEdits,
        underscores: bool,
    ) -> Self {
        Self {
            decoder: match version {
                Version::HTTP_2 => Decoder::elsewhere(framing),
                _ => Decoder::new(framing),
            },
            is_unmeasured: framing == Framing::Chunked,
            limit,
            received: 0,
            kept: Vec::new(),
            is_replayable: true,
            edits,
            underscores,
            trailers: None,
            current: Try::default(),
        }
    }

    /// Begins a try on a stream, of which the head is sent; `is_replayable` must hold unless it is the first.
    pub(super) fn begin_stream(&mut self) {
        self.current = Try {
            is_stream: true,
            is_ended: self.is_empty(),
            sent_any: true,
            ..Try::default()
        };
    }

    /// Whether there is nothing behind the head.
    pub(super) fn is_empty(&self) -> bool {
        self.decoder.is_done() && self.received == 0 && self.trailers.is_none()
    }

    /// Begins a try with `head`; `is_replayable` must hold unless it is the first.
    pub(super) fn begin(&mut self, head: Vec<u8>) {
        let has_chunk = self.is_unmeasured && !self.kept.is_empty();
        self.current = Try {
            frame: head,
            has_chunk,
            ..Try::default()
        };
        if has_chunk {
            write_chunk_start(&mut self.current.frame, self.kept.len(), true);
        }
    }

    /// Memory for another head: that of the request's, if it has been sent.
    pub(super) fn take_frame(&mut self) -> Vec<u8> {
        if !self.is_complete() {
            return Vec::with_capacity(1024);
        }
        let mut frame = std::mem::take(&mut self.current.frame);
        self.current.frame_sent = 0;
        frame.clear();
        frame
    }

    /// What of the body is still to come from the client.
    pub(super) fn into_body(self) -> Decoder {
        self.decoder
    }

    /// Whether all of what came is still at hand.
    pub(super) fn is_replayable(&self) -> bool {
        self.is_replayable
    }

    /// Whether a byte of the body has come from the client.
    pub(super) fn received_any(&self) -> bool {
        self.received > 0
    }

    /// Bytes of the body that have come.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether the current try has sent everything.
    pub(super) fn is_complete(&self) -> bool {
        self.current.is_framed
            && self.all_sent()
            && (self.current.is_ended || !self.current.is_stream)
    }

    /// Sends everything that is left, waiting for the client where it must.
    pub(super) async fn run(
        &mut self,
        client: &mut ClientInput<'_>,
        peer: &mut RequestSink<'_>,
        timer: &Timer,
        patience: Duration,
    ) -> Result<(), UploadError> {
        self.fill(client)?;
        loop {
            while !self.all_sent() {
                let sent = self.send(peer, timer, patience).await;
                sent.map_err(UploadError::Peer)?;
            }
            if self.current.is_framed {
                return self.end(peer).map_err(UploadError::Peer);
            }
            self.forget_what_is_too_long();
            if !self.fill(client)? {
                self.receive(client).await?;
            }
        }
    }

    fn all_sent(&self) -> bool {
        self.current.frame_sent == self.current.frame.len()
            && self.current.kept_sent == self.kept.len()
    }

    async fn send(
        &mut self,
        peer: &mut RequestSink<'_>,
        timer: &Timer,
        patience: Duration,
    ) -> Result<(), Failure> {
        let current = &mut self.current;
        let frame = &current.frame[current.frame_sent..];
        let kept = &self.kept[current.kept_sent..];
        let (n, ends) = match peer {
            RequestSink::Http1(stream) => {
                let before = stream.sent_inside_tls();
                let written = stream.write_some(frame, kept, timer, patience).await;
                let sent_any = current.sent_any || stream.sent_inside_tls() > before;
                let n = written.map_err(|error| Failure::sending(&error, sent_any))?;
                (n, false)
            }
            RequestSink::Http2(stream) => {
                let ends = current.is_framed && self.trailers.is_none();
                let send = poll_fn(|cx| stream.poll_send(cx, kept, ends, timer));
                let sent = timer.limit(Deadline::After(patience), send).await;
                let n = sent
                    .ok_or(Failure::SEND_TIMEOUT)?
                    .map_err(|error| Failure::stream(&error))?;
                (n, ends && n == kept.len())
            }
        };
        let of_frame = n.min(frame.len());
        current.frame_sent += of_frame;
        current.kept_sent += n - of_frame;
        current.is_ended |= ends;
        current.sent_any = true;
        Ok(())
    }

    /// Ends a stream that has not ended with its last payload.
    fn end(&mut self, peer: &mut RequestSink<'_>) -> Result<(), Failure> {
        if let RequestSink::Http2(stream) = peer
            && !std::mem::replace(&mut self.current.is_ended, true)
        {
            let ended = stream.finish(self.trailers.as_ref());
            return ended.map_err(|error| Failure::stream(&error));
        }
        Ok(())
    }

    async fn receive(&mut self, client: &mut ClientInput<'_>) -> Result<(), UploadError> {
        let deadline = Deadline::After(client.patience);
        let read = poll_fn(|cx| client.source.poll_more(cx, client.buffers));
        match client.timer.limit(deadline, read).await {
            None => Err(UploadError::Client(TOO_SLOW)),
            Some(Err(_)) => Err(UploadError::Gone),
            Some(Ok(())) => {
                client.has_come.set(true);
                Ok(())
            }
        }
    }

    /// Takes what has arrived of the body, if there is nothing else to frame; says whether there is something to send now.
    fn fill(&mut self, client: &mut ClientInput<'_>) -> Result<bool, UploadError> {
        if self.current.kept_sent < self.kept.len() || self.current.is_framed {
            return Ok(true);
        }
        let produced = self.take(&mut client.source)?;
        let is_chunked = self.is_unmeasured && !self.current.is_stream;
        if let Some(trailers) = self.decoder.take_trailers() {
            self.trailers = Some(allowed_trailers(&trailers, self.edits, self.underscores));
        }
        if produced > 0 && is_chunked {
            self.frame(|frame, is_first| write_chunk_start(frame, produced, is_first));
        } else if self.decoder.is_done() && is_chunked {
            let trailers = self.trailers.take();
            self.frame(|frame, is_first| write_last_chunk(frame, trailers.as_ref(), is_first));
            self.trailers = trailers;
            self.current.is_framed = true;
        }
        self.current.is_framed |= self.decoder.is_done() && !is_chunked;
        Ok(produced > 0 || self.current.is_framed)
    }

    /// Takes what has arrived of the body.
    fn take(&mut self, source: &mut BodySource<'_>) -> Result<usize, UploadError> {
        let produced = source
            .take(&mut self.decoder, &mut self.kept)
            .map_err(refuse)?;
        self.received += produced as u64;
        if self.received > self.limit {
            return Err(UploadError::Client(TOO_LARGE));
        }
        Ok(produced)
    }

    /// Adds framing behind what is still to be sent of it.
    fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>, bool)) {
        let current = &mut self.current;
        if current.frame_sent == current.frame.len() {
            current.frame.clear();
            current.frame_sent = 0;
        }
        write(&mut current.frame, !current.has_chunk);
        current.has_chunk = true;
    }

    fn forget_what_is_too_long(&mut self) {
        if self.kept.len() > REPLAY || !self.is_replayable {
            self.is_replayable = false;
            self.kept.clear();
            self.current.kept_sent = 0;
        }
    }
}

/// The answer to a body that the route does not allow.
pub(super) const TOO_LARGE: HttpError =
    HttpError::client(StatusCode::PAYLOAD_TOO_LARGE, "request body too large");

const TOO_SLOW: HttpError = HttpError::client(StatusCode::REQUEST_TIMEOUT, "request body too slow");

fn refuse(error: BodyError) -> UploadError {
    let reason = match error {
        BodyError::InvalidChunk => "invalid chunk",
        BodyError::InvalidTrailer => "invalid trailer",
        BodyError::Truncated => "body ended early",
    };
    UploadError::Client(HttpError::client(StatusCode::BAD_REQUEST, reason))
}
