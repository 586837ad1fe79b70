//! Connections: how many there are, how many of them wait for a next request, and how many were sent away.

use lbd::server::{ListenerStatus, Status};
use lbd::telemetry::CodeTotals;

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, gated};
use crate::support::certs::Authority;
use crate::support::client::get;
use crate::support::datagrams::Echo;
use crate::support::http2::{Http2, answer, request};
use crate::support::proxy::{Proxy, app, file, says};
use crate::support::raw::Raw;
use crate::support::streams::stream;
use crate::support::wait;

use super::{NONE, comes_to, good};

/// A second listener.
const SECOND: &str = "[[listeners]]\nname = \"second\"\nbind = \"127.0.0.2:0\"\n";

/// Everybody is told hello.
fn hello() -> String {
    says("path = \"/\"", "hello")
}

/// Connections of the first listener, those of them that are idle, and those that there ever were.
fn connections(status: &Status) -> [u64; 3] {
    let listener = &status.listeners[0];
    [listener.connections, listener.idle, listener.accepted]
}

/// A server that answers when the gate opens, and lbd before it, for clients of both versions.
async fn gated_one(gate: &Gate) -> (Backend, Proxy) {
    let backend = Backend::start(gated(gate, "x")).await;
    let text = app(&[backend.server()], "");
    (backend, Proxy::start_with("h2c = true", &text).await)
}

// === idle or not ===

#[tokio::test]
async fn a_connection_is_idle_unless_a_request_is_under_way() {
    let gate = Gate::closed();
    let (backend, proxy) = gated_one(&gate).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    comes_to(&proxy, [1, 0, 1], connections).await;
    gate.open();
    assert_eq!(client.response().await.status, 200);
    comes_to(&proxy, [1, 1, 1], connections).await;
}

#[tokio::test]
async fn a_connection_that_is_closed_is_none() {
    let proxy = Proxy::start(&hello()).await;
    let mut clients = [proxy.client().await, proxy.client().await];
    for client in &mut clients {
        assert_eq!(client.get("/").await.text(), "hello");
    }
    comes_to(&proxy, [2, 2, 2], connections).await;
    let [first, _second] = clients;
    drop(first);
    comes_to(&proxy, [1, 1, 2], connections).await;
}

#[tokio::test]
async fn a_connection_of_http_2_is_one_whatever_goes_on_there() {
    let gate = Gate::closed();
    let (backend, proxy) = gated_one(&gate).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (first, _upload) = client.start(request("GET", "/", &[]), true).await;
    let (second, _upload) = client.start(request("GET", "/", &[]), true).await;
    wait::until("both are with the server", || backend.requests() == 2).await;
    comes_to(&proxy, [1, 0, 1], connections).await;
    gate.open();
    for response in [first, second] {
        assert_eq!(answer(response).await.status, 200);
    }
    comes_to(&proxy, [1, 1, 1], connections).await;
}

// === who was sent away ===

#[tokio::test]
async fn connections_beyond_max_connections_are_counted() {
    let proxy = Proxy::start_with("max_connections = 1", &hello()).await;
    let mut first = proxy.client().await;
    assert_eq!(first.get("/").await.status, 200);
    for _ in 0..2 {
        let mut client = proxy.raw().await;
        assert_eq!(client.exchange(get("/")).await.status, 503);
        client.ends().await;
    }
    comes_to(&proxy, [1, 1, 3], connections).await;
    let listener = proxy.status().listeners.remove(0);
    assert_eq!((listener.refused, listener.max_connections), (2, 1));
    let answered = CodeTotals {
        server_errors: 2,
        ..good(1)
    };
    assert_eq!(listener.requests, answered);
    assert_eq!(proxy.status().routes[0].requests, good(1));
}

#[tokio::test]
async fn handshakes_that_fail_are_counted() {
    let authority = Authority::new();
    let identity = authority.server(&["app.example"]);
    let listener = format!("tls = {{ certificates = [{{ {} }}] }}", identity.keys());
    let proxy = Proxy::start_with(&listener, &hello()).await;
    let mut client = proxy.raw().await;
    client.send("\u{1}\u{2} is no TLS\r\n\r\n").await;
    client.rest().await;
    comes_to(&proxy, 1, |status| status.listeners[0].tls_failures).await;
    let listener = proxy.status().listeners.remove(0);
    assert_eq!(
        (listener.protocol.as_str(), listener.requests),
        ("https", NONE)
    );
}

