//! What becomes no tunnel: requests that ask in vain or not at all, and servers that switch as nobody wanted.

use crate::support::backend::Backend;
use crate::support::behaviour::{answers, ok, raw};
use crate::support::client::{get, request};
use crate::support::line::{switching_to, upgrade};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// lbd before one server.
async fn before(backend: &Backend) -> Proxy {
    Proxy::start(&app(&[backend.server()], "")).await
}

#[tokio::test]
async fn a_refusal_is_an_answer_like_any_other() {
    for status in [200, 401, 403, 426, 500] {
        let backend = Backend::start(answers(status, "not here")).await;
        let proxy = before(&backend).await;
        let mut client = proxy.raw().await;
        // The connection goes on, with requests and with upgrades.
        for bytes in [upgrade("/chat", &[]), get("/"), upgrade("/chat", &[])] {
            let answer = client.exchange(bytes).await;
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (status, "not here")
            );
        }
        assert_eq!((backend.requests(), backend.connections()), (3, 1));
    }
}

#[tokio::test]
async fn what_stands_behind_a_refused_upgrade_is_the_next_request() {
    let backend = Backend::start(answers(403, "not here")).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    let claim = [("X-Forwarded-For", "6.6.6.6")];
    let next = request("GET", "/next", &claim, b"");
    client.send([upgrade("/chat", &[]), next].concat()).await;
    for _ in 0..2 {
        assert_eq!(client.response().await.status, 403);
    }
    // It has been read, and not passed on as it was.
    let seen = backend.seen();
    assert_eq!((seen.len(), seen[1].target()), (2, "/next"));
    let address = seen[1].fields().get("x-forwarded-for");
    assert_eq!(address, Some("127.0.0.1"));
}

#[tokio::test]
async fn an_interim_answer_may_come_before_a_refusal() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let backend = Backend::start(raw([hints, refusal].concat())).await;
    let proxy = before(&backend).await;
    let mut client = proxy.raw().await;
    for _ in 0..2 {
        assert_eq!(client.exchange(upgrade("/chat", &[])).await.status, 103);
        assert_eq!(client.response().await.text(), "no");
    }
}

// === requests that do not ask ===

/// The server is not asked to upgrade by this head, and answers it as any other.
async fn is_plain(head: &str) {
    let backend = Backend::start(ok("plain")).await;
    let proxy = before(&backend).await;
    let answer = proxy.raw().await.exchange(head).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "plain"));
    let seen = backend.last();
    assert!(!seen.fields().has("upgrade"), "{seen:?}");
    let connection = seen.fields().all("connection").join(",").to_lowercase();
    assert!(!connection.contains("upgrade"), "{seen:?}");
}

#[tokio::test]
async fn upgrade_without_the_option_is_a_plain_request() {
    is_plain("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").await;
    let option = "Connection: keep-alive\r\nUpgrade: websocket";
    is_plain(&format!("GET / HTTP/1.1\r\nHost: a\r\n{option}\r\n\r\n")).await;
}

#[tokio::test]
async fn the_option_without_a_protocol_is_a_plain_request() {
    is_plain("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n").await;
}

#[tokio::test]
async fn http_1_0_knows_no_upgrade() {
    let option = "Connection: keep-alive, upgrade\r\nUpgrade: websocket";
    is_plain(&format!("GET / HTTP/1.0\r\nHost: a\r\n{option}\r\n\r\n")).await;
}

// === servers that switch as nobody wanted ===

/// What `bytes` asks for is answered with `head`, which is no answer; the server's connection is not used again.
async fn is_a_bad_gateway(bytes: Vec<u8>, head: String) {
    let backend = Backend::start(raw(head)).await;
    let proxy = before(&backend).await;
    let answer = proxy.raw().await.exchange(bytes).await;
    assert_eq!((answer.status, answer.field("upgrade")), (502, None));
    wait::until("the server was let go", || backend.open() == 0).await;
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_a_bad_gateway() {
    is_a_bad_gateway(get("/"), switching_to("websocket", "")).await;
}

#[tokio::test]
async fn a_101_to_a_protocol_that_was_not_offered_is_a_bad_gateway() {
    is_a_bad_gateway(upgrade("/chat", &[]), switching_to("other", "")).await;
}

#[tokio::test]
async fn a_101_to_http_2_is_a_bad_gateway_whatever_the_client_offered() {
    for offered in ["h2c", "h2c, websocket"] {
        let fields = [
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", offered),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ];
        let asked = request("GET", "/", &fields, b"");
        is_a_bad_gateway(asked, switching_to("h2c", "")).await;
    }
}

#[tokio::test]
async fn a_101_to_a_client_of_http_1_0_is_a_bad_gateway() {
    let option = "Connection: upgrade\r\nUpgrade: websocket";
    let asked = format!("GET / HTTP/1.0\r\nHost: a\r\n{option}\r\n\r\n");
    is_a_bad_gateway(asked.into_bytes(), switching_to("websocket", "")).await;
}

/// A request that offers these protocols.
fn offering(protocols: &str) -> Vec<u8> {
    let fields = [("Connection", "Upgrade"), ("Upgrade", protocols)];
    request("GET", "/", &fields, b"")
}

#[tokio::test]
async fn a_101_that_does_not_choose_among_several_is_a_bad_gateway() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n";
    is_a_bad_gateway(offering("foo, bar"), head.to_owned()).await;
}

#[tokio::test]
async fn a_101_to_two_protocols_is_a_bad_gateway() {
    for offered in ["foo, bar", "foo"] {
        for head in [
            switching_to("foo, bar", ""),
            switching_to("foo", "Upgrade: bar\r\n"),
        ] {
            is_a_bad_gateway(offering(offered), head).await;
        }
    }
}
