//! One request and what becomes of it.
//!
//! An [`Exchange`] is dropped when the last byte has gone, when the client left, when a reset cut
//! it short, or when a panic unwinds: in every case its `Drop` writes the one access line, unless it has become a tunnel,
//! which writes it when it ends.

use std::net::{IpAddr, SocketAddr};

use http::{Method, StatusCode, Version};
use tokio::time::Instant;

use super::{
    context::Context,
    h1::Decoder,
    message::{Framing, Name, RequestHead, list},
    site::{Route, Site},
};
use crate::{
    net::ClientIdentity,
    telemetry::{
        AccessRecord, AttemptResult, Attempts, CLIENT_LEFT, HeldRecord, TraceContext, Traced,
    },
    upstream::Peer,
};

/// One request and what becomes of it.
#[derive(Debug)]
pub(super) struct Exchange<'c> {
    pub(super) context: &'c Context,
    pub(super) site: &'c Site,
    /// `None` if the head could not be read.
    request: Option<&'c RequestHead>,
    /// The request line of a head that could not be read, as far as it came.
    line: Vec<u8>,
    /// What of the request's body is still to come from the client.
    pub(super) body: Decoder,
    pub(super) client: ClientSeen,
    /// Who the client has proved to be.
    pub(super) identity: Option<&'c ClientIdentity>,
    /// Whether its listener has one connection too many with its client's.
    pub(super) is_crowded: bool,
    request_id: RequestId,
    /// Its place in its trace, if requests are traced.
    pub(super) traced: Option<Traced>,
    pub(super) times: Times,
    /// Whether an answer has no body because of the method.
    pub(super) is_head: bool,
    /// The status that was sent.
    pub(super) status: Option<StatusCode>,
    /// Bytes of body that were sent.
    pub(super) bytes: u64,
    /// Bytes of body that came.
    pub(super) received: u64,
    /// When the last byte had gone, if somebody has looked at the clock then.
    pub(super) ended: Option<Instant>,
    /// Its route, once that is found.
    pub(super) route: Option<&'c Route>,
    pool: Option<&'c str>,
    attempts: Attempts,
    /// Whether its line is written when a tunnel ends.
    is_held: bool,
}

/// The client as trusted proxies, if any, describe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientSeen {
    /// The other end of the connection.
    pub(super) connected: SocketAddr,
    /// The client.
    pub(super) address: IpAddr,
    /// Whether the other end may speak for others.
    pub(super) is_trusted_proxy: bool,
    pub(super) is_https: bool,
    /// The port that accepted the connection.
    pub(super) port: u16,
}

/// When a request came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Its first byte.
    pub(super) started: Instant,
    /// The end of its head; the same for most.
    pub(super) arrived: Instant,
}

#[derive(Clone, Copy, Debug)]
enum RequestId {
    /// The client's own.
    Sent,
    Made([u8; 32]),
}

impl ClientSeen {
    pub(super) fn new(connected: SocketAddr, port: u16, is_https: bool) -> Self {
        Self {
            connected,
            address: connected.ip().to_canonical(),
            is_trusted_proxy: false,
            is_https,
            port,
        }
    }

    /// Believes what `request` says of the client, if `site` trusts the other end.
    fn believe(&mut self, site: &Site, request: &RequestHead) {
        if !site.trusted_proxies.trusts(self.address) {
            return;
        }
        self.is_trusted_proxy = true;
        if let Some(proto) = request.fields.get(Name::XForwardedProto) {
            self.is_https = proto.eq_ignore_ascii_case(b"https");
        }
        // From the right: the last address that no trusted proxy added is the client's; what stands
        // to the left of it, anybody may have written.
        let mut members: Vec<&[u8]> = request
            .fields
            .all(Name::XForwardedFor)
            .flat_map(list)
            .collect();
        while let Some(address) = members.pop().and_then(parse_address) {
            self.address = address;
            if !site.trusted_proxies.trusts(address) {
                return;
            }
        }
    }
}

