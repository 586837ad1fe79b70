//! How many checks it takes, and how soon they come.

use super::{becomes, checked, response, two};
use crate::support::backend::Backend;
use crate::support::behaviour::Behaviour;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// Answers checks well (`.`) or badly (`x`), one after the other, and from then on as the last time.
fn scripted(script: &'static str) -> Behaviour {
    Behaviour::new(move |mut peer| async move {
        loop {
            peer.request().await?;
            let index = script.len().min(peer.number()) - 1;
            let is_bad = script.as_bytes()[index] == b'x';
            let status = if is_bad { 503 } else { 200 };
            peer.send(response(status, "")).await?;
        }
    })
}

/// The state of a server that has answered all checks of this script, which have these keys.
async fn after(script: &'static str, keys: &str) -> String {
    let backend = Backend::start(scripted(script)).await;
    let often = "interval = \"20ms\", timeout = \"2s\"";
    let health = format!("health = {{ check = \"http\", {often}, {keys} }}");
    let proxy = Proxy::start(&app(&[backend.server()], &health)).await;
    // When one comes, the one before it has been judged.
    wait::until("all of them", || backend.requests() > script.len()).await;
    proxy.server(backend.addr()).state
}

#[tokio::test]
async fn the_first_check_decides() {
    let keys = "rise = 1000, fall = 1000";
    assert_eq!(after(".", keys).await, "up");
    assert_eq!(after("x", keys).await, "out");
}

#[tokio::test]
async fn it_takes_fall_bad_checks_in_a_row() {
    // Whoever goes out stays out.
    for (script, keys, state) in [
        (".xx.", "rise = 1000, fall = 2", "out"),
        (".x.x.", "rise = 1000, fall = 2", "up"),
        (".xxxx.", "rise = 1000, fall = 5", "up"),
        (".xx.xx.", "rise = 1000", "up"),
        (".xxx.", "rise = 1000", "out"),
    ] {
        assert_eq!(after(script, keys).await, state, "{script} {keys}");
    }
}

#[tokio::test]
async fn it_takes_rise_good_checks_in_a_row() {
    // Whoever comes back stays.
    for (script, keys, state) in [
        ("x.x", "rise = 1, fall = 1000", "up"),
        ("x...x...x", "rise = 4, fall = 1000", "out"),
        ("x....x", "rise = 4, fall = 1000", "up"),
        ("x.x.x", "fall = 1000", "out"),
        ("x..x", "fall = 1000", "up"),
    ] {
        assert_eq!(after(script, keys).await, state, "{script} {keys}");
    }
}

// === fast ===

/// Checks come once an hour, but much more often while there is doubt; no request takes a server out.
const SELDOM: &str = "interval = \"1h\", fast = \"20ms\", timeout = \"2s\"";

#[tokio::test]
async fn one_request_that_fails_is_enough_for_checks_to_find_out() {
    let [mut a, b] = two().await;
    let proxy = Proxy::start(&checked(&[&a, &b], SELDOM, "max_fails = 0")).await;
    a.stop().await;
    // One of the two meets the dead server first.
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.text(), "b");
    }
    becomes(&proxy, a.addr(), "out").await;
}

#[tokio::test]
async fn a_server_that_is_out_is_asked_no_more_often_than_others() {
    let [a, b] = two().await;
    a.answers(503, "");
    let keys = "interval = \"20ms\", fast = \"1h\", timeout = \"2s\", rise = 1";
    let proxy = Proxy::start(&checked(&[&a, &b], keys, "")).await;
    wait::until("some checks of each", || a.checks() >= 5 && b.checks() >= 5).await;
    a.answers(200, "");
    becomes(&proxy, a.addr(), "up").await;
}
