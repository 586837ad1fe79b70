//! The only loop: pick a peer, connect, send, judge; and again only if the failure, the method and
//! the budget allow.

use std::{cell::Cell, future::poll_fn, pin::pin, task::Poll, time::Duration};

use http::{StatusCode, Version};
use tokio::time::Instant;

use super::{
    client::{After, Client, ClientInput, ClientOutput},
    error::HttpError,
    exchange::Exchange,
    h1::{Decoder, Framing, InvalidResponse, RequestHead, ResponseHead, parse_response},
    headers::{ClientHead, PeerHead, write_client_head, write_informational, write_peer_head},
    location::Rewrite,
    path::{Path, write_escaped},
    relay::{Relay, RelayError, framing_for_client},
    site::{Forward, Route},
    upload::{Upload, UploadError},
};
use crate::{
    config::HostSent,
    net::{Buffer, Stream, Timer},
    upstream::{
        Connection, Failure, FailureKind, Lease, NoLivePeer, PeerId, PickContext, TrySoFar, connect,
    },
};

/// A peer's head beyond this is no answer.
const MAX_RESPONSE_HEAD: usize = 64 << 10;

/// A request on its way to a pool.
pub(super) struct Forwarding<'f, 'c> {
    pub(super) client: &'f mut Client,
    pub(super) exchange: &'f mut Exchange<'c>,
    pub(super) request: &'f RequestHead,
    pub(super) route: &'f Route,
    pub(super) forward: &'f Forward,
    pub(super) path: &'f Path<'f>,
}

/// A peer that has answered.
struct Answered {
    connection: Connection,
    /// What came behind the head.
    input: Buffer,
    response: ResponseHead,
}

/// A try without an answer.
enum TryError {
    /// The peer's doing. `heard`: a byte of an answer came.
    Peer { failure: Failure, heard: bool },
    /// The client's body is at fault.
    Client(HttpError),
    /// The client left.
    Gone,
}

impl Forwarding<'_, '_> {
    /// Forwards the request and relays the response.
    ///
    /// # Errors
    /// What the client is to be told, if nothing was sent to it yet.
    pub(super) async fn run(mut self) -> Result<After, HttpError> {
        let mut upload = Upload::new(self.request.body, self.route.max_body);
        if may_be_long(self.request.body) {
            self.exchange
                .context
                .buffers
                .lengthen(&mut self.client.input);
        }
        let mut tried: Vec<PeerId> = Vec::new();
        let mut lease = self.pick(&tried).map_err(no_live_peer)?;
        loop {
            self.exchange.begin_attempt(lease.peer());
            let outcome = self.try_peer(&lease, &mut upload).await;
            tried.push(lease.peer().id());
            let so_far = TrySoFar {
                tries: tried.len(),
                elapsed: self.exchange.started.elapsed(),
                replayable: upload.is_replayable(),
            };
            match outcome {
                Ok(answered) => {
                    let status = answered.response.status;
                    self.exchange.answered(status);
                    let Some(next) = self.better_than(status, so_far, &tried) else {
                        lease.succeeded(Instant::now());
                        return Ok(self.relay(answered, &lease, upload).await);
                    };
                    turned_away(&mut lease, status);
                    self.exchange.end_attempt(None);
                    lease = next;
                }
                Err(TryError::Peer { failure, .. }) => {
                    lease.failed(Instant::now(), &failure);
                    self.exchange.end_attempt(Some(failure.reason));
                    let give_up = HttpError::peer(failure.status(), failure.reason);
                    if !self
                        .forward
                        .retry
                        .allows(&failure, &self.request.method, so_far)
                    {
                        return Err(give_up);
                    }
                    lease = self.pick(&tried).map_err(|_| give_up)?;
                }
                Err(TryError::Client(error)) => return Err(error),
                Err(TryError::Gone) => return Ok(After::Close),
            }
        }
    }

    fn pick(&self, tried: &[PeerId]) -> Result<Lease, NoLivePeer> {
        let context = PickContext {
            now: Instant::now(),
            client: self.exchange.client.address,
            tried,
        };
        self.forward.pool.pick(&context)
    }

    /// Another peer, if an answer with `status` is to be thrown away and there is one.
    fn better_than(&self, status: StatusCode, so_far: TrySoFar, tried: &[PeerId]) -> Option<Lease> {
        let turns_away = self
            .forward
            .retry
            .turns_away(status, &self.request.method, so_far);
        turns_away.then(|| self.pick(tried).ok()).flatten()
    }

