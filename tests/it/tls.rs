//! TLS on a listener: who is shown which certificate, what is spoken inside, and that inside all is as outside.

mod admission;
mod bodies;
mod clients;
mod edges;
mod names;
mod reload;
mod sessions;

use std::sync::Arc;

use h2::client::Builder;
use rustls::{ClientConfig, ProtocolVersion};

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::certs::{Authority, Identity};
use crate::support::client::{get, request};
use crate::support::frame::{PREFACE, settings};
use crate::support::http2::Http2;
use crate::support::proxy::{Proxy, app, says};
use crate::support::secure::{Agreed, Secure, handshake, offering, provider, speaking, trusting};

/// The name of [`front`]'s certificate.
const NAME: &str = "app.example";

/// The keys of a listener with these certificates and further keys for `tls`.
fn tls(certificates: &[&Identity], keys: &str) -> String {
    let certificates: Vec<_> = certificates
        .iter()
        .map(|identity| format!("{{ {} }}", identity.keys()))
        .collect();
    let certificates = certificates.join(", ");
    let comma = if keys.is_empty() { "" } else { ", " };
    format!("tls = {{ certificates = [{certificates}]{comma}{keys} }}")
}

/// An authority, and a certificate of it for [`NAME`].
fn front() -> (Authority, Identity) {
    let authority = Authority::new();
    let identity = authority.server(&[NAME]);
    (authority, identity)
}

/// lbd with TLS that says "x" to everybody, with these further keys for `tls`, and a client that trusts it.
async fn speaks(keys: &str) -> (Proxy, ClientConfig) {
    let (authority, identity) = front();
    let proxy = Proxy::start_with(&tls(&[&identity], keys), &says("path = \"/\"", "x")).await;
    (proxy, trusting(&authority))
}

/// lbd with TLS before one server, and a client that trusts it.
async fn before(backend: &Backend) -> (Proxy, Arc<ClientConfig>) {
    let (authority, identity) = front();
    let proxy = Proxy::start_with(&tls(&[&identity], ""), &app(&[backend.server()], "")).await;
    (proxy, Arc::new(trusting(&authority)))
}

