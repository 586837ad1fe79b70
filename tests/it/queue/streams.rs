//! Connections of a stream wait as requests do.

use crate::support::backend::Backend;
use crate::support::log::{lines, logging};
use crate::support::plain::{Plain, greets, letter};
use crate::support::proxy::Proxy;
use crate::support::streams::{addr, start, stream};
use crate::support::wait;

use super::{LINE, are_waiting};

/// A server with one place, and the text of a stream before it, whose pool has these keys.
async fn one_place(keys: &str) -> (Backend, String) {
    let backend = Backend::start(greets("a")).await;
    let text = stream("", &[backend.server_with("max_conns = 1")], keys);
    (backend, text)
}

/// A connection that has the only place.
async fn first(proxy: &Proxy) -> Plain {
    let mut client = Plain::connect(addr(proxy)).await;
    assert_eq!(letter(&mut client).await, "a");
    client
}

#[tokio::test]
async fn a_connection_waits_until_another_has_ended() {
    let (backend, text) = one_place(LINE).await;
    let (proxy, addr) = start(&text).await;
    let mut busy = first(&proxy).await;
    let mut clients = Vec::new();
    for count in 1..=3 {
        clients.push(Plain::connect(addr).await);
        are_waiting(&proxy, count).await;
    }
    assert_eq!(backend.connections(), 1);
    for (served, mut client) in clients.into_iter().enumerate() {
        busy.finish().await;
        busy.ends().await;
        assert_eq!(letter(&mut client).await, "a");
        assert_eq!(backend.connections(), served + 2);
        busy = client;
    }
}

#[tokio::test]
async fn what_a_client_says_meanwhile_arrives() {
    let door = crate::support::plain::Door::open().await;
    let server = format!("{{ address = {}, max_conns = 1 }}", door.server());
    let (proxy, addr) = start(&stream("", &[server], LINE)).await;
    let mut busy = Plain::connect(addr).await;
    let mut first = door.accept().await;
    let mut next = Plain::connect(addr).await;
    next.send("said early").await;
    are_waiting(&proxy, 1).await;
    busy.finish().await;
    first.finish().await;
    door.accept().await.hears("said early").await;
}

#[tokio::test]
async fn one_more_than_the_line_has_room_for_is_closed() {
    let (_backend, text) = one_place("queue = { size = 1, timeout = \"1h\" }").await;
    let (log, proxy) = logging("", &text).await;
    let _busy = first(&proxy).await;
    let _waiting = Plain::connect(addr(&proxy)).await;
    are_waiting(&proxy, 1).await;
    Plain::connect(addr(&proxy)).await.is_closed().await;
    let line = lines(&log, 1).await.remove(0);
    assert!(line.contains("\" 503 0 "), "{line}");
}

#[tokio::test]
async fn one_that_waits_for_too_long_is_closed() {
    let (backend, text) = one_place("queue = { size = 1, timeout = \"200ms\" }").await;
    let (proxy, addr) = start(&text).await;
    let _busy = first(&proxy).await;
    Plain::connect(addr).await.is_closed().await;
    assert_eq!((backend.connections(), proxy.pool().waiting), (1, 0));
}

#[tokio::test]
async fn a_reset_makes_room() {
    let (backend, text) = one_place(LINE).await;
    let (proxy, addr) = start(&text).await;
    let busy = first(&proxy).await;
    let mut next = Plain::connect(addr).await;
    are_waiting(&proxy, 1).await;
    busy.reset();
    assert_eq!(letter(&mut next).await, "a");
    wait::until("the first is gone", || backend.open() == 1).await;
}
