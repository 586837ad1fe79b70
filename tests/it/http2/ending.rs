//! Ends that cost nobody anything: GOAWAY first, then what is in flight, then the connection.

use std::time::Duration;

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, gated, ok, slow_body};
use crate::support::frame::{code, flag, get, kind, number};
use crate::support::frames::Frames;
use crate::support::http2::Http2;
use crate::support::proxy::{Proxy, app, file, says};
use crate::support::wait;

use super::{H2C, before};

/// A second listener that speaks HTTP/2 in clear, too.
const SECOND: &str = "[[listeners]]\nname = \"second\"\nbind = \"127.0.0.2:0\"\nh2c = true\n";

/// lbd says that it takes no further requests, and that nothing is wrong.
async fn is_told(client: &mut Frames) {
    assert_eq!(client.next_of(kind::GOAWAY).await.code(), code::NO_ERROR);
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "finished")).await;
    let proxy = before(&backend).await;
    let mut client = Frames::connect(proxy.addr()).await;
    client.send(get(1, "/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    let stopping = tokio::spawn(proxy.stop());
    is_told(&mut client).await;
    gate.open();
    assert_eq!(client.answer(1).await, (200, b"finished".to_vec()));
    client.ends().await;
    wait::within("stopping", stopping).await.expect("no panic");
}

#[tokio::test]
async fn shutdown_ends_idle_connections_at_once() {
    let proxy = Proxy::start_with(H2C, &says("path = \"/\"", "x")).await;
    let mut used = Frames::connect(proxy.addr()).await;
    used.send(get(1, "/")).await;
    assert_eq!(used.answer(1).await.0, 200);
    let mut unused = Frames::connect(proxy.addr()).await;
    let stopping = async {
        tokio::join!(is_told(&mut used), is_told(&mut unused));
        tokio::join!(used.ends(), unused.ends());
    };
    tokio::join!(proxy.shutdown(None), stopping);
}

#[tokio::test]
async fn a_client_that_behaves_sees_a_clean_end() {
    let proxy = Proxy::start_with(H2C, &says("path = \"/\"", "x")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    assert_eq!(client.get("/").await.text(), "x");
    let (ended, ()) = tokio::join!(client.ended(), proxy.shutdown(None));
    ended.expect("an end without an error");
}

#[tokio::test]
async fn a_request_that_crosses_the_goaway_is_answered() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "finished")).await;
    let proxy = before(&backend).await;
    let mut client = Frames::connect(proxy.addr()).await;
    client.send(get(1, "/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    let stopping = tokio::spawn(proxy.stop());
    // The first GOAWAY names no last stream: it asks to stop, and refuses nothing yet (RFC 9113 section 6.8).
    let first = client.next_of(kind::GOAWAY).await;
    assert_eq!(number(&first.payload[..4]), 0x7fff_ffff);
    client.send(get(3, "/")).await;
    gate.open();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let frame = client.next().await.expect("both answers");
        if matches!(frame.kind, kind::DATA | kind::HEADERS) && frame.has(flag::END_STREAM) {
            ended.push(frame.stream);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
    client.ends().await;
    wait::within("stopping", stopping).await.expect("no panic");
}

#[tokio::test]
async fn a_removed_listener_finishes_what_is_in_flight() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "finished")).await;
    let pool = app(&[backend.server()], "");
    let with_second = file("", H2C, &format!("{pool}{SECOND}"));
    let mut proxy = Proxy::start_file(&with_second).await;
    let mut client = Frames::connect(proxy.addrs()[1]).await;
    client.send(get(1, "/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    let reloaded = proxy.try_reload(&file("", H2C, &pool)).await;
    reloaded.expect("a good file is taken");
    is_told(&mut client).await;
    gate.open();
    assert_eq!(client.answer(1).await, (200, b"finished".to_vec()));
    client.ends().await;
}

#[tokio::test]
async fn a_removed_listener_ends_idle_connections() {
    let rest = says("path = \"/\"", "x");
    let with_second = file("", H2C, &format!("{rest}{SECOND}"));
    let mut proxy = Proxy::start_file(&with_second).await;
    let mut client = Frames::connect(proxy.addrs()[1]).await;
    client.send(get(1, "/")).await;
    assert_eq!(client.answer(1).await.0, 200);
    let reloaded = proxy.try_reload(&file("", H2C, &rest)).await;
    reloaded.expect("a good file is taken");
    is_told(&mut client).await;
    client.ends().await;
}

#[tokio::test]
async fn a_connection_uses_the_new_file_from_its_next_request() {
    let mut proxy = Proxy::start_with(H2C, &says("path = \"/\"", "old")).await;
    let mut client = Frames::connect(proxy.addr()).await;
    client.send(get(1, "/")).await;
    assert_eq!(client.answer(1).await.1, b"old");
    let new = file("", H2C, &says("path = \"/\"", "new"));
    proxy.try_reload(&new).await.expect("a good file is taken");
    client.send(get(3, "/")).await;
    assert_eq!(client.answer(3).await.1, b"new");
}

#[tokio::test]
async fn a_request_in_flight_survives_a_reload() {
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "old")).await;
    let mut proxy = before(&backend).await;
    let mut client = Frames::connect(proxy.addr()).await;
    client.send(get(1, "/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    let new = file("", H2C, &says("path = \"/\"", "new"));
    proxy.try_reload(&new).await.expect("a good file is taken");
    client.send(get(3, "/")).await;
    assert_eq!(client.answer(3).await.1, b"new", "while the old one waits");
    gate.open();
    assert_eq!(client.answer(1).await.1, b"old");
}

// === idle ===

#[tokio::test]
async fn an_idle_connection_is_ended() {
    let keys = format!("{H2C}\ntimeouts = {{ idle = \"200ms\" }}");
    let proxy = Proxy::start_with(&keys, &says("path = \"/\"", "x")).await;
    let mut client = Frames::connect(proxy.addr()).await;
    for stream in [1, 3] {
        client.send(get(stream, "/")).await;
        assert_eq!(client.answer(stream).await.0, 200);
    }
    is_told(&mut client).await;
    client.ends().await;
}

#[tokio::test]
async fn a_connection_with_a_request_in_flight_is_not_idle() {
    let backend = Backend::start(slow_body(8, Duration::from_millis(60))).await;
    let keys = format!("{H2C}\ntimeouts = {{ idle = \"200ms\" }}");
    let proxy = Proxy::start_with(&keys, &app(&[backend.server()], "")).await;
    let mut client = Frames::connect(proxy.addr()).await;
    client.send(get(1, "/")).await;
    assert_eq!(client.answer(1).await, (200, b"........".to_vec()));
}

#[tokio::test]
async fn a_client_that_never_used_its_connection_is_told() {
    let keys = format!("{H2C}\ntimeouts = {{ idle = \"200ms\", header = \"200ms\" }}");
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start_with(&keys, &app(&[backend.server()], "")).await;
    let mut client = Frames::connect(proxy.addr()).await;
    is_told(&mut client).await;
    client.ends().await;
    assert_eq!(backend.connections(), 0);
}
