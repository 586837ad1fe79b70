//! What goes wrong: which server failed and how, what was tried again, and who is out for how long.

use lbd::server::Status;
use lbd::telemetry::CodeTotals;
use lbd::upstream::FailureTotals;

use crate::support::backend::Backend;
use crate::support::behaviour::{
    Behaviour, answers, closes_before_answer, garbage, huge_headers, never_answers, ok, short_body,
};
use crate::support::client::get;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::{NONE, codes, comes_to, good};

/// None of any kind.
const NO_FAILURE: FailureTotals = FailureTotals {
    error: 0,
    timeout: 0,
    invalid_header: 0,
    status: 0,
    other: 0,
};

/// One failure for want of a connection, or of an answer before its end.
const ERROR: FailureTotals = FailureTotals {
    error: 1,
    ..NO_FAILURE
};

/// lbd before these servers, with these keys for their pool.
async fn before(servers: &[&Backend], keys: &str) -> Proxy {
    let servers: Vec<_> = servers.iter().map(|backend| backend.server()).collect();
    Proxy::start(&app(&servers, keys)).await
}

/// How often the pool was asked, how often somebody was asked again, and how often nobody was there.
fn asked(status: &Status) -> [u64; 3] {
    let pool = &status.pools[0];
    [pool.requests, pool.retries, pool.dark]
}

/// What the servers of the pool have answered, in their order.
fn answered(proxy: &Proxy) -> Vec<CodeTotals> {
    let servers = proxy.pool().servers;
    servers.iter().map(|server| server.requests).collect()
}

/// How they have failed.
fn failures(proxy: &Proxy) -> Vec<FailureTotals> {
    let servers = proxy.pool().servers;
    servers.iter().map(|server| server.failures).collect()
}

// === tries ===

#[tokio::test]
async fn a_failure_counts_where_it_was_and_the_answer_where_it_came_from() {
    let (dead, alive) = (Backend::refuses(), Backend::start(ok("alive")).await);
    let proxy = before(&[&dead, &alive], "").await;
    assert_eq!(proxy.get("/").await.text(), "alive");
    comes_to(&proxy, [good(1); 2], |status| {
        [status.listeners[0].requests, status.routes[0].requests]
    })
    .await;
    assert_eq!(asked(&proxy.status()), [1, 1, 0]);
    assert_eq!(answered(&proxy), [NONE, good(1)]);
    assert_eq!(failures(&proxy), [ERROR, NO_FAILURE]);
}

#[tokio::test]
async fn each_further_try_is_a_retry() {
    let (one, two) = (Backend::refuses(), Backend::refuses());
    let alive = Backend::start(ok("alive")).await;
    let proxy = before(&[&one, &two, &alive], "max_fails = 0").await;
    assert_eq!(proxy.get("/").await.text(), "alive");
    comes_to(&proxy, [1, 2, 0], asked).await;
    assert_eq!(failures(&proxy), [ERROR, ERROR, NO_FAILURE]);
}

#[tokio::test]
async fn a_failure_with_nobody_else_to_ask_is_no_retry() {
    let dead = Backend::refuses();
    let proxy = before(&[&dead], "").await;
    assert_eq!(proxy.get("/").await.status, 502);
    let failed = CodeTotals {
        server_errors: 1,
        ..NONE
    };
    comes_to(&proxy, [failed, failed, NONE], codes).await;
    assert_eq!(asked(&proxy.status()), [1, 0, 0]);
    assert_eq!(failures(&proxy), [ERROR]);
}

#[tokio::test]
async fn requests_that_find_nobody_alive_are_counted() {
    let server = "{ address = \"127.0.0.1:1\", down = true }".to_owned();
    let proxy = Proxy::start(&app(&[server], "")).await;
    for count in 1..=2 {
        assert_eq!(proxy.get("/").await.status, 502);
        comes_to(&proxy, [count, 0, count], asked).await;
    }
    assert_eq!(failures(&proxy), [NO_FAILURE]);
}

// === kinds ===

