//! What is no PROXY header, comes from somebody else, or does not come: the connection is closed without a word, and no
//! server hears of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::certs::Authority;
use crate::support::client::get;
use crate::support::frame::PREFACE;
use crate::support::log::{line, logging};
use crate::support::proxy::{Proxy, app};
use crate::support::raw::Raw;
use crate::support::secure::{handshake, trusting};
use crate::support::streams::{addr, ends_tls, start, stream};

use super::{CLIENT, VERSIONS, WANTED, v1, v2};

/// Lines that nothing may follow.
const LINES: &[&str] = &[
    // Words.
    "PROXY\r\n",
    "PROXY \r\n",
    "PROXY TCP\r\n",
    "PROXY TCP5 203.0.113.9 198.51.100.1 40001 443\r\n",
    "PROXY UDP4 203.0.113.9 198.51.100.1 40001 443\r\n",
    "PROXY tcp4 203.0.113.9 198.51.100.1 40001 443\r\n",
    "proxy TCP4 203.0.113.9 198.51.100.1 40001 443\r\n",
    "PROXYTCP4 203.0.113.9 198.51.100.1 40001 443\r\n",
    "PROXY UNKNOWNS 203.0.113.9\r\n",
    // Parts.
    "PROXY TCP4\r\n",
    "PROXY TCP4 203.0.113.9 198.51.100.1 40001\r\n",
    "PROXY TCP4 203.0.113.9 198.51.100.1 40001 443 5\r\n",
    "PROXY TCP4 203.0.113.9  198.51.100.1 40001 443\r\n",
    "PROXY  TCP4 203.0.113.9 198.51.100.1 40001 443\r\n",
    "PROXY\tTCP4\t203.0.113.9\t198.51.100.1\t40001\t443\r\n",
    " PROXY TCP4 203.0.113.9 198.51.100.1 40001 443\r\n",
    // Addresses.
    "PROXY TCP4 203.0.113.256 198.51.100.1 40001 443\r\n",
    "PROXY TCP4 203.0.113 198.51.100.1 40001 443\r\n",
    "PROXY TCP4 app.example 198.51.100.1 40001 443\r\n",
    "PROXY TCP4 2001:db8::9 2001:db8::1 40001 443\r\n",
    "PROXY TCP6 203.0.113.9 198.51.100.1 40001 443\r\n",
    "PROXY TCP6 2001:db8:::9 2001:db8::1 40001 443\r\n",
    // Ports.
    "PROXY TCP4 203.0.113.9 198.51.100.1 40001 65536\r\n",
    "PROXY TCP4 203.0.113.9 198.51.100.1 -1 443\r\n",
    "PROXY TCP4 203.0.113.9 198.51.100.1 +40001 443\r\n",
    "PROXY TCP4 203.0.113.9 198.51.100.1 40001 http\r\n",
    // The end of the line.
    "PROXY TCP4 203.0.113.9 198.51.100.1 40001 443\n",
];

/// Headers of version 2 with one byte that is wrong.
fn broken() -> Vec<Vec<u8>> {
    let changes: [(usize, u8); 8] = [
        // The signature, at its begin and at its end.
        (0, b'\n'),
        (11, b'\r'),
        // Versions 1 and 3.
        (12, 0x11),
        (12, 0x31),
        // Neither LOCAL nor PROXY.
        (12, 0x22),
        // Of no known family, and of no known kind.
        (13, 0x41),
        (13, 0x13),
        // Shorter than its addresses.
        (15, 11),
    ];
    let change = |(at, byte): (usize, u8)| {
        let mut header = v2(CLIENT);
        header[at] = byte;
        header
    };
    changes.into_iter().map(change).collect()
}

/// What a connection may begin with that has no header.
fn missing() -> Vec<Vec<u8>> {
    let hello: [&[u8]; 2] = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], &[0; 500]];
    vec![
        get("/"),
        PREFACE.to_vec(),
        hello.concat(),
        vec![0; 100],
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        // Longer than the longest line.
        format!("PROXY UNKNOWN {}", "x".repeat(200)).into_bytes(),
        format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).into_bytes(),
    ]
}

/// lbd with these keys for a listener and for a stream, both before one server.
async fn both(keys: &str, backend: &Backend) -> Proxy {
    let route = "[[routes]]\npath = \"/\"\npool = \"app\"\n";
    let stream = stream(keys, &[backend.server()], "");
    Proxy::start_with(keys, &format!("{route}{stream}")).await
}

/// Everything that is no header.
fn all() -> Vec<Vec<u8>> {
    let lines = LINES.iter().map(|line| line.as_bytes().to_vec());
    lines.chain(broken()).chain(missing()).collect()
}

