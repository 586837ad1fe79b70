//! What is known of servers outlives a reload, and what is new gets nothing before it was checked.

use super::{
    AT_ONCE, App, OFTEN, all_by, becomes, before, by_both, checked, goes_out, response, two,
};
use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

#[tokio::test]
async fn a_server_that_is_out_gets_nothing_after_a_reload() {
    let [a, b] = two().await;
    a.answers(503, "");
    let text = checked(&[&a, &b], OFTEN, "");
    let mut proxy = Proxy::start(&text).await;
    for _ in 0..10 {
        proxy.reload(&text).await;
        all_by(proxy.addr(), "b").await;
    }
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn nor_if_it_is_checked_in_another_way_from_now_on() {
    let [a, b] = two().await;
    a.answers(503, "");
    let mut proxy = before(&[&a, &b], OFTEN).await;
    // Which it would not pass either.
    proxy
        .reload(&checked(
            &[&a, &b],
            &format!("status = [\"418\"], {OFTEN}"),
            "",
        ))
        .await;
    assert_eq!(proxy.server(a.addr()).state, "out");
    a.answers(418, "");
    b.answers(418, "");
    becomes(&proxy, a.addr(), "up").await;
    assert_eq!(a.requests(), 0);
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn a_server_that_is_well_is_used_right_after_a_reload() {
    let [a, b] = two().await;
    let text = checked(&[&a, &b], "interval = \"1h\", timeout = \"2s\"", "");
    let mut proxy = Proxy::start(&text).await;
    let checks = (a.checks(), b.checks());
    proxy.reload(&text).await;
    by_both(&proxy).await;
    assert_eq!((a.checks(), b.checks()), checks, "nobody asked again");
}

#[tokio::test]
async fn checks_go_on_after_a_reload_and_not_twice() {
    let [a, b] = two().await;
    let text = checked(&[&a, &b], AT_ONCE, "");
    let mut proxy = Proxy::start(&text).await;
    for _ in 0..5 {
        proxy.reload(&text).await;
    }
    a.answers(503, "");
    goes_out(&proxy, a.addr()).await;
    // Each waits 100 ms after the one before, whatever the file says.
    let (before, began) = (a.checks(), tokio::time::Instant::now());
    wait::until("some checks", || a.checks() >= before + 5).await;
    assert!(began.elapsed().as_millis() >= 400, "{:?}", began.elapsed());
}

// === what is new ===

#[tokio::test]
async fn a_new_server_gets_nothing_before_its_first_good_check() {
    let [a, b] = two().await;
    b.answers(503, "");
    let mut proxy = before(&[&a], OFTEN).await;
    proxy.reload(&checked(&[&a, &b], OFTEN, "")).await;
    assert_eq!(proxy.server(b.addr()).state, "out");
    all_by(proxy.addr(), "a").await;
    assert_eq!(b.requests(), 0);
    b.answers(200, "");
    becomes(&proxy, b.addr(), "up").await;
    by_both(&proxy).await;
}

/// Answers 200, but not before the gate opens.
fn waits(gate: &Gate) -> Behaviour {
    let gate = gate.clone();
    Behaviour::new(move |mut peer| {
        let gate = gate.clone();
        async move {
            loop {
                peer.request().await?;
                gate.passed().await;
                peer.send(response(200, "b")).await?;
            }
        }
    })
}

#[tokio::test]
async fn all_goes_on_while_a_new_server_is_checked() {
    let a = App::start("a").await;
    let gate = Gate::closed();
    let b = Backend::start(waits(&gate)).await;
    let mut proxy = before(&[&a], "interval = \"20ms\", timeout = \"8s\"").await;
    let health = "health = { check = \"http\", path = \"/check\", timeout = \"8s\" }";
    let both = app(&[a.backend.server(), b.server()], health);
    let addr = proxy.addr();
    tokio::join!(proxy.reload(&both), async {
        wait::until("the first check", || b.requests() == 1).await;
        all_by(addr, "a").await;
        assert_eq!(b.requests(), 1);
        gate.open();
    });
    by_both(&proxy).await;
}

#[tokio::test]
async fn a_new_server_that_hangs_does_not_hold_a_reload_for_longer_than_its_timeout() {
    let a = App::start("a").await;
    let gate = Gate::closed();
    let b = Backend::start(waits(&gate)).await;
    let mut proxy = before(&[&a], OFTEN).await;
    let health = "health = { check = \"http\", path = \"/check\", timeout = \"200ms\" }";
    let both = app(&[a.backend.server(), b.server()], health);
    let began = tokio::time::Instant::now();
    proxy.reload(&both).await;
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!(proxy.server(b.addr()).state, "out");
    all_by(proxy.addr(), "a").await;
}

#[tokio::test]
async fn a_new_pool_gets_nothing_before_it_was_checked() {
    let [a, b] = two().await;
    b.answers(503, "");
    let old = app(&[a.backend.server()], "");
    let mut proxy = Proxy::start(&old).await;
    let new = checked(&[&b, &a], OFTEN, "").replace("\"app\"", "\"new\"");
    proxy
        .reload(&new.replace("[pools.app]", "[pools.new]"))
        .await;
    all_by(proxy.addr(), "a").await;
    assert_eq!(b.requests(), 0);
}

// === with checks, and without ===

#[tokio::test]
async fn without_checks_nobody_is_out_any_more() {
    let [a, b] = two().await;
    a.answers(503, "");
    let mut proxy = before(&[&a, &b], OFTEN).await;
    all_by(proxy.addr(), "b").await;
    let servers = [a.backend.server(), b.backend.server()];
    proxy.reload(&app(&servers, "")).await;
    by_both(&proxy).await;
    let checks = a.checks() + b.checks();
    by_both(&proxy).await;
    assert_eq!(a.checks() + b.checks(), checks, "nobody asks any more");
}

#[tokio::test]
async fn servers_that_are_checked_from_now_on_are_used_until_checks_are_bad() {
    let [a, b] = two().await;
    a.answers(503, "");
    let servers = [a.backend.server(), b.backend.server()];
    let mut proxy = Proxy::start(&app(&servers, "")).await;
    by_both(&proxy).await;
    proxy
        .reload(&checked(
            &[&a, &b],
            "interval = \"1h\", timeout = \"2s\"",
            "",
        ))
        .await;
    by_both(&proxy).await;
    proxy.reload(&checked(&[&a, &b], OFTEN, "")).await;
    goes_out(&proxy, a.addr()).await;
    all_by(proxy.addr(), "b").await;
}

#[tokio::test]
async fn a_server_that_was_away_is_new() {
    let [a, b] = two().await;
    a.answers(503, "");
    let both = checked(&[&a, &b], OFTEN, "");
    let mut proxy = Proxy::start(&both).await;
    proxy.reload(&checked(&[&b], OFTEN, "")).await;
    a.answers(200, "");
    proxy.reload(&both).await;
    // It need not be well as often as one that is to come back.
    assert_eq!(proxy.server(a.addr()).state, "up");
    by_both(&proxy).await;
}

#[tokio::test]
async fn a_server_that_was_down_in_the_file_is_checked_before_it_is_used_again() {
    let [a, b] = two().await;
    let up = checked(&[&a, &b], OFTEN, "");
    let down = up.replace(&a.backend.server(), &a.backend.server_with("down = true"));
    let mut proxy = Proxy::start(&up).await;
    proxy.reload(&down).await;
    // Nobody asks it meanwhile.
    a.answers(503, "");
    proxy.reload(&up).await;
    all_by(proxy.addr(), "b").await;
    goes_out(&proxy, a.addr()).await;
    all_by(proxy.addr(), "b").await;
    assert_eq!(a.requests(), 0);
}
