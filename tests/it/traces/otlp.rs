//! Spans for whoever collects traces (OTLP over HTTP): what is sent, of which requests, and that nobody waits for it.
//!
//! Spans leave in batches every few seconds; the end of lbd, and of a `[tracing]` that a reload takes away, sends what
//! is left at once. The end blocks until then: whoever collects must be on another thread.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::{answers, closes_before_answer, never_answers, ok};
use crate::support::peer::Request;
use crate::support::proxy::{Proxy, app, app_at};
use crate::support::wait;

use super::{ALL, NONE, SPAN, TRACE, came, parts, said};

/// The listener of lbd that believes its clients.
const TRUSTS: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// Somebody who collects traces.
async fn collector() -> Backend {
    Backend::start(answers(200, "")).await
}

/// `[tracing]` with these keys, for this collector.
fn to(collector: &Backend, keys: &str) -> String {
    format!(
        "[tracing]\notlp = \"http://{}\"\n{keys}\n",
        collector.addr()
    )
}

/// Everything that was sent.
fn sent(collector: &Backend) -> Vec<u8> {
    let requests = collector.seen().into_iter();
    requests.flat_map(|request| request.body.data).collect()
}

fn has(bytes: &[u8], part: impl AsRef<[u8]>) -> bool {
    let part = part.as_ref();
    bytes.windows(part.len()).any(|window| window == part)
}

