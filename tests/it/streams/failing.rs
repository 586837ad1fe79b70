//! Servers that cannot be connected to: the next one makes good for them, and they are out for a while.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, ok};
use crate::support::plain::{Plain, greets, who};
use crate::support::proxy::Proxy;
use crate::support::streams::{ask, start, stream};
use crate::support::wait;

/// lbd before these servers, with these keys for the pool.
async fn before(servers: &[&Backend], keys: &str) -> (Proxy, SocketAddr) {
    let servers: Vec<_> = servers.iter().map(|backend| backend.server()).collect();
    start(&stream("", &servers, keys)).await
}

#[tokio::test]
async fn a_dead_server_goes_unnoticed() {
    let (dead, alive) = (Backend::refuses(), Backend::start(greets("a")).await);
    let (_proxy, addr) = before(&[&dead, &alive], "").await;
    for _ in 0..10 {
        assert_eq!(who(addr).await, "a");
    }
}

#[tokio::test]
async fn a_server_that_never_accepts_costs_its_connect_timeout_and_no_more() {
    let (hangs, alive) = (
        Backend::never_accepts().await,
        Backend::start(greets("a")).await,
    );
    let keys = "timeouts = { connect = \"300ms\" }\nfail_timeout = \"60s\"";
    let (_proxy, addr) = before(&[&hangs, &alive], keys).await;
    let begin = Instant::now();
    assert_eq!(who(addr).await, "a");
    let took = begin.elapsed();
    let expected = Duration::from_millis(250)..Duration::from_secs(3);
    assert!(expected.contains(&took), "{took:?}");
    // It has failed, and is out.
    let begin = Instant::now();
    assert_eq!(who(addr).await, "a");
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(250), "{took:?}");
}

#[tokio::test]
async fn a_stream_can_be_less_patient_than_its_pool() {
    let (hangs, alive) = (
        Backend::never_accepts().await,
        Backend::start(greets("a")).await,
    );
    let servers = [hangs.server(), alive.server()];
    let (keys, pool) = (
        "timeouts = { connect = \"200ms\" }",
        "timeouts = { connect = \"60s\" }",
    );
    let (_proxy, addr) = start(&stream(keys, &servers, pool)).await;
    assert_eq!(who(addr).await, "a");
}

#[tokio::test]
async fn a_client_may_speak_before_its_server_is_found() {
    let (hangs, alive) = (
        Backend::never_accepts().await,
        Backend::start(ok("whole")).await,
    );
    let keys = "timeouts = { connect = \"200ms\" }";
    let (_proxy, addr) = before(&[&hangs, &alive], keys).await;
    let client = Plain::connect(addr).await;
    assert_eq!(ask(client.into_inner()).await, "whole");
}

// === nobody is left ===

#[tokio::test]
async fn when_every_server_is_dead_the_client_is_closed_at_once() {
    let (a, b) = (Backend::refuses(), Backend::refuses());
    let (_proxy, addr) = before(&[&a, &b], "fail_timeout = \"60s\"").await;
    // The second time all of them are out.
    for _ in 0..3 {
        let begin = Instant::now();
        Plain::connect(addr).await.is_closed().await;
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test]
async fn when_every_server_hangs_the_client_is_closed_after_the_timeouts() {
    let hangs = Backend::never_accepts().await;
    let (_proxy, addr) = before(&[&hangs], "timeouts = { connect = \"200ms\" }").await;
    Plain::connect(addr).await.is_closed().await;
}

#[tokio::test]
async fn a_single_server_that_comes_back_serves_at_once() {
    let mut only = Backend::refuses();
    let (_proxy, addr) = before(&[&only], "max_fails = 1\nfail_timeout = \"60s\"").await;
    Plain::connect(addr).await.is_closed().await;
    only.start_as(greets("a"));
    assert_eq!(who(addr).await, "a");
}

// === how often ===

#[tokio::test]
async fn no_more_servers_are_tried_than_retry_says() {
    let (dead, alive) = (Backend::refuses(), Backend::start(greets("a")).await);
    let keys = "max_fails = 0\nretry = { tries = 1 }";
    let (_proxy, addr) = before(&[&dead, &alive], keys).await;
    for _ in 0..3 {
        Plain::connect(addr).await.is_closed().await;
        assert_eq!(who(addr).await, "a");
    }
}

#[tokio::test]
async fn no_server_is_tried_after_the_time_that_retry_says() {
    let (hangs, alive) = (
        Backend::never_accepts().await,
        Backend::start(greets("a")).await,
    );
    let keys = "retry = { timeout = \"100ms\" }\ntimeouts = { connect = \"300ms\" }";
    let (_proxy, addr) = before(&[&hangs, &alive], keys).await;
    Plain::connect(addr).await.is_closed().await;
    assert_eq!(alive.connections(), 0);
}

// === out, and back ===

#[tokio::test]
async fn max_fails_takes_a_server_out() {
    let (mut failing, good) = (Backend::refuses(), Backend::start(greets("g")).await);
    let keys = "max_fails = 2\nfail_timeout = \"60s\"";
    let (_proxy, addr) = before(&[&failing, &good], keys).await;
    for _ in 0..8 {
        assert_eq!(who(addr).await, "g");
    }
    // It would be found if anybody still asked for it.
    failing.start_as(greets("f"));
    for _ in 0..8 {
        assert_eq!(who(addr).await, "g");
    }
    assert_eq!(failing.connections(), 0);
}

#[tokio::test]
async fn a_failure_below_max_fails_takes_nobody_out() {
    let (mut failing, good) = (Backend::refuses(), Backend::start(greets("g")).await);
    let keys = "max_fails = 2\nfail_timeout = \"60s\"";
    let (_proxy, addr) = before(&[&failing, &good], keys).await;
    assert_eq!(who(addr).await, "g");
    failing.start_as(greets("f"));
    let next = [who(addr).await, who(addr).await, who(addr).await];
    assert!(next.iter().any(|name| name == "f"), "{next:?}");
}

#[tokio::test]
async fn a_server_that_is_out_comes_back_after_fail_timeout() {
    let (mut failing, good) = (Backend::refuses(), Backend::start(greets("g")).await);
    let keys = "max_fails = 1\nfail_timeout = \"500ms\"";
    let (_proxy, addr) = before(&[&failing, &good], keys).await;
    let begin = Instant::now();
    assert_eq!(who(addr).await, "g");
    failing.start_as(greets("f"));
    wait::until_async("it is back", async || who(addr).await == "f").await;
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(450), "{took:?}");
    // One connection that was made is enough for its full share.
    let next = [who(addr).await, who(addr).await];
    assert!(next.iter().any(|name| name == "f"), "{next:?}");
}

#[tokio::test]
async fn a_server_that_accepts_and_closes_has_not_failed() {
    let closes = Behaviour::new(|peer| async move {
        drop(peer);
        Ok(())
    });
    let (a, b) = (
        Backend::start(closes.clone()).await,
        Backend::start(closes).await,
    );
    let keys = "max_fails = 1\nfail_timeout = \"60s\"";
    let (_proxy, addr) = before(&[&a, &b], keys).await;
    for _ in 0..6 {
        Plain::connect(addr).await.is_closed().await;
    }
    assert_eq!((a.connections(), b.connections()), (3, 3));
}
