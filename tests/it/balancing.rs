//! The share of each server, through the whole proxy. The sequences are nginx's; the arithmetic has its tests beside it.

mod hash;
mod least_conn;
mod random;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::client::Client;
use crate::support::hashed::TO_TWO;
use crate::support::proxy::{Proxy, app};
use crate::support::raw::Raw;

/// Three servers that say a, b and c.
async fn three() -> [Backend; 3] {
    [
        Backend::start(ok("a")).await,
        Backend::start(ok("b")).await,
        Backend::start(ok("c")).await,
    ]
}

/// Who answers the next `n` requests.
async fn sequence(proxy: &Proxy, n: usize) -> String {
    let mut client = proxy.client().await;
    let mut names = String::new();
    for _ in 0..n {
        names += &client.get("/").await.text();
    }
    names
}

#[tokio::test]
async fn equal_servers_take_turns() {
    let [a, b, c] = three().await;
    let proxy = Proxy::start(&app(&[a.server(), b.server(), c.server()], "")).await;
    assert_eq!(sequence(&proxy, 9).await, "abcabcabc");
}

#[tokio::test]
async fn weights_are_smooth() {
    let [a, b, c] = three().await;
    let proxy = Proxy::start(&app(
        &[a.server_with("weight = 5"), b.server(), c.server()],
        "",
    ))
    .await;
    assert_eq!(sequence(&proxy, 14).await, "aabacaaaabacaa");
}

#[tokio::test]
async fn a_server_that_is_down_gets_nothing() {
    let [a, b, c] = three().await;
    let proxy = Proxy::start(&app(
        &[a.server(), b.server_with("down = true"), c.server()],
        "",
    ))
    .await;
    assert_eq!(sequence(&proxy, 4).await, "acac");
    assert_eq!(b.connections(), 0);
}

#[tokio::test]
async fn ip_hash_keeps_a_network_with_its_server() {
    let [a, b, c] = three().await;
    let proxy = Proxy::start(&app(
        &[a.server(), b.server(), c.server()],
        "balance = \"ip_hash\"",
    ))
    .await;
    let mut names = Vec::new();
    for source in ["127.0.0.1", "127.0.0.2", "127.0.0.77", "127.0.0.1"] {
        let raw = Raw::connect_from(source, proxy.addr()).await;
        names.push(Client::over(raw).get("/").await.text());
    }
    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn ip_hash_sees_the_client_behind_a_trusted_proxy() {
    let [a, b, _] = three().await;
    let pool = app(&[a.server(), b.server()], "balance = \"ip_hash\"");
    let proxy = Proxy::start_with("trusted_proxies = [\"127.0.0.0/8\"]", &pool).await;
    for (client, name) in TO_TWO {
        let answer = proxy
            .request("GET", "/", &[("X-Forwarded-For", client)], b"")
            .await;
        assert_eq!(answer.text(), name, "{client}");
    }
}
