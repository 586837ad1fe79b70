//! Whoever has least to do gets the next: requests, tunnels and connections that stay.

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate, gated, never_answers};
use crate::support::client::get;
use crate::support::line::{Line, switching, upgrade};
use crate::support::plain::{Plain, greets, letter};
use crate::support::proxy::{Proxy, app};
use crate::support::raw::Raw;
use crate::support::streams::{start, stream};
use crate::support::wait;

use super::{sequence, three};

const LEAST_CONN: &str = "balance = \"least_conn\"";

/// A request that stays with its server.
async fn held(proxy: &Proxy) -> Raw {
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    client
}

/// Whole requests that came to these servers.
fn requests<const N: usize>(backends: [&Backend; N]) -> [usize; N] {
    backends.map(Backend::requests)
}

/// So many requests that stay with their servers, one after the other.
async fn many_held<const N: usize>(proxy: &Proxy, count: usize, at: [&Backend; N]) -> Vec<Raw> {
    let mut clients = Vec::new();
    let before: usize = requests(at).iter().sum();
    for n in 1..=count {
        clients.push(held(proxy).await);
        wait::until("a server has it", || {
            requests(at).iter().sum::<usize>() == before + n
        })
        .await;
    }
    clients
}

#[tokio::test]
async fn idle_servers_take_turns() {
    let [a, b, c] = three().await;
    let servers = [a.server(), b.server(), c.server()];
    let proxy = Proxy::start(&app(&servers, LEAST_CONN)).await;
    assert_eq!(sequence(&proxy, 9).await, "abcabcabc");
}

#[tokio::test]
async fn weights_hold_among_idle_servers() {
    let [a, b, _] = three().await;
    let servers = [a.server_with("weight = 3"), b.server()];
    let proxy = Proxy::start(&app(&servers, LEAST_CONN)).await;
    let names = sequence(&proxy, 40).await;
    assert_eq!(names.chars().filter(|name| *name == 'a').count(), 30);
    assert!(!names.contains("bb"), "{names}");
}

#[tokio::test]
async fn a_server_that_holds_a_request_is_passed_over() {
    let gate = Gate::closed();
    let held_by = Backend::start(gated(&gate, "h")).await;
    let [a, b, _] = three().await;
    let servers = [held_by.server(), a.server(), b.server()];
    let proxy = Proxy::start(&app(&servers, LEAST_CONN)).await;
    let mut busy = many_held(&proxy, 1, [&held_by]).await;
    assert_eq!(sequence(&proxy, 6).await, "ababab");
    gate.open();
    assert_eq!(busy.remove(0).response().await.text(), "h");
    wait::until_async("it has its turn again", async || {
        proxy.get("/").await.text() == "h"
    })
    .await;
}

