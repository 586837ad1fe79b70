//! Streams: a connection is one request, and so is a session of UDP when it is over.

use std::net::SocketAddr;

use lbd::server::{ListenerStatus, Status};
use lbd::telemetry::CodeTotals;

use crate::support::backend::Backend;
use crate::support::certs::Authority;
use crate::support::datagrams::{Datagrams, Echo};
use crate::support::plain::{Door, Plain};
use crate::support::proxy::Proxy;
use crate::support::streams::{ends_tls, start, stream};

use super::{NONE, comes_to, good};

/// The stream: the listener that every file has stands before it.
fn front(status: &Status) -> &ListenerStatus {
    &status.listeners[1]
}

/// What it has answered.
fn answers(status: &Status) -> CodeTotals {
    front(status).requests
}

/// Its connections that are open, those that ever were, and tunnels there and at the server.
fn open(status: &Status) -> [u64; 4] {
    let (front, server) = (front(status), &status.pools[0].servers[0]);
    [
        front.connections,
        front.accepted,
        front.tunnels,
        server.tunnels.into(),
    ]
}

/// Bytes to the client and from it, at the stream and at the server.
fn moved(status: &Status) -> [(u64, u64); 2] {
    let (front, server) = (front(status), &status.pools[0].servers[0]);
    [
        (front.sent_bytes, front.received_bytes),
        (server.received_bytes, server.sent_bytes),
    ]
}

/// One bad answer.
const BAD: CodeTotals = CodeTotals {
    server_errors: 1,
    ..NONE
};

// === TCP ===

/// A server, and lbd with a stream of these keys before it.
async fn before(keys: &str) -> (Door, Proxy, SocketAddr) {
    let door = Door::open().await;
    let (proxy, addr) = start(&stream(keys, &[door.server()], "")).await;
    (door, proxy, addr)
}

#[tokio::test]
async fn a_connection_is_one_good_answer_and_a_tunnel_while_it_is_open() {
    let (door, proxy, addr) = before("").await;
    let mut client = Plain::connect(addr).await;
    let mut server = door.accept().await;
    comes_to(&proxy, [1, 1, 1, 1], open).await;
    let status = proxy.status();
    let server_status = &status.pools[0].servers[0];
    assert_eq!(answers(&status), good(1));
    assert_eq!(server_status.requests, good(1));
    assert_eq!(status.pools[0].requests, 1);
    let front = front(&status);
    assert_eq!((front.protocol.as_str(), front.idle), ("tcp", 0));
    client.finish().await;
    server.ends().await;
    server.finish().await;
    client.ends().await;
    comes_to(&proxy, [0, 1, 0, 0], open).await;
    assert_eq!(answers(&proxy.status()), good(1));
}

