//! One connection, to a client or to a peer.
//!
//! Methods take `&self`, so that the two directions of an exchange can be two plain async
//! functions polled by one task: nothing is split, locked or sent to another task.
//!
//! The reactor hears of an accepted connection only when it has to be waited for. Telling it, and
//! telling it to forget, are two system calls; a client whose request has arrived with it, and who
//! is answered and closed, never needs them.
//!
//! System calls are made by rustix and not by libc, whose own are points where a thread may be
//! cancelled: two atomic operations for each call, and nobody cancels our threads.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd as _, BorrowedFd},
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
    task::coop::poll_proceed,
    time::Instant,
};

use super::{
    socket::has_news,
    timer::{Deadline, Timer},
    tls::{TlsClient, session::Session},
};
use crate::config::Alpn;

/// A TCP connection, in the clear or inside TLS.
#[derive(Debug)]
pub struct Stream {
    // The borrows never live across an await: each poll takes them anew.
    socket: RefCell<Socket>,
    tls: Option<Box<RefCell<Session>>>,
}

#[derive(Debug)]
pub(super) enum Socket {
    /// Accepted, and never waited for.
    Fresh(std::net::TcpStream),
    /// Known to the reactor.
    Watched(TcpStream),
    /// The reactor would not have it.
    Lost,
}

/// What one system call has moved.
pub(super) struct Moved {
    pub(super) n: usize,
    /// Whether it was as much as it could have been, so that there may be more, or room for more.
    pub(super) all: bool,
}

impl Socket {
    /// The socket, made known to the reactor.
    fn watched(&mut self) -> io::Result<&mut TcpStream> {
        if matches!(self, Self::Fresh(_))
            && let Self::Fresh(tcp) = std::mem::replace(self, Self::Lost)
        {
            *self = Self::Watched(TcpStream::from_std(tcp)?);
        }
        match self {
            Self::Watched(tcp) => Ok(tcp),
            Self::Fresh(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Polls `attempt`, a system call that moves bytes and does not wait.
    pub(super) fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        direction: Interest,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> Result<Moved, Errno>,
    ) -> Poll<io::Result<usize>> {
        // Other tasks have their turn, too, however much there is to move.
        let turn = ready!(poll_proceed(cx));
        if let Self::Fresh(tcp) = self {
            match attempt(tcp.as_fd()) {
                Err(Errno::WOULDBLOCK) => {}
                result => {
                    turn.made_progress();
                    return Poll::Ready(result.map(|moved| moved.n).map_err(Into::into));
                }
            }
        }
        let tcp = self.watched()?;
        loop {
            match tcp.try_io(direction, || Ok(attempt(tcp.as_fd())?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    turn.made_progress();
                    if matches!(result, Ok(Moved { n: 1.., all: false })) {
                        // That was all: when more can be moved, the reactor says so anew.
                        let _ = tcp.try_io(direction, || Err::<(), _>(Errno::WOULDBLOCK.into()));
                    }
                    return Poll::Ready(result.map(|moved| moved.n));
                }
            }
            ready!(if direction.is_readable() {
                tcp.poll_read_ready(cx)
            } else {
                tcp.poll_write_ready(cx)
            })?;
        }
    }
}

impl Socket {
    /// One system call that does not wait, by what the last turn of the reactor saw; whether or not the task
    /// has had its share.
    pub(super) fn io_now(
        &mut self,
        direction: Interest,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        match self {
            Self::Watched(tcp) => tcp.try_io(direction, || Ok(attempt(tcp.as_fd())?)),
            Self::Fresh(tcp) => Ok(attempt(tcp.as_fd())?),
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Stream {
    /// A connection that was accepted, in non-blocking mode.
    pub(super) fn accepted(tcp: std::net::TcpStream) -> Self {
        Self {
            socket: RefCell::new(Socket::Fresh(tcp)),
            tls: None,
        }
    }

    /// The connection, and none in its place.
    pub fn take(&mut self) -> Self {
        let none = Self {
            socket: RefCell::new(Socket::Lost),
            tls: None,
        };
        std::mem::replace(self, none)
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Self {
            socket: RefCell::new(Socket::Watched(tcp)),
            tls: None,
        })
    }

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

    /// Reads at least one byte into `space`; 0 is the end.
    ///
    /// # Errors
    /// The operating system's, or `TimedOut` once `deadline` has passed.
    pub async fn read(
        &self,
        space: &mut [u8],
        timer: &Timer,
        deadline: Deadline,
    ) -> io::Result<usize> {
        timer
            .limit(deadline, poll_fn(|cx| self.poll_read(cx, space)))
            .await
            .unwrap_or_else(timed_out)
    }

    /// Polls for at least one byte; 0 is the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.borrow_mut();
        if let Some(tls) = &self.tls {
            return tls.borrow_mut().poll_read(&mut socket, cx, space);
        }
        let most = space.len();
        let read = |tcp: BorrowedFd<'_>| {
            let (n, _) = recv(tcp, &mut *space, RecvFlags::empty())?;
            Ok(Moved { n, all: n == most })
        };
        socket.poll_io(cx, Interest::READABLE, read)
    }

    /// Polls for at least one byte of `first` and then `second` to be taken. Whoever is told to wait offers
    /// the same bytes again, with more behind them or not.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.borrow_mut();
        if let Some(tls) = &self.tls {
            let written = tls.borrow_mut().poll_write(&mut socket, cx, first, second);
            return written.map(|written| written.and_then(some_written));
        }
        let most = first.len() + second.len();
        let write = |tcp: BorrowedFd<'_>| {
            let n = match (first, second) {
                // A plain send is cheaper than one that gathers.
                (only, []) | ([], only) => send(tcp, only, SendFlags::NOSIGNAL)?,
                _ => {
                    let both = [IoSlice::new(first), IoSlice::new(second)];
                    let mut nothing = SendAncillaryBuffer::default();
                    sendmsg(tcp, &both, &mut nothing, SendFlags::NOSIGNAL)?
                }
            };
            Ok(Moved { n, all: n == most })
        };
        socket
            .poll_io(cx, Interest::WRITABLE, write)
            .map(|written| written.and_then(some_written))
    }

