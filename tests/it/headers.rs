//! Which fields cross, which do not, and what lbd writes into them.

mod edits;
mod location;
mod untrusted;

use crate::support::backend::Backend;
use crate::support::behaviour::{ok, raw};
use crate::support::client::{Client, HOST, get};
use crate::support::peer::Request;
use crate::support::proxy::{Proxy, app};
use crate::support::raw::{Raw, Response};

/// What the peer sees of a GET with these fields, under these listener keys.
async fn seen(listener: &str, fields: &[(&str, &str)]) -> Request {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start_with(listener, &app(&[backend.server()], "")).await;
    assert_eq!(proxy.request("GET", "/", fields, b"").await.status, 200);
    backend.last()
}

/// What the client sees of these fields in an answer.
async fn answered(fields: &str) -> Response {
    let backend = Backend::start(raw(format!(
        "HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"
    )))
    .await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    proxy.raw().await.exchange(get("/")).await
}

// === hop by hop ===

#[tokio::test]
async fn hop_by_hop_request_fields_stop_here() {
    let fields = [
        ("Connection", "close, X-Secret"),
        ("Connection", "x-other"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip"),
        ("X-Secret", "1"),
        ("X-Other", "2"),
        ("X-Stays", "3"),
    ];
    let seen = seen("", &fields).await;
    for name in [
        "keep-alive",
        "proxy-connection",
        "te",
        "x-secret",
        "x-other",
    ] {
        assert!(!seen.fields().has(name), "{name} in {seen:?}");
    }
    assert!(
        !seen.fields().all("connection").contains(&"close"),
        "{seen:?}"
    );
    assert_eq!(seen.fields().get("x-stays"), Some("3"));
}

#[tokio::test]
async fn hop_by_hop_answer_fields_stop_here() {
    let answer =
        answered("Connection: X-Secret\r\nKeep-Alive: timeout=5\r\nX-Secret: 1\r\nX-Stays: 2\r\n")
            .await;
    for name in ["connection", "keep-alive", "x-secret"] {
        assert!(!answer.fields.has(name), "{name} in {answer:?}");
    }
    assert_eq!(answer.field("x-stays"), Some("2"));
}

#[tokio::test]
async fn connection_cannot_name_away_what_lbd_needs_or_writes() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let named = "Host, Content-Length, X-Forwarded-For, X-Real-IP, X-Request-Id";
    assert_eq!(
        proxy
            .request("POST", "/", &[("Connection", named)], b"hello")
            .await
            .status,
        200
    );
    let seen = backend.last();
    assert_eq!(
        (seen.fields().get("host"), &seen.body.data[..]),
        (Some(HOST), &b"hello"[..])
    );
    for name in ["x-forwarded-for", "x-real-ip"] {
        assert_eq!(seen.fields().get(name), Some("127.0.0.1"), "{name}");
    }
    assert!(seen.fields().has("x-request-id"));
}

#[tokio::test]
async fn names_and_order_of_the_others_stay() {
    let fields = [
        ("x-LOWER", "1"),
        ("X-Twice", "a"),
        ("X-Between", "2"),
        ("X-Twice", "b"),
        ("Cookie", "c=d; e=f"),
    ];
    let seen = seen("", &fields).await;
    let names: Vec<_> = seen
        .fields()
        .names()
        .into_iter()
        .filter(|name| fields.iter().any(|(n, _)| n == name))
        .collect();
    assert_eq!(
        names,
        ["x-LOWER", "X-Twice", "X-Between", "X-Twice", "Cookie"]
    );
    assert_eq!(seen.fields().all("x-twice"), ["a", "b"]);
}

