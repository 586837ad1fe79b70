//! HTTP/2 in clear, before servers of HTTP/1.1: what each side sees of the other.

mod bodies;
mod conformance;
mod drain;
mod ending;
mod floods;
mod grpc;
mod interim;
mod limits;
mod pings;
mod streams;
mod trailers;

use crate::support::backend::Backend;
use crate::support::behaviour::{ok, raw};
use crate::support::frame::{PREFACE, encode, flag, get, kind, settings};
use crate::support::frames::Frames;
use crate::support::hpack;
use crate::support::http2::{Answer, Http2, request};
use crate::support::peer::Request;
use crate::support::proxy::{Proxy, app, file};
use crate::support::temp::TempFile;
use crate::support::wait;

/// The key of a listener that speaks HTTP/2 in clear beside HTTP/1.1.
const H2C: &str = "h2c = true";

/// lbd before one server.
async fn before(backend: &Backend) -> Proxy {
    Proxy::start_with(H2C, &app(&[backend.server()], "")).await
}

/// What the server sees of a GET with these fields, under these further listener keys.
async fn seen(listener: &str, fields: &[(&str, &str)]) -> Request {
    let backend = Backend::start(ok("x")).await;
    let keys = format!("{H2C}\n{listener}");
    let proxy = Proxy::start_with(&keys, &app(&[backend.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let answer = client.ask(request("GET", "/x?y=1", fields), b"").await;
    assert_eq!(answer.status, 200);
    backend.last()
}

/// What the client sees of this answer to a request with `method`.
async fn answered(method: &str, bytes: &str) -> Answer {
    let backend = Backend::start(raw(bytes)).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let answer = client.ask(request(method, "/", &[]), b"").await;
    assert_eq!(client.get("/").await.status, answer.status, "still in step");
    answer
}

#[tokio::test]
async fn requests_over_one_connection_are_answered() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    for _ in 0..20 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    }
    assert_eq!((backend.requests(), backend.connections()), (20, 1));
}

#[tokio::test]
async fn http_1_is_spoken_beside_it() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    let mut http2 = Http2::connect(proxy.addr()).await;
    let mut http1 = proxy.client().await;
    for _ in 0..3 {
        assert_eq!(http2.get("/").await.text(), "hello");
        assert_eq!(http1.get("/").await.text(), "hello");
    }
}

#[tokio::test]
async fn the_preface_may_come_byte_by_byte() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    let mut client = Frames::silent(proxy.addr()).await;
    let first = settings(&[]);
    for byte in [PREFACE, &first].concat() {
        client.send([byte]).await;
    }
    client.send(get(1, "/")).await;
    assert_eq!(client.answer(1).await, (200, b"hello".to_vec()));
}

#[tokio::test]
async fn the_server_learns_who_asked_for_what() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    Http2::connect(proxy.addr()).await.get("/x?y=1").await;
    let seen = backend.last();
    assert_eq!(seen.head.start, "GET /x?y=1 HTTP/1.1");
    let port = proxy.addr().port().to_string();
    for (name, value) in [
        ("host", "app.example"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "app.example"),
        ("x-forwarded-port", port.as_str()),
    ] {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
    assert!(seen.fields().has("x-request-id"));
    for name in ["content-length", "transfer-encoding", "te"] {
        assert!(!seen.fields().has(name), "{name} in {seen:?}");
    }
    assert!(
        seen.fields()
            .names()
            .iter()
            .all(|name| !name.starts_with(':')),
        "{seen:?}"
    );
}

#[tokio::test]
async fn what_a_stranger_claims_is_replaced() {
    let claims = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "6.6.6.6"),
    ];
    let seen = seen("", &claims).await;
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-real-ip", "127.0.0.1"),
    ] {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
}

/// What the server sees of a request with these fields beside method, scheme and path.
async fn with_host(fields: &[(&str, &str)]) -> (u16, Vec<Request>) {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let rest = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let block = hpack::block(&[&rest[..], fields].concat());
    let whole = flag::END_HEADERS | flag::END_STREAM;
    let mut client = Frames::connect(proxy.addr()).await;
    client.send(encode(kind::HEADERS, whole, 1, &block)).await;
    (client.answer(1).await.0, backend.seen())
}

#[tokio::test]
async fn host_is_as_good_as_authority() {
    let (status, seen) = with_host(&[("host", "other.example:81")]).await;
    assert_eq!(status, 200);
    assert_eq!(seen[0].fields().get("host"), Some("other.example:81"));
}

