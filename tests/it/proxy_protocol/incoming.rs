//! A PROXY header on a listener: it says who the client is, to servers, to the log and to the balance, for all requests
//! of its connection.

use h2::client::Builder;
use ppp::v2::Type;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::certs::Authority;
use crate::support::client::{get, request};
use crate::support::hashed::TO_TWO;
use crate::support::http2::Http2;
use crate::support::log::line;
use crate::support::peer::Request;
use crate::support::plain::Plain;
use crate::support::proxy::{Proxy, app, file, says};
use crate::support::raw::Raw;
use crate::support::secure::{offering, trusting};
use crate::support::streams::{ask, ends_tls};
use crate::support::temp::TempFile;

use super::{CLIENT, CLIENT6, VERSIONS, WANTED, local, v1, v2, v2_with};

/// lbd that wants headers, with these further keys for its listener, before one server.
async fn wanting(listener: &str) -> (Backend, Proxy) {
    let backend = Backend::start(ok("x")).await;
    let listener = format!("{WANTED}\n{listener}");
    let proxy = Proxy::start_with(&listener, &app(&[backend.server()], "")).await;
    (backend, proxy)
}

/// What the server sees of a GET with these fields right behind `header`.
async fn seen(header: &[u8], fields: &[(&str, &str)]) -> Request {
    let (backend, proxy) = wanting("").await;
    let mut client = proxy.raw().await;
    let get = request("GET", "/", fields, b"");
    let answer = client.exchange([header, &get].concat()).await;
    assert_eq!(answer.status, 200);
    backend.last()
}

/// The server takes its client for this one.
fn assert_names(seen: &Request, client: &str) {
    for name in ["x-real-ip", "x-forwarded-for"] {
        assert_eq!(seen.fields().get(name), Some(client), "{name}");
    }
}

#[tokio::test]
async fn every_kind_of_header_names_its_client() {
    let fields: [(Type, &[u8]); 4] = [
        (Type::ALPN, b"h2"),
        (Type::Authority, b"app.example"),
        (Type::NoOp, &[0; 300]),
        (Type::UniqueId, b"1"),
    ];
    for (header, client) in [
        (v1(CLIENT), "203.0.113.9"),
        (v1(CLIENT6), "2001:db8::9"),
        (v2(CLIENT), "203.0.113.9"),
        (v2(CLIENT6), "2001:db8::9"),
        (v2_with(CLIENT, &fields), "203.0.113.9"),
        (v2_with(CLIENT6, &fields), "2001:db8::9"),
        // The smallest and the largest line that there can be.
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 0\r\n".to_vec(), "1.2.3.4"),
        (
            format!("PROXY TCP6 {0} {0} 65535 65535\r\n", ["fff1"; 8].join(":")).into_bytes(),
            "fff1:fff1:fff1:fff1:fff1:fff1:fff1:fff1",
        ),
    ] {
        assert_names(&seen(&header, &[]).await, client);
    }
}

#[tokio::test]
async fn where_a_header_names_nobody_the_connection_does() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), 107);
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.9 198.51.100.1 40001 443\r\n".to_vec(),
        longest.into_bytes(),
        local(None),
        local(Some(CLIENT)),
        local(Some(CLIENT6)),
    ] {
        assert_names(&seen(&header, &[]).await, "127.0.0.1");
    }
}

#[tokio::test]
async fn the_server_learns_which_port_the_client_has_connected_to() {
    for (version, header) in VERSIONS {
        let seen = seen(&header(CLIENT), &[]).await;
        let port = seen.fields().get("x-forwarded-port");
        assert_eq!(port, Some("443"), "{version}");
    }
}

#[tokio::test]
async fn a_header_in_single_bytes_is_understood() {
    for (version, header) in VERSIONS {
        let (backend, proxy) = wanting("").await;
        let mut client = Plain::connect(proxy.addr()).await;
        client.send_singly(header(CLIENT)).await;
        assert_eq!(ask(client.into_inner()).await, "x", "{version}");
        assert_names(&backend.last(), "203.0.113.9");
    }
}

#[tokio::test]
async fn a_header_counts_for_all_requests_of_its_connection() {
    for (version, header) in VERSIONS {
        let (backend, proxy) = wanting("").await;
        let mut client = proxy.raw().await;
        client.send(header(CLIENT)).await;
        for _ in 0..3 {
            assert_eq!(client.exchange(get("/")).await.status, 200, "{version}");
            assert_names(&backend.last(), "203.0.113.9");
        }
    }
}

#[tokio::test]
async fn connections_of_two_clients_are_not_mixed_up() {
    let (backend, proxy) = wanting("").await;
    let (mut first, mut second) = (proxy.raw().await, proxy.raw().await);
    first.send(v1(CLIENT)).await;
    second.send(v2(CLIENT6)).await;
    for _ in 0..3 {
        assert_eq!(first.exchange(get("/")).await.status, 200);
        assert_names(&backend.last(), "203.0.113.9");
        assert_eq!(second.exchange(get("/")).await.status, 200);
        assert_names(&backend.last(), "2001:db8::9");
    }
}