#[tokio::test]
async fn answer_fields_keep_names_order_and_repetition() {
    let answer =
        answered("x-LOWER: 1\r\nSet-Cookie: a=1\r\nX-Between: 2\r\nSet-Cookie: b=2\r\n").await;
    let names: Vec<_> = answer
        .fields
        .names()
        .into_iter()
        .filter(|n| n.starts_with(['x', 'X', 'S']))
        .collect();
    assert!(
        ["x-LOWER", "Set-Cookie", "X-Between", "Set-Cookie"]
            .iter()
            .all(|name| names.contains(name)),
        "{names:?}"
    );
    assert_eq!(answer.fields.all("set-cookie"), ["a=1", "b=2"]);
}

// === who the client is ===

#[tokio::test]
async fn the_peer_learns_who_asked_for_what() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let port = proxy.addr().port().to_string();
    let host = format!("app.example:{port}");
    let raw = Raw::connect_from("127.0.0.9", proxy.addr()).await;
    Client::over(raw)
        .request("GET", "/", &[("Host", &host)], b"")
        .await;
    let seen = backend.last();
    for (name, value) in [
        ("host", host.as_str()),
        ("x-forwarded-for", "127.0.0.9"),
        ("x-real-ip", "127.0.0.9"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", host.as_str()),
        ("x-forwarded-port", port.as_str()),
    ] {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
}

/// What a client says who would like to be somebody else.
const CLAIMS: [(&str, &str); 5] = [
    ("X-Forwarded-For", "6.6.6.6, 203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "front.example"),
    ("X-Forwarded-Port", "443"),
    ("X-Real-IP", "6.6.6.6"),
];

#[tokio::test]
async fn what_a_stranger_claims_is_replaced() {
    let seen = seen("", &CLAIMS).await;
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", HOST),
        ("x-real-ip", "127.0.0.1"),
    ] {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
    assert_ne!(seen.fields().get("x-forwarded-port"), Some("443"));
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_believed_and_added_to() {
    let seen = seen("trusted_proxies = [\"127.0.0.0/8\"]", &CLAIMS).await;
    assert_eq!(
        seen.fields().all("x-forwarded-for").join(", "),
        "6.6.6.6, 203.0.113.7, 127.0.0.1"
    );
    for (name, value) in [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "front.example"),
        ("x-forwarded-port", "443"),
    ] {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
    // The last address that no trusted proxy has: what stands before it is only a claim.
    assert_eq!(seen.fields().get("x-real-ip"), Some("203.0.113.7"));
}

#[tokio::test]
async fn trust_is_for_the_named_networks_only() {
    let seen = seen(
        "trusted_proxies = [\"10.0.0.0/8\", \"127.0.0.2/32\"]",
        &CLAIMS,
    )
    .await;
    assert_eq!(seen.fields().get("x-forwarded-for"), Some("127.0.0.1"));
}

// === Via, Request-Id ===

#[tokio::test]
async fn there_is_no_via_unless_asked_for() {
    assert!(!seen("", &[]).await.fields().has("via"));
}

#[tokio::test]
async fn via_names_lbd_after_those_before() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start_with("via = \"gw-1\"", &app(&[backend.server()], "")).await;
    let mut client = proxy.client().await.allowing("via");
    client
        .request("GET", "/", &[("Via", "1.0 first")], b"")
        .await;
    assert_eq!(
        backend.last().fields().all("via").join(", "),
        "1.0 first, 1.1 gw-1"
    );
}

#[tokio::test]
async fn a_request_gets_an_id_of_its_own() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut ids = Vec::new();
    let mut client = proxy.client().await;
    for _ in 0..20 {
        client.get("/").await;
        ids.push(
            backend
                .last()
                .fields()
                .get("x-request-id")
                .expect("an id")
                .to_owned(),
        );
    }
    assert!(
        ids.iter()
            .all(|id| id.len() >= 16 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')),
        "{ids:?}"
    );
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn an_id_that_came_along_is_kept() {
    assert_eq!(
        seen("", &[("X-Request-Id", "from-the-client-1")])
            .await
            .fields()
            .get("x-request-id"),
        Some("from-the-client-1")
    );
}