#[tokio::test]
async fn the_bytes_of_a_connection_count_while_it_is_open() {
    let (door, proxy, addr) = before("").await;
    let mut client = Plain::connect(addr).await;
    let mut server = door.accept().await;
    client.send("a question").await;
    server.hears("a question").await;
    server.send("an answer").await;
    client.hears("an answer").await;
    comes_to(&proxy, [(9, 10); 2], moved).await;
    assert_eq!(open(&proxy.status()), [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_server_that_takes_no_connection_is_a_failure_and_the_next_try_a_retry() {
    let (dead, door) = (Backend::refuses(), Door::open().await);
    let servers = [dead.server(), door.server()];
    let (proxy, addr) = start(&stream("", &servers, "")).await;
    let _client = Plain::connect(addr).await;
    door.accept().await;
    comes_to(&proxy, good(1), answers).await;
    let pool = proxy.pool();
    assert_eq!((pool.requests, pool.retries), (1, 1));
    let [dead, alive] = &pool.servers[..] else {
        panic!("{pool:?}");
    };
    assert_eq!((dead.failures.error, dead.requests), (1, NONE));
    assert_eq!((alive.failures.error, alive.requests), (0, good(1)));
}

#[tokio::test]
async fn a_connection_with_nobody_else_to_ask_is_no_retry() {
    let dead = Backend::refuses();
    let (proxy, addr) = start(&stream("", &[dead.server()], "")).await;
    Plain::connect(addr).await.is_closed().await;
    comes_to(&proxy, BAD, answers).await;
    let pool = proxy.pool();
    assert_eq!(pool.servers[0].failures.error, 1);
    assert_eq!((pool.requests, pool.retries), (1, 0));
}

#[tokio::test]
async fn a_connection_that_finds_nobody_alive_is_counted() {
    let server = "{ address = \"127.0.0.1:1\", down = true }".to_owned();
    let (proxy, addr) = start(&stream("", &[server], "")).await;
    Plain::connect(addr).await.is_closed().await;
    comes_to(&proxy, BAD, answers).await;
    assert_eq!(proxy.pool().dark, 1);
}

#[tokio::test]
async fn connections_beyond_max_connections_are_counted() {
    let (door, proxy, addr) = before("max_connections = 1").await;
    let _client = Plain::connect(addr).await;
    let _server = door.accept().await;
    Plain::connect(addr).await.is_closed().await;
    comes_to(&proxy, [1, 2, 1, 1], open).await;
    let status = proxy.status();
    let front = front(&status);
    assert_eq!((front.refused, front.max_connections), (1, 1));
}

#[tokio::test]
async fn handshakes_that_fail_are_counted() {
    let authority = Authority::new();
    let identity = authority.server(&["app.example"]);
    let (_door, proxy, addr) = before(&ends_tls(&identity, "")).await;
    let mut client = Plain::connect(addr).await;
    client.send("no TLS at all\r\n\r\n").await;
    comes_to(&proxy, 1, |status| front(status).tls_failures).await;
    assert_eq!(front(&proxy.status()).protocol, "tls");
    let refused = CodeTotals {
        client_errors: 1,
        ..NONE
    };
    comes_to(&proxy, refused, answers).await;
}

// === UDP ===

/// The same for datagrams, before this server.
async fn before_echo(keys: &str, server: String) -> (Proxy, SocketAddr) {
    let keys = format!("protocol = \"udp\"\n{keys}");
    start(&stream(&keys, &[server], "")).await
}

#[tokio::test]
async fn a_session_of_udp_is_a_connection_while_it_lasts() {
    let echo = Echo::start("a").await;
    let (proxy, addr) = before_echo("max_sessions = 5", echo.server()).await;
    let clients = [Datagrams::bind().await, Datagrams::bind().await];
    for client in &clients {
        for _ in 0..2 {
            assert_eq!(client.ask_text("x", addr).await, "ax");
        }
    }
    let status = proxy.status();
    let front = front(&status);
    assert_eq!((front.connections, front.accepted), (2, 2));
    assert_eq!((front.protocol.as_str(), front.max_connections), ("udp", 5));
    assert_eq!(status.pools[0].servers[0].in_flight, 2);
}

#[tokio::test]
async fn a_session_of_udp_counts_with_its_bytes_when_it_is_over() {
    let echo = Echo::start("a").await;
    let keys = "timeouts = { idle = \"300ms\" }";
    let (proxy, addr) = before_echo(keys, echo.server()).await;
    let client = Datagrams::bind().await;
    assert_eq!(client.ask_text("question", addr).await, "aquestion");
    comes_to(&proxy, (good(1), [(9, 8); 2]), |status| {
        (answers(status), moved(status))
    })
    .await;
    comes_to(&proxy, [0, 1, 0, 0], open).await;
    let server = proxy.server(echo.addr());
    assert_eq!((server.requests, server.in_flight), (good(1), 0));
}

#[tokio::test]
async fn a_session_of_udp_with_nobody_else_to_ask_is_no_retry() {
    let dead = Datagrams::unreachable().await;
    let (proxy, addr) = before_echo("", dead.server()).await;
    let client = Datagrams::bind().await;
    client.send("lost", addr).await;
    comes_to(&proxy, BAD, answers).await;
    let pool = proxy.pool();
    assert_eq!(pool.servers[0].failures.error, 1);
    assert_eq!((pool.requests, pool.retries), (1, 0));
}
