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
    /// This machine has no descriptor, memory or port left: no peer is to blame, and none would help.
    Local,
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
    /// A connection that could not be made.
    pub fn connecting(error: &io::Error) -> Self {
        let (kind, reason) = match error.kind() {
            io::ErrorKind::TimedOut => (FailureKind::Timeout, "connect timeout"),
            io::ErrorKind::ConnectionRefused => (FailureKind::Error, "connection refused"),
            io::ErrorKind::ConnectionReset => (FailureKind::Error, "connection reset"),
            io::ErrorKind::HostUnreachable => (FailureKind::Error, "host unreachable"),
            io::ErrorKind::NetworkUnreachable => (FailureKind::Error, "network unreachable"),
            io::ErrorKind::AddrNotAvailable => (FailureKind::Local, "no free local port"),
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
            io::ErrorKind::InvalidData => (FailureKind::InvalidHeader, "invalid header"),
            _ => (FailureKind::Error, "reset before answering"),
        };
        Self {
            kind,
            sent: true,
            reason,
        }
    }

    /// What a client is told when no other peer can be tried.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Error | FailureKind::InvalidHeader => StatusCode::BAD_GATEWAY,
            FailureKind::Local => StatusCode::SERVICE_UNAVAILABLE,
        }
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
