//! The head of a response, whichever version it came in.

use http::{Method, StatusCode};

use super::{
    Fields,
    fields::Span,
    framing::{Framing, framing_of},
    options::ConnectionOptions,
};

/// The head of a response that can be read in one way only.
#[derive(Clone, Debug)]
pub(in super::super) struct ResponseHead {
    pub(in super::super) status: StatusCode,
    pub(in super::super) reason: Span,
    pub(in super::super) fields: Fields,
    pub(in super::super) body: Framing,
    /// Whether the peer lets the connection stand after the body.
    pub(in super::super) keep_alive: bool,
    /// What it says of its connection.
    pub(in super::super) options: ConnectionOptions,
    /// Whether it came in parts, without a reason.
    pub(in super::super) is_assembled: bool,
}

impl ResponseHead {
    /// The reason phrase: it means nothing to HTTP, but old clients show it.
    pub(in super::super) fn reason(&self) -> &[u8] {
        match self.fields.slice(self.reason) {
            // HTTP/2 has none.
            b"" if self.is_assembled => self
                .status
                .canonical_reason()
                .unwrap_or_default()
                .as_bytes(),
            reason => reason,
        }
    }

    /// `2.0` or `1.1`; servers of HTTP/1.0 are rare enough to be called the latter.
    pub(in super::super) fn version_number(&self) -> &'static str {
        if self.is_assembled { "2.0" } else { "1.1" }
    }

    /// A head that came in parts, as HTTP/2 sends it. `has_body`: the stream did not end with it.
    pub(in super::super) fn assemble(
        status: StatusCode,
        method: &Method,
        fields: Fields,
        has_body: bool,
    ) -> Self {
        let body = match framing_of(&fields, true) {
            _ if has_no_body(status, method) => Framing::None,
            _ if !has_body => Framing::Length(0),
            Ok(Some(Framing::Length(length))) => Framing::Length(length),
            _ => Framing::Chunked,
        };
        Self {
            status,
            reason: Span::default(),
            fields,
            body,
            keep_alive: true,
            options: ConnectionOptions::default(),
            is_assembled: true,
        }
    }
}

/// Whether an answer has no body, whatever its fields say (RFC 9112 section 6.3).
pub(in super::super) fn has_no_body(status: StatusCode, method: &Method) -> bool {
    status.is_informational() || matches!(status.as_u16(), 204 | 304) || *method == Method::HEAD
}
