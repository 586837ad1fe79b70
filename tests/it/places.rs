//! `max_connections`: whose place it is, when listeners part, and when those who are too many stay.

use std::net::SocketAddr;

use crate::support::client::{Client, get};
use crate::support::proxy::{Proxy, file, says};
use crate::support::raw::Raw;
use crate::support::wait;

/// The text of a file whose listeners are these, and whose only route says hello.
fn with(listeners: &str) -> String {
    let hello = says("path = \"/\"", "hello");
    file("", "", &hello).replace("[[listeners]]\nbind = \"127.0.0.1:0\"\n", listeners)
}

/// A listener with these addresses and so many places.
fn listener(bind: &str, most: usize) -> String {
    format!("[[listeners]]\nbind = {bind}\nmax_connections = {most}\n")
}

const FIRST: &str = "\"127.0.0.1:0\"";
const SECOND: &str = "\"127.0.0.2:0\"";

/// One listener with both addresses.
fn together(most: usize) -> String {
    with(&listener(&format!("[{FIRST}, {SECOND}]"), most))
}

/// A listener for each.
fn apart(most: usize) -> String {
    with(&[listener(FIRST, most), listener(SECOND, most)].concat())
}

async fn reload(proxy: &mut Proxy, text: &str) {
    let reloaded = proxy.try_reload(text).await;
    reloaded.expect("a good file is taken");
}

/// The status of the answer to a client that comes now, and that client.
async fn comes(addr: SocketAddr) -> (u16, Raw) {
    let mut client = Raw::connect(addr).await;
    (client.exchange(get("/")).await.status, client)
}

/// A client that has a place.
async fn served(addr: SocketAddr) -> Client {
    let mut client = Client::connect(addr).await;
    assert_eq!(client.get("/").await.text(), "hello");
    client
}

async fn is_full(addr: SocketAddr) {
    assert_eq!(comes(addr).await.0, 503);
}

/// Whoever comes is served, or will be in a moment; gives the first who is.
async fn has_room(addr: SocketAddr) -> Raw {
    let mut first = None;
    wait::until_async("there is room", async || {
        let (status, client) = comes(addr).await;
        first = (status == 200).then_some(client);
        first.is_some()
    })
    .await;
    first.expect("somebody is served")
}

// === listeners that part ===

#[tokio::test]
async fn two_listeners_that_were_one_have_places_of_their_own() {
    let mut proxy = Proxy::start_file(&together(1)).await;
    reload(&mut proxy, &apart(1)).await;
    let (first, second) = (proxy.addrs()[0], proxy.addrs()[1]);
    let _of_first = served(first).await;
    let _of_second = served(second).await;
    is_full(first).await;
    is_full(second).await;
}

#[tokio::test]
async fn those_of_the_second_take_none_of_the_first() {
    let mut proxy = Proxy::start_file(&together(2)).await;
    reload(&mut proxy, &apart(2)).await;
    let (first, second) = (proxy.addrs()[0], proxy.addrs()[1]);
    let of_second = [served(second).await, served(second).await];
    is_full(second).await;
    let _of_first = [served(first).await, served(first).await];
    is_full(first).await;
    drop(of_second);
    has_room(second).await;
    is_full(first).await;
}

#[tokio::test]
async fn whoever_was_there_before_has_a_place_still_at_the_first() {
    let mut proxy = Proxy::start_file(&together(1)).await;
    let (first, second) = (proxy.addrs()[0], proxy.addrs()[1]);
    let mut before = served(first).await;
    reload(&mut proxy, &apart(1)).await;
    is_full(first).await;
    let _of_second = served(second).await;
    assert_eq!(before.get("/").await.text(), "hello");
    drop(before);
    has_room(first).await;
}

#[tokio::test]
async fn they_share_them_again_when_they_are_one_again() {
    let mut proxy = Proxy::start_file(&together(1)).await;
    reload(&mut proxy, &apart(1)).await;
    reload(&mut proxy, &together(1)).await;
    let (first, second) = (proxy.addrs()[0], proxy.addrs()[1]);
    let _of_first = served(first).await;
    is_full(second).await;
}

// === those who are too many, and stay ===

/// lbd with one place, a client that has it, and another that says this and no more.
async fn with_one_beyond(says: &str) -> (Proxy, Client, Raw) {
    let proxy = Proxy::start_file(&with(&listener(FIRST, 1))).await;
    let first = served(proxy.addr()).await;
    let mut beyond = proxy.raw().await;
    if !says.is_empty() {
        beyond.send(says).await;
    }
    beyond.accepted().await;
    (proxy, first, beyond)
}

#[tokio::test]
async fn one_beyond_that_is_silent_takes_no_place_when_another_leaves() {
    for says in ["", "GET / HT"] {
        let (proxy, first, _beyond) = with_one_beyond(says).await;
        drop(first);
        // One after the other.
        for _ in 0..3 {
            has_room(proxy.addr()).await;
        }
    }
}

#[tokio::test]
async fn it_is_told_when_it_speaks_at_last() {
    let (proxy, first, mut beyond) = with_one_beyond("").await;
    drop(first);
    let _next = has_room(proxy.addr()).await;
    let answer = beyond.exchange(get("/")).await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (503, Some("close"))
    );
    beyond.ends().await;
    is_full(proxy.addr()).await;
}