    /// Writes at least one byte of `first` and then `second`; the other side has `patience` for each part that it takes.
    ///
    /// # Errors
    /// The operating system's, or `TimedOut`.
    pub async fn write_some(
        &self,
        first: &[u8],
        second: &[u8],
        timer: &Timer,
        patience: Duration,
    ) -> io::Result<usize> {
        let mut stall = Stall::new(patience);
        poll_fn(|cx| match self.poll_write(cx, first, second) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => stall.poll(cx, self, timer).map(|()| timed_out()),
        })
        .await
    }

    /// Writes all of `first`, then all of `second`, in as few system calls as the other side allows;
    /// that has `patience` for each part that it takes.
    ///
    /// # Errors
    /// The operating system's, or `TimedOut`.
    pub async fn write_all(
        &self,
        mut first: &[u8],
        mut second: &[u8],
        timer: &Timer,
        patience: Duration,
    ) -> io::Result<()> {
        let mut stall = Stall::new(patience);
        // One future and not one in the other: most writes are over when they begin.
        poll_fn(|cx| {
            while !first.is_empty() || !second.is_empty() {
                let Poll::Ready(written) = self.poll_write(cx, first, second) else {
                    return stall.poll(cx, self, timer).map(|()| timed_out());
                };
                let written = written?;
                let of_first = written.min(first.len());
                (first, second) = (&first[of_first..], &second[written - of_first..]);
                stall.deadline = None;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Bytes of TLS that reached the socket; of a write that has not been told to be over, too.
    pub fn sent_inside_tls(&self) -> u64 {
        self.tls.as_ref().map_or(0, |tls| tls.borrow().sent())
    }

    /// Ready once a read is worth a try: bytes, an end or an error have arrived. A fresh connection always is.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(tls) = &self.tls {
            let mut tls = tls.borrow_mut();
            if tls.has_news() {
                return Poll::Ready(());
            }
            tls.rest();
        }
        match &*self.socket.borrow() {
            Socket::Watched(tcp) => tcp.poll_read_ready(cx).map(drop),
            Socket::Fresh(_) | Socket::Lost => Poll::Ready(()),
        }
    }

    /// Ready once the other side has closed its direction or the connection broke, while no byte waits to be read.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut socket = self.socket.borrow_mut();
        if let Some(tls) = &self.tls {
            return tls.borrow_mut().poll_closed(&mut socket, cx);
        }
        let mut byte = [0];
        let peeked = match socket.watched() {
            Ok(tcp) => tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte)),
            Err(error) => Poll::Ready(Err(error)),
        };
        match peeked {
            Poll::Ready(Ok(n)) if n > 0 => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether a connection that should be silent is still so, by what the last turn of the reactor saw; no system call if it is.
    pub fn is_quiet(&self) -> bool {
        if let Some(tls) = &self.tls {
            return tls.borrow_mut().is_quiet(&mut self.socket.borrow_mut());
        }
        let mut byte = [0];
        match &*self.socket.borrow() {
            Socket::Watched(tcp) => {
                matches!(tcp.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Socket::Fresh(tcp) => !has_news(tcp),
            Socket::Lost => false,
        }
    }

    /// The same, asked of the kernel: it also knows of an end that arrived this instant.
    pub fn is_quiet_now(&self) -> bool {
        if self.tls.is_some() && !self.is_quiet() {
            return false;
        }
        match &*self.socket.borrow() {
            Socket::Watched(tcp) => !has_news(tcp),
            Socket::Fresh(tcp) => !has_news(tcp),
            Socket::Lost => false,
        }
    }

    /// Tells the other side that nothing more will be written.
    pub fn shutdown(&self) {
        self.say_goodbye();
        // The connection is given up either way; an error changes nothing.
        let _ = self.with_options(|socket| socket.shutdown(Shutdown::Write));
    }

    /// Makes closing the connection a reset, so that the other side cannot take what it has for the whole.
    pub fn reset_on_close(&self) {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().is_done = true;
        }
        // A socket that refuses is already broken.
        let _ = self.with_options(|socket| socket.set_linger(Some(Duration::ZERO)));
    }

    /// Has the kernel give the connection up when what was written, or a sign of life, is not answered for so long.
    pub fn give_up_after(&self, patience: Duration) {
        let alive = TcpKeepalive::new()
            .with_time(patience)
            .with_interval(patience / 3);
        // A system that knows no such thing waits as long as it always does.
        let _ = self.with_options(|socket| {
            socket.set_tcp_keepalive(&alive)?;
            socket.set_tcp_user_timeout(Some(patience))
        });
    }

    fn say_goodbye(&self) {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().say_goodbye(&mut self.socket.borrow_mut());
        }
    }

    fn with_options(&self, set: impl FnOnce(SockRef<'_>) -> io::Result<()>) -> io::Result<()> {
        match &*self.socket.borrow() {
            Socket::Watched(tcp) => set(SockRef::from(tcp)),
            Socket::Fresh(tcp) => set(SockRef::from(tcp)),
            Socket::Lost => Ok(()),
        }
    }
}

/// How long the other side has taken nothing.
struct Stall {
    patience: Duration,
    deadline: Option<Instant>,
    sent: u64,
}

impl Stall {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            deadline: None,
            sent: 0,
        }
    }

    /// Ready once that has been too long. Records that leave one by one are progress, too.
    fn poll(&mut self, cx: &mut Context<'_>, stream: &Stream, timer: &Timer) -> Poll<()> {
        let sent = stream.sent_inside_tls();
        if std::mem::replace(&mut self.sent, sent) != sent {
            self.deadline = None;
        }
        let patience = self.patience;
        let deadline = *self
            .deadline
            .get_or_insert_with(|| Instant::now() + patience);
        timer.poll_passed(cx, deadline)
    }
}

