//! 1xx answers and `Expect: 100-continue`, which is a question to the server: lbd passes on both.

use bytes::Bytes;

use crate::support::backend::Backend;
use crate::support::behaviour::{early_413, informational, ok};
use crate::support::http2::{Http2, answer, interim, request};
use crate::support::wait;

use super::before;

const ASKING: [(&str, &str); 2] = [("expect", "100-continue"), ("content-length", "5")];

#[tokio::test]
async fn early_hints_are_passed_on_before_the_answer() {
    let backend = Backend::start(informational()).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    for _ in 0..2 {
        let (mut response, _) = client.start(request("GET", "/", &[]), true).await;
        let hints = interim(&mut response).await.expect("hints");
        assert_eq!(hints.status(), 103);
        assert_eq!(hints.headers()["link"], "</a.css>; rel=preload");
        assert_eq!(answer(response).await.text(), "final");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn the_100_that_a_client_gets_is_the_servers() {
    let backend = Backend::start(informational()).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (mut response, mut upload) = client.start(request("PUT", "/", &ASKING), false).await;
    let go_on = interim(&mut response).await.expect("a 100");
    assert_eq!(go_on.status(), 100);
    assert_eq!(go_on.headers()["x-from"], "peer");
    upload
        .send_data(Bytes::from_static(b"hello"), true)
        .expect("the stream takes a body");
    let hints = interim(&mut response).await.expect("hints");
    assert_eq!(hints.status(), 103);
    assert_eq!(answer(response).await.text(), "final");
    assert_eq!(backend.last().body.data, b"hello");
    assert_eq!(backend.last().fields().get("expect"), Some("100-continue"));
}

#[tokio::test]
async fn a_request_that_expects_reaches_the_server_before_its_body() {
    let backend = Backend::start(ok("without asking")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, mut upload) = client.start(request("PUT", "/", &ASKING), false).await;
    wait::until("the head is with the server", || {
        !backend.heads().is_empty()
    })
    .await;
    upload
        .send_data(Bytes::from_static(b"hello"), true)
        .expect("the stream takes a body");
    assert_eq!(answer(response).await.text(), "without asking");
}

#[tokio::test]
async fn a_refusal_comes_instead_of_a_100() {
    let backend = Backend::start(early_413()).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (mut response, _upload) = client.start(request("PUT", "/", &ASKING), false).await;
    assert!(interim(&mut response).await.is_none());
    let head = wait::within("the answer", response).await;
    assert_eq!(head.expect("an answer").status(), 413);
    assert_eq!(backend.requests(), 0);
}
