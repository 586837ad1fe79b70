//! Bodies and trailers between HTTP/2 and HTTP/1.1: whole, in both directions, whatever their size.

use bytes::Bytes;
use h2::Reason;

use crate::support::backend::Backend;
use crate::support::behaviour::{
    Behaviour, chunked_with_trailers, early_413, echo_body, http10_close, ok,
};
use crate::support::http2::{Http2, answer, fields, request, try_answer};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::{H2C, before};

/// A body in which a lost, doubled or displaced block shows.
pub(super) fn long_body(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect()
}

#[tokio::test]
async fn a_body_without_length_reaches_the_server_chunked() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    assert_eq!(
        client.ask(request("POST", "/", &[]), b"hello").await.status,
        200
    );
    let seen = backend.last();
    assert_eq!(seen.body.data, b"hello");
    assert_eq!(seen.fields().get("transfer-encoding"), Some("chunked"));
    assert!(!seen.fields().has("content-length"));
}

#[tokio::test]
async fn a_body_with_a_length_reaches_the_server_with_it() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let post = request("POST", "/", &[("content-length", "5")]);
    assert_eq!(client.ask(post, b"hello").await.status, 200);
    let seen = backend.last();
    assert_eq!(seen.body.data, b"hello");
    assert_eq!(seen.fields().get("content-length"), Some("5"));
    assert!(!seen.fields().has("transfer-encoding"));
}

#[tokio::test]
async fn a_post_without_body_has_the_length_zero() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let post = request("POST", "/", &[("content-length", "0")]);
    assert_eq!(client.ask(post, b"").await.status, 200);
    assert_eq!(backend.last().fields().get("content-length"), Some("0"));
}

#[tokio::test]
async fn request_trailers_reach_the_server() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let post = request("POST", "/", &[("trailer", "x-sum")]);
    let (response, mut upload) = client.start(post, false).await;
    upload
        .send_data(Bytes::from_static(b"hello"), false)
        .expect("the stream takes a body");
    upload
        .send_trailers(fields(&[("x-sum", "5")]))
        .expect("the stream takes trailers");
    assert_eq!(answer(response).await.status, 200);
    let body = backend.last().body;
    assert_eq!(body.data, b"hello");
    assert_eq!(body.trailers.get("x-sum"), Some("5"));
}

#[tokio::test]
async fn what_lbd_writes_cannot_come_as_a_trailer() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, mut upload) = client.start(request("POST", "/", &[]), false).await;
    let claims = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-sum", "5"),
        ("content-length", "5"),
        ("host", "evil.example"),
    ];
    upload
        .send_data(Bytes::from_static(b"hello"), false)
        .expect("the stream takes a body");
    upload
        .send_trailers(fields(&claims))
        .expect("the stream takes trailers");
    // Refusing them is as good.
    match answer(response).await.status {
        200 => assert_eq!(backend.last().body.trailers.names(), ["x-sum"]),
        status => assert_eq!((status, backend.requests()), (400, 0)),
    }
}

#[tokio::test]
async fn the_servers_trailers_reach_the_client() {
    let backend = Backend::start(chunked_with_trailers()).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    for _ in 0..3 {
        let answer = client
            .ask(request("GET", "/", &[("te", "trailers")]), b"")
            .await;
        assert_eq!(answer.text(), "hello world");
        assert_eq!(answer.trailer("x-sum"), Some("11"));
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_http_1_0_server_is_heard_out_to_its_close() {
    let backend = Backend::start(http10_close("until the close")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.text(), "until the close");
    }
}

#[tokio::test]
async fn long_bodies_pass_both_ways() {
    let backend = Backend::start(echo_body()).await;
    let proxy = before(&backend).await;
    let body = long_body(3_000_001);
    let mut client = Http2::connect(proxy.addr()).await;
    const NONE: &[(&str, &str)] = &[];
    for fields in [NONE, &[("content-length", "3000001")]] {
        let answer = client.ask(request("PUT", "/", fields), &body).await;
        assert!(
            answer.body == body,
            "{} bytes came back for {fields:?}",
            answer.body.len()
        );
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_uploading() {
    let backend = Backend::start(early_413()).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, mut upload) = client.start(request("PUT", "/", &[]), false).await;
    upload
        .send_data(Bytes::from(long_body(2_000_000)), false)
        .expect("the stream takes a body");
    let head = wait::within("the answer", response).await;
    assert_eq!(head.expect("an answer").status(), 413);
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn an_upload_that_the_client_breaks_off_is_none() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (_response, mut upload) = client.start(request("PUT", "/", &[]), false).await;
    upload
        .send_data(Bytes::from_static(b"half"), false)
        .expect("the stream takes a body");
    wait::until("the head is with the server", || {
        !backend.heads().is_empty()
    })
    .await;
    upload.send_reset(Reason::CANCEL);
    wait::until("the server was let go", || backend.open() == 0).await;
    assert_eq!(backend.requests(), 0);
    assert_eq!(client.get("/").await.text(), "x");
}

/// The client is told that the answer of this server is not whole; the connection is as good as ever.
async fn is_cut_short(bytes: &'static str) {
    let cuts = Behaviour::new(move |mut peer| async move {
        loop {
            let request = peer.request().await?;
            if request.target() == "/cut" {
                return peer.send(bytes).await;
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
                .await?;
        }
    });
    let backend = Backend::start(cuts).await;
    let proxy = Proxy::start_with(H2C, &app(&[backend.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, _) = client.start(request("GET", "/cut", &[]), true).await;
    let error = try_answer(response).await.expect_err("it is not whole");
    assert!(error.is_reset(), "{error}");
    assert_ne!(error.reason(), Some(Reason::NO_ERROR));
    assert_eq!(client.get("/").await.text(), "whole");
}

#[tokio::test]
async fn a_body_cut_short_is_not_passed_as_whole() {
    is_cut_short("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
}

#[tokio::test]
async fn a_chunked_body_cut_short_is_not_passed_as_whole() {
    is_cut_short("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
}

#[tokio::test]
async fn a_bad_chunk_before_anything_was_sent_is_502() {
    let bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n";
    let backend = Backend::start(crate::support::behaviour::raw(bytes)).await;
    let proxy = Proxy::start_with(H2C, &app(&[backend.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    assert_eq!(client.get("/").await.status, 502);
}
