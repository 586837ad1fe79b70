//! WebSocket (RFC 6455) as others speak it: either end, over any connection, under deadlines.
//!
//! It is the `WebSocket` that `tokio_tungstenite` is made of. The socket of that crate itself can be read only with the
//! traits of `futures`, on which nothing else here depends.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::ClientHandshake;
use tokio_tungstenite::tungstenite::handshake::server::{NoCallback, ServerHandshake};
use tokio_tungstenite::tungstenite::handshake::{HandshakeError, HandshakeRole, MidHandshake};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::wait;

/// One end.
pub(crate) struct Socket<S>(WebSocket<Waking<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Asks for `uri`, and verifies the answer.
    pub(crate) async fn connect(io: S, uri: &str) -> Self {
        let request = uri.into_client_request().expect("a URI");
        let handshake = ClientHandshake::start(Waking::new(io), request, config());
        let handshake = handshake.expect("a request as it should be");
        let (socket, _) = shaken(handshake).await.expect("an answer that is right");
        Self(socket)
    }

    /// Verifies what is asked for, and grants it.
    pub(crate) async fn accept(io: S) -> Self {
        let handshake = ServerHandshake::start(Waking::new(io), NoCallback, config());
        Self(shaken(handshake).await.expect("a request that is right"))
    }

    /// Over a connection whose handshake is done.
    pub(crate) fn over(io: S, role: Role) -> Self {
        Self(WebSocket::from_raw_socket(Waking::new(io), role, config()))
    }

    /// Sends a message, or a single frame.
    pub(crate) async fn send(&mut self, message: Message) {
        let mut message = Some(message);
        let sent = self.drive("sending a message", |socket| match message.take() {
            // What cannot be written at once stays with the socket.
            Some(message) => socket.send(message),
            None => socket.flush(),
        });
        sent.await.expect("the other side takes the message");
    }

    /// Sends what reading has left to say: the answer to a ping.
    pub(crate) async fn flush(&mut self) {
        let flushed = self.drive("flushing", WebSocket::flush).await;
        flushed.expect("the other side takes the answer");
    }

    /// The next message that is no part of one, or why there is none.
    pub(crate) async fn next(&mut self) -> Result<Message, Error> {
        self.drive("a message", WebSocket::read).await
    }

    async fn drive<T>(
        &mut self,
        what: &str,
        mut act: impl FnMut(&mut WebSocket<Waking<S>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let driven = poll_fn(|cx| {
            self.0.get_mut().waker = cx.waker().clone();
            match act(&mut self.0) {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                done => Poll::Ready(done),
            }
        });
        wait::within(what, driven).await
    }
}

/// No message is too long.
fn config() -> Option<WebSocketConfig> {
    let config = WebSocketConfig::default();
    Some(config.max_message_size(None).max_frame_size(None))
}

async fn shaken<R, S>(handshake: MidHandshake<R>) -> Result<R::FinalResult, Error>
where
    R: HandshakeRole<InternalStream = Waking<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut left = Some(handshake);
    let shaken = poll_fn(|cx| {
        let mut now = left.take().expect("it is not over yet");
        now.get_mut().get_mut().waker = cx.waker().clone();
        match now.handshake() {
            Ok(done) => Poll::Ready(Ok(done)),
            Err(HandshakeError::Failure(error)) => Poll::Ready(Err(error)),
            Err(HandshakeError::Interrupted(rest)) => {
                left = Some(rest);
                Poll::Pending
            }
        }
    });
    wait::within("the handshake", shaken).await
}

/// A connection for those who are told that they would have to wait, and are woken when they need not.
struct Waking<S> {
    io: S,
    waker: Waker,
}

impl<S> Waking<S> {
    fn new(io: S) -> Self {
        Self {
            io,
            waker: Waker::noop().clone(),
        }
    }
}

fn now<T>(done: Poll<io::Result<T>>) -> io::Result<T> {
    match done {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Waking<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let mut cx = Context::from_waker(&self.waker);
        now(Pin::new(&mut self.io).poll_read(&mut cx, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Waking<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        now(Pin::new(&mut self.io).poll_write(&mut cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut cx = Context::from_waker(&self.waker);
        now(Pin::new(&mut self.io).poll_flush(&mut cx))
    }
}