    /// One try. A reused connection that its peer has closed meanwhile says nothing about the peer: it is replaced.
    async fn try_peer(&mut self, lease: &Lease, upload: &mut Upload) -> Result<Answered, TryError> {
        let context = self.exchange.context;
        let is_safe_twice = self
            .forward
            .retry
            .may_send_again(&self.request.method, true);
        if let Some(connection) = context.keepalive.take(lease.peer())
            && (is_safe_twice || connection.stream.is_quiet_now())
        {
            self.exchange.connected();
            match self.converse(connection, lease, upload).await {
                Err(TryError::Peer {
                    failure,
                    heard: false,
                }) if failure.kind == FailureKind::Error
                    && upload.is_replayable()
                    && (is_safe_twice || !failure.sent) => {}
                outcome => return outcome,
            }
        }
        let connecting = connect(lease, &mut self.client.peer, self.forward.timeouts.connect);
        let connection = unless_gone(&self.client.stream, connecting).await?;
        self.exchange.connected();
        self.converse(connection, lease, upload).await
    }

    /// Sends the request on `connection` and waits for the head of the response.
    async fn converse(
        &mut self,
        connection: Connection,
        lease: &Lease,
        upload: &mut Upload,
    ) -> Result<Answered, TryError> {
        upload.begin(self.peer_head(lease, upload));
        let Client {
            stream,
            input,
            reading,
            writing,
            peer: timer,
        } = &mut *self.client;
        let timeouts = self.forward.timeouts;
        let site = &self.exchange.site;
        let mut client = ClientInput {
            stream,
            input,
            timer: reading,
            patience: site.timeouts.body,
        };
        let waits_for_100 = self.request.expects_continue && !upload.received_any();
        let mut head = HeadReader {
            peer: &connection.stream,
            input: self.exchange.context.buffers.long(),
            request: self.request,
            waits_for_100,
            client: ClientOutput {
                stream,
                timer: writing,
                patience: site.timeouts.send,
            },
        };
        let response = exchange_heads(
            &mut head,
            upload,
            &mut client,
            timer,
            timeouts.send,
            timeouts.read,
        )
        .await;
        let HeadReader { input, .. } = head;
        match response {
            Ok(response) => Ok(Answered {
                connection,
                input,
                response,
            }),
            Err(error) => {
                self.exchange.context.buffers.give(input);
                Err(error)
            }
        }
    }

    fn peer_head(&self, lease: &Lease, upload: &Upload) -> Vec<u8> {
        let mut target = Vec::new();
        let peer = PeerHead {
            route: self.route,
            target: self.target(&mut target),
            host: match &self.forward.pool.config().host {
                HostSent::Client => self.request.host(),
                HostSent::Server => lease.authority().as_bytes(),
                HostSent::Literal(host) => host.as_bytes(),
            },
            framing: self.request.body,
            expects_continue: self.request.expects_continue && !upload.received_any(),
        };
        let mut head = Vec::with_capacity(1024);
        write_peer_head(&mut head, self.exchange, self.request, &peer);
        head
    }

    /// The target that the peer gets: the client's own, or with its prefix replaced in `space`.
    fn target<'t>(&'t self, space: &'t mut Vec<u8>) -> &'t [u8] {
        let sent = self.request.path_and_query();
        let Some(replacement) = &self.forward.replace_prefix else {
            return sent;
        };
        space.extend_from_slice(replacement.as_bytes());
        let prefix = self.route.path.as_bytes();
        match self
            .path
            .raw
            .strip_prefix(prefix)
            .filter(|_| !self.path.is_rearranged)
        {
            Some(below) => append_below(space, below),
            None => {
                let mut below = Vec::new();
                write_escaped(
                    &mut below,
                    self.path.normal.strip_prefix(prefix).unwrap_or_default(),
                );
                append_below(space, &below);
            }
        }
        if let Some(query) = self.request.query() {
            space.push(b'?');
            space.extend_from_slice(query);
        }
        space
    }

