//! WebSocket over HTTP/2 (RFC 8441): how it is asked for, and what servers of HTTP/1.1 and their clients see of it.

mod refusals;

use h2::client::Builder;
use tokio::io::join;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::backend::Backend;
use crate::support::behaviour::{answers, closes_before_answer, raw};
use crate::support::certs::Authority;
use crate::support::frame::{encode, flag, kind};
use crate::support::frames::{Frames, Verdict};
use crate::support::h2_line::{H2Line, halves, line, websocket};
use crate::support::hpack;
use crate::support::http2::{Answer, Http2, answer, head};
use crate::support::line::{KEY, Line, long_body, switching, switching_to};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app, says};
use crate::support::secure::{handshake, offering, trusting};
use crate::support::websocket::Socket;
use crate::support::wire::Head;

use super::accepted;

/// The key of a listener that speaks HTTP/2 in clear.
pub(super) const H2C: &str = "h2c = true";

/// A route of lbd's own, beside the one to these servers.
pub(super) fn site(servers: &[String]) -> String {
    says("exact = \"/ready\"", "ready") + &app(servers, "")
}

/// lbd before these servers, and a client that has seen lbd's SETTINGS.
pub(super) async fn before(servers: &[String]) -> (Proxy, Http2) {
    let proxy = Proxy::start_with(H2C, &site(servers)).await;
    let mut client = Http2::connect(proxy.addr()).await;
    is_ready(&mut client).await;
    (proxy, client)
}

/// The connection serves requests.
pub(super) async fn is_ready(client: &mut Http2) {
    assert_eq!(client.get("/ready").await.text(), "ready");
}

/// Both ends of a tunnel over a stream of `client`.
pub(super) async fn stream(client: &mut Http2, door: &Door) -> (H2Line, Line) {
    let (response, upload) = client.start(websocket("/chat", &[]), false).await;
    let server = accepted(door).await;
    let response = head(response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    (line(response, upload), server)
}

/// What the server sees of a request for a WebSocket with these fields.
async fn seen(fields: &[(&str, &str)]) -> Head {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let _asked = client.start(websocket("/chat?x=1", fields), false).await;
    Line::accept(&door).await.head().await
}

/// What the client is answered by lbd before this server.
async fn answered(backend: &Backend) -> Answer {
    let (_proxy, mut client) = before(&[backend.server()]).await;
    let (response, _upload) = client.start(websocket("/chat", &[]), false).await;
    let answer = answer(response).await;
    is_ready(&mut client).await;
    answer
}

#[tokio::test]
async fn the_settings_say_that_it_can_be_asked_for() {
    const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    let proxy = Proxy::start_with(H2C, &says("path = \"/\"", "x")).await;
    let client = Frames::connect(proxy.addr()).await;
    assert_eq!(client.setting(ENABLE_CONNECT_PROTOCOL), Some(1));
}

#[tokio::test]
async fn messages_pass_through_a_stream() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (response, upload) = client.start(websocket("/chat", &[]), false).await;
    let stream = door.accept().await.into_inner();
    // It verifies the request.
    let mut server = Socket::accept(stream).await;
    let response = head(response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let (download, upload) = halves(response, upload);
    let mut client = Socket::over(join(download, upload), Role::Client);
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let message = Message::binary(long_body(1, length));
        let ((), came) = tokio::join!(client.send(message.clone()), server.next());
        assert!(came.expect("a message") == message, "{length} bytes up");
        let ((), came) = tokio::join!(server.send(message.clone()), client.next());
        assert!(came.expect("a message") == message, "{length} bytes down");
    }
    client.send(Message::Close(None)).await;
    let came = server.next().await.expect("a message");
    assert_eq!(came, Message::Close(None));
}

// === the server's side ===

