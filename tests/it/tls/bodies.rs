//! Messages of all sizes through TLS, in both directions: records begin and end where messages do not.

use std::sync::Arc;
use std::time::Duration;

use crate::support::backend::Backend;
use crate::support::behaviour::{chunked_with_trailers, echo_body, echo_request, once_with};
use crate::support::client::{get, request};
use crate::support::http2::{self, Http2};
use crate::support::secure::{Secure, handshake, offering};

use super::{NAME, before};

/// A body in which a lost, doubled or displaced block shows.
fn long_body(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect()
}

#[tokio::test]
async fn long_bodies_pass_both_ways() {
    let backend = Backend::start(echo_body()).await;
    let (proxy, config) = before(&backend).await;
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    let body = long_body(4_000_001);
    for _ in 0..2 {
        let answer = client.exchange(request("PUT", "/", &[], &body)).await;
        let came = answer.body.data;
        assert!(came == body, "{} bytes came back", came.len());
    }
}

#[tokio::test]
async fn long_bodies_pass_both_ways_over_http_2() {
    let backend = Backend::start(echo_body()).await;
    let (proxy, config) = before(&backend).await;
    let config = offering(&config, &["h2"]);
    let stream = handshake(proxy.addr(), NAME, &config).await;
    let stream = stream.expect("a handshake that succeeds");
    let mut client = Http2::over(&h2::client::Builder::new(), stream).await;
    let body = long_body(4_000_001);
    let answer = client.ask(http2::request("PUT", "/", &[]), &body).await;
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
}

#[tokio::test]
async fn bodies_of_the_size_of_a_record_pass() {
    let backend = Backend::start(echo_body()).await;
    let (proxy, config) = before(&backend).await;
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    for length in [1, 16_383, 16_384, 16_385, 32_768, 65_535, 65_536, 65_537] {
        let body = long_body(length);
        let answer = client.exchange(request("PUT", "/", &[], &body)).await;
        assert!(answer.body.data == body, "{length}");
    }
}

#[tokio::test]
async fn a_slow_reader_gets_all() {
    const LENGTH: usize = 4_000_000;
    let backend = Backend::start(once_with(long_body(LENGTH))).await;
    let (proxy, config) = before(&backend).await;
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    client.send(get("/")).await;
    let body = client.slowly(LENGTH, Duration::from_millis(5)).await;
    assert!(body == long_body(LENGTH), "{} bytes came", body.len());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::start(echo_request()).await;
    let (proxy, config) = before(&backend).await;
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    let post = request("POST", "/2", &[], b"body of two");
    client.send([get("/1"), post, get("/3")].concat()).await;
    for expected in ["GET /1 ", "POST /2 ", "GET /3 "] {
        let text = client.response().await.text();
        assert!(text.starts_with(expected), "{expected}: {text}");
    }
}

#[tokio::test]
async fn a_request_that_comes_in_records_of_one_byte_is_whole() {
    let backend = Backend::start(echo_body()).await;
    let (proxy, config) = before(&backend).await;
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    for byte in request("PUT", "/slowly", &[], b"abc") {
        client.send([byte]).await;
    }
    assert_eq!(client.response().await.text(), "abc");
}

#[tokio::test]
async fn trailers_pass() {
    let backend = Backend::start(chunked_with_trailers()).await;
    let (proxy, config) = before(&backend).await;
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    let fields = [("TE", "trailers"), ("Connection", "TE")];
    let answer = client.exchange(request("GET", "/", &fields, b"")).await;
    assert_eq!(answer.text(), "hello world");
    assert_eq!(answer.body.trailers.get("x-sum"), Some("11"));
    assert_eq!(answer.head.fields.get("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn many_clients_at_once_are_answered() {
    let backend = Backend::start(echo_body()).await;
    let (proxy, config) = before(&backend).await;
    let addr = proxy.addr();
    let body = Arc::new(long_body(100_000));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (config, body) = (Arc::clone(&config), Arc::clone(&body));
        clients.spawn(async move {
            let mut client = Secure::connect(addr, NAME, &config).await;
            for _ in 0..3 {
                let put = request("PUT", "/", &[], &body);
                assert!(client.exchange(put).await.body.data == *body);
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.expect("every client was answered");
    }
}