#[tokio::test]
async fn requests_in_flight_are_spread_by_weight() {
    let (a, b) = (
        Backend::start(never_answers()).await,
        Backend::start(never_answers()).await,
    );
    let servers = [a.server_with("weight = 3"), b.server()];
    let proxy = Proxy::start(&app(&servers, LEAST_CONN)).await;
    let mut clients = Vec::new();
    for expected in [[3, 1], [6, 2], [9, 3]] {
        clients.extend(many_held(&proxy, 4, [&a, &b]).await);
        assert_eq!(requests([&a, &b]), expected);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_server_free() {
    let (a, b) = (
        Backend::start(never_answers()).await,
        Backend::start(never_answers()).await,
    );
    let servers = [a.server(), b.server()];
    let proxy = Proxy::start(&app(&servers, LEAST_CONN)).await;
    let mut clients = many_held(&proxy, 4, [&a, &b]).await;
    assert_eq!(requests([&a, &b]), [2, 2]);
    for of_b in [3, 1] {
        drop(clients.remove(of_b));
    }
    wait::until("lbd let go of b", || b.open() == 0).await;
    let _more = many_held(&proxy, 2, [&a, &b]).await;
    assert_eq!(requests([&a, &b]), [2, 4]);
}

#[tokio::test]
async fn requests_in_flight_count_after_a_reload() {
    let gate = Gate::closed();
    let held_by = Backend::start(gated(&gate, "h")).await;
    let [a, b, _] = three().await;
    let text = app(&[held_by.server(), a.server()], LEAST_CONN);
    let mut proxy = Proxy::start(&text).await;
    let _busy = many_held(&proxy, 1, [&held_by]).await;
    proxy.reload(&text).await;
    assert_eq!(sequence(&proxy, 3).await, "aaa");
    let more = [held_by.server(), b.server(), a.server()];
    proxy.reload(&app(&more, LEAST_CONN)).await;
    let names = sequence(&proxy, 4).await;
    assert!(!names.contains('h'), "{names}");
    // The method may change meanwhile, and back.
    proxy
        .reload(&app(&[a.server(), held_by.server()], ""))
        .await;
    proxy.reload(&text).await;
    assert_eq!(sequence(&proxy, 3).await, "aaa");
}

#[tokio::test]
async fn a_dead_server_with_nothing_to_do_is_not_preferred() {
    let [a, b, _] = three().await;
    let dead = Backend::refuses();
    let servers = [dead.server(), a.server(), b.server()];
    let proxy = Proxy::start(&app(&servers, LEAST_CONN)).await;
    assert_eq!(sequence(&proxy, 8).await, "abababab");
}

#[tokio::test]
async fn a_full_server_is_passed_over() {
    let gate = Gate::closed();
    let full = Backend::start(gated(&gate, "f")).await;
    let held_by = Backend::start(gated(&gate, "h")).await;
    let servers = [
        full.server_with("weight = 100, max_conns = 2"),
        held_by.server(),
    ];
    let proxy = Proxy::start(&app(&servers, LEAST_CONN)).await;
    let clients = many_held(&proxy, 6, [&full, &held_by]).await;
    assert_eq!(requests([&full, &held_by]), [2, 4]);
    gate.open();
    for mut client in clients {
        client.response().await;
    }
    wait::until_async("it has room again", async || {
        proxy.get("/").await.text() == "f"
    })
    .await;
}

// === what stays ===

/// A server that switches to whatever it is asked for, and says `name` to all else.
fn switches(name: &'static str) -> Behaviour {
    Behaviour::new(move |mut peer| async move {
        loop {
            let request = peer.request().await?;
            if request.fields().has("upgrade") {
                peer.send(switching(&request.head, "")).await?;
                return peer.until_closed().await;
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}");
            peer.send(answer).await?;
        }
    })
}

/// A tunnel to whoever gets it.
async fn tunnel(proxy: &Proxy) -> Line {
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    let head = client.head().await;
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
    client
}

#[tokio::test]
async fn tunnels_count_for_as_long_as_they_are_open() {
    let (a, b) = (
        Backend::start(switches("a")).await,
        Backend::start(switches("b")).await,
    );
    let servers = [a.server(), b.server()];
    let proxy = Proxy::start(&app(&servers, LEAST_CONN)).await;
    let mut to_a = tunnel(&proxy).await;
    assert_eq!(requests([&a, &b]), [1, 0]);
    assert_eq!(sequence(&proxy, 5).await, "bbbbb");
    let _to_b = tunnel(&proxy).await;
    assert_eq!(requests([&a, &b]), [1, 6]);
    let names = sequence(&proxy, 4).await;
    assert!(names.contains('a'), "as many as b: {names}");
    to_a.finish().await;
    to_a.ends().await;
    wait::until_async("a has nothing to do", async || {
        sequence(&proxy, 4).await == "aaaa"
    })
    .await;
}

#[tokio::test]
async fn connections_of_a_stream_count_for_as_long_as_they_are_open() {
    let (a, b) = (
        Backend::start(greets("a")).await,
        Backend::start(greets("b")).await,
    );
    let servers = [a.server(), b.server()];
    let (_proxy, addr) = start(&stream("", &servers, LEAST_CONN)).await;
    let mut open = Vec::new();
    for name in ["a", "b", "a", "b", "a", "b"] {
        open.push(Plain::connect(addr).await);
        let client = open.last_mut().expect("it was just put there");
        assert_eq!(letter(client).await, name);
    }
    for of_b in [5, 3, 1] {
        open.remove(of_b).reset();
    }
    wait::until("lbd let go of b", || b.open() == 0).await;
    for _ in 0..3 {
        open.push(Plain::connect(addr).await);
        let client = open.last_mut().expect("it was just put there");
        assert_eq!(letter(client).await, "b");
    }
}
