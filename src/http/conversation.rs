//! One try on one connection: the request goes out, the head of the response comes in.
//!
//! Both at the same time, for a peer may answer before it has read everything: one that refuses a
//! body often answers and then closes. A client that leaves meanwhile ends the try.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll},
};

use http::{StatusCode, Version};
use tokio::time::Instant;

use super::{
    client::{Client, ClientInput, ClientOutput},
    error::HttpError,
    h1::{InvalidResponse, RequestHead, ResponseHead, parse_response},
    headers::write_informational,
    upload::{Upload, UploadError},
};
use crate::{
    config::{ClientTimeouts, PeerTimeouts},
    net::{Buffer, BufferPool, Stream, Timer},
    upstream::{Connection, Failure, FailureKind},
};

/// A peer's head beyond this is no answer.
const MAX_HEAD: usize = 64 << 10;

/// A peer that has answered.
pub(super) struct Answered {
    pub(super) connection: Connection,
    /// What came behind the head.
    pub(super) input: Buffer,
    pub(super) response: ResponseHead,
}

/// A try without an answer.
pub(super) enum TryError {
    /// The peer's doing. `heard`: a byte of an answer came.
    Peer { failure: Failure, heard: bool },
    /// The client's body is at fault.
    Client(HttpError),
    /// The client left.
    Gone,
}

/// How long each side may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) client: ClientTimeouts,
    pub(super) peer: PeerTimeouts,
}

/// One try on one connection.
pub(super) struct Conversation<'r> {
    connection: Connection,
    input: Buffer,
    buffers: &'r BufferPool,
    request: &'r RequestHead,
    patience: Patience,
    heard: Heard,
}

/// What has come from the peer so far.
#[derive(Debug, Default)]
struct Heard {
    /// A byte.
    anything: Cell<bool>,
    /// A byte since this was last asked.
    progress: Cell<bool>,
    /// What a client that waits for 100 waits for.
    permission: Cell<bool>,
}

impl<'r> Conversation<'r> {
    pub(super) fn new(
        connection: Connection,
        buffers: &'r BufferPool,
        request: &'r RequestHead,
        patience: Patience,
    ) -> Self {
        Self {
            connection,
            input: Buffer::default(),
            buffers,
            request,
            patience,
            heard: Heard::default(),
        }
    }

    /// Sends what `upload` has begun and waits for the head of the response. The buffer goes back if there is none.
    pub(super) async fn run(
        mut self,
        client: &mut Client,
        upload: &mut Upload,
    ) -> Result<Answered, TryError> {
        match self.exchange(client, upload).await {
            Ok(response) => Ok(Answered {
                connection: self.connection,
                input: self.input,
                response,
            }),
            Err(error) => {
                self.buffers.give(self.input);
                Err(error)
            }
        }
    }

    async fn exchange(
        &mut self,
        client: &mut Client,
        upload: &mut Upload,
    ) -> Result<ResponseHead, TryError> {
        let Patience {
            client: of_client,
            peer: of_peer,
        } = self.patience;
        let waits_for_100 = self.request.expects_continue && !upload.received_any();
        self.heard.permission.set(!waits_for_100);
        let Client {
            stream,
            input,
            reading,
            writing,
            peer: timer,
        } = client;
        // A client that waits for 100 waits for the peer, which has its own time for that.
        let body_patience = if waits_for_100 {
            of_client.body + of_peer.read
        } else {
            of_client.body
        };
        let mut source = ClientInput {
            stream,
            input,
            buffers: self.buffers,
            timer: reading,
            patience: body_patience,
        };
        let output = ClientOutput {
            stream,
            timer: writing,
            patience: of_client.send,
        };
        let peer = &self.connection.stream;
        let mut send_timer = Timer::new();
        let mut send_failure = None;
        let mut is_sent = false;
        let heard = &self.heard;
        let mut head = HeadReader {
            peer,
            input: &mut self.input,
            buffers: self.buffers,
            request: self.request,
            client: output,
            heard,
        };
        let response = {
            let mut sending = pin!(upload.run(&mut source, peer, &mut send_timer, of_peer.send));
            let mut reading = pin!(head.read());
            let mut deadline = None;
            poll_fn(|cx| {
                if !is_sent && let Poll::Ready(result) = sending.as_mut().poll(cx) {
                    is_sent = true;
                    match result {
                        Ok(()) => {}
                        Err(UploadError::Client(error)) => {
                            return Poll::Ready(Err(TryError::Client(error)));
                        }
                        Err(UploadError::Gone) => return Poll::Ready(Err(TryError::Gone)),
                        // The answer may be there already, and say why.
                        Err(UploadError::Peer(error)) => send_failure = Some(error),
                    }
                }
                if let Poll::Ready(result) = reading.as_mut().poll(cx) {
                    return Poll::Ready(result);
                }
                if heard.progress.take() {
                    deadline = None;
                }
                let is_peers_turn = is_sent || !heard.permission.get();
                if is_peers_turn && poll_late(cx, timer, &mut deadline, of_peer.read).is_ready() {
                    return Poll::Ready(Err(heard.failed(&io::ErrorKind::TimedOut.into())));
                }
                if is_sent {
                    stream.poll_closed(cx).map(|()| Err(TryError::Gone))
                } else {
                    Poll::Pending
                }
            })
            .await
        };
        match (response, send_failure) {
            (Err(TryError::Peer { heard: false, .. }), Some(error)) => Err(TryError::Peer {
                failure: Failure::sending(&error, upload.sent_any()),
                heard: false,
            }),
            (response, _) => response,
        }
    }
}

