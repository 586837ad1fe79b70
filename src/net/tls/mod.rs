//! TLS on a connection, in front and towards peers (rustls).
//!
//! A [`Session`](session::Session) sits between a [`Stream`](super::Stream) and its socket, so that
//! whoever reads and writes the one need not know of the other. What it agrees on comes from a
//! [`TlsServer`] or a [`TlsClient`], which are made from the file once and shared.

mod client;
mod resolver;
mod server;
pub(super) mod session;
mod subject;

/// The first byte of a TLS handshake's record (RFC 8446 section 5.1).
pub(super) const HANDSHAKE_RECORD: u8 = 22;

pub use self::{
    client::TlsClient,
    server::{ClientIdentity, TlsServer},
};
