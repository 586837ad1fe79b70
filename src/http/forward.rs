//! The only loop: pick a peer, connect, send, judge; and again only if the failure, the method and
//! the budget allow.

use std::{borrow::Cow, cell::Cell, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use super::{
    client::{After, Client, ClientInput, ClientOutput},
    conversation::{Answered, Conversation, Heard, Patience, TryError},
    error::HttpError,
    exchange::Exchange,
    grpc,
    h1::{Decoder, Framing, RequestHead, ResponseHead},
    h2::HeadFields,
    headers::{
        ClientHead, PeerHead, write_client_fields, write_client_head, write_peer_fields,
        write_peer_head,
    },
    location::Rewrite,
    path::Path,
    peer::{PeerLink, PeerStream},
    relay::{Relay, RelayError, framing_for_client, while_sending},
    response::{Outbound, ResponseText},
    site::{Forward, Route},
    upload::Upload,
    watch::unless_gone,
};
use crate::{
    config::{HostSent, PeerProtocol},
    upstream::{
        Connection, FailureKind, Lease, NoLivePeer, PeerId, PickContext, Slot, TrySoFar, Way,
        connect,
    },
};

/// How long a client of HTTP/2 may be silent once it is answered: while the peer talks, the client may listen.
const WHOLE_STREAM: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How often a request is offered again to peers that are all too busy to look at it.
const MOST_REFUSALS: usize = 4;

/// A request on its way to a pool.
pub(super) struct Forwarding<'f, 'k, 'c> {
    pub(super) client: &'f mut Client<'k>,
    pub(super) exchange: &'f mut Exchange<'c>,
    pub(super) request: &'f RequestHead,
    pub(super) route: &'f Route,
    pub(super) forward: &'f Forward,
    pub(super) path: &'f Path<'f>,
}

