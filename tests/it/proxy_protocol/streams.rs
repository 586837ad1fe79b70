//! A PROXY header on a stream: it is taken off, and says who the client is.

use std::sync::Arc;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::certs::Authority;
use crate::support::hashed::TO_TWO;
use crate::support::log::{line, lines, logging};
use crate::support::plain::{Door, Plain, greets, letter};
use crate::support::secure::trusting;
use crate::support::streams::{addr, ask, ends_tls, pool, start, stream};
use crate::support::tls_peer::{TlsPeer, shows};

use super::{CLIENT, CLIENT6, VERSIONS, WANTED, local, v1, v2};

#[tokio::test]
async fn a_header_is_for_lbd_alone() {
    let door = Door::open().await;
    let (_proxy, addr) = start(&stream(WANTED, &[door.server()], "")).await;
    for (_, header) in VERSIONS {
        for client in [CLIENT, CLIENT6] {
            let mut connection = Plain::connect(addr).await;
            let said = [header(client), b"and more".to_vec()].concat();
            connection.send(said).await;
            let mut server = door.accept().await;
            server.hears("and more").await;
            server.send("an answer").await;
            connection.hears("an answer").await;
            connection.finish().await;
            server.ends().await;
        }
    }
}

#[tokio::test]
async fn a_header_in_single_bytes_is_understood() {
    let door = Door::open().await;
    let (_proxy, addr) = start(&stream(WANTED, &[door.server()], "")).await;
    for (_, header) in VERSIONS {
        let mut client = Plain::connect(addr).await;
        client.send_singly(header(CLIENT)).await;
        client.send_singly("and more").await;
        door.accept().await.hears("and more").await;
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_by_a_client_with_a_header_and_no_more() {
    let backend = Backend::start(greets("a")).await;
    let (_proxy, addr) = start(&stream(WANTED, &[backend.server()], "")).await;
    for header in [v1(CLIENT), v2(CLIENT), local(None)] {
        let mut client = Plain::connect(addr).await;
        client.send(header).await;
        assert_eq!(letter(&mut client).await, "a");
    }
}

#[tokio::test]
async fn the_access_line_names_the_client() {
    let backend = Backend::start(greets("a")).await;
    let (log, proxy) = logging("", &stream(WANTED, &[backend.server()], "")).await;
    for (count, (header, name)) in [
        (v1(CLIENT), "203.0.113.9"),
        (v2(CLIENT6), "2001:db8::9"),
        (local(Some(CLIENT)), "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Plain::connect(addr(&proxy)).await;
        client.send(header).await;
        assert_eq!(letter(&mut client).await, "a");
        drop(client);
        let line = lines(&log, count + 1).await.remove(count);
        assert!(line.starts_with(&format!("{name} - - [")), "{line}");
    }
}

#[tokio::test]
async fn a_header_is_not_among_the_bytes_of_the_access_line() {
    let door = Door::open().await;
    let (log, proxy) = logging("", &stream(WANTED, &[door.server()], "")).await;
    let mut client = Plain::connect(addr(&proxy)).await;
    client.send([v2(CLIENT), b"abc".to_vec()].concat()).await;
    client.finish().await;
    let mut server = door.accept().await;
    assert_eq!(server.rest().await, b"abc");
    server.finish().await;
    client.ends().await;
    let line = line(&log).await;
    assert!(line.contains("\" 200 0 "), "{line}");
    assert!(line.contains(" received=3 "), "{line}");
}

#[tokio::test]
async fn ip_hash_goes_by_the_client() {
    let (a, b) = (
        Backend::start(greets("a")).await,
        Backend::start(greets("b")).await,
    );
    let servers = [a.server(), b.server()];
    let text = stream(WANTED, &servers, "balance = \"ip_hash\"");
    let (_proxy, addr) = start(&text).await;
    for (client, name) in TO_TWO {
        let mut connection = Plain::connect(addr).await;
        let header = v2((&format!("{client}:1"), "198.51.100.1:443"));
        connection.send(header).await;
        assert_eq!(letter(&mut connection).await, name, "{client}");
    }
}

#[tokio::test]
async fn a_header_stands_before_tls_that_ends_here() {
    let authority = Authority::new();
    let identity = authority.server(&["app.example"]);
    let backend = Backend::start(ok("x")).await;
    let keys = format!("{WANTED}\n{}", ends_tls(&identity, ""));
    let (log, proxy) = logging("", &stream(&keys, &[backend.server()], "")).await;
    let config = Arc::new(trusting(&authority));
    for (count, (version, header)) in VERSIONS.into_iter().enumerate() {
        let mut client = Plain::connect(addr(&proxy)).await;
        client.send(header(CLIENT)).await;
        let client = client.secured("app.example", &config).await;
        let client = client.expect("a handshake that succeeds");
        assert_eq!(ask(client).await, "x", "{version}");
        let line = lines(&log, count + 1).await.remove(count);
        assert!(line.starts_with("203.0.113.9 - - ["), "{line}");
    }
}

#[tokio::test]
async fn a_header_stands_before_tls_that_passes_through() {
    let authority = Authority::new();
    let peer = TlsPeer::start(shows(&authority.server(&["app.example"])), "x").await;
    let keys = format!("sni = {{ \"app.example\" = \"app\" }}\n{WANTED}");
    let pool = pool("app", &[peer.server()], "");
    let text = format!("[[streams]]\nbind = \"127.0.0.2:0\"\n{keys}\n{pool}");
    let (_proxy, addr) = start(&text).await;
    let config = Arc::new(trusting(&authority));
    for (version, header) in VERSIONS {
        let mut client = Plain::connect(addr).await;
        client.send_singly(header(CLIENT)).await;
        let client = client.secured("app.example", &config).await;
        let client = client.expect("a handshake that succeeds");
        assert_eq!(ask(client).await, "x", "{version}");
    }
    assert_eq!(peer.calls().len(), VERSIONS.len());
}