/// Ready once `patience` has passed since `deadline` was last empty.
fn poll_late(
    cx: &mut Context<'_>,
    timer: &mut Timer,
    deadline: &mut Option<Instant>,
    patience: std::time::Duration,
) -> Poll<()> {
    let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
    timer.poll_passed(cx, deadline)
}

impl Heard {
    fn note(&self) {
        self.anything.set(true);
        self.progress.set(true);
    }

    fn failed(&self, error: &io::Error) -> TryError {
        TryError::Peer {
            failure: Failure::reading(error),
            heard: self.anything.get(),
        }
    }
}

/// Reads the head of a response, passing informational ones on.
struct HeadReader<'h> {
    peer: &'h Stream,
    input: &'h mut Buffer,
    buffers: &'h BufferPool,
    request: &'h RequestHead,
    client: ClientOutput<'h>,
    heard: &'h Heard,
}

impl HeadReader<'_> {
    async fn read(&mut self) -> Result<ResponseHead, TryError> {
        loop {
            match parse_response(self.input.data(), &self.request.method) {
                Ok(Some((head, length))) => {
                    self.input.consume(length);
                    if !head.status.is_informational() {
                        return Ok(head);
                    }
                    self.pass_on(&head).await?;
                    continue;
                }
                Ok(None) if self.input.len() >= MAX_HEAD => {
                    return Err(invalid("header too large"));
                }
                Ok(None) => {}
                Err(InvalidResponse(reason)) => return Err(invalid(reason)),
            }
            let n = poll_fn(|cx| self.buffers.poll_fill(cx, self.peer, self.input)).await;
            match n.map_err(|error| self.heard.failed(&error))? {
                0 if !self.input.is_empty() => return Err(invalid("closed within the header")),
                0 => return Err(self.heard.failed(&io::ErrorKind::UnexpectedEof.into())),
                _ => self.heard.note(),
            }
        }
    }

    /// Sends an informational response on to the client, if it can understand one.
    async fn pass_on(&mut self, head: &ResponseHead) -> Result<(), TryError> {
        let is_wanted = match head.status {
            // Nobody asked to switch: lbd did not pass an Upgrade on.
            StatusCode::SWITCHING_PROTOCOLS => return Err(invalid("switched protocols unasked")),
            StatusCode::CONTINUE => !self.heard.permission.replace(true),
            _ => true,
        };
        if !is_wanted || self.request.version != Version::HTTP_11 {
            return Ok(());
        }
        let mut out = Vec::with_capacity(256);
        write_informational(&mut out, head);
        let client = &mut self.client;
        let sent = client
            .stream
            .write_all(&out, client.timer, client.patience)
            .await;
        sent.map_err(|_| TryError::Gone)
    }
}

fn invalid(reason: &'static str) -> TryError {
    TryError::Peer {
        failure: Failure {
            kind: FailureKind::InvalidHeader,
            sent: true,
            reason,
        },
        heard: true,
    }
}

/// What connecting gives, unless the client leaves first.
pub(super) async fn unless_gone(
    client: &Stream,
    connecting: impl Future<Output = Result<Connection, Failure>>,
) -> Result<Connection, TryError> {
    let mut connecting = pin!(connecting);
    poll_fn(|cx| {
        if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(|failure| TryError::Peer {
                failure,
                heard: false,
            }));
        }
        client.poll_closed(cx).map(|()| Err(TryError::Gone))
    })
    .await
}