/// An address as `X-Forwarded-For` holds it; some proxies add the port.
fn parse_address(member: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(member).ok()?;
    let address = text
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

impl<'c> Exchange<'c> {
    /// A request whose head has been read.
    pub(super) fn new(
        context: &'c Context,
        site: &'c Site,
        mut client: ClientSeen,
        request: &'c RequestHead,
        times: Times,
    ) -> Self {
        client.believe(site, request);
        let request_id = if request
            .fields
            .get(Name::XRequestId)
            .is_some_and(is_request_id)
        {
            RequestId::Sent
        } else {
            RequestId::make()
        };
        let mut exchange = Self::unreadable(context, site, client, times.started);
        exchange.times = times;
        exchange.request = Some(request);
        exchange.body = match request.version {
            Version::HTTP_2 => Decoder::elsewhere(request.body),
            _ => Decoder::new(request.body),
        };
        exchange.is_head = request.method == Method::HEAD;
        exchange.request_id = request_id;
        exchange.traced = site.tracer.as_ref().map(|tracer| {
            let traceparent = request.fields.get(Name::Traceparent);
            tracer.place(traceparent, exchange.client.is_trusted_proxy)
        });
        exchange
    }

    /// A request whose head could not be read.
    pub(super) fn unreadable(
        context: &'c Context,
        site: &'c Site,
        client: ClientSeen,
        started: Instant,
    ) -> Self {
        Self {
            context,
            site,
            request: None,
            line: Vec::new(),
            body: Decoder::new(Framing::None),
            client,
            identity: None,
            is_crowded: false,
            request_id: RequestId::Sent,
            traced: None,
            times: Times {
                started,
                arrived: started,
            },
            is_head: false,
            status: None,
            bytes: 0,
            received: 0,
            ended: None,
            route: None,
            pool: None,
            attempts: Attempts::default(),
            is_held: false,
        }
    }

    /// Keeps the beginning of `input`, which could not be read, for the access line.
    pub(super) fn keep_line(&mut self, input: &[u8]) {
        const SHOWN: usize = 512;
        let line = input
            .split(|b| matches!(b, b'\r' | b'\n'))
            .next()
            .unwrap_or_default();
        self.line = line[..line.len().min(SHOWN)].to_vec();
    }

    /// The head, unless it could not be read.
    pub(super) fn request(&self) -> Option<&'c RequestHead> {
        self.request
    }

    /// What `X-Request-Id` says from here on.
    pub(super) fn request_id(&self) -> &[u8] {
        match &self.request_id {
            RequestId::Made(id) => id,
            RequestId::Sent => self
                .request
                .and_then(|request| request.fields.get(Name::XRequestId))
                .unwrap_or_default(),
        }
    }

    /// The server that the last attempt went to.
    pub(super) fn last_server(&self) -> &str {
        self.attempts
            .list()
            .last()
            .map_or("", |attempt| &attempt.server)
    }

    /// The request is forwarded to `pool`.
    pub(super) fn forwarded_to(&mut self, pool: &'c str) {
        self.pool = Some(pool);
    }

    /// An attempt at `peer` begins.
    pub(super) fn begin_attempt(&mut self, peer: &Peer, now: Instant) {
        self.attempts.begin(peer.label(), now);
    }

    /// The connection for the attempt stands.
    pub(super) fn connected(&mut self, now: Instant) {
        self.attempts.connected(now);
    }

    /// The attempt gave a response head with `status`.
    pub(super) fn answered(&mut self, status: StatusCode, now: Instant) {
        self.attempts.answered(now);
        self.attempts.gave(AttemptResult::Status(status.as_u16()));
    }

    /// The attempt is over; `failure` says why there was no response.
    pub(super) fn end_attempt(&mut self, failure: Option<&'static str>, now: Instant) {
        self.attempts.end(failure, now);
    }
}

/// What may be passed on as an id: visible ASCII, not endless.
fn is_request_id(value: &[u8]) -> bool {
    (1..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

impl RequestId {
    fn make() -> Self {
        let mut id = [0; 32];
        for (digits, byte) in id.chunks_exact_mut(2).zip(fastrand::u128(..).to_le_bytes()) {
            digits.copy_from_slice(&HEX[usize::from(byte)]);
        }
        Self::Made(id)
    }
}

/// Each byte in hexadecimal.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(Instant::now);
        self.count(now);
        self.end_attempt(None, now);
        self.trace(now);
        let Some(format) = self.site.access.filter(|_| !self.is_held) else {
            return;
        };
        let shared = &self.context.shared;
        shared
            .access
            .write(format, &self.record(now, &self.trace_id()), &shared.clock);
    }
}

impl Exchange<'_> {
    /// Counts what has become of it, at its listener and at its route.
    fn count(&self, now: Instant) {
        let (status, lasted) = (self.status(), now.duration_since(self.times.started));
        let of_listener = &self.site.gate.stats().own().requests;
        let of_route = self.route.map(|route| route.stats.own());
        for stats in std::iter::once(of_listener).chain(of_route) {
            stats.codes.count(status);
            stats.duration.record(lasted);
            stats.sent.add(self.bytes);
            stats.received.add(self.received);
        }
    }

    fn status(&self) -> u16 {
        self.status.map_or(CLIENT_LEFT, |status| status.as_u16())
    }

    /// What its line says, for a tunnel that it becomes and that writes it; `None` without an access log.
    pub(super) fn hold(&mut self, now: Instant) -> Option<Box<HeldRecord>> {
        let format = self.site.access?;
        let attempt_started = self.attempts.started();
        let record = HeldRecord::new(
            format,
            &self.record(now, &self.trace_id()),
            self.times.started,
            attempt_started,
        );
        self.is_held = true;
        Some(Box::new(record))
    }

    /// Has it become a span, if it is to.
    fn trace(&self, now: Instant) {
        let kept = self.traced.as_ref().filter(|traced| traced.is_kept);
        if let (Some(tracer), Some(traced)) = (&self.site.tracer, kept) {
            let route = self.route.map(|route| route.name.as_str());
            tracer.end(traced, &self.record(now, &[]), route);
        }
    }

    /// The trace that it is part of, in 32 digits; nothing if it is part of none.
    fn trace_id(&self) -> Vec<u8> {
        let came = || {
            let field = self.request?.fields.get(Name::Traceparent)?;
            TraceContext::parse(field)
        };
        let context = self.traced.map(|traced| traced.context).or_else(came);
        let mut digits = Vec::new();
        if let Some(context) = context {
            context.write_trace(&mut digits);
        }
        digits
    }

    fn record<'r>(&'r self, now: Instant, trace: &'r [u8]) -> AccessRecord<'r> {
        let request = self.request;
        let field = |name: Name| request.and_then(|request| request.fields.get(name));
        AccessRecord {
            client: self.client.address,
            method: request.map_or(b"", |request| request.method.as_str().as_bytes()),
            target: request.map_or(&self.line, |request| request.raw_target()),
            version: request.map_or("", RequestHead::version_text),
            status: self.status(),
            bytes: self.bytes,
            received: None,
            referer: field(Name::Referer),
            user_agent: field(Name::UserAgent),
            host: request.map(RequestHead::host),
            request_id: self.request_id(),
            trace: (!trace.is_empty()).then_some(trace),
            duration: now.duration_since(self.times.started),
            pool: self.pool,
            attempts: self.attempts.list(),
        }
    }
}
