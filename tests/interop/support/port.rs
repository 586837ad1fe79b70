//! A port that stays ours while the program behind it comes and goes.

use std::{
    fmt,
    net::{SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use crate::harness::until;

/// A bound socket that never listens. A program that reuses addresses can listen on its address, as most do (nginx says
/// `reuseport`), and nobody else is given it.
#[derive(Debug)]
pub(crate) struct Port(Socket);

impl Port {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_port(true).expect("SO_REUSEPORT");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).expect("a free port");
        Self(socket)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        let addr = self.0.local_addr().ok().and_then(|addr| addr.as_socket());
        addr.expect("a bound socket has an address")
    }

    pub(crate) fn until_it_listens(&self) {
        until(&format!("{self} listens"), || {
            TcpStream::connect(self.addr()).ok()
        });
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr().fmt(f)
    }
}
