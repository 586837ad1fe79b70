//! What operators are told of what passes through: each request at its listener, its route, its pool and its server.

mod bytes;
mod connections;
mod failures;
mod reload;
mod streams;
mod tunnels;

use std::fmt::Debug;

use h2::Reason;
use lbd::server::Status;
use lbd::telemetry::CodeTotals;
use lbd::upstream::FailureTotals;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate, informational, never_answers, ok};
use crate::support::client::get;
use crate::support::http2::{Http2, request};
use crate::support::proxy::{Proxy, app, app_at, says};
use crate::support::wait;

/// None of any class.
const NONE: CodeTotals = CodeTotals {
    informational: 0,
    good: 0,
    redirected: 0,
    client_errors: 0,
    server_errors: 0,
    left: 0,
};

/// So many good answers, and no others.
fn good(good: u64) -> CodeTotals {
    CodeTotals { good, ..NONE }
}

/// What the first listener, the first route and the first server of the first pool have answered.
fn codes(status: &Status) -> [CodeTotals; 3] {
    [
        status.listeners[0].requests,
        status.routes[0].requests,
        status.pools[0].servers[0].requests,
    ]
}

/// Waits until `look` sees `wanted` in what operators are told: a client has its answer before that is counted.
async fn comes_to<T>(proxy: &Proxy, wanted: T, look: impl Fn(&Status) -> T)
where
    T: Debug + PartialEq,
{
    let what = format!("the status comes to {wanted:?}");
    wait::until(&what, || look(&proxy.status()) == wanted).await;
}

/// lbd that sends everything to this server.
async fn before(backend: &Backend) -> Proxy {
    Proxy::start(&app(&[backend.server()], "")).await
}

/// Answers `/503` with 503, and so on.
fn as_asked() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        loop {
            let request = peer.request().await?;
            let status = request.target().trim_start_matches('/');
            let answer = format!("HTTP/1.1 {status} Said So\r\nContent-Length: 0\r\n\r\n");
            peer.send(answer).await?;
        }
    })
}

// === answers ===

#[tokio::test]
async fn answers_are_counted_by_class_at_the_listener_the_route_and_the_server() {
    let backend = Backend::start(as_asked()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await;
    for target in ["/200", "/201", "/302", "/404", "/410", "/500"] {
        client.get(target).await;
    }
    let wanted = CodeTotals {
        good: 2,
        redirected: 1,
        client_errors: 2,
        server_errors: 1,
        ..NONE
    };
    comes_to(&proxy, [wanted; 3], codes).await;
    assert_eq!(proxy.pool().requests, 6);
}

#[tokio::test]
async fn each_route_has_its_own_count() {
    let backend = Backend::start(ok("x")).await;
    let rest = says("path = \"/own/\"", "hello") + &app(&[backend.server()], "");
    let proxy = Proxy::start(&rest).await;
    for target in ["/own/", "/", "/own/x"] {
        assert_eq!(proxy.get(target).await.status, 200);
    }
    comes_to(&proxy, [good(2), good(1)], |status| {
        [status.routes[0].requests, status.routes[1].requests]
    })
    .await;
    let status = proxy.status();
    assert_eq!(status.listeners[0].requests, good(3));
    assert_eq!(status.pools[0].requests, 1);
}

#[tokio::test]
async fn a_404_without_a_route_counts_at_the_listener_and_at_no_route() {
    let backend = Backend::start(ok("x")).await;
    let text = app_at("path = \"/app/\"", &[backend.server()], "");
    let proxy = Proxy::start(&text).await;
    assert_eq!(proxy.get("/nowhere").await.status, 404);
    let nowhere = CodeTotals {
        client_errors: 1,
        ..NONE
    };
    comes_to(&proxy, [nowhere, NONE, NONE], codes).await;
    assert_eq!(proxy.pool().requests, 0);
}

#[tokio::test]
async fn a_head_that_cannot_be_read_counts_at_the_listener() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 400);
    let refused = CodeTotals {
        client_errors: 1,
        ..NONE
    };
    comes_to(&proxy, [refused, NONE, NONE], codes).await;
}

