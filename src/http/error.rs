//! Why a request is not answered by a peer.

use http::StatusCode;

/// Whose doing it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    /// The client sent what cannot be served.
    Client,
    /// No peer gave an answer.
    Peer,
    /// There are too many clients.
    Crowd,
}

/// A request that lbd answers itself because something is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct HttpError {
    side: Side,
    status: StatusCode,
    reason: &'static str,
    /// What the client is told beyond the status; only about pools, never about addresses.
    detail: Option<String>,
    retry_after: Option<u64>,
}

impl HttpError {
    /// The client's doing; the connection's further bytes have no certain meaning.
    pub(super) const fn client(status: StatusCode, reason: &'static str) -> Self {
        Self {
            side: Side::Client,
            status,
            reason,
            detail: None,
            retry_after: None,
        }
    }

    /// The peers' doing, or nobody's: the connection goes on.
    pub(super) const fn peer(status: StatusCode, reason: &'static str) -> Self {
        Self {
            side: Side::Peer,
            status,
            reason,
            detail: None,
            retry_after: None,
        }
    }

    /// No peer could be chosen: what the client is told, and when it may come again.
    pub(super) fn no_live_peer(detail: String, retry_after: u64) -> Self {
        Self {
            detail: Some(detail),
            retry_after: Some(retry_after),
            ..Self::peer(StatusCode::BAD_GATEWAY, "no live server")
        }
    }

    /// All peers have as much to do as they may: the client may come again at once.
    pub(super) fn busy(detail: String) -> Self {
        Self {
            detail: Some(detail),
            retry_after: Some(1),
            ..Self::peer(StatusCode::SERVICE_UNAVAILABLE, "busy")
        }
    }

    /// The client's connection is one too many.
    pub(super) fn crowded() -> Self {
        Self {
            side: Side::Crowd,
            retry_after: Some(1),
            ..Self::peer(StatusCode::SERVICE_UNAVAILABLE, "too many connections")
        }
    }

    /// The status that the client is sent.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the connection ends with it: nothing that follows the client's own fault can be trusted.
    pub(super) fn closes(&self) -> bool {
        matches!(self.side, Side::Client | Side::Crowd)
    }

    pub(super) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    pub(super) fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }
}
