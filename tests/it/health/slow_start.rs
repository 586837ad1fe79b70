//! A server that is back gets less at first: its caches are cold.

use std::collections::HashMap;

use super::{AT_ONCE, App, all_by, becomes, checked, goes_out, two};
use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, closes_before_answer, gated, ok};
use crate::support::client::get;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// Far longer than any test: whoever comes back is cold.
const LONG: &str = "slow_start = \"10m\"";

/// How many of the next hundred requests each server answers.
async fn shares(proxy: &Proxy) -> HashMap<String, u32> {
    let mut shares = HashMap::new();
    let mut client = proxy.client().await;
    for _ in 0..100 {
        let answer = client.get("/").await;
        assert_eq!(answer.status, 200);
        *shares.entry(answer.text()).or_default() += 1;
    }
    shares
}

/// How many of them `name` answers.
async fn share(proxy: &Proxy, name: &str) -> u32 {
    shares(proxy).await.get(name).copied().unwrap_or_default()
}

/// Takes `app` out and brings it back.
async fn comes_back(proxy: &Proxy, app: &App) {
    app.answers(503, "");
    goes_out(proxy, app.addr()).await;
    app.answers(200, "");
    becomes(proxy, app.addr(), "warming up").await;
}

#[tokio::test]
async fn a_server_that_is_back_gets_far_less_than_its_share() {
    for method in ["round_robin", "least_conn", "random"] {
        let [a, b] = two().await;
        let keys = format!("{LONG}\nbalance = \"{method}\"");
        let proxy = Proxy::start(&checked(&[&a, &b], AT_ONCE, &keys)).await;
        comes_back(&proxy, &a).await;
        let share = share(&proxy, "a").await;
        assert!(share < 20, "{method}: {share}");
        let reason = proxy.server(a.addr()).reason;
        assert_eq!(reason.as_deref(), Some("gets 0% of its weight"));
    }
}

#[tokio::test]
async fn with_least_conn_it_works_on_far_fewer_at_once() {
    let gate = Gate::closed();
    let (a, b) = (
        Backend::start(gated(&gate, "a")).await,
        Backend::start(gated(&gate, "b")).await,
    );
    let keys = format!("{LONG}\nbalance = \"least_conn\"");
    let mut proxy = Proxy::start(&app(&[b.server()], &keys)).await;
    proxy.reload(&app(&[b.server(), a.server()], &keys)).await;
    let mut clients = Vec::new();
    for count in 1..=20 {
        let mut client = proxy.raw().await;
        client.send(get("/")).await;
        let come = || a.requests() + b.requests() == count;
        wait::until("a server has it", come).await;
        clients.push(client);
    }
    assert_eq!((a.requests(), b.requests()), (1, 19));
}

#[tokio::test]
async fn without_slow_start_it_gets_its_share_at_once() {
    let [a, b] = two().await;
    let proxy = Proxy::start(&checked(&[&a, &b], AT_ONCE, "")).await;
    a.answers(503, "");
    goes_out(&proxy, a.addr()).await;
    a.answers(200, "");
    becomes(&proxy, a.addr(), "up").await;
    let share = share(&proxy, "a").await;
    assert!((45..=55).contains(&share), "{share}");
}

#[tokio::test]
async fn it_gets_its_share_when_slow_start_has_passed() {
    let [a, b] = two().await;
    let keys = "slow_start = \"300ms\"";
    let proxy = Proxy::start(&checked(&[&a, &b], AT_ONCE, keys)).await;
    a.answers(503, "");
    goes_out(&proxy, a.addr()).await;
    a.answers(200, "");
    becomes(&proxy, a.addr(), "up").await;
    let share = share(&proxy, "a").await;
    assert!((40..=60).contains(&share), "{share}");
}

#[tokio::test]
async fn servers_are_warm_when_lbd_starts() {
    let [a, b] = two().await;
    let proxy = Proxy::start(&checked(&[&a, &b], AT_ONCE, LONG)).await;
    assert_eq!(proxy.server(a.addr()).state, "up");
    let share = share(&proxy, "a").await;
    assert!((45..=55).contains(&share), "{share}");
}

#[tokio::test]
async fn a_server_that_a_reload_brings_is_cold() {
    let [a, b] = two().await;
    for health in [true, false] {
        let text = |apps: &[&App]| match health {
            true => checked(apps, AT_ONCE, LONG),
            false => {
                let servers: Vec<_> = apps.iter().map(|app| app.backend.server()).collect();
                app(&servers, LONG)
            }
        };
        let mut proxy = Proxy::start(&text(&[&b])).await;
        proxy.reload(&text(&[&b, &a])).await;
        assert_eq!(proxy.server(a.addr()).state, "warming up");
        let share = share(&proxy, "a").await;
        assert!(share < 20, "{share}");
    }
}

#[tokio::test]
async fn a_server_that_is_cold_takes_all_if_there_is_no_other() {
    let [a, b] = two().await;
    let proxy = Proxy::start(&checked(&[&a, &b], AT_ONCE, LONG)).await;
    comes_back(&proxy, &a).await;
    b.answers(503, "");
    goes_out(&proxy, b.addr()).await;
    all_by(proxy.addr(), "a").await;
}

#[tokio::test]
async fn each_server_may_have_its_own() {
    let [a, b] = two().await;
    let c = App::start("c").await;
    let servers = [
        a.backend.server_with(LONG),
        b.backend.server(),
        c.backend.server(),
    ];
    let health = format!("health = {{ check = \"http\", path = \"/check\", {AT_ONCE} }}");
    let proxy = Proxy::start(&app(&servers, &health)).await;
    comes_back(&proxy, &a).await;
    b.answers(503, "");
    goes_out(&proxy, b.addr()).await;
    b.answers(200, "");
    becomes(&proxy, b.addr(), "up").await;
    let shares = shares(&proxy).await;
    let of = |name: &str| shares.get(name).copied().unwrap_or_default();
    assert!(of("a") < 15 && of("b") > 35 && of("c") > 35, "{shares:?}");
}

#[tokio::test]
async fn a_server_that_failed_for_users_is_cold_when_a_probe_has_brought_it_back() {
    let (mut a, b) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("b")).await,
    );
    let keys = format!("{LONG}\nmax_fails = 1\nfail_timeout = \"50ms\"");
    let proxy = Proxy::start(&app(&[a.server(), b.server()], &keys)).await;
    all_by(proxy.addr(), "b").await;
    a.restart_as(ok("a")).await;
    wait::until_async("the probe", async || proxy.get("/").await.text() == "a").await;
    assert_eq!(proxy.server(a.addr()).state, "warming up");
    let share = share(&proxy, "a").await;
    assert!(share < 20, "{share}");
}
