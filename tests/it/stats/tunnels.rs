//! Tunnels: they count while they are open, and so do their bytes.

use lbd::server::Status;
use lbd::telemetry::CodeTotals;

use crate::support::h2_line::{H2Line, line, websocket};
use crate::support::http2::{Http2, head};
use crate::support::line::{Line, switching, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app, says};

use super::{NONE, codes, comes_to, good};

/// Tunnels at the listener and at the server, and all that the server works on.
pub(super) fn tunnels(status: &Status) -> [u64; 3] {
    let server = &status.pools[0].servers[0];
    let of_server = [server.tunnels, server.in_flight].map(u64::from);
    [status.listeners[0].tunnels, of_server[0], of_server[1]]
}

/// Bytes to the client and from it, at the listener and at the server.
pub(super) fn moved(status: &Status) -> [(u64, u64); 2] {
    let (listener, server) = (&status.listeners[0], &status.pools[0].servers[0]);
    [
        (listener.sent_bytes, listener.received_bytes),
        (server.received_bytes, server.sent_bytes),
    ]
}

/// Connections of the first listener, and those of them that are idle.
fn connections(status: &Status) -> [u64; 2] {
    let listener = &status.listeners[0];
    [listener.connections, listener.idle]
}

/// A WebSocket is what the server was asked for and grants; its end.
async fn granted(door: &Door) -> Line {
    let mut server = Line::accept(door).await;
    let asked = server.head().await;
    server.send(switching(&asked, "")).await;
    server
}

/// lbd with clients of both versions before a server, and a route of its own.
async fn before(door: &Door) -> Proxy {
    let rest = app(&[door.server()], "") + &says("exact = \"/ready\"", "ready");
    Proxy::start_with("h2c = true", &rest).await
}

/// Both ends of a tunnel from a connection of its own.
pub(super) async fn tunnel(proxy: &Proxy, door: &Door) -> (Line, Line) {
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    let server = granted(door).await;
    let head = client.head().await;
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
    (client, server)
}

/// Both ends of a tunnel over a stream of `client`.
async fn stream(client: &mut Http2, door: &Door) -> (H2Line, Line) {
    // The client has to know that it may ask.
    assert_eq!(client.get("/ready").await.text(), "ready");
    let (response, upload) = client.start(websocket("/chat", &[]), false).await;
    let server = granted(door).await;
    let response = head(response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    (line(response, upload), server)
}

// === HTTP/1.1 ===

#[tokio::test]
async fn a_websocket_counts_while_it_is_open() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let (mut client, mut server) = tunnel(&proxy, &door).await;
    comes_to(&proxy, [1, 1, 1], tunnels).await;
    client.finish().await;
    server.ends().await;
    server.finish().await;
    client.ends().await;
    comes_to(&proxy, [0, 0, 0], tunnels).await;
}

#[tokio::test]
async fn a_websocket_that_breaks_is_none_any_more() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let (client, _server) = tunnel(&proxy, &door).await;
    comes_to(&proxy, [1, 1, 1], tunnels).await;
    client.reset();
    comes_to(&proxy, [0, 0, 0], tunnels).await;
}

#[tokio::test]
async fn the_bytes_of_a_websocket_count_while_it_is_open() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let (mut client, mut server) = tunnel(&proxy, &door).await;
    client.pass(&mut server, &[b'u'; 1000]).await;
    server.pass(&mut client, &[b'd'; 300]).await;
    comes_to(&proxy, [(300, 1000); 2], moved).await;
    client.pass(&mut server, b"more").await;
    comes_to(&proxy, [(300, 1004); 2], moved).await;
    assert_eq!(tunnels(&proxy.status()), [1, 1, 1]);
}

#[tokio::test]
async fn a_websocket_is_an_answer_that_informs() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let _tunnel = tunnel(&proxy, &door).await;
    let switched = CodeTotals {
        informational: 1,
        ..NONE
    };
    comes_to(&proxy, [switched; 3], codes).await;
}

#[tokio::test]
async fn the_connection_of_a_websocket_is_not_idle() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let _tunnel = tunnel(&proxy, &door).await;
    comes_to(&proxy, [1, 0], connections).await;
    let mut idle = proxy.client().await;
    assert_eq!(idle.get("/ready").await.text(), "ready");
    comes_to(&proxy, [2, 1], connections).await;
}

// === HTTP/2 ===

#[tokio::test]
async fn a_websocket_over_http_2_counts_while_it_is_open() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    comes_to(&proxy, [1, 1, 1], tunnels).await;
    assert_eq!(connections(&proxy.status()), [1, 0]);
    stream.finish().await;
    server.ends().await;
    server.finish().await;
    stream.ends().await;
    comes_to(&proxy, [0, 0, 0], tunnels).await;
    comes_to(&proxy, [1, 1], connections).await;
}

#[tokio::test]
async fn the_bytes_of_a_websocket_over_http_2_count_while_it_is_open() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (mut stream, mut server) = stream(&mut client, &door).await;
    // What the answer before it had counts, too.
    let ready = "ready".len() as u64;
    stream.pass(&mut server, &[b'u'; 1000]).await;
    server.pass(&mut stream, &[b'd'; 300]).await;
    comes_to(&proxy, [(300 + ready, 1000), (300, 1000)], moved).await;
    assert_eq!(tunnels(&proxy.status()), [1, 1, 1]);
}

#[tokio::test]
async fn a_websocket_over_http_2_is_a_good_answer_of_a_server_that_switched() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let _stream = stream(&mut client, &door).await;
    let switched = CodeTotals {
        informational: 1,
        ..NONE
    };
    // The route of its own has answered before.
    comes_to(&proxy, [good(2), good(1), switched], codes).await;
}

#[tokio::test]
async fn websockets_over_one_connection_take_nothing_from_those_that_idle() {
    let door = Door::open().await;
    let proxy = before(&door).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let _one = stream(&mut client, &door).await;
    let _two = stream(&mut client, &door).await;
    let mut idle = [proxy.client().await, proxy.client().await];
    for client in &mut idle {
        assert_eq!(client.get("/ready").await.text(), "ready");
    }
    comes_to(&proxy, [2, 2, 2], tunnels).await;
    comes_to(&proxy, [3, 2], connections).await;
}
