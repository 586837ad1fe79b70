//! The head of a request (RFC 9112 sections 2 and 3).

use std::mem::MaybeUninit;

use http::{Method, StatusCode, Version};

use super::{
    Fields, MAX_FIELDS,
    fields::Span,
    framing::{Framing, FramingError, framing_of},
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
    raw_target: Span,
    host: Span,
    path_and_query: PathAndQuery,
}

/// Where the path and query of a target are.
#[derive(Clone, Copy, Debug)]
enum PathAndQuery {
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

    /// A head that came in parts, as HTTP/2 sends it (RFC 9113 section 8.3.1).
    ///
    /// # Errors
    /// 400, 405, 414 or 431.
    pub(in super::super) fn assemble(
        method: Method,
        target: &str,
        authority: Option<&str>,
        fields: Fields,
        has_body: bool,
        limits: HeadLimits,
    ) -> Result<Self, HttpError> {
        if target.len() > limits.uri {
            return Err(URI_TOO_LONG);
        }
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
        let body = match request_framing(&fields, true)? {
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

fn expects_continue(fields: &Fields) -> bool {
    fields
        .get(Name::Expect)
        .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

fn check_method(method: &Method) -> Result<(), HttpError> {
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

/// Reads a head from the front of `bytes`; `None` if it is not complete. Gives its length, too.
///
/// # Errors
/// 400, 405, 414, 431, 501 or 505; after any of them the rest of the connection has no meaning.
pub(in super::super) fn parse_request(
    bytes: &[u8],
    limits: HeadLimits,
) -> Result<Option<(RequestHead, usize)>, HttpError> {
    let line_end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let line = &bytes[..line_end];
    if line.is_ascii() || std::str::from_utf8(line).is_ok() {
        return parse_text(bytes, limits);
    }
    // httparse wants a target in UTF-8, but old browsers send queries in the page's encoding. A
    // target of the same length is read in its place.
    let mut masked = bytes.to_vec();
    let start = memchr::memchr(b' ', line).unwrap_or(line_end);
    let end = memchr::memrchr(b' ', line).unwrap_or(line_end);
    masked[start..end]
        .iter_mut()
        .filter(|b| !b.is_ascii())
        .for_each(|b| *b = b'x');
    let mut parsed = parse_text(&masked, limits)?;
    if let Some((head, _)) = &mut parsed {
        head.fields.overwrite_start(line);
    }
    Ok(parsed)
}

fn parse_text(bytes: &[u8], limits: HeadLimits) -> Result<Option<(RequestHead, usize)>, HttpError> {
    let mut found = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut found) {
        Ok(httparse::Status::Complete(length)) => {
            let head = checked(&bytes[..length], &parsed, limits)?;
            Ok(Some((head, length)))
        }
        Ok(httparse::Status::Partial) => check_partial(bytes, limits).map(|()| None),
        Err(error) => Err(refusal(bytes, error, limits)),
    }
}

/// Refuses early what cannot become a head within the limits.
fn check_partial(bytes: &[u8], limits: HeadLimits) -> Result<(), HttpError> {
    let line_ended = memchr::memchr(b'\n', bytes.trim_ascii_start()).is_some();
    // Method, spaces and version take no more than 64 bytes.
    if !line_ended && bytes.len() > limits.uri + 64 {
        return Err(URI_TOO_LONG);
    }
    if bytes.len() >= limits.header {
        return Err(HEADER_TOO_LARGE);
    }
    Ok(())
}

const URI_TOO_LONG: HttpError =
    HttpError::client(StatusCode::URI_TOO_LONG, "request target too long");
const HEADER_TOO_LARGE: HttpError = HttpError::client(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "request header too large",
);

fn bad(reason: &'static str) -> HttpError {
    HttpError::client(StatusCode::BAD_REQUEST, reason)
}

fn refusal(bytes: &[u8], error: httparse::Error, limits: HeadLimits) -> HttpError {
    if let Err(too_large) = check_partial(bytes, limits) {
        return too_large;
    }
    match error {
        httparse::Error::TooManyHeaders => HEADER_TOO_LARGE,
        httparse::Error::Version if names_other_version(bytes) => HttpError::client(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "unknown HTTP version",
        ),
        httparse::Error::HeaderName => bad("invalid field name"),
        httparse::Error::HeaderValue => bad("invalid field value"),
        httparse::Error::NewLine => bad("invalid line end"),
        _ => bad("invalid request line"),
    }
}

/// Whether the request line ends in a version, though not in one that lbd speaks; else the line is broken.
fn names_other_version(bytes: &[u8]) -> bool {
    let line = bytes
        .trim_ascii_start()
        .split(|b| *b == b'\n')
        .next()
        .unwrap_or_default();
    let last = line
        .trim_ascii_end()
        .rsplit(|b| *b == b' ')
        .next()
        .unwrap_or_default();
    last.starts_with(b"HTTP/") && last != b"HTTP/1.1" && last != b"HTTP/1.0"
}

fn checked(
    head: &[u8],
    parsed: &httparse::Request<'_, '_>,
    limits: HeadLimits,
) -> Result<RequestHead, HttpError> {
    let target = parsed.path.unwrap_or_default().as_bytes();
    if target.len() > limits.uri {
        return Err(URI_TOO_LONG);
    }
    if head.len() > limits.header {
        return Err(HEADER_TOO_LARGE);
    }
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())
        .map_err(|_| bad("invalid method"))?;
    check_method(&method)?;
    let version = if parsed.version == Some(1) {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    let is_http_11 = version == Version::HTTP_11;
    let fields = Fields::parsed(head, parsed.headers);
    let body = request_framing(&fields, is_http_11)?;
    let (authority, path_and_query) = split_target(target, head, &method)?;
    // A second Host is refused even where the target wins: somebody might read the other one.
    let host = host_field(&fields, is_http_11)?;
    let host = authority.unwrap_or(host);
    let options = connection_options(&fields)?;
    Ok(RequestHead {
        raw_target: Span::of(target, head),
        host,
        path_and_query,
        body,
        keep_alive: options.keeps_alive(is_http_11),
        options,
        expects_continue: is_http_11 && expects_continue(&fields),
        method,
        version,
        fields,
    })
}

fn request_framing(fields: &Fields, is_http_11: bool) -> Result<Framing, HttpError> {
    match framing_of(fields, is_http_11) {
        Ok(framing) => Ok(framing.unwrap_or(Framing::None)),
        Err(FramingError::Ambiguous(reason)) => Err(bad(reason)),
        Err(FramingError::UnknownCoding) => Err(HttpError::client(
            StatusCode::NOT_IMPLEMENTED,
            "unknown transfer coding",
        )),
    }
}

/// Connection options beyond these are an attack: each is compared with each field.
const MAX_OPTIONS: usize = 32;

fn connection_options(fields: &Fields) -> Result<ConnectionOptions, HttpError> {
    let options = ConnectionOptions::of(fields);
    if options.count > MAX_OPTIONS {
        return Err(bad("too many connection options"));
    }
    Ok(options)
}

fn is_miscased(method: &Method) -> bool {
    const KNOWN: [&str; 10] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "LOCK",
    ];
    let text = method.as_str();
    text.bytes().any(|b| b.is_ascii_lowercase())
        && KNOWN.iter().any(|known| text.eq_ignore_ascii_case(known))
}

/// Splits a target into the authority of an absolute form, and path and query (RFC 9112 section 3.2).
fn split_target(
    target: &[u8],
    head: &[u8],
    method: &Method,
) -> Result<(Option<Span>, PathAndQuery), HttpError> {
    if target.contains(&b'#') {
        return Err(bad("fragment in the request target"));
    }
    if target.first() == Some(&b'/') {
        return Ok((None, PathAndQuery::Sent(Span::of(target, head))));
    }
    if target == b"*" && *method == Method::OPTIONS {
        return Ok((None, PathAndQuery::Implied(Target::Asterisk)));
    }
    let colon =
        memchr::memmem::find(target, b"://").ok_or_else(|| bad("invalid request target"))?;
    if !target[..colon].eq_ignore_ascii_case(b"http")
        && !target[..colon].eq_ignore_ascii_case(b"https")
    {
        return Err(bad("invalid request target"));
    }
    let rest = &target[colon + 3..];
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_host(authority) {
        return Err(bad("invalid host in the request target"));
    }
    let path = match path.first() {
        Some(b'/') => PathAndQuery::Sent(Span::of(path, head)),
        Some(_) => return Err(bad("absolute target with a query and no path")),
        None if *method == Method::OPTIONS => PathAndQuery::Implied(Target::Asterisk),
        None => PathAndQuery::Implied(Target::Root),
    };
    Ok((Some(Span::of(authority, head)), path))
}

/// The one `Host` (RFC 9112 section 3.2: missing, doubled or invalid is 400).
fn host_field(fields: &Fields, is_http_11: bool) -> Result<Span, HttpError> {
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
fn is_host(host: &[u8]) -> bool {
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

#[cfg(test)]
mod tests;
