//! What is too slow: heads and bodies that stop, connections that idle, clients that do not read.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::Behaviour;
use crate::support::client::get;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::{limited, refuses};

#[tokio::test]
async fn a_head_that_does_not_end_in_time_is_408() {
    let (backend, proxy) = limited("timeouts = { header = \"200ms\" }").await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    refuses(&mut client, 408).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn the_second_head_has_a_deadline_too() {
    let (_backend, proxy) = limited("timeouts = { header = \"200ms\" }").await;
    let mut client = proxy.raw().await;
    assert_eq!(client.exchange(get("/")).await.status, 200);
    client.send("GET / HTT").await;
    refuses(&mut client, 408).await;
}

#[tokio::test]
async fn a_dripping_head_does_not_move_its_deadline() {
    let (_backend, proxy) = limited("timeouts = { header = \"300ms\" }").await;
    let mut client = proxy.raw().await;
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    let drip = client.drip(vec![b'x'; 1000], Duration::from_millis(50));
    assert_eq!(client.response().await.status, 408);
    let took = start.elapsed();
    assert!(
        (Duration::from_millis(250)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    drip.abort();
}

#[tokio::test]
async fn slow_heads_do_not_delay_others() {
    let (_backend, proxy) = limited("timeouts = { header = \"10s\" }").await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut client = proxy.raw().await;
        client.send("GET / HTTP/1.1\r\nHo").await;
        slow.push(client);
    }
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_body_that_stops_is_408() {
    let (backend, proxy) = limited("timeouts = { body = \"200ms\" }").await;
    let mut client = proxy.raw().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    refuses(&mut client, 408).await;
    assert_eq!(backend.requests(), 0);
    wait::until("the peer connection went", || backend.open() == 0).await;
}

#[tokio::test]
async fn a_chunked_body_that_stops_is_408() {
    let (backend, proxy) = limited("timeouts = { body = \"200ms\" }").await;
    let mut client = proxy.raw().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .await;
    refuses(&mut client, 408).await;
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_body_that_keeps_moving_outlives_the_body_deadline() {
    let (backend, proxy) = limited("timeouts = { body = \"300ms\" }").await;
    let mut client = proxy.raw().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n")
        .await;
    client.drip(vec![b'x'; 8], Duration::from_millis(60));
    assert_eq!(client.response().await.status, 200);
    assert_eq!(backend.last().body.data, b"xxxxxxxx");
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let (_backend, proxy) = limited("timeouts = { idle = \"200ms\" }").await;
    let mut client = proxy.raw().await;
    for _ in 0..2 {
        assert_eq!(client.exchange(get("/")).await.status, 200);
    }
    client.ends().await;
}

#[tokio::test]
async fn a_connection_that_never_said_anything_is_closed_without_a_word() {
    let (_backend, proxy) = limited("timeouts = { header = \"200ms\", idle = \"200ms\" }").await;
    proxy.raw().await.ends().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go() {
    let endless = Behaviour::new(|mut peer| async move {
        peer.request().await?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            .await?;
        loop {
            peer.send([b'x'; 65_536]).await?;
        }
    });
    let backend = Backend::start(endless).await;
    let proxy = Proxy::start_with(
        "timeouts = { send = \"300ms\" }",
        &app(&[backend.server()], ""),
    )
    .await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    assert_eq!(client.response_head().await.status, 200);
    wait::until("lbd gave up the download", || backend.open() == 0).await;
}
