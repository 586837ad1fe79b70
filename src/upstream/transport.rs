//! How a pool's servers are spoken to: in which protocol, and inside what.

use std::{net::SocketAddr, sync::Arc};

use super::{failure::Failure, lease::Lease};
use crate::{
    config::{self, Alpn, PeerProtocol, PeerTls},
    net::{Deadline, Stream, Timer, TlsClient},
};

/// How connections to a pool's servers are made. Shared by them, and by the pool over every reload
/// that does not change it: a connection made in another way is not used again.
#[derive(Debug)]
pub struct Transport {
    /// What is spoken.
    pub protocol: PeerProtocol,
    described: Option<PeerTls>,
    tls: Option<TlsClient>,
}

impl Transport {
    /// What `pool` describes; `previous` itself if that is the same.
    ///
    /// # Errors
    /// rustls cannot use what the file says.
    pub(super) fn new(
        pool: &config::Pool,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, rustls::Error> {
        if let Some(previous) = previous
            && previous.protocol == pool.protocol
            && is_same(previous.described.as_ref(), pool.tls.as_ref())
        {
            return Ok(Arc::clone(previous));
        }
        let alpn = match pool.protocol {
            PeerProtocol::Http1 => Alpn::Http11,
            PeerProtocol::Http2 => Alpn::H2,
        };
        let tls = pool.tls.as_ref().map(|tls| TlsClient::new(tls, alpn));
        Ok(Arc::new(Self {
            protocol: pool.protocol,
            described: pool.tls.clone(),
            tls: tls.transpose()?,
        }))
    }

    /// Whether a connection that `other` made to the server that the file calls `called` is one to the server that
    /// it calls `authority`: inside TLS it was verified for a name.
    pub(super) fn made(&self, other: &Arc<Self>, called: &str, authority: &str) -> bool {
        let is_ours = std::ptr::eq(self, Arc::as_ptr(other));
        let has_own_names = self.tls.is_some()
            && self
                .described
                .as_ref()
                .is_some_and(|tls| tls.server_name.is_none());
        is_ours && (!has_own_names || called == authority)
    }

    /// HTTP/1.1 in the clear.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self {
            protocol: PeerProtocol::Http1,
            described: None,
            tls: None,
        }
    }

    /// Connects to the peer that `lease` is for, and shakes hands if that is how it is spoken to.
    ///
    /// # Errors
    /// A [`Failure`] that sent nothing of a request.
    pub(super) async fn connect(
        &self,
        lease: &Lease,
        timer: &Timer,
        deadline: Deadline,
        inside: Inside<'_>,
    ) -> Result<Stream, Failure> {
        let address = lease.peer().address();
        // Two futures, so that the many without TLS do not carry what a handshake needs.
        let connected = match (&self.tls, inside) {
            (None, Inside::Http) => timer.limit(deadline, plain(address)).await,
            _ => {
                let connecting = Box::pin(self.open(lease, inside));
                timer.limit(deadline, connecting).await
            }
        };
        let stream = connected.unwrap_or(Err(Failure::CONNECT_TIMEOUT))?;
        lease.connected();
        Ok(stream)
    }

    async fn open(&self, lease: &Lease, inside: Inside<'_>) -> Result<Stream, Failure> {
        let mut stream = plain(lease.peer().address()).await?;
        if let Inside::Anything { preface } = inside {
            let written = stream.write_first(preface).await;
            written.map_err(|error| Failure::connecting(&error))?;
        }
        let is_http = inside == Inside::Http;
        self.secure(&mut stream, lease.authority(), is_http).await?;
        Ok(stream)
    }

    /// Shakes hands on `stream` with the server that the file calls `authority`, if that is how it is spoken to;
    /// `is_http`: to speak the pool's protocol.
    ///
    /// # Errors
    /// A [`Failure`] that sent nothing of a request.
    pub(super) async fn secure(
        &self,
        stream: &mut Stream,
        authority: &Arc<str>,
        is_http: bool,
    ) -> Result<(), Failure> {
        let Some(tls) = &self.tls else {
            return Ok(());
        };
        let secured = stream.secure_to(tls, authority, is_http).await;
        secured.map_err(|error| Failure::connecting(&error))?;
        let is_http2 = self.protocol == PeerProtocol::Http2;
        if is_http && is_http2 && stream.protocol() != Some(Alpn::H2) {
            return Err(Failure::NO_HTTP2);
        }
        Ok(())
    }
}

async fn plain(address: SocketAddr) -> Result<Stream, Failure> {
    let connected = Stream::connect(address).await;
    connected.map_err(|error| Failure::connecting(&error))
}

/// What a connection to a server is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Inside<'p> {
    /// What the pool's protocol is.
    Http,
    /// Whatever the client speaks, behind `preface`, which is in the clear.
    Anything { preface: &'p [u8] },
}

fn is_same(a: Option<&PeerTls>, b: Option<&PeerTls>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.is_same(b),
        (Some(_), None) | (None, Some(_)) => false,
    }
}
