//! Listening sockets: one for each worker on one address, by `SO_REUSEPORT`.
//!
//! The kernel then spreads connections over the workers and none of them ever waits for another's
//! accept queue. The price is that a second process of the same user could join the group in
//! silence and take half of the connections; so the address is first bound without the option,
//! which fails if anybody else is there.

use std::{io, net::SocketAddr, os::fd::AsFd, time::Duration};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::defer::defer_accept;

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Somebody whose machine is gone is noticed after about two minutes and a half.
pub(super) const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(30))
    .with_retries(3);

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", explain(source))]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl BindError {
    pub(super) fn new(address: SocketAddr, source: io::Error) -> Self {
        Self { address, source }
    }
}

/// Binds `address` and listens on it with `sockets` sockets. Port 0 lets the system choose one port for all of them.
/// `port_is_ours`: this process listens on the port already, on an address that covers or is covered by this one.
/// `is_silent_at_first`: clients always speak first, and are worth nothing before.
///
/// # Errors
/// The operating system's, and what an operator can do about it.
pub fn bind(
    address: SocketAddr,
    sockets: usize,
    port_is_ours: bool,
    is_silent_at_first: bool,
) -> Result<Vec<std::net::TcpListener>, BindError> {
    bind_all(address, sockets, port_is_ours, is_silent_at_first)
        .map_err(|source| BindError::new(address, source))
}

fn bind_all(
    mut address: SocketAddr,
    sockets: usize,
    port_is_ours: bool,
    is_silent_at_first: bool,
) -> io::Result<Vec<std::net::TcpListener>> {
    if !port_is_ours {
        // Sockets accepted by an earlier process of ours may still linger: SO_REUSEADDR lets us bind
        // beside those, but not beside one that listens.
        exclusive(&socket(address)?, address)?;
    }
    let mut listeners = Vec::with_capacity(sockets);
    for _ in 0..sockets {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        // Accepted sockets inherit both options, which saves two system calls for each connection.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&KEEPALIVE)?;
        if is_silent_at_first {
            // A system that does not know it works without it.
            let _ = defer_accept(&socket);
        }
        socket.bind(&address.into())?;
        if let Some(bound) = socket.local_addr()?.as_socket() {
            address = bound;
        }
        listeners.push(socket);
    }
    // None listens before all are bound: a group that grows later would hash connections anew.
    for socket in &listeners {
        socket.listen(BACKLOG)?;
    }
    Ok(listeners.into_iter().map(Into::into).collect())
}

/// Binds `socket` as one that shares with nobody: an error if anybody else is there.
pub(super) fn exclusive(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.bind(&address.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // "[::]:80" beside "0.0.0.0:80" is what both say, not a conflict.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there (see `ss -ltnp`)".to_owned(),
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Whether `stream` has something to read or is closed, asked of the kernel rather than of the last `epoll_wait`.
pub(super) fn has_news(stream: &impl AsFd) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    match SockRef::from(stream).peek(&mut byte) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sockets_of_a_group_share_the_port_that_the_system_chose() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3, false, true).unwrap();
        let ports: Vec<_> = sockets
            .iter()
            .map(|s| s.local_addr().unwrap().port())
            .collect();
        assert!(
            ports[0] != 0 && ports.iter().all(|port| *port == ports[0]),
            "{ports:?}"
        );
    }

    #[test]
    fn an_address_that_another_listens_on_is_refused() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 1, false, true).unwrap();
        let error = bind(first[0].local_addr().unwrap(), 1, false, true).unwrap_err();
        assert!(
            error.to_string().contains("another process listens there"),
            "{error}"
        );
    }

    #[test]
    fn a_listener_can_move_from_every_address_to_one() {
        let every = bind("0.0.0.0:0".parse().unwrap(), 2, false, true).unwrap();
        let port = every[0].local_addr().unwrap().port();
        let one = SocketAddr::from(([127, 0, 0, 1], port));
        assert!(bind(one, 2, false, true).is_err());
        assert_eq!(bind(one, 2, true, true).unwrap().len(), 2);
    }
}
