//! Connections without a protocol: bytes, their end, and a reset, all under a deadline.
//!
//! A server's end is in the hands of the test, too, so that a test reads as what happens, in its order. Nothing is read
//! ahead: whoever takes over the connection finds all that was not asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::behaviour::Behaviour;
use super::connect::{connect, connect_from};
use super::wait;

/// One end of a connection.
pub(crate) struct Plain(TcpStream);

impl Plain {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::new(connect(addr).await)
    }

    /// Connects from an address of our choice in 127.0.0.0/8.
    pub(crate) async fn connect_from(source: &str, addr: SocketAddr) -> Self {
        Self::new(connect_from(source, addr).await)
    }

    fn new(stream: TcpStream) -> Self {
        // Each piece that a test sends is a segment of its own.
        stream.set_nodelay(true).expect("a socket of our own");
        Self(stream)
    }

    /// The address of this end.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("it is connected")
    }

    /// The connection itself.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.0
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = wait::within("sending", self.0.write_all(bytes.as_ref())).await;
        sent.expect("the other side takes it");
    }

    /// Sends `bytes` one by one.
    pub(crate) async fn send_singly(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.send([*byte]).await;
        }
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish(&mut self) {
        let finished = wait::within("finishing", self.0.shutdown()).await;
        finished.expect("a FIN can always be sent");
    }

    /// Ends the connection with a RST instead of a FIN.
    pub(crate) fn reset(self) {
        self.0.set_zero_linger().expect("a socket of our own");
    }

    /// The next `length` bytes.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = wait::within("more bytes", self.0.read_exact(&mut bytes)).await;
        read.expect("the connection goes on");
        bytes
    }

    /// The next bytes are these.
    pub(crate) async fn hears(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let came = self.exactly(expected.len()).await;
        assert_eq!(
            String::from_utf8_lossy(&came),
            String::from_utf8_lossy(expected)
        );
    }

    /// All that comes until the other side says that nothing more will.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        self.try_rest().await.expect("an end without a reset")
    }

    async fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        wait::within("the end", self.0.read_to_end(&mut rest)).await?;
        Ok(rest)
    }

    /// The other side says that nothing more will come, and has not said anything else.
    pub(crate) async fn ends(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.rest().await), "");
    }

    /// The other side closes without another byte; how, is its choice.
    pub(crate) async fn is_closed(&mut self) {
        match self.try_rest().await {
            Ok(rest) => assert_eq!(String::from_utf8_lossy(&rest), ""),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }

    /// The other side resets the connection.
    pub(crate) async fn is_reset(&mut self) {
        let ended = self.try_rest().await.map_err(|error| error.kind());
        assert_eq!(ended, Err(io::ErrorKind::ConnectionReset));
    }

    /// Sends `bytes` and then ends, and takes all that comes meanwhile.
    pub(crate) async fn trade(self, bytes: &[u8]) -> Vec<u8> {
        let (mut reader, mut writer) = self.0.into_split();
        let mut came = Vec::new();
        let sending = async {
            writer.write_all(bytes).await?;
            writer.shutdown().await
        };
        let both = async { tokio::join!(sending, reader.read_to_end(&mut came)) };
        let (sent, read) = wait::within("the trade", both).await;
        sent.expect("the other side takes everything");
        read.expect("an end without a reset");
        came
    }

    /// Goes on as a client of TLS that asks for `name`.
    pub(crate) async fn secured(
        self,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).expect("a server's name");
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, self.0);
        wait::within("the handshake", connecting).await
    }

    /// Goes on as a server of TLS.
    pub(crate) async fn secured_by(self, config: ServerConfig) -> server::TlsStream<TcpStream> {
        let accepting = TlsAcceptor::from(Arc::new(config)).accept(self.0);
        let accepted = wait::within("the handshake", accepting).await;
        accepted.expect("a handshake that succeeds")
    }
}

/// A server whose connections the test takes one by one.
pub(crate) struct Door(TcpListener);

impl Door {
    pub(crate) async fn open() -> Self {
        Self::open_at("127.0.0.1:0").await
    }

    pub(crate) async fn open_at(addr: &str) -> Self {
        Self(TcpListener::bind(addr).await.expect("a port"))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket has an address")
    }

    /// This server as an element of `servers`.
    pub(crate) fn server(&self) -> String {
        format!("\"{}\"", self.addr())
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Plain {
        let accepted = wait::within("a connection", self.0.accept()).await;
        Plain::new(accepted.expect("a connection that came").0)
    }
}

/// Says `name` before it is spoken to, and stays until the other side goes.
pub(crate) fn greets(name: &'static str) -> Behaviour {
    Behaviour::new(move |mut peer| async move {
        peer.send(name).await?;
        peer.until_closed().await
    })
}

/// Who answers at `addr`: a server that [`greets`] with a single letter.
pub(crate) async fn who(addr: SocketAddr) -> String {
    letter(&mut Plain::connect(addr).await).await
}

/// The letter with which a server [`greets`].
pub(crate) async fn letter(client: &mut Plain) -> String {
    String::from_utf8_lossy(&client.exactly(1).await).into_owned()
}
