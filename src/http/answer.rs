//! Answers that lbd makes itself: errors, redirects, fixed responses.

use std::borrow::Cow;

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::{
    client::{After, Client},
    error::HttpError,
    exchange::Exchange,
    h1::{write_field, write_length, write_status_line},
    headers::{touches, write_connection, write_date, write_set},
    site::Route,
};

/// An answer of lbd's own.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    status: StatusCode,
    body: Cow<'a, [u8]>,
    content_type: &'a str,
    location: Option<Vec<u8>>,
    retry_after: Option<u64>,
    /// Whether nothing that the client sent after this request can be trusted.
    closes: bool,
}

const TEXT: &str = "text/plain; charset=utf-8";
/// What lbd forwards; named in every 405 (RFC 9110 section 15.5.6).
const ALLOWED: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl<'a> Answer<'a> {
    /// `body` with `status`.
    pub(super) fn text(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            body: Cow::Owned(body),
            content_type: TEXT,
            location: None,
            retry_after: None,
            closes: false,
        }
    }

    /// The client is sent to `location`.
    pub(super) fn redirect(status: StatusCode, location: Vec<u8>) -> Self {
        Self {
            location: Some(location),
            ..Self::text(status, plain_body(status, None))
        }
    }

    /// What `error` looks like to the client: the route's page for it, or one line that names no internals.
    pub(super) fn error(error: &HttpError, route: Option<&'a Route>) -> Self {
        let status = error.status();
        let text = Self {
            retry_after: error.retry_after(),
            closes: error.is_client_fault(),
            ..Self::text(status, plain_body(status, error.detail()))
        };
        match route.and_then(|route| route.error_page(status)) {
            Some(page) => Self {
                body: Cow::Borrowed(&page.body),
                content_type: page.content_type,
                ..text
            },
            None => text,
        }
    }

    /// Sends it. A request body that has not arrived as a whole is not waited for.
    pub(super) async fn send(
        self,
        client: &mut Client,
        exchange: &mut Exchange<'_>,
        route: Option<&Route>,
    ) -> After {
        let is_read = !self.closes && client.discard_body(&mut exchange.body);
        let wants_more = exchange.request().is_some_and(|request| request.keep_alive);
        let keep_alive = is_read && wants_more && !exchange.context.drain.is_draining();
        let out = self.render(exchange, route, keep_alive);
        exchange.status = Some(self.status);
        exchange.bytes = if is_head(exchange) {
            0
        } else {
            self.body.len() as u64
        };
        match client.write_all(&out, exchange.site.timeouts.send).await {
            Err(_) => After::Close,
            Ok(()) if keep_alive => After::KeepAlive(Instant::now()),
            Ok(()) => After::Linger,
        }
    }

    fn render(&self, exchange: &Exchange<'_>, route: Option<&Route>, keep_alive: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        let has_body = !matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
        write_status_line(
            &mut out,
            self.status,
            self.status
                .canonical_reason()
                .unwrap_or_default()
                .as_bytes(),
        );
        let is_edited =
            |name: &str| route.is_some_and(|route| touches(&route.response_headers, name));
        if !is_edited("Server") {
            write_field(&mut out, "Server", b"lbd");
        }
        if !is_edited("Date") {
            write_date(&mut out, exchange);
        }
        if has_body && !is_edited("Content-Type") {
            write_field(&mut out, "Content-Type", self.content_type.as_bytes());
        }
        self.write_own_fields(&mut out);
        if let Some(route) = route {
            write_set(&mut out, &route.response_headers, exchange);
        }
        if has_body || self.status == StatusCode::RESET_CONTENT {
            write_length(&mut out, if has_body { self.body.len() as u64 } else { 0 });
        }
        match exchange.request() {
            Some(request) => write_connection(&mut out, request, keep_alive),
            None => write_field(&mut out, "Connection", b"close"),
        }
        out.extend_from_slice(b"\r\n");
        if has_body && !is_head(exchange) {
            out.extend_from_slice(&self.body);
        }
        out
    }

    /// Appends the fields without which the status means nothing.
    fn write_own_fields(&self, out: &mut Vec<u8>) {
        if let Some(location) = &self.location {
            write_field(out, "Location", location);
        }
        if let Some(seconds) = self.retry_after {
            write_field(
                out,
                "Retry-After",
                itoa::Buffer::new().format(seconds).as_bytes(),
            );
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            write_field(out, "Allow", ALLOWED);
        }
    }
}

fn is_head(exchange: &Exchange<'_>) -> bool {
    exchange
        .request()
        .is_some_and(|request| request.method == Method::HEAD)
}

fn plain_body(status: StatusCode, detail: Option<&str>) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    match detail {
        Some(detail) => format!("{} {reason}: {detail}\n", status.as_str()),
        None => format!("{} {reason}\n", status.as_str()),
    }
    .into_bytes()
}
