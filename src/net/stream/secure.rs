//! TLS on a connection.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use super::{
    super::{
        timer::{Deadline, Timer},
        tls::{TlsClient, session::Session},
    },
    Stream, timed_out,
};
use crate::config::Alpn;

impl Stream {
    /// Connects to `address`, which the file calls `authority`, and shakes hands as `tls` says.
    ///
    /// # Errors
    /// The operating system's; `InvalidData` around rustls's.
    pub async fn connect_secure(
        address: SocketAddr,
        tls: &TlsClient,
        authority: &str,
    ) -> io::Result<Self> {
        let mut stream = Self::connect(address).await?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        stream.secure(tls.connection(authority).map_err(invalid)?.into());
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// Has everything that follows go through `connection`, whose handshake comes first.
    pub(in super::super) fn secure(&mut self, connection: rustls::Connection) {
        self.tls = Some(Box::new(RefCell::new(Session::new(connection))));
    }

    /// Shakes hands until `deadline`.
    pub(in super::super) async fn handshake(
        &self,
        timer: &Timer,
        deadline: Deadline,
    ) -> io::Result<()> {
        timer
            .limit(deadline, poll_fn(|cx| self.poll_handshake(cx)))
            .await
            .unwrap_or_else(timed_out)
    }

    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &self.tls else {
            return Poll::Ready(Ok(()));
        };
        tls.borrow_mut()
            .poll_handshake(&mut self.socket.borrow_mut(), cx)
    }

    /// What `look` finds in the TLS of the connection, if it has one.
    pub(in super::super) fn with_connection<T>(
        &self,
        look: impl FnOnce(&rustls::Connection) -> T,
    ) -> Option<T> {
        let tls = self.tls.as_ref()?;
        Some(look(tls.borrow().connection()))
    }

    /// What the handshake agreed to speak inside TLS.
    pub fn protocol(&self) -> Option<Alpn> {
        let agreed = |tls: &rustls::Connection| {
            [Alpn::H2, Alpn::Http11]
                .into_iter()
                .find(|alpn| tls.alpn_protocol() == Some(alpn.as_bytes()))
        };
        self.with_connection(agreed).flatten()
    }

    /// Whether the other side began with something that is not TLS.
    pub(in super::super) fn began_in_the_clear(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.borrow().began_in_the_clear())
    }

    /// Whether a byte of a handshake has come.
    pub(in super::super) fn has_begun(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.borrow().has_begun())
    }

    /// Goes on without TLS.
    pub(in super::super) fn give_up_tls(&mut self) {
        self.tls = None;
    }

    /// Writes `bytes`, as far as the socket takes them at once.
    pub(in super::super) async fn write_now(&self, bytes: &[u8]) {
        poll_fn(|cx| Poll::Ready(self.poll_write(cx, bytes, &[]).is_ready())).await;
    }
}
