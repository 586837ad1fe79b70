//! Places that tunnels have are free when they end, in whichever way.

use crate::support::backend::Backend;
use crate::support::behaviour::Behaviour;
use crate::support::line::{Line, switching, upgrade};
use crate::support::proxy::{Proxy, app};

use super::{LINE, waits};

/// Switches where it is asked to, and holds that tunnel; all else is answered "x".
fn holds() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        loop {
            let request = peer.request().await?;
            if request.fields().has("upgrade") {
                peer.send(switching(&request.head, "")).await?;
                return peer.until_closed().await;
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
                .await?;
        }
    })
}

/// A tunnel in the only place of its server.
async fn full() -> (Backend, Proxy, Line) {
    let backend = Backend::start(holds()).await;
    let server = backend.server_with("max_conns = 1");
    let proxy = Proxy::start(&app(&[server], LINE)).await;
    let tunnel = tunnel(&proxy).await;
    (backend, proxy, tunnel)
}

async fn tunnel(proxy: &Proxy) -> Line {
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    switched(&mut client).await;
    client
}

async fn switched(client: &mut Line) {
    let head = client.head().await;
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
}

#[tokio::test]
async fn a_request_waits_for_the_end_of_a_tunnel() {
    let (backend, proxy, mut tunnel) = full().await;
    let mut one = waits(&proxy, "/1", 1).await;
    let mut two = waits(&proxy, "/2", 2).await;
    assert_eq!(backend.requests(), 1);
    tunnel.finish().await;
    assert_eq!(one.response().await.text(), "x");
    assert_eq!(two.response().await.text(), "x");
}

#[tokio::test]
async fn a_tunnel_that_is_reset_makes_room() {
    let (_backend, proxy, tunnel) = full().await;
    let mut next = waits(&proxy, "/", 1).await;
    tunnel.reset();
    assert_eq!(next.response().await.text(), "x");
}

#[tokio::test]
async fn a_server_that_ends_a_tunnel_makes_room() {
    let (mut backend, proxy, mut tunnel) = full().await;
    let mut next = waits(&proxy, "/", 1).await;
    backend.restart_as(holds()).await;
    tunnel.is_cut().await;
    assert_eq!(next.response().await.text(), "x");
}

#[tokio::test]
async fn a_tunnel_waits_for_a_tunnel() {
    let (_backend, proxy, mut first) = full().await;
    let mut next = Line::connect(proxy.addr()).await;
    next.send(upgrade("/chat", &[])).await;
    super::are_waiting(&proxy, 1).await;
    first.finish().await;
    switched(&mut next).await;
    let _third = waits(&proxy, "/", 1).await;
}

#[tokio::test]
async fn a_tunnel_that_outlives_a_reload_keeps_its_place_and_leaves_it() {
    let backend = Backend::start(holds()).await;
    let text = app(&[backend.server_with("max_conns = 1")], LINE);
    let mut proxy = Proxy::start(&text).await;
    let mut held = tunnel(&proxy).await;
    proxy.reload(&text).await;
    let mut next = waits(&proxy, "/", 1).await;
    held.finish().await;
    assert_eq!(next.response().await.text(), "x");
}
