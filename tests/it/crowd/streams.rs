//! The same of a stream, where there is no way to say so: whoever is one too many is closed.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;

use crate::support::backend::Backend;
use crate::support::plain::{Door, Plain, greets, who};
use crate::support::proxy::Proxy;
use crate::support::streams::{start, stream};
use crate::support::wait;

/// lbd with a stream of one place before a server that greets.
async fn before(server: &Backend) -> (Proxy, SocketAddr) {
    start(&one_place(server)).await
}

fn one_place(server: &Backend) -> String {
    stream("max_connections = 1", &[server.server()], "")
}

/// A client that the server has greeted.
async fn greeted(addr: SocketAddr) -> Plain {
    let mut client = Plain::connect(addr).await;
    client.hears("a").await;
    client
}

/// Somebody who comes now is closed without a word.
async fn is_full(addr: SocketAddr) {
    Plain::connect(addr).await.is_closed().await;
}

/// Somebody who comes now is greeted, or will be in a moment.
async fn has_room(addr: SocketAddr) {
    wait::until_async("there is room", async || {
        let mut client = Plain::connect(addr).await.into_inner();
        let read = wait::within("a greeting or an end", client.read(&mut [0])).await;
        read.is_ok_and(|length| length == 1)
    })
    .await;
}

#[tokio::test]
async fn the_one_beyond_is_closed_and_the_others_go_on() {
    let door = Door::open().await;
    let keys = "max_connections = 2";
    let (_proxy, addr) = start(&stream(keys, &[door.server()], "")).await;
    let mut pairs = Vec::new();
    for _ in 0..2 {
        let client = Plain::connect(addr).await;
        pairs.push((client, door.accept().await));
    }
    for _ in 0..3 {
        is_full(addr).await;
        for (client, server) in &mut pairs {
            client.send("there").await;
            server.hears("there").await;
            server.send("and back").await;
            client.hears("and back").await;
        }
    }
}

#[tokio::test]
async fn the_server_hears_nothing_of_the_one_beyond() {
    let server = Backend::start(greets("a")).await;
    let (_proxy, addr) = before(&server).await;
    let _first = greeted(addr).await;
    for _ in 0..20 {
        is_full(addr).await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_tunnel_that_ends_leaves_its_place() {
    let server = Backend::start(greets("a")).await;
    let (_proxy, addr) = before(&server).await;
    let mut first = greeted(addr).await;
    is_full(addr).await;
    first.finish().await;
    first.ends().await;
    has_room(addr).await;
}

#[tokio::test]
async fn a_tunnel_that_breaks_leaves_its_place() {
    let mut server = Backend::start(greets("a")).await;
    let (_proxy, addr) = before(&server).await;
    greeted(addr).await.reset();
    has_room(addr).await;
    server.restart_as(greets("a")).await;
    has_room(addr).await;
}

#[tokio::test]
async fn a_client_whose_server_is_gone_leaves_its_place() {
    let mut server = Backend::start(greets("a")).await;
    let (_proxy, addr) = before(&server).await;
    let mut client = greeted(addr).await;
    server.stop().await;
    client.is_closed().await;
    drop(client);
    for _ in 0..3 {
        // There is no room yet, or nobody to pass it on to.
        Plain::connect(addr).await.is_closed().await;
    }
    server.start_as(greets("a"));
    has_room(addr).await;
}

#[tokio::test]
async fn connections_from_before_a_reload_count() {
    let server = Backend::start(greets("a")).await;
    let (mut proxy, addr) = start(&stream("", &[server.server()], "")).await;
    let first = greeted(addr).await;
    proxy.reload(&one_place(&server)).await;
    is_full(addr).await;
    drop(first);
    has_room(addr).await;
}

#[tokio::test]
async fn without_the_key_there_is_no_limit() {
    let server = Backend::start(greets("a")).await;
    let (_proxy, addr) = start(&stream("", &[server.server()], "")).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(greeted(addr).await);
    }
    assert_eq!(who(addr).await, "a");
}
