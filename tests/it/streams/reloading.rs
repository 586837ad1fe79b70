//! A reload is for those who come after it: connections that are there go on, whatever the new file says.

use crate::support::backend::Backend;
use crate::support::plain::{Door, Plain, greets, letter, who};
use crate::support::proxy::{Proxy, file, says};
use crate::support::streams::{self, pool, start, stream, stream_at};

use super::{Through, refuses};

/// A listener where streams of these tests are.
const LISTENER: &str = "[[listeners]]\nbind = \"127.0.0.2:0\"\n";

#[tokio::test]
async fn a_connection_outlives_a_reload() {
    let mut through = Through::with("").await;
    let text = stream("", &[through.door.server()], "");
    for _ in 0..3 {
        through.proxy.reload(&text).await;
        through.is_open().await;
        assert_eq!(through.proxy.addrs()[1], through.addr);
    }
}

#[tokio::test]
async fn a_connection_outlives_its_stream() {
    let mut through = Through::with("").await;
    through.proxy.reload("").await;
    through.is_open().await;
    // As it would have without the reload.
    through.client.finish().await;
    through.server.ends().await;
    through.server.send("the end").await;
    through.server.finish().await;
    assert_eq!(through.client.rest().await, b"the end");
}

#[tokio::test]
async fn a_connection_outlives_its_server() {
    let mut through = Through::with("").await;
    let other = Backend::start(greets("b")).await;
    let text = stream("", &[other.server()], "");
    through.proxy.reload(&text).await;
    through.is_open().await;
    assert_eq!(who(through.addr).await, "b");
    through.is_open().await;
}

#[tokio::test]
async fn new_connections_go_where_the_new_file_says() {
    let (a, b) = (
        Backend::start(greets("a")).await,
        Backend::start(greets("b")).await,
    );
    let both = pool("a", &[a.server()], "") + &pool("b", &[b.server()], "");
    let text =
        |pool: &str| format!("[[streams]]\nbind = \"127.0.0.2:0\"\npool = \"{pool}\"\n{both}");
    let (mut proxy, addr) = start(&text("a")).await;
    let mut old = Plain::connect(addr).await;
    assert_eq!(letter(&mut old).await, "a");
    for name in ["b", "a", "b"] {
        proxy.reload(&text(name)).await;
        for _ in 0..3 {
            assert_eq!(who(addr).await, name);
        }
    }
    old.finish().await;
    old.ends().await;
}

#[tokio::test]
async fn a_stream_that_is_gone_accepts_no_more() {
    let door = Door::open().await;
    let (mut proxy, addr) = start(&stream("", &[door.server()], "")).await;
    proxy.reload("").await;
    refuses(addr).await;
    assert_eq!(proxy.addrs().len(), 1);
}

#[tokio::test]
async fn a_new_stream_accepts() {
    let backend = Backend::start(greets("a")).await;
    let mut proxy = Proxy::start("").await;
    proxy.reload(&stream("", &[backend.server()], "")).await;
    assert_eq!(who(streams::addr(&proxy)).await, "a");
}

#[tokio::test]
async fn a_stream_that_moves_leaves_its_old_address() {
    let backend = Backend::start(greets("a")).await;
    let servers = [backend.server()];
    let (mut proxy, old) = start(&stream("", &servers, "")).await;
    let moved = stream_at("127.0.0.3:0", "", &servers, "");
    proxy.reload(&moved).await;
    refuses(old).await;
    assert_eq!(who(streams::addr(&proxy)).await, "a");
}

#[tokio::test]
async fn a_listener_can_become_a_stream_and_a_stream_a_listener() {
    let backend = Backend::start(greets("a")).await;
    let text = stream("", &[backend.server()], "");
    let route = says("path = \"/\"", "x");
    let mut proxy = Proxy::start_file(&file("", "", &format!("{route}{LISTENER}"))).await;
    for _ in 0..2 {
        proxy.reload(&text).await;
        assert_eq!(who(streams::addr(&proxy)).await, "a");
        proxy.reload(&format!("{route}{LISTENER}")).await;
        let client = Plain::connect(streams::addr(&proxy)).await;
        assert_eq!(streams::ask(client.into_inner()).await, "x");
    }
}

#[tokio::test]
async fn a_connection_counts_for_max_conns_after_a_reload() {
    let backend = Backend::start(greets("a")).await;
    let text = stream("", &[backend.server_with("max_conns = 1")], "");
    let (mut proxy, addr) = start(&text).await;
    let mut busy = Plain::connect(addr).await;
    assert_eq!(letter(&mut busy).await, "a");
    proxy.reload(&text).await;
    Plain::connect(addr).await.is_closed().await;
    busy.finish().await;
    busy.ends().await;
    assert_eq!(who(addr).await, "a");
}

#[tokio::test]
async fn a_file_that_is_refused_changes_nothing() {
    let backend = Backend::start(greets("a")).await;
    let servers = [backend.server()];
    let (mut proxy, addr) = start(&stream("", &servers, "")).await;
    let mut old = Plain::connect(addr).await;
    assert_eq!(letter(&mut old).await, "a");
    let taken = Door::open_at("127.0.0.4:0").await;
    let elsewhere = stream_at(&taken.addr().to_string(), "", &servers, "");
    let error = proxy
        .try_reload(&file("", "", &elsewhere))
        .await
        .expect_err("the port is taken");
    assert!(error.contains(&taken.addr().to_string()), "{error}");
    assert_eq!(who(addr).await, "a");
    old.finish().await;
    old.ends().await;
}
