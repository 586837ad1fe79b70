//! One connection's TLS: records in and out of its socket.
//!
//! It keeps plaintext only while whoever asked takes less than a record holds, and ciphertext only
//! while the other side takes less than a write made; an idle one keeps neither.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    os::fd::BorrowedFd,
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg},
};
use rustls::Connection;
use tokio::io::Interest;

use super::super::stream::{Moved, Socket};

/// The first byte of a TLS handshake's record (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// The TLS of one connection.
#[derive(Debug)]
pub(in super::super) struct Session {
    connection: Connection,
    /// Decrypted and not yet read.
    plaintext: usize,
    /// Plaintext of a write that has not reached the socket as a whole. Whoever waits for that write
    /// offers the same bytes again, and is told only then that they are taken.
    accepted: usize,
    /// The first byte that ever came.
    first: Option<u8>,
    /// The other side will send no more.
    is_ended: bool,
    /// The end is to look like an accident.
    pub(in super::super) is_abrupt: bool,
}

impl Session {
    pub(in super::super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            plaintext: 0,
            accepted: 0,
            first: None,
            is_ended: false,
            is_abrupt: false,
        }
    }

    /// What the handshake agreed on.
    pub(in super::super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the other side began with something that is not TLS at all.
    pub(in super::super) fn began_in_the_clear(&self) -> bool {
        self.first.is_some_and(|byte| byte != HANDSHAKE_RECORD)
    }

    /// Whether a byte of a handshake has come.
    pub(in super::super) fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    /// Polls for the end of the handshake.
    pub(in super::super) fn poll_handshake(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(socket, cx))?;
            if !self.connection.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.is_ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(self.poll_take_in(socket, cx))?;
        }
    }

    /// Polls for at least one byte of plaintext; 0 is an end that the other side has said.
    pub(in super::super) fn poll_read(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.plaintext == 0 {
            if self.is_ended {
                // Without plaintext the reader tells an end that was said from one that was not.
                return Poll::Ready(self.connection.reader().read(space));
            }
            ready!(self.poll_take_in(socket, cx))?;
        }
        let read = self.connection.reader().read(space);
        if let Ok(n) = read {
            self.plaintext = self.plaintext.saturating_sub(n);
        }
        Poll::Ready(read)
    }

    /// Polls for `first` and then `second` to be taken, as far as one write takes them, and for their records to be on their way.
    pub(in super::super) fn poll_write(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.accepted == 0 {
            // What is left of an alert or a ticket goes first.
            ready!(self.poll_flush(socket, cx))?;
            self.accepted = self.connection.writer().write(first)?;
            if self.accepted == first.len() && !second.is_empty() {
                self.accepted += self.connection.writer().write(second)?;
            }
        }
        ready!(self.poll_flush(socket, cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.accepted)))
    }

    /// Polls for every record to be on its way.
    fn poll_flush(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.wants_write() {
            let connection = &mut self.connection;
            let n = ready!(socket.poll_io(cx, Interest::WRITABLE, |fd| {
                let n = connection.write_tls(&mut Wire(fd)).map_err(errno)?;
                Ok(Moved {
                    n,
                    all: !connection.wants_write(),
                })
            }))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Polls for bytes, or the end, and makes plaintext of them; there may be none in them.
    fn poll_take_in(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = &mut self.connection;
        let first = &mut self.first;
        let n = ready!(socket.poll_io(cx, Interest::READABLE, |fd| {
            let mut reader = Reader {
                fd,
                asked: 0,
                first,
            };
            let n = connection.read_tls(&mut reader).map_err(errno)?;
            Ok(Moved {
                n,
                all: n == reader.asked,
            })
        }))?;
        self.is_ended |= n == 0;
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.plaintext = state.plaintext_bytes_to_read();
                self.is_ended |= state.peer_has_closed();
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.is_ended = true;
                if !self.began_in_the_clear() {
                    // The alert that says why; one that cannot be sent at once is not waited for.
                    let _ = self.poll_flush(socket, cx);
                }
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        }
    }

    /// Ready when plaintext waits or nothing more will come.
    pub(in super::super) fn has_news(&self) -> bool {
        self.plaintext > 0 || self.is_ended
    }

    /// Ready once the other side has ended while no plaintext waits.
    pub(in super::super) fn poll_closed(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if self.plaintext > 0 {
                return Poll::Pending;
            }
            if self.is_ended || ready!(self.poll_take_in(socket, cx)).is_err() {
                return Poll::Ready(());
            }
        }
    }

    /// Whether nothing has come, by what the last turn of the reactor saw, that would have to be read.
    /// Tickets and keys that come between two messages are taken in.
    pub(in super::super) fn is_quiet(&mut self, socket: &mut Socket) -> bool {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        while !self.has_news() {
            match self.poll_take_in(socket, cx) {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return false,
            }
        }
        false
    }

    /// Says that nothing more will be written, as far as the socket takes it at once.
    pub(in super::super) fn say_goodbye(&mut self, socket: &mut Socket) {
        if self.is_abrupt || self.connection.is_handshaking() {
            return;
        }
        self.connection.send_close_notify();
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        // The connection is given up either way.
        let _ = self.poll_flush(socket, cx);
        self.is_abrupt = true;
    }
}

/// The socket as rustls writes to it.
struct Wire<'s>(BorrowedFd<'s>);

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        Ok(sendmsg(self.0, parts, &mut nothing, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The socket as rustls reads from it.
struct Reader<'s> {
    fd: BorrowedFd<'s>,
    /// How much the last read could have been.
    asked: usize,
    first: &'s mut Option<u8>,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.asked = space.len();
        let (n, _) = recv(self.fd, &mut *space, RecvFlags::empty())?;
        if n > 0 {
            self.first.get_or_insert(space[0]);
        }
        Ok(n)
    }
}

/// rustls's own errors here are about buffers that are full, which one that reads what came never meets.
fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::NOBUFS)
}