/// How a single server of this behaviour fails, which the client hears of by `status`.
async fn kind(behaviour: Behaviour, status: u16) -> FailureTotals {
    let backend = Backend::start(behaviour).await;
    let proxy = before(&[&backend], "timeouts = { read = \"200ms\" }").await;
    assert_eq!(proxy.get("/").await.status, status);
    let failed = CodeTotals {
        server_errors: 1,
        ..NONE
    };
    comes_to(&proxy, failed, |status| status.listeners[0].requests).await;
    assert_eq!(answered(&proxy), [NONE], "it has answered nothing");
    let server = proxy.server(backend.addr());
    let ago = server.last_error_seconds_ago;
    assert!(ago.is_some_and(|ago| ago < 8.0), "{server:?}");
    assert!(server.last_error.is_some(), "{server:?}");
    server.failures
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_an_error() {
    assert_eq!(kind(closes_before_answer(), 502).await, ERROR);
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_timeout() {
    let timeout = FailureTotals {
        timeout: 1,
        ..NO_FAILURE
    };
    assert_eq!(kind(never_answers(), 504).await, timeout);
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_a_timeout() {
    let backend = Backend::never_accepts().await;
    let proxy = before(&[&backend], "timeouts = { connect = \"200ms\" }").await;
    assert_eq!(proxy.get("/").await.status, 504);
    assert_eq!(proxy.server(backend.addr()).failures.timeout, 1);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_an_invalid_header() {
    let invalid = FailureTotals {
        invalid_header: 1,
        ..NO_FAILURE
    };
    for behaviour in [garbage(), huge_headers()] {
        assert_eq!(kind(behaviour, 502).await, invalid);
    }
}

#[tokio::test]
async fn an_answer_that_is_listed_and_thrown_away_is_a_failure_by_its_status() {
    let (broken, well) = (
        Backend::start(answers(500, "broken")).await,
        Backend::start(ok("well")).await,
    );
    let keys = "retry = { on = [\"error\", \"http_500\"] }";
    let proxy = before(&[&broken, &well], keys).await;
    assert_eq!(proxy.get("/").await.text(), "well");
    comes_to(&proxy, [1, 1, 0], asked).await;
    let by_status = FailureTotals {
        status: 1,
        ..NO_FAILURE
    };
    assert_eq!(failures(&proxy), [by_status, NO_FAILURE]);
    let thrown_away = CodeTotals {
        server_errors: 1,
        ..NONE
    };
    assert_eq!(answered(&proxy), [thrown_away, good(1)]);
    comes_to(&proxy, good(1), |status| status.listeners[0].requests).await;
}

#[tokio::test]
async fn an_error_that_is_not_listed_is_an_answer() {
    let backend = Backend::start(answers(500, "broken")).await;
    let proxy = before(&[&backend], "").await;
    assert_eq!(proxy.get("/").await.status, 500);
    let broken = CodeTotals {
        server_errors: 1,
        ..NONE
    };
    comes_to(&proxy, [broken; 3], codes).await;
    assert_eq!(failures(&proxy), [NO_FAILURE]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_answer() {
    let backend = Backend::start(short_body()).await;
    let proxy = before(&[&backend], "").await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    let broken = client.try_response("GET").await;
    broken.expect_err("three bytes of ten");
    comes_to(&proxy, [good(1); 3], codes).await;
    assert_eq!(failures(&proxy), [NO_FAILURE]);
}

// === out, and back ===

#[tokio::test]
async fn a_server_that_is_out_says_why_and_for_how_long() {
    let (dead, alive) = (Backend::refuses(), Backend::start(ok("alive")).await);
    let keys = "max_fails = 1\nfail_timeout = \"60s\"";
    let proxy = before(&[&dead, &alive], keys).await;
    assert_eq!(proxy.pool().live, 2);
    assert_eq!(proxy.get("/").await.text(), "alive");
    let out = proxy.server(dead.addr());
    assert_eq!((out.outs, out.live, out.state.as_str()), (1, false, "out"));
    assert_eq!(out.last_error.as_deref(), Some("connection refused"));
    assert_eq!(proxy.pool().live, 1);
    wait::until("it is out for longer", || {
        proxy.server(dead.addr()).out_seconds_total > out.out_seconds_total
    })
    .await;
    let good_one = proxy.server(alive.addr());
    assert_eq!((good_one.outs, good_one.out_seconds_total), (0, 0.0));
    assert_eq!(good_one.last_error, None);
}

#[tokio::test]
async fn a_server_that_is_back_has_been_out_for_as_long_as_it_was() {
    let (mut a, b) = (Backend::refuses(), Backend::start(ok("b")).await);
    let keys = "max_fails = 1\nfail_timeout = \"300ms\"";
    let proxy = before(&[&a, &b], keys).await;
    assert_eq!(proxy.get("/").await.text(), "b");
    a.start_as(ok("a"));
    wait::until_async("it is back", async || proxy.get("/").await.text() == "a").await;
    let back = proxy.server(a.addr());
    assert_eq!((back.outs, back.live), (1, true));
    assert!(back.out_seconds_total >= 0.3, "{back:?}");
    for _ in 0..4 {
        proxy.get("/").await;
    }
    let later = proxy.server(a.addr());
    assert_eq!(later.out_seconds_total, back.out_seconds_total);
}

// === connections to it ===

#[tokio::test]
async fn a_connection_that_is_used_again_was_opened_once() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&[&backend], "").await;
    let mut client = proxy.client().await;
    for _ in 0..5 {
        client.get("/").await;
    }
    // What is idle is looked at now and then.
    comes_to(&proxy, [5, 1, 1], |status| {
        let server = &status.pools[0].servers[0];
        [
            server.requests.good,
            server.connections_opened,
            server.connections_idle,
        ]
    })
    .await;
}
