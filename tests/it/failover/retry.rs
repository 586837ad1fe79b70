//! Which failures another server makes good, and which requests must not be sent twice.

use crate::support::backend::Backend;
use crate::support::behaviour::{
    Behaviour, answers, closes_before_answer, counting, echo_body, garbage, huge_headers,
    never_answers, ok, resets_after_headers,
};
use crate::support::client::get;
use crate::support::proxy::{Proxy, app_at};

use super::before;

/// A server with this behaviour, then one that counts; both see every request's first try in turn, the first one first.
async fn failing_first(behaviour: Behaviour, keys: &str) -> (Backend, Backend, Proxy) {
    let (failing, good) = (
        Backend::start(behaviour).await,
        Backend::start(counting()).await,
    );
    let proxy = before(&[&failing, &good], keys).await;
    (failing, good, proxy)
}

#[tokio::test]
async fn a_get_is_answered_by_the_other_server() {
    for behaviour in [closes_before_answer(), garbage(), huge_headers()] {
        let (failing, good, proxy) = failing_first(behaviour, "").await;
        assert_eq!(proxy.get("/").await.text(), "1");
        assert_eq!((failing.requests(), good.requests()), (1, 1));
    }
}

#[tokio::test]
async fn a_get_that_times_out_is_answered_by_the_other_server() {
    let (failing, good, proxy) =
        failing_first(never_answers(), "timeouts = { read = \"200ms\" }").await;
    assert_eq!(proxy.get("/").await.text(), "1");
    assert_eq!((failing.requests(), good.requests()), (1, 1));
}

#[tokio::test]
async fn a_connection_that_times_out_is_made_to_the_other_server() {
    let (failing, good) = (
        Backend::never_accepts().await,
        Backend::start(counting()).await,
    );
    let proxy = before(&[&failing, &good], "timeouts = { connect = \"200ms\" }").await;
    assert_eq!(proxy.request("POST", "/", &[], b"x").await.text(), "1");
}

#[tokio::test]
async fn a_post_is_not_executed_twice() {
    for method in ["POST", "PATCH", "LOCK"] {
        let (failing, good, proxy) = failing_first(closes_before_answer(), "").await;
        assert_eq!(
            proxy.request(method, "/", &[], b"x").await.status,
            502,
            "{method}"
        );
        assert_eq!((failing.requests(), good.requests()), (1, 0), "{method}");
    }
}

#[tokio::test]
async fn a_post_that_times_out_is_not_executed_twice() {
    let (failing, good, proxy) =
        failing_first(never_answers(), "timeouts = { read = \"200ms\" }").await;
    assert_eq!(proxy.request("POST", "/", &[], b"x").await.status, 504);
    assert_eq!((failing.requests(), good.requests()), (1, 0));
}

#[tokio::test]
async fn a_post_whose_connection_was_refused_goes_to_the_other_server() {
    let (dead, good) = (Backend::refuses(), Backend::start(counting()).await);
    let proxy = before(&[&dead, &good], "").await;
    assert_eq!(proxy.request("POST", "/", &[], b"x").await.text(), "1");
}

#[tokio::test]
async fn a_post_is_repeated_where_the_operator_says_so() {
    let (failing, good, proxy) =
        failing_first(closes_before_answer(), "retry = { non_idempotent = true }").await;
    assert_eq!(proxy.request("POST", "/", &[], b"again").await.text(), "1");
    assert_eq!(
        (failing.requests(), &good.last().body.data[..]),
        (1, &b"again"[..])
    );
}

#[tokio::test]
async fn idempotent_methods_are_repeated_with_their_body() {
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let (failing, good) = (
            Backend::start(closes_before_answer()).await,
            Backend::start(echo_body()).await,
        );
        let proxy = before(&[&failing, &good], "").await;
        let body: Vec<u8> = (0..30_000).map(|i| (i % 251) as u8).collect();
        assert!(
            proxy.request(method, "/", &[], &body).await.body.data == body,
            "{method}"
        );
        assert_eq!(failing.requests(), 1);
    }
}

#[tokio::test]
async fn a_chunked_body_is_repeated_with_its_trailers() {
    let (failing, good, proxy) = failing_first(closes_before_answer(), "").await;
    let bytes = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n";
    assert_eq!(proxy.raw().await.exchange(bytes).await.text(), "1");
    for seen in [failing.last(), good.last()] {
        assert_eq!(
            (&seen.body.data[..], seen.body.trailers.get("x-sum")),
            (&b"hello"[..], Some("5"))
        );
    }
}

