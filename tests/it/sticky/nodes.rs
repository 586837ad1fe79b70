//! What a cookie says needs no memory: every node with the same file and every later file understand it, and nobody else.

use crate::support::backend::Backend;
use crate::support::proxy::{Proxy, app, file};

use super::{BY_COOKIE, answer, before, bound, kept, moved, pair, pool, three};

#[tokio::test]
async fn a_reload_moves_nobody() {
    let [a, b, c] = three().await;
    let mut proxy = before(&[&a, &b], BY_COOKIE).await;
    let (_, to_a) = bound(&proxy).await;
    let (_, to_b) = bound(&proxy).await;
    for servers in [&[&a, &b][..], &[&c, &b, &a], &[&b, &a]] {
        proxy.reload(&pool(servers, BY_COOKIE)).await;
        for _ in 0..3 {
            assert_eq!(kept(&proxy, &to_a).await, "a");
            assert_eq!(kept(&proxy, &to_b).await, "b");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone_from_the_file_has_no_clients() {
    let [a, b, _] = three().await;
    let mut proxy = before(&[&a, &b], BY_COOKIE).await;
    let (_, to_a) = bound(&proxy).await;
    proxy.reload(&pool(&[&b], BY_COOKIE)).await;
    let (name, to_b) = moved(&proxy, &to_a).await;
    assert_eq!(name, "b");
    assert_eq!(kept(&proxy, &to_b).await, "b");
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn nodes_with_the_same_file_give_and_know_the_same_cookies() {
    let [a, b, _] = three().await;
    let one = before(&[&a, &b], BY_COOKIE).await;
    let other = before(&[&a, &b], BY_COOKIE).await;
    let at_one = [bound(&one).await, bound(&one).await];
    let at_other = [bound(&other).await, bound(&other).await];
    assert_eq!(at_one, at_other);
    for _ in 0..3 {
        for (name, cookie) in &at_one {
            assert_eq!(kept(&other, cookie).await, *name);
        }
    }
}

#[tokio::test]
async fn a_server_with_a_route_may_change_its_address() {
    let [a, b, c] = three().await;
    let named = |a: &Backend, b: &Backend| {
        let servers = [
            a.server_with("route = \"n1\""),
            b.server_with("route = \"n2\""),
        ];
        app(&servers, BY_COOKIE)
    };
    let mut proxy = Proxy::start(&named(&a, &b)).await;
    let (_, to_a) = bound(&proxy).await;
    proxy.reload(&named(&c, &b)).await;
    for _ in 0..3 {
        assert_eq!(kept(&proxy, &to_a).await, "c");
    }
}

// === secrets ===

#[tokio::test]
async fn a_cookie_made_with_another_key_is_unknown() {
    let [a, b, _] = three().await;
    let keyed = |key| format!("sticky = {{ cookie = \"lb\", key = \"{key}\" }}");
    let mut proxy = before(&[&a, &b], &keyed("old")).await;
    let (_, old) = bound(&proxy).await;
    proxy.reload(&pool(&[&a, &b], &keyed("new"))).await;
    let (name, new) = moved(&proxy, &old).await;
    assert_ne!(new, old);
    assert_eq!(kept(&proxy, &new).await, name);
}

#[tokio::test]
async fn two_pools_never_take_each_other_s_cookies() {
    let [a, b, _] = three().await;
    let servers = [a.server(), b.server()].join(", ");
    let one_of_two = |name| {
        let route = format!("[[routes]]\npath = \"/{name}\"\npool = \"{name}\"\n");
        let keys = "sticky = { cookie = \"lb\", key = \"the same\" }";
        format!("{route}[pools.{name}]\nservers = [{servers}]\n{keys}\n")
    };
    let text = one_of_two("one") + &one_of_two("two");
    let proxy = Proxy::start_file(&file("", "", &text)).await;
    for (from, to) in [("/one", "/two"), ("/two", "/one")] {
        let cookie = pair(&answer(&proxy, from, &[]).await);
        let fields = [("Cookie", &*cookie)];
        let elsewhere = answer(&proxy, to, &fields).await;
        assert_ne!(pair(&elsewhere), cookie);
        let there = proxy.request("GET", from, &fields, b"").await;
        assert_eq!(there.status, 200);
    }
}
