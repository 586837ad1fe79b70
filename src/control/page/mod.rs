//! The status page: three files in the binary, which ask the API like anybody else. Nothing comes from elsewhere.

use http::{HeaderName, StatusCode, header};

use super::api::Reply;

/// A part of the page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Text,
    Style,
    Script,
}

/// Nothing but its own parts, and the API beside it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Part {
    /// The part at `path`.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Text),
            "/page.css" => Some(Self::Style),
            "/page.js" => Some(Self::Script),
            _ => None,
        }
    }
}

/// What a browser gets that asks for `part`.
pub(super) fn reply(part: Part) -> Reply {
    let (text, content_type) = match part {
        Part::Text => (include_str!("page.html"), "text/html; charset=utf-8"),
        Part::Style => (include_str!("page.css"), "text/css; charset=utf-8"),
        Part::Script => (include_str!("page.js"), "text/javascript; charset=utf-8"),
    };
    Reply::new(StatusCode::OK, text)
        .of_type(content_type)
        .with(header::CONTENT_SECURITY_POLICY, POLICY)
        .with(HeaderName::from_static("x-frame-options"), "DENY")
}
