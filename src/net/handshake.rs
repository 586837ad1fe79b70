//! From an accepted socket to a connection whose client is known: a PROXY header, then TLS, under the listener's deadline.

use std::{future::poll_fn, io};

use rustls::{CertificateError, Connection, Error};

use super::{
    buffer::{Buffer, BufferSize},
    proxy_protocol::{Endpoints, parse},
    shared::Shared,
    stream::Stream,
    timer::{Deadline, Timer},
    tls::{ClientIdentity, TlsServer},
};
use crate::config::Alpn;

/// What a handshake has agreed on.
#[derive(Debug)]
pub struct Agreed {
    /// What is spoken inside; `None`: the client named nothing.
    pub protocol: Option<Alpn>,
    /// Who the client is, if it has shown a certificate.
    pub identity: Option<Box<ClientIdentity>>,
}

/// Reads the PROXY header that the proxy at the other end of `stream` begins with; what has come behind it is left in
/// `input`. `None`: the connection is the proxy's own.
///
/// # Errors
/// There is none, and why, in words for a log.
pub async fn read_proxy_header(
    stream: &Stream,
    input: &mut Buffer,
    shared: &Shared,
    timer: &Timer,
    deadline: Deadline,
) -> Result<Option<Endpoints>, String> {
    loop {
        if let Some(header) = parse(input.data()).map_err(|error| error.to_string())? {
            input.consume(header.length);
            shared.buffers.release(input);
            return Ok(header.endpoints);
        }
        let fill = poll_fn(|cx| {
            shared
                .buffers
                .poll_fill(cx, stream, input, BufferSize::Short)
        });
        match timer.limit(deadline, fill).await {
            None => return Err("no PROXY header in time".to_owned()),
            Some(Ok(n)) if n > 0 => {}
            Some(_) => return Err("closed before the PROXY header".to_owned()),
        }
    }
}

/// Shakes hands with the client at the other end of `stream`, of which `input` has been read.
///
/// # Errors
/// Why there is no connection; the client has been told as far as TLS can.
pub async fn handshake(
    stream: &mut Stream,
    input: &mut Buffer,
    tls: &TlsServer,
    timer: &Timer,
    deadline: Deadline,
) -> Result<Agreed, NoTls> {
    let connection = tls.connection().map_err(|error| NoTls {
        reason: error.to_string(),
        is_plain: false,
    })?;
    stream.secure(connection.into(), input.data());
    input.consume(input.len());
    match stream.handshake(timer, deadline).await {
        Ok(()) => Ok(Agreed {
            protocol: stream.protocol(),
            identity: stream.with_connection(identity).flatten(),
        }),
        Err(error) => {
            let began_in_the_clear = stream.began_in_the_clear();
            let failure = failure(&error, stream.has_begun());
            // What the client still sends can be read away, so that it hears what it was told.
            stream.give_up_tls();
            Err(NoTls {
                reason: match began_in_the_clear {
                    true => "no TLS: plain HTTP or another protocol".to_owned(),
                    false => failure,
                },
                is_plain: began_in_the_clear,
            })
        }
    }
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
        (io::ErrorKind::TimedOut, _) => "timeout".to_owned(),
        (io::ErrorKind::UnexpectedEof, _) if has_begun => "closed within the handshake".to_owned(),
        (io::ErrorKind::UnexpectedEof, _) => "closed before the handshake".to_owned(),
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
