//! Reading the head of a request (RFC 9112 sections 2 and 3).

use std::mem::MaybeUninit;

use http::{Method, StatusCode, Version};

use crate::http::{
    error::HttpError,
    message::{
        ConnectionOptions, Fields, HEADER_TOO_LARGE, HeadLimits, MAX_FIELDS, PathAndQuery,
        RequestHead, Span, Target, URI_TOO_LONG, bad, check_method, expects_continue, host_field,
        is_host, request_framing,
    },
};

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
        protocol: None,
        body,
        keep_alive: options.keeps_alive(is_http_11),
        options,
        expects_continue: is_http_11 && expects_continue(&fields),
        method,
        version,
        fields,
    })
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

#[cfg(test)]
mod tests;
