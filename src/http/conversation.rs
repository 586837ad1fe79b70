//! One try on one connection: the request goes out, the head of the response comes in.
//!
//! Both at the same time, for a peer may answer before it has read everything: one that refuses a
//! body often answers and then closes. A client that leaves while a peer takes its time ends the try.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

use super::{
    client::{Client, ClientInput, ClientOutput, ResponseSink},
    error::HttpError,
    h1::{InvalidResponse, parse_response},
    message::{Name, RequestHead, ResponseHead, list},
    peer::{PeerLink, ResponseSource, poll_head},
    upload::{Upload, UploadError},
    watch::Watch,
};
use crate::{
    config::{ClientTimeouts, PeerTimeouts},
    net::{BufferPool, Timer},
    upstream::{Failure, FailureKind},
};

/// A peer's head beyond this is no answer.
const MAX_HEAD: usize = 64 << 10;

/// A peer that has answered.
pub(super) struct Answered {
    pub(super) link: PeerLink,
    pub(super) response: ResponseHead,
}

/// A try without an answer.
pub(super) enum TryError {
    /// The peer's doing.
    Peer { failure: Failure, heard: Heard },
    /// The client's body is at fault.
    Client(HttpError),
    /// The client left.
    Gone,
}

impl TryError {
    /// The peer's failure, if it was one.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Peer { failure, .. } => Some(failure),
            Self::Client(_) | Self::Gone => None,
        }
    }
}

/// What had come from the peer when a try failed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Heard {
    /// Not a byte.
    #[default]
    Nothing,
    /// Something that is no answer.
    Something,
    /// An informational response, which the client has been sent: no other peer can be tried.
    PassedOn,
}

/// How long each side may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) client: ClientTimeouts,
    pub(super) peer: PeerTimeouts,
}

/// What the peer is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'r> {
    pub(super) head: &'r RequestHead,
    /// The protocols that the connection may change to.
    pub(super) offer: Option<&'r [u8]>,
}

/// One try on one connection.
pub(super) struct Conversation<'r> {
    link: PeerLink,
    buffers: &'r BufferPool,
    request: Asked<'r>,
    patience: Patience,
    since: Instant,
    state: State,
}

/// What the two directions of a try know of each other.
#[derive(Debug, Default)]
struct State {
    heard: Cell<Heard>,
    /// Whether a byte came since this was last asked.
    progress: Cell<bool>,
    /// Whether the client waits for 100.
    waits_for_100: Cell<bool>,
    /// Whether bytes of the body have come from the client since the try began.
    body_came: Cell<bool>,
    /// Whether an informational response is on its way to the client, which may be slow.
    passes_on: Cell<bool>,
}

impl<'r> Conversation<'r> {
    /// One that begins at `since`, which is now or a moment ago.
    pub(super) fn new(
        link: PeerLink,
        buffers: &'r BufferPool,
        request: Asked<'r>,
        patience: Patience,
        since: Instant,
    ) -> Self {
        Self {
            link,
            buffers,
            request,
            patience,
            since,
            state: State::default(),
        }
    }

    /// Sends what `upload` has begun and waits for the head of the response. The buffer goes back if there is none.
    pub(super) async fn run(
        mut self,
        client: &mut Client<'_>,
        upload: &mut Upload<'_>,
    ) -> Result<Answered, TryError> {
        let result = self.exchange(client, upload).await;
        let is_passing_on = self.state.passes_on.get();
        match result {
            Ok(response) => Ok(Answered {
                link: self.link,
                response,
            }),
            Err(error) => {
                self.give_up(&error);
                // Half an informational response is on its way: no other answer can follow it.
                if is_passing_on {
                    return Err(TryError::Gone);
                }
                Err(error)
            }
        }
    }

    fn give_up(self, error: &TryError) {
        match self.link {
            PeerLink::Http1 { input, .. } => self.buffers.give(input),
            PeerLink::Http2(stream) => {
                // Whoever is silent on one stream may be silent on all.
                if let TryError::Peer { failure, .. } = error
                    && failure.kind == FailureKind::Timeout
                {
                    stream.slot.retire();
                }
            }
        }
    }

