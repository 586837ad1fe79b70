//! One client connection from accept to close.
//!
//! It is either asleep or awake. Asleep it is a socket, a timer and this small task; awake it
//! borrows a buffer from the worker and runs one request after the other until none is left over.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{self, Poll},
};

use http::StatusCode;
use tokio::time::Instant;

use super::{
    answer::Answer,
    client::{After, Client, Http1Client},
    context::Context,
    error::HttpError,
    exchange::{ClientSeen, Exchange, Times},
    h1::parse_request,
    h2::{H2Client, H2Connection, PREFACE},
    handler::handle,
    message::RequestHead,
    site::Site,
};
use crate::{
    config::Alpn,
    net::{
        Agreed, BufferSize, ClientIdentity, Deadline, Farewell, LAST_CHANCE, NoTls, Opening,
        Stream, linger,
    },
    telemetry::ListenerStats,
};

/// nginx's "The plain HTTP request was sent to HTTPS port".
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nServer: lbd\r\nConnection: close\r\n\
Content-Type: text/plain; charset=utf-8\r\nContent-Length: 46\r\n\r\n\
400 Bad Request: this port is for https only.\n";

/// Where connections come in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The listener's address as the file says it.
    pub listener: SocketAddr,
    /// The port that accepts them.
    pub port: u16,
}

/// One client's connection. All that an idle one costs is this, its task around it, what the
/// reactor knows of the socket, and a place in the timers.
#[derive(Debug)]
pub struct ClientConnection {
    context: Rc<Context>,
    client: Http1Client,
    /// The other end, or who the proxy there speaks for; and the port that the client has connected to.
    address: SocketAddr,
    port: u16,
    arrival: Rc<Arrival>,
    /// Who the client has proved to be.
    identity: Option<Box<ClientIdentity>>,
    is_https: bool,
    /// What its listener serves, as far as the connection knows.
    site: Arc<Site>,
    /// Whether no request has come yet.
    is_new: bool,
}

impl ClientConnection {
    /// A connection from `address` that was just accepted; `None` if nothing is served there any more.
    pub fn new(
        context: &Rc<Context>,
        stream: Stream,
        address: SocketAddr,
        arrival: &Rc<Arrival>,
    ) -> Option<Self> {
        let site = context.sites.site(arrival.listener)?;
        let place = site.gate.enter(arrival.listener)?;
        context.shared.drain.enter();
        Some(Self {
            context: Rc::clone(context),
            client: Http1Client::new(stream, context.shared.timers.timer(), place),
            address,
            port: arrival.port,
            arrival: Rc::clone(arrival),
            identity: None,
            is_https: site.tls.is_some(),
            site,
            is_new: true,
        })
    }

    /// Serves every request that comes, each by what is configured when it begins.
    pub async fn serve(&mut self) {
        let Site { tls, h2c, .. } = &*self.site;
        let is_settled = tls.is_none() && !h2c && !self.site.proxy_protocol;
        let spoken = if is_settled {
            Some(Alpn::Http11)
        } else {
            // Boxed, here and below, so that an idle connection does not carry the space that others need.
            Box::pin(self.agree()).await
        };
        match spoken {
            Some(Alpn::Http11) => self.serve_http1().await,
            Some(Alpn::H2) => Box::pin(self.hand_over().serve()).await,
            None => {}
        }
    }

    /// Learns who the client is, shakes hands, and finds out what is spoken; `None`: the connection is over.
    async fn agree(&mut self) -> Option<Alpn> {
        let deadline = Deadline::At(Instant::now() + self.site.timeouts.header);
        let Http1Client {
            stream,
            input,
            timer,
            ..
        } = &mut self.client;
        let (context, arrival, site) = (&*self.context, &*self.arrival, &*self.site);
        let mut opening = Opening {
            stream,
            input,
            shared: &context.shared,
            stats: site.gate.stats(),
            timer,
            deadline,
        };
        let (listener, client) = (arrival.listener, self.address);
        if site.proxy_protocol {
            let hearing = opening.proxy_header(client, &site.trusted_proxies);
            match while_wanted(context, arrival, hearing).await? {
                Ok(Some(ends)) => {
                    (self.address, self.port) = (ends.source, ends.destination.port())
                }
                // A connection of the proxy's own.
                Ok(None) => {}
                Err(failure) => {
                    tracing::info!(%client, %listener, failure, "connection refused");
                    return None;
                }
            }
        }
        let Some(tls) = &site.tls else {
            return match site.h2c {
                true => {
                    let is_http2 = opening.begins_with(PREFACE);
                    match while_wanted(context, arrival, is_http2).await? {
                        true => Some(Alpn::H2),
                        // What it says instead, or half of the preface, is for HTTP/1.1 to read.
                        false => (!input.is_empty()).then_some(Alpn::Http11),
                    }
                }
                false => Some(Alpn::Http11),
            };
        };
        match while_wanted(context, arrival, opening.tls(tls)).await? {
            Ok(Agreed { protocol, identity }) => {
                self.identity = identity;
                Some(protocol.unwrap_or(Alpn::Http11))
            }
            Err(NoTls { reason, is_plain }) => {
                if is_plain {
                    stream.write_now(USE_HTTPS).await;
                }
                let (client, failure) = (self.address, reason);
                tracing::info!(%client, %listener, failure, "TLS handshake failed");
                linger(stream, timer, Farewell::Curt).await;
                None
            }
        }
    }

