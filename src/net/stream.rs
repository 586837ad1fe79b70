//! One connection, to a client or to a peer.
//!
//! Methods take `&self`, so that the two directions of an exchange can be two plain async
//! functions polled by one task: nothing is split, locked or sent to another task.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    socket::has_news,
    timer::{Deadline, Timer},
};

/// A TCP connection.
#[derive(Debug)]
pub struct Stream {
    // The borrow never lives across an await: each poll takes it anew.
    tcp: RefCell<TcpStream>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp: RefCell::new(tcp),
        }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Self::new(tcp))
    }

    /// Reads at least one byte into `space`; 0 is the end.
    ///
    /// # Errors
    /// The operating system's, or `TimedOut` once `deadline` has passed.
    pub async fn read(
        &self,
        space: &mut [u8],
        timer: &mut Timer,
        deadline: Deadline,
    ) -> io::Result<usize> {
        timer
            .limit(deadline, poll_fn(|cx| self.poll_read(cx, space)))
            .await
            .unwrap_or_else(timed_out)
    }

    /// Polls for at least one byte; 0 is the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(space);
        let mut tcp = self.tcp.borrow_mut();
        Pin::new(&mut *tcp)
            .poll_read(cx, &mut buf)
            .map_ok(|()| buf.filled().len())
    }

    /// Writes all of `bytes`; the other side has `patience` for each part that it takes.
    ///
    /// # Errors
    /// The operating system's, or `TimedOut`.
    pub async fn write_all(
        &self,
        mut bytes: &[u8],
        timer: &mut Timer,
        patience: Duration,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.write(bytes, timer, patience).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Writes at least one byte of `bytes`.
    ///
    /// # Errors
    /// The operating system's, or `TimedOut`.
    pub async fn write(
        &self,
        bytes: &[u8],
        timer: &mut Timer,
        patience: Duration,
    ) -> io::Result<usize> {
        let write = poll_fn(|cx| Pin::new(&mut *self.tcp.borrow_mut()).poll_write(cx, bytes));
        timer
            .limit(Deadline::After(patience), write)
            .await
            .unwrap_or_else(timed_out)
            .and_then(some_written)
    }

    /// Writes all of `first`, then all of `second`, in as few system calls as the other side allows.
    ///
    /// # Errors
    /// The operating system's, or `TimedOut`.
    pub async fn write_both(
        &self,
        mut first: &[u8],
        mut second: &[u8],
        timer: &mut Timer,
        patience: Duration,
    ) -> io::Result<()> {
        while !first.is_empty() || !second.is_empty() {
            let n = self.write_some(first, second, timer, patience).await?;
            let of_first = n.min(first.len());
            first = &first[of_first..];
            second = &second[n - of_first..];
        }
        Ok(())
    }

    /// Writes at least one byte of `first` and then `second`.
    ///
    /// # Errors
    /// The operating system's, or `TimedOut`.
    pub async fn write_some(
        &self,
        first: &[u8],
        second: &[u8],
        timer: &mut Timer,
        patience: Duration,
    ) -> io::Result<usize> {
        // A plain send is cheaper than one that gathers.
        match (first, second) {
            (only, []) | ([], only) => self.write(only, timer, patience).await,
            _ => {
                let slices = [IoSlice::new(first), IoSlice::new(second)];
                let write = poll_fn(|cx| {
                    Pin::new(&mut *self.tcp.borrow_mut()).poll_write_vectored(cx, &slices)
                });
                timer
                    .limit(Deadline::After(patience), write)
                    .await
                    .unwrap_or_else(timed_out)
                    .and_then(some_written)
            }
        }
    }

    /// Ready once a read would not wait: bytes, an end or an error have arrived.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.tcp.borrow().poll_read_ready(cx).map(drop)
    }

    /// Ready once the other side has closed its direction or the connection broke, while no byte waits to be read.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        match self
            .tcp
            .borrow()
            .poll_peek(cx, &mut ReadBuf::new(&mut byte))
        {
            Poll::Ready(Ok(n)) if n > 0 => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether a connection that should be silent is still so, by what the last turn of the reactor saw; no system call if it is.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let tcp = self.tcp.borrow();
        matches!(tcp.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The same, asked of the kernel: it also knows of an end that arrived this instant.
    pub fn is_quiet_now(&self) -> bool {
        !has_news(&self.tcp.borrow())
    }

    /// Tells the other side that nothing more will be written.
    pub async fn shutdown(&self) {
        // The connection is given up either way; an error changes nothing.
        let _ = poll_fn(|cx| Pin::new(&mut *self.tcp.borrow_mut()).poll_shutdown(cx)).await;
    }

    /// Makes closing the connection a reset, so that the other side cannot take what it has for the whole.
    pub fn reset_on_close(&self) {
        // A socket that refuses is already broken.
        let _ = socket2::SockRef::from(&*self.tcp.borrow()).set_linger(Some(Duration::ZERO));
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
