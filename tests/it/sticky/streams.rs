//! Connections and datagrams that stay with a server, by what is known of a client that says nothing of itself.

use std::net::SocketAddr;

use crate::support::backend::Backend;
use crate::support::datagrams::{Datagrams, Echo};
use crate::support::plain::{Plain, greets, letter};
use crate::support::streams::{start, stream};

/// The key of a pool that learns by address.
const BY_ADDRESS: &str = "sticky = { learn = \"$remote_addr\" }";

/// Three servers that say a, b and c.
async fn three() -> [Backend; 3] {
    [
        Backend::start(greets("a")).await,
        Backend::start(greets("b")).await,
        Backend::start(greets("c")).await,
    ]
}

/// The text of a stream to these.
fn text(servers: &[&Backend]) -> String {
    let servers: Vec<_> = servers.iter().map(|backend| backend.server()).collect();
    stream("", &servers, BY_ADDRESS)
}

/// Who serves the clients 127.0.0.11 to 127.0.0.16.
async fn all_served(addr: SocketAddr) -> String {
    let mut names = String::new();
    for n in 11..=16 {
        let client = format!("127.0.0.{n}");
        names += &letter(&mut Plain::connect_from(&client, addr).await).await;
    }
    names
}

#[tokio::test]
async fn an_address_stays_with_its_server() {
    let [a, b, c] = three().await;
    let (_proxy, addr) = start(&text(&[&a, &b, &c])).await;
    for _ in 0..3 {
        assert_eq!(all_served(addr).await, "abcabc");
    }
    for _ in 0..3 {
        let mut client = Plain::connect_from("127.0.0.12", addr).await;
        assert_eq!(letter(&mut client).await, "b");
    }
}

#[tokio::test]
async fn an_address_whose_server_is_dead_moves_and_stays_there() {
    let [mut a, b, c] = three().await;
    let (mut proxy, addr) = start(&text(&[&a, &b, &c])).await;
    assert_eq!(all_served(addr).await, "abcabc");
    a.stop().await;
    let moved = all_served(addr).await;
    assert!(!moved.contains('a'), "{moved}");
    assert_eq!(
        [&moved[1..3], &moved[4..]],
        ["bc", "bc"],
        "the others are where they were"
    );
    a.start_as(greets("a"));
    proxy.reload(&text(&[&a, &b, &c])).await;
    assert_eq!(all_served(addr).await, moved);
}

#[tokio::test]
async fn a_reload_forgets_no_address() {
    let [a, b, c] = three().await;
    let (mut proxy, addr) = start(&text(&[&a, &b])).await;
    assert_eq!(all_served(addr).await, "ababab");
    for servers in [&[&c, &b, &a][..], &[&b, &a]] {
        proxy.reload(&text(servers)).await;
        assert_eq!(all_served(addr).await, "ababab");
    }
}

#[tokio::test]
async fn a_server_that_drains_keeps_the_addresses_that_it_has() {
    let [a, b, _] = three().await;
    let (mut proxy, addr) = start(&text(&[&a, &b])).await;
    let mut old = Plain::connect_from("127.0.0.11", addr).await;
    assert_eq!(letter(&mut old).await, "a");
    let servers = [a.server_with("drain = true"), b.server()];
    proxy.reload(&stream("", &servers, BY_ADDRESS)).await;
    for (client, name) in [
        ("127.0.0.11", "a"),
        ("127.0.0.12", "b"),
        ("127.0.0.13", "b"),
    ] {
        let mut client = Plain::connect_from(client, addr).await;
        assert_eq!(letter(&mut client).await, name);
    }
}

#[tokio::test]
async fn an_address_keeps_its_server_for_datagrams_too() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let servers = [a.server(), b.server()];
    let text = stream("protocol = \"udp\"", &servers, BY_ADDRESS);
    let (_proxy, addr) = start(&text).await;
    for _ in 0..3 {
        for (client, said) in [("127.0.0.11", "ax"), ("127.0.0.12", "bx")] {
            // Each is a session of its own.
            let client = Datagrams::bind_to(client).await;
            assert_eq!(client.ask_text("x", addr).await, said);
        }
    }
}