#[tokio::test]
async fn what_comes_before_an_answer_is_none() {
    let backend = Backend::start(informational()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    assert_eq!(client.exchange(get("/")).await.status, 103);
    assert_eq!(client.response().await.status, 200);
    comes_to(&proxy, [good(1); 3], codes).await;
}

#[tokio::test]
async fn answers_over_http_2_count_like_others() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start_with("h2c = true", &app(&[backend.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status, 200);
    }
    comes_to(&proxy, [good(3); 3], codes).await;
}

// === clients that leave ===

/// The only request was given up by its client, which says nothing of the server.
async fn is_left(proxy: &Proxy, backend: &Backend) {
    let left = CodeTotals { left: 1, ..NONE };
    comes_to(proxy, [left, left, NONE], codes).await;
    let server = proxy.server(backend.addr());
    assert_eq!(server.failures, FailureTotals::default());
    assert_eq!(server.latency.count, 0);
}

#[tokio::test]
async fn a_client_that_leaves_counts_as_499() {
    let backend = Backend::start(never_answers()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    drop(client);
    is_left(&proxy, &backend).await;
}

#[tokio::test]
async fn a_stream_that_the_client_resets_counts_as_499() {
    let backend = Backend::start(never_answers()).await;
    let proxy = Proxy::start_with("h2c = true", &app(&[backend.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (_response, mut upload) = client.start(request("GET", "/", &[]), true).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    upload.send_reset(Reason::CANCEL);
    is_left(&proxy, &backend).await;
}

// === how long it took ===

#[tokio::test]
async fn every_answer_has_its_time() {
    let backend = Backend::start(as_asked()).await;
    let proxy = before(&backend).await;
    for target in ["/200", "/404", "/500"] {
        proxy.get(target).await;
    }
    comes_to(&proxy, [3; 3], |status| {
        [
            status.listeners[0].latency.count,
            status.routes[0].latency.count,
            status.pools[0].servers[0].latency.count,
        ]
    })
    .await;
    let latency = proxy.status().routes.remove(0).latency;
    assert!(latency.mean_ms > Some(0.0), "{latency:?}");
    let shares = [latency.p50_ms, latency.p90_ms, latency.p99_ms];
    assert!(shares.is_sorted() && shares[0].is_some(), "{latency:?}");
}

#[tokio::test]
async fn before_the_first_answer_there_is_no_time() {
    let backend = Backend::start(ok("x")).await;
    let status = before(&backend).await.status();
    let server = &status.pools[0].servers[0];
    for latency in [&status.listeners[0].latency, &server.latency] {
        let times = [
            latency.mean_ms,
            latency.p50_ms,
            latency.p90_ms,
            latency.p99_ms,
        ];
        assert_eq!((latency.count, times), (0, [None; 4]));
    }
}

/// Answers every request with `ab`, the `b` of which waits for the gate.
fn halts(gate: &Gate) -> Behaviour {
    let gate = gate.clone();
    Behaviour::new(move |mut peer| {
        let gate = gate.clone();
        async move {
            loop {
                peer.request().await?;
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
                    .await?;
                gate.passed().await;
                peer.send("b").await?;
            }
        }
    })
}

/// How many times are known at the listener, and how many at the server.
fn times(status: &Status) -> [u64; 2] {
    let server = &status.pools[0].servers[0];
    [status.listeners[0].latency.count, server.latency.count]
}

#[tokio::test]
async fn a_server_s_time_ends_with_the_head_and_a_listener_s_with_the_body() {
    let gate = Gate::closed();
    let backend = Backend::start(halts(&gate)).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    comes_to(&proxy, [0, 1], times).await;
    let server = proxy.server(backend.addr());
    assert_eq!(server.requests, good(1));
    gate.open();
    assert_eq!(client.response().await.text(), "ab");
    comes_to(&proxy, [1, 1], times).await;
    assert_eq!(proxy.server(backend.addr()).latency, server.latency);
}