#[tokio::test]
async fn requests_over_tls_are_answered() {
    let backend = Backend::start(ok("hello")).await;
    let (proxy, config) = before(&backend).await;
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    for _ in 0..20 {
        let answer = client.exchange(get("/")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    }
    assert_eq!((backend.requests(), backend.connections()), (20, 1));
}

#[tokio::test]
async fn the_server_learns_that_the_client_came_by_tls() {
    let backend = Backend::start(ok("x")).await;
    let (proxy, config) = before(&backend).await;
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    let lies = [("X-Forwarded-Proto", "http"), ("X-Forwarded-Port", "80")];
    client.exchange(request("GET", "/", &lies, b"")).await;
    let seen = backend.last();
    let port = proxy.addr().port().to_string();
    for (name, value) in [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", port.as_str()),
        ("x-forwarded-host", NAME),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn variables_name_the_scheme() {
    let (authority, identity) = front();
    let rest = says("path = \"/\"", "$scheme");
    let proxy = Proxy::start_with(&tls(&[&identity], ""), &rest).await;
    let config = Arc::new(trusting(&authority));
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    assert_eq!(client.exchange(get("/")).await.text(), "https");
}

#[tokio::test]
async fn a_redirect_leads_from_clear_text_to_tls() {
    let rest = "[[routes]]\npath = \"/\"\nredirect = { to = \"https\" }\n";
    let proxy = Proxy::start(rest).await;
    let answer = proxy.get("/x?y=1").await;
    assert!([301, 308].contains(&answer.status), "{answer:?}");
    let location = answer.field("location");
    assert_eq!(location, Some("https://app.example/x?y=1"));
}

// === what is spoken inside ===

/// What is agreed on with a listener of these keys by a client that offers these protocols; empty if nothing is.
async fn agreed(keys: &str, offered: &[&str]) -> String {
    let (proxy, config) = speaks(keys).await;
    let config = offering(&config, offered);
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    if client.agreed.protocol != "h2" {
        assert_eq!(client.exchange(get("/")).await.text(), "x");
    }
    client.agreed.protocol
}

#[tokio::test]
async fn the_listener_chooses_among_what_the_client_offers() {
    let cases: [(&str, &[&str], &str); 9] = [
        ("", &["h2", "http/1.1"], "h2"),
        ("", &["http/1.1", "h2"], "h2"),
        ("", &["http/1.1"], "http/1.1"),
        ("", &["h2"], "h2"),
        ("", &["spdy/3", "http/1.1"], "http/1.1"),
        ("", &[], ""),
        ("alpn = [\"http/1.1\"]", &["h2", "http/1.1"], "http/1.1"),
        (
            "alpn = [\"http/1.1\", \"h2\"]",
            &["h2", "http/1.1"],
            "http/1.1",
        ),
        ("alpn = [\"h2\"]", &["h2", "http/1.1"], "h2"),
    ];
    for (keys, offered, expected) in cases {
        assert_eq!(agreed(keys, offered).await, expected, "{keys} {offered:?}");
    }
}

#[tokio::test]
async fn a_client_that_offers_nothing_that_lbd_speaks_is_refused() {
    for (keys, offered) in [
        ("", &["spdy/3"]),
        ("alpn = [\"h2\"]", &["http/1.1"]),
        ("alpn = [\"http/1.1\"]", &["h2"]),
    ] {
        let (proxy, config) = speaks(keys).await;
        let config = offering(&config, offered);
        let refused = Secure::try_connect(proxy.addr(), NAME, &config).await;
        assert!(refused.is_err(), "{keys} {offered:?}");
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_it_was_agreed_on() {
    let backend = Backend::start(ok("hello")).await;
    let (proxy, config) = before(&backend).await;
    let config = offering(&config, &["h2", "http/1.1"]);
    let stream = handshake(proxy.addr(), NAME, &config).await;
    let stream = stream.expect("a handshake that succeeds");
    assert_eq!(Agreed::of(&stream).protocol, "h2");
    let mut client = Http2::over(&Builder::new(), stream).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "hello");
    }
    let seen = backend.last();
    assert_eq!(seen.fields().get("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.fields().get("host"), Some(NAME));
}

#[tokio::test]
async fn what_was_not_agreed_on_is_not_spoken() {
    let (proxy, config) = speaks("").await;
    for (agreed, said) in [
        ("http/1.1", [PREFACE, &settings(&[])].concat()),
        ("h2", get("/")),
    ] {
        let config = offering(&config, &[agreed]);
        let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
        client.send(said).await;
        // How lbd says so is its choice.
        let rest = client.try_rest().await.unwrap_or_default();
        let text = String::from_utf8_lossy(&rest);
        assert!(!text.contains(" 200 "), "{agreed}: {text:?}");
    }
}

// === versions ===

#[tokio::test]
async fn both_versions_are_spoken() {
    let (authority, identity) = front();
    let listener = tls(&[&identity], "min_version = \"1.2\"");
    let proxy = Proxy::start_with(&listener, &says("path = \"/\"", "x")).await;
    for (version, expected) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let config = Arc::new(speaking(&authority, provider(), &[version]));
        let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
        assert_eq!(client.agreed.version, expected);
        assert_eq!(client.exchange(get("/")).await.text(), "x");
    }
}

#[tokio::test]
async fn a_version_below_the_least_is_refused() {
    let (authority, identity) = front();
    let listener = tls(&[&identity], "min_version = \"1.3\"");
    let proxy = Proxy::start_with(&listener, &says("path = \"/\"", "x")).await;
    let old = speaking(&authority, provider(), &[&rustls::version::TLS12]);
    let refused = Secure::try_connect(proxy.addr(), NAME, &Arc::new(old)).await;
    assert!(refused.is_err());
    let config = Arc::new(trusting(&authority));
    let client = Secure::connect(proxy.addr(), NAME, &config).await;
    assert_eq!(client.agreed.version, ProtocolVersion::TLSv1_3);
}