#[tokio::test]
async fn the_server_sees_an_upgrade_of_http_1_1() {
    let seen = seen(&[]).await;
    assert_eq!(seen.start, "GET /chat?x=1 HTTP/1.1");
    for (name, value) in [
        ("host", "app.example"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
    ] {
        let sees = seen.fields.get(name).map(str::to_lowercase);
        assert_eq!(sees.as_deref(), Some(value), "{name}");
    }
    for name in ["content-length", "transfer-encoding", "te"] {
        assert!(!seen.fields.has(name), "{name} in {seen:?}");
    }
    let names = seen.fields.names();
    assert!(names.iter().all(|name| !name.starts_with(':')), "{names:?}");
}

#[tokio::test]
async fn the_server_sees_a_key_that_is_another_each_time() {
    let mut keys = Vec::new();
    for _ in 0..3 {
        let seen = seen(&[]).await;
        let key = seen.fields.get("sec-websocket-key").expect("a key");
        // 16 bytes in base64: the last digit but two stands for two bits.
        assert_eq!(key.len(), 24, "{key}");
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
        assert!(key[..22].bytes().all(is_digit), "{key}");
        assert!(key[21..22].contains(['A', 'Q', 'g', 'w']), "{key}");
        assert!(key.ends_with("=="), "{key}");
        keys.push(key.to_owned());
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn a_key_of_the_clients_own_does_not_reach_the_server() {
    let seen = seen(&[("sec-websocket-key", KEY)]).await;
    assert_ne!(seen.fields.get("sec-websocket-key"), Some(KEY));
}

#[tokio::test]
async fn the_server_learns_who_asked() {
    let seen = seen(&[("x-forwarded-for", "6.6.6.6")]).await;
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "app.example"),
    ] {
        assert_eq!(seen.fields.get(name), Some(value), "{name}");
    }
    assert!(seen.fields.has("x-request-id"));
}

#[tokio::test]
async fn the_other_fields_reach_the_server() {
    let fields = [
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", "http://app.example"),
        ("cookie", "session=1"),
    ];
    let seen = seen(&fields).await;
    for (name, value) in fields {
        assert_eq!(seen.fields.get(name), Some(value), "{name}");
    }
}

// === the client's side ===

#[tokio::test]
async fn the_client_sees_an_answer_of_http_2() {
    let door = Door::open().await;
    let (_proxy, mut client) = before(&[door.server()]).await;
    let (response, _upload) = client.start(websocket("/chat", &[]), false).await;
    let mut server = Line::accept(&door).await;
    let asked = server.head().await;
    let fields = "Sec-WebSocket-Protocol: chat\r\nSet-Cookie: a=1\r\n";
    server.send(switching(&asked, fields)).await;
    let response = head(response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let fields = response.headers();
    assert_eq!(fields["sec-websocket-protocol"], "chat");
    assert_eq!(fields["set-cookie"], "a=1");
    for name in [
        "connection",
        "upgrade",
        "sec-websocket-accept",
        "content-length",
        "transfer-encoding",
    ] {
        assert!(!fields.contains_key(name), "{name} in {fields:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer_like_any_other() {
    for status in [302, 401, 403, 426, 500] {
        let backend = Backend::start(answers(status, "not here")).await;
        let answer = answered(&backend).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, "not here")
        );
    }
}

#[tokio::test]
async fn success_without_a_switch_is_a_bad_gateway() {
    for status in [200, 206] {
        let backend = Backend::start(answers(status, "a page")).await;
        let answer = answered(&backend).await;
        assert_eq!(answer.status, 502, "{status}");
        assert!(!answer.text().contains("a page"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_switch_to_something_else_is_a_bad_gateway() {
    let backend = Backend::start(raw(switching_to("other", ""))).await;
    assert_eq!(answered(&backend).await.status, 502);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_a_bad_gateway() {
    assert_eq!(answered(&Backend::refuses()).await.status, 502);
}

#[tokio::test]
async fn another_server_makes_good_for_one_that_fails() {
    for failing in [
        Backend::refuses(),
        Backend::start(closes_before_answer()).await,
    ] {
        let door = Door::open().await;
        let (_proxy, mut client) = before(&[failing.server(), door.server()]).await;
        let (mut stream, mut server) = stream(&mut client, &door).await;
        stream.exchange(&mut server, 1000).await;
    }
}

#[tokio::test]
async fn connect_without_a_protocol_is_refused() {
    let backend = Backend::start(answers(200, "x")).await;
    let proxy = Proxy::start_with(H2C, &site(&[backend.server()])).await;
    let mut client = Frames::connect(proxy.addr()).await;
    let block = hpack::block(&[(":method", "CONNECT"), (":authority", "app.example:443")]);
    client
        .send(encode(kind::HEADERS, flag::END_HEADERS, 1, &block))
        .await;
    assert_eq!(client.verdict(1).await, Verdict::Answer(405));
    assert_eq!(backend.connections(), 0);
}

// === TLS ===

#[tokio::test]
async fn a_stream_within_tls_is_as_one_without() {
    let door = Door::open().await;
    let authority = Authority::new();
    let identity = authority.server(&["app.example"]);
    let listener = format!("tls = {{ certificates = [{{ {} }}] }}", identity.keys());
    let proxy = Proxy::start_with(&listener, &site(&[door.server()])).await;
    let config = offering(&trusting(&authority), &["h2"]);
    let secured = handshake(proxy.addr(), "app.example", &config).await;
    let secured = secured.expect("a handshake that succeeds");
    let mut client = Http2::over(&Builder::new(), secured).await;
    is_ready(&mut client).await;
    let (response, upload) = client.start(websocket("/chat", &[]), false).await;
    let mut server = Line::accept(&door).await;
    let asked = server.head().await;
    assert_eq!(asked.fields.get("x-forwarded-proto"), Some("https"));
    server.send(switching(&asked, "")).await;
    let mut stream = line(head(response).await.expect("an answer"), upload);
    stream.exchange(&mut server, 1 << 20).await;
}
