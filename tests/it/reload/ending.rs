//! Ends that cost nobody anything: what waits is served, what idles goes at once, what never ends is cut off when it is time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, gated, ok};
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app, file, says};
use crate::support::raw::Raw;
use crate::support::wait;

use super::{SECOND, all};

/// A route whose choice keeps a worker busy for a while, before the one that says "x".
fn busy_at_times() -> String {
    says("regex = \"[ab]*a[ab]{1000}c\"", "never") + &all("x")
}

/// Connections that have sent a request to `addr` while the worker was busy: more than it accepts in one turn.
async fn many(addr: SocketAddr) -> Vec<Raw> {
    let mut clients = vec![Raw::connect(addr).await];
    clients[0]
        .send(get(&format!("/{}", "ab".repeat(4_000))))
        .await;
    for _ in 0..400 {
        let mut client = Raw::connect(addr).await;
        client.send(get("/")).await;
        clients.push(client);
    }
    clients
}

async fn all_are_answered(clients: Vec<Raw>) {
    for (i, mut client) in clients.into_iter().enumerate() {
        let answer = client.try_response("GET").await;
        let answer = answer.unwrap_or_else(|error| panic!("connection {i}: {error}"));
        assert_eq!((i, answer.text().as_str()), (i, "x"));
    }
}

#[tokio::test]
async fn shutdown_serves_what_waits_to_be_accepted() {
    let proxy = Proxy::start(&busy_at_times()).await;
    let clients = many(proxy.addr()).await;
    tokio::join!(
        proxy.shutdown(Some(wait::DEADLINE)),
        all_are_answered(clients)
    );
}

#[tokio::test]
async fn a_removed_listener_serves_what_waits_to_be_accepted() {
    let mut proxy = Proxy::start_file(&file("", "", &(busy_at_times() + SECOND))).await;
    let clients = many(proxy.addrs()[1]).await;
    proxy.reload(&all("x")).await;
    all_are_answered(clients).await;
}

/// Shuts down without a deadline, which takes less than `limit`.
async fn ends_within(proxy: &Proxy, limit: Duration) {
    let start = Instant::now();
    proxy.shutdown(None).await;
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_connection_that_never_said_anything_is_not_waited_for() {
    let proxy = Proxy::start_with("timeouts = { header = \"60s\" }", &all("x")).await;
    let mut silent = proxy.raw().await;
    silent.accepted().await;
    // Accepted after it, so that it is asleep by now.
    assert_eq!(proxy.get("/").await.status, 200);
    ends_within(&proxy, Duration::from_secs(3)).await;
    silent.ends().await;
}

#[tokio::test]
async fn a_connection_with_a_stray_line_end_is_idle_and_closed_at_once() {
    let backend = Backend::start(ok("x")).await;
    for (at_once, later) in [("\r\n", ""), ("", "\r\n"), ("\r\n", "\r\n")] {
        let proxy = Proxy::start(&app(&[backend.server()], "")).await;
        let mut client = proxy.raw().await;
        let post = request("POST", "/", &[], b"body");
        let answer = client.exchange([&post, at_once.as_bytes()].concat()).await;
        assert_eq!(answer.status, 200);
        client.send(later).await;
        // Answered after it was read.
        assert_eq!(proxy.get("/").await.status, 200);
        ends_within(&proxy, Duration::from_millis(900)).await;
        client.ends().await;
    }
}

#[tokio::test]
async fn a_second_shutdown_brings_its_deadline_into_the_first() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "never")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let addr = proxy.addr();
    let mut busy = proxy.raw().await;
    busy.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;

    let second = async {
        wait::until_async("the first is under way", async || {
            TcpStream::connect(addr).await.is_err()
        })
        .await;
        let start = Instant::now();
        proxy.shutdown(Some(Duration::from_millis(200))).await;
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    };
    tokio::join!(proxy.shutdown(None), second);
    busy.ends().await;
}
