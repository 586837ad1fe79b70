//! The client's side of an exchange: a connection of its own in HTTP/1.1, a stream of one in HTTP/2.

use std::{
    cell::{Cell, RefCell},
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    grpc::{Code, trailers},
    h1::{BodyError, Decoder},
    h2::{Incoming, Outgoing},
    switch::Switched,
};
use crate::net::{Buffer, BufferPool, BufferSize, Place, Stream, Timer};

/// The client of one exchange.
pub(super) enum Client<'c> {
    Http1(&'c mut Http1Client),
    Http2(&'c mut Http2Client),
}

/// A client's connection while a request of its is served.
#[derive(Debug)]
pub(super) struct Http1Client {
    pub(super) stream: Stream,
    /// What was read and not yet used.
    pub(super) input: Buffer,
    /// For everything that is waited for while it is served: its bytes, room for ours, the peer.
    pub(super) timer: Timer,
    /// Its place at its listener, until a tunnel takes that over.
    pub(super) place: Option<Place>,
}

/// A client's stream: one request and its response.
#[derive(Debug)]
pub(super) struct Http2Client {
    pub(super) input: Incoming,
    pub(super) output: RefCell<Http2Output>,
    pub(super) timer: Timer,
    /// What the stream goes on as, once it is answered.
    pub(super) switched: Option<Box<Switched>>,
}

/// The sending half of a client's stream.
#[derive(Debug)]
pub(super) struct Http2Output {
    pub(super) respond: h2::server::SendResponse<bytes::Bytes>,
    /// Once the head is on its way.
    pub(super) body: Option<Outgoing>,
    /// Whether the response is over.
    pub(super) is_ended: bool,
}

/// Where a request's body comes from.
pub(super) struct ClientInput<'c> {
    pub(super) source: BodySource<'c>,
    pub(super) buffers: &'c BufferPool,
    /// Set when bytes have come.
    pub(super) has_come: &'c Cell<bool>,
    pub(super) timer: &'c Timer,
    /// For each read.
    pub(super) patience: Duration,
}

/// The bytes of a request's body, with or without framing of their own.
pub(super) enum BodySource<'c> {
    Http1 {
        stream: &'c Stream,
        input: &'c mut Buffer,
    },
    Http2(&'c mut Incoming),
}

/// Where a response goes to.
#[derive(Clone, Copy)]
pub(super) struct ClientOutput<'c> {
    pub(super) sink: ResponseSink<'c>,
    pub(super) timer: &'c Timer,
    /// For each write.
    pub(super) patience: Duration,
}

#[derive(Clone, Copy)]
pub(super) enum ResponseSink<'c> {
    Http1(&'c Stream),
    Http2(&'c RefCell<Http2Output>),
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

impl Client<'_> {
    pub(super) fn timer(&self) -> &Timer {
        match self {
            Self::Http1(client) => &client.timer,
            Self::Http2(client) => &client.timer,
        }
    }

    /// Its two directions, for two futures of one task, and the timer for both.
    pub(super) fn split(&mut self) -> (BodySource<'_>, ResponseSink<'_>, &Timer) {
        match self {
            Self::Http1(Http1Client {
                stream,
                input,
                timer,
                ..
            }) => {
                let stream = &*stream;
                let source = BodySource::Http1 { stream, input };
                (source, ResponseSink::Http1(stream), timer)
            }
            Self::Http2(Http2Client {
                input,
                output,
                timer,
                ..
            }) => (BodySource::Http2(input), ResponseSink::Http2(output), timer),
        }
    }

    /// Where the response goes to.
    pub(super) fn sink(&self) -> ResponseSink<'_> {
        match self {
            Self::Http1(client) => ResponseSink::Http1(&client.stream),
            Self::Http2(client) => ResponseSink::Http2(&client.output),
        }
    }

    /// Ends a gRPC call whose response has begun; `false` if it has not.
    pub(super) fn end_call(&mut self, code: Code, message: &str) -> bool {
        let Self::Http2(client) = self else {
            return false;
        };
        let output = client.output.get_mut();
        // A stream that is broken has nobody to tell.
        output.body.is_some() && output.end(Some(&trailers(code, message))).is_ok()
    }

    /// Whether nothing has come that was not used.
    pub(super) fn has_sent_nothing_more(&self) -> bool {
        match self {
            Self::Http1(client) => client.input.is_empty(),
            Self::Http2(client) => client.input.data().is_empty(),
        }
    }

    /// Uses up the rest of a request body that nobody wants, as far as it has arrived; says whether that was all of it.
    pub(super) fn discard_body(&mut self, body: &mut Decoder) -> bool {
        let Self::Http1(client) = self else {
            // A stream's rest is no part of any other message.
            return true;
        };
        while !body.is_done() {
            match body.decode(client.input.data_mut()) {
                Ok(step) if step.consumed > 0 => client.input.consume(step.consumed),
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }
}

impl Http1Client {
    pub(super) fn new(stream: Stream, timer: Timer, place: Place) -> Self {
        Self {
            stream,
            input: Buffer::default(),
            timer,
            place: Some(place),
        }
    }

    /// Whether its listener has one too many with it.
    pub(super) fn is_crowded(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_crowded)
    }
}

impl BodySource<'_> {
    /// Whether nothing waits that has not been taken.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Http1 { input, .. } => input.is_empty(),
            Self::Http2(incoming) => incoming.data().is_empty(),
        }
    }

    /// Moves the payload of what has arrived behind `kept`; gives how much it was.
    pub(super) fn take(
        &mut self,
        decoder: &mut Decoder,
        kept: &mut Vec<u8>,
    ) -> Result<usize, BodyError> {
        match self {
            Self::Http1 { input, .. } => {
                let step = decoder.decode(input.data_mut())?;
                kept.extend_from_slice(&input.data()[..step.produced]);
                input.consume(step.consumed);
                Ok(step.produced)
            }
            Self::Http2(incoming) => {
                let n = incoming.data().len();
                kept.extend_from_slice(incoming.data());
                incoming.consume(n);
                if incoming.is_done() {
                    decoder.finish(incoming.take_trailers());
                }
                Ok(n)
            }
        }
    }

    /// Polls for more; an error if there will be none though the body is not over.
    pub(super) fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &BufferPool,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Http1 { stream, input } => {
                let read = ready!(buffers.poll_fill(cx, *stream, input, BufferSize::Long))?;
                Poll::Ready(match read {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => Ok(()),
                })
            }
            Self::Http2(incoming) => {
                ready!(incoming.poll_more(cx)).map_err(|_| io::ErrorKind::ConnectionReset)?;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl ResponseSink<'_> {
    /// How much is read for it at a time. For a stream, no more than it takes at once: the rest would be held for as
    /// long as the client likes, and for each of its streams.
    pub(super) fn read_size(&self) -> BufferSize {
        match self {
            Self::Http1(_) => BufferSize::Long,
            Self::Http2(_) => BufferSize::Short,
        }
    }

    /// Ready when the client has left.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(stream) => stream.poll_closed(cx),
            Self::Http2(output) => {
                let output = &mut *output.borrow_mut();
                match &mut output.body {
                    Some(body) => body.poll_reset(cx),
                    None => output.respond.poll_reset(cx).map(drop),
                }
            }
        }
    }
}
