//! Bytes: those that come early, those that come singly, those that come in masses, and those that nobody reads.

use crate::support::line::{Line, fill, long_body, switching, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app};

use super::{Tunnel, is_switched};

// === before the tunnel is there ===

/// A client that asks for a tunnel and says `early` at once, and the server that has read the head.
async fn asked(early: &[u8]) -> (Proxy, Line, Line) {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    client
        .send([&upgrade("/chat", &[])[..], early].concat())
        .await;
    let server = Line::accept(&door).await;
    (proxy, client, server)
}

#[tokio::test]
async fn what_comes_with_the_request_s_head_arrives() {
    let (_proxy, mut client, mut server) = asked(b"early").await;
    let head = server.head().await;
    server.send(switching(&head, "")).await;
    is_switched(&mut client).await;
    server.hears("early").await;
    client.exchange(&mut server, 10).await;
}

#[tokio::test]
async fn what_comes_between_the_heads_arrives() {
    let (_proxy, mut client, mut server) = asked(b"").await;
    let head = server.head().await;
    client.send("early").await;
    server.send(switching(&head, "")).await;
    is_switched(&mut client).await;
    server.hears("early").await;
    client.exchange(&mut server, 10).await;
}

#[tokio::test]
async fn much_that_comes_early_arrives() {
    let early = long_body(3, 200_000);
    let (_proxy, mut client, mut server) = asked(&early).await;
    let head = server.head().await;
    server.send(switching(&head, "")).await;
    is_switched(&mut client).await;
    server.hears(&early).await;
    client.exchange(&mut server, 10).await;
}

#[tokio::test]
async fn what_comes_with_the_answer_s_head_arrives() {
    for length in [1, 100_000] {
        let (_proxy, mut client, mut server) = asked(b"").await;
        let head = server.head().await;
        let (head, tail) = (switching(&head, ""), long_body(3, length));
        server.send([head.as_bytes(), &tail].concat()).await;
        is_switched(&mut client).await;
        client.hears(&tail).await;
        client.exchange(&mut server, 10).await;
    }
}

#[tokio::test]
async fn heads_that_come_byte_by_byte_lose_nothing() {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    for byte in [&upgrade("/chat", &[])[..], b"early"].concat() {
        client.send([byte]).await;
    }
    let mut server = Line::accept(&door).await;
    let head = server.head().await;
    for byte in (switching(&head, "") + "first").bytes() {
        server.send([byte]).await;
    }
    is_switched(&mut client).await;
    client.hears("first").await;
    server.hears("early").await;
}

// === few and many ===

#[tokio::test]
async fn single_bytes_do_not_wait_for_more() {
    let mut tunnel = Tunnel::open().await;
    for byte in 0..200 {
        tunnel.client.pass(&mut tunnel.server, &[byte]).await;
        tunnel.server.pass(&mut tunnel.client, &[byte]).await;
    }
}

#[tokio::test]
async fn large_transfers_pass_both_ways_at_once() {
    let mut tunnel = Tunnel::open().await;
    tunnel.client.exchange(&mut tunnel.server, 16 << 20).await;
    tunnel.is_open().await;
}

#[tokio::test]
async fn large_transfers_pass_each_way_alone() {
    let mut tunnel = Tunnel::open().await;
    let body = long_body(3, 8 << 20);
    tunnel.client.pass(&mut tunnel.server, &body).await;
    tunnel.server.pass(&mut tunnel.client, &body).await;
}

// === what nobody reads ===

#[tokio::test]
async fn a_client_that_does_not_read_can_still_speak() {
    let mut tunnel = Tunnel::open().await;
    let length = fill(&mut tunnel.server.writer, 3).await;
    let spoken = long_body(4, 4 << 20);
    tunnel.client.pass(&mut tunnel.server, &spoken).await;
    // Once it reads, everything is there.
    tunnel.client.hears(long_body(3, length)).await;
    tunnel.is_open().await;
}

#[tokio::test]
async fn a_server_that_does_not_read_can_still_speak() {
    let mut tunnel = Tunnel::open().await;
    let length = fill(&mut tunnel.client.writer, 3).await;
    let spoken = long_body(4, 4 << 20);
    tunnel.server.pass(&mut tunnel.client, &spoken).await;
    tunnel.server.hears(long_body(3, length)).await;
    tunnel.is_open().await;
}

#[tokio::test]
async fn an_end_behind_bytes_that_wait_comes_after_them() {
    let mut tunnel = Tunnel::open().await;
    let length = fill(&mut tunnel.server.writer, 3).await;
    tunnel.server.finish().await;
    let spoken = long_body(4, 1 << 20);
    tunnel.client.pass(&mut tunnel.server, &spoken).await;
    tunnel.client.hears(long_body(3, length)).await;
    tunnel.client.ends().await;
}