#[tokio::test]
async fn what_is_no_header_is_closed_by_a_listener() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start_with(WANTED, &app(&[backend.server()], "")).await;
    for said in all() {
        let mut client = proxy.raw().await;
        client.send([said, get("/")].concat()).await;
        client.ends().await;
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn what_is_no_header_is_closed_by_a_stream() {
    let backend = Backend::start(ok("x")).await;
    let (_proxy, addr) = start(&stream(WANTED, &[backend.server()], "")).await;
    for said in all() {
        let mut client = Raw::connect(addr).await;
        client.send([said, get("/")].concat()).await;
        client.ends().await;
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn what_is_no_header_is_closed_before_tls() {
    let authority = Authority::new();
    let identity = authority.server(&["app.example"]);
    let keys = format!("{WANTED}\n{}", ends_tls(&identity, ""));
    let proxy = Proxy::start_with(&keys, "").await;
    // The whole handshake of a client that knows nothing of headers.
    let config = Arc::new(trusting(&authority));
    let refused = handshake(proxy.addr(), "app.example", &config).await;
    assert!(refused.is_err());
    for said in broken() {
        let mut client = proxy.raw().await;
        client.send(said).await;
        client.ends().await;
    }
}

#[tokio::test]
async fn a_stream_leaves_a_line_of_it() {
    let backend = Backend::start(ok("x")).await;
    let (log, proxy) = logging("", &stream(WANTED, &[backend.server()], "")).await;
    let mut client = Raw::connect(addr(&proxy)).await;
    client.send(get("/")).await;
    client.ends().await;
    let line = line(&log).await;
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("\" 400 0 "), "{line}");
}

// === from whom ===

#[tokio::test]
async fn a_header_from_a_stranger_is_closed() {
    let backend = Backend::start(ok("x")).await;
    let keys = "proxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\", \"127.0.0.2/32\"]";
    let proxy = both(keys, &backend).await;
    for (version, header) in VERSIONS {
        for addr in proxy.addrs() {
            let said = [header(CLIENT), get("/")].concat();
            let mut stranger = Raw::connect_from("127.0.0.1", addr).await;
            // It may be closed before it has said anything.
            let _ = stranger.try_send(&said).await;
            stranger.ends().await;
            let mut trusted = Raw::connect_from("127.0.0.2", addr).await;
            assert_eq!(trusted.exchange(said).await.status, 200, "{version}");
        }
    }
    assert_eq!(backend.requests(), 4);
}

// === in time ===

/// Beginnings of headers.
fn halves() -> Vec<Vec<u8>> {
    let mut halves = vec![Vec::new()];
    for header in [v1(CLIENT), v2(CLIENT)] {
        for length in [1, 5, 13, 15, 20, header.len() - 1] {
            halves.push(header[..length].to_vec());
        }
    }
    halves
}

#[tokio::test]
async fn a_header_that_does_not_end_in_time_is_closed() {
    let backend = Backend::start(ok("x")).await;
    let keys = format!("{WANTED}\ntimeouts = {{ header = \"300ms\" }}");
    let proxy = both(&keys, &backend).await;
    let mut clients = Vec::new();
    let begin = Instant::now();
    for said in halves() {
        for addr in proxy.addrs() {
            let mut client = Raw::connect(addr).await;
            client.send(&said).await;
            clients.push(client);
        }
    }
    for mut client in clients {
        client.ends().await;
    }
    // The kernel may hand over a connection that says nothing after a second.
    let took = begin.elapsed();
    let expected = Duration::from_millis(250)..Duration::from_secs(5);
    assert!(expected.contains(&took), "{took:?}");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_dripping_header_does_not_move_its_deadline() {
    let keys = format!("{WANTED}\ntimeouts = {{ header = \"300ms\" }}");
    let proxy = Proxy::start_with(&keys, "").await;
    let begin = Instant::now();
    let mut client = proxy.raw().await;
    client.send("PROXY UNKNOWN ").await;
    let drip = client.drip(vec![b'x'; 90], Duration::from_millis(50));
    client.ends().await;
    let took = begin.elapsed();
    let expected = Duration::from_millis(250)..Duration::from_secs(3);
    assert!(expected.contains(&took), "{took:?}");
    drip.abort();
}

#[tokio::test]
async fn header_and_handshake_have_one_deadline_together() {
    let authority = Authority::new();
    let identity = authority.server(&["app.example"]);
    let tls = ends_tls(&identity, "");
    let keys = format!("{WANTED}\ntimeouts = {{ header = \"1s\" }}\n{tls}");
    let proxy = both(&keys, &Backend::refuses()).await;
    for addr in proxy.addrs() {
        let begin = Instant::now();
        let mut client = Raw::connect(addr).await;
        let header = v2(CLIENT);
        let (first, last) = header.split_at(header.len() - 2);
        client.send(first).await;
        // The end of the header comes late, and the first of the handshake never.
        let drip = client.drip(last.to_vec(), Duration::from_millis(800));
        client.rest().await;
        let took = begin.elapsed();
        let expected = Duration::from_millis(950)..Duration::from_millis(1600);
        assert!(expected.contains(&took), "{took:?}");
        drip.abort();
    }
}

#[tokio::test]
async fn headers_that_hang_hold_up_no_other() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start_with(WANTED, &app(&[backend.server()], "")).await;
    let mut hanging = Vec::new();
    for _ in 0..50 {
        let mut client = proxy.raw().await;
        client.send("PROXY TCP4 203.0").await;
        hanging.push(client);
    }
    let begin = Instant::now();
    for _ in 0..5 {
        let said = [v1(CLIENT), get("/")].concat();
        assert_eq!(proxy.raw().await.exchange(said).await.status, 200);
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}
