//! A server that takes connections and says nothing: the worst kind, for users would wait for it.

use std::time::Duration;

use tokio::time::Instant;

use super::{AT_ONCE, App, all_by, becomes, goes_out, is_check, response};
use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate, gated, never_answers, ok};
use crate::support::client::get;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// Checks that do not wait for long.
const BRIEF: &str = "check = \"http\", path = \"/check\", interval = \"20ms\", timeout = \"200ms\"";

/// lbd before these two, with these keys of `health` besides.
async fn before(a: &Backend, b: &Backend, health: &str) -> Proxy {
    let health = format!("health = {{ {BRIEF}, {health} }}");
    Proxy::start(&app(&[a.server(), b.server()], &health)).await
}

#[tokio::test]
async fn a_server_that_hangs_takes_no_request_after_its_last_bad_check() {
    let mut a = Backend::start(ok("a")).await;
    let b = Backend::start(ok("b")).await;
    let proxy = before(&a, &b, "fall = 3").await;
    a.restart_as(never_answers()).await;
    let reason = goes_out(&proxy, a.addr()).await;
    assert_eq!(reason, "no answer within 200ms");
    let began = Instant::now();
    all_by(proxy.addr(), "b").await;
    assert!(began.elapsed() < Duration::from_secs(5));
    a.restart_as(ok("a")).await;
    becomes(&proxy, a.addr(), "up").await;
}

#[tokio::test]
async fn a_server_that_hangs_from_the_start_takes_none_at_all() {
    let (a, b) = (
        Backend::start(never_answers()).await,
        Backend::start(ok("b")).await,
    );
    let proxy = before(&a, &b, "fall = 3").await;
    all_by(proxy.addr(), "b").await;
    let seen = a.seen();
    assert!(seen.iter().all(is_check), "{seen:?}");
}

#[tokio::test]
async fn a_host_that_takes_no_connection_takes_no_request_either() {
    let (a, b) = (
        Backend::never_accepts().await,
        Backend::start(ok("b")).await,
    );
    let proxy = before(&a, &b, "fall = 3").await;
    let reason = goes_out(&proxy, a.addr()).await;
    assert_eq!(reason, "no connection within 200ms");
    all_by(proxy.addr(), "b").await;
}

/// Says half a head, and no more before the gate opens.
fn stops_halfway(gate: &Gate) -> Behaviour {
    let gate = gate.clone();
    Behaviour::new(move |mut peer| {
        let gate = gate.clone();
        async move {
            peer.request().await?;
            let answer = response(200, "a");
            let (start, end) = answer.split_at(20);
            peer.send(start).await?;
            gate.passed().await;
            peer.send(end).await
        }
    })
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let gate = Gate::closed();
    let (a, b) = (
        Backend::start(stops_halfway(&gate)).await,
        Backend::start(ok("b")).await,
    );
    let proxy = before(&a, &b, "rise = 1").await;
    let reason = goes_out(&proxy, a.addr()).await;
    assert_eq!(reason, "no answer within 200ms");
    gate.open();
    becomes(&proxy, a.addr(), "up").await;
}

#[tokio::test]
async fn a_check_that_hangs_is_let_go() {
    let (a, b) = (
        Backend::start(never_answers()).await,
        Backend::start(ok("b")).await,
    );
    let _proxy = before(&a, &b, "fall = 3").await;
    wait::until("some checks", || a.connections() >= 4).await;
    assert!(a.open() <= 2, "{}", a.open());
}

#[tokio::test]
async fn what_a_server_is_at_when_it_goes_out_is_finished() {
    // Checks say where new requests go, and take nothing away from those that are there.
    let (gate, watcher) = (Gate::closed(), App::start("watcher").await);
    let slow = Backend::start(gated(&gate, "slow")).await;
    let port = watcher.addr().port();
    let keys = format!("check = \"http\", path = \"/check\", port = {port}, {AT_ONCE}");
    let health = format!("health = {{ {keys} }}");
    let proxy = Proxy::start(&app(&[slow.server()], &health)).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with the server", || slow.requests() == 1).await;
    watcher.answers(503, "");
    goes_out(&proxy, slow.addr()).await;
    gate.open();
    assert_eq!(client.response().await.text(), "slow");
}