    /// Gives the connection to HTTP/2.
    fn hand_over(&mut self) -> H2Connection {
        let timer = self.context.shared.timers.timer();
        H2Connection {
            client: Rc::new(H2Client {
                context: Rc::clone(&self.context),
                address: self.address,
                port: self.port,
                arrival: Rc::clone(&self.arrival),
                is_https: self.is_https,
                identity: self.identity.take(),
                is_crowded: self.client.is_crowded(),
                place: self.site.gate.part(),
                was_asked: Cell::new(false),
                open: Cell::new(0),
                idle_since: Cell::new(Instant::now()),
            }),
            stream: self.client.stream.take(),
            ahead: std::mem::take(&mut self.client.input),
            timer: std::mem::replace(&mut self.client.timer, timer),
            site: Arc::clone(&self.site),
        }
    }

    async fn serve_http1(&mut self) {
        let mut idle_since = None;
        loop {
            let mut deadline = idle_since.map(|since| since + self.site.timeouts.idle);
            // What was looked at to find out what is spoken is the beginning of a request.
            if self.client.input.is_empty()
                && !poll_fn(|cx| self.poll_woken(cx, &mut deadline)).await
            {
                return;
            }
            match Box::pin(self.serve_requests()).await {
                After::KeepAlive(since) => {
                    self.is_new = false;
                    idle_since = Some(since);
                }
                After::Close => return,
                After::Linger => {
                    let farewell =
                        Farewell::while_draining(self.context.shared.drain.is_draining());
                    let Http1Client { stream, timer, .. } = &self.client;
                    return Box::pin(linger(stream, timer, farewell)).await;
                }
                After::Reset => return self.client.stream.reset_on_close(),
            }
        }
    }

    /// Waits for the first bytes of a request and reads them; `false` if there will be none.
    fn poll_woken(
        &mut self,
        cx: &mut task::Context<'_>,
        deadline: &mut Option<Instant>,
    ) -> Poll<bool> {
        let Http1Client { stream, input, .. } = &mut self.client;
        let buffers = &self.context.shared.buffers;
        if let Poll::Ready(read) = buffers.poll_fill(cx, stream, input, BufferSize::Short) {
            let has_come = matches!(read, Ok(n) if n > 0);
            // What was configured when it begins: a sleeper holds no snapshot that is gone.
            return Poll::Ready(has_come && (self.follow() || self.is_new));
        }
        let header = self.site.timeouts.header;
        let mut until = *deadline.get_or_insert_with(|| Instant::now() + header);
        if !self.follow() || self.context.shared.drain.is_draining() {
            if !self.is_new {
                return Poll::Ready(false);
            }
            until = until.min(Instant::now() + LAST_CHANCE);
            *deadline = Some(until);
        }
        self.client.timer.poll_passed(cx, until).map(|()| false)
    }

    /// Takes up what is configured now; `false` if the listener is gone. A client that was accepted
    /// before that is still answered once, by what was configured last.
    fn follow(&mut self) -> bool {
        let sites = &self.context.sites;
        sites.follow(self.arrival.listener, &mut self.site)
    }

    /// Serves requests until none has begun to arrive.
    async fn serve_requests(&mut self) -> After {
        self.stats().woken.add(1);
        let after = self.serve_all().await;
        self.stats().slept.add(1);
        after
    }

