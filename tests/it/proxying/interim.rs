//! 1xx answers, and `Expect: 100-continue`, which is a question to the peer: lbd passes it on and never answers it itself.

use std::time::Duration;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, answers, counting, early_413, informational, ok};
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::before;

const ASKING: &str =
    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn early_hints_are_forwarded_before_the_answer() {
    let backend = Backend::start(informational()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    for _ in 0..2 {
        let hints = client.exchange(get("/")).await;
        assert_eq!(
            (hints.status, hints.field("link")),
            (103, Some("</a.css>; rel=preload"))
        );
        assert_eq!(client.response().await.text(), "final");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_interim_answers() {
    let backend = Backend::start(informational()).await;
    let proxy = before(&backend).await;
    let answer = proxy.raw().await.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "final"));
}

#[tokio::test]
async fn the_100_that_a_client_gets_is_the_peers() {
    let backend = Backend::start(informational()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    let go_on = client.exchange(ASKING).await;
    assert_eq!((go_on.status, go_on.field("x-from")), (100, Some("peer")));
    assert_eq!(client.exchange("hello").await.status, 103);
    assert_eq!(client.response().await.text(), "final");
    assert_eq!(backend.last().body.data, b"hello");
    assert_eq!(backend.last().fields().get("expect"), Some("100-continue"));
}

#[tokio::test]
async fn a_request_that_expects_reaches_the_peer_before_its_body() {
    // This peer sends no 100; a client goes on by itself after a while.
    let backend = Backend::start(ok("without asking")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client.send(ASKING).await;
    wait::until("the head reached the peer", || !backend.heads().is_empty()).await;
    assert_eq!(client.exchange("hello").await.text(), "without asking");
}

#[tokio::test]
async fn a_refusal_comes_instead_of_a_100_and_the_body_is_never_read() {
    let backend = Backend::start(early_413()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    let answer = client.exchange(ASKING).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (413, "says the peer")
    );
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_a_100_gets_its_answer() {
    let backend = Backend::start(answers(503, "final all the same")).await;
    let proxy = before(&backend).await;
    let answer = proxy
        .raw()
        .await
        .exchange(request("PUT", "/", &[("Expect", "100-continue")], b"x"))
        .await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "final all the same")
    );
}

#[tokio::test]
async fn a_slow_upload_to_a_peer_that_never_says_100_is_not_the_peers_fault() {
    let backend = Backend::start(ok("all read")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "timeouts = { read = \"300ms\" }")).await;
    let mut client = proxy.raw().await;
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n")
        .await;
    wait::until("the head reached the peer", || !backend.heads().is_empty()).await;
    client.drip(vec![b'x'; 12], Duration::from_millis(60));
    assert_eq!(client.response().await.text(), "all read");
}

#[tokio::test]
async fn after_an_interim_answer_the_request_is_not_tried_elsewhere() {
    let dies = Behaviour::new(|mut peer| async move {
        peer.request().await?;
        peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            .await
    });
    let (dying, other) = (Backend::start(dies).await, Backend::start(counting()).await);
    let proxy = Proxy::start(&app(&[dying.server(), other.server()], "")).await;
    let mut client = proxy.raw().await;
    assert_eq!(client.exchange(get("/")).await.status, 103);
    assert_eq!(client.response().await.status, 502);
    assert_eq!((dying.requests(), other.requests()), (1, 0));
}
