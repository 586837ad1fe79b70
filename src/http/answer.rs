//! Answers that lbd makes itself: errors, redirects, fixed responses.

use std::borrow::Cow;

use http::StatusCode;
use tokio::time::Instant;

use super::{
    client::{After, Client, ClientOutput},
    error::HttpError,
    exchange::Exchange,
    grpc::{Code, code_of, is_call, trailers},
    h1::write_status_line,
    h2::HeadFields,
    head::HeadWriter,
    headers::{touches, write_connection, write_date, write_set},
    message::{Framing, RequestHead},
    response::{Outbound, ResponseText},
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
    /// What a gRPC call is told, in place of all else.
    call: Option<(Code, String)>,
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
            call: None,
        }
    }

    /// A gRPC call ends with `code`, because of `message`.
    pub(super) fn call(code: Code, message: String) -> Self {
        Self {
            content_type: "application/grpc",
            call: Some((code, message)),
            ..Self::text(StatusCode::OK, Vec::new())
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
    pub(super) fn error(
        error: &HttpError,
        request: Option<&RequestHead>,
        route: Option<&'a Route>,
    ) -> Self {
        if request.is_some_and(|request| is_call(request) && request.protocol.is_none()) {
            let message = match (error.detail(), route.and_then(Route::pool)) {
                (Some(detail), _) => detail.to_owned(),
                (None, Some(pool)) => format!("pool {pool}: {error}"),
                (None, None) => error.to_string(),
            };
            return Self::call(code_of(error), message);
        }
        let status = error.status();
        let text = Self {
            retry_after: error.retry_after(),
            closes: error.closes(),
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
        client: &mut Client<'_>,
        exchange: &mut Exchange<'_>,
        route: Option<&Route>,
    ) -> After {
        let is_read = !self.closes && client.discard_body(&mut exchange.body);
        let wants_more = exchange.request().is_some_and(|request| request.keep_alive);
        let keep_alive = is_read && wants_more && !exchange.context.shared.drain.is_draining();
        let has_body = self.may_have_body() && !exchange.is_head;
        let (head, framing) = self.head(client, exchange, route, keep_alive);
        exchange.status = Some(self.status);
        exchange.bytes = if has_body { self.body.len() as u64 } else { 0 };
        let output = ClientOutput {
            sink: client.sink(),
            timer: client.timer(),
            patience: exchange.site.timeouts.send,
        };
        let mut outbound = Outbound::new(output, head, framing);
        let sent = async {
            if has_body {
                outbound.payload(&self.body).await?;
            }
            outbound.finish(None).await
        };
        match sent.await {
            Err(_) => After::Close,
            Ok(()) if keep_alive => {
                let now = Instant::now();
                exchange.ended = Some(now);
                After::KeepAlive(now)
            }
            Ok(()) => After::Linger,
        }
    }

    fn head(
        &self,
        client: &Client<'_>,
        exchange: &Exchange<'_>,
        route: Option<&Route>,
        keep_alive: bool,
    ) -> (ResponseText, Framing) {
        let head = match client {
            Client::Http1(_) => {
                let mut out = Vec::with_capacity(512 + self.body.len());
                let reason = self.status.canonical_reason().unwrap_or_default();
                write_status_line(&mut out, self.status, reason.as_bytes());
                self.write_fields(&mut out, exchange, route, keep_alive);
                out.extend_from_slice(b"\r\n");
                ResponseText::Http1(out)
            }
            Client::Http2(_) => {
                let mut fields = HeadFields::default();
                self.write_fields(&mut fields, exchange, route, keep_alive);
                ResponseText::http2(self.status, fields)
            }
        };
        (head, Framing::Length(self.body.len() as u64))
    }

    /// Whether its status is one that has a body.
    fn may_have_body(&self) -> bool {
        self.call.is_none()
            && !matches!(
                self.status,
                StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
            )
    }

    fn write_fields(
        &self,
        out: &mut impl HeadWriter,
        exchange: &Exchange<'_>,
        route: Option<&Route>,
        keep_alive: bool,
    ) {
        let has_body = self.may_have_body();
        let is_edited =
            |name: &str| route.is_some_and(|route| touches(&route.response_headers, name));
        if !is_edited("Server") {
            out.field("Server", b"lbd");
        }
        if !is_edited("Date") {
            write_date(out, exchange);
        }
        if (has_body || self.call.is_some()) && !is_edited("Content-Type") {
            out.field("Content-Type", self.content_type.as_bytes());
        }
        self.write_own_fields(out);
        if let Some(route) = route {
            write_set(out, &route.response_headers, exchange);
        }
        if has_body || self.status == StatusCode::RESET_CONTENT {
            let length = if has_body { self.body.len() } else { 0 };
            let length = itoa::Buffer::new().format(length).to_owned();
            out.field("Content-Length", length.as_bytes());
        }
        match exchange.request() {
            Some(request) => write_connection(out, request, keep_alive),
            None => out.of_connection("Connection", b"close"),
        }
    }

    /// Appends the fields without which the status means nothing.
    fn write_own_fields(&self, out: &mut impl HeadWriter) {
        if let Some((code, message)) = &self.call {
            for field in trailers(*code, message).iter() {
                out.pass(&field);
            }
        }
        if let Some(location) = &self.location {
            out.field("Location", location);
        }
        if let Some(seconds) = self.retry_after {
            out.field(
                "Retry-After",
                itoa::Buffer::new().format(seconds).as_bytes(),
            );
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            out.field("Allow", ALLOWED);
        }
    }
}

fn plain_body(status: StatusCode, detail: Option<&str>) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    match detail {
        Some(detail) => format!("{} {reason}: {detail}\n", status.as_str()),
        None => format!("{} {reason}\n", status.as_str()),
    }
    .into_bytes()
}
