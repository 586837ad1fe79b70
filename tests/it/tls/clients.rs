//! Certificates of clients: who must show one, and what servers learn of it. Nobody can claim to have one.

use std::sync::Arc;

use h2::client::Builder;
use rcgen::DnType::{self, CommonName, CountryName, OrganizationName};
use rustls::ClientConfig;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::certs::Authority;
use crate::support::client::{get, request};
use crate::support::http2::{self, Http2};
use crate::support::peer::Request;
use crate::support::proxy::{Proxy, app};
use crate::support::secure::{Secure, handshake, offering, showing, trusting};

use super::{NAME, front, tls};

const SUBJECT: &str = "x-client-cert-subject";
const FINGERPRINT: &str = "x-client-cert-fingerprint";

/// What a client says who would like to be somebody else.
const CLAIMS: [(&str, &str); 4] = [
    ("X-Client-Cert-Subject", "CN=root"),
    ("X-Client-Cert-Fingerprint", "00"),
    ("X_Client_Cert_Subject", "CN=root"),
    ("x-client-cert-subject", "CN=root too"),
];

/// lbd that asks clients for certificates of `clients`, before one server.
struct Front {
    backend: Backend,
    proxy: Proxy,
    /// Who vouches for lbd.
    authority: Authority,
    /// Who vouches for clients.
    clients: Authority,
}

impl Front {
    async fn start(client_auth: &str) -> Self {
        let (authority, identity) = front();
        let clients = Authority::new();
        let keys = format!(
            "client_ca = \"{}\", client_auth = \"{client_auth}\"",
            clients.path()
        );
        let backend = Backend::start(ok("x")).await;
        let rest = app(&[backend.server()], "");
        let proxy = Proxy::start_with(&tls(&[&identity], &keys), &rest).await;
        Self {
            backend,
            proxy,
            authority,
            clients,
        }
    }

    /// Whether this client is served, and not refused in the handshake or right after it.
    async fn serves(&self, config: ClientConfig) -> bool {
        let config = Arc::new(config);
        let Ok(mut client) = Secure::try_connect(self.proxy.addr(), NAME, &config).await else {
            return false;
        };
        // A client of TLS 1.3 is done before lbd has seen its certificate.
        if client.try_send(get("/")).await.is_err() {
            return false;
        }
        match client.try_response("GET").await {
            Ok(answer) => answer.status == 200,
            Err(_) => false,
        }
    }

    /// What the server sees of a GET with these fields.
    async fn seen(&self, config: ClientConfig, fields: &[(&str, &str)]) -> Request {
        let config = Arc::new(config);
        let mut client = Secure::connect(self.proxy.addr(), NAME, &config).await;
        let answer = client.exchange(request("GET", "/", fields, b"")).await;
        assert_eq!(answer.status, 200);
        self.backend.last()
    }
}

#[tokio::test]
async fn who_shows_a_certificate_is_named_to_the_server() {
    for client_auth in ["require", "optional"] {
        let front = Front::start(client_auth).await;
        let alice = front.clients.client("alice");
        let config = showing(&front.authority, &alice);
        let seen = front.seen(config, &CLAIMS).await;
        let fields = seen.fields();
        assert_eq!(fields.get(SUBJECT), Some("CN=alice"), "{client_auth}");
        assert_eq!(fields.get(FINGERPRINT), Some(alice.fingerprint().as_str()));
        assert!(!fields.has("X_Client_Cert_Subject"));
    }
}

#[tokio::test]
async fn who_shows_a_certificate_is_named_over_http_2_too() {
    let front = Front::start("require").await;
    let alice = front.clients.client("alice");
    let config = offering(&showing(&front.authority, &alice), &["h2"]);
    let stream = handshake(front.proxy.addr(), NAME, &config).await;
    let stream = stream.expect("a handshake that succeeds");
    let mut client = Http2::over(&Builder::new(), stream).await;
    let claims = [(SUBJECT, "CN=root"), (FINGERPRINT, "00")];
    let answer = client.ask(http2::request("GET", "/", &claims), b"").await;
    assert_eq!(answer.status, 200);
    let seen = front.backend.last();
    assert_eq!(seen.fields().get(SUBJECT), Some("CN=alice"));
    let fingerprint = seen.fields().get(FINGERPRINT);
    assert_eq!(fingerprint, Some(alice.fingerprint().as_str()));
}

