//! The header that lbd sends to servers: to the byte, before anything else, and with the client that lbd was told of.

use std::net::SocketAddr;

use ppp::v2::{Addresses, Builder, Command, Header, Protocol, Version};

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::plain::{Door, Plain, greets, who};
use crate::support::proxy::{Proxy, app};
use crate::support::streams::{ask, start, stream, stream_at};

use super::{CLIENT, CLIENT6, VERSIONS, WANTED, addresses, local, read_v1, read_v2, v1};

/// The line of version 1 for a connection between these two.
fn line(client: SocketAddr, to: SocketAddr) -> String {
    v1::Addresses::from((client, to)).to_string()
}

/// The header of version 2 for a connection between these two of which no more is known.
fn header(client: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let start = Version::Two | Command::Proxy;
    let header = Builder::with_addresses(start, Protocol::Stream, (client, to));
    header.build().expect("a short header")
}

/// lbd that sends headers of `version` from a stream at `bind`, with these further keys, to a server at `behind`.
async fn sending(version: &str, bind: &str, behind: &str, keys: &str) -> (Door, Proxy, SocketAddr) {
    let door = Door::open_at(behind).await;
    let keys = format!("send_proxy = \"{version}\"\n{keys}");
    let (proxy, addr) = start(&stream_at(bind, &keys, &[door.server()], "")).await;
    (door, proxy, addr)
}

const V4: &str = "127.0.0.2:0";
const V6: &str = "[::1]:0";

/// Where clients are, and where servers are: the header is about clients only.
const PLACES: [(&str, &str); 4] = [(V4, V4), (V6, V6), (V6, V4), (V4, V6)];

#[tokio::test]
async fn version_1_is_one_line_with_the_clients_addresses() {
    for (bind, behind) in PLACES {
        let (door, _proxy, addr) = sending("v1", bind, behind, "").await;
        let mut client = Plain::connect(addr).await;
        client.send("first").await;
        let mut server = door.accept().await;
        assert_eq!(read_v1(&mut server).await, line(client.addr(), addr));
        server.hears("first").await;
    }
}

#[tokio::test]
async fn version_2_is_no_longer_than_it_must_be() {
    for (bind, behind) in PLACES {
        let (door, _proxy, addr) = sending("v2", bind, behind, "").await;
        let mut client = Plain::connect(addr).await;
        client.send("first").await;
        let mut server = door.accept().await;
        assert_eq!(read_v2(&mut server).await, header(client.addr(), addr));
        server.hears("first").await;
    }
}

#[tokio::test]
async fn the_destination_is_what_the_client_has_asked_for() {
    let (door, _proxy, addr) = sending("v2", "0.0.0.0:0", V4, "").await;
    let addr = SocketAddr::from(([127, 0, 0, 77], addr.port()));
    let client = Plain::connect_from("127.0.0.9", addr).await;
    let mut server = door.accept().await;
    assert_eq!(read_v2(&mut server).await, header(client.addr(), addr));
}

#[tokio::test]
async fn the_header_does_not_wait_for_the_client_to_speak() {
    for version in ["v1", "v2"] {
        let (door, _proxy, addr) = sending(version, V4, V4, "").await;
        let mut client = Plain::connect(addr).await;
        let mut server = door.accept().await;
        match version {
            "v1" => drop(read_v1(&mut server).await),
            _ => drop(read_v2(&mut server).await),
        }
        server.send("220 hello\r\n").await;
        client.hears("220 hello\r\n").await;
    }
}

#[tokio::test]
async fn a_client_that_ends_at_once_has_its_header_all_the_same() {
    let (door, _proxy, addr) = sending("v1", V4, V4, "").await;
    let mut client = Plain::connect(addr).await;
    client.finish().await;
    let mut server = door.accept().await;
    assert_eq!(read_v1(&mut server).await, line(client.addr(), addr));
    server.ends().await;
}

#[tokio::test]
async fn the_next_server_has_the_header_too() {
    let (dead, door) = (Backend::refuses(), Door::open().await);
    let servers = [dead.server(), door.server()];
    let (_proxy, addr) = start(&stream("send_proxy = \"v2\"", &servers, "")).await;
    for _ in 0..3 {
        let client = Plain::connect(addr).await;
        let mut server = door.accept().await;
        assert_eq!(read_v2(&mut server).await, header(client.addr(), addr));
    }
}

