//! Counts of what goes wrong before there is a request.

use super::counter::Counter;

/// Clients' troubles on connections, of all workers together.
#[derive(Debug, Default)]
pub struct Troubles {
    /// TLS handshakes that failed.
    pub handshakes: Counter,
    /// Connections without the PROXY header that they must begin with.
    pub proxy_headers: Counter,
    /// HTTP/2 connections that were cut off because their frames only cost.
    pub h2_floods: Counter,
}
