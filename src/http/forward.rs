//! The only loop: pick a peer, connect, send, judge; and again only if the failure, the method and
//! the budget allow.

use std::{borrow::Cow, cell::Cell};

use http::{StatusCode, Version};
use tokio::time::Instant;

use super::{
    client::{After, Client, ClientInput, ClientOutput},
    conversation::{Answered, Conversation, Heard, Patience, TryError},
    error::HttpError,
    exchange::Exchange,
    h1::{Decoder, Framing, RequestHead, ResponseHead},
    headers::{ClientHead, PeerHead, write_client_head, write_peer_head},
    location::Rewrite,
    path::Path,
    relay::{Relay, RelayError, framing_for_client, while_sending},
    site::{Forward, Route},
    upload::Upload,
    watch::unless_gone,
};
use crate::{
    config::HostSent,
    upstream::{
        Connection, FailureKind, Lease, NoLivePeer, PeerId, PickContext, TrySoFar, connect,
    },
};

/// A request on its way to a pool.
pub(super) struct Forwarding<'f, 'c> {
    pub(super) client: &'f mut Client,
    pub(super) exchange: &'f mut Exchange<'c>,
    pub(super) request: &'f RequestHead,
    pub(super) route: &'f Route,
    pub(super) forward: &'f Forward,
    pub(super) path: &'f Path<'f>,
}

impl Forwarding<'_, '_> {
    /// Forwards the request and relays the response.
    ///
    /// # Errors
    /// What the client is to be told, if nothing was sent to it yet.
    pub(super) async fn run(mut self) -> Result<After, HttpError> {
        let mut upload = Upload::new(
            self.request.body,
            self.route.max_body,
            &self.route.request_headers,
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
                    if !policy.lists(status)
                        || !policy.turns_away(method, self.so_far(&tried, now, upload))
                    {
                        lease.succeeded(now);
                        return Ok(Some((answered, lease)));
                    }
                    tried.push(lease.peer().id());
                    let Ok(next) = self.pick(&tried, now) else {
                        lease.succeeded(now);
                        return Ok(Some((answered, lease)));
                    };
                    turned_away(&mut lease, status, now);
                    self.exchange.end_attempt(None, now);
                    lease = next;
                }
                Err(TryError::Peer { failure, heard }) => {
                    lease.failed(now, &failure);
                    self.exchange.end_attempt(Some(failure.reason), now);
                    let give_up = HttpError::peer(failure.status(), failure.reason);
                    let so_far = self.so_far(&tried, now, upload);
                    if heard == Heard::PassedOn || !policy.allows(&failure, method, so_far) {
                        return Err(give_up);
                    }
                    tried.push(lease.peer().id());
                    lease = self.pick(&tried, now).map_err(|_| give_up)?;
                }
                Err(TryError::Client(error)) => return Err(error),
                Err(TryError::Gone) => return Ok(None),
            }
        }
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
        let context = self.exchange.context;
        let is_safe_twice = self
            .forward
            .retry
            .may_send_again(&self.request.method, true);
        if let Some(connection) = context.keepalive.take(lease.peer())
            && (is_safe_twice || connection.stream.is_quiet_now())
        {
            self.exchange.connected(now);
            match self.converse(connection, lease, upload, now).await {
                Err(TryError::Peer {
                    failure,
                    heard: Heard::Nothing,
                }) if failure.kind == FailureKind::Error
                    && upload.is_replayable()
                    && (is_safe_twice || !failure.sent) => {}
                outcome => return outcome,
            }
        }
        let connecting = connect(lease, &self.client.timer, self.forward.timeouts.connect);
        let connection = unless_gone(self.client, now, connecting).await?;
        let now = Instant::now();
        self.exchange.connected(now);
        self.converse(connection, lease, upload, now).await
    }

    /// Sends the request on `connection` and waits for the head of the response.
    async fn converse(
        &mut self,
        connection: Connection,
        lease: &Lease,
        upload: &mut Upload<'_>,
        now: Instant,
    ) -> Result<Answered, TryError> {
        upload.begin(self.peer_head(lease, upload));
        let patience = Patience {
            client: self.exchange.site.timeouts,
            peer: self.forward.timeouts,
        };
        let conversation = Conversation::new(
            connection,
            &self.exchange.context.buffers,
            self.request,
            patience,
            now,
        );
        conversation.run(self.client, upload).await
    }

    fn peer_head(&self, lease: &Lease, upload: &Upload<'_>) -> Vec<u8> {
        let peer = PeerHead {
            route: self.route,
            target: &self.target(),
            host: self.host_sent(lease),
            framing: self.request.body,
            expects_continue: self.request.expects_continue && !upload.received_any(),
        };
        let mut head = Vec::with_capacity(1024);
        write_peer_head(&mut head, self.exchange, self.request, &peer);
        head
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
        let framing = framing_for_client(response.body, self.request.version == Version::HTTP_11);
        // A client that is still sending when the answer is there may have to be cut off.
        let keep_alive = self.request.keep_alive
            && framing != Framing::UntilClose
            && upload.is_complete()
            && !self.exchange.context.drain.is_draining();
        let mut head = upload.take_frame();
        self.write_head(&mut head, response, lease, framing, keep_alive);
        self.exchange.status = Some(response.status);
        let result = self
            .send_both(&mut head, &mut answered, framing, upload)
            .await;
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
            Err(RelayError::Peer | RelayError::Unsent) => After::Reset,
            Err(RelayError::Client) => After::Close,
        })
    }

    /// Sends `head` and the body behind it, and meanwhile the rest of the request, if there is one.
    async fn send_both(
        &mut self,
        head: &mut Vec<u8>,
        answered: &mut Answered,
        framing: Framing,
        upload: &mut Upload<'_>,
    ) -> Result<(), RelayError> {
        let Answered {
            connection,
            input,
            response,
        } = answered;
        let buffers = &self.exchange.context.buffers;
        let timeouts = self.exchange.site.timeouts;
        let Client {
            stream,
            input: client_input,
            timer,
        } = &mut *self.client;
        let (stream, timer) = (&*stream, &*timer);
        let relay = Relay {
            peer: &connection.stream,
            input,
            buffers,
            timer,
            patience: self.forward.timeouts.read,
            decoder: Decoder::new(response.body),
            framing,
            edits: &self.route.response_headers,
            client: ClientOutput {
                stream,
                timer,
                patience: timeouts.send,
            },
            bytes: &mut self.exchange.bytes,
        };
        if upload.is_complete() {
            return relay.run(head).await;
        }
        let mut source = ClientInput {
            stream,
            input: client_input,
            buffers,
            has_come: &Cell::new(false),
            timer,
            patience: timeouts.body,
        };
        let rest = upload.run(
            &mut source,
            &connection.stream,
            timer,
            self.forward.timeouts.send,
        );
        while_sending(relay.run(head), rest).await
    }

    /// Gives the buffer back, and the connection, if both messages are over and nothing more came.
    fn give_back(&self, answered: Answered, lease: &Lease, is_over: bool, now: Instant) {
        let Answered {
            mut connection,
            input,
            response,
        } = answered;
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
            && self.client.input.is_empty()
            && self.exchange.bytes < LEAVES_AT_ONCE
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
        write_client_head(head, self.exchange, self.request, response, &client);
    }
}

/// A listed status is a failure of the peer, except those that are about the request (nginx's rule).
fn turned_away(lease: &mut Lease, status: StatusCode, now: Instant) {
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
