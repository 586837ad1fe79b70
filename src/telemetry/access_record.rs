//! What one request was, and what was tried for it.

use std::{net::IpAddr, sync::Arc, time::Duration};

/// Everything that an access line says of one request. Borrows: a record lives only while its line is written.
#[derive(Clone, Debug)]
pub struct AccessRecord<'a> {
    /// The client, seen through trusted proxies.
    pub client: IpAddr,
    /// `GET`, `POST`, …; empty if the request line could not be read.
    pub method: &'a [u8],
    /// The request target as sent; the whole request line if that could not be read.
    pub target: &'a [u8],
    /// `HTTP/1.1`; empty if the request line could not be read.
    pub version: &'static str,
    /// The status sent, or 499 if the client left before there was one.
    pub status: u16,
    /// Bytes of body sent to the client.
    pub bytes: u64,
    /// Bytes that came from it, where they are no request's body: through a tunnel or a stream.
    pub received: Option<u64>,
    /// The request's `Referer`.
    pub referer: Option<&'a [u8]>,
    /// The request's `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The request's `Host`.
    pub host: Option<&'a [u8]>,
    /// The `X-Request-Id` that the request carried on.
    pub request_id: &'a [u8],
    /// The trace that it is part of, in 32 digits.
    pub trace: Option<&'a [u8]>,
    /// From the first byte of the request to the last byte of the response.
    pub duration: Duration,
    /// The pool that the route named.
    pub pool: Option<&'a str>,
    /// What was tried, in order; empty if lbd answered by itself.
    pub attempts: &'a [Attempt],
}

/// One server tried for a request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The server, as the file says it.
    pub server: Arc<str>,
    /// What came of it.
    pub result: AttemptResult,
    /// Until the connection stood; zero for one that was reused.
    pub connect: Option<Duration>,
    /// Until the response head was complete.
    pub header: Option<Duration>,
    /// Until the end of the attempt.
    pub total: Duration,
}

/// What came of an [`Attempt`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttemptResult {
    /// A response with this status.
    Status(u16),
    /// None; the reason in words.
    Failed(&'static str),
    /// The client left before there was one.
    Abandoned,
}

/// How an access line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LineFormat {
    /// nginx's `combined`, and after it the host, the time, and every attempt.
    Combined,
    /// One JSON object a line.
    Json,
}
