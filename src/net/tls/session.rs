//! One connection's TLS: records in and out of its socket.
//!
//! It keeps plaintext only while whoever asked takes less than a record holds, and ciphertext only
//! while the other side takes less than a write made; an idle one keeps neither, but for the 4 KB
//! that rustls reads into.

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

use super::{
    super::stream::{Moved, Socket},
    HANDSHAKE_RECORD,
};

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
    /// Bytes of records that reached the socket.
    sent: u64,
    /// The other side will send no more, or what it sends has no meaning any more.
    is_ended: bool,
    /// Why, if not because it said so.
    error: Option<rustls::Error>,
    /// Whether rustls has made its buffers larger than a request needs.
    is_swollen: bool,
    /// Whether the end has been said, or is to look like an accident.
    pub(in super::super) is_done: bool,
}

/// What a message that is no body takes at most.
const SMALL: usize = 4 << 10;

impl Session {
    pub(in super::super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            plaintext: 0,
            accepted: 0,
            first: None,
            sent: 0,
            is_ended: false,
            error: None,
            is_swollen: false,
            is_done: false,
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

    /// Bytes of records that reached the socket so far.
    pub(in super::super) fn sent(&self) -> u64 {
        self.sent
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
            if self.is_ended && self.began_in_the_clear() {
                // Whoever speaks something else is told in that, and not by an alert.
                return Poll::Ready(Err(self.end()));
            }
            ready!(self.poll_flush(socket, cx))?;
            if !self.connection.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.is_ended {
                return Poll::Ready(Err(self.end()));
            }
            ready!(self.poll_take_in(socket, cx))?;
        }
    }

    /// Why there is nothing more to read.
    fn end(&mut self) -> io::Error {
        match self.error.clone() {
            Some(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            None => io::ErrorKind::UnexpectedEof.into(),
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
                // The reader tells an end that was said from one that was not; and plaintext may lie before an error.
                return Poll::Ready(match self.connection.reader().read(space) {
                    Ok(n) if n > 0 || self.error.is_none() => Ok(n),
                    _ => Err(self.end()),
                });
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
            self.sent += n as u64;
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
        self.process();
        if self.error.is_some() && !self.began_in_the_clear() {
            // The alert that says why; one that cannot be sent at once is not waited for.
            self.flush_now(socket);
        }
        Poll::Ready(Ok(()))
    }

    /// Makes plaintext of what was taken in.
    fn process(&mut self) {
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.plaintext = state.plaintext_bytes_to_read();
                self.is_ended |= state.peer_has_closed();
                self.is_swollen |= self.plaintext > SMALL;
            }
            Err(error) => {
                self.is_ended = true;
                self.error = Some(error);
            }
        }
    }

    /// Takes in what was read before it was known that it is TLS.
    pub(in super::super) fn take_ahead(&mut self, mut bytes: &[u8]) {
        if let [first, ..] = bytes {
            self.first = Some(*first);
        }
        while !bytes.is_empty() && !self.is_ended {
            // From memory it fails only if rustls has not been asked to make anything of what it has.
            if self.connection.read_tls(&mut bytes).is_err() {
                return;
            }
            self.process();
        }
    }

    /// Sends what waits, as far as the socket takes it at once, whether or not it is this task's turn.
    fn flush_now(&mut self, socket: &mut Socket) {
        while self.connection.wants_write() {
            let connection = &mut self.connection;
            let written = socket.io_now(Interest::WRITABLE, |fd| {
                connection.write_tls(&mut Wire(fd)).map_err(errno)
            });
            if !matches!(written, Ok(n) if n > 0) {
                return;
            }
        }
    }

    /// Gives memory back that only a large message needed, once nothing of one is left.
    pub(in super::super) fn rest(&mut self) {
        if self.is_swollen && !self.has_news() {
            self.is_swollen = false;
            // rustls looks at its buffer's size when it is about to read.
            let _ = self.connection.read_tls(&mut Nothing);
        }
    }

    /// Whether plaintext waits or nothing more will come.
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
        while !self.has_news() {
            let (connection, first) = (&mut self.connection, &mut self.first);
            let read = socket.io_now(Interest::READABLE, |fd| {
                let mut reader = Reader {
                    fd,
                    asked: 0,
                    first,
                };
                connection.read_tls(&mut reader).map_err(errno)
            });
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.rest();
                    return true;
                }
                Ok(n) if n > 0 => {}
                Ok(_) | Err(_) => return false,
            }
            match self.connection.process_new_packets() {
                Ok(state) if !state.peer_has_closed() => {
                    self.plaintext = state.plaintext_bytes_to_read();
                }
                Ok(_) | Err(_) => return false,
            }
        }
        false
    }

    /// Says that nothing more will be written, as far as the socket takes it at once.
    pub(in super::super) fn say_goodbye(&mut self, socket: &mut Socket) {
        if self.is_done || self.connection.is_handshaking() {
            return;
        }
        self.is_done = true;
        self.connection.send_close_notify();
        self.flush_now(socket);
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

/// A socket without news.
struct Nothing;

impl io::Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// rustls's own errors here are about messages that do not fit its buffers.
fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::PROTO)
}
