//! Bytes of bodies: what they carry, without whatever frames it, by every way that a request and its answer can take.

use lbd::server::Status;

use crate::support::backend::Backend;
use crate::support::behaviour::{
    Behaviour, chunked_with_trailers, closes_before_answer, echo_body, http10_close, ok, short_body,
};
use crate::support::client::get;
use crate::support::h2_peer::{H2Peer, says};
use crate::support::http2::{Http2, request};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::{before, comes_to, good};

/// The answers of the first route, then bytes to clients and from them: at the listener, at the route, and at the server,
/// for which they go the other way.
type Moved = (u64, [(u64, u64); 3]);

fn moved(status: &Status) -> Moved {
    let (listener, route) = (&status.listeners[0], &status.routes[0]);
    let server = &status.pools[0].servers[0];
    let bytes = [
        (listener.sent_bytes, listener.received_bytes),
        (route.sent_bytes, route.received_bytes),
        (server.received_bytes, server.sent_bytes),
    ];
    (route.requests.total(), bytes)
}

/// After one request, so many bytes to the client and from it, wherever they are counted.
fn once(sent: u64, received: u64) -> Moved {
    (1, [(sent, received); 3])
}

/// What comes of `bytes`, a request that is answered, before a server of this behaviour.
async fn after(behaviour: Behaviour, bytes: &str) -> (Backend, Proxy) {
    let backend = Backend::start(behaviour).await;
    let proxy = before(&backend).await;
    assert_eq!(proxy.raw().await.exchange(bytes).await.status, 200);
    (backend, proxy)
}

/// A request without a body.
const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// One whose body has a length.
const SHORT: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

/// One whose body comes in chunks.
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5\r\nhello\r\n7;e=1\r\n, world\r\n0\r\nX-Sum: 12\r\n\r\n";

// === HTTP/1.1 ===

#[tokio::test]
async fn bodies_with_a_length_are_counted() {
    let (_backend, proxy) = after(ok("an answer"), SHORT).await;
    comes_to(&proxy, once(9, 4), moved).await;
}

#[tokio::test]
async fn bodies_in_chunks_are_counted_without_what_frames_them() {
    let (_backend, proxy) = after(chunked_with_trailers(), CHUNKED).await;
    comes_to(&proxy, once(11, 12), moved).await;
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_counted() {
    let (_backend, proxy) = after(http10_close("hello"), PLAIN).await;
    comes_to(&proxy, once(5, 0), moved).await;
}

#[tokio::test]
async fn an_answer_to_head_has_no_bytes() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    assert_eq!(proxy.request("HEAD", "/", &[], b"").await.status, 200);
    comes_to(&proxy, once(0, 0), moved).await;
}

#[tokio::test]
async fn long_bodies_are_counted_to_the_byte() {
    let backend = Backend::start(echo_body()).await;
    let proxy = before(&backend).await;
    let body = vec![b'x'; 3_000_001];
    let answer = proxy.request("POST", "/", &[], &body).await;
    assert_eq!(answer.body.data.len(), body.len());
    comes_to(&proxy, once(3_000_001, 3_000_001), moved).await;
}

#[tokio::test]
async fn the_bytes_of_many_requests_add_up() {
    let backend = Backend::start(echo_body()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await;
    for body in ["a", "bc", "def"] {
        client.request("POST", "/", &[], body.as_bytes()).await;
    }
    comes_to(&proxy, (3, [(6, 6); 3]), moved).await;
}

#[tokio::test]
async fn an_answer_of_lbd_s_own_counts_at_its_listener() {
    let proxy = Proxy::start("").await;
    let body = proxy.get("/nowhere").await.text();
    comes_to(&proxy, body.len() as u64, |s| s.listeners[0].sent_bytes).await;
}

// === HTTP/2 ===

#[tokio::test]
async fn bodies_over_http_2_are_counted() {
    let backend = Backend::start(ok("an answer")).await;
    let proxy = Proxy::start_with("h2c = true", &app(&[backend.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let post = request("POST", "/", &[]);
    assert_eq!(client.ask(post, b"a question").await.status, 200);
    comes_to(&proxy, once(9, 10), moved).await;
    let post = request("POST", "/", &[("content-length", "5")]);
    assert_eq!(client.ask(post, b"hello").await.status, 200);
    comes_to(&proxy, (2, [(18, 15); 3]), moved).await;
}

#[tokio::test]
async fn bodies_to_and_from_servers_of_http_2_are_counted() {
    let peer = H2Peer::start(says("an answer")).await;
    let text = app(&[peer.server()], "protocol = \"h2c\"");
    let proxy = Proxy::start(&text).await;
    assert_eq!(proxy.raw().await.exchange(CHUNKED).await.status, 200);
    comes_to(&proxy, once(9, 12), moved).await;
}

// === what is cut short ===

#[tokio::test]
async fn of_an_answer_that_breaks_off_counts_what_there_was() {
    let backend = Backend::start(short_body()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    let broken = client.try_response("GET").await;
    broken.expect_err("three bytes of ten");
    comes_to(&proxy, once(3, 0), moved).await;
}

#[tokio::test]
async fn of_an_upload_that_breaks_off_counts_what_came() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf")
        .await;
    wait::until("the head is with the server", || {
        !backend.heads().is_empty()
    })
    .await;
    drop(client);
    comes_to(&proxy, [4, 4], |status| {
        let (listener, route) = (&status.listeners[0], &status.routes[0]);
        [listener.received_bytes, route.received_bytes]
    })
    .await;
}

#[tokio::test]
async fn what_has_gone_to_a_server_that_failed_has_gone_to_it() {
    let failing = Backend::start(closes_before_answer()).await;
    let good_one = Backend::start(ok("hello")).await;
    let text = app(&[failing.server(), good_one.server()], "");
    let proxy = Proxy::start(&text).await;
    let answer = proxy.request("PUT", "/", &[], b"body").await;
    assert_eq!(answer.text(), "hello");
    comes_to(&proxy, good(1), |s| s.routes[0].requests).await;
    let sent = [&failing, &good_one].map(|backend| {
        let server = proxy.server(backend.addr());
        (server.sent_bytes, server.received_bytes)
    });
    assert_eq!(sent, [(4, 0), (4, 5)]);
}
