//! TLS towards servers: whom lbd believes to be one of them, and what it shows to them.

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::certs::{Authority, Identity, renewed, self_signed};
use crate::support::proxy::{Proxy, app};
use crate::support::tls_peer::{TlsPeer, asks, shows};

/// The name of most servers' certificates.
const NAME: &str = "app.internal";

/// An authority and a certificate of it for [`NAME`].
fn internal() -> (Authority, Identity) {
    let authority = Authority::new();
    let identity = authority.server(&[NAME]);
    (authority, identity)
}

/// lbd before these servers, with these keys for the pool's `tls`.
async fn before(peers: &[&TlsPeer], keys: &str) -> Proxy {
    let servers: Vec<_> = peers.iter().map(|peer| peer.server()).collect();
    Proxy::start(&app(&servers, &format!("tls = {{ {keys} }}"))).await
}

/// The keys that trust `authority` with the name [`NAME`].
fn trusting(authority: &Authority) -> String {
    format!("ca = \"{}\", server_name = \"{NAME}\"", authority.path())
}

#[tokio::test]
async fn requests_reach_a_server_over_tls() {
    let (authority, identity) = internal();
    let peer = TlsPeer::start(shows(&identity), "hello").await;
    let proxy = before(&[&peer], &trusting(&authority)).await;
    assert_eq!(proxy.get("/").await.text(), "hello");
    let call = &peer.calls()[0];
    assert_eq!(call.head.start, "GET / HTTP/1.1");
    assert_eq!(call.name.as_deref(), Some(NAME));
    assert_eq!(call.certificate, None);
    // What the client spoke, not what lbd speaks.
    let scheme = call.head.fields.get("x-forwarded-proto");
    assert_eq!(scheme, Some("http"));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let (authority, identity) = internal();
    let peer = TlsPeer::start(shows(&identity), "hello").await;
    let proxy = before(&[&peer], &trusting(&authority)).await;
    for _ in 0..5 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
    assert_eq!((peer.calls().len(), peer.connections()), (5, 1));
}