#[tokio::test]
async fn a_host_that_differs_from_authority_never_reaches_the_server() {
    // To refuse it is as good as to replace it (RFC 9113 section 8.3.1).
    let fields = [(":authority", "app.example"), ("host", "evil.example")];
    let (status, seen) = with_host(&fields).await;
    match status {
        200 => assert_eq!(seen[0].fields().all("host"), ["app.example"]),
        status => assert_eq!((status, seen.len()), (400, 0)),
    }
}

#[tokio::test]
async fn crumbs_of_a_cookie_become_one() {
    let crumbs = [
        ("cookie", "a=1"),
        ("x-between", "1"),
        ("cookie", "b=2; c=3"),
    ];
    let seen = seen("", &crumbs).await;
    assert_eq!(seen.fields().all("cookie"), ["a=1; b=2; c=3"]);
}

#[tokio::test]
async fn crumbs_of_a_cookie_count_as_one_field() {
    // Together more than a head may have.
    let mut fields = vec![("cookie", "a=1"); 85];
    fields.extend([("x-other", "1"); 20]);
    let seen = seen("", &fields).await;
    let cookie = ["a=1"; 85].join("; ");
    assert_eq!(seen.fields().all("cookie"), [cookie]);
}

#[tokio::test]
async fn fields_that_repeat_stay_apart_and_in_order() {
    let fields = [("x-twice", "a"), ("x-twice", "b"), ("accept", "*/*")];
    let seen = seen("", &fields).await;
    assert_eq!(seen.fields().all("x-twice"), ["a", "b"]);
    assert_eq!(seen.fields().get("accept"), Some("*/*"));
}

#[tokio::test]
async fn via_names_the_clients_version() {
    let seen = seen("via = \"gw-1\"", &[]).await;
    assert_eq!(seen.fields().get("via"), Some("2.0 gw-1"));
}

#[tokio::test]
async fn the_access_log_names_the_version() {
    let log = TempFile::new("log");
    let keys = format!("access = \"{}\"", log.path());
    let proxy = Proxy::start_file(&file(&keys, H2C, "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    assert_eq!(client.get("/nowhere").await.status, 404);
    wait::until("the line is written", || !log.lines().is_empty()).await;
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("\"GET /nowhere HTTP/2.0\" 404 14 "),
        "{lines:?}"
    );
    assert!(lines[0].contains(" host=\"app.example\" "), "{lines:?}");
}

// === answers ===

#[tokio::test]
async fn fields_of_the_servers_connection_stop_here() {
    let fields = "Connection: keep-alive, X-Secret\r\nKeep-Alive: timeout=5\r\nX-Secret: 1\r\nX-Stays: 2\r\n";
    let bytes = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let answer = answered("GET", &bytes).await;
    for name in ["connection", "keep-alive", "x-secret", "transfer-encoding"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert_eq!(answer.field("x-stays"), Some("2"));
    assert_eq!(answer.field("content-length"), Some("2"));
}

#[tokio::test]
async fn a_chunked_answer_comes_without_its_coding() {
    let bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = answered("GET", bytes).await;
    assert_eq!(answer.text(), "hello");
    for name in ["transfer-encoding", "content-length"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let answer = client.ask(request("HEAD", "/", &[]), b"").await;
    assert_eq!(
        (answer.status, answer.field("content-length")),
        (200, Some("5"))
    );
    assert_eq!(answer.text(), "");
    assert_eq!(client.get("/").await.text(), "hello");
    assert_eq!(backend.connections(), 1, "both sides are in step");
}

#[tokio::test]
async fn a_204_ends_with_its_head() {
    let answer = answered("GET", "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!((answer.status, answer.field("content-length")), (204, None));
}

#[tokio::test]
async fn a_304_ends_with_its_head_and_keeps_its_length() {
    let bytes = "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n";
    let answer = answered("GET", bytes).await;
    assert_eq!((answer.status, answer.field("etag")), (304, Some("\"a\"")));
    assert_eq!(answer.field("content-length"), Some("5"));
}

#[tokio::test]
async fn set_cookie_stays_apart() {
    let fields = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n";
    let bytes = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
    let answer = answered("GET", &bytes).await;
    let cookies: Vec<_> = answer.fields.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}
