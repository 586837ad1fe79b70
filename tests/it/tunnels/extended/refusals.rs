//! Streams that ask for what is not to be had: they hear so, and no server hears of them.

use crate::support::backend::Backend;
use crate::support::behaviour::answers;
use crate::support::frame::{encode, flag, kind};
use crate::support::frames::{Frames, Verdict};
use crate::support::h2_line::websocket;
use crate::support::hpack;
use crate::support::http2::head;
use crate::support::proxy::Proxy;

use super::{H2C, before, is_ready, site};

/// lbd refuses to make a tunnel for `protocol`, and says nothing to its server.
async fn is_refused(protocol: &str) {
    let backend = Backend::start(answers(200, "x")).await;
    let proxy = Proxy::start_with(H2C, &site(&[backend.server()])).await;
    let mut client = Frames::connect(proxy.addr()).await;
    let block = hpack::block(&[
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":authority", "app.example"),
        (":path", "/chat"),
        ("sec-websocket-version", "13"),
    ]);
    client
        .send(encode(kind::HEADERS, flag::END_HEADERS, 1, &block))
        .await;
    let verdict = client.verdict(1).await;
    assert!(
        matches!(verdict, Verdict::Answer(400 | 501)),
        "{protocol:?}: {verdict:?}"
    );
    assert_eq!(backend.connections(), 0, "{protocol:?}");
}

#[tokio::test]
async fn a_protocol_with_a_request_in_it_is_refused() {
    for protocol in [
        "websocket\r\nHost: x\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
        "websocket\r\nX-Secret: 1",
        "websocket\n",
        "\r\nwebsocket",
    ] {
        is_refused(protocol).await;
    }
}

#[tokio::test]
async fn a_protocol_that_is_not_websocket_is_refused() {
    for protocol in [
        "h2c",
        "h2",
        "websocket, h2c",
        "h2c, websocket",
        "connect-udp",
    ] {
        is_refused(protocol).await;
    }
}

#[tokio::test]
async fn a_protocol_without_a_name_is_refused() {
    for protocol in ["", " ", ","] {
        is_refused(protocol).await;
    }
}

#[tokio::test]
async fn a_route_that_answers_by_itself_is_no_tunnel() {
    let backend = Backend::start(answers(200, "x")).await;
    let (_proxy, mut client) = before(&[backend.server()]).await;
    let (response, _upload) = client.start(websocket("/ready", &[]), false).await;
    // 200 would say that it is one.
    let response = head(response).await.expect("an answer");
    assert_eq!(response.status(), 501);
    is_ready(&mut client).await;
}

#[tokio::test]
async fn a_tunnel_that_looks_like_a_call_is_refused_as_a_tunnel() {
    let dead = Backend::refuses();
    let (_proxy, mut client) = before(&[dead.server()]).await;
    let call = [("content-type", "application/grpc"), ("te", "trailers")];
    let (response, _upload) = client.start(websocket("/chat", &call), false).await;
    // Calls are always answered 200, which would say that it is there.
    let status = head(response).await.expect("an answer").status();
    assert!(status.is_server_error(), "{status}");
    is_ready(&mut client).await;
}
