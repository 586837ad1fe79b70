//! A peer's answer on its way to the client: its head, the relay of its body, and what becomes of both connections.

use std::{cell::Cell, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use super::{
    client::{After, Client, ClientInput, ClientOutput},
    conversation::Answered,
    error::HttpError,
    forward::Forwarding,
    grpc,
    h1::Decoder,
    h2::HeadFields,
    headers::{ClientHead, write_client_fields, write_client_head},
    location::Rewrite,
    message::{Framing, ResponseHead},
    peer::PeerLink,
    relay::{Relay, RelayError, framing_for_client, while_sending},
    response::{Outbound, ResponseText},
    upload::Upload,
    variables::cookie,
};
use crate::{
    config::{ExposePlace, Sticky},
    telemetry::Seldom,
    upstream::Lease,
};

/// How long a client of HTTP/2 may be silent once it is answered: while the peer talks, the client may listen.
const WHOLE_STREAM: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Forwarding<'_, '_, '_> {
    /// Sends the response to the client, and what is still to come of the request to the peer.
    ///
    /// # Errors
    /// The body was found to be none before a byte was sent.
    pub(super) async fn relay(
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
            && !self.exchange.context.shared.drain.is_draining();
        let buffer = upload.take_frame();
        let after = AfterHead {
            framing,
            keep_alive,
            changes_to: None,
        };
        let head = self.client_head(buffer, response, lease, after);
        self.exchange.status = Some(response.status);
        let result = self.send_both(head, &mut answered, framing, upload).await;
        if result == Err(RelayError::Unsent) {
            return Err(HttpError::peer(StatusCode::BAD_GATEWAY, "invalid body"));
        }
        if result == Err(RelayError::Peer) {
            self.exchange
                .end_attempt(Some("broke off within the body"), Instant::now());
            complain_of_break(self.forward.pool.name(), lease.peer().label());
        }
        lease.moved(upload.received(), self.exchange.bytes);
        let now = Instant::now();
        self.exchange.ended = Some(now);
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
        let buffers = &self.exchange.context.shared.buffers;
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
        context.shared.buffers.give(input);
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

    /// What says which server has answered, if this client is to be told.
    fn exposed(&self, lease: &Lease) -> Option<(&str, Vec<u8>)> {
        let expose = self.forward.pool.config().expose.as_ref()?;
        let client = self.exchange.client.address;
        if expose.to.as_ref().is_some_and(|to| !to.trusts(client)) {
            return None;
        }
        let server = lease.exposed()?;
        match &expose.place {
            ExposePlace::Header(name) => Some((name, server.as_bytes().to_vec())),
            ExposePlace::Cookie(name) => {
                let has_it = cookie(self.request, name.as_bytes()) == Some(server.as_bytes());
                let told = || format!("{name}={server}; Path=/; SameSite=Lax").into_bytes();
                (!has_it).then(|| ("Set-Cookie", told()))
            }
        }
    }

    /// The head that the client gets; `buffer` is memory for it.
    pub(super) fn client_head(
        &self,
        mut buffer: Vec<u8>,
        response: &ResponseHead,
        lease: &Lease,
        after: AfterHead<'_>,
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
            cookie: lease.cookie(self.exchange.client.is_https),
            exposed: self.exposed(lease),
            own_cookie: match &pool.config().sticky {
                Some(Sticky::Cookie(cookie)) => Some(&cookie.name),
                _ => None,
            },
            route: self.route,
            framing: after.framing,
            keep_alive: after.keep_alive,
            changes_to: after.changes_to,
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
                let status = match response.status {
                    // That is how a stream changes (RFC 8441 section 4).
                    StatusCode::SWITCHING_PROTOCOLS => StatusCode::OK,
                    status => status,
                };
                ResponseText::http2(status, fields)
            }
        }
    }
}

/// What comes behind a response's head.
#[derive(Clone, Copy)]
pub(super) struct AfterHead<'a> {
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// Another protocol.
    pub(super) changes_to: Option<&'a [u8]>,
}

/// A server that dies breaks off all that it was at.
fn complain_of_break(pool: &str, server: &str) {
    static COMPLAINTS: Seldom = Seldom::new(Duration::from_secs(1));
    match COMPLAINTS.due() {
        Some(0) => {
            tracing::warn!("pool {pool}: server {server} broke off within the body of an answer");
        }
        Some(others) => tracing::warn!(
            "pool {pool}: server {server} broke off within the body of an answer, and {others} more broke off before"
        ),
        None => {}
    }
}