    /// What is counted where the connection came in, whatever a reload makes of that; once it is a tunnel, that has its place.
    fn stats(&self) -> &ListenerStats {
        match &self.client.place {
            Some(place) => place.stats().own(),
            None => self.site.gate.stats().own(),
        }
    }

    async fn serve_all(&mut self) -> After {
        let mut now = Instant::now();
        let mut is_next = false;
        let after = loop {
            skip_empty_lines(&mut self.client);
            if self.client.input.is_empty() {
                break After::KeepAlive(now);
            }
            // A pipelined request is the next request: it sees what is configured now.
            if is_next && !self.follow() {
                break After::Linger;
            }
            match self.serve_request(now).await {
                After::KeepAlive(since) => now = since,
                after => break after,
            }
            is_next = true;
        };
        self.context
            .shared
            .buffers
            .give(std::mem::take(&mut self.client.input));
        after
    }

    /// Serves one request, of which at least a byte has arrived by now.
    async fn serve_request(&mut self, started: Instant) -> After {
        let Self {
            context,
            client,
            site,
            identity,
            ..
        } = self;
        let seen = ClientSeen::new(self.address, self.port, self.is_https);
        match read_head(client, site, started).await {
            Ok((request, arrived)) => {
                context.shared.buffers.release(&mut client.input);
                let times = Times { started, arrived };
                let mut exchange = Exchange::new(context, site, seen, &request, times);
                exchange.identity = identity.as_deref();
                exchange.is_crowded = client.is_crowded();
                handle(&mut Client::Http1(client), &mut exchange, &request).await
            }
            Err(NoHead::Broken) => {
                let mut exchange = Exchange::unreadable(context, site, seen, started);
                exchange.keep_line(client.input.data());
                After::Close
            }
            Err(NoHead::Refused(error)) => {
                tracing::debug!(client = %self.address, "refused: {error}");
                let mut exchange = Exchange::unreadable(context, site, seen, started);
                exchange.keep_line(client.input.data());
                Answer::error(&error, None, None)
                    .send(&mut Client::Http1(client), &mut exchange, None)
                    .await
            }
        }
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.context.shared.drain.leave();
    }
}

/// What `work` gives; `None` if the worker drains or the listener is gone and it takes longer than a moment more.
pub(super) async fn while_wanted<T>(
    context: &Context,
    arrival: &Arrival,
    work: impl Future<Output = T>,
) -> Option<T> {
    let is_served = || context.sites.site(arrival.listener).is_some();
    context.shared.while_wanted(is_served, work).await
}

/// Why there is no head.
enum NoHead {
    /// The client left within one.
    Broken,
    /// It is not one that lbd takes.
    Refused(HttpError),
}

/// Reads a head, of which at least a byte has come; all of it must have before the listener's header
/// deadline. Gives the time when it had, too.
async fn read_head(
    client: &mut Http1Client,
    site: &Site,
    started: Instant,
) -> Result<(RequestHead, Instant), NoHead> {
    let deadline = Deadline::At(started + site.timeouts.header);
    // A head ends with a line, so without a new line end there is nothing new to parse.
    let mut is_worth_parsing = true;
    let mut has_waited = false;
    loop {
        if is_worth_parsing || client.input.len() >= site.limits.uri {
            match parse_request(client.input.data(), site.limits) {
                Ok(Some((head, length))) => {
                    client.input.consume(length);
                    let arrived = if has_waited { Instant::now() } else { started };
                    return Ok((head, arrived));
                }
                Ok(None) => {}
                Err(error) => return Err(NoHead::Refused(error)),
            }
        }
        has_waited = true;
        let space = client.input.space();
        match client.stream.read(space, &client.timer, deadline).await {
            Ok(0) => return Err(NoHead::Broken),
            Ok(n) => {
                is_worth_parsing = memchr::memchr(b'\n', &space[..n]).is_some();
                client.input.filled(n);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(NoHead::Refused(TOO_SLOW));
            }
            Err(_) => return Err(NoHead::Broken),
        }
    }
}

const TOO_SLOW: HttpError =
    HttpError::client(StatusCode::REQUEST_TIMEOUT, "request header too slow");

/// Some clients send an empty line behind a body; a server ignores those before a request (RFC 9112 section 2.2).
fn skip_empty_lines(client: &mut Http1Client) {
    loop {
        match client.input.data() {
            [b'\r', b'\n', ..] => client.input.consume(2),
            [b'\n', ..] => client.input.consume(1),
            _ => return,
        }
    }
}
