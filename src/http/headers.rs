//! The header sections that lbd writes: to the peer, and to the client.
//!
//! What was received is never changed; it is walked once and written anew. Fields that hold for one
//! connection only are left out first of all (RFC 9110 section 7.6.1), so that nothing that a client
//! says of its connection reaches a peer's.

use http::{Method, StatusCode};

use super::{
    exchange::Exchange,
    h1::{write_request_line, write_status_line},
    head::HeadWriter,
    location::Rewrite,
    message::{
        ConnectionOptions, Field, Fields, Framing, Name, Names, RequestHead, ResponseHead, is_name,
        list,
    },
    site::Route,
    variables::{scheme, write_template},
};
use crate::{
    config::HeaderEdits,
    telemetry::{write_ip, write_number},
};

/// What a request's head depends on besides the request.
pub(super) struct PeerHead<'a> {
    pub(super) route: &'a Route,
    pub(super) target: &'a [u8],
    pub(super) host: &'a [u8],
    pub(super) framing: Framing,
    /// Whether the client still waits for 100.
    pub(super) expects_continue: bool,
    /// The protocols that the connection may change to.
    pub(super) offer: Option<&'a [u8]>,
}

/// Appends the head that a peer gets, as HTTP/1.1's text.
pub(super) fn write_peer_head(
    out: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    request: &RequestHead,
    peer: &PeerHead<'_>,
) {
    write_request_line(out, &request.method, peer.target);
    write_peer_fields(out, exchange, request, peer);
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that a peer gets.
pub(super) fn write_peer_fields(
    out: &mut impl HeadWriter,
    exchange: &Exchange<'_>,
    request: &RequestHead,
    peer: &PeerHead<'_>,
) {
    let edits = &peer.route.request_headers;
    if !peer.host.is_empty() && !touches(edits, "Host") {
        out.field("Host", peer.host);
    }
    let believes = exchange.client.is_trusted_proxy;
    let underscores = exchange.site.underscores_in_headers;
    let mut left_out = match (believes, exchange.identity.is_some()) {
        (true, true) => NOT_FROM_CLIENT.without(Name::Forwarded),
        (true, false) => NOT_FROM_CLIENT
            .without(Name::Forwarded)
            .without(Name::XClientCertSubject)
            .without(Name::XClientCertFingerprint),
        (false, _) => NOT_FROM_CLIENT,
    };
    if request.protocol.is_some() {
        left_out = left_out.and(Names::of(&[Name::SecWebSocketKey]));
    }
    if let Some(traced) = &exchange.traced {
        left_out = left_out.with(Name::Traceparent);
        if traced.is_new() {
            // It is of a trace that is none (section 3.3).
            left_out = left_out.with(Name::Tracestate);
        }
    }
    write_end_to_end(
        out,
        &request.fields,
        request.options,
        edits,
        left_out,
        underscores,
    );
    write_framing(out, peer.framing);
    if peer.expects_continue {
        out.field("Expect", b"100-continue");
    }
    if let Some(offer) = peer.offer {
        write_offer(out, request, offer);
    } else if request
        .fields
        .all(Name::Te)
        .flat_map(list)
        .any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    {
        out.field("TE", b"trailers");
        out.of_connection("Connection", b"TE");
    }
    write_forwarded(out, exchange, request, edits);
    write_via(out, exchange, request.version_number());
    write_set(out, edits, exchange);
}

/// What the connection may change to (RFC 9110 section 7.8). A WebSocket that comes over HTTP/2 has no key, for its
/// client cannot mistake a cached answer for one (RFC 8441 section 5); servers of HTTP/1.1 want one.
fn write_offer(out: &mut impl HeadWriter, request: &RequestHead, offer: &[u8]) {
    out.of_connection("Connection", b"upgrade");
    out.of_connection("Upgrade", offer);
    if request.protocol.is_some() {
        out.field_with("Sec-WebSocket-Key", write_key);
    }
}

/// 16 random bytes in base64: of the last digit but two bits are used (RFC 6455 section 4.1).
fn write_key(out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = fastrand::u128(..);
    for i in 0..21 {
        out.push(DIGITS[(bits >> (6 * i)) as usize & 63]);
    }
    out.push(DIGITS[((bits >> 126) as usize) << 4]);
    out.extend_from_slice(b"==");
}

/// Who asked, for whom and how: what the peer can no longer see from its connection.
fn write_forwarded(
    out: &mut impl HeadWriter,
    exchange: &Exchange<'_>,
    request: &RequestHead,
    edits: &HeaderEdits,
) {
    let client = &exchange.client;
    let believed = |name| request.fields.get(name).filter(|_| client.is_trusted_proxy);
    if !touches(edits, "X-Forwarded-For") {
        out.field_with("X-Forwarded-For", |out| {
            if client.is_trusted_proxy {
                for value in request.fields.all(Name::XForwardedFor) {
                    out.extend_from_slice(value);
                    out.extend_from_slice(b", ");
                }
            }
            write_ip(out, client.connected.ip().to_canonical());
        });
    }
    if !touches(edits, "X-Forwarded-Proto") {
        out.field("X-Forwarded-Proto", scheme(client.is_https).as_bytes());
    }
    let host = believed(Name::XForwardedHost).unwrap_or_else(|| request.host());
    if !host.is_empty() && !touches(edits, "X-Forwarded-Host") {
        out.field("X-Forwarded-Host", host);
    }
    if !touches(edits, "X-Forwarded-Port") {
        match believed(Name::XForwardedPort) {
            Some(port) => out.field("X-Forwarded-Port", port),
            None => out.field_with("X-Forwarded-Port", |out| {
                write_number(out, client.port.into());
            }),
        }
    }
    if !touches(edits, "X-Real-IP") {
        out.field_with("X-Real-IP", |out| write_ip(out, client.address));
    }
    if !touches(edits, "X-Request-Id") {
        out.field("X-Request-Id", exchange.request_id());
    }
    if let Some(traced) = exchange
        .traced
        .as_ref()
        .filter(|_| !touches(edits, "traceparent"))
    {
        out.field_with("traceparent", |out| traced.context.write(out));
    }
    if let Some(identity) = exchange.identity {
        if !touches(edits, "X-Client-Cert-Subject") {
            out.field("X-Client-Cert-Subject", identity.subject.as_bytes());
        }
        if !touches(edits, "X-Client-Cert-Fingerprint") {
            out.field("X-Client-Cert-Fingerprint", identity.fingerprint.as_bytes());
        }
    }
}

/// What a response's head depends on besides the response.
pub(super) struct ClientHead<'a> {
    pub(super) route: &'a Route,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// What the connection changes to.
    pub(super) changes_to: Option<&'a [u8]>,
    pub(super) rewrite: Rewrite<'a>,
    /// What binds the client to the server, if it has to be told.
    pub(super) cookie: Option<Vec<u8>>,
    /// What says which server has answered, if the client is to be told: a field and its value.
    pub(super) exposed: Option<(&'a str, Vec<u8>)>,
    /// What lbd's cookie is called: a server that sets the same would take the client away from itself.
    pub(super) own_cookie: Option<&'a str>,
}

/// Appends the head that the client gets, as HTTP/1.1's text.
pub(super) fn write_client_head(
    out: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    request: &RequestHead,
    response: &ResponseHead,
    client: &ClientHead<'_>,
) {
    write_status_line(out, response.status, response.reason());
    write_client_fields(out, exchange, request, response, client);
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that the client gets.
pub(super) fn write_client_fields(
    out: &mut impl HeadWriter,
    exchange: &Exchange<'_>,
    request: &RequestHead,
    response: &ResponseHead,
    client: &ClientHead<'_>,
) {
    let edits = &client.route.response_headers;
    let mut left_out = WRITTEN_IN_RESPONSE;
    if request.protocol.is_some() {
        // The answer to a key of lbd's own.
        left_out = left_out.with(Name::SecWebSocketAccept);
    }
    if client.own_cookie.is_some() {
        left_out = left_out.with(Name::SetCookie);
    }
    write_end_to_end(
        out,
        &response.fields,
        response.options,
        edits,
        left_out,
        true,
    );
    for (name, text) in [(Name::Location, "Location"), (Name::Refresh, "Refresh")] {
        for value in response.fields.all(name).filter(|_| !touches(edits, text)) {
            match client.rewrite.apply(name, value) {
                Some(rewritten) => out.field(text, &rewritten),
                None => out.field(text, value),
            }
        }
    }
    if !response.fields.has(Name::Date) && !touches(edits, "Date") {
        write_date(out, exchange);
    }
    match client.framing {
        Framing::None => write_length_of_absent_body(out, &request.method, response),
        framing => write_framing(out, framing),
    }
    write_via(out, exchange, response.version_number());
    if let Some(own) = client.own_cookie.filter(|_| !touches(edits, "Set-Cookie")) {
        let cookies = response.fields.all(Name::SetCookie);
        for cookie in cookies.filter(|cookie| cookie_name(cookie) != own.as_bytes()) {
            out.field("Set-Cookie", cookie);
        }
    }
    if let Some(cookie) = &client.cookie {
        out.field("Set-Cookie", cookie);
    }
    if let Some((name, value)) = client
        .exposed
        .as_ref()
        .filter(|(name, _)| !touches(edits, name))
    {
        out.field(name, value);
    }
    write_set(out, edits, exchange);
    match client.changes_to {
        Some(protocol) => {
            out.of_connection("Connection", b"upgrade");
            out.of_connection("Upgrade", protocol);
        }
        None => write_connection(out, request, client.keep_alive),
    }
}

/// The name in a value of `Set-Cookie`.
fn cookie_name(cookie: &[u8]) -> &[u8] {
    let mut parts = cookie.split(|b| matches!(b, b'=' | b';'));
    parts.next().unwrap_or_default().trim_ascii()
}

/// Appends an informational response (RFC 9110 section 15.2), as HTTP/1.1's text.
pub(super) fn write_informational(out: &mut Vec<u8>, response: &ResponseHead) {
    write_status_line(out, response.status, response.reason());
    write_informational_fields(out, response);
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields of an informational response.
pub(super) fn write_informational_fields(out: &mut impl HeadWriter, response: &ResponseHead) {
    let edits = HeaderEdits::default();
    let left_out = Names::of(&[Name::ContentLength]);
    write_end_to_end(
        out,
        &response.fields,
        response.options,
        &edits,
        left_out,
        true,
    );
}

/// The trailer fields that may stand after a body (RFC 9110 section 6.5.1): nothing that routes,
/// frames or authorizes a message can come after it, and nothing that `edits` would not let through before it.
pub(super) fn allowed_trailers(
    trailers: &Fields,
    edits: &HeaderEdits,
    underscores: bool,
) -> Fields {
    const FORBIDDEN: Names = Names::HOP_BY_HOP.and(NOT_FROM_CLIENT);
    let mut allowed = Fields::default();
    for Field {
        known, name, value, ..
    } in trailers.iter()
    {
        let is_forbidden = known.is_some_and(|known| FORBIDDEN.has(known))
            || !underscores && name.contains(&b'_')
            || touches_bytes(edits, name)
            || NOT_IN_TRAILERS
                .iter()
                .any(|forbidden| is_name(name, forbidden));
        if !is_forbidden && let Ok(name) = std::str::from_utf8(name) {
            allowed.push(name, value);
        }
    }
    allowed
}

const NOT_IN_TRAILERS: [&str; 10] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "max-forwards",
    "range",
    "set-cookie",
    "trailer",
];

/// Appends `Date: now`.
pub(super) fn write_date(out: &mut impl HeadWriter, exchange: &Exchange<'_>) {
    out.field_with("Date", |out| {
        exchange.context.shared.clock.write_http_date(out)
    });
}

/// Appends what the client must know of the connection: only what its version does not imply.
pub(super) fn write_connection(out: &mut impl HeadWriter, request: &RequestHead, keep_alive: bool) {
    match (keep_alive, request.is_http_10()) {
        (true, false) => {}
        (true, true) => out.of_connection("Connection", b"keep-alive"),
        (false, _) => out.of_connection("Connection", b"close"),
    }
}

/// Appends the fields of a route's `set`; those without a value are thereby removed.
pub(super) fn write_set(out: &mut impl HeadWriter, edits: &HeaderEdits, exchange: &Exchange<'_>) {
    for (name, template) in &edits.set {
        out.field_with(name, |out| write_template(out, template, exchange));
    }
}

/// Appends the fields that are for everybody, except those in `left_out` and those that are edited.
fn write_end_to_end(
    out: &mut impl HeadWriter,
    fields: &Fields,
    options: ConnectionOptions,
    edits: &HeaderEdits,
    left_out: Names,
    underscores: bool,
) {
    let left_out = left_out.and(Names::HOP_BY_HOP);
    for field in fields.iter() {
        let is_for_us = match field.known {
            Some(known) => left_out.has(known),
            None => !underscores && field.name.contains(&b'_'),
        };
        if is_for_us
            || options.names_fields && is_named_by_connection(fields, field.name)
            || touches_bytes(edits, field.name)
        {
            continue;
        }
        out.pass(&field);
    }
}

fn is_named_by_connection(fields: &Fields, name: &[u8]) -> bool {
    fields
        .all(Name::Connection)
        .flat_map(list)
        .any(|option| option.eq_ignore_ascii_case(name))
}

/// Fields of a request that lbd writes itself; those that say who asked in a way that lbd does not
/// write, so that anybody could forge them; and `Proxy`, which CGI turns into a setting of the app (httpoxy).
const NOT_FROM_CLIENT: Names = Names::of(&[
    Name::ContentLength,
    Name::Expect,
    Name::Forwarded,
    Name::Host,
    Name::Proxy,
    Name::XClientCertFingerprint,
    Name::XClientCertSubject,
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedPort,
    Name::XForwardedProto,
    Name::XRealIp,
    Name::XRequestId,
]);

/// Fields of a response that lbd writes itself.
const WRITTEN_IN_RESPONSE: Names = Names::of(&[Name::ContentLength, Name::Location, Name::Refresh]);

pub(super) fn touches(edits: &HeaderEdits, name: &str) -> bool {
    touches_bytes(edits, name.as_bytes())
}

fn touches_bytes(edits: &HeaderEdits, name: &[u8]) -> bool {
    edits.set.iter().any(|(edited, _)| is_name(name, edited))
        || edits.remove.iter().any(|edited| is_name(name, edited))
}

fn write_framing(out: &mut impl HeadWriter, framing: Framing) {
    match framing {
        Framing::Length(length) => out.field(
            "Content-Length",
            itoa::Buffer::new().format(length).as_bytes(),
        ),
        Framing::Chunked => out.of_connection("Transfer-Encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
}

/// The length that a body would have had is news for HEAD and 304 only; 204 and 1xx have none
/// (RFC 9110 section 8.6). A response without a body that is neither has the length zero.
fn write_length_of_absent_body(
    out: &mut impl HeadWriter,
    method: &Method,
    response: &ResponseHead,
) {
    if *method != Method::HEAD && response.status != StatusCode::NOT_MODIFIED {
        return;
    }
    let mut lengths = response.fields.all(Name::ContentLength);
    if let (Some(length), None) = (lengths.next(), lengths.next())
        && !length.is_empty()
        && length.iter().all(u8::is_ascii_digit)
        && !response.fields.has(Name::TransferEncoding)
    {
        out.field("Content-Length", length);
    }
}

/// Appends lbd to the intermediaries, behind the `Via` fields that are passed on, with the version in which it
/// received the message (RFC 9110 section 7.6.3).
fn write_via(out: &mut impl HeadWriter, exchange: &Exchange<'_>, version: &str) {
    if let Some(name) = &exchange.site.via {
        out.field_with("Via", |out| {
            out.extend_from_slice(version.as_bytes());
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
        });
    }
}
