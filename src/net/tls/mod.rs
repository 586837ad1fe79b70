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

pub use self::{
    client::TlsClient,
    server::{ClientIdentity, TlsServer},
};