#[tokio::test]
async fn off_sends_nothing() {
    for keys in ["", "send_proxy = \"off\""] {
        let door = Door::open().await;
        let (_proxy, addr) = start(&stream(keys, &[door.server()], "")).await;
        let mut client = Plain::connect(addr).await;
        client.send("first").await;
        client.finish().await;
        assert_eq!(door.accept().await.rest().await, b"first");
    }
}

#[tokio::test]
async fn a_server_may_greet_while_the_header_is_under_way() {
    let backend = Backend::start(greets("a")).await;
    let keys = "send_proxy = \"v2\"";
    let (_proxy, addr) = start(&stream(keys, &[backend.server()], "")).await;
    for _ in 0..5 {
        assert_eq!(who(addr).await, "a");
    }
}

// === from one proxy to the next ===

#[tokio::test]
async fn the_first_client_goes_through() {
    for (version, incoming) in VERSIONS {
        for client in [CLIENT, CLIENT6] {
            let (source, destination) = addresses(client);
            let (door, _proxy, addr) = sending("v1", V4, V4, WANTED).await;
            let mut connection = Plain::connect(addr).await;
            connection.send(incoming(client)).await;
            let mut server = door.accept().await;
            let sent = read_v1(&mut server).await;
            assert_eq!(sent, line(source, destination), "{version}");

            let (door, _proxy, addr) = sending("v2", V4, V4, WANTED).await;
            let mut connection = Plain::connect(addr).await;
            connection.send(incoming(client)).await;
            let mut server = door.accept().await;
            let sent = read_v2(&mut server).await;
            let parsed = Header::try_from(sent.as_slice()).expect("a header");
            assert_eq!(parsed.command, Command::Proxy);
            assert_eq!(
                parsed.addresses,
                Addresses::from((source, destination)),
                "{version}"
            );
        }
    }
}

#[tokio::test]
async fn where_the_header_names_nobody_the_connection_goes_through() {
    for incoming in [
        local(None),
        local(Some(CLIENT6)),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ] {
        let (door, _proxy, addr) = sending("v1", V4, V4, WANTED).await;
        let mut client = Plain::connect(addr).await;
        client.send(incoming).await;
        let mut server = door.accept().await;
        assert_eq!(read_v1(&mut server).await, line(client.addr(), addr));
    }
}

#[tokio::test]
async fn a_chain_of_two_streams_keeps_the_client() {
    let door = Door::open().await;
    let inner = stream(
        &format!("send_proxy = \"v1\"\n{WANTED}"),
        &[door.server()],
        "",
    );
    let (_inner, inner) = start(&inner).await;
    let outer = stream("send_proxy = \"v2\"", &[format!("\"{inner}\"")], "");
    let (_outer, outer) = start(&outer).await;
    let mut client = Plain::connect_from("127.0.3.4", outer).await;
    client.send("first").await;
    let mut server = door.accept().await;
    assert_eq!(read_v1(&mut server).await, line(client.addr(), outer));
    server.hears("first").await;
    server.send("answer").await;
    client.hears("answer").await;
}

#[tokio::test]
async fn a_listener_behind_a_stream_knows_the_client() {
    let backend = Backend::start(ok("x")).await;
    let pool = app(&[backend.server()], "");
    let inner = Proxy::start_with(WANTED, &pool).await;
    let keys = "send_proxy = \"v2\"";
    let outer = stream(keys, &[format!("\"{}\"", inner.addr())], "");
    let (_outer, addr) = start(&outer).await;
    let client = Plain::connect_from("127.0.3.4", addr).await;
    assert_eq!(ask(client.into_inner()).await, "x");
    let seen = backend.last();
    assert_eq!(seen.fields().get("x-real-ip"), Some("127.0.3.4"));
}

#[tokio::test]
async fn lbd_and_the_other_side_write_the_same() {
    // What is compared with above is right.
    let (source, destination) = addresses(CLIENT);
    let said = "PROXY TCP4 203.0.113.9 198.51.100.1 40001 443\r\n";
    assert_eq!(line(source, destination), said);
    assert_eq!(v1(CLIENT), said.as_bytes());
    let bytes = [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[0x21, 0x11, 0, 12],
        &[203, 0, 113, 9, 198, 51, 100, 1],
        &[0x9c, 0x41, 1, 0xbb],
    ];
    assert_eq!(header(source, destination), bytes.concat());
}