#[tokio::test]
async fn a_second_header_is_no_request() {
    let (backend, proxy) = wanting("").await;
    let mut client = proxy.raw().await;
    client
        .send([v1(CLIENT), v1(CLIENT6), get("/")].concat())
        .await;
    assert_eq!(client.response().await.status, 400);
    client.ends().await;
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn whoever_has_shown_no_header_goes_when_a_reload_wants_one() {
    let mut proxy = Proxy::start(&says("path = \"/\"", "x")).await;
    let mut client = proxy.raw().await;
    assert_eq!(client.exchange(get("/")).await.status, 200);
    let wanting = file("", WANTED, &says("path = \"/\"", "x"));
    let reloaded = proxy.try_reload(&wanting).await;
    reloaded.expect("a good file is taken");
    client.ends().await;
}

#[tokio::test]
async fn a_header_where_none_is_wanted_is_no_request() {
    let backend = Backend::start(ok("x")).await;
    let keys = "trusted_proxies = [\"127.0.0.0/8\"]";
    let proxy = Proxy::start_with(keys, &app(&[backend.server()], "")).await;
    for (version, header) in VERSIONS {
        let mut client = proxy.raw().await;
        client.send([header(CLIENT), get("/")].concat()).await;
        assert_eq!(client.response().await.status, 400, "{version}");
    }
    assert_eq!(backend.requests(), 0);
}

// === whom to believe ===

/// What a client says who would like to be somebody else.
const CLAIMS: [(&str, &str); 3] = [
    ("X-Forwarded-For", "6.6.6.6, 192.0.2.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Real-IP", "6.6.6.6"),
];

#[tokio::test]
async fn a_client_behind_a_trusted_proxy_is_not_trusted_itself() {
    for (version, header) in VERSIONS {
        let seen = seen(&header(CLIENT), &CLAIMS).await;
        assert_names(&seen, "203.0.113.9");
        let scheme = seen.fields().get("x-forwarded-proto");
        assert_eq!(scheme, Some("http"), "{version}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_behind_a_trusted_proxy_is_believed() {
    for (version, header) in VERSIONS {
        let seen = seen(&header(("127.9.9.9:1", "127.0.0.1:2")), &CLAIMS).await;
        let fields = seen.fields();
        let forwarded = fields.all("x-forwarded-for").join(", ");
        assert_eq!(forwarded, "6.6.6.6, 192.0.2.7, 127.9.9.9", "{version}");
        assert_eq!(fields.get("x-real-ip"), Some("192.0.2.7"));
        assert_eq!(fields.get("x-forwarded-proto"), Some("https"));
    }
}

// === the log and the balance ===

#[tokio::test]
async fn the_access_line_names_the_client() {
    for (client, name) in [(CLIENT, "203.0.113.9"), (CLIENT6, "2001:db8::9")] {
        let backend = Backend::start(ok("x")).await;
        let log = TempFile::new("log");
        let keys = format!("access = \"{}\"", log.path());
        let rest = app(&[backend.server()], "");
        let proxy = Proxy::start_file(&file(&keys, WANTED, &rest)).await;
        let mut raw = proxy.raw().await;
        raw.exchange([v2(client), get("/")].concat()).await;
        let line = line(&log).await;
        assert!(line.starts_with(&format!("{name} - - [")), "{line}");
    }
}

#[tokio::test]
async fn ip_hash_goes_by_the_client() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let pool = app(&[a.server(), b.server()], "balance = \"ip_hash\"");
    let proxy = Proxy::start_with(WANTED, &pool).await;
    for (client, name) in TO_TWO {
        let header = v1((&format!("{client}:1"), "198.51.100.1:443"));
        let mut raw = Raw::connect(proxy.addr()).await;
        let answer = raw.exchange([header, get("/")].concat()).await;
        assert_eq!(answer.text(), name, "{client}");
    }
}

// === before TLS ===

/// A connection of TLS behind `header`, which agreed on `protocol`.
async fn secured(header: &[u8], protocol: &str) -> (Backend, Proxy, TlsStream<TcpStream>) {
    let authority = Authority::new();
    let identity = authority.server(&["app.example"]);
    let (backend, proxy) = wanting(&ends_tls(&identity, "")).await;
    let config = offering(&trusting(&authority), &[protocol]);
    let mut client = Plain::connect(proxy.addr()).await;
    client.send(header).await;
    let client = client.secured("app.example", &config).await;
    (backend, proxy, client.expect("a handshake that succeeds"))
}

#[tokio::test]
async fn a_header_stands_before_tls() {
    for (version, header) in VERSIONS {
        let (backend, _proxy, client) = secured(&header(CLIENT), "http/1.1").await;
        assert_eq!(ask(client).await, "x", "{version}");
        let seen = backend.last();
        assert_names(&seen, "203.0.113.9");
        let scheme = seen.fields().get("x-forwarded-proto");
        assert_eq!(scheme, Some("https"), "{version}");
    }
}

#[tokio::test]
async fn a_header_counts_for_all_requests_of_http_2() {
    for (version, header) in VERSIONS {
        let (backend, _proxy, client) = secured(&header(CLIENT6), "h2").await;
        let mut client = Http2::over(&Builder::new(), client).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.text(), "x", "{version}");
            assert_names(&backend.last(), "2001:db8::9");
        }
    }
}
