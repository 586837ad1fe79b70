//! One client's HTTP/2 connection from its preface to its end.
//!
//! The connection's own task moves frames and accepts streams; each stream is a task of its own that
//! goes the way of every request. The connection ends when the client goes, when nothing has been
//! asked for too long, when its listener is gone or its worker drains (both after the streams that
//! were accepted), or when the client sends what only costs.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::Request;
use tokio::time::Instant;

use super::{
    Incoming, StreamSide,
    guard::{Fault, Guarded, Seen},
    outgoing::MOST_WAITING,
    request_head,
};
use crate::{
    http::{
        answer::Answer,
        client::{After, Client, Http2Client, Http2Output},
        context::Context,
        exchange::{ClientSeen, Exchange, Times},
        handler::handle,
        server::{Arrival, while_wanted},
        site::Site,
    },
    net::{Buffer, ClientIdentity, Deadline, Farewell, LAST_CHANCE, Place, Stream, Timer, linger},
    telemetry::Seldom,
    upstream::Tunnel,
};

/// How a client begins that knows it may (RFC 9113 section 3.4).
pub(in super::super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client may send before its requests' bodies are taken: for a stream 5 MB a second over 50 ms;
/// and for a connection so much that dozens of uploads and tunnels which nobody takes hold up no other, and that is
/// the most memory it can take.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// What the smallness of frames may cost, as the `h2` crate counts it, of messages of a few bytes that wait.
const SMALL_FRAMES: usize = 256 << 20;
/// Streams that the client resets before lbd has looked at them, and streams that lbd resets for
/// errors of the client's: beyond these it is an attack.
const MOST_UNSEEN_RESETS: usize = 200;
const MOST_ERRORS: usize = 200;

/// How long a client that was answered early may go on sending.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A client's connection.
pub(in super::super) struct H2Connection {
    pub(in super::super) client: Rc<H2Client>,
    pub(in super::super) stream: Stream,
    /// What has been read of it.
    pub(in super::super) ahead: Buffer,
    pub(in super::super) timer: Timer,
    /// What its listener serves.
    pub(in super::super) site: Arc<Site>,
}

/// What all streams of a connection share.
pub(in super::super) struct H2Client {
    pub(in super::super) context: Rc<Context>,
    pub(in super::super) address: SocketAddr,
    pub(in super::super) port: u16,
    pub(in super::super) arrival: Rc<Arrival>,
    pub(in super::super) is_https: bool,
    pub(in super::super) identity: Option<Box<ClientIdentity>>,
    /// Whether its listener has one connection too many with it, and whether it was asked for anything.
    pub(in super::super) is_crowded: bool,
    /// A part of the connection's place at its listener.
    pub(in super::super) place: Place,
    pub(in super::super) was_asked: Cell<bool>,
    /// Streams that are open, and since when there are none.
    pub(in super::super) open: Cell<usize>,
    pub(in super::super) idle_since: Cell<Instant>,
}

/// Where a connection is on its way to its end.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    No,
    /// It takes no new streams; those that are open are finished.
    Graceful,
    /// It is cut off.
    Abrupt,
}

impl H2Connection {
    pub(in super::super) async fn serve(self) {
        let Self {
            client,
            stream,
            ahead,
            timer,
            site,
        } = self;
        let stream = Rc::new(stream);
        let seen = Rc::new(Seen::default());
        let io = Guarded::new(Rc::clone(&stream), ahead, &seen);
        let shaking = builder(&site).handshake(io);
        let deadline = Deadline::After(site.timeouts.header);
        let shaken = timer.limit(deadline, shaking);
        let shaken = while_wanted(&client.context, &client.arrival, shaken).await;
        let Some(Some(Ok(connection))) = shaken else {
            return;
        };
        let mut life = Life {
            connection,
            client: &client,
            seen,
            timer: &timer,
            site,
            ending: Ending::No,
            ends_at: None,
        };
        poll_fn(|cx| life.poll(cx)).await;
        let ending = life.ending;
        drop(life);
        if ending != Ending::No {
            // What the client still sends must not make the kernel throw away what is on its way to it.
            let farewell = match ending {
                Ending::Abrupt => Farewell::Curt,
                _ => Farewell::while_draining(client.context.shared.drain.is_draining()),
            };
            linger(&stream, &timer, farewell).await;
        }
    }
}

