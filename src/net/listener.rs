//! Accepting connections, whatever the system says.

use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::{io::Interest, net::TcpStream};

use super::stream::Stream;

/// How long accepting rests when the process has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// One worker's socket on one address.
#[derive(Debug)]
pub struct Listener {
    /// A listening socket all the same. tokio's own type for those makes each accepted connection known to the
    /// reactor, needed or not; of this one nothing is used but that it can be waited for.
    socket: TcpStream,
    address: SocketAddr,
}

impl Listener {
    /// Takes a socket that [`bind`](super::bind) made into the runtime that is current.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(Self {
            socket: TcpStream::from_std(OwnedFd::from(socket).into())?,
            address,
        })
    }

    /// The address that it accepts on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection and the address at its other end.
    ///
    /// It never fails: a connection that is gone before it was accepted is passed over, and when
    /// descriptors or memory run out it rests and tries again, for they come back.
    pub async fn accept(&self) -> (Stream, SocketAddr) {
        let mut warned = false;
        loop {
            let accepting = self
                .socket
                .async_io(Interest::READABLE, || self.accept_now());
            match accepting.await {
                Ok(accepted) => return accepted,
                Err(error) if is_transient(&error) => {}
                Err(error) => {
                    if !warned {
                        tracing::error!("cannot accept on {}: {error}; trying again", self.address);
                        warned = true;
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// A connection that waits to be accepted, if there is one: what must be served before the
    /// socket is closed, for closing resets what waits.
    pub fn accept_waiting(&self) -> Option<(Stream, SocketAddr)> {
        // The kernel is asked, not the runtime: that knows only what its last turn saw.
        loop {
            match self.accept_now() {
                Ok(accepted) => return Some(accepted),
                Err(error) if is_transient(&error) => {}
                Err(_) => return None,
            }
        }
    }

    fn accept_now(&self) -> io::Result<(Stream, SocketAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, client) = acceptfrom_with(&self.socket, flags)?;
        let client = client.and_then(|client| SocketAddr::try_from(client).ok());
        // A TCP socket has an address at its other end, or it has none any more.
        let client = client.ok_or(io::ErrorKind::ConnectionAborted)?;
        Ok((Stream::accepted(socket.into()), client))
    }
}

/// Errors of the one connection that was to be accepted (accept(2), "Error handling").
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_handed_over_with_its_first_bytes() {
        let sockets = crate::net::bind("127.0.0.1:0".parse().unwrap(), 1, false, true).unwrap();
        let listener = Listener::new(sockets.into_iter().next().unwrap()).unwrap();
        let mut client = std::net::TcpStream::connect(listener.address()).unwrap();
        // It stands for the client, and the kernel keeps it back.
        assert!(listener.accept_waiting().is_none());
        client.write_all(b"G").unwrap();
        let (_, address) = listener.accept().await;
        assert_eq!(address, client.local_addr().unwrap());
    }
}
