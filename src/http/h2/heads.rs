//! Heads between HTTP/2's fields and lbd's.

use h2::ext::Protocol;
use http::{HeaderMap, HeaderName, HeaderValue, Method, request, response};

use crate::http::{
    error::HttpError,
    head::HeadWriter,
    message::{Field, Fields, HeadLimits, Pseudo, RequestHead, ResponseHead},
};

/// The head of a request that came in a HEADERS frame. `has_body`: the stream did not end with it.
///
/// # Errors
/// 400, 405, 414 or 431.
pub(in super::super) fn request_head(
    parts: &request::Parts,
    has_body: bool,
    limits: HeadLimits,
) -> Result<RequestHead, HttpError> {
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    RequestHead::assemble(
        parts.method.clone(),
        Pseudo {
            target,
            authority,
            protocol: parts.extensions.get().map(Protocol::as_str),
        },
        fields_of(&parts.headers),
        has_body,
        limits,
    )
}

/// The head of a response to a request with `method` that came in a HEADERS frame. `has_body`: the stream did
/// not end with it.
pub(in super::super) fn response_head(
    parts: &response::Parts,
    method: &Method,
    has_body: bool,
) -> ResponseHead {
    ResponseHead::assemble(parts.status, method, fields_of(&parts.headers), has_body)
}

/// The fields of `map`, one line for each value.
pub(super) fn fields_of(map: &HeaderMap) -> Fields {
    let mut fields = Fields::with_capacity(map.len());
    for (name, value) in map {
        fields.push(name.as_str(), value.as_bytes());
    }
    fields
}

/// The same the other way; what HTTP/2 cannot hold is left out.
pub(super) fn map_of(fields: &Fields) -> HeaderMap {
    let mut head = HeadFields::default();
    for field in fields.iter() {
        head.pass(&field);
    }
    head.map
}

/// A head as HTTP/2 sends it.
#[derive(Debug, Default)]
pub(in super::super) struct HeadFields {
    pub(in super::super) map: HeaderMap,
    value: Vec<u8>,
}

impl HeadFields {
    /// The head of a request for `target`; `Host` becomes its authority. `None`: HTTP/2 has no such request.
    pub(in super::super) fn into_request(
        mut self,
        method: Method,
        target: &[u8],
        is_https: bool,
    ) -> Option<http::Request<()>> {
        let host = self.map.remove(http::header::HOST)?;
        let scheme = if is_https { "https" } else { "http" };
        let uri = |target: &[u8]| {
            http::Uri::builder()
                .scheme(scheme)
                .authority(host.as_bytes())
                .path_and_query(target)
                .build()
                .ok()
        };
        let uri = uri(target).or_else(|| uri(&escaped(target)))?;
        let mut request = http::Request::new(());
        *request.method_mut() = method;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.map;
        Some(request)
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        // Names are lowered here. What came over HTTP/1.1 was checked when it was read, so none is refused that was not.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            self.map.append(name, value);
        }
    }
}

/// `target` with those bytes escaped that old clients send and that no URL may hold (RFC 3986 section 2).
fn escaped(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len() + 16);
    for byte in target {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            b'!'..=b'~' => out.push(*byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

impl HeadWriter for HeadFields {
    fn pass(&mut self, field: &Field<'_>) {
        self.add(field.name, field.value);
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.add(name.as_bytes(), value);
    }

    fn field_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut value = std::mem::take(&mut self.value);
        write(&mut value);
        if !value.is_empty() {
            self.add(name.as_bytes(), &value);
        }
        value.clear();
        self.value = value;
    }

    /// Fields about the connection are errors in HTTP/2 (RFC 9113 section 8.2.2).
    fn of_connection(&mut self, _: &str, _: &[u8]) {}
}
