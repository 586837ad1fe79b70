//! TLS on a connection.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    task::{Context, Poll},
};

use super::{
    super::{
        proxy_protocol::{Extensions, TlsFacts},
        timer::{Deadline, Timer},
        tls::{ClientIdentity, TlsClient, session::Session},
    },
    Stream, timed_out,
};
use crate::config::Alpn;

impl Stream {
    /// Shakes hands as `tls` says with the server that the file calls `authority`. Whether it is `known` what is
    /// spoken inside decides whether the handshake names it.
    ///
    /// # Errors
    /// The operating system's; `InvalidData` around rustls's.
    pub async fn secure_to(
        &mut self,
        tls: &TlsClient,
        authority: &str,
        known: bool,
    ) -> io::Result<()> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let connection = tls.connection(authority, known).map_err(invalid)?;
        self.secure(connection.into(), &[]);
        poll_fn(|cx| self.poll_handshake(cx)).await
    }

    /// Has everything that follows `ahead`, which has been read, go through `connection`, whose handshake comes first.
    pub(in super::super) fn secure(&mut self, connection: rustls::Connection, ahead: &[u8]) {
        let mut session = Session::new(connection);
        session.take_ahead(ahead);
        self.tls = Some(Box::new(RefCell::new(session)));
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
                .find(|alpn| tls.alpn_protocol() == Some(alpn.as_str().as_bytes()))
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

    /// Writes all of `bytes` before anything else is said.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn write_first(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = poll_fn(|cx| self.poll_write(cx, bytes, &[])).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// What is known of the TLS that has been agreed on, for whoever cannot see it.
    pub fn tls_facts(&self, identity: Option<&ClientIdentity>) -> Option<Extensions> {
        self.with_connection(|connection| facts_of(connection, identity))
    }

    /// Writes `bytes`, as far as the socket takes them at once.
    pub async fn write_now(&self, bytes: &[u8]) {
        poll_fn(|cx| Poll::Ready(self.poll_write(cx, bytes, &[]).is_ready())).await;
    }
}

fn facts_of(connection: &rustls::Connection, identity: Option<&ClientIdentity>) -> Extensions {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let cipher = connection
        .negotiated_cipher_suite()
        .map_or_else(String::new, |suite| openssl_name(suite.suite()));
    let name = match connection {
        rustls::Connection::Server(connection) => connection.server_name(),
        rustls::Connection::Client(_) => None,
    };
    Extensions {
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        name: name.map(str::to_owned),
        tls: Some(TlsFacts {
            version,
            cipher,
            certificate: identity.map(|identity| identity.common_name.clone()),
        }),
    }
}

/// `TLS_AES_256_GCM_SHA384`, `ECDHE-RSA-AES128-GCM-SHA256`: what whoever reads PROXY headers compares with.
fn openssl_name(suite: rustls::CipherSuite) -> String {
    let name = format!("{suite:?}");
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name
            .trim_start_matches("TLS_")
            .replace("_WITH_", "-")
            .replace("AES_", "AES")
            .replace("_POLY1305_SHA256", "_POLY1305")
            .replace('_', "-"),
    }
}
