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

mod secure;
mod socket;
mod stall;

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    os::fd::BorrowedFd,
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
};

pub(super) use self::socket::{Moved, Socket};
use self::stall::Stall;
use super::{
    socket::{KEEPALIVE, has_news},
    timer::{Deadline, Timer},
    tls::session::Session,
};

/// A TCP connection, in the clear or inside TLS.
#[derive(Debug)]
pub struct Stream {
    // The borrows never live across an await: each poll takes them anew.
    socket: RefCell<Socket>,
    tls: Option<Box<RefCell<Session>>>,
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

    /// The same where there would have been more to say: inside TLS that is not called an end.
    pub fn shutdown_without_a_word(&self) {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().is_done = true;
        }
        self.shutdown();
    }

    /// How the connection is broken, if it is, asked of the kernel, which says it once.
    pub fn failure(&self) -> Option<io::ErrorKind> {
        let failure = |socket: SockRef<'_>| match socket.take_error() {
            Ok(error) => error.map(|error| error.kind()),
            Err(error) => Some(error.kind()),
        };
        match &*self.socket.borrow() {
            Socket::Watched(tcp) => failure(SockRef::from(tcp)),
            Socket::Fresh(tcp) => failure(SockRef::from(tcp)),
            Socket::Lost => Some(io::ErrorKind::NotConnected),
        }
    }

    /// Has the kernel ask whether the other side is there when it is silent, and give it up if it is not.
    pub fn ask_whether_alive(&self) {
        // A system that refuses notices when something is written.
        let _ = self.with_options(|socket| socket.set_tcp_keepalive(&KEEPALIVE));
    }

    /// Has the kernel give the connection up when what was written is not taken for so long (TCP_USER_TIMEOUT). That
    /// also ends one whose other side is there, but does not read.
    pub fn give_up_unacknowledged_after(&self, patience: Duration) {
        // A system that knows no such thing waits as long as it always does.
        let _ = self.with_options(|socket| socket.set_tcp_user_timeout(Some(patience)));
    }

    /// Makes closing the connection a reset, so that the other side cannot take what it has for the whole.
    pub fn reset_on_close(&self) {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().is_done = true;
        }
        // A socket that refuses is already broken.
        let _ = self.with_options(|socket| socket.set_linger(Some(Duration::ZERO)));
    }

    /// Has the kernel give the connection up when what was written is not taken, or a question whether the other side
    /// is there not answered, for so long (TCP_USER_TIMEOUT).
    pub fn give_up_after(&self, patience: Duration) {
        let alive = TcpKeepalive::new()
            .with_time(patience / 3)
            // The limit ends it, and several questions must fit before that: one may be lost.
            .with_interval(patience / 6);
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

    /// The address at this end.
    pub fn local_address(&self) -> Option<SocketAddr> {
        let local = |socket: SockRef<'_>| socket.local_addr();
        let address = match &*self.socket.borrow() {
            Socket::Watched(tcp) => local(SockRef::from(tcp)),
            Socket::Fresh(tcp) => local(SockRef::from(tcp)),
            Socket::Lost => return None,
        };
        address.ok().and_then(|address| address.as_socket())
    }

    fn with_options(&self, set: impl FnOnce(SockRef<'_>) -> io::Result<()>) -> io::Result<()> {
        match &*self.socket.borrow() {
            Socket::Watched(tcp) => set(SockRef::from(tcp)),
            Socket::Fresh(tcp) => set(SockRef::from(tcp)),
            Socket::Lost => Ok(()),
        }
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
