//! From an accepted socket to a connection whose client is known: a PROXY header, then TLS or the name that is asked for
//! in it, under one deadline.

use std::{future::poll_fn, io, net::SocketAddr};

use rustls::{CertificateError, Connection, Error};

use super::{
    buffer::{Buffer, BufferSize},
    hello::{self, Hello, Parsed},
    proxy_protocol::{self, Endpoints},
    shared::Shared,
    stream::Stream,
    timer::{Deadline, Timer},
    tls::{ClientIdentity, TlsServer},
};
use crate::{
    config::{Alpn, TrustedProxies},
    telemetry::{ListenerStats, Striped},
};

/// What a handshake has agreed on.
#[derive(Debug)]
pub struct Agreed {
    /// What is spoken inside; `None`: the client named nothing.
    pub protocol: Option<Alpn>,
    /// Who the client is, if it has shown a certificate.
    pub identity: Option<Box<ClientIdentity>>,
}

/// A connection of which nothing has been passed on yet: what it begins with, the part that is lbd's.
pub struct Opening<'o> {
    /// The connection.
    pub stream: &'o mut Stream,
    /// What has been read of it and belongs to what comes next.
    pub input: &'o mut Buffer,
    /// Its worker's.
    pub shared: &'o Shared,
    /// Where it is counted what goes wrong: its listener's.
    pub stats: &'o Striped<ListenerStats>,
    /// Its own.
    pub timer: &'o Timer,
    /// For all of it together.
    pub deadline: Deadline,
}

impl Opening<'_> {
    /// Reads the PROXY header of `client`, which has to be one of `trusted`. `None`: the connection is the proxy's own.
    ///
    /// # Errors
    /// There is none, and why, in words for a log; it is counted.
    pub async fn proxy_header(
        &mut self,
        client: SocketAddr,
        trusted: &TrustedProxies,
    ) -> Result<Option<Endpoints>, String> {
        let heard = if trusted.trusts(client.ip()) {
            self.hear_proxy().await
        } else {
            Err("not from one of `trusted_proxies`".to_owned())
        };
        heard.inspect_err(|_| self.stats.own().proxy_header_failures.add(1))
    }

    async fn hear_proxy(&mut self) -> Result<Option<Endpoints>, String> {
        loop {
            let header = proxy_protocol::parse(self.input.data());
            if let Some(header) = header.map_err(|error| error.to_string())? {
                self.input.consume(header.length);
                self.shared.buffers.release(self.input);
                return Ok(header.endpoints);
            }
            match self.read().await {
                None => return Err("no PROXY header in time".to_owned()),
                Some(true) => {}
                Some(false) => return Err("closed before the PROXY header".to_owned()),
            }
        }
    }

    /// Reads a ClientHello, which stays in `input`. What is none, or cannot be read, names nobody.
    ///
    /// # Errors
    /// None comes, and why, in words for a log.
    pub async fn hello(&mut self) -> Result<Hello, String> {
        let mut needed = 1;
        loop {
            if self.input.len() >= needed {
                match hello::parse(self.input.data()) {
                    Parsed::Hello(hello) => return Ok(hello),
                    Parsed::Other => return Ok(Hello::default()),
                    Parsed::Part { needed: more } => needed = more,
                }
            }
            match self.read().await {
                None => return Err(TIMEOUT.to_owned()),
                Some(true) => {}
                Some(false) => return Err(closed(!self.input.is_empty())),
            }
        }
    }

    /// Whether the client begins with `preface`, of which as much is read as it takes to see; all of that stays in
    /// `input`.
    pub async fn begins_with(&mut self, preface: &[u8]) -> bool {
        while self.input.len() < preface.len() && preface.starts_with(self.input.data()) {
            if self.read().await != Some(true) {
                break;
            }
        }
        self.input.data().starts_with(preface)
    }

    /// Reads more, of which there is some if it gives `true`; `None` if it does not come in time.
    async fn read(&mut self) -> Option<bool> {
        let (stream, input, buffers) = (&*self.stream, &mut *self.input, &self.shared.buffers);
        let fill = poll_fn(|cx| buffers.poll_fill(cx, stream, input, BufferSize::Short));
        let read = self.timer.limit(self.deadline, fill).await?;
        Some(matches!(read, Ok(n) if n > 0))
    }

    /// Shakes hands with the client.
    ///
    /// # Errors
    /// Why there is no TLS; it is counted, and the client has been told as far as TLS can.
    pub async fn tls(&mut self, tls: &TlsServer) -> Result<Agreed, NoTls> {
        let agreed = self.shake_hands(tls).await;
        agreed.inspect_err(|_| self.stats.own().tls_failures.add(1))
    }

    async fn shake_hands(&mut self, tls: &TlsServer) -> Result<Agreed, NoTls> {
        let connection = tls.connection().map_err(|error| NoTls {
            reason: error.to_string(),
            is_plain: false,
        })?;
        let stream = &mut *self.stream;
        stream.secure(connection.into(), self.input.data());
        self.input.consume(self.input.len());
        self.shared.buffers.release(self.input);
        let Err(error) = stream.handshake(self.timer, self.deadline).await else {
            return Ok(Agreed {
                protocol: stream.protocol(),
                identity: stream.with_connection(identity).flatten(),
            });
        };
        let is_plain = stream.began_in_the_clear();
        let failure = failure(&error, stream.has_begun());
        // What the client still sends can be read away, so that it hears what it was told.
        stream.give_up_tls();
        Err(NoTls {
            reason: match is_plain {
                true => "no TLS: plain HTTP or another protocol".to_owned(),
                false => failure,
            },
            is_plain,
        })
    }
}

const TIMEOUT: &str = "timeout";

fn closed(has_begun: bool) -> String {
    let when = if has_begun { "within" } else { "before" };
    format!("closed {when} the handshake")
}

/// Why there is no TLS.
#[derive(Debug)]
pub struct NoTls {
    /// In words for a log.
    pub reason: String,
    /// The client began with something else.
    pub is_plain: bool,
}

fn identity(connection: &Connection) -> Option<Box<ClientIdentity>> {
    let certificate = connection.peer_certificates()?.first()?;
    Some(Box::new(ClientIdentity::of(certificate)))
}

/// Why a handshake failed, in words that name what an operator can do about it.
fn failure(error: &io::Error, has_begun: bool) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match (error.kind(), inner) {
        (io::ErrorKind::TimedOut, _) => TIMEOUT.to_owned(),
        (io::ErrorKind::UnexpectedEof, _) => closed(has_begun),
        (_, Some(Error::NoCertificatesPresented)) => "no client certificate".to_owned(),
        (_, Some(Error::InvalidCertificate(reason))) => certificate(reason),
        (_, Some(Error::AlertReceived(alert))) => format!("the other side said {alert:?}"),
        (_, Some(error)) => error.to_string(),
        (_, None) => error.to_string(),
    }
}

fn certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => "certificate of an unknown authority".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate has expired".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate is for another name".to_owned()
        }
        other => format!("certificate: {other}"),
    }
}
