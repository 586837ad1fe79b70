//! What was counted before a reload is counted on, as long as there is something of the same name.

use lbd::server::Status;

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, gated, ok};
use crate::support::client::{Client, get};
use crate::support::plain::{Door, Plain};
use crate::support::proxy::{Proxy, app, app_at};
use crate::support::streams::{start, stream};
use crate::support::wait;

use super::tunnels::{moved, tunnel, tunnels};
use super::{NONE, codes, comes_to, good};

#[tokio::test]
async fn a_reload_keeps_the_counts_of_listener_route_pool_and_server() {
    let backend = Backend::start(ok("hello")).await;
    let text = app(&[backend.server()], "");
    let mut proxy = Proxy::start(&text).await;
    let mut client = proxy.client().await;
    client.request("POST", "/", &[], b"body").await;
    // When the connection is idle, everything is counted.
    comes_to(&proxy, 1, |status| status.listeners[0].idle).await;
    let before = proxy.status();
    proxy.reload(&text).await;
    let after = proxy.status();
    assert_eq!(after.listeners, before.listeners);
    assert_eq!(after.routes, before.routes);
    assert_eq!(after.workers, before.workers);
    assert_eq!((after.pools[0].requests, codes(&after)), (1, [good(1); 3]));
    client.get("/").await;
    comes_to(&proxy, [good(2); 3], codes).await;
    assert_eq!(proxy.pool().requests, 2);
}

#[tokio::test]
async fn a_route_whose_path_changes_begins_anew() {
    let backend = Backend::start(ok("hello")).await;
    let servers = [backend.server()];
    let mut proxy = Proxy::start(&app(&servers, "")).await;
    proxy.get("/").await;
    comes_to(&proxy, [good(1); 3], codes).await;
    proxy
        .reload(&app_at("path = \"/new/\"", &servers, ""))
        .await;
    let status = proxy.status();
    assert_eq!(status.routes[0].route, "/new/");
    assert_eq!(codes(&status), [good(1), NONE, good(1)]);
}

#[tokio::test]
async fn a_route_that_moves_in_the_file_keeps_its_count() {
    let backend = Backend::start(ok("hello")).await;
    let text = app(&[backend.server()], "");
    let mut proxy = Proxy::start(&text).await;
    proxy.get("/").await;
    comes_to(&proxy, [good(1); 3], codes).await;
    let first = "[[routes]]\npath = \"/first/\"\npool = \"app\"\n";
    proxy.reload(&(first.to_owned() + &text)).await;
    let routes = proxy.status().routes;
    let counts = [routes[0].requests, routes[1].requests];
    assert_eq!(counts, [NONE, good(1)]);
}

#[tokio::test]
async fn a_server_that_is_new_begins_anew_and_its_pool_goes_on() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let mut proxy = Proxy::start(&app(&[a.server()], "")).await;
    assert_eq!(proxy.get("/").await.text(), "a");
    comes_to(&proxy, [good(1); 3], codes).await;
    proxy.reload(&app(&[b.server(), a.server()], "")).await;
    let pool = proxy.pool();
    let counts = [pool.servers[0].requests, pool.servers[1].requests];
    assert_eq!((pool.requests, counts), (1, [NONE, good(1)]));
}

#[tokio::test]
async fn what_is_under_way_is_counted_where_it_began() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "x")).await;
    let text = app(&[backend.server()], "");
    let mut proxy = Proxy::start(&text).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    proxy.reload(&text).await;
    let idle = |status: &Status| {
        let listener = &status.listeners[0];
        [listener.connections, listener.idle]
    };
    comes_to(&proxy, [1, 0], idle).await;
    gate.open();
    assert_eq!(client.response().await.status, 200);
    comes_to(&proxy, [good(1); 3], codes).await;
    comes_to(&proxy, [1, 1], idle).await;
}

#[tokio::test]
async fn tunnels_from_before_a_reload_are_counted_on() {
    let door = Door::open().await;
    let text = app(&[door.server()], "");
    let mut proxy = Proxy::start(&text).await;
    let (mut client, mut server) = tunnel(&proxy, &door).await;
    comes_to(&proxy, [1, 1, 1], tunnels).await;
    proxy.reload(&text).await;
    client.pass(&mut server, b"still here").await;
    comes_to(&proxy, [(0, 10); 2], moved).await;
    assert_eq!(tunnels(&proxy.status()), [1, 1, 1]);
    client.reset();
    comes_to(&proxy, [0, 0, 0], tunnels).await;
}

#[tokio::test]
async fn a_stream_keeps_its_count() {
    let door = Door::open().await;
    let text = stream("", &[door.server()], "");
    let (mut proxy, addr) = start(&text).await;
    let _client = Plain::connect(addr).await;
    let _server = door.accept().await;
    let counts = |status: &Status| {
        let stream = &status.listeners[1];
        [stream.requests.good, stream.accepted, stream.tunnels]
    };
    comes_to(&proxy, [1, 1, 1], counts).await;
    proxy.reload(&text).await;
    assert_eq!(counts(&proxy.status()), [1, 1, 1]);
}

#[tokio::test]
async fn totals_do_not_fall_when_a_listener_goes() {
    let backend = Backend::start(ok("hello")).await;
    let one = app(&[backend.server()], "");
    let two = format!("[[listeners]]\nname = \"second\"\nbind = \"127.0.0.2:0\"\n{one}");
    let mut proxy = Proxy::start(&two).await;
    for addr in proxy.addrs() {
        let mut client = Client::connect(addr).await;
        assert_eq!(client.get("/").await.status, 200);
    }
    comes_to(&proxy, 2, |status| status.totals.requests).await;
    proxy.reload(&one).await;
    let status = proxy.status();
    assert_eq!(status.listeners.len(), 1);
    assert_eq!((status.totals.requests, status.totals.accepted), (2, 2));
    let by_workers: u64 = status.workers.iter().map(|own| own.requests).sum();
    assert_eq!(by_workers, 2);
}
