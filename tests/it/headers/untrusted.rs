//! Fields that a peer may take for ones that lbd writes, or that lbd should have kept from it: by another spelling, by another
//! standard, or behind the body.

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::proxy::{Proxy, app_at};
use crate::support::wire::Fields;

use super::seen;

/// Names that CGI and its heirs cannot tell from the ones with dashes.
const UNDERSCORES: [(&str, &str); 3] = [
    ("X_Forwarded_For", "6.6.6.6"),
    ("X_Real_IP", "6.6.6.6"),
    ("Content_Length", "5"),
];

#[tokio::test]
async fn names_with_underscores_are_dropped() {
    let seen = seen("", &UNDERSCORES).await;
    for (name, _) in UNDERSCORES {
        assert!(!seen.fields().has(name), "{name} in {seen:?}");
    }
    assert_eq!(seen.fields().get("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn names_with_underscores_pass_where_the_operator_says_so() {
    let seen = seen("underscores_in_headers = true", &UNDERSCORES).await;
    for (name, value) in UNDERSCORES {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
}

const FORWARDED: (&str, &str) = ("Forwarded", "for=6.6.6.6;proto=https");

#[tokio::test]
async fn what_a_stranger_says_in_other_words_is_dropped() {
    let seen = seen("", &[FORWARDED, ("Proxy", "http://evil.example/")]).await;
    for name in ["forwarded", "proxy"] {
        assert!(!seen.fields().has(name), "{name} in {seen:?}");
    }
}

#[tokio::test]
async fn forwarded_passes_from_a_trusted_proxy() {
    let seen = seen("trusted_proxies = [\"127.0.0.0/8\"]", &[FORWARDED]).await;
    assert_eq!(seen.fields().get("forwarded"), Some(FORWARDED.1));
}

// === behind the body ===

/// The trailers that the peer sees of these, by a route with these further keys.
async fn trailers(keys: &str, trailers: &str) -> Fields {
    let backend = Backend::start(ok("x")).await;
    let route = format!("path = \"/\"\n{keys}");
    let proxy = Proxy::start(&app_at(&route, &[backend.server()], "")).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0";
    let bytes = format!("{head}\r\n{trailers}\r\n");
    assert_eq!(proxy.raw().await.exchange(bytes).await.status, 200);
    backend.last().body.trailers
}

#[tokio::test]
async fn what_lbd_writes_or_drops_cannot_come_as_a_trailer() {
    let claims = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n";
    let seen = trailers("", &format!("{claims}X-Sum: 5\r\n")).await;
    assert_eq!(seen.names(), ["X-Sum"]);
}

#[tokio::test]
async fn what_the_route_removes_cannot_come_as_a_trailer() {
    let keys = "request_headers = { remove = [\"X-Debug\"] }";
    let seen = trailers(keys, "x-debug: 1\r\nX-Sum: 5\r\n").await;
    assert_eq!(seen.names(), ["X-Sum"]);
}

#[tokio::test]
async fn a_trailer_cannot_replace_what_the_route_sets() {
    let keys = "request_headers = { set = { X-Tenant = \"a\" } }";
    let seen = trailers(keys, "X-Tenant: b\r\nX-Sum: 5\r\n").await;
    assert_eq!(seen.names(), ["X-Sum"]);
}
