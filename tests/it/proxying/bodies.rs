//! Bodies arrive as they were sent: in their framing, with their trailers, whatever their size.

use std::time::Duration;

use crate::support::backend::Backend;
use crate::support::behaviour::{
    Behaviour, Gate, chunked_with_trailers, early_413, echo_body, http10_close, ok, slow_body,
};
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app, app_at};
use crate::support::wait;

use super::before;

/// A body in which a lost, doubled or displaced block shows.
fn long_body(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect()
}

const UPLOAD: &str = "path = \"/\"\nmax_body = \"100m\"";

#[tokio::test]
async fn a_chunked_request_reaches_the_peer_chunked() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let bytes = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;e=1\r\n, world\r\n0\r\n\r\n";
    assert_eq!(proxy.raw().await.exchange(bytes).await.status, 200);
    let seen = backend.last();
    assert_eq!(seen.body.data, b"hello, world");
    assert_eq!(
        (
            seen.fields().get("transfer-encoding"),
            seen.fields().has("content-length")
        ),
        (Some("chunked"), false)
    );
}

#[tokio::test]
async fn a_request_with_a_length_reaches_the_peer_with_it() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    assert_eq!(proxy.request("POST", "/", &[], b"hello").await.status, 200);
    let seen = backend.last();
    assert_eq!(
        (&seen.body.data[..], seen.fields().get("content-length")),
        (&b"hello"[..], Some("5"))
    );
    assert!(!seen.fields().has("transfer-encoding"));
}

#[tokio::test]
async fn a_post_with_an_empty_body_keeps_its_length() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    assert_eq!(
        proxy
            .request("POST", "/", &[("Content-Length", "0")], b"")
            .await
            .status,
        200
    );
    assert_eq!(backend.last().fields().get("content-length"), Some("0"));
}

#[tokio::test]
async fn a_chunked_answer_reaches_the_client_chunked_with_its_trailers() {
    let backend = Backend::start(chunked_with_trailers()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await.allowing("trailer");
    for _ in 0..3 {
        let answer = client
            .request("GET", "/", &[("TE", "trailers"), ("Connection", "TE")], b"")
            .await;
        assert_eq!(
            (answer.text().as_str(), answer.is_chunked()),
            ("hello world", true)
        );
        assert_eq!(answer.body.trailers.get("x-sum"), Some("11"));
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn request_trailers_reach_the_peer() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bytes = format!("{head}5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n");
    assert_eq!(proxy.raw().await.exchange(bytes).await.status, 200);
    let body = backend.last().body;
    assert_eq!(
        (&body.data[..], body.trailers.get("x-sum")),
        (&b"hello"[..], Some("5"))
    );
}

#[tokio::test]
async fn trailers_that_would_reframe_the_message_are_dropped() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let head =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
    let trailers = "Content-Length: 3\r\nTransfer-Encoding: gzip\r\nHost: b\r\n\r\n";
    // Refusing them is as good.
    let answer = proxy.raw().await.exchange([head, trailers].concat()).await;
    if answer.status == 200 {
        assert!(
            backend.last().body.trailers.names().is_empty(),
            "{:?}",
            backend.last()
        );
    } else {
        assert_eq!((answer.status, backend.requests()), (400, 0));
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_chunked_answer_unchunked() {
    let backend = Backend::start(chunked_with_trailers()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    let answer = client.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(
        (answer.text().as_str(), answer.is_chunked()),
        ("hello world", false)
    );
    client.ends().await;
}

#[tokio::test]
async fn an_http_1_0_client_before_an_http_1_0_server() {
    let backend = Backend::start(http10_close("old and old")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    assert_eq!(
        client.exchange("GET / HTTP/1.0\r\n\r\n").await.text(),
        "old and old"
    );
    client.ends().await;
}

#[tokio::test]
async fn long_bodies_pass_both_ways() {
    let backend = Backend::start(echo_body()).await;
    let proxy = Proxy::start(&app_at(UPLOAD, &[backend.server()], "")).await;
    let body = long_body(3_000_001);
    let mut client = proxy.client().await;
    for _ in 0..2 {
        // Both directions at once would need a client that reads while it writes; the echo answers after the last byte.
        let answer = client.request("PUT", "/", &[], &body).await;
        assert!(
            answer.body.data == body,
            "{} bytes came back",
            answer.body.data.len()
        );
    }
}

#[tokio::test]
async fn a_long_chunked_body_passes() {
    let backend = Backend::start(echo_body()).await;
    let proxy = Proxy::start(&app_at(UPLOAD, &[backend.server()], "")).await;
    let body = long_body(500_000);
    let mut client = proxy.raw().await;
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for (i, chunk) in body.chunks(7_777).enumerate() {
        client
            .send(format!(
                "{:x}{}\r\n",
                chunk.len(),
                if i % 3 == 0 { ";odd" } else { "" }
            ))
            .await;
        client.send(chunk).await;
        client.send("\r\n").await;
    }
    let answer = client.exchange("0\r\n\r\n").await;
    assert!(
        answer.body.data == body,
        "{} bytes came back",
        answer.body.data.len()
    );
}

#[tokio::test]
async fn the_read_timeout_is_for_each_read_and_not_for_the_body() {
    let backend = Backend::start(slow_body(8, Duration::from_millis(60))).await;
    let proxy = Proxy::start(&app(&[backend.server()], "timeouts = { read = \"300ms\" }")).await;
    assert_eq!(proxy.get("/").await.text(), "........");
}

#[tokio::test]
async fn the_first_byte_of_an_answer_does_not_wait_for_the_last() {
    let backend = Backend::start(slow_body(1, Duration::from_secs(60))).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    assert_eq!(client.response_head().await.status, 200);
}

#[tokio::test]
async fn the_first_byte_of_a_request_does_not_wait_for_the_last() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app_at(UPLOAD, &[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client
        .send("PUT /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nfirst")
        .await;
    wait::until("the head reached the peer", || !backend.heads().is_empty()).await;
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_stray_line_end_behind_the_last_request_costs_nothing_of_its_answer() {
    const LENGTH: usize = 3_000_000;
    let gate = Gate::closed();
    let has_come = gate.clone();
    let backend = Backend::start(Behaviour::new(move |mut peer| {
        let gate = gate.clone();
        async move {
            peer.request().await?;
            gate.passed().await;
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
            ))
            .await?;
            peer.send(long_body(LENGTH)).await?;
            peer.until_closed().await
        }
    }))
    .await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client
        .send(request("POST", "/", &[("Connection", "close")], b"x"))
        .await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    client.send("\r\n").await;
    has_come.open();
    assert_eq!(client.response_head().await.status, 200);
    let body = client.slowly(LENGTH, Duration::from_millis(5)).await;
    assert!(body == long_body(LENGTH), "{} bytes came", body.len());
}

#[tokio::test]
async fn an_early_413_reaches_a_client_that_is_still_uploading() {
    let backend = Backend::start(early_413()).await;
    let proxy = Proxy::start(&app_at(UPLOAD, &[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client
        .send(request("PUT", "/", &[("Content-Length", "50000000")], b""))
        .await;
    let upload = client.keep_sending(long_body(65_536));
    let answer = client.response().await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (413, "says the peer")
    );
    upload.abort();
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn an_early_413_reaches_a_chunked_upload_too() {
    let backend = Backend::start(early_413()).await;
    let proxy = Proxy::start(&app_at(UPLOAD, &[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let upload = client.keep_sending(b"5\r\nhello\r\n".repeat(1000));
    assert_eq!(client.response().await.text(), "says the peer");
    upload.abort();
}
