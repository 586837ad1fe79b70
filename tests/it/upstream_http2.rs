//! HTTP/2 towards servers: many requests on one connection, and failures that say more than a closed one does.

mod answers;
mod failures;
mod talking;

use bytes::Bytes;
use h2::server::Builder;
use tokio::task::JoinSet;

use crate::support::behaviour::Gate;
use crate::support::client::{Client, get};
use crate::support::h2_peer::{H2Peer, echoes, gated, grpc, says};
use crate::support::http2::{Http2, answer, fields, request};
use crate::support::proxy::{Proxy, app, file};
use crate::support::wait;

/// Routes and a pool of these servers, which speak HTTP/2 in clear, with further keys.
fn pool(servers: &[String], keys: &str) -> String {
    app(servers, &format!("protocol = \"h2c\"\n{keys}"))
}

/// lbd for clients of both versions, before these servers.
async fn before(peers: &[&H2Peer], keys: &str) -> Proxy {
    let servers: Vec<_> = peers.iter().map(|peer| peer.server()).collect();
    Proxy::start_with("h2c = true", &pool(&servers, keys)).await
}

#[tokio::test]
async fn requests_reach_the_server_as_they_should() {
    let peer = H2Peer::start(says("hello")).await;
    let proxy = before(&[&peer], "").await;
    let cookies = [
        ("Cookie", "a=1; b=2"),
        ("Connection", "keep-alive"),
        ("X-A", "1"),
    ];
    let answer = proxy.request("GET", "/x?y=1", &cookies, b"").await;
    assert_eq!(answer.text(), "hello");
    let call = &peer.calls()[0];
    let uri = &call.head.uri;
    assert_eq!((call.head.method.as_str(), uri.path()), ("GET", "/x"));
    assert_eq!(uri.query(), Some("y=1"));
    assert_eq!(uri.scheme_str(), Some("http"));
    assert_eq!(
        uri.authority().map(|host| host.as_str()),
        Some("app.example")
    );
    for (name, value) in [
        ("cookie", Some("a=1; b=2")),
        ("x-a", Some("1")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-host", Some("app.example")),
        ("connection", None),
        ("host", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(call.field(name), value, "{name}");
    }
}

#[tokio::test]
async fn requests_at_once_share_one_connection() {
    let gate = Gate::closed();
    let peer = H2Peer::start(gated(&gate, "x")).await;
    let proxy = before(&[&peer], "").await;
    let mut clients = Vec::new();
    for i in 1..=10 {
        let mut client = proxy.raw().await;
        client.send(get("/")).await;
        wait::until("the request is with the server", || peer.calls().len() == i).await;
        clients.push(client);
    }
    assert_eq!(peer.connections(), 1);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().await.text(), "x");
    }
}

/// This many clients ask at once; each is answered "x".
async fn all_are_answered(proxy: &Proxy, clients: usize) {
    let addr = proxy.addr();
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        asking.spawn(async move { Client::connect(addr).await.get("/").await.text() });
    }
    while let Some(text) = asking.join_next().await {
        assert_eq!(text.expect("an answer"), "x");
    }
}

#[tokio::test]
async fn a_server_that_takes_one_at_a_time_gets_all() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let peer = H2Peer::start_with(builder, says("x")).await;
    let proxy = before(&[&peer], "").await;
    for _ in 0..3 {
        all_are_answered(&proxy, 10).await;
    }
    assert_eq!(peer.calls().len(), 30);
}

#[tokio::test]
async fn what_has_no_room_on_one_connection_goes_over_another() {
    let gate = Gate::closed();
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let peer = H2Peer::start_with(builder, gated(&gate, "x")).await;
    let proxy = Proxy::start_with("h2c = true", &pool(&[peer.server()], "")).await;
    // One connection, so that one worker has both.
    let mut client = Http2::connect(proxy.addr()).await;
    let (first, _) = client.start(request("GET", "/1", &[]), true).await;
    let (second, _) = client.start(request("GET", "/2", &[]), true).await;
    wait::until("both are with the server", || peer.calls().len() == 2).await;
    gate.open();
    let answers = (answer(first).await.status, answer(second).await.status);
    assert_eq!((answers, peer.connections()), ((200, 200), 2));
}

#[tokio::test]
async fn a_connection_survives_a_reload() {
    let peer = H2Peer::start(says("x")).await;
    let rest = pool(&[peer.server()], "");
    let mut proxy = Proxy::start(&rest).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.text(), "x");
        proxy.reload(&rest).await;
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_request_in_flight_survives_a_reload() {
    let gate = Gate::closed();
    let peer = H2Peer::start(gated(&gate, "old")).await;
    let mut proxy = before(&[&peer], "").await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is with the server", || peer.calls().len() == 1).await;
    let none = file("", "h2c = true", "");
    proxy.try_reload(&none).await.expect("a good file is taken");
    gate.open();
    assert_eq!(client.response().await.text(), "old");
}

