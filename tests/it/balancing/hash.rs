//! By a key of the request: the same key, the same server.

use std::collections::HashSet;

use crate::support::backend::Backend;
use crate::support::proxy::{Proxy, app};

use super::{sequence, three};

/// The key of a pool that hashes a cookie.
const BY_COOKIE: &str = "balance = \"hash\"\nhash_key = \"$cookie_user\"";
/// The same, on a ring.
const CONSISTENT: &str = "balance = \"hash\"\nhash_key = \"$cookie_user\"\nconsistent = true";

/// The text for these servers.
fn pool(servers: &[&Backend], keys: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|backend| backend.server()).collect();
    app(&servers, keys)
}

/// Who answers the users 0, 1, … one after the other.
async fn of_users(proxy: &Proxy, count: usize) -> String {
    let mut client = proxy.client().await;
    let mut names = String::new();
    for user in 0..count {
        let cookie = format!("x=1; user={user}");
        let fields = [("Cookie", &*cookie)];
        names += &client.request("GET", "/", &fields, b"").await.text();
    }
    names
}

/// Whether each user of `before` is where it was, but for those of `gone`.
fn have_only_those_moved(before: &str, after: &str, gone: char) -> bool {
    let mut pairs = before.chars().zip(after.chars());
    pairs.all(|(old, new)| old == new || old == gone)
}

/// How many of `names` are `name`.
fn count(names: &str, name: char) -> usize {
    names.chars().filter(|other| *other == name).count()
}

#[tokio::test]
async fn the_mapping_is_nginx_s() {
    let [a, b, c] = three().await;
    let proxy = Proxy::start(&pool(&[&a, &b, &c], BY_COOKIE)).await;
    for _ in 0..3 {
        assert_eq!(of_users(&proxy, 12).await, "cbcbabaaccac");
    }
}

#[tokio::test]
async fn a_key_may_be_an_argument_a_field_or_several_parts() {
    let [a, b, c] = three().await;
    for (key, paths) in [
        ("$arg_user", ["/?user=1", "/x?y=2&user=1"]),
        ("$http_x_user", ["/", "/x"]),
        ("$host$http_x_user", ["/", "/x"]),
        ("$uri", ["/x?y=1", "/x?y=2"]),
        ("${cookie_connect.sid}", ["/", "/x"]),
    ] {
        let keys = format!("balance = \"hash\"\nhash_key = \"{key}\"");
        let proxy = Proxy::start(&pool(&[&a, &b, &c], &keys)).await;
        let fields = [("X-User", "1"), ("Cookie", "connect.sid=1")];
        let mut names = HashSet::new();
        for _ in 0..3 {
            for path in paths {
                names.insert(proxy.request("GET", path, &fields, b"").await.text());
            }
        }
        assert_eq!(names.len(), 1, "{key}: {names:?}");
    }
}

#[tokio::test]
async fn requests_without_the_key_take_turns() {
    let [a, b, c] = three().await;
    for keys in [BY_COOKIE, CONSISTENT] {
        let proxy = Proxy::start(&pool(&[&a, &b, &c], keys)).await;
        assert_eq!(sequence(&proxy, 6).await, "abcabc");
    }
}

#[tokio::test]
async fn keys_of_a_dead_server_go_elsewhere_and_no_others() {
    for keys in [BY_COOKIE, CONSISTENT] {
        let [a, mut b, c] = three().await;
        let proxy = Proxy::start(&pool(&[&a, &b, &c], keys)).await;
        let before = of_users(&proxy, 60).await;
        b.stop().await;
        let after = of_users(&proxy, 60).await;
        assert!(
            have_only_those_moved(&before, &after, 'b'),
            "{before} {after}"
        );
        assert_eq!(count(&after, 'b'), 0);
    }
}

#[tokio::test]
async fn a_server_that_is_down_keeps_its_place() {
    for keys in [BY_COOKIE, CONSISTENT] {
        let [a, b, c] = three().await;
        let mut proxy = Proxy::start(&pool(&[&a, &b, &c], keys)).await;
        let before = of_users(&proxy, 60).await;
        let servers = [a.server(), b.server_with("down = true"), c.server()];
        proxy.reload(&app(&servers, keys)).await;
        let after = of_users(&proxy, 60).await;
        assert!(
            have_only_those_moved(&before, &after, 'b'),
            "{before} {after}"
        );
        assert_eq!(count(&after, 'b'), 0);
    }
}

// === consistent ===

#[tokio::test]
async fn on_a_ring_a_server_that_goes_moves_only_its_own_keys() {
    let [a, b, c] = three().await;
    let mut proxy = Proxy::start(&pool(&[&a, &b, &c], CONSISTENT)).await;
    let before = of_users(&proxy, 300).await;
    for name in ['a', 'b', 'c'] {
        assert!(count(&before, name) > 0, "{before}");
    }
    proxy.reload(&pool(&[&a, &c], CONSISTENT)).await;
    let after = of_users(&proxy, 300).await;
    assert!(
        have_only_those_moved(&before, &after, 'b'),
        "{before} {after}"
    );
    proxy.reload(&pool(&[&a, &b, &c], CONSISTENT)).await;
    assert_eq!(of_users(&proxy, 300).await, before, "it has them again");
}

#[tokio::test]
async fn on_a_ring_a_server_that_comes_takes_keys_and_moves_no_others() {
    let [a, b, c] = three().await;
    let mut proxy = Proxy::start(&pool(&[&a, &b], CONSISTENT)).await;
    let before = of_users(&proxy, 300).await;
    proxy.reload(&pool(&[&a, &b, &c], CONSISTENT)).await;
    let after = of_users(&proxy, 300).await;
    assert!(count(&after, 'c') > 0, "{after}");
    assert!(
        have_only_those_moved(&after, &before, 'c'),
        "{before} {after}"
    );
}

#[tokio::test]
async fn on_a_ring_the_order_of_the_file_makes_no_difference() {
    let [a, b, c] = three().await;
    let one = Proxy::start(&pool(&[&a, &b, &c], CONSISTENT)).await;
    let other = Proxy::start(&pool(&[&c, &a, &b], CONSISTENT)).await;
    assert_eq!(of_users(&one, 100).await, of_users(&other, 100).await);
}

#[tokio::test]
async fn without_a_ring_a_server_that_goes_moves_nearly_all() {
    let [a, b, c] = three().await;
    let mut proxy = Proxy::start(&pool(&[&a, &b, &c], BY_COOKIE)).await;
    let before = of_users(&proxy, 100).await;
    proxy.reload(&pool(&[&a, &c], BY_COOKIE)).await;
    let after = of_users(&proxy, 100).await;
    assert!(!have_only_those_moved(&before, &after, 'b'));
}