    /// Sends the response to the client, and what is still to come of the request to the peer.
    async fn relay(self, answered: Answered, lease: &Lease, mut upload: Upload) -> After {
        let Answered {
            connection,
            mut input,
            response,
        } = answered;
        let context = self.exchange.context;
        let framing = framing_for_client(response.body, self.request.version == Version::HTTP_11);
        // A client that is still sending when the answer is there may have to be cut off.
        let keep_alive = self.request.keep_alive
            && framing != Framing::UntilClose
            && upload.is_complete()
            && !context.drain.is_draining();
        let mut head = Vec::with_capacity(1024);
        self.write_head(&mut head, &response, lease, framing, keep_alive);
        self.exchange.status = Some(response.status);
        let site = &self.exchange.site;
        let Client {
            stream,
            input: client_input,
            reading,
            writing,
            peer: timer,
        } = &mut *self.client;
        let mut send_timer = Timer::new();
        let mut source = ClientInput {
            stream,
            input: client_input,
            timer: reading,
            patience: site.timeouts.body,
        };
        let relay = Relay {
            peer: &connection.stream,
            input: &mut input,
            timer,
            patience: self.forward.timeouts.read,
            decoder: Decoder::new(response.body),
            framing,
            client: ClientOutput {
                stream,
                timer: writing,
                patience: site.timeouts.send,
            },
            bytes: &mut self.exchange.bytes,
        };
        let result = if upload.is_complete() {
            relay.run(&mut head).await
        } else {
            let rest = upload.run(
                &mut source,
                &connection.stream,
                &mut send_timer,
                self.forward.timeouts.send,
            );
            while_sending(relay.run(&mut head), rest).await
        };
        let is_reusable = response.keep_alive && upload.is_complete() && input.is_empty();
        if result.is_ok() && is_reusable {
            context.keepalive.give(
                lease.peer(),
                connection,
                &self.forward.pool.config().keepalive,
            );
        }
        context.buffers.give(input);
        match result {
            Ok(()) if keep_alive => After::KeepAlive,
            Ok(()) if upload.is_complete() && self.client.input.is_empty() => After::Close,
            Ok(()) => After::Linger,
            Err(RelayError::Peer) => After::Reset,
            Err(RelayError::Client) => After::Close,
        }
    }

    fn write_head(
        &self,
        head: &mut Vec<u8>,
        response: &ResponseHead,
        lease: &Lease,
        framing: Framing,
        keep_alive: bool,
    ) {
        let pool = &self.forward.pool;
        let rewrite = Rewrite {
            peer: lease.peer().address(),
            authority: lease.authority(),
            pool: pool.name(),
            host_sent: match &pool.config().host {
                HostSent::Client => self.request.host(),
                HostSent::Server => lease.authority().as_bytes(),
                HostSent::Literal(host) => host.as_bytes(),
            },
            client_host: self.request.host(),
            is_https: self.exchange.client.is_https,
            prefix: self
                .forward
                .replace_prefix
                .as_deref()
                .map(|known| (known, self.route.path.as_str())),
        };
        let client = ClientHead {
            route: self.route,
            framing,
            keep_alive,
            rewrite,
        };
        write_client_head(head, self.exchange, self.request, response, &client);
    }
}

/// Joins a replaced prefix and what is below it with one slash.
fn append_below(target: &mut Vec<u8>, below: &[u8]) {
    match (target.last() == Some(&b'/'), below.first() == Some(&b'/')) {
        (true, true) => target.extend_from_slice(&below[1..]),
        (false, false) if !below.is_empty() => {
            target.push(b'/');
            target.extend_from_slice(below);
        }
        _ => target.extend_from_slice(below),
    }
}

/// Whether a body framed by `framing` is worth a long buffer.
fn may_be_long(framing: Framing) -> bool {
    match framing {
        Framing::None => false,
        Framing::Length(length) => length > 16 << 10,
        Framing::Chunked | Framing::UntilClose => true,
    }
}

/// A listed status is a failure of the peer, except those that are about the request (nginx's rule).
fn turned_away(lease: &mut Lease, status: StatusCode) {
    let now = Instant::now();
    if matches!(status.as_u16(), 403 | 404 | 429) {
        lease.succeeded(now);
    } else {
        lease.failed_because(now, &format!("answered {}", status.as_u16()));
    }
}

fn no_live_peer(nobody: NoLivePeer) -> HttpError {
    let seconds = nobody.retry_in.map_or(1, |lasting| lasting.as_secs() + 1);
    let detail = match nobody.retry_in {
        Some(_) => format!(
            "pool {} has no live server; the next is tried in {seconds} s",
            nobody.pool
        ),
        None => format!("pool {} has no live server", nobody.pool),
    };
    HttpError::no_live_peer(detail, seconds)
}