#[tokio::test]
async fn a_long_streamed_body_is_not_repeated() {
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(counting()).await,
    );
    let route = "path = \"/\"\nmax_body = \"10m\"";
    let proxy = Proxy::start(&app_at(route, &[failing.server(), good.server()], "")).await;
    assert_eq!(
        proxy
            .request("PUT", "/", &[], &[b'x'; 300_000])
            .await
            .status,
        502
    );
    assert_eq!((failing.requests(), good.requests()), (1, 0));
}

#[tokio::test]
async fn a_long_body_whose_connection_was_refused_goes_to_the_other_server() {
    let (dead, good) = (Backend::refuses(), Backend::start(counting()).await);
    let route = "path = \"/\"\nmax_body = \"10m\"";
    let proxy = Proxy::start(&app_at(route, &[dead.server(), good.server()], "")).await;
    assert_eq!(
        proxy
            .request("PUT", "/", &[], &[b'x'; 300_000])
            .await
            .text(),
        "1"
    );
}

#[tokio::test]
async fn nothing_is_repeated_after_the_head_of_an_answer() {
    let (failing, good, proxy) = failing_first(resets_after_headers(), "").await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    if let Ok(answer) = client.try_response("GET").await {
        assert_eq!(answer.status, 502);
    }
    assert_eq!((failing.requests(), good.requests()), (1, 0));
}

#[tokio::test]
async fn each_server_is_tried_once() {
    let servers = [
        Backend::start(closes_before_answer()).await,
        Backend::start(closes_before_answer()).await,
        Backend::start(closes_before_answer()).await,
    ];
    let proxy = before(&servers.each_ref(), "").await;
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(servers.map(|server| server.requests()), [1, 1, 1]);
}

#[tokio::test]
async fn tries_and_off_limit_the_tries() {
    for keys in [
        "retry = { tries = 1 }",
        "retry = { on = \"off\" }",
        "retry = { on = [\"timeout\"] }",
    ] {
        let (failing, good, proxy) = failing_first(closes_before_answer(), keys).await;
        assert_eq!(proxy.get("/").await.status, 502, "{keys}");
        assert_eq!((failing.requests(), good.requests()), (1, 0), "{keys}");
    }
}

#[tokio::test]
async fn a_route_may_retry_differently() {
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(counting()).await,
    );
    let route = "path = \"/\"\nretry = { tries = 1 }";
    let proxy = Proxy::start(&app_at(route, &[failing.server(), good.server()], "")).await;
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(good.requests(), 0);
}

// === statuses ===

const ON_503: &str = "retry = { on = [\"error\", \"http_503\", \"http_404\"] }";

#[tokio::test]
async fn a_listed_status_moves_on_to_the_next_server() {
    for status in [503, 404] {
        let (failing, good, proxy) = failing_first(answers(status, "not here"), ON_503).await;
        assert_eq!(proxy.get("/").await.text(), "1", "{status}");
        assert_eq!((failing.requests(), good.requests()), (1, 1), "{status}");
    }
}

#[tokio::test]
async fn a_status_that_is_not_listed_is_the_answer() {
    let (_failing, good, proxy) = failing_first(answers(500, "my own page"), ON_503).await;
    let answer = proxy.get("/").await;
    assert_eq!(
        (answer.status, answer.text().as_str(), good.requests()),
        (500, "my own page", 0)
    );
}

#[tokio::test]
async fn the_last_servers_own_answer_passes_through() {
    let (a, b) = (
        Backend::start(answers(503, "page of a")).await,
        Backend::start(answers(503, "page of b")).await,
    );
    let proxy = before(&[&a, &b], ON_503).await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "page of b"));
    assert_eq!((a.requests(), b.requests()), (1, 1));
}

#[tokio::test]
async fn a_posts_own_answer_passes_through() {
    let (a, b) = (
        Backend::start(answers(503, "page of a")).await,
        Backend::start(ok("b")).await,
    );
    let proxy = before(&[&a, &b], ON_503).await;
    let answer = proxy.request("POST", "/", &[], b"x").await;
    assert_eq!(
        (answer.status, answer.text().as_str(), b.requests()),
        (503, "page of a", 0)
    );
}

#[tokio::test]
async fn a_404_moves_on_but_never_counts() {
    let on = "retry = { on = [\"error\", \"http_404\"], memory = \"0s\" }";
    let keys = format!("{on}\nmax_fails = 1\nfail_timeout = \"60s\"");
    let (a, good, proxy) = failing_first(answers(404, "not here"), &keys).await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    assert_eq!(good.requests(), 4);
    assert!(a.requests() >= 2, "a is out after one 404");
}