fn builder(site: &Site) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .enable_connect_protocol()
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(site.max_streams)
        .max_header_list_size(u32::try_from(site.limits.header).unwrap_or(u32::MAX))
        .max_send_buffer_size(MOST_WAITING)
        .max_pending_accept_reset_streams(MOST_UNSEEN_RESETS)
        .max_local_error_reset_streams(Some(MOST_ERRORS))
        // What the client had on the way to streams that lbd has just reset is no error.
        .max_concurrent_reset_streams(site.max_streams as usize)
        .data_frame_budget(SMALL_FRAMES);
    builder
}

/// A connection while it is served.
struct Life<'l> {
    connection: Connection<Guarded, Bytes>,
    client: &'l Rc<H2Client>,
    seen: Rc<Seen>,
    timer: &'l Timer,
    site: Arc<Site>,
    ending: Ending,
    /// When a connection that is ending and has nothing left to wait for is given up.
    ends_at: Option<Instant>,
}

impl Life<'_> {
    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            loop {
                match self.connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond),
                    Poll::Ready(Some(Err(error))) => {
                        self.note_error(&error);
                        return Poll::Ready(());
                    }
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            if !self.may_end(cx) {
                return self.poll_limits(cx);
            }
        }
    }

    /// Tells the client that the connection ends, if it is time to; what was told has then to be sent.
    fn may_end(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if let Some(fault) = self.seen.fault.get()
            && self.ending != Ending::Abrupt
        {
            self.cut_off(fault);
            return true;
        }
        if self.ending != Ending::No {
            return false;
        }
        let context = &self.client.context;
        let is_served = context
            .sites
            .follow(self.client.arrival.listener, &mut self.site);
        let is_idle = self.is_idle();
        let idle_until = self.client.idle_since.get() + self.site.timeouts.idle;
        let is_told = self.client.is_crowded && self.client.was_asked.get();
        let is_over = !is_served || context.shared.drain.is_draining() || is_told;
        if is_over || is_idle && self.timer.poll_passed(cx, idle_until).is_ready() {
            self.connection.graceful_shutdown();
            self.ending = Ending::Graceful;
            return true;
        }
        false
    }

    /// Whether no stream is open, and none has anything left to send that the client may still take.
    fn is_idle(&self) -> bool {
        let patience = self.site.timeouts.send;
        self.client.open.get() == 0
            && (!self.connection.has_streams()
                || self.client.idle_since.get().elapsed() >= patience)
    }

    /// Ready when the client has been waited for long enough.
    fn poll_limits(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let now = Instant::now();
        if let Some(since) = self.seen.stalled_since.get()
            && self
                .timer
                .poll_passed(cx, since + self.site.timeouts.send)
                .is_ready()
        {
            return Poll::Ready(());
        }
        if let Some(since) = self.seen.head_since.get()
            && self
                .timer
                .poll_passed(cx, since + self.site.timeouts.header)
                .is_ready()
        {
            return Poll::Ready(());
        }
        let is_idle = self.is_idle();
        match self.ending {
            // So that it is looked again whether it is idle.
            Ending::No if !is_idle => {
                let _ = self.timer.poll_passed(cx, now + self.site.timeouts.idle);
                Poll::Pending
            }
            Ending::No => Poll::Pending,
            Ending::Graceful if !is_idle => {
                let _ = self.timer.poll_passed(cx, now + LAST_CHANCE);
                self.ends_at = None;
                Poll::Pending
            }
            Ending::Graceful | Ending::Abrupt => {
                let ends_at = *self.ends_at.get_or_insert(now + LAST_CHANCE);
                self.timer.poll_passed(cx, ends_at)
            }
        }
    }

    fn accept(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let client = &self.client;
        if client.open.get() == 0 {
            client.place.stats().own().woken.add(1);
        }
        client.open.set(client.open.get() + 1);
        client.was_asked.set(true);
        // A request is served by what is configured when it begins; by what was, if the listener is gone since.
        let sites = &client.context.sites;
        sites.follow(client.arrival.listener, &mut self.site);
        let stream = OpenStream {
            client: Rc::clone(client),
            seen: Rc::clone(&self.seen),
            since: Instant::now(),
            is_answered: Cell::new(false),
        };
        let site = Arc::clone(&self.site);
        tokio::task::spawn_local(async move {
            if let Some(tunnel) = stream.serve(&site, request, respond).await {
                // A task of its own, without the space that a request needs.
                tokio::task::spawn_local(async move {
                    tunnel.run().await;
                    drop(stream);
                });
            }
        });
    }

    fn cut_off(&mut self, fault: Fault) {
        let reason = match fault {
            Fault::Flood(of) => {
                self.note_flood(&format!("too many {of}"));
                Reason::ENHANCE_YOUR_CALM
            }
            Fault::Invalid(reason) => {
                tracing::debug!(client = %self.client.address, failure = "h2", "cut off: {reason}");
                reason
            }
        };
        self.connection.abrupt_shutdown(reason);
        self.ending = Ending::Abrupt;
    }

    fn note_error(&mut self, error: &h2::Error) {
        let is_flood = error.reason() == Some(Reason::ENHANCE_YOUR_CALM) && !error.is_remote();
        if is_flood && self.ending != Ending::Abrupt {
            self.note_flood("header blocks, empty frames or resets without end");
            self.ending = Ending::Abrupt;
        } else if !error.is_io() {
            self.ending = Ending::Abrupt;
            tracing::debug!(client = %self.client.address, failure = "h2", "{error}");
        }
    }

    /// An attacker comes again and again: it is counted each time, and said now and then.
    fn note_flood(&self, of: &str) {
        static NOTES: Seldom = Seldom::new(Duration::from_secs(1));
        let client = &self.client;
        client.context.shared.h2_floods.add(1);
        if let Some(others) = NOTES.due() {
            tracing::warn!(client = %client.address, failure = "h2 flood", others, "cut off: {of}");
        }
    }
}

