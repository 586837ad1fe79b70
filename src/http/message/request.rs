//! The head of a request, whichever version it came in.

use http::{Method, StatusCode, Version};

use super::{
    Fields, MAX_FIELDS,
    fields::Span,
    framing::{Framing, FramingError, framing_of},
    list,
    name::Name,
    options::ConnectionOptions,
};
use crate::http::error::HttpError;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct HeadLimits {
    /// Request line and fields together.
    pub(in super::super) header: usize,
    /// The request target.
    pub(in super::super) uri: usize,
}

/// The head of a request that can be read in one way only.
#[derive(Clone, Debug)]
pub(in super::super) struct RequestHead {
    pub(in super::super) method: Method,
    pub(in super::super) version: Version,
    pub(in super::super) fields: Fields,
    pub(in super::super) body: Framing,
    /// Whether the client lets the connection stand after the response.
    pub(in super::super) keep_alive: bool,
    /// What it says of its connection.
    pub(in super::super) options: ConnectionOptions,
    /// Whether it waits for 100 before it sends the body.
    pub(in super::super) expects_continue: bool,
    pub(in super::super) raw_target: Span,
    pub(in super::super) host: Span,
    pub(in super::super) path_and_query: PathAndQuery,
    /// What a stream of HTTP/2 is to carry from here on (RFC 8441).
    pub(in super::super) protocol: Option<Span>,
}

/// Where the path and query of a target are.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum PathAndQuery {
    Sent(Span),
    /// An absolute form without a path, or `*`.
    Implied(Target),
}

/// Targets that have no path of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Target {
    /// `http://host` or `http://host?query`, which means `/`.
    Root,
    /// `OPTIONS *`.
    Asterisk,
}

/// What HTTP/2 sends besides a method and fields (RFC 9113 section 8.3.1, RFC 8441 section 4).
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Pseudo<'p> {
    pub(in super::super) target: &'p str,
    pub(in super::super) authority: Option<&'p str>,
    pub(in super::super) protocol: Option<&'p str>,
}

impl RequestHead {
    /// The target as sent.
    pub(in super::super) fn raw_target(&self) -> &[u8] {
        self.fields.slice(self.raw_target)
    }

    /// Path and query in origin form: what is forwarded.
    pub(in super::super) fn path_and_query(&self) -> &[u8] {
        match self.path_and_query {
            PathAndQuery::Sent(span) => self.fields.slice(span),
            PathAndQuery::Implied(Target::Root) => b"/",
            PathAndQuery::Implied(Target::Asterisk) => b"*",
        }
    }

    /// The path alone; `/` for `*`.
    pub(in super::super) fn path(&self) -> &[u8] {
        match self.path_and_query() {
            b"*" => b"/",
            sent => sent.split(|b| *b == b'?').next().unwrap_or(sent),
        }
    }

    /// The query without its question mark.
    pub(in super::super) fn query(&self) -> Option<&[u8]> {
        let sent = self.path_and_query();
        memchr::memchr(b'?', sent).map(|at| &sent[at + 1..])
    }

    /// The host with its port, from the target or else from `Host`; empty in HTTP/1.0 without one.
    pub(in super::super) fn host(&self) -> &[u8] {
        self.fields.slice(self.host)
    }

    /// `HTTP/1.1`, `HTTP/1.0`, or `HTTP/2.0` as nginx calls it.
    pub(in super::super) fn version_text(&self) -> &'static str {
        match self.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_11 => "HTTP/1.1",
            _ => "HTTP/1.0",
        }
    }

    /// `2.0`, `1.1` or `1.0`.
    pub(in super::super) fn version_number(&self) -> &'static str {
        &self.version_text()["HTTP/".len()..]
    }

    /// Whether it is of a version without chunks and without connections that stay by themselves.
    pub(in super::super) fn is_http_10(&self) -> bool {
        self.version == Version::HTTP_10
    }

    /// The protocols that the client would change to (RFC 9110 section 7.8, RFC 8441), as `Upgrade` lists them; without
    /// HTTP/2, which is agreed on before a request or not at all.
    pub(in super::super) fn offer(&self) -> Option<Vec<u8>> {
        if let Some(protocol) = self.protocol {
            return Some(self.fields.slice(protocol).to_vec());
        }
        if !self.options.upgrade || self.version != Version::HTTP_11 {
            return None;
        }
        let is_http2 = |protocol: &&[u8]| {
            protocol.eq_ignore_ascii_case(b"h2c") || protocol.eq_ignore_ascii_case(b"h2")
        };
        let protocols = self.fields.all(Name::Upgrade).flat_map(list);
        let protocols: Vec<&[u8]> = protocols.filter(|p| !is_http2(p)).collect();
        (!protocols.is_empty()).then(|| protocols.join(&b", "[..]))
    }

    /// A head that came in parts, as HTTP/2 sends it (RFC 9113 section 8.3.1).
    ///
    /// # Errors
    /// 400, 405, 414 or 431.
    pub(in super::super) fn assemble(
        method: Method,
        pseudo: Pseudo<'_>,
        fields: Fields,
        has_body: bool,
        limits: HeadLimits,
    ) -> Result<Self, HttpError> {
        let Pseudo {
            target,
            authority,
            protocol,
        } = pseudo;
        if target.len() > limits.uri {
            return Err(URI_TOO_LONG);
        }
        // What is a CONNECT in HTTP/2 was a GET before. Other protocols than WebSocket, servers of HTTP/1.1 have no part in.
        let method = match (method, protocol) {
            (Method::CONNECT, Some("websocket")) => Method::GET,
            (Method::CONNECT, Some(_)) => return Err(UNKNOWN_PROTOCOL),
            (method, None) => method,
            (_, Some(_)) => return Err(bad("invalid :protocol")),
        };
        check_method(&method)?;
        let mut fields = fields.with_one_cookie();
        if fields.len() > MAX_FIELDS {
            return Err(HEADER_TOO_LARGE);
        }
        let raw_target = fields.append(target.as_bytes());
        let path_and_query = match target {
            "*" if method == Method::OPTIONS => PathAndQuery::Implied(Target::Asterisk),
            _ if target.starts_with('/') => PathAndQuery::Sent(raw_target),
            _ => return Err(bad("invalid request target")),
        };
        let host = match authority {
            None => host_field(&fields, true)?,
            Some(authority) if !is_host(authority.as_bytes()) => {
                return Err(bad("invalid :authority"));
            }
            Some(authority) => {
                let mut hosts = fields.all(Name::Host);
                if hosts.any(|host| !host.eq_ignore_ascii_case(authority.as_bytes())) {
                    return Err(bad("Host differs from :authority"));
                }
                drop(hosts);
                fields.append(authority.as_bytes())
            }
        };
        let protocol = protocol.map(|protocol| fields.append(protocol.as_bytes()));
        let body = match request_framing(&fields, true)? {
            // What follows is no body, but the other protocol.
            _ if protocol.is_some() => Framing::None,
            Framing::None if has_body => Framing::Chunked,
            // Some servers refuse a POST that does not say that it has no body.
            Framing::None if is_usual_with_body(&method) => Framing::Length(0),
            Framing::Length(1..) if !has_body => return Err(bad("no body, but a Content-Length")),
            framing => framing,
        };
        Ok(Self {
            raw_target,
            host,
            path_and_query,
            protocol,
            body,
            keep_alive: true,
            options: ConnectionOptions::default(),
            expects_continue: expects_continue(&fields),
            method,
            version: Version::HTTP_2,
            fields,
        })
    }
}

