//! Until a server has answered, an upgrade is a request like any other: another server makes good for one that fails.

use crate::support::backend::Backend;
use crate::support::behaviour::{answers, closes_before_answer, garbage, never_answers, raw};
use crate::support::client::request;
use crate::support::line::{switching_to, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::{greeted, greets, tunnel};

/// A tunnel through lbd before `failing` and a good server, in this order.
async fn gets_a_tunnel(failing: &Backend, keys: &str) {
    let door = Door::open().await;
    let servers = [failing.server(), door.server()];
    let proxy = Proxy::start(&app(&servers, keys)).await;
    let (mut client, mut server) = tunnel(proxy.addr(), &door).await;
    client.exchange(&mut server, 100_000).await;
}

#[tokio::test]
async fn a_refused_connection_is_made_to_the_other_server() {
    gets_a_tunnel(&Backend::refuses(), "").await;
}

#[tokio::test]
async fn a_connection_that_times_out_is_made_to_the_other_server() {
    let keys = "timeouts = { connect = \"200ms\" }";
    gets_a_tunnel(&Backend::never_accepts().await, keys).await;
}

#[tokio::test]
async fn a_server_that_dies_before_it_answers_goes_unnoticed() {
    for behaviour in [closes_before_answer(), garbage()] {
        let dying = Backend::start(behaviour).await;
        gets_a_tunnel(&dying, "").await;
        assert_eq!(dying.requests(), 1);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_goes_unnoticed() {
    let silent = Backend::start(never_answers()).await;
    gets_a_tunnel(&silent, "timeouts = { read = \"200ms\" }").await;
    assert_eq!(silent.requests(), 1);
}

#[tokio::test]
async fn a_server_that_switches_to_something_else_goes_unnoticed() {
    let odd = Backend::start(raw(switching_to("other", ""))).await;
    gets_a_tunnel(&odd, "").await;
}

#[tokio::test]
async fn a_refusal_is_the_answer_and_no_failure() {
    let (refusing, other) = (
        Backend::start(answers(403, "no")).await,
        Backend::start(greets()).await,
    );
    let servers = [refusing.server(), other.server()];
    let proxy = Proxy::start(&app(&servers, "")).await;
    let answer = proxy.raw().await.exchange(upgrade("/chat", &[])).await;
    assert_eq!((answer.status, other.requests()), (403, 0));
}

#[tokio::test]
async fn a_post_that_may_have_been_executed_is_not_sent_again() {
    let (dying, other) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(greets()).await,
    );
    let servers = [dying.server(), other.server()];
    let proxy = Proxy::start(&app(&servers, "")).await;
    let fields = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
    let post = request("POST", "/exec", &fields, b"");
    assert_eq!(proxy.raw().await.exchange(post).await.status, 502);
    assert_eq!((dying.requests(), other.requests()), (1, 0));
}

#[tokio::test]
async fn a_tunnel_that_breaks_is_not_begun_again() {
    let other = Backend::start(greets()).await;
    let door = Door::open().await;
    let servers = [door.server(), other.server_with("backup = true")];
    let proxy = Proxy::start(&app(&servers, "")).await;
    let (mut client, server) = tunnel(proxy.addr(), &door).await;
    server.reset();
    client.is_cut().await;
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_server_that_was_killed_and_is_back_gets_new_tunnels() {
    let mut backend = Backend::start(greets()).await;
    let proxy = Proxy::start(&app(&[backend.server()], "fail_timeout = \"100ms\"")).await;
    let mut client = greeted(&proxy).await;
    backend.stop().await;
    client.is_cut().await;
    backend.start_as(greets());
    wait::until_async("it is asked again", async || {
        proxy.get("/").await.status == 200
    })
    .await;
    greeted(&proxy).await;
}