// === messages ===

#[tokio::test]
async fn a_target_as_old_clients_send_it_is_escaped() {
    let peer = H2Peer::start(says("x")).await;
    let proxy = before(&[&peer], "").await;
    for (sent, expected) in [
        ("/a<b>", "/a%3Cb%3E"),
        ("/\"a\"<b", "/%22a%22%3Cb"),
        ("/%3C\"<%22", "/%3C%22%3C%22"),
        ("/x?q=\"a\"&r=<b>", "/x?q=%22a%22&r=%3Cb%3E"),
    ] {
        assert_eq!(proxy.get(sent).await.text(), "x", "{sent}");
        let call = peer.calls().pop().expect("a request reached the server");
        let target = call.head.uri.path_and_query();
        assert_eq!(target.map(|target| target.as_str()), Some(expected));
    }
}

#[tokio::test]
async fn a_quote_in_a_path_reaches_the_server() {
    let peer = H2Peer::start(says("x")).await;
    let proxy = before(&[&peer], "").await;
    assert_eq!(proxy.get("/a\"b").await.text(), "x");
    // No URL may hold it, but servers of HTTP/2 take it.
    let path = peer.calls()[0].head.uri.path().replace('"', "%22");
    assert_eq!(path, "/a%22b");
}

#[tokio::test]
async fn a_chunked_body_and_its_trailers_pass_both_ways() {
    let peer = H2Peer::start(echoes()).await;
    let proxy = before(&[&peer], "").await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "5\r\nhello\r\n7;e=1\r\n, world\r\n0\r\nX-Sum: 12\r\n\r\n";
    let answer = proxy.raw().await.exchange(format!("{head}{body}")).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "hello, world")
    );
    assert_eq!(answer.body.trailers.get("x-sum"), Some("12"));
    let call = &peer.calls()[0];
    assert_eq!(call.body, b"hello, world");
    assert_eq!(call.trailers["x-sum"], "12");
    assert_eq!(call.field("te"), Some("trailers"));
}

#[tokio::test]
async fn bodies_and_trailers_pass_between_clients_and_servers_of_http_2() {
    let peer = H2Peer::start(echoes()).await;
    let proxy = before(&[&peer], "").await;
    let mut client = Http2::connect(proxy.addr()).await;
    let post = request("POST", "/", &[("te", "trailers")]);
    let (response, mut upload) = client.start(post, false).await;
    let piece = Bytes::from_static(b"hello");
    upload
        .send_data(piece, false)
        .expect("the stream takes a body");
    let sum = fields(&[("x-sum", "5")]);
    upload
        .send_trailers(sum)
        .expect("the stream takes trailers");
    let answer = answer(response).await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.trailer("x-sum"), Some("5"));
}

#[tokio::test]
async fn a_length_is_kept() {
    let peer = H2Peer::start(echoes()).await;
    let proxy = before(&[&peer], "").await;
    let answer = proxy.request("POST", "/", &[], b"hello").await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(peer.calls()[0].field("content-length"), Some("5"));
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let peer = H2Peer::start(echoes()).await;
    let proxy = before(&[&peer], "").await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        let answer = client.request("HEAD", "/", &[], b"").await;
        assert_eq!(
            (answer.status, answer.field("content-length")),
            (200, Some("5"))
        );
    }
    assert_eq!(
        client.request("PUT", "/", &[], b"x").await.text(),
        "x",
        "in step"
    );
}

#[tokio::test]
async fn long_bodies_pass_both_ways() {
    let peer = H2Peer::start(echoes()).await;
    let proxy = before(&[&peer], "").await;
    let body: Vec<u8> = (0..3_000_001).map(|i: u32| (i ^ (i >> 8)) as u8).collect();
    let answer = proxy.request("PUT", "/", &[], &body).await;
    let came = answer.body.data;
    assert!(came == body, "{} bytes came back", came.len());
    let mut client = Http2::connect(proxy.addr()).await;
    let came = client.ask(request("PUT", "/", &[]), &body).await.body;
    assert!(came == body, "{} bytes came back", came.len());
}

#[tokio::test]
async fn a_grpc_call_passes() {
    let peer = H2Peer::start(grpc()).await;
    let proxy = before(&[&peer], "").await;
    let mut client = Http2::connect(proxy.addr()).await;
    let call = [("content-type", "application/grpc"), ("te", "trailers")];
    let post = request("POST", "/pkg.Service/Method", &call);
    let answer = client.ask(post, b"\0\0\0\0\x05hello").await;
    assert_eq!(answer.body, b"\0\0\0\0\x05hello");
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
    assert_eq!(peer.calls()[0].field("te"), Some("trailers"));
}
