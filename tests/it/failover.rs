//! A server that fails is not the client's problem, as long as another one can do the work and nothing is done twice.

mod exhausted;
mod marks;
mod retry;

use crate::support::backend::Backend;
use crate::support::behaviour::{
    Gate, closes_idle, counting, drops_second_request, gated, never_answers, ok,
};
use crate::support::client::get;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// lbd before these servers.
async fn before(servers: &[&Backend], keys: &str) -> Proxy {
    let servers: Vec<_> = servers.iter().map(|backend| backend.server()).collect();
    Proxy::start(&app(&servers, keys)).await
}

/// Whether one of the next four answers to GET `/` is `name`; with two servers, round robin gives each its turn.
async fn among_the_next(proxy: &Proxy, name: &str) -> bool {
    let mut found = false;
    for _ in 0..4 {
        found |= proxy.get("/").await.text() == name;
    }
    found
}

// === a server that dies ===

#[tokio::test]
async fn a_dead_server_goes_unnoticed() {
    let (dead, alive) = (Backend::refuses(), Backend::start(ok("alive")).await);
    let proxy = before(&[&dead, &alive], "").await;
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.text(), "alive");
    }
}

#[tokio::test]
async fn servers_that_die_and_come_back_go_unnoticed() {
    let mut a = Backend::start(ok("a")).await;
    let b = Backend::start(ok("b")).await;
    let proxy = before(&[&a, &b], "fail_timeout = \"200ms\"").await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        let served = a.requests();
        wait::until_async("a serves", async || {
            assert_eq!(client.get("/").await.status, 200);
            a.requests() > served
        })
        .await;
        a.stop().await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.text(), "b");
        }
        a.start_as(ok("a"));
    }
}

// === keep-alive connections ===

#[tokio::test]
async fn a_keep_alive_connection_that_the_peer_closed_is_replaced() {
    let backend = Backend::start(closes_idle()).await;
    let proxy = before(&[&backend], "").await;
    let mut client = proxy.client().await;
    for (i, method) in ["GET", "POST", "PATCH", "GET"].into_iter().enumerate() {
        let answer = client
            .request(
                method,
                "/",
                &[],
                if method == "GET" { b"" } else { b"body" },
            )
            .await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "once"),
            "{method}"
        );
        wait::until("the peer closed", || backend.open() == 0).await;
        assert_eq!((backend.requests(), backend.connections()), (i + 1, i + 1));
    }
}

#[tokio::test]
async fn a_close_that_crosses_a_get_is_repeated_on_the_same_server_and_not_counted() {
    let (backend, spare) = (
        Backend::start(drops_second_request()).await,
        Backend::start(ok("spare")).await,
    );
    let servers = [
        backend.server_with("max_fails = 1, fail_timeout = \"60s\""),
        spare.server_with("backup = true"),
    ];
    let proxy = Proxy::start(&app(&servers, "")).await;
    let mut client = proxy.client().await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await.text(), "first");
    }
    assert_eq!(
        spare.connections(),
        0,
        "a server that closes idle connections has not failed"
    );
}

#[tokio::test]
async fn a_close_that_crosses_a_post_is_not_repeated() {
    let (backend, spare) = (
        Backend::start(drops_second_request()).await,
        Backend::start(counting()).await,
    );
    let proxy = Proxy::start(&app(
        &[backend.server(), spare.server_with("backup = true")],
        "",
    ))
    .await;
    let mut client = proxy.client().await;
    assert_eq!(client.request("POST", "/1", &[], b"x").await.status, 200);
    assert_eq!(client.request("POST", "/2", &[], b"x").await.status, 502);
    assert_eq!(
        (backend.requests(), spare.requests()),
        (2, 0),
        "the second was read once, and may have been done"
    );
}

// === the client goes away ===

#[tokio::test]
async fn a_client_that_goes_away_is_no_failure() {
    let (mut a, b) = (
        Backend::start(never_answers()).await,
        Backend::start(ok("b")).await,
    );
    let proxy = before(&[&a, &b], "max_fails = 1\nfail_timeout = \"60s\"").await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with a", || a.requests() == 1).await;
    drop(client);
    wait::until("lbd let go of a", || a.open() == 0).await;
    a.restart_as(ok("a")).await;
    assert!(among_the_next(&proxy, "a").await, "a is out");
}

// === limits of a server ===

#[tokio::test]
async fn a_server_at_max_conns_is_passed_over() {
    let gate = Gate::closed();
    let (a, b) = (
        Backend::start(gated(&gate, "a")).await,
        Backend::start(ok("b")).await,
    );
    let proxy = Proxy::start(&app(&[a.server_with("max_conns = 1"), b.server()], "")).await;
    let mut waiting = proxy.raw().await;
    waiting.send(get("/")).await;
    wait::until("a is busy", || a.requests() == 1).await;
    for _ in 0..5 {
        assert_eq!(proxy.get("/").await.text(), "b");
    }
    gate.open();
    assert_eq!(waiting.response().await.text(), "a");
    assert!(among_the_next(&proxy, "a").await, "a is free again");
}

#[tokio::test]
async fn when_all_are_at_max_conns_the_answer_is_503_at_once() {
    let gate = Gate::closed();
    let a = Backend::start(gated(&gate, "a")).await;
    let proxy = Proxy::start(&app(&[a.server_with("max_conns = 1")], "")).await;
    let mut waiting = proxy.raw().await;
    waiting.send(get("/")).await;
    wait::until("a is busy", || a.requests() == 1).await;
    let answer = proxy.get("/").await;
    assert_eq!(
        (answer.status, answer.field("retry-after")),
        (503, Some("1"))
    );
    gate.open();
    assert_eq!(waiting.response().await.text(), "a");
    assert_eq!(proxy.get("/").await.text(), "a");
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let mut a = Backend::start(never_answers()).await;
    let proxy = Proxy::start(&app(&[a.server_with("max_conns = 1")], "")).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with a", || a.requests() == 1).await;
    drop(client);
    wait::until("lbd let go of a", || a.open() == 0).await;
    a.restart_as(ok("a")).await;
    assert_eq!(proxy.get("/").await.text(), "a");
}
