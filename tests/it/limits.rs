//! What is too long or too slow is refused, and only that.

mod deadlines;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app, app_at, says};
use crate::support::raw::Raw;

/// lbd with these listener keys before one server.
async fn limited(listener: &str) -> (Backend, Proxy) {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start_with(listener, &app(&[backend.server()], "")).await;
    (backend, proxy)
}

/// lbd with a `max_body` of 1000 bytes before one server.
async fn small_bodies() -> (Backend, Proxy) {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app_at(
        "path = \"/\"\nmax_body = \"1000\"",
        &[backend.server()],
        "",
    ))
    .await;
    (backend, proxy)
}

/// The next answer has this status, is lbd's own, and is the last one.
async fn refuses(client: &mut Raw, status: u16) {
    let answer = client.response().await;
    assert_eq!(
        (
            answer.status,
            answer.field("connection"),
            answer.field("server")
        ),
        (status, Some("close"), Some("lbd"))
    );
    client.ends().await;
}

#[tokio::test]
async fn a_head_beyond_max_header_is_431() {
    let (backend, proxy) = limited("max_header = \"4k\"").await;
    let long = "x".repeat(5000);
    let mut client = proxy.raw().await;
    client
        .send(request("GET", "/", &[("X-Long", &long)], b""))
        .await;
    refuses(&mut client, 431).await;
    assert_eq!(backend.connections(), 0);

    let just_right = "x".repeat(3500);
    assert_eq!(
        proxy
            .request("GET", "/", &[("X-Long", &just_right)], b"")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_head_beyond_max_header_is_refused_before_it_ends() {
    let (_backend, proxy) = limited("max_header = \"4k\"").await;
    let mut client = proxy.raw().await;
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}",
            "x".repeat(5000)
        ))
        .await;
    refuses(&mut client, 431).await;
}

#[tokio::test]
async fn more_than_a_hundred_fields_are_431() {
    let (_backend, proxy) = limited("").await;
    // With Host that makes the number.
    for (fields, status) in [(99, 200), (100, 431)] {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X-A: 1\r\n".repeat(fields)
        );
        assert_eq!(
            proxy.raw().await.exchange(head).await.status,
            status,
            "{fields} and Host"
        );
    }
}

#[tokio::test]
async fn a_target_beyond_max_uri_is_414() {
    let (backend, proxy) = limited("max_uri = \"1k\"").await;
    let mut client = proxy.raw().await;
    client.send(get(&format!("/{}", "x".repeat(1500)))).await;
    refuses(&mut client, 414).await;
    assert_eq!(backend.connections(), 0);
    assert_eq!(
        proxy.get(&format!("/{}", "x".repeat(900))).await.status,
        200
    );
}

#[tokio::test]
async fn a_query_counts_for_max_uri() {
    let (_backend, proxy) = limited("max_uri = \"1k\"").await;
    assert_eq!(
        proxy.get(&format!("/?{}", "x".repeat(1500))).await.status,
        414
    );
}

#[tokio::test]
async fn a_length_beyond_max_body_is_413_before_the_body() {
    let (backend, proxy) = small_bodies().await;
    let mut client = proxy.raw().await;
    client
        .send(request("POST", "/", &[("Content-Length", "1001")], b""))
        .await;
    refuses(&mut client, 413).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_413_reaches_a_client_that_goes_on_uploading() {
    let (backend, proxy) = small_bodies().await;
    let mut client = proxy.raw().await;
    client
        .send(request("POST", "/", &[("Content-Length", "50000000")], b""))
        .await;
    let upload = client.keep_sending(vec![b'x'; 65_536]);
    assert_eq!(client.response().await.status, 413);
    upload.abort();
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_chunked_body_beyond_max_body_is_413() {
    let (backend, proxy) = small_bodies().await;
    let mut client = proxy.raw().await;
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let body = [chunk.as_str(), &chunk, "1\r\nx\r\n0\r\n\r\n"].concat();
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ))
        .await;
    refuses(&mut client, 413).await;
    assert_eq!(backend.requests(), 0, "the peer never saw the end of it");
}

#[tokio::test]
async fn a_body_of_max_body_passes() {
    let (backend, proxy) = small_bodies().await;
    let body = [b'x'; 1000];
    assert_eq!(proxy.request("POST", "/", &[], &body).await.status, 200);
    let chunked = [
        &b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n"[..],
        &body,
        b"\r\n0\r\n\r\n",
    ];
    assert_eq!(
        proxy.raw().await.exchange(chunked.concat()).await.status,
        200
    );
    assert_eq!(backend.last().body.data.len(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_client_that_asks_without_end_leaves_others_their_turn() {
    let proxy = Proxy::start(&says("path = \"/\"", "x")).await;
    let mut greedy = proxy.raw().await;
    let asking = greedy.keep_sending(get("/").repeat(1000));
    let reading = tokio::spawn(async move { greedy.rest().await });
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    asking.abort();
    reading.abort();
}
