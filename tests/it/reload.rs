//! A reload takes all of the new file or nothing, and no request notices.

mod ending;

use tokio::net::{TcpListener, TcpStream};

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, closes_before_answer, gated, ok};
use crate::support::client::{Client, get};
use crate::support::proxy::{Proxy, app, file, says};
use crate::support::raw::Raw;
use crate::support::wait;

/// A second listener.
const SECOND: &str = "[[listeners]]\nname = \"second\"\nbind = \"127.0.0.2:0\"\n";

/// Every path says `body`.
fn all(body: &str) -> String {
    says("path = \"/\"", body)
}

#[tokio::test]
async fn the_new_file_counts_and_the_address_stays() {
    let mut proxy = Proxy::start(&all("old")).await;
    let addr = proxy.addr();
    assert_eq!(proxy.get("/").await.text(), "old");
    proxy.reload(&all("new")).await;
    assert_eq!(proxy.addr(), addr);
    assert_eq!(proxy.get("/").await.text(), "new");
}

#[tokio::test]
async fn a_request_in_flight_survives() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "old")).await;
    let mut proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    proxy.reload(&all("new")).await;
    assert_eq!(
        proxy.get("/").await.text(),
        "new",
        "while the old one waits"
    );
    gate.open();
    assert_eq!(client.response().await.text(), "old");
}

#[tokio::test]
async fn a_keep_alive_connection_uses_the_new_file_from_its_next_request() {
    let mut proxy = Proxy::start(&all("old")).await;
    let mut client = proxy.client().await;
    assert_eq!(client.get("/").await.text(), "old");
    proxy.reload(&all("new")).await;
    assert_eq!(client.get("/").await.text(), "new");
}

#[tokio::test]
async fn failure_marks_are_cleared() {
    let (mut a, b) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("b")).await,
    );
    let text = app(
        &[a.server(), b.server()],
        "max_fails = 1\nfail_timeout = \"60s\"",
    );
    let mut proxy = Proxy::start(&text).await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.text(), "b");
    }
    assert_eq!(a.requests(), 1, "it is out");
    a.restart_as(ok("a")).await;
    proxy.reload(&text).await;
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(proxy.get("/").await.text());
    }
    assert!(names.iter().any(|name| name == "a"), "{names:?}");
}

#[tokio::test]
async fn idle_connections_to_servers_stay() {
    let backend = Backend::start(ok("x")).await;
    let text = app(&[backend.server()], "");
    let mut proxy = Proxy::start(&text).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.status, 200);
        proxy.reload(&text).await;
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn requests_in_flight_count_for_max_conns_after_a_reload() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "x")).await;
    let text = app(&[backend.server_with("max_conns = 1")], "");
    let mut proxy = Proxy::start(&text).await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    proxy.reload(&text).await;
    assert_eq!(proxy.get("/").await.status, 503, "its only place is taken");
    gate.open();
    assert_eq!(client.response().await.status, 200);
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn servers_come_and_go() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let mut proxy = Proxy::start(&app(&[a.server()], "")).await;
    assert_eq!(proxy.get("/").await.text(), "a");
    proxy.reload(&app(&[b.server()], "")).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.text(), "b");
    }
    wait::until("the idle connection to a is closed", || a.open() == 0).await;
}

// === listeners ===

#[tokio::test]
async fn a_new_listener_accepts() {
    let mut proxy = Proxy::start(&all("x")).await;
    proxy
        .try_reload(&file("", "", &(all("x") + SECOND)))
        .await
        .expect("a good file is taken");
    let second = proxy.addrs()[1];
    assert_eq!(Client::connect(second).await.get("/").await.text(), "x");
}

#[tokio::test]
async fn a_removed_listener_drains() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "finished")).await;
    let pool = app(&[backend.server()], "");
    let mut proxy = Proxy::start_file(&file("", "", &format!("{pool}{SECOND}"))).await;
    let second = proxy.addrs()[1];
    let mut busy = Raw::connect(second).await;
    busy.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;

    proxy.reload(&pool).await;
    assert_eq!(proxy.addrs().len(), 1);
    wait::until_async("the port refuses", async || {
        TcpStream::connect(second).await.is_err()
    })
    .await;
    gate.open();
    assert_eq!(busy.response().await.text(), "finished");
    busy.ends().await;
    assert_eq!(proxy.get("/").await.text(), "finished");
}

#[tokio::test]
async fn idle_connections_of_a_removed_listener_are_closed() {
    let mut proxy = Proxy::start_file(&file("", "", &(all("x") + SECOND))).await;
    let mut idle = Raw::connect(proxy.addrs()[1]).await;
    assert_eq!(idle.exchange(get("/")).await.status, 200);
    proxy.reload(&all("x")).await;
    idle.ends().await;
}

#[tokio::test]
async fn a_bind_that_fails_leaves_everything_as_it_was() {
    let mut proxy = Proxy::start(&all("old")).await;
    let mut client = proxy.client().await;
    assert_eq!(client.get("/").await.text(), "old");

    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let third = format!("[[listeners]]\nbind = \"{addr}\"\n");
    let error = proxy
        .try_reload(&file("", "", &(all("new") + SECOND + &third)))
        .await
        .expect_err("the port is taken");
    assert!(error.contains(&addr), "which one? {error}");

    assert_eq!(proxy.addrs().len(), 1);
    assert_eq!(client.get("/").await.text(), "old");
    assert_eq!(proxy.get("/").await.text(), "old");

    drop(taken);
    proxy.reload(&all("new")).await;
    assert_eq!(
        client.get("/").await.text(),
        "new",
        "a failed reload blocks no later one"
    );
}

// === under load, and at the end ===

#[tokio::test]
async fn many_reloads_under_load_fail_no_request() {
    let backend = Backend::start(ok("x")).await;
    let text = app(&[backend.server()], "");
    let mut proxy = Proxy::start(&text).await;
    let addr = proxy.addr();
    let load = tokio::spawn(async move {
        for _ in 0..60 {
            let mut client = Client::connect(addr).await;
            for _ in 0..5 {
                assert_eq!(client.get("/").await.text(), "x");
            }
        }
    });
    wait::until_async("the load is done", async || {
        proxy.reload(&text).await;
        load.is_finished()
    })
    .await;
    load.await.expect("no request failed");
}

#[tokio::test]
async fn a_pipelined_request_is_answered_by_the_file_of_its_turn() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "old")).await;
    let mut proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client.send(get("/").repeat(2)).await;
    wait::until("the first is with the server", || backend.requests() == 1).await;
    proxy.reload(&says("path = \"/\"", "new")).await;
    gate.open();
    assert_eq!(client.response().await.text(), "old");
    assert_eq!(client.response().await.text(), "new");
}

#[tokio::test]
async fn shutdown_waits_for_requests_in_flight_and_refuses_new_ones() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "finished")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let addr = proxy.addr();
    let mut idle = proxy.raw().await;
    idle.accepted().await;
    let mut busy = proxy.raw().await;
    busy.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;

    let stopping = tokio::spawn(proxy.stop());
    wait::until_async("the port refuses", async || {
        TcpStream::connect(addr).await.is_err()
    })
    .await;
    gate.open();
    assert_eq!(busy.response().await.text(), "finished");
    busy.ends().await;
    idle.ends().await;
    wait::within("stopping", stopping).await.expect("no panic");
}

#[tokio::test]
async fn shutdown_ends_at_its_deadline() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "never")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut busy = proxy.raw().await;
    busy.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    proxy.stop().await;
    busy.ends().await;
}
