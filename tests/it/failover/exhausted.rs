//! When there is nobody left to ask: 502 for errors, 504 for silence, and a hint when to come again.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, closes_before_answer, never_answers, ok};
use crate::support::client::request;
use crate::support::proxy::{Proxy, app, app_at};
use crate::support::raw::Response;
use crate::support::wait;

use super::before;

/// A 502 or 504 that says which pool, and when to come again.
fn assert_all_out(answer: &Response, status: u16) {
    assert_eq!(answer.status, status);
    assert!(
        answer.text().contains("app"),
        "which pool? {}",
        answer.text()
    );
    let seconds = answer
        .field("retry-after")
        .and_then(|value| value.parse::<u32>().ok());
    assert!(seconds.is_some_and(|s| (1..=61).contains(&s)), "{answer:?}");
}

#[tokio::test]
async fn when_all_are_out_the_answer_is_502_with_retry_after() {
    let (a, b) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(closes_before_answer()).await,
    );
    let proxy = before(&[&a, &b], "max_fails = 1\nfail_timeout = \"60s\"").await;
    assert_eq!(proxy.get("/").await.status, 502);
    for _ in 0..3 {
        assert_all_out(&proxy.get("/").await, 502);
    }
    assert_eq!((a.requests(), b.requests()), (1, 1));
}

#[tokio::test]
async fn when_every_server_is_down_the_answer_is_502() {
    let a = Backend::start(ok("a")).await;
    let proxy = Proxy::start(&app(&[a.server_with("down = true")], "")).await;
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(a.connections(), 0);
}

// === timeouts ===

#[tokio::test]
async fn a_server_that_never_answers_is_504() {
    let backend = Backend::start(never_answers()).await;
    let proxy = before(&[&backend], "timeouts = { read = \"200ms\" }").await;
    let start = Instant::now();
    assert_eq!(proxy.get("/").await.status, 504);
    assert!(
        start.elapsed() >= Duration::from_millis(190),
        "{:?}",
        start.elapsed()
    );
    wait::until("the hanging connection is closed", || backend.open() == 0).await;
}

#[tokio::test]
async fn a_server_that_never_accepts_is_504() {
    let backend = Backend::never_accepts().await;
    let proxy = before(&[&backend], "timeouts = { connect = \"200ms\" }").await;
    assert_eq!(proxy.get("/").await.status, 504);
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_504_after_the_send_timeout_alone() {
    let deaf = Behaviour::new(|peer| async move {
        let _open = peer;
        std::future::pending().await
    });
    for method in ["GET", "PUT"] {
        let backend = Backend::start(deaf.clone()).await;
        let route = "path = \"/\"\nmax_body = \"100m\"";
        let keys = "timeouts = { send = \"300ms\", read = \"5s\" }";
        let proxy = Proxy::start(&app_at(route, &[backend.server()], keys)).await;
        let mut client = proxy.raw().await;
        client
            .send(request(method, "/", &[("Content-Length", "50000000")], b""))
            .await;
        let start = Instant::now();
        let upload = client.keep_sending(vec![b'x'; 65_536]);
        assert_eq!(client.response().await.status, 504, "{method}");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(3), "{method}: {took:?}");
        upload.abort();
    }
}

#[tokio::test]
async fn when_every_server_times_out_the_answer_is_504() {
    let (a, b) = (
        Backend::start(never_answers()).await,
        Backend::start(never_answers()).await,
    );
    let proxy = before(&[&a, &b], "timeouts = { read = \"150ms\" }").await;
    assert_eq!(proxy.get("/").await.status, 504);
    assert_eq!((a.requests(), b.requests()), (1, 1));
}

#[tokio::test]
async fn a_server_that_refuses_is_502() {
    let dead = Backend::refuses();
    let proxy = before(&[&dead], "").await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.field("server")), (502, Some("lbd")));
    assert!(
        !answer.text().contains(&dead.addr().to_string()),
        "names an internal: {}",
        answer.text()
    );
}
