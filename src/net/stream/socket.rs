//! A connection's socket, which the reactor may not have heard of yet, and system calls on it.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    task::{Context, Poll, ready},
};

use rustix::io::Errno;
use tokio::{io::Interest, net::TcpStream, task::coop::poll_proceed};

#[derive(Debug)]
pub(in super::super) enum Socket {
    /// Accepted, and never waited for.
    Fresh(std::net::TcpStream),
    /// Known to the reactor.
    Watched(TcpStream),
    /// The reactor would not have it.
    Lost,
}

/// What one system call has moved.
pub(in super::super) struct Moved {
    pub(in super::super) n: usize,
    /// Whether it was as much as it could have been, so that there may be more, or room for more.
    pub(in super::super) all: bool,
}

impl Socket {
    /// The socket, made known to the reactor.
    pub(super) fn watched(&mut self) -> io::Result<&mut TcpStream> {
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
    pub(in super::super) fn poll_io(
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
    pub(in super::super) fn io_now(
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
