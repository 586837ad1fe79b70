//! The share of each server, which is the same as with requests: a connection counts as one.

use crate::support::backend::Backend;
use crate::support::hashed::TO_THREE;
use crate::support::plain::{Plain, greets, letter, who};
use crate::support::streams::{start, stream};
use crate::support::wait;

/// Three servers that say a, b and c.
async fn three() -> [Backend; 3] {
    [
        Backend::start(greets("a")).await,
        Backend::start(greets("b")).await,
        Backend::start(greets("c")).await,
    ]
}

/// Who gets the next `n` connections through lbd before these servers.
async fn sequence(servers: &[String], n: usize) -> String {
    let (_proxy, addr) = start(&stream("", servers, "")).await;
    let mut names = String::new();
    for _ in 0..n {
        names += &who(addr).await;
    }
    names
}

#[tokio::test]
async fn equal_servers_take_turns() {
    let [a, b, c] = three().await;
    let servers = [a.server(), b.server(), c.server()];
    assert_eq!(sequence(&servers, 9).await, "abcabcabc");
}

#[tokio::test]
async fn weights_are_smooth() {
    let [a, b, c] = three().await;
    let servers = [a.server_with("weight = 5"), b.server(), c.server()];
    assert_eq!(sequence(&servers, 14).await, "aabacaaaabacaa");
}

#[tokio::test]
async fn a_server_that_is_down_gets_nothing() {
    let [a, b, c] = three().await;
    let servers = [a.server(), b.server_with("down = true"), c.server()];
    assert_eq!(sequence(&servers, 4).await, "acac");
    assert_eq!(b.connections(), 0);
}

#[tokio::test]
async fn ip_hash_goes_by_the_network_of_the_client() {
    let [a, b, c] = three().await;
    let servers = [a.server(), b.server(), c.server()];
    let (_proxy, addr) = start(&stream("", &servers, "balance = \"ip_hash\"")).await;
    for (client, name) in TO_THREE {
        let mut connection = Plain::connect_from(client, addr).await;
        assert_eq!(letter(&mut connection).await, name, "{client}");
    }
}

#[tokio::test]
async fn a_backup_serves_only_while_no_other_server_can() {
    let mut primary = Backend::start(greets("a")).await;
    let backup = Backend::start(greets("b")).await;
    let servers = [primary.server(), backup.server_with("backup = true")];
    let text = stream("", &servers, "fail_timeout = \"200ms\"");
    let (_proxy, addr) = start(&text).await;
    for _ in 0..5 {
        assert_eq!(who(addr).await, "a");
    }
    primary.stop().await;
    for _ in 0..5 {
        assert_eq!(who(addr).await, "b");
    }
    primary.start_as(greets("a"));
    wait::until_async("the primary is back", async || who(addr).await == "a").await;
}

// === max_conns ===

#[tokio::test]
async fn a_server_at_max_conns_is_passed_over_until_a_connection_ends() {
    let [a, b, _] = three().await;
    let servers = [a.server_with("max_conns = 1"), b.server()];
    let (_proxy, addr) = start(&stream("", &servers, "")).await;
    let mut busy = Plain::connect(addr).await;
    assert_eq!(letter(&mut busy).await, "a");
    for _ in 0..5 {
        assert_eq!(who(addr).await, "b");
    }
    drop(busy);
    wait::until_async("a is free again", async || who(addr).await == "a").await;
}

#[tokio::test]
async fn when_all_are_at_max_conns_the_client_is_closed() {
    let [a, _, _] = three().await;
    let servers = [a.server_with("max_conns = 2")];
    let (_proxy, addr) = start(&stream("", &servers, "")).await;
    let mut busy = [Plain::connect(addr).await, Plain::connect(addr).await];
    for client in &mut busy {
        assert_eq!(letter(client).await, "a");
    }
    Plain::connect(addr).await.is_closed().await;
    assert_eq!(a.connections(), 2);
    for mut client in busy {
        client.finish().await;
        client.ends().await;
    }
    assert_eq!(who(addr).await, "a");
}

#[tokio::test]
async fn a_reset_frees_its_place_too() {
    let [a, _, _] = three().await;
    let servers = [a.server_with("max_conns = 1")];
    let (_proxy, addr) = start(&stream("", &servers, "")).await;
    let mut busy = Plain::connect(addr).await;
    assert_eq!(letter(&mut busy).await, "a");
    busy.reset();
    wait::until("lbd let go of a", || a.open() == 0).await;
    assert_eq!(who(addr).await, "a");
}