/// The number that these digits are of, as it stands in a span.
fn number(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// What is sent of a request with these fields, by lbd with these keys for its listener and for `[tracing]`.
async fn sent_of(listener: &str, keys: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let (backend, collector) = (Backend::start(ok("x")).await, collector().await);
    let text = app(&[backend.server()], "") + &to(&collector, keys);
    let proxy = Proxy::start_with(listener, &text).await;
    proxy.request("GET", "/", fields, b"").await;
    proxy.stop().await;
    sent(&collector)
}

// === what ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_becomes_a_span_with_its_trace_its_route_and_its_server() {
    let (backend, collector) = (Backend::start(ok("x")).await, collector().await);
    let route = app_at("path = \"/traced/\"", &[backend.server()], "");
    let proxy = Proxy::start(&(route + &to(&collector, ALL))).await;
    assert_eq!(proxy.get("/traced/this").await.status, 200);
    proxy.stop().await;
    let told = said(&backend).expect("the server is told");
    let [trace, span, _] = parts(&told);
    let sent = sent(&collector);
    assert!(has(&sent, number(trace)), "no trace in {sent:?}");
    assert!(has(&sent, number(span)), "no span in {sent:?}");
    let server = backend.addr().to_string();
    for part in ["GET /traced/", "/traced/this", "lbd", "app", &server] {
        let text = String::from_utf8_lossy(&sent);
        assert!(has(&sent, part), "no {part} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_names_every_server_that_was_tried() {
    let (dead, broken) = (
        Backend::refuses(),
        Backend::start(closes_before_answer()).await,
    );
    let (alive, collector) = (Backend::start(ok("x")).await, collector().await);
    let servers = [&dead, &broken, &alive].map(Backend::server);
    let text = app(&servers, "") + &to(&collector, ALL);
    let proxy = Proxy::start(&text).await;
    assert_eq!(proxy.get("/").await.status, 200);
    proxy.stop().await;
    let sent = sent(&collector);
    for server in [&dead, &broken, &alive] {
        let addr = server.addr().to_string();
        assert!(has(&sent, &addr), "no {addr}");
    }
    assert!(has(&sent, "connection refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_has_the_one_that_came_as_its_parent() {
    let field = came("01");
    let sent = sent_of("", ALL, &[("traceparent", &field)]).await;
    assert!(has(&sent, number(TRACE)), "no trace in {sent:?}");
    assert!(has(&sent, number(SPAN)), "no parent in {sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_sent_as_those_of_the_service_that_the_file_names() {
    let keys = format!("{ALL}\nservice = \"front-door\"");
    let sent = sent_of("", &keys, &[]).await;
    assert!(has(&sent, "front-door"), "{sent:?}");
}

/// The only request that came to the collector of lbd whose `otlp` ends with `path`.
async fn posted(path: &str) -> Request {
    let (backend, collector) = (Backend::start(ok("x")).await, collector().await);
    let url = format!("http://{}", collector.addr());
    let tracing = to(&collector, ALL).replace(&url, &format!("{url}{path}"));
    let proxy = Proxy::start(&(app(&[backend.server()], "") + &tracing)).await;
    proxy.get("/").await;
    proxy.stop().await;
    assert_eq!(collector.requests(), 1);
    collector.last()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_posted_in_protobuf_to_the_path_of_otlp_unless_there_is_another() {
    for (path, asked) in [
        ("", "/v1/traces"),
        ("/", "/v1/traces"),
        ("/collect/here", "/collect/here"),
    ] {
        let request = posted(path).await;
        assert_eq!((request.method(), request.target()), ("POST", asked));
        let kind = request.fields().get("content-type");
        assert_eq!(kind, Some("application/x-protobuf"));
    }
}

// === of which requests ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_requests_without_a_decision_the_file_s_part_is_sent() {
    assert!(sent_of("", NONE, &[]).await.is_empty());
    assert!(!sent_of("", ALL, &[]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_decides() {
    for (flags, keys, is_sent) in [("01", NONE, true), ("00", ALL, false)] {
        let field = came(flags);
        let sent = sent_of(TRUSTS, keys, &[("traceparent", &field)]).await;
        assert_eq!(!sent.is_empty(), is_sent, "{flags}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_else_does_not() {
    for (flags, keys, is_sent) in [("01", NONE, false), ("00", ALL, true)] {
        let field = came(flags);
        let sent = sent_of("", keys, &[("traceparent", &field)]).await;
        assert_eq!(!sent.is_empty(), is_sent, "{flags}");
    }
}

// === reloads ===

#[tokio::test]
async fn what_is_left_is_sent_when_a_reload_takes_the_collector_away() {
    let (backend, collector) = (Backend::start(ok("x")).await, collector().await);
    let pool = app(&[backend.server()], "");
    let mut proxy = Proxy::start(&(pool.clone() + &to(&collector, ALL))).await;
    let mut client = proxy.client().await;
    client.get("/").await;
    let told = said(&backend).expect("the server is told");
    // When this one is answered, the first is over.
    client.get("/").await;
    proxy.reload(&pool).await;
    wait::until("the span is sent", || {
        has(&sent(&collector), number(parts(&told)[0]))
    })
    .await;
    proxy.get("/").await;
    assert_eq!(said(&backend), None, "nothing is traced any more");
}

// === a collector that fails ===

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_no_request() {
    // More than a batch, and more than wait for the next one.
    const BATCH: usize = 600;
    const MANY: usize = 2_200;
    let backend = Backend::start(ok("x")).await;
    let collector = Backend::start(never_answers()).await;
    let text = app(&[backend.server()], "") + &to(&collector, ALL);
    let proxy = Proxy::start(&text).await;
    let mut client = proxy.client().await;
    for _ in 0..BATCH {
        assert_eq!(client.get("/").await.status, 200);
    }
    wait::until("the collector is asked", || collector.requests() == 1).await;
    let begin = Instant::now();
    for _ in 0..MANY {
        assert_eq!(client.get("/").await.status, 200);
    }
    // It would be waited for ten seconds.
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_does_not_answer_does_not_hold_up_the_end_for_long() {
    let backend = Backend::start(ok("x")).await;
    let collector = Backend::start(never_answers()).await;
    let text = app(&[backend.server()], "") + &to(&collector, ALL);
    let proxy = Proxy::start(&text).await;
    assert_eq!(proxy.get("/").await.status, 200);
    let begin = Instant::now();
    proxy.stop().await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    wait::until("the collector was asked", || collector.requests() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_is_no_obstacle() {
    let (backend, collector) = (Backend::start(ok("x")).await, Backend::refuses());
    let text = app(&[backend.server()], "") + &to(&collector, ALL);
    let proxy = Proxy::start(&text).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    proxy.stop().await;
}
