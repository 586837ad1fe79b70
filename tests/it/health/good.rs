//! What is a good answer, and what is said of the others.

use super::OFTEN;
use crate::support::backend::Backend;
use crate::support::behaviour::{answers, closes_before_answer, garbage, never_answers, raw};
use crate::support::proxy::{Proxy, app};

/// What is thought of a server after its first check, which has these keys, and why.
async fn judged(backend: &Backend, keys: &str) -> String {
    let health = format!("health = {{ check = \"http\", {keys} }}");
    let proxy = Proxy::start(&app(&[backend.server()], &health)).await;
    let server = proxy.server(backend.addr());
    let reason = server.reason.map(|reason| format!(": {reason}"));
    server.state + &reason.unwrap_or_default()
}

/// The same of a server that answers so.
async fn of(status: u16, body: &'static str, keys: &str) -> String {
    let backend = Backend::start(answers(status, body)).await;
    judged(&backend, &format!("{keys}, {OFTEN}")).await
}

#[tokio::test]
async fn a_status_below_400_is_good_if_nothing_is_said() {
    for status in [200, 204, 301, 399] {
        assert_eq!(of(status, "", "rise = 2").await, "up", "{status}");
    }
    for status in [400, 404, 500, 599] {
        let said = of(status, "", "rise = 2").await;
        assert_eq!(said, format!("out: answered {status}"));
    }
}

#[tokio::test]
async fn statuses_are_good_if_they_are_listed() {
    let keys = "status = [\"200-299\", \"401\", 503]";
    for status in [200, 250, 299, 401, 503] {
        assert_eq!(of(status, "", keys).await, "up", "{status}");
    }
    for status in [300, 400, 402, 500, 504] {
        let said = of(status, "", keys).await;
        assert_eq!(said, format!("out: answered {status}"));
    }
    assert_eq!(of(418, "", "status = \"418\"").await, "up");
}

#[tokio::test]
async fn a_body_has_to_match() {
    let keys = "body = '(?m)^status: (ok|fine)$'";
    assert_eq!(of(200, "name: a\nstatus: fine\n", keys).await, "up");
    let said = of(200, "status: broken\n", keys).await;
    let expected = r#"out: said "status: broken\n", which does not match (?m)^status: (ok|fine)$"#;
    assert_eq!(said, expected);
    assert_eq!(of(503, "status: ok", keys).await, "out: answered 503");
}

#[tokio::test]
async fn json_has_to_say_what_is_wanted() {
    let keys = "json = { \"/nodes/0/up\" = true, \"/count\" = 3 }";
    for (body, expected) in [
        (r#"{"nodes": [{"up": true}], "count": 3}"#, "up"),
        (
            r#"{"nodes": [{"up": false}], "count": 3}"#,
            "out: /nodes/0/up is false, not true",
        ),
        (
            r#"{"nodes": [{"up": true}], "count": "3"}"#,
            r#"out: /count is "3", not 3"#,
        ),
        (
            r#"{"nodes": [], "count": 3}"#,
            "out: /nodes/0/up is missing",
        ),
        ("up", r#"out: said "up", which is no JSON"#),
        ("", r#"out: said "", which is no JSON"#),
    ] {
        assert_eq!(of(200, body, keys).await, expected);
    }
}

#[tokio::test]
async fn json_must_not_say_what_is_unwanted() {
    let keys = "json_not = { \"/state\" = \"paused\" }";
    for (body, expected) in [
        (r#"{"state": "running"}"#, "up"),
        (r#"{"other": "paused"}"#, "up"),
        (r#"{"state": "paused"}"#, r#"out: /state is "paused""#),
        ("paused", r#"out: said "paused", which is no JSON"#),
    ] {
        assert_eq!(of(200, body, keys).await, expected);
    }
}

#[tokio::test]
async fn the_reason_that_a_server_gives_is_passed_on() {
    let body = r#"{"state": "paused", "reason": "by hand"}"#;
    let said = of(503, body, "json_not = { \"/state\" = \"paused\" }").await;
    assert_eq!(said, r#"out: answered 503, reason "by hand""#);
}

#[tokio::test]
async fn a_long_body_is_read_as_a_whole() {
    let body: &'static str = ("x".repeat(200_000) + "the end").leak();
    assert_eq!(of(200, body, "body = 'the end$'").await, "up");
}

#[tokio::test]
async fn a_chunked_body_is_read_as_a_whole() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let backend = Backend::start(raw(format!("{head}3\r\nthe\r\n4\r\n end\r\n0\r\n\r\n"))).await;
    let keys = format!("body = '^the end$', {OFTEN}");
    assert_eq!(judged(&backend, &keys).await, "up");
}

#[tokio::test]
async fn a_head_request_has_no_body_to_wait_for() {
    let backend = Backend::start(answers(200, "a body that HEAD does not get")).await;
    let keys = format!("method = \"HEAD\", {OFTEN}");
    assert_eq!(judged(&backend, &keys).await, "up");
}

#[tokio::test]
async fn what_is_no_answer_is_bad() {
    for (behaviour, keys, reason) in [
        (garbage(), OFTEN, "answered no HTTP"),
        (closes_before_answer(), OFTEN, "closed before answering"),
        (
            never_answers(),
            "timeout = \"200ms\"",
            "no answer within 200ms",
        ),
    ] {
        let backend = Backend::start(behaviour).await;
        assert_eq!(judged(&backend, keys).await, format!("out: {reason}"));
    }
    let dead = Backend::refuses();
    assert_eq!(judged(&dead, OFTEN).await, "out: connection refused");
    let deaf = Backend::never_accepts().await;
    let said = judged(&deaf, "timeout = \"200ms\"").await;
    assert_eq!(said, "out: no connection within 200ms");
}
