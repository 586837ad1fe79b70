//! A TLS client that says exactly the bytes it is given and reads answers of HTTP/1, strictly and under a deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, SupportedProtocolVersion};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::interval;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certs::{Authority, Identity};
use super::wait;
use super::wire::{Body, Framing, Head, Reader};

/// The cryptography of both sides; no process-wide default is installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A client that trusts `authority`. Connections with the same one share their sessions.
pub(crate) fn trusting(authority: &Authority) -> ClientConfig {
    speaking(authority, provider(), rustls::DEFAULT_VERSIONS)
}

/// The same with these versions of TLS and this cryptography.
pub(crate) fn speaking(
    authority: &Authority,
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions that the cryptography speaks")
        .with_root_certificates(authority.roots())
        .with_no_client_auth()
}

/// A client that trusts `authority` and shows a certificate.
pub(crate) fn showing(authority: &Authority, identity: &Identity) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions that the cryptography speaks")
        .with_root_certificates(authority.roots())
        .with_client_auth_cert(identity.chain(), identity.private_key())
        .expect("a certificate with its key")
}

/// The same client with these protocols inside.
pub(crate) fn offering(config: &ClientConfig, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Arc::new(config)
}

/// A handshake that asks for `name`.
pub(crate) async fn handshake(
    addr: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a server's name");
    let connecting = async {
        let stream = TcpStream::connect(addr).await?;
        TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
    };
    wait::within("the handshake", connecting).await
}

/// What a handshake agreed on.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    pub(crate) kind: HandshakeKind,
    pub(crate) version: ProtocolVersion,
    /// Empty if nothing was agreed on.
    pub(crate) protocol: String,
    /// What the server showed, itself first.
    pub(crate) certificate: CertificateDer<'static>,
}

impl Agreed {
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let (_, session) = stream.get_ref();
        let protocol = session.alpn_protocol().unwrap_or_default();
        let shown = session.peer_certificates().unwrap_or_default();
        Self {
            kind: session.handshake_kind().expect("the handshake is done"),
            version: session.protocol_version().expect("the handshake is done"),
            protocol: String::from_utf8_lossy(protocol).into_owned(),
            certificate: shown.first().expect("servers show a certificate").clone(),
        }
    }
}

/// One connection.
pub(crate) struct Secure {
    reader: Reader<ReadHalf<TlsStream<TcpStream>>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
    pub(crate) agreed: Agreed,
}

impl Secure {
    pub(crate) async fn connect(addr: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Self {
        let connected = Self::try_connect(addr, name, config).await;
        connected.expect("a handshake that succeeds")
    }

    pub(crate) async fn try_connect(
        addr: SocketAddr,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let stream = handshake(addr, name, config).await?;
        let agreed = Agreed::of(&stream);
        let (reader, writer) = split(stream);
        Ok(Self {
            reader: Reader::new(reader),
            writer,
            agreed,
        })
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.try_send(bytes).await;
        sent.expect("the proxy takes what the client says");
    }

    /// As [`Secure::send`], for a connection that may be closed by now.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let sending = async {
            self.writer.write_all(bytes.as_ref()).await?;
            self.writer.flush().await
        };
        wait::within("sending", sending).await
    }

    /// Says that nothing more will come: `close_notify`, then a FIN.
    pub(crate) async fn finish(&mut self) {
        let finished = wait::within("finishing", self.writer.shutdown()).await;
        finished.expect("the proxy takes an end");
    }

    /// The next answer to a request with `method`, or why it is none.
    pub(crate) async fn try_response(&mut self, method: &str) -> io::Result<Answer> {
        wait::within("the answer", async {
            let head = self.reader.head().await?;
            let framing = head.framing()?.unwrap_or(Framing::UntilClose);
            let answer = Answer::of(head);
            let body = match answer.status {
                100..200 | 204 | 304 => Body::default(),
                _ if method == "HEAD" => Body::default(),
                _ => self.reader.body(framing).await?,
            };
            Ok(Answer { body, ..answer })
        })
        .await
    }

    /// The next answer, to anything but HEAD.
    pub(crate) async fn response(&mut self) -> Answer {
        let answer = self.try_response("GET").await;
        answer.expect("a well-formed, complete answer")
    }

    /// [`Secure::send`] and [`Secure::response`].
    pub(crate) async fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes).await;
        self.response().await
    }

    /// The next `length` bytes after a head, taken 64 KB at a time at this pace.
    pub(crate) async fn slowly(&mut self, length: usize, pace: Duration) -> Vec<u8> {
        let head = wait::within("the head of the answer", self.reader.head()).await;
        head.expect("a well-formed head");
        let (mut bytes, mut pace) = (Vec::new(), interval(pace));
        while bytes.len() < length {
            pace.tick().await;
            let next = self.reader.exactly((length - bytes.len()).min(65_536));
            let piece = wait::within("more of the answer", next).await;
            bytes.extend(piece.expect("a body as long as it should be"));
        }
        bytes
    }

    /// All that comes until the proxy closes; an error if it does so without `close_notify`.
    pub(crate) async fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        wait::within("the end of the connection", self.reader.rest()).await
    }

    /// The proxy says nothing more and closes as TLS wants it.
    pub(crate) async fn ends(&mut self) {
        let rest = self.try_rest().await.expect("an end that is announced");
        assert!(
            rest.is_empty(),
            "unexpected bytes: {:?}",
            String::from_utf8_lossy(&rest)
        );
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Body,
}

impl Answer {
    fn of(head: Head) -> Self {
        let status = head
            .start
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("status line {:?}", head.start)),
            head,
            body: Body::default(),
        }
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body.data).into_owned()
    }
}
