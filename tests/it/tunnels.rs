//! Upgrades: after a 101 lbd carries bytes, both ways and whatever they are, until both sides have ended.

mod breaking;
mod closing;
mod drain;
mod extended;
mod failover;
mod handshake;
mod idle;
mod logs;
mod multiplexed;
mod refusals;
mod reload;
mod secure;
mod transfers;
mod websocket;

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::support::backend::Backend;
use crate::support::behaviour::Behaviour;
use crate::support::client::get;
use crate::support::line::{Line, switching, switching_to, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// A tunnel through lbd before one server.
struct Tunnel {
    door: Door,
    proxy: Proxy,
    client: Line,
    server: Line,
}

impl Tunnel {
    async fn open() -> Self {
        Self::with("").await
    }

    /// Under these further keys of the pool.
    async fn with(keys: &str) -> Self {
        let door = Door::open().await;
        let proxy = Proxy::start(&app(&[door.server()], keys)).await;
        let (client, server) = tunnel(proxy.addr(), &door).await;
        Self {
            door,
            proxy,
            client,
            server,
        }
    }

    /// Some bytes pass both ways.
    async fn is_open(&mut self) {
        self.client.exchange(&mut self.server, 10).await;
    }
}

/// Both ends of a tunnel from the listener at `addr` to a server.
async fn tunnel(addr: SocketAddr, door: &Door) -> (Line, Line) {
    let mut client = Line::connect(addr).await;
    client.send(upgrade("/chat", &[])).await;
    let server = accepted(door).await;
    is_switched(&mut client).await;
    (client, server)
}

/// The server's end of a tunnel that it was asked for on its next connection.
async fn accepted(door: &Door) -> Line {
    let mut server = Line::accept(door).await;
    let asked = server.head().await;
    server.send(switching(&asked, "")).await;
    server
}

/// The client has its 101.
async fn is_switched(client: &mut Line) {
    let head = client.head().await;
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
}

/// A server that greets whoever switches and holds the tunnel until the other side ends it; it says `x` to all else.
fn greets() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        loop {
            let request = peer.request().await?;
            if request.fields().has("upgrade") {
                let head = switching(&request.head, "");
                peer.send(head + "hello").await?;
                return peer.until_closed().await;
            }
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
            peer.send(answer).await?;
        }
    })
}

/// A tunnel to a server that [`greets`].
async fn greeted(proxy: &Proxy) -> Line {
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    is_switched(&mut client).await;
    client.hears("hello").await;
    client
}

/// The port refuses, or will in a moment.
async fn refuses(addr: SocketAddr) {
    wait::until_async("the port refuses", async || {
        TcpStream::connect(addr).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn bytes_pass_both_ways_after_a_101() {
    let mut tunnel = Tunnel::open().await;
    for length in [1, 10, 1000, 100_000] {
        tunnel.client.exchange(&mut tunnel.server, length).await;
    }
}

#[tokio::test]
async fn what_looks_like_http_is_only_bytes() {
    let mut tunnel = Tunnel::open().await;
    let lies = [
        "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\n",
        "0\r\n\r\n",
    ];
    for lie in lies {
        tunnel.client.pass(&mut tunnel.server, lie.as_bytes()).await;
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    tunnel
        .server
        .pass(&mut tunnel.client, answer.as_bytes())
        .await;
    tunnel.is_open().await;
}

#[tokio::test]
async fn other_protocols_than_websocket_are_carried_too() {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    for protocol in ["tcp", "foo/2", "odd!#$%&'*+-.^_`|~1"] {
        let mut client = Line::connect(proxy.addr()).await;
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n";
        client
            .send(format!("{head}Upgrade: {protocol}\r\n\r\n"))
            .await;
        let mut server = Line::accept(&door).await;
        let asked = server.head().await;
        assert_eq!(asked.fields.get("upgrade"), Some(protocol));
        server.send(switching_to(protocol, "")).await;
        let head = client.head().await;
        assert_eq!(head.fields.get("upgrade"), Some(protocol));
        client.exchange(&mut server, 10).await;
    }
}

#[tokio::test]
async fn a_body_comes_before_the_tunnel() {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    let head = "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";
    client
        .send(format!("{head}Content-Length: 4\r\n\r\nbody"))
        .await;
    let mut server = Line::accept(&door).await;
    server.head().await;
    server.hears("body").await;
    server.send(switching_to("tcp", "")).await;
    is_switched(&mut client).await;
    client.exchange(&mut server, 10).await;
}

#[tokio::test]
async fn a_connection_that_has_served_requests_can_be_upgraded() {
    let backend = Backend::start(greets()).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    for _ in 0..3 {
        client.send(get("/")).await;
        assert_eq!(client.head().await.start, "HTTP/1.1 200 OK");
        client.hears("x").await;
    }
    client.send(upgrade("/chat", &[])).await;
    is_switched(&mut client).await;
    client.hears("hello").await;
    assert_eq!(backend.requests(), 4);
}

#[tokio::test]
async fn the_connection_of_a_tunnel_that_is_over_serves_nobody_else() {
    let backend = Backend::start(greets()).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut client = greeted(&proxy).await;
    client.finish().await;
    client.ends().await;
    wait::until("the server's connection is closed", || backend.open() == 0).await;
    assert_eq!(proxy.get("/").await.text(), "x");
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn many_tunnels_at_once_are_kept_apart() {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let mut tunnels = Vec::new();
    for _ in 0..50 {
        tunnels.push(tunnel(proxy.addr(), &door).await);
    }
    for (i, (client, server)) in tunnels.iter_mut().enumerate() {
        client.send(format!("from client {i};")).await;
        server.send(format!("from server {i};")).await;
    }
    for (i, (client, server)) in tunnels.iter_mut().enumerate().rev() {
        server.hears(format!("from client {i};")).await;
        client.hears(format!("from server {i};")).await;
    }
}
