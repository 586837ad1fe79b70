//! A request goes through and its answer comes back: the messages of RFC 9112, over connections that stay open.

mod bodies;
mod interim;

use crate::support::backend::Backend;
use crate::support::behaviour::{echo_request, http10_close, ok, raw};
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app};

/// lbd before one server.
async fn before(backend: &Backend) -> Proxy {
    Proxy::start(&app(&[backend.server()], "")).await
}

#[tokio::test]
async fn many_requests_over_one_client_connection_use_one_peer_connection() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    }
    assert_eq!((backend.requests(), backend.connections()), (20, 1));
}

#[tokio::test]
async fn client_connections_share_the_idle_peer_connection() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    for _ in 0..5 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    assert_eq!((backend.requests(), backend.connections()), (5, 1));
}

#[tokio::test]
async fn a_client_that_says_close_gets_a_close_and_the_peer_connection_stays() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    for _ in 0..3 {
        let mut client = proxy.raw().await;
        let answer = client
            .exchange(request("GET", "/", &[("Connection", "close")], b""))
            .await;
        assert_eq!(
            (answer.status, answer.field("connection")),
            (200, Some("close"))
        );
        client.ends().await;
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::start(echo_request()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    let post = request("POST", "/2", &[], b"body of two");
    client.send([get("/1"), post, get("/3")].concat()).await;
    for expected in ["GET /1 ", "POST /2 ", "GET /3 "] {
        let text = client.response().await.text();
        assert!(text.starts_with(expected), "{expected}: {text}");
    }
    assert_eq!(backend.seen()[1].body.data, b"body of two");
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_whole() {
    let backend = Backend::start(echo_request()).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    for byte in request("PUT", "/slowly", &[], b"abc") {
        client.send([byte]).await;
    }
    assert_eq!(client.response().await.status, 200);
    assert_eq!(
        (backend.last().target(), &backend.last().body.data[..]),
        ("/slowly", &b"abc"[..])
    );
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await;
    let answer = client.request("HEAD", "/", &[], b"").await;
    assert_eq!(
        (answer.status, answer.field("content-length")),
        (200, Some("5"))
    );
    assert_eq!(
        client.get("/").await.text(),
        "hello",
        "both connections are in step"
    );
    assert_eq!(
        (backend.seen()[0].method(), backend.connections()),
        ("HEAD", 1)
    );
}

#[tokio::test]
async fn a_204_ends_with_its_head() {
    let backend = Backend::start(raw("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        let answer = client.get("/").await;
        assert_eq!(
            (
                answer.status,
                answer.field("content-length"),
                answer.is_chunked()
            ),
            (204, None, false)
        );
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_304_ends_with_its_head_and_keeps_its_length() {
    let backend = Backend::start(raw(
        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
    ))
    .await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await.allowing("etag");
    for _ in 0..3 {
        let answer = client.get("/").await;
        assert_eq!(
            (
                answer.status,
                answer.field("content-length"),
                answer.field("etag")
            ),
            (304, Some("5"), Some("\"a\""))
        );
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn reason_and_unknown_status_pass() {
    let backend = Backend::start(raw("HTTP/1.1 299 Quite Odd\r\nContent-Length: 0\r\n\r\n")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    client
        .send(
            [
                get("/"),
                request("GET", "/", &[("Connection", "close")], b""),
            ]
            .concat(),
        )
        .await;
    let all = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert_eq!(
        all.matches("HTTP/1.1 299 Quite Odd\r\n").count(),
        2,
        "{all}"
    );
}

#[tokio::test]
async fn an_absolute_target_reaches_the_peer_as_path_and_host() {
    let backend = Backend::start(echo_request()).await;
    let proxy = before(&backend).await;
    let bytes = "GET http://other.example:81/x?y=1 HTTP/1.1\r\nHost: ignored.example\r\n\r\n";
    assert_eq!(proxy.raw().await.exchange(bytes).await.status, 200);
    let seen = backend.last();
    assert_eq!(
        (seen.target(), seen.fields().get("host")),
        ("/x?y=1", Some("other.example:81"))
    );
}

#[tokio::test]
async fn options_on_an_absolute_target_without_a_path_is_about_the_whole_server() {
    let backend = Backend::start(ok("x")).await;
    let proxy = before(&backend).await;
    let bytes = "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(proxy.raw().await.exchange(bytes).await.status, 200);
    assert_eq!(backend.last().head.start, "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn an_http_1_0_client_gets_an_answer_and_a_close() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    let answer = client.exchange("GET /old HTTP/1.0\r\n\r\n").await;
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.is_chunked()),
        (200, "hello", false)
    );
    client.ends().await;
    assert_eq!(backend.last().head.start, "GET /old HTTP/1.1");
}

#[tokio::test]
async fn an_http_1_0_server_is_heard_out_to_its_close() {
    let backend = Backend::start(http10_close("until the close")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!(
            (
                answer.version.as_str(),
                answer.status,
                answer.text().as_str()
            ),
            ("HTTP/1.1", 200, "until the close")
        );
    }
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn a_server_that_says_close_gets_a_new_connection_and_the_client_stays() {
    let backend = Backend::start(raw(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ))
    .await;
    let proxy = before(&backend).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        let answer = client.get("/").await;
        assert_eq!(
            (answer.text().as_str(), answer.field("connection")),
            ("ok", None)
        );
    }
    assert_eq!(backend.connections(), 3);
}

#[tokio::test]
async fn keepalive_requests_limits_what_one_peer_connection_serves() {
    let backend = Backend::start(ok("hello")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "keepalive = { requests = 2 }")).await;
    let mut client = proxy.client().await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!(backend.connections(), 3);
}