#[tokio::test]
async fn who_must_show_a_certificate_and_does_not_is_refused() {
    let front = Front::start("require").await;
    let strangers = Authority::new();
    let mallory = strangers.client("alice");
    assert!(!front.serves(trusting(&front.authority)).await, "none");
    assert!(
        !front.serves(showing(&front.authority, &mallory)).await,
        "another's"
    );
    let alice = front.clients.client("alice");
    assert!(front.serves(showing(&front.authority, &alice)).await);
    assert_eq!(front.backend.requests(), 1);
}

#[tokio::test]
async fn who_may_show_a_certificate_and_does_not_is_nobody() {
    let front = Front::start("optional").await;
    let seen = front.seen(trusting(&front.authority), &CLAIMS).await;
    for name in [SUBJECT, FINGERPRINT, "X_Client_Cert_Subject"] {
        assert!(!seen.fields().has(name), "{name} in {seen:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused_even_if_none_is_needed() {
    let front = Front::start("optional").await;
    let mallory = Authority::new().client("alice");
    assert!(!front.serves(showing(&front.authority, &mallory)).await);
    assert_eq!(front.backend.requests(), 0);
}

#[tokio::test]
async fn nobody_can_claim_a_certificate_where_none_is_asked_for() {
    let backend = Backend::start(ok("x")).await;
    let rest = app(&[backend.server()], "");
    let plain = Proxy::start(&rest).await;
    plain.request("GET", "/", &CLAIMS, b"").await;
    let (authority, identity) = front();
    let secure = Proxy::start_with(&tls(&[&identity], ""), &rest).await;
    let config = Arc::new(trusting(&authority));
    let mut client = Secure::connect(secure.addr(), NAME, &config).await;
    client.exchange(request("GET", "/", &CLAIMS, b"")).await;
    let all = backend.seen();
    assert_eq!(all.len(), 2);
    for seen in all {
        for name in [SUBJECT, FINGERPRINT, "X_Client_Cert_Subject"] {
            assert!(!seen.fields().has(name), "{name} in {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let backend = Backend::start(ok("x")).await;
    let keys = "trusted_proxies = [\"127.0.0.0/8\"]";
    let proxy = Proxy::start_with(keys, &app(&[backend.server()], "")).await;
    let said = [(SUBJECT, "CN=alice"), (FINGERPRINT, "abcd")];
    proxy.request("GET", "/", &said, b"").await;
    for (name, value) in said {
        assert_eq!(backend.last().fields().get(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_subject_can_be_read_in_one_way_only() {
    let front = Front::start("require").await;
    let cases: [(&[(DnType, &str)], &str); 7] = [
        // The last part stands first (RFC 4514 section 2.1).
        (
            &[
                (CountryName, "DE"),
                (OrganizationName, "Admins"),
                (CommonName, "bob"),
            ],
            "CN=bob,O=Admins,C=DE",
        ),
        (
            &[(CommonName, "bob,O=Admins,C=DE")],
            r"CN=bob\,O\=Admins\,C\=DE",
        ),
        (&[(CommonName, "bob, O=Admins")], r"CN=bob\, O\=Admins"),
        (&[(CommonName, "bob+O=Admins")], r"CN=bob\+O\=Admins"),
        (&[(CommonName, " \"a\";<b>\\c")], r#"CN=\20\"a\"\;\<b\>\\c"#),
        (
            &[(CommonName, "bob\r\nX-Real-IP: 6.6.6.6")],
            r"CN=bob\0D\0AX-Real-IP: 6.6.6.6",
        ),
        (&[(CommonName, "应用")], r"CN=\E5\BA\94\E7\94\A8"),
    ];
    for (subject, expected) in cases {
        let client = front.clients.client_called(subject);
        let seen = front.seen(showing(&front.authority, &client), &[]).await;
        assert_eq!(seen.fields().get(SUBJECT), Some(expected), "{subject:?}");
    }
}