/// TLS on top.
impl Stream {
    /// Has everything that follows go through `connection`, whose handshake comes first.
    pub(super) fn secure(&mut self, connection: rustls::Connection) {
        self.tls = Some(Box::new(RefCell::new(Session::new(connection))));
    }

    /// Shakes hands until `deadline`.
    pub(super) async fn handshake(&self, timer: &Timer, deadline: Deadline) -> io::Result<()> {
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
    pub(super) fn with_connection<T>(
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
    pub(super) fn began_in_the_clear(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.borrow().began_in_the_clear())
    }

    /// Whether a byte of a handshake has come.
    pub(super) fn has_begun(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.borrow().has_begun())
    }

    /// Goes on without TLS.
    pub(super) fn give_up_tls(&mut self) {
        self.tls = None;
    }

    /// Writes `bytes`, as far as the socket takes them at once.
    pub(super) async fn write_now(&self, bytes: &[u8]) {
        poll_fn(|cx| Poll::Ready(self.poll_write(cx, bytes, &[]).is_ready())).await;
    }
}

impl Drop for Stream {
    /// An end inside TLS is said, so that nobody takes it for an accident or an attack (RFC 8446 section 6.1).
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

fn timed_out<T>() -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

fn some_written(n: usize) -> io::Result<usize> {
    if n == 0 {
        Err(io::ErrorKind::WriteZero.into())
    } else {
        Ok(n)
    }
}
