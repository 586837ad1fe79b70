//! `drain` and `down` in the file: who still gets to the server, and who does not.

use crate::support::backend::Backend;
use crate::support::behaviour::{closes_before_answer, ok};
use crate::support::proxy::{Proxy, app};

use super::{BY_COOKIE, bound, kept, moved};

/// Servers that say a and b, lbd before them, and the cookie of a client of a's.
async fn bound_to_a() -> (Backend, Backend, Proxy, String) {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let proxy = Proxy::start(&with_a(&a, &b, "")).await;
    let (name, cookie) = bound(&proxy).await;
    assert_eq!(name, "a");
    (a, b, proxy, cookie)
}

/// The text for these two, with further keys for a.
fn with_a(a: &Backend, b: &Backend, keys: &str) -> String {
    let a = match keys {
        "" => a.server(),
        keys => a.server_with(keys),
    };
    app(&[a, b.server()], BY_COOKIE)
}

// === drain ===

#[tokio::test]
async fn a_server_that_drains_keeps_its_clients_and_gets_no_others() {
    let (a, b, mut proxy, to_a) = bound_to_a().await;
    proxy.reload(&with_a(&a, &b, "drain = true")).await;
    for _ in 0..5 {
        assert_eq!(kept(&proxy, &to_a).await, "a");
        assert_eq!(bound(&proxy).await.0, "b");
        assert_eq!(moved(&proxy, "lb=x").await.0, "b");
    }
}

#[tokio::test]
async fn a_server_that_drains_no_longer_gets_clients_again() {
    let (a, b, mut proxy, _) = bound_to_a().await;
    proxy.reload(&with_a(&a, &b, "drain = true")).await;
    assert_eq!(bound(&proxy).await.0, "b");
    proxy.reload(&with_a(&a, &b, "")).await;
    let names = [bound(&proxy).await.0, bound(&proxy).await.0];
    assert!(names.contains(&"a".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_server_that_drains_and_dies_loses_its_clients() {
    let (mut a, b, mut proxy, to_a) = bound_to_a().await;
    proxy.reload(&with_a(&a, &b, "drain = true")).await;
    a.stop().await;
    let (name, to_b) = moved(&proxy, &to_a).await;
    assert_eq!(name, "b");
    assert_eq!(kept(&proxy, &to_b).await, "b");
}

#[tokio::test]
async fn a_server_that_drains_and_fails_is_out_for_its_clients_too() {
    let (mut a, b, mut proxy, to_a) = bound_to_a().await;
    let drains = "drain = true, fail_timeout = \"60s\"";
    proxy.reload(&with_a(&a, &b, drains)).await;
    a.restart_as(closes_before_answer()).await;
    for _ in 0..5 {
        assert_eq!(moved(&proxy, &to_a).await.0, "b");
    }
    assert_eq!(a.requests(), 2, "the first of the five took it out");
}

#[tokio::test]
async fn without_bound_clients_a_server_that_drains_gets_nothing() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let servers = [a.server_with("drain = true"), b.server()];
    for keys in [
        "",
        BY_COOKIE,
        "balance = \"least_conn\"",
        "balance = \"ip_hash\"",
    ] {
        let proxy = Proxy::start(&app(&servers, keys)).await;
        let mut client = proxy.client().await.allowing("set-cookie");
        for _ in 0..4 {
            assert_eq!(client.get("/").await.text(), "b", "{keys}");
        }
    }
    assert_eq!(a.connections(), 0);
}

#[tokio::test]
async fn when_all_drain_whoever_is_bound_is_served_and_nobody_else() {
    let (a, b, mut proxy, to_a) = bound_to_a().await;
    let servers = [&a, &b].map(|backend| backend.server_with("drain = true"));
    proxy.reload(&app(&servers, BY_COOKIE)).await;
    assert_eq!(kept(&proxy, &to_a).await, "a");
    assert_eq!(proxy.get("/").await.status, 502);
}

// === down ===

#[tokio::test]
async fn a_server_that_is_down_loses_its_clients() {
    let (a, b, mut proxy, to_a) = bound_to_a().await;
    proxy.reload(&with_a(&a, &b, "down = true")).await;
    let (name, to_b) = moved(&proxy, &to_a).await;
    assert_eq!(name, "b");
    for _ in 0..3 {
        assert_eq!(kept(&proxy, &to_b).await, "b");
    }
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn down_is_more_than_drain() {
    let (a, b, mut proxy, to_a) = bound_to_a().await;
    let both = "down = true, drain = true";
    proxy.reload(&with_a(&a, &b, both)).await;
    assert_eq!(moved(&proxy, &to_a).await.0, "b");
}

#[tokio::test]
async fn a_server_that_is_up_again_knows_its_clients() {
    let (a, b, mut proxy, to_a) = bound_to_a().await;
    proxy.reload(&with_a(&a, &b, "down = true")).await;
    let (_, to_b) = moved(&proxy, &to_a).await;
    proxy.reload(&with_a(&a, &b, "")).await;
    for _ in 0..3 {
        assert_eq!(kept(&proxy, &to_a).await, "a");
        assert_eq!(kept(&proxy, &to_b).await, "b");
    }
}

// === beside the other ways to be bound ===

#[tokio::test]
async fn a_server_that_drains_keeps_the_sessions_with_its_route() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let servers = [
        a.server_with("route = \"n1\", drain = true"),
        b.server_with("route = \"n2\""),
    ];
    let proxy = Proxy::start(&app(&servers, "sticky = { route = \"SID\" }")).await;
    for _ in 0..3 {
        assert_eq!(kept(&proxy, "SID=1.n1").await, "a");
        assert_eq!(proxy.get("/").await.text(), "b");
    }
}

#[tokio::test]
async fn a_server_that_drains_keeps_the_sessions_that_were_learnt() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let keys = "sticky = { learn = \"$http_x_user\" }";
    let servers = |a: String| app(&[a, b.server()], keys);
    let mut proxy = Proxy::start(&servers(a.server())).await;
    let user = async |proxy: &Proxy, name| {
        let fields = [("X-User", name)];
        let answer = proxy.request("GET", "/", &fields, b"").await;
        answer.text()
    };
    assert_eq!(user(&proxy, "one").await, "a");
    proxy.reload(&servers(a.server_with("drain = true"))).await;
    for _ in 0..3 {
        assert_eq!(user(&proxy, "one").await, "a");
        assert_eq!(user(&proxy, "two").await, "b");
    }
    proxy.reload(&servers(a.server_with("down = true"))).await;
    assert_eq!(user(&proxy, "one").await, "b");
    proxy.reload(&servers(a.server())).await;
    assert_eq!(user(&proxy, "one").await, "b", "that was learnt, too");
}
