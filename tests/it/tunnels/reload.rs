//! A tunnel goes on as it began, whatever becomes of the file that it began under, and keeps its place at its server.

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::client::get;
use crate::support::line::{Line, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app, file, says};
use crate::support::wait;

use super::{Tunnel, greeted, greets, refuses, tunnel};

/// A second listener.
const SECOND: &str = "[[listeners]]\nname = \"second\"\nbind = \"127.0.0.2:0\"\n";

/// Reloads again and again, and each time bytes pass as before.
async fn outlives(mut tunnel: Tunnel, new: &str) {
    for _ in 0..3 {
        let reloaded = tunnel.proxy.try_reload(new).await;
        reloaded.expect("a good file is taken");
        tunnel.client.exchange(&mut tunnel.server, 100_000).await;
    }
    tunnel.client.finish().await;
    tunnel.server.ends().await;
    tunnel.server.finish().await;
    tunnel.client.ends().await;
}

#[tokio::test]
async fn a_tunnel_outlives_a_reload() {
    let tunnel = Tunnel::open().await;
    let same = file("", "", &app(&[tunnel.door.server()], ""));
    outlives(tunnel, &same).await;
}

#[tokio::test]
async fn a_tunnel_outlives_a_change_of_its_listener() {
    let tunnel = Tunnel::open().await;
    let rest = app(&[tunnel.door.server()], "");
    let keys = "max_header = \"4k\"\ntimeouts = { idle = \"1s\" }";
    outlives(tunnel, &file("", keys, &rest)).await;
}

#[tokio::test]
async fn a_tunnel_outlives_its_server_in_the_pool() {
    let tunnel = Tunnel::open().await;
    let other = Backend::start(ok("other")).await;
    let new = file("", "", &app(&[other.server()], ""));
    outlives(tunnel, &new).await;
}

#[tokio::test]
async fn a_tunnel_outlives_its_pool_and_its_route() {
    let tunnel = Tunnel::open().await;
    let new = file("", "", &says("path = \"/\"", "new"));
    outlives(tunnel, &new).await;
}

#[tokio::test]
async fn a_tunnel_outlives_its_listener() {
    let door = Door::open().await;
    let rest = app(&[door.server()], "");
    let mut proxy = Proxy::start_file(&file("", "", &format!("{rest}{SECOND}"))).await;
    let second = proxy.addrs()[1];
    let (mut client, mut server) = tunnel(second, &door).await;
    proxy.reload(&rest).await;
    refuses(second).await;
    client.exchange(&mut server, 100_000).await;
    client.finish().await;
    server.ends().await;
    server.pass(&mut client, b"the end").await;
    server.finish().await;
    client.ends().await;
}

#[tokio::test]
async fn others_are_served_by_the_new_file_meanwhile() {
    let mut tunnel = Tunnel::open().await;
    tunnel.proxy.reload(&says("path = \"/\"", "new")).await;
    assert_eq!(tunnel.proxy.get("/").await.text(), "new");
    tunnel.is_open().await;
}

// === its place ===

/// The server's only place is free, or will be in a moment.
async fn is_free(proxy: &Proxy) {
    wait::until_async("the place is free", async || {
        proxy.get("/").await.status == 200
    })
    .await;
}

/// A tunnel in the only place of its server, and the text of the rest of the file.
async fn full() -> (Backend, String, Proxy, Line) {
    let backend = Backend::start(greets()).await;
    let rest = app(&[backend.server_with("max_conns = 1")], "");
    let proxy = Proxy::start(&rest).await;
    let client = greeted(&proxy).await;
    (backend, rest, proxy, client)
}

#[tokio::test]
async fn a_tunnel_counts_for_max_conns() {
    let (backend, _, proxy, mut client) = full().await;
    for _ in 0..3 {
        let status = proxy.get("/").await.status;
        assert_eq!(status, 503, "its only place is taken");
    }
    assert_eq!(backend.requests(), 1);
    client.finish().await;
    client.ends().await;
    is_free(&proxy).await;
}

#[tokio::test]
async fn a_tunnel_that_is_reset_leaves_its_place() {
    let (_backend, _, proxy, client) = full().await;
    client.reset();
    is_free(&proxy).await;
    greeted(&proxy).await;
}

#[tokio::test]
async fn a_tunnel_counts_for_max_conns_after_a_reload() {
    let (_backend, rest, mut proxy, mut client) = full().await;
    proxy.reload(&rest).await;
    assert_eq!(proxy.get("/").await.status, 503);
    client.finish().await;
    client.ends().await;
    is_free(&proxy).await;
}

#[tokio::test]
async fn a_refused_upgrade_leaves_its_place() {
    let backend = Backend::start(ok("no")).await;
    let servers = [backend.server_with("max_conns = 1")];
    let proxy = Proxy::start(&app(&servers, "")).await;
    let asked = upgrade("/chat", &[]);
    for bytes in [&asked, &get("/"), &asked, &get("/")] {
        assert_eq!(proxy.raw().await.exchange(bytes).await.text(), "no");
    }
}