/// What connecting gives, unless the client leaves first.
async fn unless_gone(
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

/// Relays a response while the rest of the request is still being sent. What becomes of that decides nothing any more.
async fn while_sending(
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

/// Sends the request and reads the head of the response, at the same time: a peer may answer before
/// it has read everything, and one that refuses a body often answers and then closes.
async fn exchange_heads(
    head: &mut HeadReader<'_>,
    upload: &mut Upload,
    client: &mut ClientInput<'_>,
    timer: &mut Timer,
    send_patience: Duration,
    read_patience: Duration,
) -> Result<ResponseHead, TryError> {
    let client_stream = client.stream;
    let peer = head.peer;
    let mut send_timer = Timer::new();
    let sent_result = {
        // Nearly every request is sent in one piece before there is anything to read.
        let mut sending = pin!(upload.run(client, peer, &mut send_timer, send_patience));
        let first = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
        match first {
            Poll::Ready(result) => Ok(result),
            Poll::Pending => {
                let mut reading = pin!(head.read());
                poll_fn(|cx| {
                    if let Poll::Ready(result) = sending.as_mut().poll(cx) {
                        return Poll::Ready(Ok(result));
                    }
                    reading.as_mut().poll(cx).map(Err)
                })
                .await
            }
        }
    };
    let send_error = match sent_result {
        Err(read) => return read,
        Ok(Ok(())) => None,
        Ok(Err(UploadError::Client(error))) => return Err(TryError::Client(error)),
        Ok(Err(UploadError::Gone)) => return Err(TryError::Gone),
        // The answer may be there already, and say why.
        Ok(Err(UploadError::Peer(error))) => Some(Failure::sending(&error, upload.sent_any())),
    };
    let response = head.read_in_time(client_stream, timer, read_patience).await;
    match (response, send_error) {
        (Err(TryError::Peer { heard: false, .. }), Some(failure)) => Err(TryError::Peer {
            failure,
            heard: false,
        }),
        (response, _) => response,
    }
}

/// Reads the head of a response, passing informational ones on.
struct HeadReader<'h> {
    peer: &'h Stream,
    input: Buffer,
    request: &'h RequestHead,
    waits_for_100: bool,
    client: ClientOutput<'h>,
}

impl HeadReader<'_> {
    /// Waits for a head, `patience` between two reads, as long as the client is there.
    async fn read_in_time(
        &mut self,
        client: &Stream,
        timer: &mut Timer,
        patience: Duration,
    ) -> Result<ResponseHead, TryError> {
        let mut deadline = None;
        let progress = Cell::new(false);
        let heard = !self.input.is_empty();
        let mut reading = pin!(self.read_noting(&progress));
        poll_fn(|cx| {
            if let Poll::Ready(result) = reading.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            if progress.take() {
                deadline = None;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
            if timer.poll_passed(cx, deadline).is_ready() {
                let failure = Failure::reading(&std::io::ErrorKind::TimedOut.into());
                return Poll::Ready(Err(TryError::Peer { failure, heard }));
            }
            client.poll_closed(cx).map(|()| Err(TryError::Gone))
        })
        .await
    }

    async fn read(&mut self) -> Result<ResponseHead, TryError> {
        self.read_noting(&Cell::new(false)).await
    }

    async fn read_noting(&mut self, progress: &Cell<bool>) -> Result<ResponseHead, TryError> {
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
                Ok(None) if self.input.len() >= MAX_RESPONSE_HEAD => {
                    return Err(invalid("header too large"));
                }
                Ok(None) => {}
                Err(InvalidResponse(reason)) => return Err(invalid(reason)),
            }
            let heard = !self.input.is_empty();
            let broken = |error: std::io::Error| TryError::Peer {
                failure: Failure::reading(&error),
                heard,
            };
            let n = poll_fn(|cx| self.peer.poll_read(cx, self.input.space()))
                .await
                .map_err(broken)?;
            match n {
                0 if heard => return Err(invalid("closed within the header")),
                0 => return Err(broken(std::io::ErrorKind::UnexpectedEof.into())),
                n => self.input.filled(n),
            }
            progress.set(true);
        }
    }

    /// Sends an informational response on to the client, if it can understand one.
    async fn pass_on(&mut self, head: &ResponseHead) -> Result<(), TryError> {
        let is_wanted = match head.status {
            // Nobody asked to switch: lbd did not pass an Upgrade on.
            StatusCode::SWITCHING_PROTOCOLS => return Err(invalid("switched protocols unasked")),
            StatusCode::CONTINUE => std::mem::take(&mut self.waits_for_100),
            _ => true,
        };
        if !is_wanted || self.request.version != Version::HTTP_11 {
            return Ok(());
        }
        let mut out = Vec::with_capacity(256);
        write_informational(&mut out, head);
        let client = &mut self.client;
        client
            .stream
            .write_all(&out, client.timer, client.patience)
            .await
            .map_err(|_| TryError::Gone)
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
