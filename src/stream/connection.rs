//! One client's connection from accept to the tunnel that it becomes.

use std::{
    future::poll_fn, net::SocketAddr, pin::pin, rc::Rc, sync::Arc, task::Poll, time::Duration,
};

use tokio::time::Instant;

use super::{
    connect::Connecting,
    context::Context,
    forwarder::{Destination, Forwarder, Target},
    journal::{Journal, REFUSED},
    keys::Keys,
};
use crate::{
    config::{ProxyVersion, StreamProtocol},
    net::{
        Buffer, Deadline, Endpoints, Extensions, Farewell, Hello, Opening, Place, Relay, Shared,
        Stream, Timer, linger,
    },
    upstream::{Lease, Tunnel},
};

/// How long a server may take before it is looked whether the client still waits.
const PROMPT: Duration = Duration::from_millis(100);

/// Where connections come in.
#[derive(Clone, Copy, Debug)]
pub struct StreamArrival {
    /// The address as the file says it, and with the port that accepts.
    pub configured: SocketAddr,
    /// The same with the port that the system chose.
    pub actual: SocketAddr,
}

/// One client's connection, until a server is found for it.
#[derive(Debug)]
pub struct StreamConnection {
    shared: Rc<Shared>,
    forwarder: Arc<Forwarder>,
    arrival: StreamArrival,
    stream: Stream,
    /// What was read of it.
    input: Buffer,
    timer: Timer,
    client: SocketAddr,
    /// Its place at its stream, until a tunnel takes that over.
    place: Option<Place>,
}

/// Why nothing is passed on, in words for a log.
enum Refusal {
    /// There is no TLS, as far as the client was told.
    Handshake(String),
    Other(String),
}

/// What is known of a client before anything is passed on.
struct Known {
    ends: Endpoints,
    extensions: Extensions,
    destination: Arc<Destination>,
}

impl StreamConnection {
    /// A connection from `client` that was just accepted; `None` if nothing is done with it any more.
    pub fn new(
        context: &Context,
        stream: Stream,
        client: SocketAddr,
        arrival: &StreamArrival,
    ) -> Option<Self> {
        let forwarders = &context.forwarders;
        let forwarder = forwarders.forwarder(arrival.configured, StreamProtocol::Tcp)?;
        let place = forwarder.gate.enter(arrival.configured)?;
        if place.is_crowded() {
            // There is no way to say so.
            return None;
        }
        context.shared.drain.enter();
        Some(Self {
            place: Some(place),
            timer: context.shared.timers.timer(),
            shared: Rc::clone(&context.shared),
            forwarder,
            arrival: *arrival,
            stream,
            input: Buffer::default(),
            client,
        })
    }

    /// Joins the connection with one to a server, as a task of its own.
    pub async fn serve(mut self) {
        let (shared, forwarder) = (Rc::clone(&self.shared), Arc::clone(&self.forwarder));
        let mut journal = Journal::new(&shared, &forwarder, self.client, self.arrival.actual);
        // Boxed, so that what waits for its server does not carry the space that was needed before.
        let known = Box::pin(shared.while_wanted(|| true, self.know(&mut journal)));
        let known = match known.await {
            None => return,
            Some(Ok(known)) => known,
            Some(Err(refusal)) => return Box::pin(self.refuse(refusal, &mut journal)).await,
        };
        let connecting = shared.while_wanted(|| true, self.connect(&known, &mut journal));
        let Some(Some((peer, lease))) = connecting.await else {
            return;
        };
        if let Some(patience) = forwarder.tcp_user_timeout {
            self.stream.give_up_unacknowledged_after(patience);
            peer.give_up_unacknowledged_after(patience);
        }
        let client = (self.stream.take(), std::mem::take(&mut self.input));
        let peer = (peer, Buffer::default());
        let timer = shared.timers.timer();
        let relay = Relay::new(client, peer, timer, forwarder.timeouts.idle);
        let tunnel = Tunnel::new(&shared, relay, lease, self.place.take(), journal.take_up());
        tokio::task::spawn_local(tunnel.run());
    }

