//! The same over TLS, over HTTP/2, and where connections become tunnels.

use std::sync::Arc;

use h2::client::Builder;

use crate::support::certs::Authority;
use crate::support::client::{HOST, get};
use crate::support::frame::{self, code, kind};
use crate::support::frames::Frames;
use crate::support::hpack;
use crate::support::http2::Http2;
use crate::support::line::{Line, switching, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app_at};
use crate::support::secure::{Secure, handshake, offering, trusting};

use super::{has_room, hello, is_full, is_served, served};

/// The keys of a listener that has one place.
const ONE: &str = "max_connections = 1";

// === TLS ===

/// lbd with TLS and one place, and who vouches for it.
async fn secure() -> (Proxy, Authority) {
    let authority = Authority::new();
    let identity = authority.server(&[HOST]);
    let keys = identity.keys();
    let listener = format!("{ONE}\ntls = {{ certificates = [{{ {keys} }}] }}");
    (Proxy::start_with(&listener, &hello()).await, authority)
}

#[tokio::test]
async fn over_tls_the_one_beyond_is_told() {
    let (proxy, authority) = secure().await;
    let config = Arc::new(trusting(&authority));
    let mut first = Secure::connect(proxy.addr(), HOST, &config).await;
    assert_eq!(first.exchange(get("/")).await.status, 200);
    for _ in 0..2 {
        let mut client = Secure::connect(proxy.addr(), HOST, &config).await;
        let answer = client.exchange(get("/")).await;
        let field = |name| answer.head.fields.get(name);
        assert_eq!((answer.status, field("retry-after")), (503, Some("1")));
        assert_eq!(field("connection"), Some("close"));
        client.ends().await;
    }
    assert_eq!(first.exchange(get("/")).await.status, 200);
}

#[tokio::test]
async fn over_tls_and_http_2_the_one_beyond_is_told() {
    let (proxy, authority) = secure().await;
    let config = offering(&trusting(&authority), &["h2"]);
    let connect = async || {
        let stream = handshake(proxy.addr(), HOST, &config).await;
        let stream = stream.expect("a handshake that succeeds");
        Http2::over(&Builder::new(), stream).await
    };
    let mut first = connect().await;
    assert_eq!(first.get("/").await.status, 200);
    let mut client = connect().await;
    assert_eq!(client.get("/").await.status, 503);
    client.ended().await.expect("an end without an error");
    assert_eq!(first.get("/").await.status, 200);
}

// === HTTP/2 ===

/// lbd with HTTP/2 in clear and one place.
async fn http2() -> Proxy {
    Proxy::start_with(&format!("{ONE}\nh2c = true"), &hello()).await
}

#[tokio::test]
async fn over_http_2_the_one_beyond_is_told_and_the_others_are_served() {
    let proxy = http2().await;
    let mut first = Http2::connect(proxy.addr()).await;
    assert_eq!(first.get("/").await.status, 200);
    for _ in 0..2 {
        let mut client = Http2::connect(proxy.addr()).await;
        let answer = client.get("/").await;
        let told = (answer.status, answer.field("retry-after"));
        assert_eq!(told, (503, Some("1")), "{answer:?}");
        assert!(answer.field("connection").is_none(), "{answer:?}");
        client.ended().await.expect("an end without an error");
    }
    for _ in 0..3 {
        assert_eq!(first.get("/").await.text(), "hello");
    }
}

#[tokio::test]
async fn over_http_2_a_connection_beyond_ends_with_a_goaway() {
    let proxy = http2().await;
    let _first = served(&proxy, 1).await;
    let mut client = Frames::connect(proxy.addr()).await;
    client
        .send([frame::get(1, "/"), frame::get(3, "/")].concat())
        .await;
    let (mut told, mut farewells) = (Vec::new(), Vec::new());
    while let Ok(frame) = client.next().await {
        match frame.kind {
            kind::HEADERS => told.push((frame.stream, hpack::status(&frame.payload))),
            kind::GOAWAY => farewells.push(frame.code()),
            _ => {}
        }
    }
    told.sort_unstable();
    assert_eq!(told, [(1, 503), (3, 503)], "what came before the end");
    assert!(!farewells.is_empty(), "no GOAWAY");
    assert!(farewells.iter().all(|code| *code == code::NO_ERROR));
}

#[tokio::test]
async fn http_1_and_http_2_share_the_places() {
    let proxy = http2().await;
    let mut first = Http2::connect(proxy.addr()).await;
    assert_eq!(first.get("/").await.status, 200);
    is_full(&proxy).await;
    drop(first);
    has_room(&proxy).await;
    let mut client = proxy.client().await;
    is_served(&mut client).await;
}

// === tunnels ===

/// lbd with one place, and both ends of the tunnel that has it.
async fn tunnel() -> (Proxy, Line, Line) {
    let door = Door::open().await;
    let chat = app_at("path = \"/chat\"", &[door.server()], "");
    let proxy = Proxy::start_with(ONE, &format!("{}{chat}", hello())).await;
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    let mut server = Line::accept(&door).await;
    let asked = server.head().await;
    server.send(switching(&asked, "")).await;
    let head = client.head().await;
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{}", head.start);
    (proxy, client, server)
}

#[tokio::test]
async fn a_tunnel_keeps_its_place() {
    let (proxy, mut client, mut server) = tunnel().await;
    for _ in 0..3 {
        is_full(&proxy).await;
        client.exchange(&mut server, 10_000).await;
    }
}

#[tokio::test]
async fn a_tunnel_that_ends_leaves_its_place() {
    let (proxy, mut client, mut server) = tunnel().await;
    client.finish().await;
    server.ends().await;
    is_full(&proxy).await;
    server.finish().await;
    client.ends().await;
    has_room(&proxy).await;
}

#[tokio::test]
async fn a_tunnel_that_is_reset_leaves_its_place() {
    let (proxy, client, mut server) = tunnel().await;
    client.reset();
    server.is_cut().await;
    has_room(&proxy).await;
}

#[tokio::test]
async fn no_tunnel_is_made_for_the_one_beyond() {
    let (proxy, mut client, mut server) = tunnel().await;
    let mut beyond = proxy.raw().await;
    let answer = beyond.exchange(upgrade("/chat", &[])).await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (503, Some("close"))
    );
    beyond.ends().await;
    client.exchange(&mut server, 10).await;
}
