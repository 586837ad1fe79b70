//! One end of a connection that begins with heads and goes on with bytes, whatever it is made of, under deadlines.
//!
//! Where [`super::plain`] knows only bytes over TCP, this reads a head before them, and may be TLS or a stream of
//! HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::client::request;
use super::plain::{Door, Plain};
use super::wait;
use super::wire::{Head, Reader};

/// One end. Its halves are there for those who need both at once.
pub(crate) struct Line<R = OwnedReadHalf, W = OwnedWriteHalf> {
    pub(crate) reader: Reader<R>,
    pub(crate) writer: W,
}

impl Line {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::of(Plain::connect(addr).await)
    }

    /// The server's end of the next connection.
    pub(crate) async fn accept(door: &Door) -> Self {
        Self::of(door.accept().await)
    }

    fn of(plain: Plain) -> Self {
        let (reader, writer) = plain.into_inner().into_split();
        Self::new(reader, writer)
    }

    /// Ends the connection with a RST, and without a FIN before it.
    pub(crate) fn reset(self) {
        let stream: &TcpStream = self.writer.as_ref();
        stream.set_zero_linger().expect("a connection of our own");
        self.writer.forget();
    }

    /// Closes the connection, which is done when the other side's kernel has all that was said: what comes later is
    /// answered by a RST, and no FIN.
    pub(crate) async fn leave(self) {
        let (reader, writer) = (self.reader, self.writer);
        let stream: &TcpStream = writer.as_ref();
        set_socket_linger(stream, Some(wait::DEADLINE)).expect("a connection of our own");
        let closing = tokio::task::spawn_blocking(move || drop((reader, writer)));
        wait::within("everything is taken", closing)
            .await
            .expect("no panic");
    }

    /// The connection breaks, which the kernel knows though nobody reads or writes.
    pub(crate) async fn breaks(&self) {
        let stream: &TcpStream = self.writer.as_ref();
        let is_broken = || !matches!(stream.take_error(), Ok(None));
        wait::until("the connection breaks", is_broken).await;
    }
}