fn is_usual_with_body(method: &Method) -> bool {
    *method == Method::POST || *method == Method::PUT || *method == Method::PATCH
}

/// Whether a client waits for 100 before it sends the body.
pub(in super::super) fn expects_continue(fields: &Fields) -> bool {
    fields
        .get(Name::Expect)
        .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// Refuses methods that lbd does not forward.
pub(in super::super) fn check_method(method: &Method) -> Result<(), HttpError> {
    if is_miscased(method) {
        // A peer that ignores case would do what this request is not taken for.
        return Err(bad("method in the wrong case"));
    }
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(HttpError::client(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed",
        ));
    }
    Ok(())
}

const UNKNOWN_PROTOCOL: HttpError =
    HttpError::client(StatusCode::NOT_IMPLEMENTED, "unknown :protocol");

pub(in super::super) const URI_TOO_LONG: HttpError =
    HttpError::client(StatusCode::URI_TOO_LONG, "request target too long");
pub(in super::super) const HEADER_TOO_LARGE: HttpError = HttpError::client(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "request header too large",
);

pub(in super::super) fn bad(reason: &'static str) -> HttpError {
    HttpError::client(StatusCode::BAD_REQUEST, reason)
}

/// Where the body of a request ends, by its fields.
pub(in super::super) fn request_framing(
    fields: &Fields,
    is_http_11: bool,
) -> Result<Framing, HttpError> {
    match framing_of(fields, is_http_11) {
        Ok(framing) => Ok(framing.unwrap_or(Framing::None)),
        Err(FramingError::Ambiguous(reason)) => Err(bad(reason)),
        Err(FramingError::UnknownCoding) => Err(HttpError::client(
            StatusCode::NOT_IMPLEMENTED,
            "unknown transfer coding",
        )),
    }
}

fn is_miscased(method: &Method) -> bool {
    const KNOWN: [&str; 10] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "LOCK",
    ];
    let text = method.as_str();
    text.bytes().any(|b| b.is_ascii_lowercase())
        && KNOWN.iter().any(|known| text.eq_ignore_ascii_case(known))
}

/// The one `Host` (RFC 9112 section 3.2: missing, doubled or invalid is 400).
pub(in super::super) fn host_field(fields: &Fields, is_http_11: bool) -> Result<Span, HttpError> {
    let mut hosts = fields.spans(Name::Host);
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(bad("two Host fields")),
        (Some(host), None) if is_host(fields.slice(host)) => Ok(host),
        (Some(_), None) => Err(bad("invalid Host")),
        (None, _) if is_http_11 => Err(bad("no Host")),
        (None, _) => Ok(Span::default()),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 section 4.2); no user information, nothing that ends it early.
pub(in super::super) fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host.strip_prefix(b"[") {
        Some(rest) => match memchr::memchr(b']', rest) {
            Some(end)
                if rest[..end]
                    .iter()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) =>
            {
                (&rest[..end], &rest[end + 1..])
            }
            _ => return false,
        },
        None => host.split_at(memchr::memchr(b':', host).unwrap_or(host.len())),
    };
    let is_port = |port: &[u8]| {
        port.is_empty()
            || (port[0] == b':' && port.len() <= 6 && port[1..].iter().all(u8::is_ascii_digit))
    };
    !name.is_empty() && name.iter().all(|b| NAME_BYTES[usize::from(*b)]) && is_port(port)
}

/// The bytes of a host's name: RFC 3986's `reg-name`, or an address.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0u8;
    while b < 128 {
        table[b as usize] = b.is_ascii_alphanumeric();
        b += 1;
    }
    let marks = b"-._~!$&'()*+;=%:";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};