impl Forwarding<'_, '_, '_> {
    /// Forwards the request and relays the response.
    ///
    /// # Errors
    /// What the client is to be told, if nothing was sent to it yet.
    pub(super) async fn run(mut self) -> Result<After, HttpError> {
        let mut upload = Upload::new(
            self.request.version,
            self.request.body,
            self.route.max_body,
            &self.route.request_headers,
            self.exchange.site.underscores_in_headers,
        );
        let outcome = match self.find_answer(&mut upload).await {
            Ok(Some((answered, lease))) => self.relay(answered, &lease, &mut upload).await,
            Ok(None) => Ok(After::Close),
            Err(error) => Err(error),
        };
        // What lbd answers by itself must not begin where the body does.
        self.exchange.body = upload.into_body();
        outcome
    }

    /// Tries peers until one has answered; `None` if the client leaves first.
    async fn find_answer(
        &mut self,
        upload: &mut Upload<'_>,
    ) -> Result<Option<(Answered, Lease)>, HttpError> {
        let mut tried: Vec<PeerId> = Vec::new();
        let mut now = self.exchange.times.arrived;
        let mut lease = self.pick(&tried, now).map_err(no_live_peer)?;
        let mut refusals = 0;
        loop {
            self.exchange.begin_attempt(lease.peer(), now);
            let outcome = self.try_peer(&lease, upload, now).await;
            now = Instant::now();
            let policy = &self.forward.retry;
            let method = &self.request.method;
            match outcome {
                Ok(answered) => {
                    let status = answered.response.status;
                    self.exchange.answered(status, now);
                    if !self.is_turned_away(&answered, self.so_far(&tried, now, upload)) {
                        lease.succeeded(now);
                        return Ok(Some((answered, lease)));
                    }
                    tried.push(lease.peer().id());
                    let Ok(next) = self.pick(&tried, now) else {
                        lease.succeeded(now);
                        return Ok(Some((answered, lease)));
                    };
                    turned_away(&mut lease, &answered.response, now);
                    self.exchange.end_attempt(None, now);
                    lease = next;
                }
                Err(TryError::Peer { failure, heard }) => {
                    if failure.kind != FailureKind::Refused {
                        lease.failed(now, &failure);
                    }
                    self.exchange.end_attempt(Some(failure.reason), now);
                    let give_up = HttpError::peer(failure.status(), failure.reason);
                    let so_far = self.so_far(&tried, now, upload);
                    if heard == Heard::PassedOn || !policy.allows(&failure, method, so_far) {
                        return Err(give_up);
                    }
                    tried.push(lease.peer().id());
                    if let Ok(next) = self.pick(&tried, now) {
                        lease = next;
                    } else if failure.kind == FailureKind::Refused && refusals < MOST_REFUSALS {
                        // All are busy, and one of them will have room in a moment.
                        refusals += 1;
                        lease = self.pick(&[], now).map_err(|_| give_up)?;
                    } else {
                        return Err(give_up);
                    }
                }
                Err(TryError::Client(error)) => return Err(error),
                Err(TryError::Gone) => return Ok(None),
            }
        }
    }

    /// Whether an answer is thrown away for another peer's.
    fn is_turned_away(&self, answered: &Answered, so_far: TrySoFar) -> bool {
        let policy = &self.forward.retry;
        if grpc::is_unavailable(&answered.response) && policy.lists_grpc_unavailable() {
            return policy.turns_away_unavailable(so_far);
        }
        policy.lists(answered.response.status) && policy.turns_away(&self.request.method, so_far)
    }

    fn so_far(&self, tried: &[PeerId], now: Instant, upload: &Upload<'_>) -> TrySoFar {
        TrySoFar {
            tries: tried.len() + 1,
            elapsed: now.duration_since(self.exchange.times.started),
            replayable: upload.is_replayable(),
        }
    }

    fn pick(&self, tried: &[PeerId], now: Instant) -> Result<Lease, NoLivePeer> {
        let context = PickContext {
            now,
            client: self.exchange.client.address,
            tried,
        };
        self.forward.pool.pick(&context)
    }

    /// One try. A reused connection that its peer has closed meanwhile says nothing about the peer: it is replaced.
    async fn try_peer(
        &mut self,
        lease: &Lease,
        upload: &mut Upload<'_>,
        now: Instant,
    ) -> Result<Answered, TryError> {
        match self.forward.pool.transport().protocol {
            PeerProtocol::Http1 => self.try_connection(lease, upload, now).await,
            PeerProtocol::Http2 => self.try_stream(lease, upload, now).await,
        }
    }

    /// One try in HTTP/1.1.
    async fn try_connection(
        &mut self,
        lease: &Lease,
        upload: &mut Upload<'_>,
        now: Instant,
    ) -> Result<Answered, TryError> {
        let context = self.exchange.context;
        let transport = self.forward.pool.transport();
        let is_safe_twice = self
            .forward
            .retry
            .may_send_again(&self.request.method, true);
        if let Some(connection) = context
            .keepalive
            .take(lease.peer(), transport, lease.authority())
            && (is_safe_twice || connection.stream.is_quiet_now())
        {
            self.exchange.connected(now);
            match self.converse(connection, lease, upload, now).await {
                Err(error) if may_be_replaced(&error, upload, is_safe_twice) => {}
                outcome => return outcome,
            }
        }
        let patience = self.forward.timeouts.connect;
        let connecting = connect(transport, lease, self.client.timer(), patience);
        let connection = unless_gone(self.client, now, connecting).await?;
        let now = Instant::now();
        self.exchange.connected(now);
        self.converse(connection, lease, upload, now).await
    }

    /// One try in HTTP/2. A connection may have gone away since it was used last, like any other; and a peer
    /// that closes one does not look at streams that were on their way.
    async fn try_stream(
        &mut self,
        lease: &Lease,
        upload: &mut Upload<'_>,
        mut now: Instant,
    ) -> Result<Answered, TryError> {
        const MOST_TRIES: usize = 5;
        let policy = &self.forward.retry;
        let is_safe_twice = policy.may_send_again(&self.request.method, true);
        let mut tries = 0;
        loop {
            let way = Way {
                lease,
                transport: self.forward.pool.transport(),
                limits: &self.forward.pool.config().keepalive,
                timer: self.client.timer(),
                patience: self.forward.timeouts.connect,
            };
            let connecting = self.exchange.context.multiplexed.slot(&way);
            let (slot, is_reused) = unless_gone(self.client, now, connecting).await?;
            now = Instant::now();
            self.exchange.connected(now);
            let error = match self.converse_on(slot, lease, upload, now).await {
                Err(error) => error,
                Ok(answered) => return Ok(answered),
            };
            let may_go_on = match error.failure() {
                Some(failure) if failure.kind == FailureKind::Refused => false,
                Some(failure) if failure.sent => {
                    is_reused
                        && failure.kind == FailureKind::Lost
                        && may_be_replaced(&error, upload, is_safe_twice)
                }
                _ => may_be_replaced(&error, upload, false),
            };
            tries += 1;
            if !may_go_on || tries == MOST_TRIES {
                return Err(error);
            }
        }
    }

    /// Sends the request on `connection` and waits for the head of the response.
    async fn converse(
        &mut self,
        connection: Connection,
        lease: &Lease,
        upload: &mut Upload<'_>,
        now: Instant,
    ) -> Result<Answered, TryError> {
        let mut head = Vec::with_capacity(1024);
        let target = self.target();
        write_peer_head(
            &mut head,
            self.exchange,
            self.request,
            &self.peer_head(lease, upload, &target),
        );
        upload.begin(head);
        self.hear(PeerLink::http1(connection), upload, now).await
    }

    /// The same on a stream.
    async fn converse_on(
        &mut self,
        slot: Slot,
        lease: &Lease,
        upload: &mut Upload<'_>,
        now: Instant,
    ) -> Result<Answered, TryError> {
        let mut fields = HeadFields::default();
        let target = self.target();
        let head = self.peer_head(lease, upload, &target);
        write_peer_fields(&mut fields, self.exchange, self.request, &head);
        let is_https = self.forward.pool.config().tls.is_some();
        let unfit = HttpError::client(StatusCode::BAD_REQUEST, "no request for HTTP/2");
        let request = fields
            .into_request(self.request.method.clone(), &target, is_https)
            .ok_or(TryError::Client(unfit))?;
        upload.begin_stream();
        let failed = |failure| TryError::Peer {
            failure,
            heard: Heard::Nothing,
        };
        let stream = PeerStream::open(slot, request, upload.is_empty()).map_err(failed)?;
        self.hear(PeerLink::Http2(stream), upload, now).await
    }

    async fn hear(
        &mut self,
        link: PeerLink,
        upload: &mut Upload<'_>,
        now: Instant,
    ) -> Result<Answered, TryError> {
        let patience = Patience {
            client: self.exchange.site.timeouts,
            peer: self.forward.timeouts,
        };
        let buffers = &self.exchange.context.buffers;
        let conversation = Conversation::new(link, buffers, self.request, patience, now);
        conversation.run(self.client, upload).await
    }

    fn peer_head<'h>(
        &'h self,
        lease: &'h Lease,
        upload: &Upload<'_>,
        target: &'h [u8],
    ) -> PeerHead<'h> {
        PeerHead {
            route: self.route,
            target,
            host: self.host_sent(lease),
            framing: self.request.body,
            expects_continue: self.request.expects_continue && !upload.received_any(),
        }
    }

    /// The Host that the peer gets.
    fn host_sent<'h>(&'h self, lease: &'h Lease) -> &'h [u8] {
        match &self.forward.pool.config().host {
            // HTTP/1.0 may do without one, HTTP/1.1 may not.
            HostSent::Client if self.request.host().is_empty() => lease.authority().as_bytes(),
            HostSent::Client => self.request.host(),
            HostSent::Server => lease.authority().as_bytes(),
            HostSent::Literal(host) => host.as_bytes(),
        }
    }

    /// The target that the peer gets: the client's own, or with its prefix replaced.
    fn target(&self) -> Cow<'_, [u8]> {
        match &self.forward.replace_prefix {
            None => Cow::Borrowed(self.request.path_and_query()),
            Some(replacement) => {
                let mut target = self
                    .path
                    .with_prefix_replaced(&self.route.path, replacement);
                if let Some(query) = self.request.query() {
                    target.push(b'?');
                    target.extend_from_slice(query);
                }
                Cow::Owned(target)
            }
        }
    }

    /// Sends the response to the client, and what is still to come of the request to the peer.
    ///
    /// # Errors
    /// The body was found to be none before a byte was sent.
    async fn relay(
        &mut self,
        mut answered: Answered,
        lease: &Lease,
        upload: &mut Upload<'_>,
    ) -> Result<After, HttpError> {
        let response = &answered.response;
        let framing = framing_for_client(response.body, self.request.is_http_10());
        // A client that is still sending when the answer is there may have to be cut off.
        let keep_alive = self.request.keep_alive
            && framing != Framing::UntilClose
            && upload.is_complete()
            && !self.exchange.context.drain.is_draining();
        let buffer = upload.take_frame();
        let head = self.client_head(buffer, response, lease, framing, keep_alive);
        self.exchange.status = Some(response.status);
        let result = self.send_both(head, &mut answered, framing, upload).await;
        if result == Err(RelayError::Unsent) {
            return Err(HttpError::peer(StatusCode::BAD_GATEWAY, "invalid body"));
        }
        if result == Err(RelayError::Peer) {
            self.exchange
                .end_attempt(Some("broke off within the body"), Instant::now());
            let (pool, server) = (self.forward.pool.name(), lease.peer().label());
            tracing::warn!("pool {pool}: server {server} broke off within the body of an answer");
        }
        let now = Instant::now();
        self.give_back(answered, lease, result.is_ok() && upload.is_complete(), now);
        Ok(match result {
            Ok(()) if keep_alive => After::KeepAlive(now),
            Ok(()) if self.may_close_at_once() => After::Close,
            Ok(()) => After::Linger,
            Err(RelayError::Peer | RelayError::Upload | RelayError::Unsent) => After::Reset,
            Err(RelayError::Client) => After::Close,
        })
    }

    /// Sends `head` and the body behind it, and meanwhile the rest of the request, if there is one.
    async fn send_both(
        &mut self,
        head: ResponseText,
        answered: &mut Answered,
        framing: Framing,
        upload: &mut Upload<'_>,
    ) -> Result<(), RelayError> {
        let buffers = &self.exchange.context.buffers;
        let timeouts = self.exchange.site.timeouts;
        let is_stream = matches!(self.client, Client::Http2(_));
        let (source, sink, timer) = self.client.split();
        let decoder = Decoder::new(answered.response.body);
        let Some((mut peer, body)) = answered.link.split_body(decoder) else {
            return Err(RelayError::Unsent);
        };
        let output = ClientOutput {
            sink,
            timer,
            patience: timeouts.send,
        };
        let relay = Relay {
            peer: body,
            buffers,
            timer,
            patience: self.forward.timeouts.read,
            edits: &self.route.response_headers,
            client: Outbound::new(output, head, framing),
            bytes: &mut self.exchange.bytes,
            last_words: grpc::last_words(self.request),
        };
        if upload.is_complete() {
            return relay.run().await;
        }
        let mut input = ClientInput {
            source,
            buffers,
            has_come: &Cell::new(false),
            timer,
            patience: if is_stream {
                WHOLE_STREAM
            } else {
                timeouts.body
            },
        };
        let rest = upload.run(&mut input, &mut peer, timer, self.forward.timeouts.send);
        while_sending(relay.run(), rest, is_stream).await
    }

    /// Gives the buffer back, and the connection, if both messages are over and nothing more came.
    fn give_back(&self, answered: Answered, lease: &Lease, is_over: bool, now: Instant) {
        let Answered { link, response } = answered;
        // A stream ends by itself.
        let PeerLink::Http1 {
            mut connection,
            input,
        } = link
        else {
            return;
        };
        let context = self.exchange.context;
        let is_reusable = is_over && response.keep_alive && input.is_empty();
        context.buffers.give(input);
        if is_reusable {
            connection.had_implied_end = response.body == Framing::None;
            context.keepalive.give(
                lease.peer(),
                connection,
                &self.forward.pool.config().keepalive,
                now,
            );
        }
    }

    /// Whether the client cannot lose the end of the response to a reset, which the kernel sends when
    /// bytes come for a socket that is closed: it asked for the end itself, sent no body behind which
    /// more could come, and what it was sent is short enough to have left at once.
    fn may_close_at_once(&self) -> bool {
        const LEAVES_AT_ONCE: u64 = 64 << 10;
        let has_body = self.request.body != Framing::None;
        !self.request.keep_alive
            && !has_body
            && self.client.has_sent_nothing_more()
            && self.exchange.bytes < LEAVES_AT_ONCE
    }

    /// The head that the client gets; `buffer` is memory for it.
    fn client_head(
        &self,
        mut buffer: Vec<u8>,
        response: &ResponseHead,
        lease: &Lease,
        framing: Framing,
        keep_alive: bool,
    ) -> ResponseText {
        let pool = &self.forward.pool;
        let rewrite = Rewrite {
            peer: lease.peer().address(),
            authority: lease.authority(),
            pool: pool.name(),
            host_sent: self.host_sent(lease),
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
        match self.client {
            Client::Http1(_) => {
                write_client_head(&mut buffer, self.exchange, self.request, response, &client);
                ResponseText::Http1(buffer)
            }
            Client::Http2(_) => {
                let mut fields = HeadFields::default();
                write_client_fields(&mut fields, self.exchange, self.request, response, &client);
                ResponseText::http2(response.status, fields)
            }
        }
    }
}

/// Whether a try on a connection that was used before failed in a way that may be the connection's alone.
fn may_be_replaced(error: &TryError, upload: &Upload<'_>, is_safe_twice: bool) -> bool {
    let TryError::Peer {
        failure,
        heard: Heard::Nothing,
    } = error
    else {
        return false;
    };
    failure.kind == FailureKind::Error && upload.is_replayable() && (is_safe_twice || !failure.sent)
}

/// A listed status is a failure of the peer, except those that are about the request (nginx's rule).
fn turned_away(lease: &mut Lease, response: &ResponseHead, now: Instant) {
    match response.status.as_u16() {
        _ if grpc::is_unavailable(response) => {
            lease.failed_because(now, "answered grpc-status 14");
        }
        403 | 404 | 429 => lease.succeeded(now),
        status => lease.failed_because(now, &format!("answered {status}")),
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