/// One of a connection's streams.
struct OpenStream {
    client: Rc<H2Client>,
    seen: Rc<Seen>,
    since: Instant,
    is_answered: Cell<bool>,
}

/// A client that gives a request up after so long has waited, and is no attacker.
const WAITED: Duration = Duration::from_millis(50);

impl OpenStream {
    /// Answers one request; gives what the stream goes on as, if it goes on.
    async fn serve(
        &self,
        site: &Site,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> Option<Tunnel<StreamSide>> {
        let now = self.since;
        let H2Client {
            context,
            address,
            port,
            is_https,
            identity,
            ..
        } = &*self.client;
        let (parts, body) = request.into_parts();
        let mut client = Http2Client {
            input: Incoming::new(body),
            output: RefCell::new(Http2Output::new(respond)),
            timer: context.shared.timers.timer(),
            switched: None,
        };
        let seen = ClientSeen::new(*address, *port, *is_https);
        let times = Times {
            started: now,
            arrived: now,
        };
        let after = match request_head(&parts, !client.input.is_done(), site.limits) {
            Ok(head) => {
                let mut exchange = Exchange::new(context, site, seen, &head, times);
                exchange.identity = identity.as_deref();
                exchange.is_crowded = self.client.is_crowded;
                handle(&mut Client::Http2(&mut client), &mut exchange, &head).await
            }
            Err(error) => {
                let mut exchange = Exchange::unreadable(context, site, seen, now);
                exchange.keep_line(format!("{} {}", parts.method, parts.uri).as_bytes());
                exchange.is_head = parts.method == http::Method::HEAD;
                let answer = Answer::error(&error, None, None);
                answer
                    .send(&mut Client::Http2(&mut client), &mut exchange, None)
                    .await
            }
        };
        let output = client.output.get_mut();
        self.is_answered.set(output.body.is_some());
        if let Some(switched) = client.switched {
            let body = client.output.into_inner().body?;
            let side = (StreamSide::new(client.input, body), Buffer::default());
            let place = Some(site.gate.part());
            return Some(switched.tunnel(side, &context.shared, place));
        }
        if after == After::Reset {
            output.reset(Reason::INTERNAL_ERROR);
        } else if output.is_ended && !client.input.is_done() {
            // A client that is still sending hears of the answer before it is told to stop: some forget the one for the other.
            let rest = Box::pin(client.input.drain());
            client.timer.limit(Deadline::After(LAST_WORDS), rest).await;
        }
        None
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let open = &self.client.open;
        open.set(open.get() - 1);
        let earn = |earned: &Cell<u32>| earned.set(earned.get().saturating_add(1));
        if self.is_answered.get() {
            earn(&self.seen.pings_earned);
        }
        if self.is_answered.get() || self.since.elapsed() >= WAITED {
            earn(&self.seen.resets_earned);
        }
        if open.get() == 0 {
            self.client.place.stats().own().slept.add(1);
            self.client.idle_since.set(Instant::now());
        }
    }
}