impl<S: AsyncRead + AsyncWrite> Line<ReadHalf<S>, WriteHalf<S>> {
    /// Over a connection that is there already, such as one with TLS.
    pub(crate) fn over(stream: S) -> Self {
        let (reader, writer) = split(stream);
        Self::new(reader, writer)
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Line<R, W> {
    pub(crate) fn new(reader: R, writer: W) -> Self {
        Self {
            reader: Reader::new(reader),
            writer,
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        say(&mut self.writer, bytes.as_ref()).await;
    }

    /// These are the next bytes.
    pub(crate) async fn hears(&mut self, bytes: impl AsRef<[u8]>) {
        hear(&mut self.reader, bytes.as_ref()).await;
    }

    /// The next bytes are a head.
    pub(crate) async fn head(&mut self) -> Head {
        let head = wait::within("a head", self.reader.head()).await;
        head.expect("a well-formed head")
    }

    /// Says these bytes, and `other` hears them meanwhile.
    pub(crate) async fn pass(
        &mut self,
        other: &mut Line<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
        bytes: &[u8],
    ) {
        tokio::join!(self.send(bytes), other.hears(bytes));
    }

    /// So many bytes pass each way at once.
    pub(crate) async fn exchange(
        &mut self,
        other: &mut Line<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
        length: usize,
    ) {
        let (there, back) = (long_body(1, length), long_body(2, length));
        tokio::join!(
            say(&mut self.writer, &there),
            hear(&mut other.reader, &there),
            say(&mut other.writer, &back),
            hear(&mut self.reader, &back),
        );
    }

    /// Says that nothing more will come, and goes on listening.
    pub(crate) async fn finish(&mut self) {
        let finished = wait::within("finishing", self.writer.shutdown()).await;
        finished.expect("the other side takes an end");
    }

    /// The other side says nothing more, and says so as it should.
    pub(crate) async fn ends(&mut self) {
        let rest = wait::within("the other side's end", self.reader.rest()).await;
        nothing(&rest.expect("an end, and no error"));
    }

    /// The other side breaks off, whatever it has said before: it does not end.
    pub(crate) async fn is_reset(&mut self) {
        let rest = wait::within("the end of the connection", self.reader.rest()).await;
        let length = rest.map(|rest| rest.len());
        assert!(length.is_err(), "an end after {length:?} bytes");
    }

    /// The connection is over, in whichever way: nothing comes any longer, and nothing is taken.
    pub(crate) async fn is_cut(&mut self) {
        let rest = wait::within("the end of the connection", self.reader.rest()).await;
        nothing(&rest.unwrap_or_else(|_| self.reader.unread()));
        let refused = async { while self.writer.write_all(&[b'x'; 1024]).await.is_ok() {} };
        wait::within("a refusal of what is said", refused).await;
    }
}

async fn say(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    let saying = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    let said = wait::within("sending", saying).await;
    said.expect("the other side takes what is said");
}

async fn hear(reader: &mut Reader<impl AsyncRead + Unpin>, expected: &[u8]) {
    let length = expected.len();
    let came = wait::within("what was said", reader.exactly(length)).await;
    let came = came.expect("as many bytes as were said");
    let beginning = String::from_utf8_lossy(&came[..length.min(100)]);
    assert!(came == expected, "{length} other bytes: {beginning:?}");
}

fn nothing(rest: &[u8]) {
    assert!(
        rest.is_empty(),
        "unexpected bytes: {:?}",
        String::from_utf8_lossy(rest)
    );
}

/// Says bytes until nobody takes any more of them, and gives their number; they are those of a [`long_body`].
pub(crate) async fn fill(writer: &mut (impl AsyncWrite + Unpin), kind: u8) -> usize {
    let period = long_body(kind, PERIOD);
    let mut length = 0;
    loop {
        let piece = &period[length % PERIOD..];
        // Whoever takes nothing for so long is full; if it was merely slow, the test is easier than it should be.
        match timeout(Duration::from_millis(200), writer.write(piece)).await {
            Ok(taken) => length += taken.expect("the other side takes what is said"),
            Err(_) => return length,
        }
    }
}

/// The key of [`upgrade`], and what a server makes of it (RFC 6455 section 1.3).
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The bytes of a request for a WebSocket with these further fields.
pub(crate) fn upgrade(target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let websocket = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ];
    request("GET", target, &[&websocket[..], fields].concat(), b"")
}

/// The bytes of a 101 that grants what `asked` asks for, with these further field lines.
pub(crate) fn switching(asked: &Head, fields: &str) -> String {
    let protocol = asked
        .fields
        .get("upgrade")
        .expect("a protocol to switch to");
    let accept = asked.fields.get("sec-websocket-key").map(|key| {
        let accept = derive_accept_key(key.as_bytes());
        format!("Sec-WebSocket-Accept: {accept}\r\n")
    });
    let accept = accept.unwrap_or_default();
    switching_to(protocol, &format!("{accept}{fields}"))
}

/// The bytes of a 101 to `protocol` with these further field lines.
pub(crate) fn switching_to(protocol: &str, fields: &str) -> String {
    let start = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
    format!("{start}Upgrade: {protocol}\r\n{fields}\r\n")
}

/// After so many bytes [`long_body`] repeats itself. It is a prime: no buffer's size is a multiple of it.
const PERIOD: usize = 65_521;

/// Bytes in which a lost, doubled or displaced block shows; those of another `kind` are others.
pub(crate) fn long_body(kind: u8, length: usize) -> Vec<u8> {
    let period = (0..PERIOD).map(|i| (i ^ (i >> 8)) as u8 ^ kind);
    let mut body = period.collect::<Vec<_>>().repeat(length / PERIOD + 1);
    body.truncate(length);
    body
}
