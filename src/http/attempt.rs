//! One try at one peer: a connection or a stream to it, the head that it gets, and whether a connection
//! that failed says anything about the peer at all.

use std::borrow::Cow;

use http::StatusCode;
use tokio::time::Instant;

use super::{
    conversation::{Answered, Asked, Conversation, Heard, Patience, TryError},
    error::HttpError,
    forward::Forwarding,
    h2::HeadFields,
    headers::{PeerHead, write_peer_fields, write_peer_head},
    peer::{PeerLink, PeerStream},
    upload::Upload,
    watch::unless_gone,
};
use crate::{
    config::PeerProtocol,
    upstream::{Connection, FailureKind, Lease, Slot, Way, connect},
};

impl Forwarding<'_, '_, '_> {
    /// One try. A reused connection that its peer has closed meanwhile says nothing about the peer: it is replaced.
    pub(super) async fn try_peer(
        &mut self,
        lease: &Lease,
        upload: &mut Upload<'_>,
        now: Instant,
    ) -> Result<Answered, TryError> {
        match self.forward.pool.transport().protocol {
            PeerProtocol::Http1 => self.try_connection(lease, upload, now).await,
            // Boxed, so that a try in HTTP/1.1 does not carry the space that this one needs.
            PeerProtocol::Http2 => Box::pin(self.try_stream(lease, upload, now)).await,
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
                silence: self.forward.timeouts.send,
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
        self.hear(PeerLink::Http2(Box::new(stream)), upload, now)
            .await
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
        let buffers = &self.exchange.context.shared.buffers;
        let request = Asked {
            head: self.request,
            offer: self.offer.as_deref(),
        };
        let conversation = Conversation::new(link, buffers, request, patience, now);
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
            offer: self.offer.as_deref(),
        }
    }

    /// The Host that the peer gets.
    pub(super) fn host_sent<'h>(&'h self, lease: &'h Lease) -> &'h [u8] {
        self.forward.host_sent(self.request, lease.authority())
    }

    /// The target that the peer gets.
    fn target(&self) -> Cow<'_, [u8]> {
        self.forward
            .target(self.request, self.path, &self.route.path)
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
    matches!(failure.kind, FailureKind::Error | FailureKind::Lost)
        && upload.is_replayable()
        && (is_safe_twice || !failure.sent)
}
