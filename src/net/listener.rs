//! Accepting connections, whatever the system says.

use std::{io, net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::stream::Stream;

/// How long accepting rests when the process has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// One worker's socket on one address.
#[derive(Debug)]
pub struct Listener {
    socket: tokio::net::TcpListener,
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
            socket: tokio::net::TcpListener::from_std(socket)?,
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
            match self.socket.accept().await {
                Ok((stream, peer)) => return (Stream::new(stream), peer),
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
}

impl Listener {
    /// A connection that waits to be accepted, if there is one: what must be served before the
    /// socket is closed, for closing resets what waits.
    pub fn accept_waiting(&self) -> Option<(Stream, SocketAddr)> {
        // The kernel is asked, not the runtime: that knows only what its last turn saw.
        loop {
            match SockRef::from(&self.socket).accept() {
                Ok((socket, peer)) => {
                    let taken = socket
                        .set_nonblocking(true)
                        .and_then(|()| TcpStream::from_std(socket.into()));
                    if let (Ok(stream), Some(peer)) = (taken, peer.as_socket()) {
                        return Some((Stream::new(stream), peer));
                    }
                }
                Err(error) if is_transient(&error) => {}
                Err(_) => return None,
            }
        }
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