#[tokio::test]
async fn connections_without_the_header_that_is_wanted_are_counted() {
    let wanted = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let proxy = Proxy::start_with(wanted, &hello()).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    client.rest().await;
    comes_to(&proxy, 1, |status| {
        status.listeners[0].proxy_header_failures
    })
    .await;
}

// === several listeners, several workers ===

#[tokio::test]
async fn each_listener_has_its_own_count_and_the_totals_have_them_all() {
    let proxy = Proxy::start_file(&file("", "", &(hello() + SECOND))).await;
    let mut first = Raw::connect(proxy.addrs()[0]).await;
    let mut second = Raw::connect(proxy.addrs()[1]).await;
    first.exchange(get("/")).await;
    for _ in 0..2 {
        second.exchange(get("/")).await;
    }
    comes_to(&proxy, [good(1), good(2)], |status| {
        [status.listeners[0].requests, status.listeners[1].requests]
    })
    .await;
    comes_to(&proxy, [3, 2, 2, 2, 0], |status| {
        let totals = &status.totals;
        [
            totals.requests,
            totals.accepted,
            totals.connections,
            totals.idle,
            totals.tunnels,
        ]
    })
    .await;
    let durations = proxy.status().totals.durations;
    assert_eq!(
        (durations.bounds_ms.len(), durations.counts.len()),
        (36, 37)
    );
    assert_eq!(durations.counts.iter().sum::<u64>(), 3);
}

#[tokio::test]
async fn what_the_workers_have_done_adds_up_to_the_totals() {
    let file = file("", "", &hello()).replace("workers = 1", "workers = 3");
    let proxy = Proxy::start_file(&file).await;
    for _ in 0..30 {
        let mut client = proxy.client().await;
        client.get("/").await;
        client.get("/").await;
    }
    comes_to(&proxy, [30, 60], |status| {
        [status.totals.accepted, status.totals.requests]
    })
    .await;
    let workers = proxy.status().workers;
    assert_eq!(workers.len(), 3);
    let accepted: u64 = workers.iter().map(|worker| worker.accepted).sum();
    let requests: u64 = workers.iter().map(|worker| worker.requests).sum();
    assert_eq!([accepted, requests], [30, 60], "{workers:?}");
}

// === what they are called ===

/// What the listeners and streams are called, where they accept, and what they speak.
fn called(proxy: &Proxy) -> Vec<(String, String, String)> {
    let listeners = proxy.status().listeners.into_iter();
    let called = |listener: ListenerStatus| {
        let addresses = listener.addresses.join(" ");
        (listener.name, addresses, listener.protocol)
    };
    listeners.map(called).collect()
}

#[tokio::test]
async fn a_listener_is_called_by_its_name_or_else_by_its_address() {
    let proxy = Proxy::start_file(&file("", "", SECOND)).await;
    let addrs = proxy.addrs();
    let wanted = ["127.0.0.1:0", "second"].into_iter().zip(addrs);
    let wanted: Vec<_> = wanted
        .map(|(name, addr)| (name.to_owned(), addr.to_string(), "http".to_owned()))
        .collect();
    assert_eq!(called(&proxy), wanted);
}

#[tokio::test]
async fn two_that_have_one_name_are_told_apart() {
    let echo = Echo::start("a").await;
    let udp = "[[streams]]\nbind = \"127.0.0.2:0\"\nprotocol = \"udp\"\npool = \"app\"\n";
    let text = stream("", &[echo.server()], "") + udp;
    let proxy = Proxy::start(&text).await;
    let addrs = proxy.addrs();
    let names: Vec<_> = called(&proxy).into_iter().map(|(name, ..)| name).collect();
    let wanted = [
        "127.0.0.1:0".to_owned(),
        format!("127.0.0.2:0 ({}/tcp)", addrs[1]),
        format!("127.0.0.2:0 ({}/udp)", addrs[2]),
    ];
    assert_eq!(names, wanted);
}