    async fn exchange(
        &mut self,
        client: &mut Client<'_>,
        upload: &mut Upload<'_>,
    ) -> Result<ResponseHead, TryError> {
        let Patience {
            client: of_client,
            peer: of_peer,
        } = self.patience;
        let (source, sink, timer) = client.split();
        let state = &self.state;
        let waits_for_100 =
            self.request.head.expects_continue && !upload.received_any() && source.is_empty();
        state.waits_for_100.set(waits_for_100);
        // A client that waits for 100 waits for the peer, which has its own time for that.
        let body_patience = if waits_for_100 {
            of_client.body + of_peer.read
        } else {
            of_client.body
        };
        let mut input = ClientInput {
            source,
            buffers: self.buffers,
            has_come: &state.body_came,
            timer,
            patience: body_patience,
        };
        let is_stream = matches!(self.link, PeerLink::Http2(_));
        let (mut peer, source) = self.link.split();
        let mut head = HeadReader {
            source,
            buffers: self.buffers,
            request: self.request,
            client: ClientOutput {
                sink,
                timer,
                patience: of_client.send,
            },
            state,
        };
        let mut sending = pin!(upload.run(&mut input, &mut peer, timer, of_peer.send));
        let mut reading = pin!(head.read());
        let mut turn = PeersTurn {
            timer,
            patience: of_peer.read,
            since: Some(self.since),
        };
        let mut watch = Watch::new(sink, timer, self.since);
        let mut sent: Option<Result<(), Failure>> = None;
        poll_fn(|cx| {
            if sent.is_none()
                && let Poll::Ready(result) = sending.as_mut().poll(cx)
            {
                match outcome_of_sending(result, state) {
                    Ok(outcome) => sent = Some(outcome),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if let Poll::Ready(result) = reading.as_mut().poll(cx) {
                // What happened to a stream, it says by itself.
                let blamed = sent.as_ref().filter(|_| !is_stream);
                return Poll::Ready(blame_sending(result, blamed));
            }
            // To look at a client's stream costs nothing.
            let is_watched = sent.is_some() || matches!(sink, ResponseSink::Http2(_));
            if is_watched && watch.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(TryError::Gone));
            }
            turn.poll_late(cx, state, sent.is_some())
                .map(|()| Err(state.failed(&io::ErrorKind::TimedOut.into())))
        })
        .await
    }
}

/// Since when it has been the peer that everybody waits for.
struct PeersTurn<'t> {
    timer: &'t Timer,
    patience: Duration,
    since: Option<Instant>,
}

impl PeersTurn<'_> {
    /// Ready once the peer has been silent for too long.
    fn poll_late(&mut self, cx: &mut Context<'_>, state: &State, is_sent: bool) -> Poll<()> {
        let is_asked_for_100 = state.waits_for_100.get() && !state.body_came.get();
        let is_peers_turn = (is_sent || is_asked_for_100) && !state.passes_on.get();
        if state.progress.take() || !is_peers_turn {
            self.since = None;
        }
        if !is_peers_turn {
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.timer.poll_passed(cx, since + self.patience)
    }
}

/// What the end of sending means for the try: that it goes on (a peer that takes no more may have
/// answered already, and said why), or that it is over.
fn outcome_of_sending(
    result: Result<(), UploadError>,
    state: &State,
) -> Result<Result<(), Failure>, TryError> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(UploadError::Client(error)) => Err(TryError::Client(error)),
        Err(UploadError::Gone) => Err(TryError::Gone),
        Err(UploadError::Peer(failure)) => match failure.kind {
            FailureKind::Timeout => Err(TryError::Peer {
                failure,
                heard: state.heard.get(),
            }),
            _ => Ok(Err(failure)),
        },
    }
}

/// A peer that broke off without a word broke off when it was being sent to, if that failed.
fn blame_sending(
    result: Result<ResponseHead, TryError>,
    sent: Option<&Result<(), Failure>>,
) -> Result<ResponseHead, TryError> {
    match (result, sent) {
        (
            Err(TryError::Peer {
                heard: Heard::Nothing,
                ..
            }),
            Some(Err(failure)),
        ) => Err(TryError::Peer {
            failure: *failure,
            heard: Heard::Nothing,
        }),
        (result, _) => result,
    }
}

impl State {
    fn note(&self) {
        if self.heard.get() == Heard::Nothing {
            self.heard.set(Heard::Something);
        }
        self.progress.set(true);
    }

