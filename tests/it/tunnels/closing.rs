//! Ends: each direction has its own, and a reset is one of both.

use crate::support::line::{Line, switching, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app};

use super::{Tunnel, is_switched};

#[tokio::test]
async fn a_client_that_has_ended_can_still_listen() {
    let mut tunnel = Tunnel::open().await;
    tunnel.client.pass(&mut tunnel.server, b"last words").await;
    tunnel.client.finish().await;
    tunnel.server.ends().await;
    for part in ["a late ", "answer"] {
        tunnel
            .server
            .pass(&mut tunnel.client, part.as_bytes())
            .await;
    }
    tunnel.server.finish().await;
    tunnel.client.ends().await;
}

#[tokio::test]
async fn a_server_that_has_ended_can_still_listen() {
    let mut tunnel = Tunnel::open().await;
    tunnel.server.pass(&mut tunnel.client, b"last words").await;
    tunnel.server.finish().await;
    tunnel.client.ends().await;
    for part in ["a late ", "question"] {
        tunnel
            .client
            .pass(&mut tunnel.server, part.as_bytes())
            .await;
    }
    tunnel.client.finish().await;
    tunnel.server.ends().await;
}

#[tokio::test]
async fn much_is_said_to_one_that_has_ended() {
    let mut tunnel = Tunnel::open().await;
    tunnel.client.finish().await;
    tunnel.server.ends().await;
    let body = vec![b'x'; 4 << 20];
    tunnel.server.pass(&mut tunnel.client, &body).await;
    tunnel.server.finish().await;
    tunnel.client.ends().await;
}

#[tokio::test]
async fn an_end_right_behind_the_bytes_does_not_overtake_them() {
    let mut tunnel = Tunnel::open().await;
    tunnel.client.send("to the server").await;
    tunnel.client.finish().await;
    tunnel.server.send("to the client").await;
    tunnel.server.finish().await;
    tunnel.server.hears("to the server").await;
    tunnel.server.ends().await;
    tunnel.client.hears("to the client").await;
    tunnel.client.ends().await;
}

#[tokio::test]
async fn a_client_that_ends_with_its_request_can_still_listen() {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    let asked = [&upgrade("/chat", &[])[..], b"all that I say"].concat();
    client.send(asked).await;
    client.finish().await;
    let mut server = Line::accept(&door).await;
    let head = server.head().await;
    server.send(switching(&head, "")).await;
    is_switched(&mut client).await;
    server.hears("all that I say").await;
    server.ends().await;
    server.pass(&mut client, b"an answer").await;
    server.finish().await;
    client.ends().await;
}

#[tokio::test]
async fn a_server_that_ends_with_its_101_can_still_listen() {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    let mut server = Line::accept(&door).await;
    let head = server.head().await;
    server.send(switching(&head, "") + "all that I say").await;
    server.finish().await;
    is_switched(&mut client).await;
    client.hears("all that I say").await;
    client.ends().await;
    client.pass(&mut server, b"an answer").await;
    client.finish().await;
    server.ends().await;
}

#[tokio::test]
async fn a_client_that_has_gone_is_not_spoken_to_for_ever() {
    let mut tunnel = Tunnel::open().await;
    tunnel.is_open().await;
    drop(tunnel.client);
    tunnel.server.is_cut().await;
}

#[tokio::test]
async fn a_server_that_has_gone_is_not_spoken_to_for_ever() {
    let mut tunnel = Tunnel::open().await;
    tunnel.is_open().await;
    drop(tunnel.server);
    tunnel.client.is_cut().await;
}

// === resets ===

#[tokio::test]
async fn a_reset_by_the_client_ends_the_server_s_side() {
    let mut tunnel = Tunnel::open().await;
    tunnel.is_open().await;
    tunnel.client.reset();
    tunnel.server.is_cut().await;
}

#[tokio::test]
async fn a_reset_by_the_server_ends_the_client_s_side() {
    let mut tunnel = Tunnel::open().await;
    tunnel.is_open().await;
    tunnel.server.reset();
    tunnel.client.is_cut().await;
}

#[tokio::test]
async fn a_reset_by_one_that_has_ended_ends_the_other_side() {
    let mut tunnel = Tunnel::open().await;
    tunnel.client.finish().await;
    tunnel.server.ends().await;
    tunnel.client.reset();
    tunnel.server.is_cut().await;
}

#[tokio::test]
async fn a_reset_ends_its_tunnel_and_no_other() {
    let mut tunnel = Tunnel::open().await;
    let (other, mut its_server) = super::tunnel(tunnel.proxy.addr(), &tunnel.door).await;
    other.reset();
    its_server.is_cut().await;
    tunnel.is_open().await;
}
