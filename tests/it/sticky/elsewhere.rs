//! A server that cannot serve a client of its own: another one does, at once, and has the client from then on.

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, answers, closes_before_answer, ok};
use crate::support::client::request;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::{BY_COOKIE, before, bound, kept, moved, pool, waits};

/// Servers that say a and b, lbd before them, and the cookie of a client of a's.
async fn bound_to_a(keys: &str) -> (Backend, Backend, Proxy, String) {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let proxy = before(&[&a, &b], &format!("{BY_COOKIE}\n{keys}")).await;
    let (name, cookie) = bound(&proxy).await;
    assert_eq!(name, "a");
    (a, b, proxy, cookie)
}

#[tokio::test]
async fn a_client_of_a_dead_server_is_served_by_another_and_bound_there() {
    let (mut a, _b, proxy, to_a) = bound_to_a("").await;
    a.stop().await;
    let (name, to_b) = moved(&proxy, &to_a).await;
    assert_eq!(name, "b");
    for _ in 0..5 {
        assert_eq!(kept(&proxy, &to_b).await, "b");
    }
}

#[tokio::test]
async fn a_client_that_was_bound_elsewhere_stays_there_when_its_server_is_back() {
    let (mut a, b, mut proxy, to_a) = bound_to_a("").await;
    a.stop().await;
    let (_, to_b) = moved(&proxy, &to_a).await;
    a.start_as(ok("a"));
    // Marks are forgotten: a is as good as any.
    proxy.reload(&pool(&[&a, &b], BY_COOKIE)).await;
    for _ in 0..5 {
        assert_eq!(kept(&proxy, &to_b).await, "b");
        assert_eq!(kept(&proxy, &to_a).await, "a", "whoever still says so");
    }
}

#[tokio::test]
async fn a_server_that_is_out_is_not_asked_for_its_clients() {
    let (mut a, _b, proxy, to_a) = bound_to_a("fail_timeout = \"60s\"").await;
    a.restart_as(closes_before_answer()).await;
    for _ in 0..5 {
        assert_eq!(moved(&proxy, &to_a).await.0, "b");
    }
    assert_eq!(a.requests(), 2, "the first of the five took it out");
}

#[tokio::test]
async fn a_client_that_its_server_fails_is_bound_where_it_is_served() {
    for (status, retry) in [
        (500, "on = [\"http_500\"]"),
        (503, "on = [\"http_503\"], memory = \"0s\""),
    ] {
        let (mut a, _b, proxy, to_a) = bound_to_a(&format!("retry = {{ {retry} }}")).await;
        a.restart_as(answers(status, "no")).await;
        let (name, to_b) = moved(&proxy, &to_a).await;
        assert_eq!(name, "b", "{status}");
        assert_eq!(kept(&proxy, &to_b).await, "b", "{status}");
    }
}

#[tokio::test]
async fn a_client_whose_server_lacks_what_it_asks_for_is_lent() {
    for (status, retry) in [(404, "http_404"), (503, "http_503")] {
        let keys = format!("retry = {{ on = [\"{retry}\"], memory = \"60s\" }}");
        let (mut a, _b, proxy, to_a) = bound_to_a(&keys).await;
        a.restart_as(answers(status, "no")).await;
        for _ in 0..3 {
            assert_eq!(kept(&proxy, &to_a).await, "b", "{status}");
        }
        a.restart_as(ok("a")).await;
        assert_eq!(kept(&proxy, &to_a).await, "a", "{status}");
    }
}

#[tokio::test]
async fn clients_of_a_dead_server_are_spread_over_the_others() {
    let [mut a, b, c] = super::three().await;
    let proxy = before(&[&a, &b, &c], BY_COOKIE).await;
    let (_, to_a) = bound(&proxy).await;
    a.stop().await;
    let mut names = Vec::new();
    for _ in 0..6 {
        names.push(moved(&proxy, &to_a).await.0);
    }
    names.sort();
    assert_eq!(names, ["b", "b", "b", "c", "c", "c"]);
}

#[tokio::test]
async fn when_nobody_is_left_the_client_keeps_its_cookie() {
    let (mut a, mut b, proxy, to_a) = bound_to_a("fail_timeout = \"100ms\"").await;
    a.stop().await;
    b.stop().await;
    let answer = proxy.request("GET", "/", &[("Cookie", &to_a)], b"").await;
    assert_eq!(answer.status, 502);
    a.start_as(ok("a"));
    wait::until_async("a is asked again", async || {
        let answer = proxy.request("GET", "/", &[("Cookie", &to_a)], b"").await;
        answer.text() == "a"
    })
    .await;
}

// === a server that is full ===

#[tokio::test]
async fn a_full_server_lends_its_client_and_gets_it_back() {
    let gate = Gate::closed();
    let (a, b) = (
        Backend::start(waits(&gate, "a")).await,
        Backend::start(ok("b")).await,
    );
    let servers = [a.server_with("max_conns = 1"), b.server()];
    let proxy = Proxy::start(&app(&servers, BY_COOKIE)).await;
    let (_, to_a) = bound(&proxy).await;
    let mut busy = proxy.raw().await;
    let fields = [("Cookie", &*to_a)];
    busy.send(request("GET", "/wait", &fields, b"")).await;
    wait::until("a is busy", || a.requests() == 2).await;
    for _ in 0..3 {
        assert_eq!(kept(&proxy, &to_a).await, "b");
    }
    gate.open();
    assert_eq!(busy.response().await.text(), "a");
    wait::until_async("a is free again", async || kept(&proxy, &to_a).await == "a").await;
}

#[tokio::test]
async fn a_client_of_nobody_s_is_bound_to_whoever_has_room() {
    let gate = Gate::closed();
    let (a, b) = (
        Backend::start(waits(&gate, "a")).await,
        Backend::start(ok("b")).await,
    );
    let servers = [a.server_with("max_conns = 1"), b.server()];
    let proxy = Proxy::start(&app(&servers, BY_COOKIE)).await;
    let mut busy = proxy.raw().await;
    busy.send(request("GET", "/wait", &[], b"")).await;
    wait::until("a is busy", || a.requests() == 1).await;
    for _ in 0..3 {
        let (name, cookie) = bound(&proxy).await;
        assert_eq!(name, "b");
        assert_eq!(kept(&proxy, &cookie).await, "b");
    }
    gate.open();
    busy.response().await;
}
