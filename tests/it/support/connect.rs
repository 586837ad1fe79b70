//! Connections to lbd, whatever is spoken over them.

use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use super::wait;

pub(crate) async fn connect(addr: SocketAddr) -> TcpStream {
    let stream = wait::within("connecting", TcpStream::connect(addr)).await;
    stream.expect("the proxy accepts")
}

/// From an address of our choice in 127.0.0.0/8.
pub(crate) async fn connect_from(source: &str, addr: SocketAddr) -> TcpStream {
    let source: IpAddr = source.parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    let bound = socket.bind(SocketAddr::new(source, 0));
    bound.expect("all of 127.0.0.0/8 is ours");
    let stream = wait::within("connecting", socket.connect(addr)).await;
    stream.expect("the proxy accepts")
}