#[tokio::test]
async fn a_connection_survives_a_reload() {
    let (authority, identity) = internal();
    let peer = TlsPeer::start(shows(&identity), "hello").await;
    let keys = format!("tls = {{ {} }}", trusting(&authority));
    let rest = app(&[peer.server()], &keys);
    let mut proxy = Proxy::start(&rest).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.text(), "hello");
        proxy.reload(&rest).await;
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_server_that_signed_for_itself_is_believed_if_its_certificate_is_named() {
    let identity = self_signed(&[NAME]);
    let peer = TlsPeer::start(shows(&identity), "hello").await;
    let stranger = self_signed(&[NAME]);
    for (trusted, name, status) in [
        (&identity, NAME, 200),
        (&identity, "other.internal", 502),
        (&stranger, NAME, 502),
    ] {
        let ca = trusted.cert_file();
        let keys = format!("ca = \"{ca}\", server_name = \"{name}\"");
        let proxy = before(&[&peer], &keys).await;
        assert_eq!(proxy.get("/").await.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_certificate_that_was_renewed_with_its_key_is_believed_after_a_reload() {
    let old = self_signed(&[NAME]);
    let new = renewed(&old, &[NAME]);
    let peer = TlsPeer::start(shows(&new), "hello").await;
    let trusting = |identity: &Identity| {
        let keys = format!(
            "ca = \"{}\", server_name = \"{NAME}\"",
            identity.cert_file()
        );
        app(&[peer.server()], &format!("tls = {{ {keys} }}"))
    };
    let mut proxy = Proxy::start(&trusting(&old)).await;
    assert_eq!(proxy.get("/").await.status, 502);
    proxy.reload(&trusting(&new)).await;
    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_connection_is_not_used_for_a_server_of_another_name_at_the_same_address() {
    let authority = Authority::new();
    let peer = TlsPeer::start(shows(&authority.server(&["localhost"])), "hello").await;
    let keys = format!("tls = {{ ca = \"{}\" }}", authority.path());
    let by_name = peer.server().replace("127.0.0.1", "localhost");
    let mut proxy = Proxy::start(&app(&[by_name], &keys)).await;
    assert_eq!(proxy.get("/").await.text(), "hello");
    proxy.reload(&app(&[peer.server()], &keys)).await;
    assert_eq!(proxy.get("/").await.status, 502);
}

#[tokio::test]
async fn long_bodies_pass_both_ways() {
    let (authority, identity) = internal();
    let peer = TlsPeer::start(shows(&identity), "").await;
    let proxy = before(&[&peer], &trusting(&authority)).await;
    let body: Vec<u8> = (0..4_000_001).map(|i: u32| (i ^ (i >> 8)) as u8).collect();
    let answer = proxy.request("PUT", "/", &[], &body).await;
    let came = answer.body.data;
    assert!(came == body, "{} bytes came back", came.len());
}

// === whom lbd believes ===

#[tokio::test]
async fn a_server_by_address_is_verified_by_its_address() {
    let authority = Authority::new();
    let by_address = authority.server(&["127.0.0.1"]);
    let peer = TlsPeer::start(shows(&by_address), "hello").await;
    let proxy = before(&[&peer], &format!("ca = \"{}\"", authority.path())).await;
    assert_eq!(proxy.get("/").await.text(), "hello");
    assert_eq!(
        peer.calls()[0].name,
        None,
        "an address is no name to ask for"
    );
}

#[tokio::test]
async fn a_server_with_another_name_is_no_server() {
    let authority = Authority::new();
    let other = authority.server(&["other.internal"]);
    let peer = TlsPeer::start(shows(&other), "not this one").await;
    let proxy = before(&[&peer], &trusting(&authority)).await;
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(peer.calls().len(), 0);
}

#[tokio::test]
async fn a_server_of_another_authority_is_no_server() {
    let (authority, _) = internal();
    let (_, identity) = internal();
    let peer = TlsPeer::start(shows(&identity), "not this one").await;
    let proxy = before(&[&peer], &trusting(&authority)).await;
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(peer.calls().len(), 0);
}

#[tokio::test]
async fn the_next_server_makes_good_for_one_that_is_none() {
    for method in ["GET", "POST"] {
        let (authority, identity) = internal();
        let other = authority.server(&["other.internal"]);
        let wrong = TlsPeer::start(shows(&other), "not this one").await;
        let right = TlsPeer::start(shows(&identity), "hello").await;
        let proxy = before(&[&wrong, &right], &trusting(&authority)).await;
        // Nothing of a request has gone out yet, so that every method may go on.
        let answer = proxy.request(method, "/", &[], b"").await;
        assert_eq!(answer.text(), "hello", "{method}");
        assert_eq!((wrong.connections(), wrong.calls().len()), (1, 0));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_no_server() {
    let (authority, identity) = internal();
    let plain = Backend::start(ok("in the clear")).await;
    let right = TlsPeer::start(shows(&identity), "hello").await;
    let keys = format!("tls = {{ {} }}", trusting(&authority));
    let servers = [plain.server(), right.server()];
    let proxy = Proxy::start(&app(
        &servers,
        &format!("timeouts = {{ connect = \"2s\", read = \"2s\" }}\n{keys}"),
    ))
    .await;
    assert_eq!(proxy.get("/").await.text(), "hello");
    assert_eq!(plain.requests(), 0);
}

#[tokio::test]
async fn a_server_is_not_verified_where_the_operator_says_so() {
    let (_, identity) = internal();
    let peer = TlsPeer::start(shows(&identity), "hello").await;
    let proxy = before(&[&peer], "verify = false").await;
    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_name_is_asked_for_even_if_it_is_not_verified() {
    let (_, identity) = internal();
    let peer = TlsPeer::start(shows(&identity), "hello").await;
    let keys = "verify = false, server_name = \"asked.internal\"";
    let proxy = before(&[&peer], keys).await;
    assert_eq!(proxy.get("/").await.text(), "hello");
    assert_eq!(peer.calls()[0].name.as_deref(), Some("asked.internal"));
}

// === whom servers believe ===

#[tokio::test]
async fn a_server_that_asks_is_shown_lbds_certificate() {
    let (authority, identity) = internal();
    let clients = Authority::new();
    let lbd = clients.client("lbd");
    let peer = TlsPeer::start(asks(&identity, &clients), "hello").await;
    let keys = format!("{}, {}", trusting(&authority), lbd.keys());
    let proxy = before(&[&peer], &keys).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.text(), "hello");
    }
    let shown = peer.calls()[0].certificate.clone();
    assert_eq!(shown.as_ref(), Some(lbd.certificate()));
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_lbd_is_a_bad_gateway() {
    let (authority, identity) = internal();
    let clients = Authority::new();
    let stranger = Authority::new().client("lbd");
    let peer = TlsPeer::start(asks(&identity, &clients), "hello").await;
    for keys in [
        trusting(&authority),
        format!("{}, {}", trusting(&authority), stranger.keys()),
    ] {
        let proxy = before(&[&peer], &keys).await;
        assert_eq!(proxy.get("/").await.status, 502, "{keys}");
    }
    assert_eq!(peer.calls().len(), 0);
}