    /// Learns who the client is and where it wants to go.
    async fn know(&mut self, journal: &mut Journal<'_>) -> Result<Known, Refusal> {
        let forwarder = Arc::clone(&self.forwarder);
        let deadline = Deadline::At(journal.started() + forwarder.timeouts.header);
        let mut ends = Endpoints {
            source: self.client,
            destination: self.stream.local_address().unwrap_or(self.arrival.actual),
        };
        let mut opening = Opening {
            stream: &mut self.stream,
            input: &mut self.input,
            shared: &self.shared,
            stats: forwarder.gate.stats(),
            timer: &self.timer,
            deadline,
        };
        if forwarder.proxy_protocol {
            let heard = opening.proxy_header(self.client, &forwarder.trusted_proxies);
            ends = heard.await.map_err(Refusal::Other)?.unwrap_or(ends);
            self.client = ends.source;
            journal.is_from(ends.source);
        }
        let mut extensions = Extensions::default();
        if let Some(tls) = &forwarder.tls {
            let agreed = opening.tls(tls).await;
            let agreed = agreed.map_err(|no_tls| Refusal::Handshake(no_tls.reason))?;
            let facts = opening.stream.tls_facts(agreed.identity.as_deref());
            extensions = facts.unwrap_or_default();
        }
        let (destination, extensions) = match &forwarder.target {
            Target::Pool(destination) => (Arc::clone(destination), extensions),
            Target::Sni(by_sni) => {
                let hello = opening.hello().await.map_err(Refusal::Other)?;
                let found = by_sni.find(hello.name.as_deref());
                let destination = found.ok_or_else(|| Refusal::Other(nobody(&hello)))?;
                let extensions = Extensions {
                    name: hello.name,
                    alpn: hello.alpn,
                    tls: None,
                };
                (Arc::clone(destination), extensions)
            }
        };
        journal.is_for(&destination);
        Ok(Known {
            ends,
            extensions,
            destination,
        })
    }

    /// A connection to a server, unless the client leaves first.
    async fn connect(
        &mut self,
        known: &Known,
        journal: &mut Journal<'_>,
    ) -> Option<(Stream, Lease)> {
        let preface = match self.forwarder.send_proxy {
            None => Vec::new(),
            Some(ProxyVersion::V1) => known.ends.to_v1(),
            Some(ProxyVersion::V2) => known.ends.to_v2(&known.extensions),
        };
        let of_pool = known.destination.pool.config().timeouts.connect;
        let timer = self.shared.timers.timer();
        let pool = &known.destination.pool;
        let connecting = Connecting {
            destination: &known.destination,
            keys: Keys::new(pool, known.ends.source, self.arrival.actual.port()),
            timer: &timer,
            patience: self.forwarder.timeouts.connect.unwrap_or(of_pool),
            preface: &preface,
        };
        let mut connecting = pin!(connecting.run(journal));
        let looks_at = Instant::now() + PROMPT;
        poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(connected);
            }
            if self.input.is_empty() && self.timer.poll_passed(cx, looks_at).is_ready() {
                return self.stream.poll_closed(cx).map(|()| None);
            }
            Poll::Pending
        })
        .await
    }

    async fn refuse(&mut self, refusal: Refusal, journal: &mut Journal<'_>) {
        journal.ends_with(REFUSED);
        let (client, listener) = (self.client, self.arrival.actual);
        match refusal {
            Refusal::Handshake(failure) => {
                tracing::info!(%client, %listener, failure, "TLS handshake failed");
                // So that the client hears what it was told.
                linger(&self.stream, &self.timer, Farewell::Curt).await;
            }
            Refusal::Other(failure) => {
                tracing::info!(%client, %listener, failure, "connection refused");
            }
        }
    }
}

impl Drop for StreamConnection {
    fn drop(&mut self) {
        self.shared.drain.leave();
    }
}

fn nobody(hello: &Hello) -> String {
    match &hello.name {
        Some(name) => format!("no pool for the name {name}"),
        None => "no TLS, or no name in it".to_owned(),
    }
}
