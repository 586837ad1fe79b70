//! Sessions that are taken up again: less work for both sides, and never a way around a certificate.

use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};

use crate::support::certs::Authority;
use crate::support::client::get;
use crate::support::proxy::{Proxy, file, says};
use crate::support::secure::{Secure, provider, showing, speaking};

use super::{NAME, front, tls};

/// How the handshake went for a client that then asks once: what it needs to come back has come with the answer.
async fn kind(proxy: &Proxy, config: &Arc<ClientConfig>) -> HandshakeKind {
    let mut client = Secure::connect(proxy.addr(), NAME, config).await;
    assert_eq!(client.exchange(get("/")).await.text(), "x");
    client.agreed.kind
}

#[tokio::test]
async fn a_client_that_comes_back_is_known() {
    let (authority, identity) = front();
    let proxy = Proxy::start_with(&tls(&[&identity], ""), &says("path = \"/\"", "x")).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(speaking(&authority, provider(), &[version]));
        assert_eq!(kind(&proxy, &config).await, HandshakeKind::Full);
        for _ in 0..3 {
            let again = kind(&proxy, &config).await;
            assert_eq!(again, HandshakeKind::Resumed, "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_client_is_known_by_every_worker() {
    let (authority, identity) = front();
    let text = file("", &tls(&[&identity], ""), &says("path = \"/\"", "x"));
    let proxy = Proxy::start_file(&text.replacen("workers = 1", "workers = 4", 1)).await;
    let config = Arc::new(speaking(&authority, provider(), rustls::DEFAULT_VERSIONS));
    assert_eq!(kind(&proxy, &config).await, HandshakeKind::Full);
    for _ in 0..20 {
        assert_eq!(kind(&proxy, &config).await, HandshakeKind::Resumed);
    }
}

#[tokio::test]
async fn a_client_is_known_after_a_reload() {
    let (authority, identity) = front();
    let text = file("", &tls(&[&identity], ""), &says("path = \"/\"", "x"));
    let mut proxy = Proxy::start_file(&text).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(speaking(&authority, provider(), &[version]));
        assert_eq!(kind(&proxy, &config).await, HandshakeKind::Full);
        proxy.try_reload(&text).await.expect("a good file is taken");
        let again = kind(&proxy, &config).await;
        assert_eq!(again, HandshakeKind::Resumed, "{version:?}");
    }
}

#[tokio::test]
async fn a_client_that_must_show_a_certificate_shows_it_every_time() {
    let (authority, identity) = front();
    let clients = Authority::new();
    let keys = format!(
        "client_ca = \"{}\", client_auth = \"require\"",
        clients.path()
    );
    let rest = says("path = \"/\"", "x");
    let proxy = Proxy::start_with(&tls(&[&identity], &keys), &rest).await;
    let alice = clients.client("alice");
    let config = Arc::new(showing(&authority, &alice));
    for _ in 0..3 {
        assert_eq!(kind(&proxy, &config).await, HandshakeKind::Full);
    }
}
