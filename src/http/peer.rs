//! The peer's side of an exchange: a connection of its own in HTTP/1.1, a stream of one in HTTP/2.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use h2::client::ResponseFuture;
use http::{Method, Request};

use super::{
    h1::{BodyError, Decoder},
    h2::{Incoming, Outgoing, response_head},
    message::{Fields, Framing, ResponseHead},
};
use crate::{
    net::{Buffer, BufferPool, BufferSize, Stream},
    upstream::{Connection, Failure, Slot},
};

/// What a try is made on.
#[derive(Debug)]
pub(super) enum PeerLink {
    Http1 {
        connection: Connection,
        /// What was read and not yet used.
        input: Buffer,
    },
    Http2(Box<PeerStream>),
}

/// One stream of a connection that others share.
#[derive(Debug)]
pub(super) struct PeerStream {
    /// Counts as one of the connection's streams.
    pub(super) slot: Slot,
    send: Outgoing,
    response: ResponseFuture,
    body: Option<Incoming>,
}

/// Where a request goes to.
pub(super) enum RequestSink<'p> {
    Http1(&'p Stream),
    Http2(&'p mut Outgoing),
}

/// Where the head of a response comes from.
pub(super) enum ResponseSource<'p> {
    Http1 {
        stream: &'p Stream,
        input: &'p mut Buffer,
    },
    Http2 {
        response: &'p mut ResponseFuture,
        body: &'p mut Option<Incoming>,
    },
}

/// The body of a response.
pub(super) enum ResponseBody<'p> {
    Http1 {
        stream: &'p Stream,
        input: &'p mut Buffer,
        decoder: Decoder,
    },
    Http2(&'p mut Incoming),
}

impl PeerStream {
    /// Opens a stream with `request`, which has no body if `ends`.
    pub(super) fn open(slot: Slot, request: Request<()>, ends: bool) -> Result<Self, Failure> {
        let (response, send) = slot
            .open(request, ends)
            .map_err(|error| Failure::stream(&error).unsent())?;
        Ok(Self {
            slot,
            send: Outgoing::new(send),
            response,
            body: None,
        })
    }
}

impl PeerLink {
    /// On a connection of its own.
    pub(super) fn http1(connection: Connection) -> Self {
        Self::Http1 {
            connection,
            input: Buffer::default(),
        }
    }

    /// Its two directions, for two futures of one task.
    pub(super) fn split(&mut self) -> (RequestSink<'_>, ResponseSource<'_>) {
        match self {
            Self::Http1 { connection, input } => {
                let stream = &connection.stream;
                let source = ResponseSource::Http1 { stream, input };
                (RequestSink::Http1(stream), source)
            }
            Self::Http2(stream) => {
                let PeerStream {
                    send,
                    response,
                    body,
                    ..
                } = &mut **stream;
                let source = ResponseSource::Http2 { response, body };
                (RequestSink::Http2(send), source)
            }
        }
    }

    /// The same once the head has come; `decoder` is for a body on a connection of its own.
    pub(super) fn split_body(
        &mut self,
        decoder: Decoder,
    ) -> Option<(RequestSink<'_>, ResponseBody<'_>)> {
        Some(match self.split() {
            (sink, ResponseSource::Http1 { stream, input }) => {
                let body = ResponseBody::Http1 {
                    stream,
                    input,
                    decoder,
                };
                (sink, body)
            }
            (sink, ResponseSource::Http2 { body, .. }) => {
                (sink, ResponseBody::Http2(body.as_mut()?))
            }
        })
    }
}

/// Polls for a head on a stream, informational or not, in answer to a request with `method`.
pub(super) fn poll_head(
    response: &mut ResponseFuture,
    method: &Method,
    body: &mut Option<Incoming>,
    cx: &mut Context<'_>,
) -> Poll<Result<ResponseHead, Failure>> {
    if let Poll::Ready(Some(informational)) = response.poll_informational(cx) {
        let head = informational.map_err(|error| Failure::stream(&error))?;
        let (parts, ()) = head.into_parts();
        return Poll::Ready(Ok(response_head(&parts, method, false)));
    }
    let head = ready!(Pin::new(response).poll(cx));
    let (parts, stream) = head.map_err(|error| Failure::stream(&error))?.into_parts();
    let mut incoming = Incoming::new(stream);
    let head = response_head(&parts, method, !incoming.is_done());
    if head.body == Framing::None {
        incoming.ignore();
    }
    *body = Some(incoming);
    Poll::Ready(Ok(head))
}

impl ResponseBody<'_> {
    /// How much payload is at hand, and of how many bytes it is made.
    pub(super) fn decode(&mut self) -> Result<(usize, usize), BodyError> {
        match self {
            Self::Http1 { input, decoder, .. } => {
                let step = decoder.decode(input.data_mut())?;
                Ok((step.produced, step.consumed))
            }
            Self::Http2(incoming) => Ok((incoming.data().len(), incoming.data().len())),
        }
    }

    /// The payload at hand, and what lies behind it.
    pub(super) fn data(&self) -> &[u8] {
        match self {
            Self::Http1 { input, .. } => input.data(),
            Self::Http2(incoming) => incoming.data(),
        }
    }

    /// Lets go of what has been used.
    pub(super) fn consume(&mut self, n: usize) {
        match self {
            Self::Http1 { input, .. } => input.consume(n),
            Self::Http2(incoming) => incoming.consume(n),
        }
    }

    /// Whether all of it has been used.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Http1 { decoder, .. } => decoder.is_done(),
            Self::Http2(incoming) => incoming.is_done(),
        }
    }

    /// The trailer fields of a body that is done.
    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::Http1 { decoder, .. } => decoder.take_trailers(),
            Self::Http2(incoming) => incoming.take_trailers(),
        }
    }

    /// Polls for more, or for an end that makes it whole.
    pub(super) fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &BufferPool,
        size: BufferSize,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Http1 {
                stream,
                input,
                decoder,
            } => {
                let n = ready!(buffers.poll_fill(cx, *stream, input, size))?;
                if n == 0 {
                    decoder.end().map_err(|_| io::ErrorKind::UnexpectedEof)?;
                }
                Poll::Ready(Ok(()))
            }
            Self::Http2(incoming) => {
                ready!(incoming.poll_more(cx)).map_err(|_| io::ErrorKind::ConnectionReset)?;
                Poll::Ready(Ok(()))
            }
        }
    }
}