    fn failed(&self, error: &io::Error) -> TryError {
        TryError::Peer {
            failure: Failure::reading(error),
            heard: self.heard.get(),
        }
    }

    fn broke(&self, failure: Failure) -> TryError {
        TryError::Peer {
            failure,
            heard: self.heard.get(),
        }
    }

    fn invalid(&self, reason: &'static str) -> TryError {
        let failure = Failure {
            kind: FailureKind::InvalidHeader,
            sent: true,
            reason,
        };
        TryError::Peer {
            failure,
            heard: self.heard.get(),
        }
    }
}

/// Reads the head of a response, passing informational ones on.
struct HeadReader<'h> {
    source: ResponseSource<'h>,
    buffers: &'h BufferPool,
    request: Asked<'h>,
    client: ClientOutput<'h>,
    state: &'h State,
}

impl HeadReader<'_> {
    async fn read(&mut self) -> Result<ResponseHead, TryError> {
        loop {
            let head = match &mut self.source {
                ResponseSource::Http1 { .. } => self.read_text().await?,
                ResponseSource::Http2 { response, body } => {
                    let arrived =
                        poll_fn(|cx| poll_head(response, &self.request.head.method, body, cx))
                            .await;
                    let arrived = arrived.map_err(|failure| self.state.broke(failure))?;
                    self.state.note();
                    arrived
                }
            };
            if !head.status.is_informational() || self.is_agreed(&head)? {
                return Ok(head);
            }
            self.pass_on(&head).await?;
        }
    }

    /// Whether `head` says that the connection speaks another protocol from here on.
    fn is_agreed(&self, head: &ResponseHead) -> Result<bool, TryError> {
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(false);
        }
        let Some(offer) = self.request.offer else {
            return Err(self.state.invalid("switched protocols unasked"));
        };
        let mut chosen = head.fields.all(Name::Upgrade).flat_map(list);
        let is_offered =
            |protocol: &[u8]| list(offer).any(|offered| offered.eq_ignore_ascii_case(protocol));
        let is_agreed = match (chosen.next(), chosen.next()) {
            (Some(protocol), None) => is_offered(protocol),
            // One that does not say what it has chosen had no choice.
            (None, None) => list(offer).count() == 1,
            _ => false,
        };
        if is_agreed {
            Ok(true)
        } else {
            Err(self
                .state
                .invalid("switched to a protocol that was not offered"))
        }
    }

    /// Reads HTTP/1.1's text up to the end of a head.
    async fn read_text(&mut self) -> Result<ResponseHead, TryError> {
        let ResponseSource::Http1 { stream, input } = &mut self.source else {
            return Err(self.state.invalid("no text"));
        };
        let (state, size) = (self.state, self.client.sink.read_size());
        loop {
            // At first there is nothing to parse.
            let parsed = match input.data() {
                [] => Ok(None),
                data => parse_response(data, &self.request.head.method),
            };
            match parsed {
                Ok(Some((head, length))) => {
                    input.consume(length);
                    return Ok(head);
                }
                Ok(None) if input.len() >= MAX_HEAD => {
                    return Err(state.invalid("header too large"));
                }
                Ok(None) => {}
                Err(InvalidResponse(reason)) => return Err(state.invalid(reason)),
            }
            let fill = |cx: &mut Context<'_>| self.buffers.poll_fill(cx, *stream, input, size);
            match poll_fn(fill).await.map_err(|error| state.failed(&error))? {
                0 if !input.is_empty() => {
                    return Err(state.invalid("closed within the header"));
                }
                0 => return Err(state.failed(&io::ErrorKind::UnexpectedEof.into())),
                _ => state.note(),
            }
        }
    }

    /// Sends an informational response on to the client, if it can understand one.
    async fn pass_on(&mut self, head: &ResponseHead) -> Result<(), TryError> {
        let is_wanted = match head.status {
            StatusCode::CONTINUE => self.state.waits_for_100.replace(false),
            _ => true,
        };
        if !is_wanted || self.request.head.is_http_10() {
            return Ok(());
        }
        self.state.heard.set(Heard::PassedOn);
        self.state.passes_on.set(true);
        let written = self.client.informational(head).await;
        self.state.passes_on.set(false);
        written.map_err(|_| TryError::Gone)
    }
}
