//! Why a try failed, in the terms that decide what follows.

use std::io;

use http::StatusCode;

/// The failures that `retry.on` tells apart (nginx `proxy_next_upstream`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureKind {
    /// The connection could not be made, or broke before the response head was complete.
    Error,
    /// The peer did not connect or answer in time.
    Timeout,
    /// What came is no HTTP response.
    InvalidHeader,
    /// A connection broke that other requests were on, too.
    Lost,
    /// The peer is only busy: it has not looked at the request, and there is nothing wrong with it.
    Refused,
    /// This machine has no descriptor, memory or port left: no peer is to blame, and none would help.
    Local,
}

/// What kinds of failures are counted, in the order of [`FAILURES`](crate::telemetry::FAILURES).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FailureClass {
    Error,
    Timeout,
    InvalidHeader,
    /// An answer that `retry.on` lists.
    Status,
    Other,
}

impl FailureKind {
    pub(super) fn class(self) -> FailureClass {
        match self {
            Self::Error | Self::Lost => FailureClass::Error,
            Self::Timeout => FailureClass::Timeout,
            Self::InvalidHeader => FailureClass::InvalidHeader,
            Self::Refused | Self::Local => FailureClass::Other,
        }
    }
}

/// A try that failed before a full response head.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What kind it is.
    pub kind: FailureKind,
    /// Whether a byte of the request may have reached the peer.
    pub sent: bool,
    /// In words, for logs.
    pub reason: &'static str,
}

impl Failure {
    /// A server that would not agree on HTTP/2 in the handshake.
    pub(super) const NO_HTTP2: Self = Self {
        kind: FailureKind::Error,
        sent: false,
        reason: "does not speak HTTP/2 (ALPN)",
    };

    /// A server that does not say what it allows in HTTP/2.
    pub(super) const CONNECT_TIMEOUT: Self = Self {
        kind: FailureKind::Timeout,
        sent: false,
        reason: "connect timeout",
    };

    /// A machine that says that nobody is there for datagrams.
    pub const PORT_UNREACHABLE: Self = Self {
        kind: FailureKind::Error,
        sent: false,
        reason: "port unreachable",
    };

    /// A server that has not answered a datagram.
    pub const NO_RESPONSE: Self = Self {
        kind: FailureKind::Timeout,
        sent: false,
        reason: "no response",
    };

    /// A server that takes no more of a request.
    pub const SEND_TIMEOUT: Self = Self {
        kind: FailureKind::Timeout,
        sent: true,
        reason: "send timeout",
    };

    /// A connection that could not be made.
    pub fn connecting(error: &io::Error) -> Self {
        let (kind, reason) = match error.kind() {
            io::ErrorKind::TimedOut => (FailureKind::Timeout, "connect timeout"),
            io::ErrorKind::ConnectionRefused => (FailureKind::Error, "connection refused"),
            io::ErrorKind::ConnectionReset => (FailureKind::Error, "connection reset"),
            io::ErrorKind::HostUnreachable => (FailureKind::Error, "host unreachable"),
            io::ErrorKind::NetworkUnreachable => (FailureKind::Error, "network unreachable"),
            io::ErrorKind::AddrNotAvailable => (FailureKind::Local, "no free local port"),
            io::ErrorKind::InvalidData => (FailureKind::Error, tls_failure(error)),
            io::ErrorKind::UnexpectedEof => (FailureKind::Error, "closed within the TLS handshake"),
            _ if is_shortage(error) => (FailureKind::Local, "no descriptor or memory left"),
            _ => (FailureKind::Error, "connect failed"),
        };
        Self {
            kind,
            sent: false,
            reason,
        }
    }

    /// A write of the request that failed.
    pub fn sending(error: &io::Error, sent: bool) -> Self {
        let (kind, reason) = match error.kind() {
            io::ErrorKind::InvalidData => (FailureKind::Error, tls_failure(error)),
            io::ErrorKind::TimedOut => (FailureKind::Timeout, "send timeout"),
            _ => (FailureKind::Error, "closed while sending"),
        };
        Self { kind, sent, reason }
    }

    /// A read of the response head that failed.
    pub fn reading(error: &io::Error) -> Self {
        let (kind, reason) = match error.kind() {
            io::ErrorKind::TimedOut => (FailureKind::Timeout, "read timeout"),
            io::ErrorKind::UnexpectedEof => (FailureKind::Error, "closed before answering"),
            io::ErrorKind::InvalidData => (FailureKind::Error, tls_failure(error)),
            _ => (FailureKind::Error, "reset before answering"),
        };
        Self {
            kind,
            sent: true,
            reason,
        }
    }

    /// A stream, or the connection that it is on, that broke before the response head. What a peer says that
    /// it has not looked at was not sent (RFC 9113 section 8.7).
    pub fn stream(error: &h2::Error) -> Self {
        let is_reset = error.is_remote() && error.is_reset();
        let (kind, sent, reason) = if is_reset && error.reason() == Some(h2::Reason::REFUSED_STREAM)
        {
            (FailureKind::Refused, false, "refused the stream")
        } else if is_reset {
            (
                FailureKind::Error,
                true,
                "reset the stream before answering",
            )
        } else if error.is_remote() && error.is_go_away() {
            (FailureKind::Error, false, "is going away")
        } else if error.is_io() {
            (FailureKind::Lost, true, "closed before answering")
        } else {
            (
                FailureKind::InvalidHeader,
                true,
                "broke the rules of HTTP/2",
            )
        };
        Self { kind, sent, reason }
    }

    /// The same of a try that had not begun to send.
    pub fn unsent(self) -> Self {
        Self {
            sent: false,
            ..self
        }
    }

    /// What a client is told when no other peer can be tried.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Local => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

/// Why there is no TLS with a server, in words that say whose certificate to look at.
fn tls_failure(error: &io::Error) -> &'static str {
    use rustls::{CertificateError, Error};
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "TLS: certificate of an unknown authority"
        }
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "TLS: certificate has expired",
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "TLS: certificate is for another name",
        Some(Error::InvalidCertificate(_)) => "TLS: certificate is not acceptable",
        Some(Error::AlertReceived(_)) => "TLS: refused by the server",
        Some(Error::InvalidMessage(_)) => "TLS: the server does not speak it",
        _ => "TLS failed",
    }
}

/// Errors of socket(2) that speak of this machine.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| shortages.iter().any(|errno| errno.raw_os_error() == code))
}
