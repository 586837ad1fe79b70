//! A connection that changes its protocol (RFC 9110 section 7.8): from the head of a 101 on it is a tunnel. A stream of
//! HTTP/2 may be one, too (RFC 8441).

use std::{io, rc::Rc, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use super::{
    client::{After, Client, ClientOutput},
    conversation::Answered,
    deliver::AfterHead,
    error::HttpError,
    forward::Forwarding,
    message::{Framing, Name, list},
    peer::PeerLink,
    response::{Outbound, ResponseText},
    upload::Upload,
};
use crate::{
    net::{Buffer, Place, Relay, Shared, Side, Stream},
    telemetry::HeldRecord,
    upstream::{Lease, Tunnel},
};

impl Forwarding<'_, '_, '_> {
    /// Tells the client that the protocol changes, and joins its connection with the peer's.
    ///
    /// # Errors
    /// The peer changed it before it had all of the request.
    pub(super) async fn switch(
        &mut self,
        answered: Answered,
        lease: Lease,
        upload: &Upload<'_>,
    ) -> Result<After, HttpError> {
        let Answered { link, response } = answered;
        let PeerLink::Http1 { connection, input } = link else {
            return Err(TOO_EARLY);
        };
        if !upload.is_complete() {
            return Err(TOO_EARLY);
        }
        let offer = self.offer.take().unwrap_or_default();
        let mut chosen = response.fields.all(Name::Upgrade).flat_map(list);
        let after = AfterHead {
            framing: Framing::None,
            keep_alive: false,
            // A server that does not say which protocol it has chosen was offered but one.
            changes_to: Some(chosen.next().unwrap_or(&offer)),
        };
        let head = self.client_head(Vec::with_capacity(512), &response, &lease, after);
        self.exchange.status = Some(match head {
            ResponseText::Http1(_) => response.status,
            ResponseText::Http2(_) => StatusCode::OK,
        });
        let written = self.send_head(head).await;
        if written.is_err() {
            return Ok(After::Close);
        }
        let switched = Switched {
            peer: (connection.stream, input),
            idle: self.forward.timeouts.tunnel,
            line: self.exchange.hold(Instant::now()),
            lease,
        };
        match self.client {
            Client::Http1(client) => {
                let shared = &self.exchange.context.shared;
                let side = (client.stream.take(), std::mem::take(&mut client.input));
                let tunnel = switched.tunnel(side, shared, client.place.take());
                tokio::task::spawn_local(tunnel.run());
            }
            Client::Http2(client) => client.switched = Some(Box::new(switched)),
        }
        Ok(After::Close)
    }

    async fn send_head(&mut self, head: ResponseText) -> io::Result<()> {
        let output = ClientOutput {
            sink: self.client.sink(),
            timer: self.client.timer(),
            patience: self.exchange.site.timeouts.send,
        };
        Outbound::new(output, head, Framing::None).flush().await
    }
}

/// All that is left of an exchange that has become a tunnel, but for the client.
#[derive(Debug)]
pub(super) struct Switched {
    peer: (Stream, Buffer),
    idle: Duration,
    line: Option<Box<HeldRecord>>,
    lease: Lease,
}

impl Switched {
    /// Joins the peer with the client, from which some bytes have been read.
    /// `place` is the client's at its listener, or a part of one that others share.
    pub(super) fn tunnel<C: Side>(
        self,
        client: (C, Buffer),
        shared: &Rc<Shared>,
        place: Option<Place>,
    ) -> Tunnel<C> {
        let relay = Relay::new(client, self.peer, shared.timers.timer(), self.idle);
        Tunnel::new(shared, relay, self.lease, place, self.line)
    }
}

const TOO_EARLY: HttpError = HttpError::peer(
    StatusCode::BAD_GATEWAY,
    "switched protocols within the request",
);
